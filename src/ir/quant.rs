//! Scales and zero points: the algebra that passes, interpreter and lowering share.
//!
//! A quantized tensor `q` stands for the reals `(q - zero_point) * scale`, per tensor or per slice of one axis. Parameters
//! are kept in f64 and merged in f64; each is rounded to f32 once, where it enters a kernel.

/// Zero points this close to an integer are that integer: what tools write as f32 ranges comes back with errors near 1e-5.
pub const ZERO_POINT_TOLERANCE: f64 = 1e-3;

#[derive(Clone, Debug, PartialEq)]
pub struct QuantParams {
    /// One element, or as many as the axis has.
    pub scale: Vec<f64>,
    /// One element, or as many as the axis has. May be fractional.
    pub zero_point: Vec<f64>,
    /// Set when either vector has more than one element.
    pub axis: Option<usize>,
}

impl QuantParams {
    pub fn per_tensor(scale: f64, zero_point: f64) -> QuantParams {
        QuantParams { scale: vec![scale], zero_point: vec![zero_point], axis: None }
    }

    /// Parameters along `axis`; vectors whose elements are all equal collapse to one element.
    pub fn per_axis(scale: Vec<f64>, zero_point: Vec<f64>, axis: usize) -> QuantParams {
        let scale = collapse(scale);
        let zero_point = collapse(zero_point);
        let axis = (scale.len() > 1 || zero_point.len() > 1).then_some(axis);
        QuantParams { scale, zero_point, axis }
    }

    /// Number of slices with parameters of their own: 1 when per tensor.
    pub fn slices(&self) -> usize {
        self.scale.len().max(self.zero_point.len())
    }

    pub fn scale_at(&self, slice: usize) -> f64 {
        self.scale[if self.scale.len() == 1 { 0 } else { slice }]
    }

    pub fn zero_point_at(&self, slice: usize) -> f64 {
        self.zero_point[if self.zero_point.len() == 1 { 0 } else { slice }]
    }

    /// The same parameters on another axis.
    pub fn on_axis(&self, axis: usize) -> QuantParams {
        QuantParams { axis: self.axis.map(|_| axis), ..self.clone() }
    }

    /// The one scale of all slices.
    pub fn uniform_scale(&self) -> Option<f64> {
        (self.scale.len() == 1).then(|| self.scale[0])
    }

    /// The one zero point of all slices.
    pub fn uniform_zero_point(&self) -> Option<f64> {
        (self.zero_point.len() == 1).then(|| self.zero_point[0])
    }

    pub fn has_zero_point(&self) -> bool {
        self.zero_point.iter().any(|&z| z != 0.0)
    }

    /// Every zero point as an integer, if all are integers within [`ZERO_POINT_TOLERANCE`].
    pub fn integer_zero_points(&self) -> Option<Vec<i64>> {
        self.zero_point.iter().map(|&z| near_integer(z)).collect()
    }
}

/// The integer that `z` is, within [`ZERO_POINT_TOLERANCE`].
pub fn near_integer(z: f64) -> Option<i64> {
    let rounded = z.round();
    ((z - rounded).abs() <= ZERO_POINT_TOLERANCE && rounded.abs() < 1e15).then_some(rounded as i64)
}

fn collapse(values: Vec<f64>) -> Vec<f64> {
    match values.first() {
        Some(first) if values.iter().all(|v| v == first) => vec![*first],
        _ => values,
    }
}
