//! The finished program: where everything goes, and the headers that say so.

use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64, Sym64};
use object::pod::{bytes_of, bytes_of_slice};
use object::{LittleEndian as LE, U16, U32, U64};
use std::mem::offset_of;

use super::model::{Model, Place, Symbol};
use super::program::Program;

/// What comes before the name of a model's section, to tell it from the stub's.
const PREFIX: &[u8] = b".model";

/// The layout.
pub struct Image {
    /// File offset of the program headers, where the read-only segment begins.
    headers: u64,
    header_count: u64,
    read_only_end: u64,
    /// File offsets of the code segment, a page further.
    code: u64,
    code_end: u64,
    base: u64,
    code_base: u64,
    /// One per section of the model.
    pub sections: Vec<Placed>,
}

/// Where a section of the model is.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// In the file.
    pub offset: u64,
    pub address: u64,
}

impl Image {
    pub fn new(program: &Program<'_>, model: &Model<'_>) -> Image {
        let occupied = (program.bytes.len() as u64).max(program.memory_end - program.base);
        let headers = occupied.next_multiple_of(program.page);
        // The stub's headers, and one each for the model's data and code.
        let header_count = program.headers.len() as u64 + 2;
        let mut offset = headers + header_count * size_of::<ProgramHeader64<LE>>() as u64;
        let mut sections = vec![Placed { offset: 0, address: 0 }; model.sections.len()];
        let mut place = |executable: bool, offset: &mut u64| {
            for (section, placed) in model.sections.iter().zip(&mut sections) {
                if section.executable == executable {
                    let begin = offset.next_multiple_of(section.align);
                    let base = if executable { program.code_base } else { program.base };
                    *placed = Placed { offset: begin, address: base + begin };
                    *offset = begin + section.data.len() as u64;
                }
            }
        };
        place(false, &mut offset);
        let read_only_end = offset;
        offset = offset.next_multiple_of(program.page);
        let code = offset;
        place(true, &mut offset);
        Image {
            headers,
            header_count,
            read_only_end,
            code,
            code_end: offset,
            base: program.base,
            code_base: program.code_base,
            sections,
        }
    }

    /// The address of a place in the model.
    pub fn address(&self, place: Place) -> Option<u64> {
        match place {
            Place::Section(index, offset) => Some(self.sections.get(index)?.address.wrapping_add(offset)),
            Place::Absolute(address) => Some(address),
            Place::Nowhere => None,
        }
    }

    /// The part of the file that is loaded, before relocation.
    pub fn load(&self, program: &Program<'_>, model: &Model<'_>) -> Vec<u8> {
        let mut bytes = vec![0; self.code_end as usize];
        bytes[..program.bytes.len()].copy_from_slice(program.bytes);
        let headers = self.program_headers(program);
        bytes[self.headers as usize..][..size_of_val(&headers[..])].copy_from_slice(bytes_of_slice(&headers));
        for (section, placed) in model.sections.iter().zip(&self.sections) {
            bytes[placed.offset as usize..][..section.data.len()].copy_from_slice(section.data);
        }
        let header = offset_of!(FileHeader64<LE>, e_phoff);
        bytes[header..][..8].copy_from_slice(&self.headers.to_le_bytes());
        let count = offset_of!(FileHeader64<LE>, e_phnum);
        bytes[count..][..2].copy_from_slice(&(self.header_count as u16).to_le_bytes());
        bytes
    }

    fn program_headers(&self, program: &Program<'_>) -> Vec<ProgramHeader64<LE>> {
        let header = |kind: u32, flags: u32, base: u64, begin: u64, end: u64, align: u64| ProgramHeader64 {
            p_type: U32::new(LE, kind),
            p_flags: U32::new(LE, flags),
            p_offset: U64::new(LE, begin),
            p_vaddr: U64::new(LE, base + begin),
            p_paddr: U64::new(LE, base + begin),
            p_filesz: U64::new(LE, end - begin),
            p_memsz: U64::new(LE, end - begin),
            p_align: U64::new(LE, align),
        };
        let table_end = self.headers + self.header_count * size_of::<ProgramHeader64<LE>>() as u64;
        let stub = program.headers.iter().map(|old| match old.p_type.get(LE) {
            elf::PT_PHDR => header(elf::PT_PHDR, elf::PF_R, self.base, self.headers, table_end, 8),
            _ => *old,
        });
        // Loaded segments come in the order of their addresses, and these lie behind the stub's.
        stub.chain([
            header(elf::PT_LOAD, elf::PF_R, self.base, self.headers, self.read_only_end, program.page),
            header(elf::PT_LOAD, elf::PF_R | elf::PF_X, self.code_base, self.code, self.code_end, program.page),
        ])
        .collect()
    }

