//! Discrete Fourier transforms, as products with constant matrices.
//!
//! A complex number is two floats, the last dimension of its tensor. Along one axis a transform is linear: the floats of the axis,
//! `n` or `2 * n` of them, times a matrix of cosines and sines. That is `O(n * n)` where an algorithm of butterflies is
//! `O(n * log n)`, but for the sizes of networks a product is fast. Transforms along several axes follow each other, the real
//! end of a real transform outermost. The axis is cut or filled up with zeros to the size of the signal, which is left to the
//! matrix.

use std::f64::consts::TAU;

use crate::ir::op::BinaryOp;
use crate::ir::{ElemType, Op, Value};

use super::super::context::{Context, Fallible, Fault, axis};
use super::movement::part;

/// Shares are multiples of the reciprocal of this.
const ROUNDED: f64 = (1u64 << 44) as f64;

/// Elements of the largest matrix: 64 MiB.
const MOST_ELEMENTS: usize = 1 << 24;

pub fn dft(context: &mut Context) -> Fallible<Vec<Value>> {
    complex(context, false)
}

pub fn idft(context: &mut Context) -> Fallible<Vec<Value>> {
    complex(context, true)
}

/// Complex to complex: `[.., 2]` to `[.., 2]`.
fn complex(context: &mut Context, inverse: bool) -> Fallible<Vec<Value>> {
    let (mut value, elem) = source(context)?;
    let rank = complex_rank(context, value)?;
    for Along { axis, size } in axes(context, rank)? {
        let size = size.unwrap_or(context.dims(value)[axis]);
        value = transform(context, value, axis, Kind::Complex { inverse }, size)?;
    }
    Ok(vec![context.convert(value, elem)?])
}

/// Real to half of the complex result: `[..]` to `[.., 2]`.
pub fn rdft(context: &mut Context) -> Fallible<Vec<Value>> {
    let (mut value, elem) = source(context)?;
    let rank = context.rank(value);
    for (index, Along { axis, size }) in axes(context, rank)?.into_iter().rev().enumerate() {
        let size = size.unwrap_or(context.dims(value)[axis]);
        let kind = if index == 0 { Kind::FromReal } else { Kind::Complex { inverse: false } };
        value = transform(context, value, axis, kind, size)?;
    }
    Ok(vec![context.convert(value, elem)?])
}

/// Half of a complex tensor to the real one it is the transform of: `[.., 2]` to `[..]`.
pub fn irdft(context: &mut Context) -> Fallible<Vec<Value>> {
    let (mut value, elem) = source(context)?;
    let rank = complex_rank(context, value)?;
    let axes = axes(context, rank)?;
    for (index, &Along { axis, size }) in axes.iter().enumerate() {
        let is_last = index + 1 == axes.len();
        let had = context.dims(value)[axis];
        let size = size.unwrap_or(if is_last { 2 * had.saturating_sub(1) } else { had });
        let kind = if is_last { Kind::ToReal } else { Kind::Complex { inverse: true } };
        value = transform(context, value, axis, kind, size)?;
    }
    Ok(vec![context.convert(value, elem)?])
}

/// Operands: signal `[batch, n]` or `[n]`, window, size and step of frames. Result `[batch, frames, bins, 2]`, or bins first.
pub fn stft(context: &mut Context) -> Fallible<Vec<Value>> {
    let (signal, elem) = source(context)?;
    let window = context.operand(1)?;
    let [size, step] = [(2, "the size of a frame"), (3, "the step of frames")].map(|(index, what)| {
        let size = context.int(index, what)?;
        let size = usize::try_from(size).ok().filter(|&size| size > 0);
        size.ok_or_else(|| Fault::new(format!("{what} is not positive")))
    });
    let (size, step) = (size?, step?);
    let (dims, window_dims) = (context.dims(signal), context.dims(window));
    let (Some(&length), &[window_size]) = (dims.last(), window_dims.as_slice()) else {
        return Err(Fault::new(format!("a signal {dims:?} with a window {window_dims:?}")));
    };
    if dims.len() > 2 || window_size > size || size > length {
        return Err(Fault::new(format!("frames of {size} with a window {window_dims:?} in a signal {dims:?}")));
    }
    let frames = (length - size) / step + 1;
    context.afford(frames * size)?;
    // A window that is shorter than a frame stands in its middle.
    let skipped = (size - window_size) / 2;
    let at = (0..frames).flat_map(|frame| (0..window_size).map(move |i| (frame * step + skipped + i) as f64));
    let at: Vec<f64> = at.collect();
    let at = context.numbers(ElemType::I32, &[frames, window_size], &at)?;
    let values = context.emit(Op::Gather { axis: dims.len() - 1, batch_dims: 0 }, &[signal, at])?;
    let window = context.convert(window, ElemType::F32)?;
    let values = context.binary(BinaryOp::Mul, values, window)?;
    let matrix = Matrix { rows: window_size, skipped, size, kind: Kind::FromReal };
    let spectrum = multiplied(context, values, &matrix)?;
    let mut shape: Vec<usize> = dims[..dims.len() - 1].to_vec();
    shape.extend([frames, size / 2 + 1, 2]);
    let mut spectrum = context.reshape(spectrum, &shape)?;
    if context.flag("transpose_frames", false)? {
        let mut perm: Vec<usize> = (0..shape.len()).collect();
        perm.swap(shape.len() - 3, shape.len() - 2);
        spectrum = context.transpose(spectrum, &perm)?;
    }
    Ok(vec![context.convert(spectrum, elem)?])
}

