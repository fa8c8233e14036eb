//! Lifetimes of buffers to offsets in the workspace.
//!
//! Variables come first, one after the other behind a header: they live for ever. Any other
//! buffer lives from the first step that touches it to the last. Buffers are placed from the largest to the smallest, each
//! at the lowest offset where it overlaps no placed buffer that lives at the same time. [`check`] tests the result, not the
//! algorithm.

use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap};

use super::place::{StorageData, StorageKind};
use super::program::{self, ALIGN, Place, READ_SLACK, STATE_HEADER, Step};
use super::view::Storage;
use super::{Operand, PendingStep};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Buffer {
    storage: Storage,
    bytes: usize,
    first: usize,
    last: usize,
    offset: usize,
}

impl Buffer {
    fn lives_with(&self, other: &Buffer) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn overlaps(&self, other: &Buffer) -> bool {
        self.offset < other.offset + other.bytes && other.offset < self.offset + self.bytes
    }

    fn published(&self) -> program::Buffer {
        let Buffer { storage, bytes, first, last, offset } = *self;
        program::Buffer { number: storage.index(), bytes, offset, first, last }
    }
}

/// The workspace, and the steps with their places in it.
#[derive(Debug)]
pub struct Assignment {
    pub steps: Vec<Step>,
    pub buffers: Vec<program::Buffer>,
    /// Bytes of the variables and their header; 0 without variables.
    pub state_bytes: usize,
    pub workspace_bytes: usize,
}

/// Gives every buffer its place.
///
/// # Errors
/// An internal inconsistency: an operand outside its storage, or two live buffers on the same bytes.
pub fn assign(storages: &PrimaryMap<Storage, StorageData>, pending: Vec<PendingStep>) -> Result<Assignment, String> {
    let mut buffers = state_buffers(storages);
    let state_bytes = buffers.last().map_or(0, |buffer| buffer.offset + buffer.bytes);
    let mut others = lifetimes(storages, &pending);
    others.sort_by_key(|buffer| (std::cmp::Reverse(buffer.bytes), buffer.first, buffer.storage));
    for buffer in others {
        let offset = lowest_offset(state_bytes, &buffers, &buffer);
        buffers.push(Buffer { offset, ..buffer });
    }
    check(&buffers)?;
    let mut offsets: SecondaryMap<Storage, usize> = SecondaryMap::new();
    for buffer in &buffers {
        offsets[buffer.storage] = buffer.offset;
    }
    let end = buffers.iter().map(|buffer| buffer.offset + buffer.bytes).max().unwrap_or(0);
    let place = |operand: &Operand| place(storages, &offsets, *operand);
    let step = |pending: PendingStep| -> Result<Step, String> {
        let operands = pending.operands.iter().map(place).collect::<Result<_, _>>()?;
        let PendingStep { kernel, after_reset, label, .. } = pending;
        Ok(Step { kernel, operands, parallel: false, after_reset, label })
    };
    let steps = pending.into_iter().map(step).collect::<Result<_, _>>()?;
    let workspace_bytes = (end + READ_SLACK).next_multiple_of(ALIGN);
    let buffers = buffers.iter().map(Buffer::published).collect();
    Ok(Assignment { steps, buffers, state_bytes, workspace_bytes })
}

/// Variables with their places, whether or not a step touches them.
fn state_buffers(storages: &PrimaryMap<Storage, StorageData>) -> Vec<Buffer> {
    let mut offset = STATE_HEADER;
    let mut buffers = Vec::new();
    for (storage, data) in storages.iter().filter(|(_, data)| data.kind == StorageKind::State) {
        let bytes = data.bytes.next_multiple_of(ALIGN);
        buffers.push(Buffer { storage, bytes, first: 0, last: usize::MAX, offset });
        offset += bytes;
    }
    buffers
}

/// Workspace buffers that some step touches.
fn lifetimes(storages: &PrimaryMap<Storage, StorageData>, pending: &[PendingStep]) -> Vec<Buffer> {
    let mut ranges: SecondaryMap<Storage, Option<(usize, usize)>> = SecondaryMap::new();
    for (step, pending) in pending.iter().enumerate() {
        for operand in &pending.operands {
            let range = &mut ranges[operand.storage];
            *range = Some((range.map_or(step, |(first, _)| first), step));
        }
    }
    let buffer = |(storage, data): (Storage, &StorageData)| {
        let (first, last) = ranges[storage].filter(|_| data.kind == StorageKind::Workspace)?;
        Some(Buffer { storage, bytes: data.bytes.next_multiple_of(ALIGN), first, last, offset: 0 })
    };
    storages.iter().filter_map(buffer).collect()
}

/// The lowest offset, `least` or above, where the buffer meets none that lives with it.
fn lowest_offset(least: usize, placed: &[Buffer], buffer: &Buffer) -> usize {
    let mut taken: Vec<(usize, usize)> = placed
        .iter()
        .filter(|other| other.lives_with(buffer))
        .map(|other| (other.offset, other.offset + other.bytes))
        .collect();
    taken.sort_unstable();
    let mut offset = least;
    for (begin, end) in taken {
        if offset + buffer.bytes <= begin {
            break;
        }
        offset = offset.max(end);
    }
    offset
}

/// No two buffers that live at the same time share a byte.
fn check(buffers: &[Buffer]) -> Result<(), String> {
    for (index, a) in buffers.iter().enumerate() {
        for b in &buffers[..index] {
            if a.lives_with(b) && a.overlaps(b) {
                return Err(format!(
                    "{} and {} live in steps {}..={} on the same bytes",
                    a.storage, b.storage, a.first, a.last
                ));
            }
        }
    }
    Ok(())
}

fn place(
    storages: &PrimaryMap<Storage, StorageData>,
    offsets: &SecondaryMap<Storage, usize>,
    operand: Operand,
) -> Result<Place, String> {
    let data = &storages[operand.storage];
    let offset = usize::try_from(operand.offset).ok().filter(|&offset| offset <= data.bytes);
    let offset = offset.ok_or_else(|| format!("offset {} of {} lies outside it", operand.offset, operand.storage))?;
    Ok(match data.kind {
        StorageKind::Workspace | StorageKind::State => {
            Place::Workspace { buffer: operand.storage.index(), offset: offsets[operand.storage] + offset }
        }
        StorageKind::Input(index) => Place::Input { index, offset },
        StorageKind::Output(index) => Place::Output { index, offset },
        StorageKind::Const(id) => Place::Const { id, offset },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(index: usize, bytes: usize, first: usize, last: usize) -> Buffer {
        Buffer { storage: Storage::new(index), bytes, first, last, offset: 0 }
    }

    #[test]
    fn a_gap_between_live_buffers_is_used() {
        let placed = [
            Buffer { offset: 0, ..buffer(0, 64, 0, 9) },
            Buffer { offset: 192, ..buffer(1, 64, 0, 9) },
            Buffer { offset: 64, ..buffer(2, 128, 0, 1) },
        ];
        assert_eq!(lowest_offset(0, &placed, &buffer(3, 128, 2, 3)), 64);
        assert_eq!(lowest_offset(0, &placed, &buffer(3, 192, 2, 3)), 256);
    }

    #[test]
    fn the_checker_sees_an_overlap() {
        let apart = [buffer(0, 64, 0, 1), buffer(1, 64, 2, 3)];
        assert_eq!(check(&apart), Ok(()));
        let together = [buffer(0, 64, 0, 2), buffer(1, 64, 2, 3)];
        assert!(check(&together).is_err());
    }
}
