//! How a constant spreads over the tensor it is broadcast to: one value, one value per slice of an axis, or more.
//!
//! Scales, zero points, ranges and biases of a model arrive as tensors of any broadcastable shape. Everything after this
//! file works with "uniform or along one axis", found here by value: a `[1, 64, 1, 1]` tensor of equal values is uniform.

use crate::ir::{QuantParams, ty::Shape};

/// Values broadcast to a tensor: `dims` has the tensor's rank, each entry 1 or the tensor's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub dims: Vec<usize>,
    pub values: Vec<f64>,
}

impl Field {
    pub fn uniform(value: f64, rank: usize) -> Field {
        Field { dims: vec![1; rank], values: vec![value] }
    }

    /// A constant of shape `dims` as it is broadcast to `shape`; `None` when that would enlarge `shape`, or when it is empty.
    pub fn new(values: Vec<f64>, dims: &[usize], shape: &Shape) -> Option<Field> {
        let extra = dims.len().saturating_sub(shape.rank());
        if dims[..extra].iter().any(|&dim| dim != 1) {
            return None;
        }
        let mut full = vec![1; shape.rank().saturating_sub(dims.len())];
        full.extend_from_slice(&dims[extra..]);
        let fits = full.iter().zip(shape.dims()).all(|(&dim, &target)| dim == 1 || dim == target);
        let field = Field { dims: full, values };
        (fits && !field.values.is_empty()).then(|| field.collapsed())
    }

    /// The parameters of one axis as fields of a tensor of rank `rank`.
    pub fn along(values: Vec<f64>, axis: Option<usize>, rank: usize) -> Field {
        let mut dims = vec![1; rank];
        if let Some(axis) = axis
            && values.len() > 1
        {
            dims[axis] = values.len();
        }
        Field { dims, values }
    }

    /// All values equal: one value.
    fn collapsed(self) -> Field {
        match self.values.first() {
            Some(&first) if self.values.iter().all(|&v| v == first) => Field::uniform(first, self.dims.len()),
            _ => self,
        }
    }

    pub fn uniform_value(&self) -> Option<f64> {
        (self.values.len() == 1).then(|| self.values[0])
    }

    /// The only axis along which values differ, with one value per slice; `(None, one value)` when none differ.
    pub fn one_axis(&self) -> Option<(Option<usize>, Vec<f64>)> {
        if let Some(value) = self.uniform_value() {
            return Some((None, vec![value]));
        }
        let wide = (0..self.dims.len()).filter(|&axis| self.dims[axis] > 1);
        wide.filter_map(|axis| Some((Some(axis), self.on_axis(axis)?))).next()
    }

    /// One value per slice of `axis` (one when uniform), if values depend on nothing else.
    pub fn on_axis(&self, axis: usize) -> Option<Vec<f64>> {
        if let Some(value) = self.uniform_value() {
            return Some(vec![value]);
        }
        let size = self.dims[axis];
        let inner: usize = self.dims[axis + 1..].iter().product();
        let first: Vec<f64> = (0..size).map(|slice| self.values[slice * inner]).collect();
        let depends_on_axis_only = self.values.iter().enumerate().all(|(at, &value)| value == first[at / inner % size]);
        depends_on_axis_only.then_some(first)
    }

    /// One value per channel, where elements `[i0, i1, ..]` of a tensor of shape `shape` belong to `channel_of(i0, i1)`.
    pub fn per_channel(
        &self,
        shape: &Shape,
        channels: usize,
        channel_of: impl Fn(usize, usize) -> usize,
    ) -> Option<Vec<f64>> {
        if let Some(value) = self.uniform_value() {
            return Some(vec![value; channels]);
        }
        let inner: usize = self.dims[2..].iter().product();
        let mut found: Vec<Option<f64>> = vec![None; channels];
        for i0 in 0..shape[0] {
            for i1 in 0..shape[1] {
                let row = i0.min(self.dims[0] - 1) * self.dims[1] + i1.min(self.dims[1] - 1);
                for &value in &self.values[row * inner..(row + 1) * inner] {
                    if *found[channel_of(i0, i1)].get_or_insert(value) != value {
                        return None;
                    }
                }
            }
        }
        found.into_iter().collect()
    }

    /// The value of every element of a tensor of shape `shape`.
    pub fn materialize(&self, shape: &Shape) -> Vec<f64> {
        if let Some(value) = self.uniform_value() {
            return vec![value; shape.elements()];
        }
        let strides = shape.strides();
        let own = Shape::new(self.dims.clone()).map(|own| own.strides()).unwrap_or_default();
        let place = |at: usize| -> usize {
            let coordinate = |axis: usize| at / strides[axis] % shape[axis];
            (0..shape.rank()).filter(|&axis| self.dims[axis] > 1).map(|axis| coordinate(axis) * own[axis]).sum()
        };
        (0..shape.elements()).map(|at| self.values[place(at)]).collect()
    }

