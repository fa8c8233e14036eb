//! TensorIterator, Loop and If: their bodies become regions.
//!
//! A loop's number of iterations is fixed when the model is imported; so are its slices. A branch whose condition is
//! known is imported in place of the If.

use std::collections::BTreeMap;

use crate::ir::op::{LoopAttrs, LoopSlice};
use crate::ir::{ElemType, Op, Region, Shape, TensorType, Value};

use super::super::build::Outputs;
use super::super::context::{Context, Fallible, Fault, axis, shape};
use super::super::elements::{Stored, parse_dims};
use super::super::network::{self, Network};
use super::super::xml::{BodyXml, PortMapXml};
use super::movement;

/// A loop while it is being built. Vectors are in the order of the operation's operands.
struct Plan<'m, 'a> {
    body: &'m BodyXml<'a>,
    network: Network,
    region: Region,
    /// Values of the body's Parameter layers, by index.
    params: BTreeMap<usize, Value>,
    operands: Vec<Value>,
    attrs: LoopAttrs,
    /// Result layers of carried values, by index.
    carried_results: Vec<usize>,
    /// What `attrs.concatenated` is made of.
    gathered: Vec<Gathered>,
}

/// A Result layer of the body whose values of all iterations are joined. Without an axis the layer gives the last one
/// only.
struct Gathered {
    result: usize,
    map: PortMapXml,
}

pub fn tensor_iterator(context: &mut Context) -> Fallible<Vec<Value>> {
    let body = find_body(context, "body")?;
    let mut trip_count = None;
    for map in body.maps.iter().filter(|map| map.is_input && map.axis.is_some()) {
        let operand = external_operand(context, map)?;
        let count = trips(map, &context.dims(operand))?;
        trip_count = trip_count.or(Some(count));
    }
    let trip_count = trip_count.ok_or_else(|| Fault::new("no sliced input says how often it iterates"))?;
    iterate(context, body, trip_count, None)
}

/// Operands 0 and 1: trip count and first condition.
pub fn counted_loop(context: &mut Context) -> Fallible<Vec<Value>> {
    let body = find_body(context, "body")?;
    let trips = context.int(0, "the trip count")?;
    let enters = context.int(1, "the first condition")? != 0;
    let trips =
        usize::try_from(trips).map_err(|_| Fault::unsupported("a loop without a fixed trip count is not supported"))?;
    let condition = body.maps.iter().find(|map| !map.is_input && map.purpose.as_deref() == Some("execution_condition"));
    iterate(context, body, if enters { trips } else { 0 }, condition)
}

fn find_body<'m, 'a>(context: &Context<'m, '_, 'a>, tag: &str) -> Fallible<&'m BodyXml<'a>> {
    let layer = context.layer;
    layer.bodies.iter().find(|body| body.tag == tag).ok_or_else(|| Fault::new(format!("<{tag}> is missing")))
}

fn external_operand(context: &Context, map: &PortMapXml) -> Fallible<Value> {
    let port = context.layer.inputs.iter().position(|port| i64::try_from(port.id) == Ok(map.external_port));
    let port = port.ok_or_else(|| {
        Fault::new(format!("its port map names input port {}, which does not exist", map.external_port))
    })?;
    context.operand(port)
}

/// Iterations of a slice: its borders are both included.
fn trips(map: &PortMapXml, dims: &[usize]) -> Fallible<usize> {
    let (size, part) = (dims[axis(map.axis.unwrap_or(0), dims.len())?], map.part_size);
    let border = |bound: i64| {
        let size = size as i64;
        if bound < 0 { bound.saturating_add(size) } else { bound }.clamp(0, size)
    };
    let span = border(map.end).abs_diff(border(map.start)) + 1;
    let part = u64::try_from(part).ok().filter(|&part| part > 0);
    let trips = part.and_then(|part| usize::try_from(span / part).ok());
    trips.ok_or_else(|| Fault::new(format!("a slice of {} elements", map.part_size)))
}

fn iterate(
    context: &mut Context,
    body: &BodyXml,
    trip_count: usize,
    condition: Option<&PortMapXml>,
) -> Fallible<Vec<Value>> {
    let mut plan = start(context, body, trip_count)?;
    add_index(context, &mut plan)?;
    add_sliced(context, &mut plan)?;
    add_carried(context, &mut plan)?;
    add_invariant(context, &mut plan)?;
    add_gathered(&mut plan)?;
    let outputs = import_body(context, &plan)?;
    end_region(context, &mut plan, &outputs, condition)?;
    let results = context.emit_all(Op::Loop(plan.attrs.clone()), &plan.operands)?;
    external_results(context, &plan, &results)
}

