//! Everything that makes integers of floats: quantizers of activations, weights in every form.

use octet::ir::op::BinaryOp;
use octet::ir::quant::ZERO_POINT_TOLERANCE;
use octet::ir::{ElemType, Op, Tensor, Value};

use super::net::{Net, shape};

const LEVELS: &[u32] = &[256, 256, 256, 256, 255, 255, 16, 15, 65536, 100];

/// Of a quantizer of activations.
#[derive(Clone, Copy, PartialEq)]
enum Range {
    /// From 0.
    Unsigned,
    /// Zero in the middle.
    Signed,
    /// Zero on the grid, anywhere.
    Asymmetric,
    /// Zero between two steps.
    Fractional,
}

impl Net {
    /// Quantizes activations: per tensor, or per channel of axis 1.
    pub fn quantize(&mut self, x: Value) -> Value {
        let per_channel = self.rng.chance(15) && self.dims(x).len() > 2;
        self.fake_quantize(x, per_channel.then_some(1))
    }

    /// Ranges for all elements, or one per slice of `axis`.
    pub fn fake_quantize(&mut self, x: Value, axis: Option<usize>) -> Value {
        let levels = self.rng.of(LEVELS);
        let channels = axis.map_or(1, |axis| self.dims(x)[axis]);
        let kind = self.rng.of(&[Range::Unsigned, Range::Signed, Range::Asymmetric, Range::Fractional]);
        let mut ends: Vec<(f32, f32)> = (0..channels).map(|_| self.range(kind, levels)).collect();
        if channels > 1 && self.rng.chance(10) {
            let dead = self.rng.below(channels);
            ends[dead] = (0.0, 0.0);
        }
        if axis.is_none() && levels == 256 && self.rng.chance(15) {
            return self.spelled_out(x, ends[0]);
        }
        let dims = match axis {
            Some(axis) => self.along(x, axis),
            None => vec![1; self.rng.of(&[0, self.dims(x).len()])],
        };
        let rescale = if self.rng.chance(10) { self.rng.of(&[0.5, -0.5, 3.0]) } else { 1.0 };
        let [low, high] = self.stored_ends(&dims, &ends, levels);
        let (mut out_low, mut out_high) = (low, high);
        if rescale != 1.0 {
            out_low = self.f32(&dims, ends.iter().map(|end| end.0 * rescale).collect());
            out_high = self.f32(&dims, ends.iter().map(|end| end.1 * rescale).collect());
        }
        self.op(Op::FakeQuantize { levels }, &[x, low, high, out_low, out_high])
    }

    fn range(&mut self, kind: Range, levels: u32) -> (f32, f32) {
        let high = self.rng.float(1.0, 4.0);
        let steps = (levels - 1) as f32;
        match kind {
            Range::Unsigned => (0.0, high),
            Range::Signed if levels.is_multiple_of(2) => (-high * (levels / 2) as f32 / (levels / 2 - 1) as f32, high),
            Range::Signed => (-high, high),
            Range::Asymmetric => {
                let below = self.rng.within(1, levels as usize - 2) as f32;
                (-high * below / (steps - below), high)
            }
            Range::Fractional => (-self.rng.float(0.1, 3.0), high),
        }
    }

    /// FakeQuantize to integers, Convert, and the way back as Convert, Subtract, Multiply.
    fn spelled_out(&mut self, x: Value, (low, high): (f32, f32)) -> Value {
        let (elem, least) = self.rng.of(&[(ElemType::U8, 0.0), (ElemType::I8, -128.0)]);
        let (il, ih, ol, oh) = (self.scalar(low), self.scalar(high), self.scalar(least), self.scalar(least + 255.0));
        let q = self.op(Op::FakeQuantize { levels: 256 }, &[x, il, ih, ol, oh]);
        let q = self.op(Op::Convert { elem }, &[q]);
        let mut y = self.op(Op::Convert { elem: ElemType::F32 }, &[q]);
        let step = (high - low) / 255.0;
        let zero = least - low / step;
        let zero = if self.rng.chance(80) { zero.round() } else { clearly_fractional(zero) };
        if zero != 0.0 {
            let zero = self.scalar(zero);
            y = self.binary(BinaryOp::Sub, y, zero);
        }
        let scale = self.scalar(step);
        self.binary(BinaryOp::Mul, y, scale)
    }

    /// An integer input as exporters write it: converted, moved from channels last, scaled.
    pub fn integer_input(&mut self, dims: &[usize]) -> Value {
        let (elem, low, high) = self.rng.of(&[(ElemType::U8, 0.0, 255.0), (ElemType::I8, -128.0, 127.0)]);
        let rank = dims.len();
        let last: Vec<usize> = [&dims[..1], &dims[2..], &dims[1..2]].concat();
        let x = self.input(elem, &last);
        let x = self.op(Op::Convert { elem: ElemType::F32 }, &[x]);
        let perm: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        let x = self.transpose(x, &perm);
        let ends = [low, high, -1.0, 0.992_187_5].map(|end| self.scalar(end));
        self.op(Op::FakeQuantize { levels: 256 }, &[x, ends[0], ends[1], ends[2], ends[3]])
    }