/// Operand 0 in f32, and its own type.
fn source(context: &mut Context) -> Fallible<(Value, ElemType)> {
    let src = context.operand(0)?;
    let elem = context.elem(src);
    Ok((context.convert(src, ElemType::F32)?, elem))
}

/// Dimensions in front of the two floats of a complex number.
fn complex_rank(context: &Context, value: Value) -> Fallible<usize> {
    match context.dims(value).as_slice() {
        [dims @ .., 2] => Ok(dims.len()),
        dims => Err(Fault::new(format!("{dims:?} does not end in the 2 parts of a complex number"))),
    }
}

/// An axis, and the size of the signal along it, if one is given.
#[derive(Clone, Copy)]
struct Along {
    axis: usize,
    size: Option<usize>,
}

/// Operand 1, with operand 2 if there is one.
fn axes(context: &mut Context, rank: usize) -> Fallible<Vec<Along>> {
    let axes = context.ints(1, "the axes")?;
    let sizes = if context.has(2) { context.ints(2, "the signal size")? } else { vec![-1; axes.len()] };
    if sizes.len() != axes.len() || axes.is_empty() {
        return Err(Fault::new(format!("axes {axes:?} with signal sizes {sizes:?}")));
    }
    let along = |(&number, &size): (&i64, &i64)| {
        let size = match size {
            -1 => None,
            size => Some(usize::try_from(size).map_err(|_| Fault::new(format!("a signal size {size}")))?),
        };
        Ok(Along { axis: axis(number, rank)?, size })
    };
    axes.iter().zip(&sizes).map(along).collect()
}

/// A transform of `size` elements along `axis`.
fn transform(context: &mut Context, src: Value, axis: usize, kind: Kind, size: usize) -> Fallible<Value> {
    let from = kind.floats_in();
    let rows = kind.elements_in(size).min(context.dims(src)[axis]);
    let cut = part(context, src, axis, 0, rows)?;
    let rank = context.rank(cut) - usize::from(from == 2);
    // the axis last, but for the two floats
    let mut perm: Vec<usize> = (0..rank).filter(|&dim| dim != axis).chain([axis]).collect();
    perm.extend((from == 2).then_some(rank));
    let turned = context.transpose(cut, &perm)?;
    let others: Vec<usize> = context.dims(turned)[..rank - 1].to_vec();
    let flat: Vec<usize> = others.iter().copied().chain([rows * from]).collect();
    let turned = context.reshape(turned, &flat)?;
    let product = multiplied(context, turned, &Matrix { rows, skipped: 0, size, kind })?;
    let is_complex = kind.floats_out() == 2;
    let shape: Vec<usize> =
        others.into_iter().chain([kind.elements_out(size)]).chain(is_complex.then_some(2)).collect();
    let product = context.reshape(product, &shape)?;
    let mut back: Vec<usize> = (0..rank - 1).collect();
    back.insert(axis, rank - 1);
    back.extend(is_complex.then_some(rank));
    context.transpose(product, &back)
}

/// `[.., k]` times a matrix of `k` rows.
fn multiplied(context: &mut Context, src: Value, matrix: &Matrix) -> Fallible<Value> {
    let (kind, rows) = (matrix.kind, matrix.rows * matrix.kind.floats_in());
    let columns = kind.elements_out(matrix.size).saturating_mul(kind.floats_out());
    if rows == 0 || columns == 0 || rows.saturating_mul(columns) > MOST_ELEMENTS {
        return Err(Fault::unsupported(format!(
            "a Fourier transform from {} to {} elements is not supported: its matrix has more than {MOST_ELEMENTS} elements",
            matrix.rows,
            kind.elements_out(matrix.size)
        )));
    }
    context.afford(rows * columns)?;
    let values: Vec<f64> = (0..rows).flat_map(|row| (0..columns).map(move |column| matrix.at(row, column))).collect();
    let matrix = context.numbers(ElemType::F32, &[rows, columns], &values)?;
    context.emit(Op::MatMul { transpose_a: false, transpose_b: false }, &[src, matrix])
}

