//! Convolutions that compute the channels of a class, as [`Rows`] see them: which quads of their weights are unsafe.

use super::rows::Rows;
use super::{Order, channels};
use crate::ir::{ElemType, Graph, Node, Op, Tensor};
use crate::lower::pack::{is_depthwise_safe, is_plain_safe};
use crate::lower::winograd;
use crate::simd::ir::Width;

/// Instructions by which a vector of an unsafe depthwise block is longer, in those of an unsafe quad: of a window of 3x3, three
/// groups of taps.
const UNSAFE_TAPS: u64 = 3;

/// Rows of at most so many weights seldom have quads that fit together, and take blocks of several vectors.
const SHORT_ROW: usize = 112;

/// Vectors of a block where no quads are added to each other.
fn usual_vectors(width: Width) -> usize {
    if width == Width::W512 { 4 } else { 2 }
}

/// What the convolutions `nodes` wish of the order of `channels` channels they compute. `columns` gives the order of a node's
/// input channels.
pub fn rows_of<'a>(
    graph: &Graph,
    width: Width,
    nodes: &[Node],
    count: usize,
    columns: impl Fn(Node) -> Option<&'a Order>,
) -> Rows {
    let mut rows = Rows::new(width.lanes32(), count);
    let mut most_work = 0;
    for &node in nodes {
        let (Op::Convolution(attrs), Some(weights)) = (graph.op(node), graph.const_value(graph.operand(node, 1)))
        else {
            continue;
        };
        let dims = weights.shape().dims();
        let plane = &graph.ty(graph.result(node)).shape.dims()[2..];
        let bytes = weights.elem() == ElemType::I8 && graph.ty(graph.operand(node, 0)).elem == ElemType::U8;
        if !bytes || dims[0] != count || dims.contains(&0) || winograd::is_preferred(width, attrs, dims, plane) {
            continue;
        }
        let pixels: u64 = plane.iter().map(|&size| size as u64).product();
        let taps: usize = dims[2..].iter().product();
        if attrs.groups == 1 {
            let row = dims[1] * taps;
            let work = pixels * row as u64;
            if work > most_work {
                most_work = work;
                rows.set_vectors(if row <= SHORT_ROW { usual_vectors(width) } else { 1 });
            }
            rows.add(&unsafe_quads(weights, columns(node)), pixels);
        } else if attrs.groups == channels(graph, graph.operand(node, 0)) {
            rows.add(&unsafe_taps(weights, taps), UNSAFE_TAPS * pixels);
        }
    }
    rows
}

/// By output channel. A quad is four neighbours in a row of the window, in which channels are contiguous.
fn unsafe_quads(weights: &Tensor, columns: Option<&Order>) -> Vec<Vec<bool>> {
    let dims = weights.shape().dims();
    let (ic, kw) = (dims[1], dims.last().copied().filter(|_| dims.len() > 2).unwrap_or(1));
    let taps: usize = dims[2..].iter().product();
    let values = weights.to_i64().unwrap_or_default();
    let row = |oc: usize| -> Vec<bool> {
        let weight = |tap: usize, position: usize| {
            let channel = columns.map_or(position, |order| order[position]);
            values[(oc * ic + channel) * taps + tap] as i32
        };
        let window_row = |first: usize| -> Vec<i32> {
            (first..first + kw)
                .flat_map(|tap| (0..ic).map(move |position| (tap, position)))
                .map(|(t, p)| weight(t, p))
                .collect()
        };
        let quads = (0..taps).step_by(kw).flat_map(|first| {
            let row = window_row(first);
            row.chunks(4)
                .map(|quad| !is_plain_safe(std::array::from_fn(|i| quad.get(i).copied().unwrap_or(0))))
                .collect::<Vec<_>>()
        });
        quads.collect()
    };
    (0..dims[0]).map(row).collect()
}

/// By channel, whether any group of its taps is unsafe.
fn unsafe_taps(weights: &Tensor, taps: usize) -> Vec<Vec<bool>> {
    let values: Vec<i32> = weights.to_i64().unwrap_or_default().into_iter().map(|weight| weight as i32).collect();
    values.chunks(taps).map(|taps| vec![!is_depthwise_safe(taps)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Shape;

    #[test]
    fn quads_follow_the_order_of_input_channels() {
        let shape = Shape::new([1, 8, 1, 1]).expect("small");
        let weights = Tensor::i8(shape, vec![100, 90, -100, 1, 1, 1, 1, 1]);
        assert_eq!(unsafe_quads(&weights, None), [[true, false]]);
        assert_eq!(unsafe_quads(&weights, Some(&vec![0, 2, 1, 3, 4, 5, 6, 7])), [[false, false]]);
        assert_eq!(unsafe_quads(&weights, Some(&vec![3, 4, 5, 6, 7, 2, 1, 0])), [[false, true]]);
    }

    #[test]
    fn quads_reach_over_taps_of_a_row_only() {
        // two input channels, 2x2 taps: a quad is both taps of a row
        let shape = Shape::new([1, 2, 2, 2]).expect("small");
        let weights = Tensor::i8(shape, vec![100, 1, 1, 1, 100, 1, 1, 1]);
        assert_eq!(unsafe_quads(&weights, None), [[true, false]]);
    }

    #[test]
    fn three_taps_of_a_column_share_their_room() {
        let shape = Shape::new([2, 1, 3, 3]).expect("small");
        let column = |taps: [i8; 3]| [taps[0], 0, 0, taps[1], 0, 0, taps[2], 0, 0];
        let weights = Tensor::i8(shape, [column([100, 90, 66]), column([100, 90, 67])].concat());
        assert_eq!(unsafe_taps(&weights, 9), [[false], [true]]);
    }
}
