//! Attaches a model's object to the program stub: a linker for the one case that every `octet compile` has.
//!
//! The stub is a static ELF program at fixed addresses that needs nothing from the object, and the object needs nothing
//! from the stub, so the only thing that joins them is the [`ModelSlot`] with the addresses of `infer` and `info`.
//! The result is the stub's bytes, unchanged but for its ELF header and slot, followed by
//!
//! ```text
//! page      program headers, then the model's read-only sections     R    \ loaded; address = stub's base + file offset
//! page      the model's code                                         R X  /
//!           the model's symbols and line information, section headers of stub and model     for gdb, perf and objdump
//! ```
//!
//! Since addresses follow from file offsets, the program headers lie in a loaded segment where every kernel finds them,
//! and the first page begins after the end of the stub's memory, not only of its file. Code is as far from its file offset as
//! the stub's own, because perf translates addresses for all of a program by its `.text`. All relocations are resolved here,
//! so nothing of the model is ever written at run time: `.data.rel.ro` becomes plain read-only data, and an object with
//! writable data is refused.

mod error;
mod image;
mod model;
mod program;
mod relocate;

use octet_runtime::abi::{MODEL_SLOT_MARK, ModelSlot};

pub use error::{LinkError, Problem};
use image::Image;
use model::{Model, Section};
use program::Program;

/// Makes a program of `stub` and the model in `object` (ELF64 relocatable, same machine), whose entries are the functions
/// `infer_symbol` ([`octet_runtime::abi::Infer`]) and `info_symbol` ([`octet_runtime::abi::Info`]). All problems of the
/// object are reported at once.
pub fn attach(stub: &[u8], object: &[u8], infer_symbol: &str, info_symbol: &str) -> Result<Vec<u8>, LinkError> {
    let program = Program::parse(stub)?;
    let model = Model::parse(object, program.machine)?;
    let image = Image::new(&program, &model);
    let mut bytes = image.load(&program, &model);
    let mut problems = Vec::new();
    for (section, placed) in model.sections.iter().zip(&image.sections) {
        let site = &mut bytes[placed.offset as usize..][..section.data.len()];
        relocate_section(site, placed.address, section, &image, model.machine, &mut problems);
    }
    let mut debug: Vec<Vec<u8>> = model.debug.iter().map(|section| section.data.to_vec()).collect();
    for (section, site) in model.debug.iter().zip(&mut debug) {
        relocate_section(site, 0, section, &image, model.machine, &mut problems);
    }
    let mut address_of = |name: &str| {
        let address = model.definition(name).and_then(|symbol| image.address(symbol));
        if address.is_none() {
            problems.push(Problem::MissingSymbol(name.to_owned()));
        }
        address.unwrap_or(0)
    };
    let (infer, info) = (address_of(infer_symbol), address_of(info_symbol));
    if !problems.is_empty() {
        return Err(LinkError { problems });
    }
    fill_slot(&mut bytes, program.slot, infer, info);
    image.describe(&mut bytes, &program, &model, &debug);
    Ok(bytes)
}

/// Resolves the relocations of a section, whose bytes are `bytes` and stand at `address`.
fn relocate_section(
    bytes: &mut [u8],
    address: u64,
    section: &Section<'_>,
    image: &Image,
    machine: u16,
    problems: &mut Vec<Problem>,
) {
    for relocation in &section.relocations {
        let target = image.address(relocation.target).map(|address| address.wrapping_add_signed(relocation.addend));
        // Undefined symbols were reported when the object was read.
        let Some(target) = target else { continue };
        let site = bytes.get_mut(relocation.offset as usize..).unwrap_or_default();
        let place = address.wrapping_add(relocation.offset);
        if let Err(why) = relocate::apply(machine, relocation.r_type, site, place, target) {
            problems.push(Problem::Relocation {
                section: section.name.to_owned(),
                offset: relocation.offset,
                r_type: relocation.r_type,
                why,
            });
        }
    }
}

/// Writes the entries behind the mark at `slot`.
fn fill_slot(bytes: &mut [u8], slot: usize, infer: u64, info: u64) {
    const INFER: usize = std::mem::offset_of!(ModelSlot, infer);
    const INFO: usize = std::mem::offset_of!(ModelSlot, info);
    const { assert!(INFER == MODEL_SLOT_MARK.len() && INFO == INFER + 8 && size_of::<ModelSlot>() == INFO + 8) };
    bytes[slot + INFER..][..8].copy_from_slice(&infer.to_le_bytes());
    bytes[slot + INFO..][..8].copy_from_slice(&info.to_le_bytes());
}
