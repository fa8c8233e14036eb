//! Recurrent cells, branches and loops. The regions of a branch or loop are complete when its node is made.

use super::super::entity::Region;
use super::super::graph::Graph;
use super::super::op::{Direction, LoopAttrs, LoopSlice, RnnAttrs, RnnKind};
use super::super::ty::{ElemType, Shape, TensorType};
use super::{check_axis, check_float, check_len, check_same_elem, checked_product, typed};

/// Gates of the cell's weights, and states (hidden, and the LSTM's cell).
fn cell(kind: RnnKind) -> (usize, usize) {
    match kind {
        RnnKind::Lstm => (4, 2),
        RnnKind::Gru => (3, 1),
        RnnKind::Rnn => (1, 1),
    }
}

pub(super) fn rnn(types: &[&TensorType], attrs: &RnnAttrs) -> Result<Vec<TensorType>, String> {
    let (gates, states) = cell(attrs.kind);
    let weights = if attrs.projected { 2 } else { 3 };
    check_len("the list of operands", types.len(), 1 + states + weights)?;
    check_float(types[0])?;
    check_same_elem(types)?;
    check_cell(attrs)?;
    let &[batch, seq, input] = types[0].shape.dims() else {
        return Err(format!("takes x of [batch, seq, input], not {}", types[0]));
    };
    let dirs = if attrs.direction == Direction::Bidirectional { 2 } else { 1 };
    let hidden = attrs.hidden;
    let rows = checked_product(&[gates, hidden])?;
    let bias_rows = checked_product(&[gates + usize::from(attrs.linear_before_reset), hidden])?;
    let state = vec![batch, dirs, hidden];
    let mut expected = vec![vec![batch, seq, input]];
    expected.extend(vec![state.clone(); states]);
    if attrs.projected {
        expected[0][2] = checked_product(&[dirs, rows])?;
    } else {
        expected.push(vec![dirs, rows, input]);
    }
    expected.extend([vec![dirs, rows, hidden], vec![dirs, bias_rows]]);
    for (index, (ty, dims)) in types.iter().zip(&expected).enumerate() {
        if ty.shape.dims() != dims {
            return Err(format!("operand {index} is {ty}, expected shape {dims:?}"));
        }
    }
    let elem = types[0].elem;
    let mut results = vec![typed(elem, vec![batch, dirs, seq, hidden])?];
    for _ in 0..states {
        results.push(typed(elem, state.clone())?);
    }
    Ok(results)
}

