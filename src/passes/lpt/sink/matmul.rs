//! MatMul with constant weights on the right: integer products, one scale per column. All others: [`super::product`].
//!
//! ```text
//! ((qa - za) sa) x ((qw - zw) sw[n]) = (qa x w - za colsum(w)) * sa sw[n]        w = qw - zw
//! ```
//! Nothing is padded, so any za has a correction: exact in i32 when it is an integer, else part of the result's zero
//! point; where za differs per row, the correction is a matrix `za[m] colsum(w)[n]`, in f32 unless all za are integers. Scales along K, which is summed over, come in runs (behind a
//! `concat`), whose products are added; or they are the same. The source's may differ per row instead, and are
//! multiplied in f32 where the weights' differ per column as well.

use crate::ir::op::BinaryOp;
use crate::ir::quant::near_integer;
use crate::ir::{ElemType, Graph, Node, Op, QuantParams, Tensor, Value, ty::Shape};

use super::convolution::{runs, split_source, worth_splitting};
use super::product::product;
use super::{Outcome, Refusal, Site, narrow};
use crate::passes::lpt::integer_weights::{check_accumulator, integer_tensor, wide, without_zero_point};
use crate::passes::lpt::ranges::snap;
use crate::passes::lpt::refusal::Parameter;
use crate::passes::lpt::spread::Field;
use crate::passes::lpt::weights::{self, QuantizedConst};

/// Largest correction of zero points per row, in elements: beyond it a float operation is smaller.
const MAX_ROWS: usize = 1 << 21;

pub fn matmul(graph: &mut Graph, node: Node, transpose_a: bool, transpose_b: bool) -> Outcome {
    let (a, b) = (graph.operand(node, 0), graph.operand(node, 1));
    let weights = match weights::trace(graph, b) {
        Some(weights) => weights,
        None => return product(graph, node, transpose_a, transpose_b),
    };
    let (q, params) = narrow(graph, a)?;
    if graph.ty(q).elem != ElemType::U8 {
        return Err(Refusal::ElementType(graph.ty(q).elem));
    }
    if weights.shape.rank() < 2 || graph.ty(q).shape.rank() < 2 {
        return Err(Refusal::Unsupported("vectors are multiplied in float"));
    }
    let product = Product { q, params, weights, transpose_a, transpose_b };
    let mut site = Site::new(graph, node);
    let result = product.build_in_runs(&mut site)?;
    site.replace(&[result])
}

struct Product {
    q: Value,
    params: QuantParams,
    weights: QuantizedConst,
    transpose_a: bool,
    transpose_b: bool,
}

/// How the zero point of the source is taken out of the sums.
enum Correction {
    None,
    /// `- za colsum(w)`: a constant of this shape, added in i32.
    Integer(Vec<i32>, Shape),
    /// Per column, in units of the accumulator.
    PerColumn(Vec<f64>),
    /// Per row and column, in units of the accumulator: a constant of this shape, added in f32.
    Real(Vec<f64>, Shape),
}

impl Product {
    fn op(&self) -> Op {
        Op::MatMul { transpose_a: self.transpose_a, transpose_b: self.transpose_b }
    }

    /// Dimensions of the weights that are K and N.
    fn axes(&self) -> (usize, usize) {
        let rank = self.weights.shape.rank();
        if self.transpose_b { (rank - 1, rank - 2) } else { (rank - 2, rank - 1) }
    }

    /// The product, or the sum of one product per run of K with a scale of its own.
    fn build_in_runs(&self, site: &mut Site<'_>) -> Result<Value, Refusal> {
        let source = site.graph.ty(self.q).shape.clone();
        let (axis, k) = (self.k_of_source(&source), self.axes().0);
        let varies = self.params.axis == Some(axis) && self.params.scale.len() > 1;
        let runs = if varies { runs(&self.params, source[axis]) } else { Vec::new() };
        if runs.len() < 2 || !worth_splitting(runs.len(), source[axis]) {
            return self.build(site);
        }
        let lengths: Vec<usize> = runs.iter().map(|&(_, length)| length).collect();
        let mut sum = None;
        for (q, &(start, length)) in split_source(site, self.q, axis, &lengths)?.into_iter().zip(&runs) {
            let params = QuantParams::per_tensor(self.params.scale_at(start), self.params.zero_point_at(start));
            let value = Product { q, params, weights: self.weights.slice(k, start, length), ..*self }.build(site)?;
            sum = Some(match sum {
                None => value,
                Some(sum) => site.insert(Op::Binary(BinaryOp::Add), &[sum, value])?,
            });
        }
        sum.ok_or(Refusal::Unsupported("product of no terms"))
    }