    /// Appends what debuggers and profilers read: section headers, the model's symbols, and the contents of its sections for
    /// debuggers.
    pub fn describe(&self, bytes: &mut Vec<u8>, program: &Program<'_>, model: &Model<'_>, debug: &[Vec<u8>]) {
        // Section 0 is the null section; the model's follow the stub's.
        let first_model_section = 1 + program.sections.len();
        let (symbols, symbol_names, locals) = self.symbols(model, first_model_section);
        let mut names = Strings::new();
        let mut headers = vec![section_header(0, elf::SHT_NULL, 0, 0)];
        for (name, section) in &program.sections {
            headers.push(SectionHeader64 { sh_name: U32::new(LE, names.add(&[name])), ..unlinked(*section) });
        }
        for (section, placed) in model.sections.iter().zip(&self.sections) {
            let mut header = section_header(
                names.add(&[PREFIX, section.name.as_bytes()]),
                elf::SHT_PROGBITS,
                placed.offset,
                section.data.len() as u64,
            );
            let code = if section.executable { elf::SHF_EXECINSTR } else { 0 };
            header.sh_flags = U64::new(LE, u64::from(elf::SHF_ALLOC | code));
            header.sh_addr = U64::new(LE, placed.address);
            header.sh_addralign = U64::new(LE, section.align);
            headers.push(header);
        }
        for (section, contents) in model.debug.iter().zip(debug) {
            let placed = append(bytes, contents);
            headers.push(section_header(names.add(&[section.name.as_bytes()]), elf::SHT_PROGBITS, placed.0, placed.1));
        }
        let symbols = append(bytes, bytes_of_slice(&symbols));
        let mut header = section_header(names.add(&[b".symtab"]), elf::SHT_SYMTAB, symbols.0, symbols.1);
        header.sh_link = U32::new(LE, headers.len() as u32 + 1);
        header.sh_info = U32::new(LE, locals);
        header.sh_entsize = U64::new(LE, size_of::<Sym64<LE>>() as u64);
        header.sh_addralign = U64::new(LE, 8);
        headers.push(header);
        let symbol_names = append(bytes, &symbol_names.bytes);
        headers.push(section_header(names.add(&[b".strtab"]), elf::SHT_STRTAB, symbol_names.0, symbol_names.1));
        let own_name = names.add(&[b".shstrtab"]);
        let section_names = append(bytes, &names.bytes);
        headers.push(section_header(own_name, elf::SHT_STRTAB, section_names.0, section_names.1));
        write_section_headers(bytes, &headers);
    }

    /// The symbol table, local symbols first as ELF wants it, its names, and the index of the first global symbol.
    fn symbols(&self, model: &Model<'_>, first_section: usize) -> (Vec<Sym64<LE>>, Strings, u32) {
        let mut names = Strings::new();
        let mut table = vec![symbol(0, 0, 0, 0, 0)];
        let mut append = |table: &mut Vec<Sym64<LE>>, entry: &Symbol<'_>| {
            let (Place::Section(index, _), Some(address)) = (entry.place, self.address(entry.place)) else {
                return;
            };
            let kind = if entry.function { elf::STT_FUNC } else { elf::STT_OBJECT };
            let binding = if entry.local { elf::STB_LOCAL } else { elf::STB_GLOBAL };
            let name = names.add(&[entry.name.as_bytes()]);
            let section = (first_section + index) as u16;
            table.push(symbol(name, binding << 4 | kind, section, address, entry.size));
        };
        model.symbols.iter().filter(|entry| entry.local).for_each(|entry| append(&mut table, entry));
        let locals = table.len() as u32;
        model.symbols.iter().filter(|entry| !entry.local).for_each(|entry| append(&mut table, entry));
        (table, names, locals)
    }
}

/// A string table: NUL-terminated, the empty string first.
struct Strings {
    bytes: Vec<u8>,
}

impl Strings {
    fn new() -> Strings {
        Strings { bytes: vec![0] }
    }

    /// Offset of the concatenated `parts`.
    fn add(&mut self, parts: &[&[u8]]) -> u32 {
        let offset = self.bytes.len() as u32;
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.bytes.push(0);
        offset
    }
}

fn symbol(name: u32, info: u8, section: u16, address: u64, size: u64) -> Sym64<LE> {
    Sym64 {
        st_name: U32::new(LE, name),
        st_info: info,
        st_other: elf::STV_DEFAULT,
        st_shndx: U16::new(LE, section),
        st_value: U64::new(LE, address),
        st_size: U64::new(LE, size),
    }
}

fn section_header(name: u32, kind: u32, offset: u64, size: u64) -> SectionHeader64<LE> {
    SectionHeader64 {
        sh_name: U32::new(LE, name),
        sh_type: U32::new(LE, kind),
        sh_flags: U64::new(LE, 0),
        sh_addr: U64::new(LE, 0),
        sh_offset: U64::new(LE, offset),
        sh_size: U64::new(LE, size),
        sh_link: U32::new(LE, 0),
        sh_info: U32::new(LE, 0),
        sh_addralign: U64::new(LE, if kind == elf::SHT_NULL { 0 } else { 1 }),
        sh_entsize: U64::new(LE, 0),
    }
}

/// A section of the stub without its references to other sections, whose numbers have changed.
fn unlinked(section: SectionHeader64<LE>) -> SectionHeader64<LE> {
    SectionHeader64 { sh_link: U32::new(LE, 0), sh_info: U32::new(LE, 0), ..section }
}

/// Appends `part` aligned to 8 bytes; returns its offset and size.
fn append(bytes: &mut Vec<u8>, part: &[u8]) -> (u64, u64) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let offset = bytes.len() as u64;
    bytes.extend_from_slice(part);
    (offset, part.len() as u64)
}

/// Appends the table, whose last entry is the section names, and points the file's header to it.
fn write_section_headers(bytes: &mut Vec<u8>, headers: &[SectionHeader64<LE>]) {
    let (offset, _) = append(bytes, &[]);
    headers.iter().for_each(|header| bytes.extend_from_slice(bytes_of(header)));
    let mut patch = |at: usize, value: &[u8]| bytes[at..][..value.len()].copy_from_slice(value);
    patch(offset_of!(FileHeader64<LE>, e_shoff), &offset.to_le_bytes());
    patch(offset_of!(FileHeader64<LE>, e_shnum), &(headers.len() as u16).to_le_bytes());
    patch(offset_of!(FileHeader64<LE>, e_shstrndx), &(headers.len() as u16 - 1).to_le_bytes());
}
