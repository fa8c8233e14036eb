//! Convolution and MatMul of 32-bit integers, as ONNX's ConvInteger, MatMulInteger and dynamic quantization arrive.
//!
//! The operands are 8-bit data less a zero point that may be computed, or constants of few bits. Kernels multiply the 8-bit
//! data themselves, and the zero points are taken out of the sums:
//!
//! ```text
//! convolution(convert(q) - z, w)              = convolution(q padded with z, w) - z * sum(w)
//! matmul(convert(qa) - za, w)                 = matmul(qa, w) - za * colsum(w)
//! matmul(convert(qa) - za, convert(qb) - zb)  = matmul(qa, qb) - zb * rowsum(qa) - za * colsum(qb) + K * za * zb
//! ```
//! All of it is exact, and wraps at 32 bits where the model's own sums do. The left operand becomes u8: an i8 and its zero
//! point are both shifted by 128.

use crate::ir::op::{BinaryOp, ConvAttrs, ReduceAttrs, ReduceKind, RequantizeAttrs};
use crate::ir::tensor::Data;
use crate::ir::{ElemType, Op, Tensor, TensorType, Value};

use super::super::build::Importer;
use super::super::context::{Context, Fallible, Fault, shape};

/// Whether the product of values of these types is one of wide integers.
pub fn is_wide(context: &Context, operands: [Value; 2]) -> bool {
    operands.iter().all(|&value| matches!(context.elem(value), ElemType::I32 | ElemType::I64))
}

/// What is subtracted from 8-bit data.
#[derive(Clone, Copy)]
enum Zero {
    Constant(i64),
    Computed {
        /// In 32 bits.
        value: Value,
        /// It is of the type of the data, so that data can be padded with it.
        of_data: bool,
    },
}

/// 8-bit data less a zero point.
struct Narrow {
    q: Value,
    zero: Zero,
}

/// `convolution(src, weights)` of attributes that pad with 0.
pub fn convolution(context: &mut Context, src: Value, weights: Value, attrs: ConvAttrs) -> Fallible<Value> {
    let weights = constant(context, weights)
        .ok_or_else(|| unsupported("its weights are not constants of 16 bits"))?
        .map_err(|values| unsupported(&values))?;
    let Narrow { q, zero } = narrow(context, src)?.unsigned(context)?;
    let dims = weights.shape().dims().to_vec();
    let window = dims[1..].iter().product::<usize>().max(1);
    let sums: Vec<i64> = integers(&weights).chunks(window).map(|row| row.iter().sum()).collect();
    let weights = context.tensor(weights)?;
    let mut per_channel = vec![1; dims.len()];
    per_channel[1] = sums.len();
    let (q, attrs) = padded(context, q, zero, attrs)?;
    let products = context.emit(Op::Convolution(attrs), &[q, weights])?;
    less(context, products, zero, &sums, &per_channel)
}

/// The source and the attributes with the padding of its zero point: an attribute, or a frame where it is computed.
fn padded(context: &mut Context, q: Value, zero: Zero, attrs: ConvAttrs) -> Fallible<(Value, ConvAttrs)> {
    let value = match zero {
        Zero::Constant(value) => {
            let pad_value = u8::try_from(value).map_err(|_| unsupported("its zero point is outside of 8 bits"))?;
            return Ok((q, ConvAttrs { pad_value: pad_value.into(), ..attrs }));
        }
        Zero::Computed { value, .. } if elements(context, value) > 1 => {
            return Err(unsupported("its source has several zero points"));
        }
        Zero::Computed { .. } if !attrs.pads_begin.iter().chain(&attrs.pads_end).any(|&pads| pads > 0) => {
            return Ok((q, attrs));
        }
        Zero::Computed { of_data: false, .. } => {
            return Err(unsupported("padding with a zero point that is not converted from the type of the source"));
        }
        Zero::Computed { value, .. } => context.convert(value, ElemType::U8)?,
    };
    let none = vec![0; attrs.pads_begin.len()];
    let framed = framed(context, q, value, &attrs)?;
    Ok((framed, ConvAttrs { pads_begin: none.clone(), pads_end: none, ..attrs }))
}

