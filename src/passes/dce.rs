//! Pass `dce`: removes what nobody uses. Backwards, so that one walk suffices: users come before what they use.

use super::PassContext;
use crate::diag;
use crate::ir::{Graph, Node};

pub fn run(graph: &mut Graph, _: &mut PassContext) -> diag::Result<bool> {
    let mut changed = false;
    // Outer regions first: what an unused loop's body uses is unused once the loop is gone.
    for region in graph.all_regions() {
        for node in graph.nodes(region).collect::<Vec<Node>>().into_iter().rev() {
            // The region may have vanished with its owner.
            if graph.region_of(node).is_some() && graph.is_pure(node) && graph.is_unused(node) {
                graph.remove(node);
                changed = true;
            }
        }
    }
    Ok(changed)
}
