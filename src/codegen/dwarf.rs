//! Line information: which layer of the source a function computes, as DWARF 4 in `.debug_info` and `.debug_line`.
//!
//! Debuggers and profilers then name the layer's line of `model.xml` beside the symbol. A function is one subprogram and,
//! if it works for one layer, one sequence of the line table with that line from its first byte to its last. Code that
//! several layers share has no line; its caller, the step, has one.
//!
//! The source is named without a directory, so equal models give equal bytes wherever they lie; debuggers look for it in
//! the working directory. The sections are not loaded and cost nothing at run time.

use std::collections::BTreeMap;

use gimli::write::{
    Address, AttributeValue, DwarfUnit, EndianVec, FileId, LineProgram, LineString, RelocateWriter,
    Relocation as Reference, RelocationTarget, Sections, UnitEntryId,
};
use gimli::{Encoding, Format, LineEncoding, LittleEndian, constants};
use object::write::{Object, Relocation, SectionId, SymbolId};
use object::{RelocationEncoding, RelocationFlags, RelocationKind, SectionKind};

/// A function of the object.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    pub symbol: SymbolId,
    /// Line of its layer in the source, from 1; 0 when there is none or more than one.
    pub line: u32,
}

/// Adds the sections that describe `functions` to the object of a model from the file named `source`. The functions lie in
/// one section, in this order. `frame_code` is the length of the code that sets up a frame, with which each begins:
/// behind it a breakpoint finds the function's caller.
///
/// # Errors
/// Internal ones only.
pub fn describe(object: &mut Object<'_>, source: &str, functions: &[Function], frame_code: u64) -> Result<(), String> {
    let (Some(first), Some(last)) = (functions.first(), functions.last()) else { return Ok(()) };
    let begin = object.symbol(first.symbol).value;
    let end = object.symbol(last.symbol).value + object.symbol(last.symbol).size;
    let mut dwarf = unit(source, end - begin);
    let path = LineString::String(source.as_bytes().to_vec());
    let directory = dwarf.unit.line_program.default_directory();
    let file = dwarf.unit.line_program.add_file(path, directory, None);
    for (index, function) in functions.iter().enumerate() {
        let symbol = object.symbol(function.symbol);
        subprogram(&mut dwarf, file, index, function.line, &symbol.name, symbol.size);
        if function.line != 0 {
            sequence(&mut dwarf.unit.line_program, file, index, function.line, frame_code, symbol.size);
        }
    }
    let mut sections = Sections::new(Section::default());
    dwarf.write(&mut sections).map_err(wrong)?;
    add(object, &sections, functions)
}

fn wrong(error: impl std::fmt::Display) -> String {
    format!("internal error: {error}")
}

/// The compilation unit: the whole object, which begins with its first function and has `len` bytes.
fn unit(source: &str, len: u64) -> DwarfUnit {
    let encoding = Encoding { format: Format::Dwarf32, version: 4, address_size: 8 };
    let mut dwarf = DwarfUnit::new(encoding);
    // The working directory stands in no table of this version; its name only must not be empty.
    let here = LineString::String(b".".to_vec());
    let file = LineString::String(source.as_bytes().to_vec());
    dwarf.unit.line_program = LineProgram::new(encoding, LineEncoding::default(), here, None, file, None);
    let root = dwarf.unit.root();
    let producer = concat!("octet ", env!("CARGO_PKG_VERSION"));
    let entry = dwarf.unit.get_mut(root);
    entry.set(constants::DW_AT_producer, AttributeValue::String(producer.into()));
    // Names are C identifiers or harmless; a debugger needs to know some language.
    entry.set(constants::DW_AT_language, AttributeValue::Language(constants::DW_LANG_C99));
    entry.set(constants::DW_AT_name, AttributeValue::String(source.into()));
    place(&mut dwarf, root, 0, len);
    dwarf
}

