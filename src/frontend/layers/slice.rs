//! StridedSlice and Slice: bounds and masks resolved to a plain slice, then a reshape.

use crate::ir::op::SliceAttrs;
use crate::ir::{Op, Value};

use super::super::context::{Context, Fallible, Fault, axis};

/// What one entry of a StridedSlice says.
#[derive(Clone, Copy)]
enum Entry {
    /// A dimension of the source: bounds (`None`: as far as it goes) and step.
    Range(Option<i64>, Option<i64>, i64),
    /// One element; the dimension vanishes.
    Index(i64),
    /// A new dimension of 1.
    New,
    /// All dimensions that no other entry names.
    Ellipsis,
}

pub fn strided_slice(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let entries = read_entries(context)?;
    let entries = expand_ellipsis(entries, context.rank(x))?;
    let dims = context.dims(x);
    let mut sizes = dims.iter();
    let (mut attrs, mut target) = (SliceAttrs { begin: vec![], lengths: vec![], strides: vec![] }, Vec::new());
    for entry in entries {
        if let Entry::New = entry {
            target.push(1);
            continue;
        }
        let Some(&size) = sizes.next() else { return Err(Fault::new("it names more dimensions than there are")) };
        let (begin, length, stride) = match entry {
            Entry::Index(index) => (axis(index, size)?, 1, 1),
            Entry::Range(begin, end, step) => resolve_range(begin, end, step, size)?,
            Entry::New | Entry::Ellipsis => (0, size, 1),
        };
        if !matches!(entry, Entry::Index(_)) {
            target.push(length);
        }
        attrs.begin.push(begin);
        attrs.lengths.push(length);
        attrs.strides.push(stride);
    }
    let sliced = context.emit(Op::Slice(attrs), &[x])?;
    Ok(vec![context.reshape(sliced, &target)?])
}

fn read_entries(context: &mut Context) -> Fallible<Vec<Entry>> {
    let begin = context.ints(1, "the begin")?;
    let end = context.ints(2, "the end")?;
    let steps = if context.has(3) { context.ints(3, "the strides")? } else { vec![1; begin.len()] };
    let mask = |name: &str| -> Fallible<Vec<i64>> { Ok(context.list(name)?.unwrap_or_default()) };
    let (begin_mask, end_mask) = (mask("begin_mask")?, mask("end_mask")?);
    let (new, shrink, ellipsis) = (mask("new_axis_mask")?, mask("shrink_axis_mask")?, mask("ellipsis_mask")?);
    if end.len() != begin.len() || steps.len() < begin.len() {
        return Err(Fault::new("begin, end and strides differ in length"));
    }
    let is_set = |mask: &[i64], at: usize| mask.get(at).is_some_and(|&set| set != 0);
    let entries = (0..begin.len()).map(|at| {
        if is_set(&ellipsis, at) {
            Entry::Ellipsis
        } else if is_set(&new, at) {
            Entry::New
        } else if is_set(&shrink, at) {
            Entry::Index(if is_set(&begin_mask, at) { 0 } else { begin[at] })
        } else {
            let begin = (!is_set(&begin_mask, at)).then_some(begin[at]);
            let end = (!is_set(&end_mask, at)).then_some(end[at]);
            Entry::Range(begin, end, steps[at])
        }
    });
    Ok(entries.collect())
}

/// Replaces the ellipsis by whole dimensions, or appends them.
fn expand_ellipsis(entries: Vec<Entry>, rank: usize) -> Fallible<Vec<Entry>> {
    let named = entries.iter().filter(|entry| matches!(entry, Entry::Range(..) | Entry::Index(_))).count();
    let rest = rank.checked_sub(named).ok_or_else(|| Fault::new(format!("it names {named} of {rank} dimensions")))?;
    let mut ellipses =
        entries.iter().enumerate().filter(|(_, entry)| matches!(entry, Entry::Ellipsis)).map(|(at, _)| at);
    let (at, length) = match (ellipses.next(), ellipses.next()) {
        (Some(at), None) => (at, 1),
        (None, _) => (entries.len(), 0),
        (Some(_), Some(_)) => return Err(Fault::new("it has two ellipses")),
    };
    let mut expanded = entries;
    expanded.splice(at..at + length, std::iter::repeat_n(Entry::Range(None, None, 1), rest));
    Ok(expanded)
}

/// Begin, length and stride of a range in a dimension; out-of-range bounds are clamped, as in NumPy.
fn resolve_range(begin: Option<i64>, end: Option<i64>, step: i64, size: usize) -> Fallible<(usize, usize, isize)> {
    let bad = || Fault::new(format!("a step of {step} over {size} elements is out of range"));
    let (extent, stride) = (i64::try_from(size).map_err(|_| bad())?, isize::try_from(step).map_err(|_| bad())?);
    let absolute = |bound: i64| if bound < 0 { bound.saturating_add(extent) } else { bound };
    let (begin, end) = match step {
        0 => return Err(bad()),
        1.. => {
            (begin.map_or(0, |b| absolute(b).clamp(0, extent)), end.map_or(extent, |e| absolute(e).clamp(0, extent)))
        }
        _ => (
            begin.map_or(extent - 1, |b| absolute(b).clamp(-1, extent - 1)),
            end.map_or(-1, |e| absolute(e).clamp(-1, extent - 1)),
        ),
    };
    let span = if step > 0 { end - begin } else { begin - end };
    let length = if span <= 0 { 0 } else { (span as u64).div_ceil(step.unsigned_abs()) };
    let length = usize::try_from(length).map_err(|_| bad())?;
    Ok((usize::try_from(begin).unwrap_or(0), length, stride))
}

/// Operands: data, start, stop, step and perhaps axes.
pub fn slice(context: &mut Context) -> Fallible<Vec<Value>> {
    let x = context.operand(0)?;
    let dims = context.dims(x);
    let (start, stop) = (context.ints(1, "the start")?, context.ints(2, "the stop")?);
    let step = context.ints(3, "the step")?;
    let axes = if context.has(4) { context.ints(4, "the axes")? } else { (0..start.len() as i64).collect() };
    if [stop.len(), step.len(), axes.len()].iter().any(|&len| len != start.len()) {
        return Err(Fault::new("start, stop, step and axes differ in length"));
    }
    let rank = dims.len();
    let mut attrs = SliceAttrs { begin: vec![0; rank], lengths: dims.clone(), strides: vec![1; rank] };
    for (at, &along) in axes.iter().enumerate() {
        let dim = axis(along, rank)?;
        let (begin, length, stride) = resolve_range(Some(start[at]), Some(stop[at]), step[at], dims[dim])?;
        (attrs.begin[dim], attrs.lengths[dim], attrs.strides[dim]) = (begin, length, stride);
    }
    Ok(vec![context.emit(Op::Slice(attrs), &[x])?])
}
