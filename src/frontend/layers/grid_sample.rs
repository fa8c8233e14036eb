//! GridSample: the source at places that a grid of coordinates names, composed of gathers of pixels.
//!
//! A place is between pixels; each axis by itself says which of them count (its *taps*), and how much. A result is the sum, over
//! the taps of both axes, of the pixel times both weights. What lies outside the source is another pixel of it, by the mode of
//! padding, or zero, which the weight says, so that every index is inside.

use crate::ir::op::{BinaryOp, UnaryOp};
use crate::ir::{ElemType, Op, Value};

use super::super::context::{Context, Fallible, Fault};
use super::movement::part;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Nearest,
    Bilinear,
    Bicubic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    Zeros,
    Border,
    Reflection,
}

/// Weights of four taps as polynomials of the fraction, cubes first: cubic convolution with a = -0.75.
const CUBIC: [[f64; 4]; 4] =
    [[-0.75, 1.5, -0.75, 0.0], [1.25, -2.25, 0.0, 1.0], [-1.25, 1.5, 0.75, 0.0], [0.75, -0.75, 0.0, 0.0]];

/// Operands: the source `[n, c, h, w]`, and x and y of every result in `[n, h', w', 2]`, from -1 to 1.
pub fn grid_sample(context: &mut Context) -> Fallible<Vec<Value>> {
    let (src, grid) = (context.operand(0)?, context.operand(1)?);
    let (dims, places) = (context.dims(src), context.dims(grid));
    let (&[n, c, h, w], &[_, oh, ow, 2]) = (dims.as_slice(), places.as_slice()) else {
        return Err(Fault::new(format!("a source {dims:?} with a grid {places:?}")));
    };
    let elem = context.elem(src);
    let modes = [("nearest", Mode::Nearest), ("bilinear", Mode::Bilinear), ("bicubic", Mode::Bicubic)];
    let paddings = [("zeros", Padding::Zeros), ("border", Padding::Border), ("reflection", Padding::Reflection)];
    let axis = Axis {
        mode: context.choice("mode", "bilinear", &modes)?,
        padding: context.choice("padding_mode", "zeros", &paddings)?,
        align_corners: context.flag("align_corners", false)?,
        size: w,
    };
    let grid = context.convert(grid, ElemType::F32)?;
    let grid = context.reshape(grid, &[n, oh * ow, 2])?;
    let (x, y) = (part(context, grid, 2, 0, 1)?, part(context, grid, 2, 1, 1)?);
    let columns = axis.taps(context, x)?;
    let rows = Axis { size: h, ..axis }.taps(context, y)?;
    let pixels = context.convert(src, ElemType::F32)?;
    let pixels = context.transpose(pixels, &[0, 2, 3, 1])?;
    let pixels = context.reshape(pixels, &[n, h * w, c])?;
    let sampled = sum(context, pixels, &rows, &columns, w)?;
    let sampled = context.reshape(sampled, &[n, oh, ow, c])?;
    let sampled = context.transpose(sampled, &[0, 3, 1, 2])?;
    Ok(vec![context.convert(sampled, elem)?])
}

/// `pixels` `[n, h * w, c]`, weighted, over all taps: `[n, places, c]`.
fn sum(context: &mut Context, pixels: Value, rows: &[Tap], columns: &[Tap], width: usize) -> Fallible<Value> {
    let mut total: Option<Value> = None;
    let width = context.scalar(ElemType::I32, width as f64)?;
    for row in rows {
        let first = context.binary(BinaryOp::Mul, row.index, width)?;
        for column in columns {
            let index = context.binary(BinaryOp::Add, first, column.index)?;
            let flat = context.dims(index)[..2].to_vec();
            let index = context.reshape(index, &flat)?;
            let mut value = context.emit(Op::Gather { axis: 1, batch_dims: 1 }, &[pixels, index])?;
            if let Some(weight) = product(context, row.weight, column.weight)? {
                value = context.binary(BinaryOp::Mul, value, weight)?;
            }
            total = Some(match total {
                Some(total) => context.binary(BinaryOp::Add, total, value)?,
                None => value,
            });
        }
    }
    total.ok_or_else(|| Fault::new("internal error: no taps"))
}

/// None stands for 1.
fn product(context: &mut Context, a: Option<Value>, b: Option<Value>) -> Fallible<Option<Value>> {
    match (a, b) {
        (Some(a), Some(b)) => Ok(Some(context.binary(BinaryOp::Mul, a, b)?)),
        (a, b) => Ok(a.or(b)),
    }
}

