//! Rows of a source side by side, as more channels: for windows of few channels that move by several rows.
//!
//! Seven rows of seven pixels with three channels are seven runs of 21 bytes, and a product in tile registers takes 64 bytes at
//! once, however many are there. Where the window moves by `s` rows, `s` rows can be one:
//!
//! ```text
//! source        row 0: a0 a1 a2 ..         merged rows    row 0: a0 b0 a1 b1 a2 b2 ..        s * ic channels
//!               row 1: b0 b1 b2 ..                        row 1: c0 d0 c1 d1 ..
//!               row 2: c0 ..
//! window        kh rows from s * y - pad   the same       ceil((kh + shift) / s) rows from y - ceil(pad / s)
//! ```
//!
//! `shift = s * ceil(pad / s) - pad` rows in front of the window, and what is left behind it, have weights of zero, so the sums are the same.
//! Such a source comes channel by channel and is copied anyway: the copy puts rows where they are wanted.

use crate::ir::op::ConvAttrs;
use crate::ir::{ElemType, Node, Shape, Tensor};

use super::Lowering;
use super::place::window_halo;
use super::view::{Halo, View, channels_last};

/// Channels of a merged row, at most: more are not copied by vectors.
const MOST_CHANNELS: usize = 8;

/// A convolution of merged rows.
pub struct Merged {
    pub src: View,
    pub attrs: ConvAttrs,
    /// `[oc, s * ic, rows of the window, kw]`, i8.
    pub weights: Tensor,
}

/// How rows are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rows {
    /// Rows that become one.
    count: usize,
    /// Rows without weights in front of the window.
    shift: usize,
    /// Merged rows of padding in front, and of the window.
    pad: usize,
    window: usize,
}

impl Rows {
    fn of(attrs: &ConvAttrs, kh: usize) -> Rows {
        let (count, pads) = (attrs.strides[0], attrs.pads_begin[0]);
        let pad = pads.div_ceil(count);
        let shift = pad * count - pads;
        Rows { count, shift, pad, window: (kh + shift).div_ceil(count) }
    }

    /// Index of the original weight `[o, c, y, x]` of dimensions `dims` for one of the merged ones, if there is one.
    fn weight(&self, dims: &[usize], merged: [usize; 4]) -> Option<usize> {
        let [o, channel, row, x] = merged;
        let (ic, kh, kw) = (dims[1], dims[2], dims[3]);
        let y = (row * self.count + channel / ic).checked_sub(self.shift).filter(|&y| y < kh)?;
        Some(((o * ic + channel % ic) * kh + y) * kw + x)
    }
}

impl Lowering<'_> {
    /// The convolution of merged rows, where the target multiplies tiles and the source has to be copied for its channels.
    pub fn merged_rows(&mut self, node: Node, attrs: &ConvAttrs, weights: &Tensor) -> Result<Option<Merged>, String> {
        let view = self.view(self.graph.operand(node, 0))?;
        if !self.has_tiles || view.rank() != 4 || !is_mergeable(&view, attrs, weights) {
            return Ok(None);
        }
        let rows = Rows::of(attrs, weights.shape()[2]);
        let Some(weights) = merged_weights(weights, rows) else { return Ok(None) };
        let oh = self.graph.ty(self.graph.result(node)).shape[2];
        let mut halo = window_halo(self.graph, node);
        let height = view.sizes[2] / rows.count;
        halo.before[2] = rows.pad;
        halo.after[2] = (oh + rows.window).saturating_sub(1 + rows.pad + height);
        let after = halo.after[2];
        let src = self.copied_rows(&view, rows.count, Some(halo).filter(|halo| !halo.is_empty()));
        let mut attrs = attrs.clone();
        (attrs.strides[0], attrs.pads_begin[0]) = (1, rows.pad);
        attrs.pads_end[0] = after;
        Ok(Some(Merged { src, attrs, weights }))
    }

    /// A copy of `[n, c, h, w]` as `[n, count * c, h / count, w]`, channels innermost.
    fn copied_rows(&mut self, view: &View, count: usize, halo: Option<Halo>) -> View {
        let &[n, c, h, w] = view.sizes.as_slice() else { panic!("internal error: rows of no image") };
        let merged = self.padded(view.elem, &[n, count * c, h / count, w], &channels_last(4), halo);
        let of = |view: &View, strides: Vec<i64>| View {
            sizes: vec![n, c, h / count, count, w],
            strides,
            halo: None,
            ..view.clone()
        };
        let (from, to) = (&view.strides, &merged.strides);
        let from = of(view, vec![from[0], from[1], count as i64 * from[2], from[2], from[3]]);
        let to = of(&merged, vec![to[0], to[1], to[2], c as i64 * to[1], to[3]]);
        self.copy(&from, &to);
        merged
    }
}

