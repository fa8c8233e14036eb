//! Buffers for inputs, outputs and workspace, and how they are filled from and written to files.

use alloc::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ptr::NonNull;

use super::args::TensorFile;
use super::error::Failure;
use super::io;
use super::model::Tensor;
use crate::abi::{ElementType, WORKSPACE_ALIGN};
use crate::npy;

/// Zeroed bytes, aligned for every element type and for a workspace.
#[derive(Debug)]
pub struct Buffer {
    start: NonNull<u8>,
    layout: Layout,
    len: usize,
}

impl Buffer {
    /// `align` is a power of two; smaller ones than [`WORKSPACE_ALIGN`] become that.
    pub fn new(len: usize, align: usize) -> Result<Buffer, Failure> {
        let layout = Layout::from_size_align(len.max(1), align.max(WORKSPACE_ALIGN))
            .map_err(|_| Failure::internal(format!("a buffer of {len} bytes aligned to {align}")))?;
        // SAFETY: the size is not zero.
        match NonNull::new(unsafe { alloc_zeroed(layout) }) {
            Some(start) => Ok(Buffer { start, layout, len }),
            None => handle_alloc_error(layout),
        }
    }

    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: allocated with at least `len` bytes and initialised to zero.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `bytes`, and borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `new`.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// Zeroed buffers for `tensors`.
pub fn buffers(tensors: &[Tensor]) -> Result<Vec<Buffer>, Failure> {
    tensors.iter().map(|tensor| Buffer::new(tensor.byte_size, tensor.tensor.element.size())).collect()
}

/// Which file belongs to which of the `tensors`: named ones first, the others in the model's order. `role` is `input`
/// or `output`.
pub fn assign<'a>(tensors: &[Tensor], files: &'a [TensorFile], role: &str) -> Result<Vec<Option<&'a str>>, Failure> {
    let mut assigned: Vec<Option<&str>> = tensors.iter().map(|_| None).collect();
    let mut unnamed = Vec::new();
    for file in files {
        let (name, path) = match file.split(tensors) {
            Ok(parts) => parts,
            Err(name) => return Err(unknown_name(tensors, name, role)),
        };
        let Some(name) = name else {
            unnamed.push(path);
            continue;
        };
        if assigned[name].replace(path).is_some() {
            return Err(Failure::usage(format!("the {role} \"{}\" is given twice", tensors[name].name)));
        }
    }
    let mut free = assigned.iter_mut().filter(|slot| slot.is_none());
    for path in unnamed {
        match free.next() {
            Some(slot) => *slot = Some(path),
            None => {
                let count = tensors.len();
                return Err(Failure::usage(format!("{path} is one {role} too many: the model has {count}")));
            }
        }
    }
    Ok(assigned)
}

fn unknown_name(tensors: &[Tensor], name: &str, role: &str) -> Failure {
    let names: Vec<String> = tensors.iter().map(|tensor| format!("\"{}\"", tensor.name)).collect();
    Failure::usage(format!("the model has no {role} \"{name}\"; it has {}", names.join(", ")))
}

/// Fills `buffer` from a `.npy` file of exactly the type and shape of `tensor`.
pub fn load(tensor: &Tensor, path: &str, buffer: &mut Buffer) -> Result<(), Failure> {
    // The longest prefix (12 bytes), and one byte more than fits to notice a file that is too long.
    let bytes = io::read(path, 12 + npy::MAX_HEADER + tensor.byte_size + 1)?;
    let header = npy::Header::parse(&bytes).map_err(|error| Failure::io(format!("{path} {error}")))?;
    if header.tensor != tensor.tensor {
        let message =
            format!("{path} holds {}, the model's input \"{}\" takes {}", header.tensor, tensor.name, tensor.tensor);
        return Err(Failure::io(message));
    }
    let data = bytes.get(header.data_offset..).unwrap_or_default();
    if data.len() != tensor.byte_size {
        let relation = if data.len() < tensor.byte_size { "fewer" } else { "more" };
        let message =
            format!("{path} has {relation} bytes of data than the {} of its {}", tensor.byte_size, tensor.tensor);
        return Err(Failure::io(message));
    }
    buffer.bytes_mut().copy_from_slice(data);
    Ok(())
}

/// Writes `buffer` as a `.npy` file.
pub fn store(tensor: &Tensor, path: &str, buffer: &Buffer) -> Result<(), Failure> {
    io::write(path, &[&npy::header(&tensor.tensor), buffer.bytes()])
}

