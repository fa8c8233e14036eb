//! The products at the heart of every integer kernel, each in the shape its target recognises.
//!
//! | kernel IR | x86-64 | aarch64 |
//! |---|---|---|
//! | `Madd` | pmaddwd | smull, smull2, addp |
//! | `MaddUbs` | pmaddubsw | exact products, widened, sqxtn |
//! | `Dot4` | vpdpbusd, or pmaddubsw + pmaddwd + paddd | usdot, or three sdot, or exact products |
//! | `Dot4` of any bytes | vpdpbusd, or exact products | the same |

use cranelift_codegen::ir::{InstBuilder, Value, types};
use octet_runtime::abi::cpu;

use super::Lowering;
use crate::codegen::target::Arch;
use crate::simd::ir::Inst;

/// How the bytes of an operand become 16-bit lanes.
#[derive(Clone, Copy)]
enum Sign {
    Unsigned,
    Signed,
}

impl Lowering<'_> {
    pub(super) fn multiply(&mut self, inst: &Inst) -> Value {
        match *inst {
            Inst::Madd(a, b) => {
                let (a, b) = (self.get(a), self.get(b));
                let [low, high] = self.products((a, Sign::Signed), (b, Sign::Signed));
                self.builder.ins().iadd_pairwise(low, high)
            }
            Inst::MaddUbs { u, s } => {
                let (u, s) = (self.get(u), self.get(s));
                self.madd_ubs(u, s)
            }
            Inst::Dot4 { acc, u, s, any } => {
                let (acc, u, s) = (self.get(acc), self.get(u), self.get(s));
                match self.target.arch {
                    _ if any && !self.target.has_dot() => self.dot_tree(acc, (u, Sign::Unsigned), (s, Sign::Signed)),
                    Arch::X86_64 => self.dot4_x86(acc, u, s),
                    Arch::Aarch64 => self.dot4_aarch64(acc, u, s),
                }
            }
            ref other => unreachable!("internal error: {other:?} is no product"),
        }
    }

    fn widen(&mut self, (value, sign): (Value, Sign)) -> [Value; 2] {
        match sign {
            Sign::Unsigned => [self.builder.ins().uwiden_low(value), self.builder.ins().uwiden_high(value)],
            Sign::Signed => [self.builder.ins().swiden_low(value), self.builder.ins().swiden_high(value)],
        }
    }

    /// Products of the low and of the high half, in lanes of twice the size.
    fn products(&mut self, a: (Value, Sign), b: (Value, Sign)) -> [Value; 2] {
        let [a_low, a_high] = self.widen(a);
        let [b_low, b_high] = self.widen(b);
        [self.builder.ins().imul(a_low, b_low), self.builder.ins().imul(a_high, b_high)]
    }

    /// Neighbours added in lanes of twice the size.
    fn add_neighbours(&mut self, value: Value) -> Value {
        let [low, high] = self.widen((value, Sign::Signed));
        self.builder.ins().iadd_pairwise(low, high)
    }

    /// `acc + sum of 4 products`, in the tree that `vpdpbusd`, `sdot` and `usdot` are selected from. The order of `a` and
    /// `b` matters for that: signed first on x86-64, unsigned first on aarch64.
    fn dot_tree(&mut self, acc: Value, a: (Value, Sign), b: (Value, Sign)) -> Value {
        let [low, high] = self.products(a, b);
        let low = self.add_neighbours(low);
        let high = self.add_neighbours(high);
        let sum = self.builder.ins().iadd_pairwise(low, high);
        self.builder.ins().iadd(sum, acc)
    }

    /// A product u8 x i8 fits i16; the sum of two is saturated from 32 bits.
    fn madd_ubs(&mut self, u: Value, s: Value) -> Value {
        if self.target.arch == Arch::X86_64 {
            // The signed operand comes first.
            return self.builder.ins().x86_pmaddubsw(s, u);
        }
        let [low, high] = self.products((u, Sign::Unsigned), (s, Sign::Signed));
        let low = self.add_neighbours(low);
        let high = self.add_neighbours(high);
        self.builder.ins().snarrow(low, high)
    }

    fn dot4_x86(&mut self, acc: Value, u: Value, s: Value) -> Value {
        if self.target.has_dot() {
            return self.dot_tree(acc, (s, Sign::Signed), (u, Sign::Unsigned));
        }
        // Does not saturate: the obligation of `Dot4`. The addition of neighbours is pmaddwd by ones in memory.
        let pairs = self.builder.ins().x86_pmaddubsw(s, u);
        let quads = self.add_neighbours(pairs);
        self.builder.ins().iadd(acc, quads)
    }

    fn dot4_aarch64(&mut self, acc: Value, u: Value, s: Value) -> Value {
        if self.target.has(cpu::I8MM) {
            return self.dot_tree(acc, (u, Sign::Unsigned), (s, Sign::Signed));
        }
        if self.target.has(cpu::DOTPROD) {
            return self.dot4_by_sdot(acc, u, s);
        }
        // Pair sums fit i16: the obligation of `Dot4`.
        let [low, high] = self.products((u, Sign::Unsigned), (s, Sign::Signed));
        let pairs = self.builder.ins().iadd_pairwise(low, high);
        let quads = self.add_neighbours(pairs);
        self.builder.ins().iadd(acc, quads)
    }

    /// `u * s = (u - 128) * s + 64 * s + 64 * s`, where `u - 128` is an i8: one flip of the top bit.
    fn dot4_by_sdot(&mut self, acc: Value, u: Value, s: Value) -> Value {
        let top = self.vec_const(types::I8X16, &[0x80; 16]);
        let half = self.vec_const(types::I8X16, &[64; 16]);
        let centred = self.builder.ins().bxor(u, top);
        let mut acc = acc;
        for factor in [half, half, centred] {
            acc = self.dot_tree(acc, (factor, Sign::Signed), (s, Sign::Signed));
        }
        acc
    }
}
