//! Loops and branches.
//!
//! A loop is tested at its end, with one test in front for the case of no iteration:
//!
//! ```text
//!   before:  brif lo < hi, enter, exit(init)
//!   enter:   jump body(init, lo, hi - lo)     ; invariant code moves here, so an empty loop does not run it
//!   body(carried, index, left):
//!            ...
//!            brif left - step > 0, body(next, index + step, left - step), exit(next)
//!   exit(results):
//! ```
//!
//! The counter `left` is separate from the index, because the condition of a branch is computed before all its arguments:
//! an index tested there would be live in its old and its new value through the whole body, and moved at its end. An
//! index the body does not use is left out.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, BlockArg, InstBuilder, Value, types};

use super::{Lowering, clif_type};
use crate::simd::ir::{Block, If, Loop, Ty, Val};

impl Lowering<'_> {
    pub(super) fn for_loop(&mut self, results: &[Val], l: &Loop) {
        let order = self.carried_order(&l.carried);
        let pick = |values: &[Val]| -> Vec<Val> { order.iter().map(|&i| values[i]).collect() };
        let body = self.block_with(&pick(&l.carried));
        let exit = self.block_with(&pick(results));
        let indexed = l.body.uses(l.index) || l.next.contains(&l.index);
        let index = indexed.then(|| self.builder.append_block_param(body, types::I64));
        let left = self.builder.append_block_param(body, types::I64);

        let init = self.arguments(&pick(&l.init));
        self.enter_loop((self.get(l.lo), self.get(l.hi)), init, (body, indexed), exit);
        self.builder.switch_to_block(body);
        self.define_params(&pick(&l.carried), body);
        self.values[l.index] = index.into();
        self.block(&l.body);

        let done = self.arguments(&pick(&l.next));
        let mut next = done.clone();
        next.extend(index.map(|index| BlockArg::from(self.builder.ins().iadd_imm_s(index, l.step))));
        let after = self.builder.ins().iadd_imm_s(left, -l.step);
        next.push(after.into());
        let again = self.builder.ins().icmp_imm_s(IntCC::SignedGreaterThan, after, 0);
        self.builder.ins().brif(again, body, &next, exit, &done);
        self.builder.switch_to_block(exit);
        self.define_params(&pick(results), exit);
    }

    fn enter_loop(
        &mut self,
        (lo, hi): (Value, Value),
        mut init: Vec<BlockArg>,
        (body, indexed): (ir::Block, bool),
        exit: ir::Block,
    ) {
        let enter = self.builder.create_block();
        let some = self.builder.ins().icmp(IntCC::SignedLessThan, lo, hi);
        self.builder.ins().brif(some, enter, &[], exit, &init);
        self.builder.switch_to_block(enter);
        init.extend(indexed.then_some(BlockArg::from(lo)));
        init.push(self.builder.ins().isub(hi, lo).into());
        self.builder.ins().jump(body, &init);
    }

    /// The first parameters of `block` are these values.
    fn define_params(&mut self, values: &[Val], block: ir::Block) {
        let params = self.builder.block_params(block).to_vec();
        self.define(values, &params);
    }

    /// Vectors first: an argument is materialised in order, and the accumulators must not wait for pointers to move.
    fn carried_order(&self, carried: &[Val]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..carried.len()).collect();
        order.sort_by_key(|&i| match self.ty(carried[i]) {
            Ty::V8 | Ty::V16 | Ty::V32 | Ty::VF32 => 0,
            Ty::F32 => 1,
            Ty::Ptr | Ty::I64 => 2,
        });
        order
    }

    fn block_with(&mut self, params: &[Val]) -> ir::Block {
        let block = self.builder.create_block();
        for &param in params {
            let ty = clif_type(self.ty(param));
            self.builder.append_block_param(block, ty);
        }
        block
    }

    fn arguments(&self, values: &[Val]) -> Vec<BlockArg> {
        values.iter().map(|&value| self.get(value).into()).collect()
    }

    pub(super) fn branch(&mut self, results: &[Val], i: &If) {
        let then_block = self.builder.create_block();
        let else_block = self.builder.create_block();
        let after = self.block_with(results);
        let condition = self.get(i.condition);
        self.builder.ins().brif(condition, then_block, &[], else_block, &[]);
        self.arm(then_block, &i.then_block, &i.then_values, after);
        self.arm(else_block, &i.else_block, &i.else_values, after);
        self.builder.switch_to_block(after);
        self.define_params(results, after);
    }

    fn arm(&mut self, block: ir::Block, body: &Block, values: &[Val], after: ir::Block) {
        self.builder.switch_to_block(block);
        self.block(body);
        let values = self.arguments(values);
        self.builder.ins().jump(after, &values);
    }
}
