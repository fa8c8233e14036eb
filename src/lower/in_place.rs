//! Sums in place: where a convolution's epilogue reads a tensor that nobody reads afterwards, element by element where it
//! writes its result, the result takes the tensor's memory. A residual stream then stays in one buffer, which is in the cache
//! when it is written because it has just been read.
//!
//! Decided on steps, when all are there: a buffer that is not used after a step, and one that is not used before it, of one
//! size and with one walk through them, become one.

use cranelift_entity::SecondaryMap;

use super::kernel::KernelSpec;
use super::place::StorageKind;
use super::pointwise::Epilogue;
use super::view::Storage;
use super::{Lowering, PendingStep};

/// The first and the last step that touch a storage.
type Uses = SecondaryMap<Storage, Option<(usize, usize)>>;

impl Lowering<'_> {
    /// Makes one buffer of each two that may be.
    pub fn sum_in_place(&mut self) {
        let mut uses = uses(&self.steps);
        for step in 0..self.steps.len() {
            let Some(load) = self.replaceable(step, &uses) else { continue };
            let mut spec = self.kernels[self.steps[step].kernel].clone();
            let Some(epilogue) = epilogue_mut(&mut spec) else { continue };
            epilogue.loads[load].aliased = true;
            let operands = &self.steps[step].operands;
            let kept = operands[operands.len() - 1 - epilogue.loads.len() + load].storage;
            let Some(dropped) = operands.last().map(|operand| operand.storage) else { continue };
            self.steps[step].kernel = self.kernel(spec);
            for operand in self.steps.iter_mut().flat_map(|step| &mut step.operands) {
                if operand.storage == dropped {
                    operand.storage = kept;
                }
            }
            let last = uses[dropped].take().map_or(step, |(_, last)| last);
            uses[kept] = uses[kept].map(|(first, _)| (first, last));
        }
    }

    /// The load of a step's epilogue whose memory its result can take.
    fn replaceable(&self, step: usize, uses: &Uses) -> Option<usize> {
        let pending = &self.steps[step];
        let epilogue = epilogue(&self.kernels[pending.kernel]).filter(|_| !pending.after_reset)?;
        let ([store], Some(dst)) = (&epilogue.stores[..], pending.operands.last()) else { return None };
        let in_workspace = |storage: Storage| self.storages[storage].kind == StorageKind::Workspace;
        if !in_workspace(dst.storage) || uses[dst.storage].is_none_or(|(first, _)| first != step) {
            return None;
        }
        let first_load = pending.operands.len() - 1 - epilogue.loads.len();
        (0..epilogue.loads.len()).find(|&index| {
            let (load, src) = (&epilogue.loads[index], pending.operands[first_load + index]);
            let same_walk = (load.elem, &load.strides, load.inner, src.offset)
                == (store.elem, &store.strides, store.inner, dst.offset);
            let same_size = self.storages[src.storage].bytes == self.storages[dst.storage].bytes;
            let over = uses[src.storage].is_some_and(|(_, last)| last == step);
            let once = pending.operands.iter().filter(|operand| operand.storage == src.storage).count() == 1;
            same_walk && same_size && over && once && in_workspace(src.storage)
        })
    }
}

fn uses(steps: &[PendingStep]) -> Uses {
    let mut uses = Uses::new();
    for (index, step) in steps.iter().enumerate() {
        for operand in &step.operands {
            let range = &mut uses[operand.storage];
            *range = Some((range.map_or(index, |(first, _)| first), index));
        }
    }
    uses
}

/// The epilogue of a kernel that evaluates it once for each element, whatever its order.
fn epilogue(spec: &KernelSpec) -> Option<&Epilogue> {
    match spec {
        KernelSpec::Conv(spec) => Some(&spec.epilogue),
        KernelSpec::TileConv(spec) => Some(&spec.epilogue),
        KernelSpec::Winograd(spec) => Some(&spec.epilogue),
        _ => None,
    }
}

fn epilogue_mut(spec: &mut KernelSpec) -> Option<&mut Epilogue> {
    match spec {
        KernelSpec::Conv(spec) => Some(&mut spec.epilogue),
        KernelSpec::TileConv(spec) => Some(&mut spec.epilogue),
        KernelSpec::Winograd(spec) => Some(&mut spec.epilogue),
        _ => None,
    }
}