fn check_cell(attrs: &RnnAttrs) -> Result<(), String> {
    let activations = match attrs.kind {
        RnnKind::Lstm => 3,
        RnnKind::Gru => 2,
        RnnKind::Rnn => 1,
    };
    check_len("activations", attrs.activations.len(), activations)?;
    if attrs.linear_before_reset && attrs.kind != RnnKind::Gru {
        return Err("linear_before_reset is for GRU only".into());
    }
    match attrs.clip {
        Some(clip) if clip.is_nan() || clip <= 0.0 => Err(format!("clip {clip} is not positive")),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn conditional(
    graph: &Graph,
    types: &[&TensorType],
    then_body: Region,
    else_body: Region,
) -> Result<Vec<TensorType>, String> {
    check_condition("the condition", types[0])?;
    for (name, region) in [("then", then_body), ("else", else_body)] {
        check_params(graph, name, region, &types[1..])?;
    }
    let then_types = returned(graph, then_body);
    if then_types != returned(graph, else_body) {
        return Err("the branches return different types".into());
    }
    Ok(then_types.into_iter().cloned().collect())
}

/// See [`LoopAttrs`] for the order of operands, parameters and results.
pub(super) fn counted_loop(graph: &Graph, types: &[&TensorType], attrs: &LoopAttrs) -> Result<Vec<TensorType>, String> {
    let (sliced, carried) = (attrs.sliced.len(), attrs.carried);
    if sliced.checked_add(carried).is_none_or(|least| types.len() < least) {
        return Err(format!("takes {sliced} sliced and {carried} carried operands, not {} in all", types.len()));
    }
    let slices: Result<Vec<TensorType>, String> =
        attrs.sliced.iter().zip(types).map(|(slice, ty)| sliced_type(ty, slice, attrs.trip_count)).collect();
    let slices = slices?;
    let index = TensorType::new(ElemType::I64, Shape::scalar());
    let mut params: Vec<&TensorType> = Vec::new();
    params.extend(attrs.takes_index.then_some(&index));
    params.extend(&slices);
    params.extend(&types[sliced..]);
    check_params(graph, "loop", attrs.body, &params)?;

    let mut returned = returned(graph, attrs.body).into_iter();
    if attrs.has_condition {
        check_condition("the body's condition", returned.next().ok_or("the body returns no condition")?)?;
    }
    let returned: Vec<&TensorType> = returned.collect();
    check_len("the list of the body's results", returned.len(), carried + attrs.concatenated.len())?;
    for (carried, returned) in types[sliced..].iter().zip(&returned[..carried]) {
        if carried != returned {
            return Err(format!("a carried value enters as {carried} and returns as {returned}"));
        }
    }
    let mut results: Vec<TensorType> = returned[..carried].iter().map(|&ty| ty.clone()).collect();
    for (slice, ty) in attrs.concatenated.iter().zip(&returned[carried..]) {
        results.push(concatenated_type(ty, slice, attrs.trip_count)?);
    }
    Ok(results)
}

/// What one iteration sees of a sliced operand; every iteration's slice must lie inside it.
fn sliced_type(ty: &TensorType, slice: &LoopSlice, trip_count: usize) -> Result<TensorType, String> {
    check_axis(slice.axis, ty)?;
    let size = ty.shape[slice.axis];
    if let Some((first, end)) = slice_span(slice, trip_count)?
        && (first < 0 || usize::try_from(end).is_ok_and(|end| end > size))
    {
        return Err(format!("iterations see elements {first} to {end} of axis {}, outside {ty}", slice.axis));
    }
    let mut dims = ty.shape.dims().to_vec();
    dims[slice.axis] = slice.part;
    typed(ty.elem, dims)
}

/// What the slices of all iterations make; together they must fill it without a gap.
fn concatenated_type(ty: &TensorType, slice: &LoopSlice, trip_count: usize) -> Result<TensorType, String> {
    check_axis(slice.axis, ty)?;
    if ty.shape[slice.axis] != slice.part {
        return Err(format!("a slice of {} elements is concatenated from {ty}", slice.part));
    }
    let size = checked_product(&[slice.part, trip_count])?;
    if let Some((first, end)) = slice_span(slice, trip_count)?
        && (first != 0
            || usize::try_from(end) != Ok(size)
            || (trip_count > 1 && slice.stride.unsigned_abs() != slice.part))
    {
        return Err(format!("slices from {} by {} do not fill axis {}", slice.start, slice.stride, slice.axis));
    }
    let mut dims = ty.shape.dims().to_vec();
    dims[slice.axis] = size;
    typed(ty.elem, dims)
}

/// First element and end of all iterations' slices; `None` without iterations.
fn slice_span(slice: &LoopSlice, trip_count: usize) -> Result<Option<(isize, isize)>, String> {
    let Some(steps) = trip_count.checked_sub(1) else {
        return Ok(None);
    };
    let span = || {
        let last = slice.start.checked_add(isize::try_from(steps).ok()?.checked_mul(slice.stride)?)?;
        let end = slice.start.max(last).checked_add(isize::try_from(slice.part).ok()?)?;
        Some((slice.start.min(last), end))
    };
    span()
        .map(Some)
        .ok_or_else(|| format!("{trip_count} slices from {} by {} are out of range", slice.start, slice.stride))
}

fn returned(graph: &Graph, region: Region) -> Vec<&TensorType> {
    graph.region_results(region).iter().map(|&value| graph.ty(value)).collect()
}

fn check_params(graph: &Graph, name: &str, region: Region, expected: &[&TensorType]) -> Result<(), String> {
    let params = graph.params(region);
    check_len(&format!("the list of parameters of the {name} region"), params.len(), expected.len())?;
    for (&param, expected) in params.iter().zip(expected) {
        if graph.ty(param) != *expected {
            return Err(format!("the {name} region takes {param} as {}, not {expected}", graph.ty(param)));
        }
    }
    Ok(())
}

fn check_condition(name: &str, ty: &TensorType) -> Result<(), String> {
    if ty.elem == ElemType::Bool && ty.shape.elements() == 1 {
        return Ok(());
    }
    Err(format!("{name} is {ty}, expected one bool"))
}
