//! The stub as the linker sees it: where it ends, what its headers say, where its slot is.

use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

use octet_runtime::abi::{MODEL_SLOT_MARK, ModelSlot};

use super::error::{LinkError, Problem};

/// A static, non-PIE ELF64 program.
pub struct Program<'a> {
    pub bytes: &'a [u8],
    /// ELF machine number.
    pub machine: u16,
    pub headers: &'a [ProgramHeader64<LE>],
    /// Sections that are loaded, with their names.
    pub sections: Vec<(&'a [u8], SectionHeader64<LE>)>,
    /// Address of the file's first byte.
    pub base: u64,
    /// Address of the file's first byte as the code sees it: its addresses minus its file offsets.
    pub code_base: u64,
    /// First address after everything the program occupies in memory.
    pub memory_end: u64,
    /// Alignment of segments: the largest page a kernel may use.
    pub page: u64,
    /// File offset of the [`ModelSlot`].
    pub slot: usize,
}

impl<'a> Program<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Program<'a>, LinkError> {
        let fail = |why: &str| LinkError::from(Problem::Stub(why.to_owned()));
        let unreadable = |error: object::read::Error| fail(&error.to_string());
        let header = FileHeader64::<LE>::parse(bytes).map_err(unreadable)?;
        let endian = header.endian().map_err(unreadable)?;
        if header.e_type(endian) != elf::ET_EXEC {
            return Err(fail("it is not a program at fixed addresses"));
        }
        let headers = header.program_headers(endian, bytes).map_err(unreadable)?;
        let loads = || headers.iter().filter(|header| header.p_type(endian) == elf::PT_LOAD);
        let first = loads().next().ok_or_else(|| fail("it loads nothing"))?;
        if headers.iter().any(|header| matches!(header.p_type(endian), elf::PT_INTERP | elf::PT_DYNAMIC)) {
            return Err(fail("it is dynamically linked"));
        }
        let ends = loads().map(|load| load.p_vaddr(endian).checked_add(load.p_memsz(endian)));
        let memory_end = ends.max().flatten().ok_or_else(|| fail("its segments wrap around"))?;
        let base = first.p_vaddr(endian).checked_sub(first.p_offset(endian));
        let table = header.sections(endian, bytes).map_err(unreadable)?;
        let mut sections = Vec::new();
        for section in table.iter().filter(|section| section.sh_flags(endian) & u64::from(elf::SHF_ALLOC) != 0) {
            sections.push((table.section_name(endian, section).map_err(unreadable)?, *section));
        }
        let base = base.ok_or_else(|| fail("its first segment lies below its file offset"))?;
        let code = headers
            .iter()
            .find(|header| header.p_type(endian) == elf::PT_LOAD && header.p_flags(endian) & elf::PF_X != 0);
        let code_base = code.and_then(|code| code.p_vaddr(endian).checked_sub(code.p_offset(endian)));
        Ok(Program {
            bytes,
            machine: header.e_machine(endian),
            headers,
            sections,
            base,
            code_base: code_base.filter(|code_base| *code_base >= base).unwrap_or(base),
            memory_end,
            page: loads().map(|load| load.p_align(endian)).max().unwrap_or(0).max(4096).next_power_of_two(),
            slot: find_slot(bytes).map_err(fail)?,
        })
    }
}

/// The mark occurs once, or it may not be the slot that is found.
fn find_slot(bytes: &[u8]) -> Result<usize, &'static str> {
    let mut found =
        bytes.windows(size_of::<ModelSlot>()).enumerate().filter(|(_, window)| window.starts_with(&MODEL_SLOT_MARK));
    match (found.next(), found.next()) {
        (Some((offset, _)), None) => Ok(offset),
        (None, _) => Err("it has no slot for a model"),
        (Some(_), Some(_)) => Err("the mark of its slot occurs twice"),
    }
}