fn start<'m, 'a>(context: &mut Context, body: &'m BodyXml<'a>, trip_count: usize) -> Fallible<Plan<'m, 'a>> {
    let network = resolve(context, body)?;
    let region = context.importer.graph.new_region();
    let attrs = LoopAttrs {
        body: region,
        trip_count,
        takes_index: false,
        has_condition: false,
        sliced: Vec::new(),
        carried: 0,
        concatenated: Vec::new(),
    };
    Ok(Plan {
        body,
        network,
        region,
        params: BTreeMap::new(),
        operands: Vec::new(),
        attrs,
        carried_results: Vec::new(),
        gathered: Vec::new(),
    })
}

fn resolve(context: &mut Context, body: &BodyXml) -> Fallible<Network> {
    let importer = &mut *context.importer;
    network::resolve(&body.net, importer.file, &mut importer.problems).ok_or_else(|| Fault::new("its body is damaged"))
}

impl Plan<'_, '_> {
    fn inner(&self, id: u64) -> Fallible<usize> {
        let found = self.network.by_id.get(&id).copied();
        found.ok_or_else(|| Fault::new(format!("its port map names layer {id} of the body, which does not exist")))
    }

    fn maps(&self, is_input: bool) -> impl Iterator<Item = &PortMapXml> + use<'_> {
        self.body.maps.iter().filter(move |map| map.is_input == is_input)
    }
}

/// The number of the iteration, brought to the type that the body's Parameter declares.
fn add_index(context: &mut Context, plan: &mut Plan) -> Fallible<()> {
    let map = plan.maps(true).find(|map| map.purpose.as_deref() == Some("current_iteration"));
    let Some(layer) = map.map(|map| plan.inner(map.internal_layer)).transpose()? else { return Ok(()) };
    let parameter = &plan.body.net.layers[layer];
    let elem = Stored::parse(parameter.attr("element_type").unwrap_or("i64"))?.elem();
    let rank = parse_dims(parameter.attr("shape").unwrap_or_default())?.len();
    let scalar = TensorType::new(ElemType::I64, Shape::scalar());
    let index = context.importer.graph.add_param(plan.region, scalar);
    let outer = std::mem::replace(&mut context.region, plan.region);
    let index = context.convert(index, elem).and_then(|index| context.reshape(index, &vec![1; rank]));
    context.region = outer;
    plan.params.insert(layer, index?);
    plan.attrs.takes_index = true;
    Ok(())
}

fn add_sliced(context: &mut Context, plan: &mut Plan) -> Fallible<()> {
    let maps: Vec<PortMapXml> = plan.maps(true).filter(|map| map.axis.is_some()).cloned().collect();
    for map in maps {
        let operand = external_operand(context, &map)?;
        let mut dims = context.dims(operand);
        let slice = loop_slice(&map, dims.len(), |axis| dims[axis])?;
        dims[slice.axis] = slice.part;
        let ty = TensorType::new(context.elem(operand), shape(&dims)?);
        let layer = plan.inner(map.internal_layer)?;
        plan.params.insert(layer, context.importer.graph.add_param(plan.region, ty));
        plan.operands.push(operand);
        plan.attrs.sliced.push(slice);
    }
    Ok(())
}

/// Slices of `part_size` side by side, from the front or from the back.
fn loop_slice(map: &PortMapXml, rank: usize, size: impl Fn(usize) -> usize) -> Fallible<LoopSlice> {
    let bad = || {
        Fault::new(format!(
            "a slice from {} by {} of {} elements is out of range",
            map.start, map.stride, map.part_size
        ))
    };
    let axis = axis(map.axis.unwrap_or(0), rank)?;
    let part = isize::try_from(map.part_size).ok().filter(|&part| part > 0).ok_or_else(bad)?;
    let size = isize::try_from(size(axis)).map_err(|_| bad())?;
    let start = isize::try_from(map.start).map_err(|_| bad())?;
    let start = if start < 0 { start.checked_add(size).ok_or_else(bad)? } else { start };
    let backwards = map.stride < 0;
    let start = if backwards { start.checked_sub(part - 1).ok_or_else(bad)? } else { start };
    Ok(LoopSlice { axis, start, stride: if backwards { -part } else { part }, part: part.unsigned_abs() })
}