#[derive(Clone, Copy)]
enum Kind {
    Complex { inverse: bool },
    FromReal,
    ToReal,
}

impl Kind {
    fn floats_in(self) -> usize {
        if matches!(self, Kind::FromReal) { 1 } else { 2 }
    }

    fn floats_out(self) -> usize {
        if matches!(self, Kind::ToReal) { 1 } else { 2 }
    }

    /// Elements that a signal of `size` is transformed from.
    fn elements_in(self, size: usize) -> usize {
        if matches!(self, Kind::ToReal) { size / 2 + 1 } else { size }
    }

    fn elements_out(self, size: usize) -> usize {
        if matches!(self, Kind::FromReal) { size / 2 + 1 } else { size }
    }
}

/// What a transform of `size` elements multiplies `rows` elements by, from the one numbered `skipped`.
#[derive(Clone, Copy)]
struct Matrix {
    rows: usize,
    skipped: usize,
    size: usize,
    kind: Kind,
}

impl Matrix {
    /// The share of float `row` of the source in float `column` of the result.
    fn at(self, row: usize, column: usize) -> f64 {
        let (from, row_part) = (row / self.kind.floats_in() + self.skipped, row % self.kind.floats_in());
        let (to, column_part) = (column / self.kind.floats_out(), column % self.kind.floats_out());
        let turns = (from as u128 * to as u128 % self.size as u128) as f64 / self.size as f64;
        let (sin, cos) = (TAU * turns).sin_cos();
        let (sin, scale) = match self.kind {
            Kind::Complex { inverse: false } | Kind::FromReal => (-sin, 1.0),
            Kind::Complex { inverse: true } => (sin, 1.0 / self.size as f64),
            // every element but the first, and the last of an even size, stands for its mirror image too
            Kind::ToReal if from == 0 || 2 * from == self.size => (sin, 1.0 / self.size as f64),
            Kind::ToReal => (sin, 2.0 / self.size as f64),
        };
        // (a + bi) * (cos + sin i)
        let share = match (row_part, column_part) {
            (0, 0) | (1, 1) => cos,
            (1, 0) => -sin,
            _ => sin,
        };
        // the same f32 whatever the last bits of sines are on this machine, and quarter turns exactly
        (scale * share * ROUNDED).round() / ROUNDED + 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(src: &[f64], matrix: Matrix) -> Vec<f64> {
        let columns = matrix.kind.elements_out(matrix.size) * matrix.kind.floats_out();
        let sum = |column| src.iter().enumerate().map(|(row, value)| value * matrix.at(row, column)).sum::<f64>();
        (0..columns).map(|column| (sum(column) * 1e9).round() / 1e9).collect()
    }

    #[test]
    fn a_transform_of_four_numbers() {
        let matrix = Matrix { rows: 4, skipped: 0, size: 4, kind: Kind::FromReal };
        assert_eq!(product(&[1.0, 2.0, 3.0, 5.0], matrix), [11.0, 0.0, -2.0, 3.0, -3.0, 0.0]);
        // what stands one place later is turned back by a quarter at frequency 1
        let later = Matrix { rows: 3, skipped: 1, ..matrix };
        assert_eq!(product(&[1.0, 0.0, 0.0], later), [1.0, 0.0, 0.0, -1.0, -1.0, 0.0]);
    }

    #[test]
    fn back_again() {
        for size in [4, 5] {
            let real: Vec<f64> = (0..size).map(|i| (i * i) as f64 - 3.0).collect();
            let matrix = |rows, kind| Matrix { rows, skipped: 0, size, kind };
            let half = product(&real, matrix(size, Kind::FromReal));
            assert_eq!(product(&half, matrix(size / 2 + 1, Kind::ToReal)), real);
            let complex: Vec<f64> = (0..2 * size).map(|i| (i * i) as f64 - 3.0).collect();
            let turned = product(&complex, matrix(size, Kind::Complex { inverse: false }));
            assert_ne!(turned, complex);
            assert_eq!(product(&turned, matrix(size, Kind::Complex { inverse: true })), complex);
        }
    }
}
