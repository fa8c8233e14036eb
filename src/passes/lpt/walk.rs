//! What several LPT passes ask of a graph beyond its own API.

use crate::ir::{Graph, Region};

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