/// Gives an entry the bytes from the begin of function `index`.
fn place(dwarf: &mut DwarfUnit, entry: UnitEntryId, index: usize, len: u64) {
    let entry = dwarf.unit.get_mut(entry);
    entry.set(constants::DW_AT_low_pc, AttributeValue::Address(Address::Symbol { symbol: index, addend: 0 }));
    entry.set(constants::DW_AT_high_pc, AttributeValue::Udata(len));
}

fn subprogram(dwarf: &mut DwarfUnit, file: FileId, index: usize, line: u32, name: &[u8], len: u64) {
    let root = dwarf.unit.root();
    let entry = dwarf.unit.add(root, constants::DW_TAG_subprogram);
    place(dwarf, entry, index, len);
    let entry = dwarf.unit.get_mut(entry);
    entry.set(constants::DW_AT_name, AttributeValue::String(name.to_vec()));
    if line != 0 {
        entry.set(constants::DW_AT_decl_file, AttributeValue::FileIndex(Some(file)));
        entry.set(constants::DW_AT_decl_line, AttributeValue::Udata(u64::from(line)));
    }
}

/// One line for all of a function.
fn sequence(lines: &mut LineProgram, file: FileId, index: usize, line: u32, frame_code: u64, len: u64) {
    lines.begin_sequence(Some(Address::Symbol { symbol: index, addend: 0 }));
    for offset in [0, frame_code] {
        let row = lines.row();
        row.address_offset = offset;
        row.file = file;
        row.line = u64::from(line);
        row.prologue_end = offset != 0;
        lines.generate_row();
    }
    lines.end_sequence(len);
}

/// A section's bytes, and what in them refers to functions (by index) and to other sections.
#[derive(Clone)]
struct Section {
    bytes: EndianVec<LittleEndian>,
    references: Vec<Reference>,
}

impl Default for Section {
    fn default() -> Self {
        Section { bytes: EndianVec::new(LittleEndian), references: Vec::new() }
    }
}

impl RelocateWriter for Section {
    type Writer = EndianVec<LittleEndian>;

    fn writer(&self) -> &Self::Writer {
        &self.bytes
    }

    fn writer_mut(&mut self) -> &mut Self::Writer {
        &mut self.bytes
    }

    fn relocate(&mut self, reference: Reference) {
        self.references.push(reference);
    }
}

/// Adds the sections that have contents, then their relocations.
fn add(object: &mut Object<'_>, sections: &Sections<Section>, functions: &[Function]) -> Result<(), String> {
    let mut ids: BTreeMap<&str, SectionId> = BTreeMap::new();
    let added = sections.for_each(|id, section| -> Result<(), String> {
        if !section.bytes.slice().is_empty() {
            let added = object.add_section(Vec::new(), id.name().into(), SectionKind::Debug);
            object.set_section_data(added, section.bytes.slice().to_vec(), 1);
            ids.insert(id.name(), added);
        }
        Ok(())
    });
    added?;
    sections.for_each(|id, section| {
        let Some(&from) = ids.get(id.name()) else { return Ok(()) };
        section.references.iter().try_for_each(|reference| relocate(object, from, reference, &ids, functions))
    })
}

fn relocate(
    object: &mut Object<'_>,
    section: SectionId,
    reference: &Reference,
    ids: &BTreeMap<&str, SectionId>,
    functions: &[Function],
) -> Result<(), String> {
    let symbol = match reference.target {
        RelocationTarget::Symbol(index) => functions.get(index).map(|function| function.symbol),
        RelocationTarget::Section(id) => ids.get(id.name()).map(|&id| object.section_symbol(id)),
    };
    let relocation = Relocation {
        offset: reference.offset as u64,
        symbol: symbol.ok_or("internal error: line information refers to nothing")?,
        addend: reference.addend,
        flags: RelocationFlags::Generic {
            kind: RelocationKind::Absolute,
            encoding: RelocationEncoding::Generic,
            size: reference.size * 8,
        },
    };
    object.add_relocation(section, relocation).map_err(wrong)
}