/// The source with its padding around it, all of it `value`.
fn framed(context: &mut Context, q: Value, value: Value, attrs: &ConvAttrs) -> Fallible<Value> {
    let mut framed = q;
    let value = context.reshape(value, &vec![1; context.rank(q)])?;
    for (dim, (&begin, &end)) in attrs.pads_begin.iter().zip(&attrs.pads_end).enumerate() {
        let axis = dim + 2;
        let mut dims = context.dims(framed);
        let mut side = |context: &mut Context, pads: usize| {
            dims[axis] = pads;
            if pads == 0 { Ok(None) } else { context.broadcast(value, &dims).map(Some) }
        };
        let (before, after) = (side(context, begin)?, side(context, end)?);
        let parts: Vec<Value> = before.into_iter().chain([framed]).chain(after).collect();
        if parts.len() > 1 {
            framed = context.emit(Op::Concat { axis }, &parts)?;
        }
    }
    Ok(framed)
}

pub fn matmul(context: &mut Context, operands: [Value; 2], transposed: [bool; 2]) -> Fallible<Value> {
    let [a, b] = operands;
    if operands.iter().any(|&value| context.rank(value) < 2) {
        return Err(unsupported("an operand is a vector"));
    }
    let a = narrow(context, a)?.unsigned(context)?;
    let Some(weights) = constant(context, b) else {
        let b = narrow(context, b)?;
        let [a, b] = [a.upright(context, transposed[0])?, b.upright(context, transposed[1])?];
        return computed(context, &a, &b);
    };
    let weights = weights.map_err(|values| unsupported(&values))?;
    let Narrow { q, zero } = a;
    let zero = match zero {
        Zero::Computed { value, .. } => {
            Zero::Computed { value: per_row(context, value, transposed[0])?, of_data: false }
        }
        Zero::Constant(_) => zero,
    };
    let (sums, dims) = column_sums(&weights, transposed[1]);
    let weights = context.tensor(weights)?;
    let op = Op::MatMul { transpose_a: transposed[0], transpose_b: transposed[1] };
    let products = context.emit(op, &[q, weights])?;
    less(context, products, zero, &sums, &dims)
}

/// The product of two computed matrices.
fn computed(context: &mut Context, a: &Narrow, b: &Narrow) -> Fallible<Value> {
    let (rank_a, rank_b) = (context.rank(a.q), context.rank(b.q));
    let length = context.dims(a.q)[rank_a - 1];
    let mut sums = context.emit(Op::MatMul { transpose_a: false, transpose_b: false }, &[a.q, b.q])?;
    let zeros = [a.value(context)?, b.value(context)?];
    let total = |context: &mut Context, q: Value, axis: usize| {
        let attrs = ReduceAttrs { kind: ReduceKind::Sum, axes: vec![axis], keep_dims: true };
        context.emit(Op::Reduce(attrs), &[q])
    };
    if let Some(zero) = zeros[1] {
        check_zero(context, zero, rank_b - 2, rank_b)?;
        let rows = total(context, a.q, rank_a - 1)?;
        let term = context.binary(BinaryOp::Mul, rows, zero)?;
        sums = context.binary(BinaryOp::Sub, sums, term)?;
    }
    if let Some(zero) = zeros[0] {
        check_zero(context, zero, rank_a - 1, rank_a)?;
        let mut columns = total(context, b.q, rank_b - 2)?;
        if let Some(other) = zeros[1] {
            let length = context.scalar(ElemType::I32, length as f64)?;
            let all = context.binary(BinaryOp::Mul, other, length)?;
            columns = context.binary(BinaryOp::Sub, columns, all)?;
        }
        let term = context.binary(BinaryOp::Mul, columns, zero)?;
        sums = context.binary(BinaryOp::Sub, sums, term)?;
    }
    Ok(sums)
}