/// A pixel of an axis for every place, `[n, places, 1]`.
struct Tap {
    /// i32, inside the axis.
    index: Value,
    /// f32; none stands for 1.
    weight: Option<Value>,
}

#[derive(Clone, Copy)]
struct Axis {
    mode: Mode,
    padding: Padding,
    /// -1 and 1 are the centres of the outermost pixels, not their outer edges.
    align_corners: bool,
    size: usize,
}

impl Axis {
    fn taps(self, context: &mut Context, place: Value) -> Fallible<Vec<Tap>> {
        let size = self.size as f64;
        let (scale, shift) = if self.align_corners { (size - 1.0, 0.0) } else { (size, -1.0) };
        let place = affine(context, place, 1.0, 1.0)?;
        let place = affine(context, place, scale, shift)?;
        let place = affine(context, place, 0.5, 0.0)?;
        if self.mode == Mode::Nearest {
            let position = context.unary(UnaryOp::Round, place)?;
            return Ok(vec![self.tap(context, position, None)?]);
        }
        let low = context.unary(UnaryOp::Floor, place)?;
        let fraction = context.binary(BinaryOp::Sub, place, low)?;
        let weights = match self.mode {
            Mode::Bicubic => CUBIC
                .iter()
                .map(|coefficients| polynomial(context, fraction, coefficients))
                .collect::<Fallible<Vec<Value>>>()?,
            Mode::Bilinear | Mode::Nearest => vec![affine(context, fraction, -1.0, 1.0)?, fraction],
        };
        let before = if self.mode == Mode::Bicubic { -1.0 } else { 0.0 };
        let tap = |(step, weight): (usize, Value)| {
            let position = affine(context, low, 1.0, before + step as f64)?;
            self.tap(context, position, Some(weight))
        };
        weights.into_iter().enumerate().map(tap).collect()
    }

    /// The pixel at a whole `position`, which may be outside.
    fn tap(self, context: &mut Context, position: Value, weight: Option<Value>) -> Fallible<Tap> {
        let last = self.size as f64 - 1.0;
        let position = if self.padding == Padding::Reflection { self.reflected(context, position)? } else { position };
        let inside = context.unary(UnaryOp::Clamp { min: 0.0, max: last }, position)?;
        let mut weight = weight;
        if self.padding == Padding::Zeros {
            let is_inside = context.binary(BinaryOp::Equal, inside, position)?;
            let is_inside = context.convert(is_inside, ElemType::F32)?;
            weight = product(context, weight, Some(is_inside))?;
        }
        Ok(Tap { index: context.convert(inside, ElemType::I32)?, weight })
    }

    /// There and back again: around the centres of the outermost pixels, or their outer edges.
    fn reflected(self, context: &mut Context, position: Value) -> Fallible<Value> {
        let (period, turn) = match self.align_corners {
            true => (2.0 * (self.size as f64 - 1.0).max(0.5), 0.0),
            false => (2.0 * self.size as f64, -1.0),
        };
        let rounds = context.scalar(ElemType::F32, period)?;
        let rounds = context.binary(BinaryOp::Div, position, rounds)?;
        let rounds = context.unary(UnaryOp::Floor, rounds)?;
        let rounds = affine(context, rounds, period, 0.0)?;
        let there = context.binary(BinaryOp::Sub, position, rounds)?;
        let back = affine(context, there, -1.0, period + turn)?;
        context.binary(BinaryOp::Min, there, back)
    }
}

/// `x * scale + shift`
fn affine(context: &mut Context, x: Value, scale: f64, shift: f64) -> Fallible<Value> {
    let mut value = x;
    if scale != 1.0 {
        let scale = context.scalar(ElemType::F32, scale)?;
        value = context.binary(BinaryOp::Mul, value, scale)?;
    }
    if shift != 0.0 {
        let shift = context.scalar(ElemType::F32, shift)?;
        value = context.binary(BinaryOp::Add, value, shift)?;
    }
    Ok(value)
}

/// By Horner's scheme, the highest power first.
fn polynomial(context: &mut Context, x: Value, coefficients: &[f64; 4]) -> Fallible<Value> {
    let [first, rest @ ..] = coefficients;
    let mut value = context.scalar(ElemType::F32, *first)?;
    for &coefficient in rest {
        value = context.binary(BinaryOp::Mul, value, x)?;
        value = affine(context, value, 1.0, coefficient)?;
    }
    Ok(value)
}