/// Fills `buffer` with numbers that depend on nothing but `seed`: floats in [-1, 1), `i8`, `u8` and `bool` over their
/// whole range, wider integers in 0..128, which are as often indices as numbers.
pub fn randomize(element: ElementType, seed: u64, buffer: &mut Buffer) {
    let mut state = seed;
    for bytes in buffer.bytes_mut().chunks_exact_mut(element.size()) {
        let random = split_mix_64(&mut state);
        match element {
            ElementType::F32 => bytes.copy_from_slice(&unit_float(random).to_le_bytes()),
            // A float with a short mantissa: sign and exponent of [-1, 1), mantissa from the upper bits.
            ElementType::BF16 => bytes.copy_from_slice(&unit_float(random).to_le_bytes()[2..]),
            // Any sign and mantissa with an exponent below that of 1.0 (15).
            ElementType::F16 => {
                let exponent = (random >> 32) % 15;
                let bits = (random as u16 & 0x83ff) | (exponent as u16) << 10;
                bytes.copy_from_slice(&bits.to_le_bytes());
            }
            ElementType::I64 | ElementType::I32 | ElementType::I16 => {
                bytes.fill(0);
                bytes[0] = random as u8 & 0x7f;
            }
            ElementType::I8 | ElementType::U8 => bytes[0] = random as u8,
            ElementType::Bool => bytes[0] = random as u8 & 1,
        }
    }
}

/// [-1, 1) from the upper 24 bits.
fn unit_float(random: u64) -> f32 {
    (random >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
fn split_mix_64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Inputs for a benchmark: from files where given, else [`randomize`]d.
pub fn fill_inputs(tensors: &[Tensor], files: &[TensorFile]) -> Result<Vec<Buffer>, Failure> {
    let paths = assign(tensors, files, "input")?;
    let mut filled = buffers(tensors)?;
    for (index, ((tensor, buffer), path)) in tensors.iter().zip(&mut filled).zip(paths).enumerate() {
        match path {
            Some(path) => load(tensor, path, buffer)?,
            None => randomize(tensor.tensor.element, index as u64, buffer),
        }
    }
    Ok(filled)
}

/// Inputs for a run: all of them from files.
pub fn load_inputs(tensors: &[Tensor], files: &[TensorFile]) -> Result<Vec<Buffer>, Failure> {
    let paths = assign(tensors, files, "input")?;
    let missing: Vec<String> = tensors
        .iter()
        .zip(&paths)
        .filter(|(_, path)| path.is_none())
        .map(|(tensor, _)| format!("\"{}\" ({})", tensor.name, tensor.tensor))
        .collect();
    if !missing.is_empty() {
        return Err(Failure::usage(format!("no --input for {}", missing.join(", "))));
    }
    let mut filled = buffers(tensors)?;
    for ((tensor, buffer), path) in tensors.iter().zip(&mut filled).zip(paths) {
        load(tensor, path.unwrap_or_default(), buffer)?;
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(element: ElementType) -> Vec<u8> {
        let mut buffer = Buffer::new(element.size() * 4096, element.size()).unwrap();
        randomize(element, 1, &mut buffer);
        buffer.bytes().to_vec()
    }

    #[test]
    fn random_floats_are_finite_and_at_most_one() {
        let f32s = random(ElementType::F32);
        assert!(f32s.chunks(4).all(|x| (-1.0..1.0).contains(&f32::from_le_bytes(x.try_into().unwrap()))));
        let bf16s = random(ElementType::BF16);
        assert!(bf16s.chunks(2).all(|x| (-1.0..=1.0).contains(&f32::from_le_bytes([0, 0, x[0], x[1]]))));
        let f16s = random(ElementType::F16);
        assert!(f16s.chunks(2).all(|x| u16::from_le_bytes([x[0], x[1]]) & 0x7c00 < 15 << 10));
    }

    #[test]
    fn random_integers_are_in_their_range() {
        assert!(random(ElementType::Bool).iter().all(|x| *x < 2));
        assert!(random(ElementType::I64).chunks(8).all(|x| i64::from_le_bytes(x.try_into().unwrap()) < 128));
        let bytes = random(ElementType::U8);
        assert!((0..=255).all(|value| bytes.contains(&value)));
    }

    #[test]
    fn random_numbers_repeat() {
        assert_eq!(random(ElementType::F32), random(ElementType::F32));
    }
}