/// A zero point of one element, or one that does not vary along the axis that is summed over.
fn check_zero(context: &Context, zero: Value, summed: usize, rank: usize) -> Fallible<()> {
    let dims = context.dims(zero);
    let varies = (summed + dims.len()).checked_sub(rank).is_some_and(|axis| dims[axis] > 1);
    if varies { Err(unsupported("a zero point varies along the dimension that is summed over")) } else { Ok(()) }
}

/// A zero point as it is subtracted from the rows of the product.
fn per_row(context: &mut Context, zero: Value, transposed: bool) -> Fallible<Value> {
    if elements(context, zero) == 1 {
        return context.reshape(zero, &[]);
    }
    if transposed {
        return Err(unsupported("its first operand is transposed and has several zero points"));
    }
    let rank = context.rank(zero);
    check_zero(context, zero, rank - 1, rank).map(|()| zero)
}

/// `products - zero * sums`, the sums a constant of these dimensions.
fn less(context: &mut Context, products: Value, zero: Zero, sums: &[i64], dims: &[usize]) -> Fallible<Value> {
    let tensor = |factor: i64| -> Fallible<Tensor> {
        let values = sums.iter().map(|&sum| sum.wrapping_mul(factor) as i32).collect();
        Ok(Tensor::i32(shape(dims)?, values))
    };
    match zero {
        Zero::Constant(0) => Ok(products),
        Zero::Constant(zero) => {
            let term = context.tensor(tensor(zero.wrapping_neg())?)?;
            context.binary(BinaryOp::Add, products, term)
        }
        Zero::Computed { value: zero, .. } => {
            let sums = context.tensor(tensor(1)?)?;
            let term = context.binary(BinaryOp::Mul, sums, zero)?;
            context.binary(BinaryOp::Sub, products, term)
        }
    }
}

/// Sums over K for every matrix and column, and their dimensions `[batch.., 1, n]`.
fn column_sums(weights: &Tensor, transposed: bool) -> (Vec<i64>, Vec<usize>) {
    let values = integers(weights);
    let mut dims = weights.shape().dims().to_vec();
    let rank = dims.len();
    let (rows, columns) = (dims[rank - 2], dims[rank - 1]);
    let matrices = values.chunks((rows * columns).max(1));
    let sums = match transposed {
        true => matrices.flat_map(|matrix| matrix.chunks(columns.max(1)).map(|row| row.iter().sum())).collect(),
        false => matrices
            .flat_map(|matrix| (0..columns).map(|column| matrix.iter().skip(column).step_by(columns).sum()))
            .collect(),
    };
    dims[rank - 1] = if transposed { rows } else { columns };
    dims[rank - 2] = 1;
    (sums, dims)
}

impl Narrow {
    /// As u8.
    fn unsigned(self, context: &mut Context) -> Fallible<Narrow> {
        if context.elem(self.q) == ElemType::U8 {
            return Ok(self);
        }
        let by = RequantizeAttrs::UNSIGNED;
        let shift = RequantizeAttrs::shift(by, ElemType::U8);
        let q = context.emit(Op::Requantize(shift), &[self.q])?;
        let zero = match self.zero {
            Zero::Constant(zero) => Zero::Constant(zero.wrapping_add(by.into())),
            Zero::Computed { value, of_data } => {
                let distance = context.scalar(ElemType::I32, by.into())?;
                Zero::Computed { value: context.binary(BinaryOp::Add, value, distance)?, of_data }
            }
        };
        Ok(Narrow { q, zero })
    }

    /// With the last two dimensions in the order of the product.
    fn upright(self, context: &mut Context, transposed: bool) -> Fallible<Narrow> {
        if !transposed {
            return Ok(self);
        }
        let swapped = |context: &mut Context, value: Value| {
            let rank = context.rank(value);
            let mut perm: Vec<usize> = (0..rank).collect();
            perm.swap(rank - 2, rank - 1);
            context.transpose(value, &perm)
        };
        let zero = match self.zero {
            Zero::Computed { value, of_data } if elements(context, value) > 1 => {
                if context.rank(value) < 2 {
                    return Err(unsupported("a zero point varies along the dimension that is summed over"));
                }
                Zero::Computed { value: swapped(context, value)?, of_data }
            }
            zero => zero,
        };
        Ok(Narrow { q: swapped(context, self.q)?, zero })
    }

