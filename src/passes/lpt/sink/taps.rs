//! Geometry of convolutions and deconvolutions: which channels a weight connects, and which taps meet the source.

use crate::ir::{Graph, Node};

/// Which channels an element `[i0, i1, ..]` of the weights connects.
#[derive(Clone)]
pub struct Layout {
    pub groups: usize,
    pub ic: usize,
    pub oc: usize,
    /// Weights are `[ic, oc / groups, ..]` instead of `[oc, ic / groups, ..]`.
    pub transposed: bool,
}

impl Layout {
    /// Of a convolution with these groups, or of a deconvolution (`transposed`).
    pub fn new(graph: &Graph, node: Node, groups: usize, transposed: bool) -> Layout {
        let ic = graph.ty(graph.operand(node, 0)).shape[1];
        let oc = graph.ty(graph.result(node)).shape[1];
        Layout { groups, ic, oc, transposed }
    }

    /// Output channel of the elements `[i0, i1, ..]`.
    pub fn output(&self, i0: usize, i1: usize) -> usize {
        if self.transposed { i0 / (self.ic / self.groups) * (self.oc / self.groups) + i1 } else { i0 }
    }

    /// Input channel of the elements `[i0, i1, ..]`.
    pub fn input(&self, i0: usize, i1: usize) -> usize {
        if self.transposed { i0 } else { i0 / (self.oc / self.groups) * (self.ic / self.groups) + i1 }
    }

    /// First input channel of the group an output channel is in.
    pub fn first_input_of(&self, output: usize) -> usize {
        output / (self.oc / self.groups) * (self.ic / self.groups)
    }
}

/// Where taps fall.
#[derive(Clone)]
pub struct Window {
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    pub pads: Vec<usize>,
    pub transposed: bool,
}

impl Window {
    /// Whether tap `tap` of dimension `dim` meets an element of the source (of size `source`) for result place `place`.
    pub fn meets(&self, dim: usize, place: usize, tap: usize, source: usize) -> bool {
        let offset = tap * self.dilations[dim];
        if self.transposed {
            let reached = (place + self.pads[dim]).checked_sub(offset);
            return reached.is_some_and(|at| at % self.strides[dim] == 0 && at / self.strides[dim] < source);
        }
        let at = place * self.strides[dim] + offset;
        at >= self.pads[dim] && at - self.pads[dim] < source
    }
}

/// Every index of a box of size `dims`, the last dimension fastest.
pub fn indices(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let dims = dims.to_vec();
    (0..dims.iter().product::<usize>()).map(move |mut at| {
        let mut index = vec![0; dims.len()];
        for dim in (0..dims.len()).rev() {
            index[dim] = at % dims[dim];
            at /= dims[dim];
        }
        index
    })
}
