//! Quantized weights as the integers a kernel multiplies with: `w = q - zero_point`, i8 or i16, one scale per channel.
//!
//! A fractional zero point leaves a remainder per channel: `q - zero_point = w - remainder`, which costs the sum of the
//! window (or row) of the source: `sum(x (w - remainder)) = sum(x w) - remainder * sum(x)`.

use crate::ir::quant::ZERO_POINT_TOLERANCE;
use crate::ir::{ElemType, Tensor, TensorType, tensor::Data, ty::Shape};

use super::refusal::{Parameter, Refusal};
use super::spread::Field;
use super::weights::QuantizedConst;

/// Weights with the zero point folded in.
pub struct IntegerWeights {
    /// In the order of the constant.
    pub values: Vec<i32>,
    /// One per output channel. Channels whose scale is 0 have weights 0 and scale 1.
    pub scale: Vec<f64>,
    /// Sum of absolute weights per output channel.
    pub magnitudes: Vec<f64>,
    /// One per output channel, within -0.5 ..= 0.5; 0 where the zero point is an integer.
    pub remainder: Vec<f64>,
}

impl IntegerWeights {
    /// Element `[i0, i1, ..]` of the weights belongs to output channel `channel_of(i0, i1)`.
    ///
    /// # Errors
    /// Scales or remainders that vary within a channel, integers beyond 16 bits.
    pub fn new(
        weights: &QuantizedConst,
        channels: usize,
        channel_of: impl Fn(usize, usize) -> usize,
    ) -> Result<IntegerWeights, Refusal> {
        let shape = &weights.shape;
        let vary = |what, values: usize| Refusal::ParametersVary { what, axis: None, values };
        let mut scale = weights
            .scale
            .per_channel(shape, channels, &channel_of)
            .ok_or_else(|| vary(Parameter::WeightsScale, weights.scale.values.len()))?;
        let (mut values, remainder) = without_zero_point(weights)?;
        let mut remainder = remainder
            .per_channel(shape, channels, &channel_of)
            .ok_or_else(|| vary(Parameter::WeightsZeroPoint, remainder.values.len()))?;
        let inner: usize = shape.dims()[2..].iter().product();
        let mut magnitudes = vec![0.0; channels];
        for (at, row) in values.chunks_mut(inner.max(1)).enumerate() {
            let channel = channel_of(at / shape[1], at % shape[1]);
            if scale[channel] == 0.0 {
                row.fill(0);
                remainder[channel] = 0.0;
            }
            magnitudes[channel] += row.iter().map(|w| f64::from(w.abs())).sum::<f64>();
        }
        scale.iter_mut().filter(|scale| **scale == 0.0).for_each(|scale| *scale = 1.0);
        Ok(IntegerWeights { values, scale, magnitudes, remainder })
    }

    /// The constant: i8 where all values fit.
    pub fn tensor(&self, shape: &Shape) -> Tensor {
        integer_tensor(&self.values, shape)
    }
}

/// `q - zero_point` for every element with the zero point rounded, and what the rounding took away.
///
/// # Errors
/// A value beyond 16 bits.
pub fn without_zero_point(weights: &QuantizedConst) -> Result<(Vec<i32>, Field), Refusal> {
    let rounded = weights.zero.values.iter().map(|z| z.round()).collect();
    let rounded = Field { dims: weights.zero.dims.clone(), values: rounded };
    let remainder = weights.zero.zip(&rounded, &weights.shape, |z, rounded| {
        if (z - rounded).abs() <= ZERO_POINT_TOLERANCE { 0.0 } else { z - rounded }
    });
    let values: Vec<i64> = match rounded.uniform_value() {
        Some(zero) => weights.q.iter().map(|&q| i64::from(q).saturating_sub(zero as i64)).collect(),
        None => {
            let zero = rounded.materialize(&weights.shape);
            weights.q.iter().zip(zero).map(|(&q, z)| i64::from(q).saturating_sub(z as i64)).collect()
        }
    };
    let (low, high) = (values.iter().min().copied().unwrap_or(0), values.iter().max().copied().unwrap_or(0));
    if low < i16::MIN.into() || high > i16::MAX.into() {
        return Err(Refusal::WideWeights { low, high, bits: 16 });
    }
    Ok((values.into_iter().map(|w| w as i32).collect(), remainder))
}

/// Integers as i8 where they fit, else as i16.
pub fn integer_tensor(values: &[i32], shape: &Shape) -> Tensor {
    let narrow: Option<Vec<i8>> = values.iter().map(|&w| i8::try_from(w).ok()).collect();
    match narrow {
        Some(narrow) => Tensor::i8(shape.clone(), narrow),
        None => {
            let wide = values.iter().map(|&w| w as i16).collect();
            Tensor::new(TensorType::new(ElemType::I16, shape.clone()), Data::I16(wide))
        }
    }
}

/// Integers as i8, or else as u8: for operands that take either.
///
/// # Errors
/// They fit neither.
pub fn byte_tensor(values: &[i32], shape: &Shape) -> Result<Tensor, Refusal> {
    let signed = || values.iter().map(|&w| i8::try_from(w)).collect::<Result<_, _>>();
    if let Ok(values) = signed() {
        return Ok(Tensor::i8(shape.clone(), values));
    }
    let unsigned: Result<_, _> = values.iter().map(|&w| u8::try_from(w)).collect();
    unsigned.map(|values| Tensor::u8(shape.clone(), values)).map_err(|_| wide(values))
}

/// The refusal of integers beyond 8 bits.
pub fn wide(values: &[i32]) -> Refusal {
    let (low, high) = (values.iter().min().copied().unwrap_or(0), values.iter().max().copied().unwrap_or(0));
    Refusal::WideWeights { low: low.into(), high: high.into(), bits: 8 }
}

/// Sums of u8 sources times weights, and the correction on top, must fit i32.
///
/// # Errors
/// The bound that does not.
pub fn check_accumulator(magnitudes: &[f64], correction: f64) -> Result<(), Refusal> {
    let bound = magnitudes.iter().copied().fold(0.0, f64::max) * 255.0 + correction;
    if bound > f64::from(i32::MAX) { Err(Refusal::AccumulatorOverflow { bound }) } else { Ok(()) }
}