    /// The zero point in 32 bits, if there is one.
    fn value(&self, context: &mut Context) -> Fallible<Option<Value>> {
        match self.zero {
            Zero::Constant(0) => Ok(None),
            Zero::Constant(zero) => context.scalar(ElemType::I32, zero as f64).map(Some),
            Zero::Computed { value, .. } => Ok(Some(value)),
        }
    }
}

/// Reads an operand as 8-bit data less a zero point.
fn narrow(context: &mut Context, value: Value) -> Fallible<Narrow> {
    if let Some(found) = constant(context, value) {
        let tensor = found.map_err(|values| unsupported(&values))?;
        return Ok(Narrow { q: context.tensor(tensor)?, zero: Zero::Constant(0) });
    }
    let graph = context.graph();
    let node = graph.def_node(value);
    let difference = node.filter(|&node| *graph.op(node) == Op::Binary(BinaryOp::Sub));
    let (data, zero) = match difference {
        Some(node) => (graph.operand(node, 0), Some(graph.operand(node, 1))),
        None => (value, None),
    };
    let converted = graph.def_node(data).filter(|&node| matches!(graph.op(node), Op::Convert { .. }));
    let q = converted.map(|node| graph.operand(node, 0));
    let q = q.filter(|&q| matches!(graph.ty(q).elem, ElemType::U8 | ElemType::I8));
    let q = q.filter(|&q| graph.ty(q).shape == graph.ty(value).shape);
    let q = q.ok_or_else(|| unsupported("an operand is neither a constant nor converted from 8 bits"))?;
    let zero = match zero {
        Some(zero) => zero_point(context, zero, context.elem(q))?,
        None => Zero::Constant(0),
    };
    Ok(Narrow { q, zero })
}

fn zero_point(context: &mut Context, value: Value, data: ElemType) -> Fallible<Zero> {
    let Importer { graph, folder, .. } = &mut *context.importer;
    let known = folder.value(graph, value).ok().filter(|tensor| tensor.shape().elements() == 1);
    match known.and_then(|tensor| tensor.to_i64()) {
        Some(zero) => Ok(Zero::Constant(zero[0])),
        None => {
            let graph = context.graph();
            let converted = graph.def_node(value).filter(|&node| matches!(graph.op(node), Op::Convert { .. }));
            let of_data = converted.is_some_and(|node| graph.ty(graph.operand(node, 0)).elem == data);
            Ok(Zero::Computed { value: context.convert(value, ElemType::I32)?, of_data })
        }
    }
}

/// The value as a constant of i8, or else of i16; what is wrong with it if it fits neither.
fn constant(context: &mut Context, value: Value) -> Option<Result<Tensor, String>> {
    let Importer { graph, folder, .. } = &mut *context.importer;
    let tensor = folder.value(graph, value).ok()?;
    let values = tensor.to_i64()?;
    let shape = tensor.shape().clone();
    let narrow: Option<Vec<i8>> = values.iter().map(|&value| i8::try_from(value).ok()).collect();
    if let Some(narrow) = narrow {
        return Some(Ok(Tensor::i8(shape, narrow)));
    }
    let wide: Option<Vec<i16>> = values.iter().map(|&value| i16::try_from(value).ok()).collect();
    let wide = wide.map(|wide| Tensor::new(TensorType::new(ElemType::I16, shape), Data::I16(wide)));
    Some(wide.ok_or_else(|| "its constant has integers beyond 16 bits".to_owned()))
}

fn integers(tensor: &Tensor) -> Vec<i64> {
    tensor.to_i64().unwrap_or_default()
}

fn elements(context: &Context, value: Value) -> usize {
    context.dims(value).iter().product()
}

fn unsupported(what: &str) -> Fault {
    Fault::new(format!("a product of 32-bit integers: {what}")).help(
        "octet multiplies 8-bit data, less a zero point, as ONNX's MatMulInteger and ConvInteger do; \
         convert to f32 in front of other products",
    )
}