fn is_mergeable(view: &View, attrs: &ConvAttrs, weights: &Tensor) -> bool {
    let (count, ic) = (attrs.strides[0], view.sizes[1]);
    let bytes = view.elem == ElemType::U8 && weights.elem() == ElemType::I8;
    let planes = ic > 1 && view.strides[1] != 1 && view.strides[3] == 1;
    let dense = attrs.groups == 1 && attrs.dilations.iter().all(|&dilation| dilation == 1);
    let few = count > 1 && count * ic <= MOST_CHANNELS && weights.shape()[2] > 1;
    bytes && planes && dense && few && view.sizes[2].is_multiple_of(count)
}

/// `[oc, ic, kh, kw]` as weights of merged rows.
fn merged_weights(weights: &Tensor, rows: Rows) -> Option<Tensor> {
    let dims = weights.shape().dims();
    let merged = [dims[0], rows.count * dims[1], rows.window, dims[3]];
    let values = weights.to_i64()?;
    let value = |index: usize| -> i8 {
        let (x, index) = (index % merged[3], index / merged[3]);
        let (row, index) = (index % merged[2], index / merged[2]);
        let at = [index / merged[1], index % merged[1], row, x];
        rows.weight(dims, at).map_or(0, |weight| values[weight] as i8)
    };
    let data = (0..merged.iter().product()).map(value).collect();
    Some(Tensor::i8(Shape::new(merged.to_vec())?, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attrs(stride: usize, pad: usize) -> ConvAttrs {
        ConvAttrs {
            strides: vec![stride, stride],
            dilations: vec![1, 1],
            pads_begin: vec![pad, pad],
            pads_end: vec![pad, pad],
            groups: 1,
            pad_value: 0,
        }
    }

    #[test]
    fn windows_begin_at_a_merged_row() {
        let rows = |stride, pad, kh| {
            let rows = Rows::of(&attrs(stride, pad), kh);
            (rows.shift, rows.pad, rows.window)
        };
        assert_eq!(rows(2, 3, 7), (1, 2, 4));
        assert_eq!(rows(2, 1, 3), (1, 1, 2));
        assert_eq!(rows(2, 0, 3), (0, 0, 2));
        assert_eq!(rows(4, 2, 11), (2, 1, 4));
    }

    /// Both windows over one column of numbers: sums are those of the convolution that is not merged.
    #[test]
    fn sums_are_the_same() {
        let height = 16;
        for (stride, pad, kh) in [(2, 3, 7), (2, 1, 3), (2, 0, 4), (4, 2, 5), (2, 2, 2)] {
            let weights = Tensor::i8(Shape::new(vec![1, 1, kh, 1]).unwrap(), (1..=kh as i8).collect());
            let rows = Rows::of(&attrs(stride, pad), kh);
            let merged = merged_weights(&weights, rows).unwrap().to_i64().unwrap();
            let source = |y: i64| if (0..height).contains(&y) { y * y + 1 } else { 9 };
            for y in 0..(height as usize + 2 * pad - kh) / stride + 1 {
                let first = (y * stride) as i64 - pad as i64;
                let expected: i64 = (0..kh as i64).map(|k| (k + 1) * source(first + k)).sum();
                let begin = ((y as i64) - rows.pad as i64) * stride as i64;
                let of = |k: usize| {
                    let (row, part) = (k / stride, k % stride);
                    merged[part * rows.window + row] * source(begin + k as i64)
                };
                assert_eq!((0..rows.window * stride).map(of).sum::<i64>(), expected, "{stride} {pad} {kh} {y}");
            }
        }
    }
}