    /// The dequantized product, in front of the node that it is to replace.
    fn build(&self, site: &mut Site<'_>) -> Result<Value, Refusal> {
        let (_, n) = self.axes();
        let columns = self.weights.shape[n];
        let scale = per_column(&self.weights.scale, n, columns, Parameter::WeightsScale)?;
        let (values, remainder) = without_zero_point(&self.weights)?;
        let remainder = per_column(&remainder, n, columns, Parameter::WeightsZeroPoint)?;
        let source = site.graph.ty(self.q).shape.clone();
        let result = site.graph.ty(site.graph.result(site.node)).shape.clone();
        self.check_source(&source)?;
        let correction = self.correction(&values, &source, &result)?;
        let (params, rows) = self.result_params(&scale, &correction, &source, &result);
        let constant = integer_tensor(&values, &self.weights.shape);
        if self.has_batches(&source) && constant.elem() != ElemType::I8 {
            return Err(wide(&values));
        }
        let constant = site.constant(constant);
        let mut sums = site.insert(self.op(), &[self.q, constant])?;
        if let Correction::Integer(values, shape) = &correction {
            let constant = site.constant(Tensor::i32(shape.clone(), values.clone()));
            sums = site.insert(Op::Binary(BinaryOp::Add), &[sums, constant])?;
        }
        let mut value = site.dequantize(sums, params)?;
        if let Some(axis) = rows {
            value = site.scaled(value, &self.params.scale, Some(axis))?;
        }
        if let Correction::Real(weighted, shape) = &correction {
            let constant = site.constant(Tensor::f32(shape.clone(), self.real(weighted, &scale)));
            value = site.insert(Op::Binary(BinaryOp::Add), &[value, constant])?;
        }
        if remainder.iter().all(|&remainder| remainder == 0.0) {
            return Ok(value);
        }
        let shares = remainder.iter().zip(&scale).map(|(r, s)| (0.0 - r * s) as f32).collect();
        let shares = site.constant(Tensor::f32(row_shape(&[], columns, result.rank()), shares));
        let rest = self.row_sums().build(site)?;
        let rest = site.insert(Op::Binary(BinaryOp::Mul), &[rest, shares])?;
        site.insert(Op::Binary(BinaryOp::Add), &[value, rest])
    }

    /// The weights are several matrices, or have more dimensions than the source: a product of two matrices, not of pixels.
    fn has_batches(&self, source: &Shape) -> bool {
        let dims = self.weights.shape.dims();
        dims.len() > source.rank() || dims[..dims.len() - 2].iter().any(|&dim| dim > 1)
    }

    /// The product with one column of ones: what the remainder of the weights' zero points multiplies.
    fn row_sums(&self) -> Product {
        let (k, n) = self.axes();
        let mut dims = vec![1; self.weights.shape.rank()];
        dims[k] = self.weights.shape[k];
        dims[n] = 1;
        let weights = QuantizedConst::ones(Shape::new(dims).unwrap_or_default());
        Product { q: self.q, params: self.params.clone(), weights, ..*self }
    }

    fn check_source(&self, source: &Shape) -> Result<(), Refusal> {
        let k = self.k_of_source(source);
        let params = &self.params;
        if params.scale.len() > 1 && params.axis == Some(k) {
            return Err(vary(Parameter::SourceScale, params.axis, params.scale.len()));
        }
        Ok(())
    }

    fn k_of_source(&self, source: &Shape) -> usize {
        source.rank() - if self.transpose_a { 2 } else { 1 }
    }

    fn correction(&self, values: &[i32], source: &Shape, result: &Shape) -> Result<Correction, Refusal> {
        let params = &self.params;
        let (k, n) = self.axes();
        debug_assert_eq!(source[self.k_of_source(source)], self.weights.shape[k]);
        if let Some(axis) = params.axis.filter(|&axis| params.zero_point.len() > 1 && axis != self.k_of_source(source))
        {
            return self.correction_per_row(values, self.axis_of_result(axis, source, result), result);
        }
        let zero = |k: usize| snap(params.zero_point_at(if params.zero_point.len() == 1 { 0 } else { k }));
        let sums = ColumnSums::new(values, &self.weights.shape, (k, n), zero);
        let integer = params.zero_point.iter().all(|&z| near_integer(z).is_some());
        check_accumulator(&sums.magnitudes, if integer { sums.largest() } else { 0.0 })?;
        if sums.weighted.iter().all(|&sum| sum == 0.0) {
            Ok(Correction::None)
        } else if integer {
            let values = sums.weighted.iter().map(|&sum| -sum as i32).collect();
            Ok(Correction::Integer(values, row_shape(&sums.batch, self.weights.shape[n], result.rank())))
        } else if sums.weighted.len() == self.weights.shape[n] {
            Ok(Correction::PerColumn(sums.weighted))
        } else {
            Err(Refusal::FractionalZeroPoint { what: Parameter::SourceZeroPoint, value: params.zero_point[0] })
        }
    }