/// Values that a back edge leads from an iteration to the next.
fn add_carried(context: &mut Context, plan: &mut Plan) -> Fallible<()> {
    for &(from, to) in &plan.body.back_edges {
        let (result, parameter) = (plan.inner(from)?, plan.inner(to)?);
        let map = plan.maps(true).find(|map| map.internal_layer == to);
        let map = map.ok_or_else(|| {
            Fault::new(format!("a back edge leads to layer {to} of the body, which has no first value"))
        })?;
        let operand = external_operand(context, map)?;
        add_param(context, plan, parameter, operand);
        plan.carried_results.push(result);
        plan.attrs.carried += 1;
    }
    Ok(())
}

fn add_param(context: &mut Context, plan: &mut Plan, parameter: usize, operand: Value) {
    let ty = context.graph().ty(operand).clone();
    plan.params.insert(parameter, context.importer.graph.add_param(plan.region, ty));
    plan.operands.push(operand);
}

fn add_invariant(context: &mut Context, plan: &mut Plan) -> Fallible<()> {
    let maps: Vec<PortMapXml> =
        plan.maps(true).filter(|map| map.axis.is_none() && map.external_port >= 0).cloned().collect();
    for map in maps {
        let parameter = plan.inner(map.internal_layer)?;
        if !plan.params.contains_key(&parameter) {
            let operand = external_operand(context, &map)?;
            add_param(context, plan, parameter, operand);
        }
    }
    Ok(())
}

fn add_gathered(plan: &mut Plan) -> Fallible<()> {
    let maps: Vec<PortMapXml> = plan.maps(false).filter(|map| map.external_port >= 0).cloned().collect();
    for map in maps {
        let result = plan.inner(map.internal_layer)?;
        if map.axis.is_some() || !plan.carried_results.contains(&result) {
            plan.gathered.push(Gathered { result, map });
        }
    }
    Ok(())
}

fn import_body(context: &mut Context, plan: &Plan) -> Fallible<Outputs> {
    let before = context.importer.problems.len();
    let outputs = context.importer.net(&plan.body.net, &plan.network, plan.region, &plan.params);
    if context.importer.problems.len() > before {
        return Err(Fault::new("its body cannot be imported").help("see the other messages"));
    }
    Ok(outputs)
}

/// The value of a Result layer of a body.
fn body_result(outputs: &Outputs, layer: usize) -> Fallible<Value> {
    let value = outputs.get(layer).and_then(Option::as_ref).and_then(|values| values.first());
    value
        .copied()
        .ok_or_else(|| Fault::new("a Result of its body has no value: a Parameter of the body is not in the port map"))
}

fn end_region(
    context: &mut Context,
    plan: &mut Plan,
    outputs: &Outputs,
    condition: Option<&PortMapXml>,
) -> Fallible<()> {
    let mut results = Vec::new();
    if let Some(map) = condition {
        let value = body_result(outputs, plan.inner(map.internal_layer)?)?;
        let importer = &mut *context.importer;
        let known = importer.folder.value(&importer.graph, value).ok().map(|tensor| tensor.to_f64() == [1.0]);
        match known {
            Some(true) => {}
            Some(false) => plan.attrs.trip_count = plan.attrs.trip_count.min(1),
            None => {
                plan.attrs.has_condition = true;
                results.push(value);
            }
        }
    }
    if plan.attrs.has_condition && !plan.gathered.is_empty() {
        return Err(Fault::unsupported("a loop that may end early and joins results has no fixed shape"));
    }
    for &layer in &plan.carried_results {
        results.push(body_result(outputs, layer)?);
    }
    for Gathered { result, map } in &plan.gathered {
        let value = body_result(outputs, *result)?;
        plan.attrs.concatenated.push(gathered_slice(map, &context.dims(value), plan.attrs.trip_count)?);
        results.push(value);
    }
    context.importer.finish(plan.region, &results)
}

/// Where the iterations' values stand; those of which only the last counts are joined along axis 0.
fn gathered_slice(map: &PortMapXml, dims: &[usize], trip_count: usize) -> Fallible<LoopSlice> {
    if map.axis.is_some() {
        let part = usize::try_from(map.part_size).unwrap_or(0);
        return loop_slice(map, dims.len(), |_| part.saturating_mul(trip_count));
    }
    let part = dims.first().copied().filter(|_| trip_count > 0);
    let part = part.ok_or_else(|| Fault::unsupported("a scalar result of the last iteration only is not supported"))?;
    let stride = isize::try_from(part).map_err(|_| Fault::new("internal error: a dimension exceeds isize"))?;
    Ok(LoopSlice { axis: 0, start: 0, stride, part })
}

