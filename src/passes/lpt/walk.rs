//! What several LPT passes ask of a graph beyond its own API.

use crate::ir::{ElemType, Graph, Op, Region, Value};

/// The body and every region inside it, outer before inner.
pub fn regions(graph: &Graph) -> Vec<Region> {
    let mut found = vec![graph.body()];
    let mut at = 0;
    while at < found.len() {
        let inner: Vec<Region> = graph.nodes(found[at]).flat_map(|node| graph.op(node).regions()).collect();
        found.extend(inner);
        at += 1;
    }
    found
}

/// Least and greatest integer a value may hold: the bounds of what made it, else those of its 8-bit type.
pub fn known_range(graph: &Graph, value: Value) -> Option<(i64, i64)> {
    match graph.def_op(value) {
        Some(Op::Quantize(attrs)) => Some((attrs.low.into(), attrs.high.into())),
        Some(Op::Requantize(attrs)) => Some((attrs.low.into(), attrs.high.into())),
        _ => match graph.ty(value).elem {
            elem @ (ElemType::U8 | ElemType::I8) => elem.int_range(),
            _ => None,
        },
    }
}