    /// Zero points along `axis` of the result: `- za[m] colsum(w)[n]` for every slice and column.
    fn correction_per_row(&self, values: &[i32], axis: usize, result: &Shape) -> Result<Correction, Refusal> {
        let zero = &self.params.zero_point;
        let vary = || vary(Parameter::SourceZeroPoint, self.params.axis, zero.len());
        let columns = self.weights.shape[self.axes().1];
        let sums = ColumnSums::new(values, &self.weights.shape, self.axes(), |_| 1.0);
        if sums.weighted.len() != columns || zero.len() * columns > MAX_ROWS {
            return Err(vary());
        }
        let mut dims = vec![1; result.rank()];
        dims[result.rank() - 1] = columns;
        dims[axis] = zero.len();
        let shape = Shape::new(dims).unwrap_or_default();
        let weighted =
            zero.iter().flat_map(|&z| sums.weighted.iter().map(move |&sum| snap(z) * sum)).collect::<Vec<_>>();
        if self.params.integer_zero_points().is_none() {
            check_accumulator(&sums.magnitudes, 0.0)?;
            return Ok(Correction::Real(weighted, shape));
        }
        check_accumulator(&sums.magnitudes, weighted.iter().map(|sum| sum.abs()).fold(0.0, f64::max))?;
        Ok(Correction::Integer(weighted.iter().map(|&sum| -sum as i32).collect(), shape))
    }

    /// A correction in units of the accumulator, a row per slice of the source's axis, as what it adds to the result.
    fn real(&self, weighted: &[f64], scale: &[f64]) -> Vec<f32> {
        let rows = weighted.chunks(scale.len().max(1)).enumerate();
        let real = |(row, sums): (usize, &[f64])| {
            let factor = -self.params.scale_at(row);
            sums.iter().zip(scale).map(|(sum, column)| (factor * column * sum) as f32).collect::<Vec<_>>()
        };
        rows.flat_map(real).collect()
    }

    /// The axis of the result that the source's rows, or its matrices, fall onto.
    fn axis_of_result(&self, axis: usize, source: &Shape, result: &Shape) -> usize {
        let place = if self.transpose_a && axis == source.rank() - 1 { axis - 1 } else { axis };
        place + result.rank() - source.rank()
    }

    /// Parameters of the product: per column, or per row where only the source's scale varies. Where both do they are per
    /// column, and the axis of the rows is given, whose scales are left.
    fn result_params(
        &self,
        scale: &[f64],
        correction: &Correction,
        source: &Shape,
        result: &Shape,
    ) -> (QuantParams, Option<usize>) {
        let zero_point = match correction {
            Correction::PerColumn(zero) => zero.clone(),
            Correction::None | Correction::Integer(..) | Correction::Real(..) => vec![0.0],
        };
        let params = &self.params;
        let columns = |factor: f64| {
            let scale = scale.iter().map(|column| factor * column).collect();
            QuantParams::per_axis(scale, zero_point.clone(), result.rank() - 1)
        };
        let Some(axis) = params.axis.filter(|_| params.scale.len() > 1) else {
            return (columns(params.scale[0]), None);
        };
        let axis = self.axis_of_result(axis, source, result);
        let uniform = scale.iter().all(|&column| column == scale[0]);
        if !uniform || zero_point.len() > 1 {
            return (columns(1.0), Some(axis));
        }
        let rows = params.scale.iter().map(|row| row * scale[0]).collect();
        (QuantParams::per_axis(rows, zero_point, axis), None)
    }
}

fn vary(what: Parameter, axis: Option<usize>, values: usize) -> Refusal {
    Refusal::ParametersVary { what, axis, values }
}

/// One value per column, if the field varies along the columns only.
fn per_column(field: &Field, n: usize, columns: usize, what: Parameter) -> Result<Vec<f64>, Refusal> {
    let values = field.on_axis(n).ok_or_else(|| vary(what, None, field.values.len()))?;
    Ok(if values.len() == 1 { vec![values[0]; columns] } else { values })
}

/// `[batch.., 1, columns]`, with ones in front up to `rank`.
fn row_shape(batch: &[usize], columns: usize, rank: usize) -> Shape {
    let mut dims = vec![1; rank.saturating_sub(batch.len() + 2)];
    dims.extend_from_slice(batch);
    dims.extend([1, columns]);
    Shape::new(dims).unwrap_or_default()
}

/// Sums over K for every matrix of the weights and every column.
struct ColumnSums {
    /// `sum of za[k] w[k, n]`
    weighted: Vec<f64>,
    /// `sum of |w[k, n]|`
    magnitudes: Vec<f64>,
    /// Leading dimensions of the weights.
    batch: Vec<usize>,
}

impl ColumnSums {
    fn new(values: &[i32], shape: &Shape, (k, n): (usize, usize), zero: impl Fn(usize) -> f64) -> ColumnSums {
        let strides = shape.strides();
        let batch = shape.dims()[..shape.rank() - 2].to_vec();
        let matrix = shape[k] * shape[n];
        let mut sums = ColumnSums { weighted: Vec::new(), magnitudes: Vec::new(), batch };
        for values in values.chunks(matrix.max(1)) {
            for column in 0..shape[n] {
                let w = |row: usize| f64::from(values[row * strides[k] + column * strides[n]]);
                sums.weighted.push((0..shape[k]).map(|row| zero(row) * w(row)).sum());
                sums.magnitudes.push((0..shape[k]).map(|row| w(row).abs()).sum());
            }
        }
        sums
    }

    fn largest(&self) -> f64 {
        self.weighted.iter().map(|sum| sum.abs()).fold(0.0, f64::max)
    }
}