/// The loop's results in the order of the layer's output ports.
fn external_results(context: &mut Context, plan: &Plan, results: &[Value]) -> Fallible<Vec<Value>> {
    let (carried, gathered) = results.split_at(plan.attrs.carried.min(results.len()));
    let ports: Vec<u64> = context.layer.outputs.iter().map(|port| port.id).collect();
    let mut values = Vec::new();
    for port in ports {
        let is_here = |map: &PortMapXml| i64::try_from(port) == Ok(map.external_port);
        let missing = || Fault::new(format!("its port map has no entry for output port {port}"));
        if let Some(at) = plan.gathered.iter().position(|gathered| is_here(&gathered.map)) {
            let value = *gathered.get(at).ok_or_else(missing)?;
            values.push(if plan.gathered[at].map.axis.is_some() { value } else { last_part(context, plan, value)? });
            continue;
        }
        let map = plan.maps(false).find(|map| is_here(map)).ok_or_else(missing)?;
        let layer = plan.inner(map.internal_layer)?;
        let at = plan.carried_results.iter().position(|&result| result == layer).ok_or_else(missing)?;
        values.push(*carried.get(at).ok_or_else(missing)?);
    }
    Ok(values)
}

fn last_part(context: &mut Context, plan: &Plan, value: Value) -> Fallible<Value> {
    let size = context.dims(value).first().copied().unwrap_or(0);
    let part = size / plan.attrs.trip_count.max(1);
    movement::part(context, value, 0, size - part, part)
}

/// Operand 0: the condition.
pub fn conditional(context: &mut Context) -> Fallible<Vec<Value>> {
    let (then_body, else_body) = (find_body(context, "then_body")?, find_body(context, "else_body")?);
    let condition = context.operand(0)?;
    let importer = &mut *context.importer;
    if let Ok(known) = importer.folder.value(&importer.graph, condition) {
        let taken = if known.to_f64() == [0.0] { else_body } else { then_body };
        let operands = context.operands;
        return branch(context, taken, context.region, operands);
    }
    let operands = context.operands;
    let mut regions = Vec::new();
    for body in [then_body, else_body] {
        let region = context.importer.graph.new_region();
        let mut params = vec![condition];
        for &operand in &operands[1..] {
            let ty = context.graph().ty(operand).clone();
            params.push(context.importer.graph.add_param(region, ty));
        }
        let results = branch(context, body, region, &params)?;
        context.importer.finish(region, &results)?;
        regions.push(region);
    }
    context.emit_all(Op::If { then_body: regions[0], else_body: regions[1] }, operands)
}

/// Imports a branch; `values` stand for the layer's inputs. Gives the layer's outputs.
fn branch(context: &mut Context, body: &BodyXml, region: Region, values: &[Value]) -> Fallible<Vec<Value>> {
    let network = resolve(context, body)?;
    let inner = |id: u64| {
        network.by_id.get(&id).copied().ok_or_else(|| Fault::new(format!("layer {id} of a branch does not exist")))
    };
    let mut params = BTreeMap::new();
    for map in body.maps.iter().filter(|map| map.is_input) {
        let port = context.layer.inputs.iter().position(|port| i64::try_from(port.id) == Ok(map.external_port));
        let value = port.and_then(|port| values.get(port));
        let value = value.ok_or_else(|| Fault::new(format!("its port map names input port {}", map.external_port)))?;
        params.insert(inner(map.internal_layer)?, *value);
    }
    let before = context.importer.problems.len();
    let outputs = context.importer.net(&body.net, &network, region, &params);
    if context.importer.problems.len() > before {
        return Err(Fault::new("a branch cannot be imported").help("see the other messages"));
    }
    let mut results = Vec::new();
    for port in &context.layer.outputs {
        let map = body.maps.iter().find(|map| !map.is_input && i64::try_from(port.id) == Ok(map.external_port));
        let map = map.ok_or_else(|| Fault::new(format!("its port map has no entry for output port {}", port.id)))?;
        results.push(body_result(&outputs, inner(map.internal_layer)?)?);
    }
    Ok(results)
}
