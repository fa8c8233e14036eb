//! Gather by constant indices that rise or fall evenly, as slices of images into windows and halves of rotations do: slices are
//! views, and their parameters and layouts are understood everywhere.

use crate::ir::op::SliceAttrs;
use crate::ir::{Node, Op, Value};
use crate::passes::rewrite::Rewriter;

/// More slices than this are no simpler than a gather.
const MOST_RUNS: usize = 8;

/// `gather(x)` by few runs of indices -> `reshape(concat(slice(x), ..))`. A single index stays: its row is copied at once.
pub fn gather_of_runs(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
    let graph = rewriter.graph();
    let Op::Gather { axis, batch_dims: 0 } = *graph.op(node) else { return false };
    let (src, shape) = (graph.operand(node, 0), graph.ty(graph.result(node)).shape.clone());
    let dims = graph.ty(src).shape.dims().to_vec();
    let indices = graph.const_value(graph.operand(node, 1)).and_then(|indices| indices.to_i64());
    let Some(runs) =
        indices.filter(|_| graph.const_value(src).is_none()).and_then(|indices| runs(&indices, dims[axis]))
    else {
        return false;
    };
    let mut parts: Vec<Value> = Vec::new();
    for Run { begin, stride, count } in runs {
        let (mut begins, mut lengths, mut strides) = (vec![0; dims.len()], dims.clone(), vec![1; dims.len()]);
        (begins[axis], lengths[axis], strides[axis]) = (begin, count, stride);
        let slice = Op::Slice(SliceAttrs { begin: begins, lengths, strides });
        let Some(part) = rewriter.insert(node, slice, &[src]) else { return false };
        parts.push(part);
    }
    let whole = match parts[..] {
        [part] => Some(part),
        _ => rewriter.insert(node, Op::Concat { axis }, &parts),
    };
    whole.is_some_and(|whole| rewriter.replace_op(node, Op::Reshape { shape }, &[whole]))
}

/// Indices at equal distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    begin: usize,
    stride: isize,
    count: usize,
}

/// Few runs of two and more indices each on average, all inside `size`.
fn runs(indices: &[i64], size: usize) -> Option<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    for &index in indices {
        let from_start = if index < 0 { index.checked_add_unsigned(size as u64)? } else { index };
        let index = usize::try_from(from_start).ok().filter(|&index| index < size)?;
        if let Some(run) = runs.last_mut() {
            let last = run.begin as isize + (run.count as isize - 1) * run.stride;
            let step = index as isize - last;
            if step != 0 && (run.count == 1 || step == run.stride) {
                (run.stride, run.count) = (step, run.count + 1);
                continue;
            }
        }
        if runs.len() == MOST_RUNS {
            return None;
        }
        runs.push(Run { begin: index, stride: 1, count: 1 });
    }
    (2 * runs.len() <= indices.len()).then_some(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_windows() {
        let run = |begin, stride, count| Run { begin, stride, count };
        assert_eq!(runs(&[0, 2, 4, 1, 3, 5], 6), Some(vec![run(0, 2, 3), run(1, 2, 3)]));
        assert_eq!(runs(&[-1, 1, 0, -2], 3), Some(vec![run(2, -1, 3), run(1, 1, 1)]));
    }

    #[test]
    fn other_indices_are_gathered() {
        assert_eq!(runs(&[1], 2), None);
        assert_eq!(runs(&[0, 3, 1, 5, 2], 6), None);
        assert_eq!(runs(&[0, 1, 2], 2), None);
        assert_eq!(runs(&[-3, 0], 2), None);
    }
}
