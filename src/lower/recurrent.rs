//! Recurrent sequences: the products with the inputs are one matrix product for all steps, the rest is a kernel of its own.

use crate::ir::op::{Activation, Direction, RnnAttrs, RnnKind};
use crate::ir::{ElemType, Node, Op, Value};

use super::dense::Dense;
use super::elementwise::Laid;
use super::expr::Tree;
use super::kernel::{KernelSpec, Mac, RnnSpec, StateProduct};
use super::pack::{self, Group, IntegerRow, RnnLayout, Run, Weights};
use super::plan::Anchor;
use super::pointwise::LaneType;
use super::view::{Storage, View, row_major};
use super::window::Convolved;
use super::{Lowering, Operand};

/// Sizes of a sequence.
struct Sizes {
    batch: usize,
    sequence: usize,
    input: usize,
    dirs: usize,
    gates: usize,
    hidden: usize,
}

/// Hidden units up to which the digits of a state wait on the stack.
const INTEGER_HIDDEN: usize = 4096;

impl Lowering<'_> {
    pub fn recurrent(&mut self, node: Node) -> Result<(), String> {
        let Op::Rnn(attrs) = self.graph.op(node).clone() else { return Err("internal error: no rnn".into()) };
        let states = if attrs.kind == RnnKind::Lstm { 2 } else { 1 };
        let operands = self.graph.operands(node).to_vec();
        let x = self.view(operands[0])?;
        self.expect_elem(&x, &[ElemType::F32], "a recurrent sequence")?;
        let dirs = if attrs.direction == Direction::Bidirectional { 2 } else { 1 };
        let sizes = Sizes {
            batch: x.sizes[0],
            sequence: x.sizes[1],
            input: x.sizes[2],
            dirs,
            gates: pack::rnn_gates(attrs.kind),
            hidden: attrs.hidden,
        };
        let last = operands.len() - 1;
        let [r, b] = [last - 1, last].map(|i| self.float_constant(operands[i]));
        let projected = match attrs.projected {
            true => self.dense(x),
            false => {
                let w = self.float_constant(operands[states + 1])?;
                self.project(node, x, &w, &sizes)?
            }
        };
        let initial = self.initial_states(&operands[1..=states], &sizes)?;
        let (product, packed) = self.recurrent_weights(&attrs, operands[1], &r?);
        let weights = self.const_storage(packed);
        let biases = self.const_storage(b?.iter().flat_map(|bias| bias.to_le_bytes()).collect());
        let results = self.place_results(node, states, &sizes);
        let operands = [projected, initial, weights, biases, results].map(Operand::start).to_vec();
        let macs = sizes.batch * sizes.sequence * sizes.dirs * sizes.gates * sizes.hidden * sizes.hidden;
        self.push_step(KernelSpec::Rnn(spec(&attrs, product, &sizes)), operands, &[node], macs as u64);
        Ok(())
    }

    /// How products with the state are taken, and the weights packed for it.
    fn recurrent_weights(&self, attrs: &RnnAttrs, first_h: Value, weights: &[f32]) -> (StateProduct, Vec<u8>) {
        let hidden = attrs.hidden;
        let rows =
            self.state_fits_integers(attrs, first_h).then(|| weights.chunks(hidden).map(IntegerRow::of).collect());
        let Some(rows) = rows.and_then(|rows: Option<Vec<IntegerRow>>| rows) else {
            return (StateProduct::F32, RnnLayout::pack_f32(self.width, attrs.kind, hidden, weights));
        };
        let product = if self.has_dot { StateProduct::Bytes } else { StateProduct::Words };
        (product, RnnLayout::pack_integers(self.width, product, attrs.kind, hidden, &rows))
    }

    /// Every state is between -1 and 1: the first one is a constant, the others come from bounded activations. Then its
    /// digits fit, and so do their sums.
    fn state_fits_integers(&self, attrs: &RnnAttrs, first_h: Value) -> bool {
        let bounded = |&activation: &Activation| matches!(activation, Activation::Sigmoid | Activation::Tanh);
        // between the state before and a bounded candidate, where the update gate is between 0 and 1
        let mixes = attrs.kind != RnnKind::Gru || attrs.activations.first() == Some(&Activation::Sigmoid);
        let first = self.graph.const_value(first_h).and_then(|tensor| tensor.as_f32());
        let inside = first.is_some_and(|values| values.iter().all(|value| value.abs() <= 1.0));
        inside && mixes && attrs.activations.iter().all(bounded) && attrs.hidden <= INTEGER_HIDDEN
    }

    fn float_constant(&self, value: Value) -> Result<Vec<f32>, String> {
        let tensor = self.graph.const_value(value).and_then(|tensor| tensor.as_f32().map(<[f32]>::to_vec));
        tensor.ok_or_else(|| "a recurrent sequence with weights that are no f32 constants has no kernel".into())
    }

    /// Row-major from the start of a storage.
    fn dense(&mut self, x: View) -> Storage {
        let usable = x.offset == 0 && x.is_row_major() && !self.reads_exactly(&x);
        if usable { x.storage } else { self.copied(&x, &row_major(3)).storage }
    }

    /// `w x` of every step and direction: `[batch, sequence, dirs * gates * hidden]`.
    fn project(&mut self, node: Node, x: View, w: &[f32], sizes: &Sizes) -> Result<Storage, String> {
        let rows = sizes.dirs * sizes.gates * sizes.hidden;
        let contiguous = x.sizes[2] == 1 || x.strides[2] == 4;
        let x = if contiguous && !self.reads_exactly(&x) { x } else { self.copied(&x, &row_major(3)) };
        let dst = self.padded(ElemType::F32, &[sizes.batch, sizes.sequence, rows], &row_major(3), None);
        let storage = dst.storage;
        let mut src = View { halo: None, ..x };
        (src.sizes[2], src.strides[2]) = (rows, 0);
        let tree = Tree::accumulated(LaneType::F32, ElemType::F32);
        let groups = [Group { runs: vec![Run { offset: 0, len: sizes.input }], first_oc: 0, oc: rows }];
        let macs = (sizes.batch * sizes.sequence * rows * sizes.input) as u64;
        let anchor = Anchor { node, value: self.graph.result(node), init: None };
        let laid = Laid { loads: Vec::new(), dst };
        let init = vec![0; rows];
        let convolved = Convolved { anchor, init, tree: &tree, laid, src, outer: vec![0, 1], channel: 2, macs };
        let dense = Dense { mac: Mac::F32, groups: &groups, weights: Weights::F32(w), windows: None };
        self.dense_convolution(convolved, &dense)?;
        Ok(storage)
    }

    /// The initial states one behind the other.
    fn initial_states(&mut self, values: &[Value], sizes: &Sizes) -> Result<Storage, String> {
        let state = [sizes.batch, sizes.dirs, sizes.hidden];
        let all = self.padded(ElemType::F32, &[&[values.len()], &state[..]].concat(), &row_major(4), None);
        for (index, &value) in values.iter().enumerate() {
            let view = self.view(value)?;
            let part = all.part(0, index, 1);
            let part = View { sizes: part.sizes[1..].to_vec(), strides: part.strides[1..].to_vec(), ..part };
            self.copy(&view, &part);
        }
        Ok(all.storage)
    }

    /// y, and the last states behind it.
    fn place_results(&mut self, node: Node, states: usize, sizes: &Sizes) -> Storage {
        let state = sizes.batch * sizes.dirs * sizes.hidden;
        let all = self.padded(ElemType::F32, &[state * (sizes.sequence + states)], &[0], None);
        let results = self.graph.results(node).to_vec();
        for (index, &result) in results.iter().enumerate() {
            let shape = self.graph.ty(result).shape.dims().to_vec();
            let first = if index == 0 { 0 } else { state * (sizes.sequence + index - 1) };
            let dense = View::dense(all.storage, ElemType::F32, &shape, &row_major(shape.len()));
            self.views[result] = Some(View { offset: (first * 4) as i64, ..dense });
        }
        all.storage
    }
}

fn spec(attrs: &RnnAttrs, product: StateProduct, sizes: &Sizes) -> RnnSpec {
    RnnSpec {
        kind: attrs.kind,
        product,
        direction: attrs.direction,
        activations: attrs.activations.clone(),
        clip: attrs.clip,
        linear_before_reset: attrs.linear_before_reset,
        batch: sizes.batch,
        sequence: sizes.sequence,
        input: sizes.input,
        hidden: sizes.hidden,
    }
}
