//! Products and sums with one rounding. The instruction overwrites one of its three operands, and another one may be in memory;
//! its three forms say which:
//!
//! ```text
//!   132   first = first * third + second
//!   213   first = second * first + third
//!   231   first = second * third + first
//! ```
//!
//! So any operand can be the one that is overwritten, and any other one the one in memory. Best is one that nobody needs any
//! more: others cost a move.

use regalloc2::VReg;

use super::Selector;
use crate::codegen::x86::codes::{self, FusedForm};
use crate::simd::ir::{FusedOp, Ty, Val};

impl Selector<'_> {
    /// `a * b + c` and its like.
    pub(super) fn fused(&mut self, op: FusedOp, [a, b, c]: [Val; 3]) -> VReg {
        // what is overwritten, the other factor or the first one, the addend or the other factor
        let orders = [[c, a, b], [a, b, c], [b, a, c]];
        let cost = |order: &[Val; 3]| self.moves(*order);
        let best = (0..orders.len()).min_by_key(|&i| cost(&orders[i])).unwrap_or(0);
        let [first, second, third] = orders[best];
        let swap = self.in_memory(second) && !self.in_memory(third);
        let (form, [second, third]) = match (best, swap) {
            (0, false) => (FusedForm::F231, [second, third]),
            (0, true) => (FusedForm::F231, [third, second]),
            (_, false) => (FusedForm::F213, [second, third]),
            (_, true) => (FusedForm::F132, [third, second]),
        };
        let scalar = self.ty(a) == Ty::F32;
        let code = self.pick(codes::fused(op, form, scalar));
        let (first, second, third) = (self.reg(first), self.reg(second), self.source(third));
        self.update(code, first, &[second.into(), third])
    }

    /// Moves and loads that an instruction needs besides itself if it overwrites the first of its operands.
    fn moves(&self, [first, second, third]: [Val; 3]) -> usize {
        let is_free = !self.in_memory(first) && self.facts.has_one_use(first) && !self.is_kept(first);
        let both = self.in_memory(second) && self.in_memory(third);
        usize::from(!is_free) + usize::from(both)
    }
}