    /// The field of the tensor under another shape of as many elements.
    pub fn reshaped(&self, from: &Shape, to: &Shape) -> Field {
        if let Some(value) = self.uniform_value() {
            return Field::uniform(value, to.rank());
        }
        if let Some((Some(axis), values)) = self.one_axis()
            && let Some((axis, values)) = reshape_axis(&values, axis, from, to)
        {
            return Field::along(values, Some(axis), to.rank());
        }
        Field { dims: to.dims().to_vec(), values: self.materialize(from) }
    }

    pub fn transposed(&self, perm: &[usize]) -> Field {
        let dims: Vec<usize> = perm.iter().map(|&axis| self.dims[axis]).collect();
        Field { values: transpose(&self.values, &self.dims, perm), dims }
    }

    /// Element by element; `None` when neither field's shape covers the other's.
    pub fn zip(&self, other: &Field, shape: &Shape, f: impl Fn(f64, f64) -> f64) -> Field {
        let dims: Vec<usize> = self.dims.iter().zip(&other.dims).map(|(&a, &b)| a.max(b)).collect();
        let joint = Shape::new(dims.clone()).unwrap_or_else(|| shape.clone());
        let pairs = self.materialize_in(&joint).into_iter().zip(other.materialize_in(&joint));
        Field { dims, values: pairs.map(|(a, b)| f(a, b)).collect() }.collapsed()
    }

    fn materialize_in(&self, joint: &Shape) -> Vec<f64> {
        if self.dims == joint.dims() { self.values.clone() } else { self.materialize(joint) }
    }
}

/// Elements in the order of the transposed tensor, whose dimension `i` is the source's `perm[i]`.
pub fn transpose<T: Copy>(values: &[T], dims: &[usize], perm: &[usize]) -> Vec<T> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    let mut out = Vec::with_capacity(values.len());
    let mut index = vec![0; perm.len()];
    for _ in 0..values.len() {
        let at: usize = index.iter().zip(perm).map(|(&i, &axis)| i * strides[axis]).sum();
        out.push(values[at]);
        for place in (0..perm.len()).rev() {
            index[place] += 1;
            if index[place] < dims[perm[place]] {
                break;
            }
            index[place] = 0;
        }
    }
    out
}

/// Values per slice of `axis` of `from`, as values per slice of an axis of `to`: the same elements under another shape.
pub fn reshape_axis<T: Copy + PartialEq>(
    values: &[T],
    axis: usize,
    from: &Shape,
    to: &Shape,
) -> Option<(usize, Vec<T>)> {
    let source = from.strides()[axis];
    let targets = to.strides();
    // An axis of the same size and stride first: it always fits, whatever the values are.
    let mut candidates: Vec<usize> = (0..to.rank()).collect();
    candidates.sort_by_key(|&place| (to[place], targets[place]) != (values.len(), source));
    candidates.into_iter().find_map(|place| {
        let step = gcd(source, targets[place]);
        let mut found: Vec<Option<T>> = vec![None; to[place]];
        for at in (0..from.elements()).step_by(step.max(1)) {
            let value = values[at / source % values.len()];
            if *found[at / targets[place] % to[place]].get_or_insert(value) != value {
                return None;
            }
        }
        Some((place, found.into_iter().collect::<Option<Vec<T>>>()?))
    })
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Scale and zero point of every slice of an axis of size `slices`.
pub fn pairs(params: &QuantParams, slices: usize) -> Vec<(f64, f64)> {
    (0..slices).map(|slice| (params.scale_at(slice), params.zero_point_at(slice))).collect()
}

/// Parameters from one pair per slice of `axis`.
pub fn from_pairs(pairs: &[(f64, f64)], axis: usize) -> QuantParams {
    let (scale, zero_point) = pairs.iter().copied().unzip();
    QuantParams::per_axis(scale, zero_point, axis)
}

/// The parameters under another shape of as many elements.
pub fn reshape_params(params: &QuantParams, from: &Shape, to: &Shape) -> Option<QuantParams> {
    let Some(axis) = params.axis else {
        return Some(params.clone());
    };
    let (axis, pairs) = reshape_axis(&pairs(params, from[axis]), axis, from, to)?;
    Some(from_pairs(&pairs, axis))
}

/// Parameters of the slices `chosen` of their axis, in that order.
pub fn select_params(params: &QuantParams, chosen: impl Iterator<Item = usize>) -> QuantParams {
    match params.axis {
        None => params.clone(),
        Some(axis) => {
            let pairs: Vec<_> = chosen.map(|slice| (params.scale_at(slice), params.zero_point_at(slice))).collect();
            from_pairs(&pairs, axis)
        }
    }
}
