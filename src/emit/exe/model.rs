//! The model's object as the linker sees it: the sections to load and those for debuggers, their relocations, and the symbols.

use object::elf::{self, FileHeader64};
use object::read::elf::{ElfFile64, FileHeader};
use object::{
    LittleEndian as LE, Object, ObjectKind, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget,
    SectionFlags, SectionIndex, SymbolIndex, SymbolSection,
};

use super::error::{LinkError, Problem};

/// A relocatable object without writable data and without undefined symbols.
pub struct Model<'a> {
    /// ELF machine number.
    pub machine: u16,
    /// What is loaded, in the object's order.
    pub sections: Vec<Section<'a>>,
    /// What only debuggers and profilers read, in the object's order.
    pub debug: Vec<Section<'a>>,
    /// Named symbols in `sections`, in the object's order.
    pub symbols: Vec<Symbol<'a>>,
}

/// A section that becomes part of the program.
pub struct Section<'a> {
    pub name: &'a str,
    pub data: &'a [u8],
    /// A power of two.
    pub align: u64,
    pub executable: bool,
    pub relocations: Vec<Relocation>,
}

pub struct Symbol<'a> {
    pub name: &'a str,
    pub place: Place,
    pub size: u64,
    /// `STT_FUNC` rather than `STT_OBJECT`.
    pub function: bool,
    pub local: bool,
}

/// Where a symbol points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Index into [`Model::sections`] and offset there.
    Section(usize, u64),
    /// A number; also a place in a section for debuggers, which count from the beginning of the section.
    Absolute(u64),
    /// Nowhere: undefined, or in a section that is left out.
    Nowhere,
}

pub struct Relocation {
    /// In the section.
    pub offset: u64,
    /// Number of the machine's ELF supplement.
    pub r_type: u32,
    pub target: Place,
    pub addend: i64,
}