    /// Weights of shape `dims` and of about `size`, with a scale per slice of `axis` or for all.
    pub fn weights(&mut self, dims: &[usize], axis: usize, size: f32) -> Value {
        let slices = if self.rng.chance(70) { dims[axis] } else { 1 };
        let mut along = vec![1; dims.len()];
        along[axis] = slices;
        if slices == 1 && self.rng.chance(50) {
            along = Vec::new();
        }
        match self.rng.below(10) {
            0..4 => self.quantized_weights(dims, &along, slices, size),
            4..9 => self.integer_weights(dims, &along, slices, size),
            _ => self.random(dims, -size, size),
        }
    }

    fn quantized_weights(&mut self, dims: &[usize], along: &[usize], slices: usize, size: f32) -> Value {
        let levels = self.rng.of(&[255, 255, 255, 256, 16, 15]);
        let w = self.random(dims, -size, size);
        let highs: Vec<f32> = (0..slices).map(|_| self.rng.float(0.5, 1.0) * size).collect();
        let lopsided = if self.rng.chance(20) { 0.7 } else { 1.0 };
        let lows: Vec<f32> = match levels % 2 {
            1 => highs.iter().map(|high| -high * lopsided).collect(),
            _ => highs.iter().map(|high| -high * (levels / 2) as f32 / (levels / 2 - 1) as f32).collect(),
        };
        let ends: Vec<(f32, f32)> = lows.into_iter().zip(highs).collect();
        let [low, high] = self.stored_ends(along, &ends, levels);
        self.op(Op::FakeQuantize { levels }, &[w, low, high, low, high])
    }

    /// The ends of ranges as files store them, in f16 only where rounding leaves the zero points clear.
    fn stored_ends(&mut self, dims: &[usize], ends: &[(f32, f32)], levels: u32) -> [Value; 2] {
        let half = |x: f32| half::f16::from_f32(x).to_f32();
        let clear = |&(low, high): &(f32, f32)| {
            let stored = [(half(low), high), (low, half(high)), (half(low), half(high))];
            low == high || stored.into_iter().all(|(low, high)| has_clear_zero_point(low, high, levels))
        };
        let ways = [ends.iter().map(|end| end.0).collect(), ends.iter().map(|end| end.1).collect()];
        let in_halves = ends.iter().all(clear);
        ways.map(|values| if in_halves { self.stored(dims, values) } else { self.f32(dims, values) })
    }

    /// `(q - z) * s` with integers of 8 or 4 bits; zero points integer or not, per slice or for all.
    fn integer_weights(&mut self, dims: &[usize], along: &[usize], slices: usize, size: f32) -> Value {
        let count: usize = dims.iter().product();
        let elem = self.rng.of(&[ElemType::I8, ElemType::I8, ElemType::U8, ElemType::I4, ElemType::U4]);
        let (low, high) = elem.int_range().unwrap();
        let width = (high - low) as usize;
        let values: Vec<i64> = (0..count).map(|_| low + self.rng.below(width + 1) as i64).collect();
        let tensor = match elem {
            ElemType::I8 => Tensor::i8(shape(dims), values.iter().map(|&v| v as i8).collect()),
            ElemType::U8 => Tensor::u8(shape(dims), values.iter().map(|&v| v as u8).collect()),
            _ => {
                let bytes: Vec<u8> = values.iter().map(|&v| v as u8).collect();
                Tensor::from_bytes(octet::ir::TensorType::new(elem, shape(dims)), &bytes).unwrap()
            }
        };
        let q = self.tensor(tensor);
        let mut w = self.op(Op::Convert { elem: ElemType::F32 }, &[q]);
        let middle = (low + high + 1) as f32 / 2.0;
        let form = self.rng.below(4);
        if form > 0 || middle != 0.0 {
            let zeros: Vec<f32> = (0..slices)
                .map(|_| match form {
                    0 | 1 => middle,
                    2 => middle + self.rng.below(width / 4 + 1) as f32,
                    _ => clearly_fractional(middle + self.rng.float(-0.2, 0.2) * width as f32),
                })
                .collect();
            let zeros = self.f32(along, zeros);
            w = self.binary(BinaryOp::Sub, w, zeros);
        }
        let mut scales: Vec<f32> = (0..slices).map(|_| self.rng.float(1.0, 2.0) * size / width as f32).collect();
        if self.rng.chance(8) {
            scales[0] *= self.rng.of(&[0.0, -1.0]);
        }
        let scales = self.stored(along, scales);
        self.binary(BinaryOp::Mul, w, scales)
    }
}

/// Not a number that the compiler takes for the integer beside it, and sums of many weights would show.
fn clearly_fractional(zero_point: f32) -> f32 {
    let integer = zero_point.round();
    if (zero_point - integer).abs() < 2.0 * ZERO_POINT_TOLERANCE as f32 { integer } else { zero_point }
}

/// The zero point of a range is an integer up to the roundings of f32, or clearly none.
fn has_clear_zero_point(low: f32, high: f32, levels: u32) -> bool {
    let zero_point = -f64::from(low) / (f64::from(high) - f64::from(low)) * f64::from(levels - 1);
    let distance = (zero_point - zero_point.round()).abs();
    distance < 1e-6 * f64::from(levels) || distance > 2.0 * ZERO_POINT_TOLERANCE
}
