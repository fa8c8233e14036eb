//! Loops and branches.
//!
//! A loop is tested at its end, with one test in front for the case of no iteration:
//!
//! ```text
//!   before:  brif lo < hi, enter, exit(init)
//!   enter:   jump body(init, lo)             ; invariant code moves here, so an empty loop does not run it
//!   body(carried, index):
//!            ...
//!            brif index + step < hi, body(next, index + step), exit(next)
//!   exit(results):
//! ```

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, BlockArg, InstBuilder, Value, types};

use super::{Lowering, clif_type};
use crate::simd::ir::{Block, If, Loop, Ty, Val};

impl Lowering<'_> {
    pub(super) fn for_loop(&mut self, results: &[Val], l: &Loop) {
        let order = self.carried_order(&l.carried);
        let pick = |values: &[Val]| -> Vec<Val> { order.iter().map(|&i| values[i]).collect() };
        let body = self.block_with(&pick(&l.carried));
        let index = self.builder.append_block_param(body, types::I64);
        let exit = self.block_with(&pick(results));
        let (lo, hi) = (self.get(l.lo), self.get(l.hi));

        let mut init = self.arguments(&pick(&l.init));
        self.enter_loop(lo, hi, (body, &mut init), exit);
        self.builder.switch_to_block(body);
        let params = self.builder.block_params(body).to_vec();
        self.define(&pick(&l.carried), &params);
        self.define(&[l.index], &[index]);
        self.block(&l.body);

        let mut next = self.arguments(&pick(&l.next));
        let left = next.clone();
        let after = self.builder.ins().iadd_imm_s(index, l.step);
        next.push(after.into());
        let again = self.builder.ins().icmp(IntCC::SignedLessThan, after, hi);
        self.builder.ins().brif(again, body, &next, exit, &left);
        self.builder.switch_to_block(exit);
        let params = self.builder.block_params(exit).to_vec();
        self.define(&pick(results), &params);
    }

    fn enter_loop(&mut self, lo: Value, hi: Value, (body, init): (ir::Block, &mut Vec<BlockArg>), exit: ir::Block) {
        let enter = self.builder.create_block();
        let some = self.builder.ins().icmp(IntCC::SignedLessThan, lo, hi);
        self.builder.ins().brif(some, enter, &[], exit, init.iter());
        self.builder.switch_to_block(enter);
        init.push(lo.into());
        self.builder.ins().jump(body, init.iter());
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
        let params = self.builder.block_params(after).to_vec();
        self.define(results, &params);
    }

    fn arm(&mut self, block: ir::Block, body: &Block, values: &[Val], after: ir::Block) {
        self.builder.switch_to_block(block);
        self.block(body);
        let values = self.arguments(values);
        self.builder.ins().jump(after, &values);
    }
}