impl<'a> Model<'a> {
    /// Refuses what cannot be attached to a stub for `machine`.
    pub fn parse(bytes: &'a [u8], machine: u16) -> Result<Model<'a>, LinkError> {
        let unreadable = |error: object::read::Error| LinkError::from(Problem::Object(error.to_string()));
        let header = FileHeader64::<LE>::parse(bytes).map_err(unreadable)?;
        let endian = header.endian().map_err(unreadable)?;
        if header.e_machine(endian) != machine {
            return Err(Problem::Machine { stub: machine, object: header.e_machine(endian) }.into());
        }
        let file = ElfFile64::<LE>::parse(bytes).map_err(unreadable)?;
        if file.kind() != ObjectKind::Relocatable {
            return Err(Problem::Object("it is not a relocatable object".to_owned()).into());
        }
        let mut reader = Reader { file, loaded: Vec::new(), debug: Vec::new(), problems: Vec::new() };
        let (sections, debug) = reader.sections().map_err(unreadable)?;
        let symbols = reader.symbols().map_err(unreadable)?;
        match reader.problems {
            problems if problems.is_empty() => Ok(Model { machine, sections, debug, symbols }),
            problems => Err(LinkError { problems }),
        }
    }

    /// The place of a symbol that other objects can see.
    pub fn definition(&self, name: &str) -> Option<Place> {
        self.symbols.iter().find(|symbol| !symbol.local && symbol.name == name).map(|symbol| symbol.place)
    }
}

struct Reader<'a> {
    file: ElfFile64<'a, LE>,
    /// The object's sections that are loaded: position here is position in [`Model::sections`].
    loaded: Vec<SectionIndex>,
    /// Those for debuggers.
    debug: Vec<SectionIndex>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Sections that are loaded, and sections for debuggers.
    fn sections(&mut self) -> object::read::Result<(Vec<Section<'a>>, Vec<Section<'a>>)> {
        for section in self.file.sections() {
            match role(&section, &mut self.problems)? {
                Role::Loaded => self.loaded.push(section.index()),
                Role::Debug => self.debug.push(section.index()),
                Role::None => {}
            }
        }
        let read = |indices: &[SectionIndex]| -> object::read::Result<Vec<Section<'a>>> {
            indices.iter().map(|index| self.section(*index)).collect()
        };
        Ok((read(&self.loaded)?, read(&self.debug)?))
    }

    fn section(&self, index: SectionIndex) -> object::read::Result<Section<'a>> {
        let section = self.file.section_by_index(index)?;
        let mut relocations = Vec::new();
        for (offset, relocation) in section.relocations() {
            let (RelocationFlags::Elf { r_type }, RelocationTarget::Symbol(symbol)) =
                (relocation.flags(), relocation.target())
            else {
                continue;
            };
            relocations.push(Relocation { offset, r_type, target: self.place(symbol)?, addend: relocation.addend() });
        }
        Ok(Section {
            name: section.name()?,
            data: section.data()?,
            align: section.align().max(1).next_power_of_two(),
            executable: sh_flags(&section) & u64::from(elf::SHF_EXECINSTR) != 0,
            relocations,
        })
    }

    fn place(&self, index: SymbolIndex) -> object::read::Result<Place> {
        let symbol = self.file.symbol_by_index(index)?;
        Ok(match symbol.section() {
            SymbolSection::Absolute => Place::Absolute(symbol.address()),
            SymbolSection::Section(section) if self.debug.contains(&section) => Place::Absolute(symbol.address()),
            SymbolSection::Section(section) => match self.loaded.iter().position(|index| *index == section) {
                Some(position) => Place::Section(position, symbol.address()),
                None => Place::Nowhere,
            },
            _ => Place::Nowhere,
        })
    }

    /// The defined symbols; undefined ones become problems.
    fn symbols(&mut self) -> object::read::Result<Vec<Symbol<'a>>> {
        let mut symbols = Vec::new();
        for symbol in self.file.symbols() {
            let name = symbol.name()?;
            if symbol.is_undefined() || symbol.is_common() {
                self.problems.push(Problem::Undefined(name.to_owned()));
                continue;
            }
            let function = symbol.elf_symbol().st_type() == elf::STT_FUNC;
            let data = matches!(symbol.elf_symbol().st_type(), elf::STT_OBJECT | elf::STT_NOTYPE);
            let place = self.place(symbol.index())?;
            if !name.is_empty() && (function || data) && matches!(place, Place::Section(..)) {
                symbols.push(Symbol { name, place, size: symbol.size(), function, local: symbol.is_local() });
            }
        }
        Ok(symbols)
    }
}

fn sh_flags<'a>(section: &impl ObjectSection<'a>) -> u64 {
    match section.flags() {
        SectionFlags::Elf { sh_flags } => sh_flags,
        _ => 0,
    }
}

/// What a section is for in the program.
enum Role {
    Loaded,
    Debug,
    None,
}

/// Notes and unwind tables do not become part of the program: the stub never unwinds.
fn role<'a>(
    section: &object::read::elf::ElfSection64<'a, '_, LE>,
    problems: &mut Vec<Problem>,
) -> object::read::Result<Role> {
    let flags = sh_flags(section);
    let has = |flag: u32| flags & u64::from(flag) != 0;
    let name = section.name()?;
    let kind = section.elf_section_header().sh_type.get(LE);
    if !has(elf::SHF_ALLOC) && kind == elf::SHT_PROGBITS && name.starts_with(".debug_") {
        return Ok(Role::Debug);
    }
    if !has(elf::SHF_ALLOC) || kind == elf::SHT_NOTE || name == ".eh_frame" || section.size() == 0 {
        return Ok(Role::None);
    }
    let relocated_only = name == ".data.rel.ro" || name.starts_with(".data.rel.ro.");
    if has(elf::SHF_TLS) || kind == elf::SHT_NOBITS || (has(elf::SHF_WRITE) && !relocated_only) {
        problems.push(Problem::Writable { section: name.to_owned(), bytes: section.size() });
        return Ok(Role::None);
    }
    Ok(Role::Loaded)
}
