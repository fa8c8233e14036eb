//! Random programs: vectors and integers, loops that carry values, branches, loads and stores in one kernel.

use std::cell::Cell;

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use octet::simd::builder::{Builder, Pointer};
use octet::simd::interp::{Arg, Memory};
use octet::simd::ir::{
    Cmp, FloatOp, FloatUnary, Half, IntMem, IntOp, Mem, Pack, Reduction, ShiftOp, Ty, Val, VecOp, Vectors, Widen,
};

use crate::machine::{Case, WIDTHS, check};
use crate::rows::inside_i32;

const SRC: usize = 512;
/// Vectors of the destination.
const PLACES: usize = 64;

/// Values in reach, by type.
#[derive(Clone, Default)]
struct Pool {
    values: Vec<(Ty, Val)>,
}

impl Pool {
    fn add(&mut self, b: &Builder, value: Val) {
        self.values.push((b.ty(value), value));
    }

    /// One of the type; the generator starts with one of each.
    fn pick(&self, u: &mut Unstructured, ty: Ty) -> Result<Val> {
        let of_type: Vec<Val> = self.values.iter().filter(|(t, _)| *t == ty).map(|(_, value)| *value).collect();
        u.choose(&of_type).copied()
    }
}

struct Generator {
    src: Pointer,
    dst: Pointer,
    /// Next free vector of the destination.
    stored: Cell<usize>,
}

const VECTORS: [Ty; 4] = [Ty::V8, Ty::V16, Ty::V32, Ty::VF32];

/// A float operation's result without NaN, whose bits are not defined.
fn no_nan(b: &mut Builder, value: Val) -> Val {
    let limit = b.splat_const_f32(1e30);
    b.float_op(FloatOp::Min, value, limit)
}

impl Generator {
    fn statements(&self, b: &mut Builder, u: &mut Unstructured, pool: &mut Pool, depth: usize) -> Result<()> {
        for _ in 0..u.int_in_range(1..=8)? {
            match u.int_in_range(0..=9)? {
                0 if depth < 3 => self.for_loop(b, u, pool, depth)?,
                1 if depth < 3 => self.branch(b, u, pool, depth)?,
                2 => self.store(b, u, pool)?,
                3 => {
                    let value = self.load(b, u)?;
                    pool.add(b, value);
                }
                4 => {
                    let value = integer(b, u, pool)?;
                    pool.add(b, value);
                }
                _ => {
                    let value = vector(b, u, pool)?;
                    pool.add(b, value);
                }
            }
        }
        Ok(())
    }

    fn for_loop(&self, b: &mut Builder, u: &mut Unstructured, pool: &mut Pool, depth: usize) -> Result<()> {
        let (lo, trips, step) = (u.int_in_range(-3..=3)?, u.int_in_range(0..=3)?, u.int_in_range(1..=5)?);
        let (lo, hi) = (b.int(lo), b.int(lo + trips * step));
        let mut init = Vec::new();
        for _ in 0..u.int_in_range(0..=4)? {
            let ty = *u.choose(&[Ty::V8, Ty::V16, Ty::V32, Ty::VF32, Ty::I64])?;
            init.push(pool.pick(u, ty)?);
        }
        let mut outcome = Ok(());
        let results = b.for_range((lo, hi, step), &init, |b, index, carried| {
            let mut inside = pool.clone();
            inside.add(b, index);
            carried.iter().for_each(|&value| inside.add(b, value));
            let picked = self
                .statements(b, u, &mut inside, depth + 1)
                .and_then(|()| carried.iter().map(|&value| inside.pick(u, b.ty(value))).collect::<Result<Vec<Val>>>());
            picked.unwrap_or_else(|error| {
                outcome = Err(error);
                carried.to_vec()
            })
        });
        results.iter().for_each(|&value| pool.add(b, value));
        outcome
    }

    fn branch(&self, b: &mut Builder, u: &mut Unstructured, pool: &mut Pool, depth: usize) -> Result<()> {
        let condition = pool.pick(u, Ty::I64)?;
        let types = [*u.choose(&VECTORS)?, Ty::I64];
        let shared = Cell::new(Some(u));
        let arm = |b: &mut Builder| {
            let u = shared.take().unwrap();
            let mut inside = pool.clone();
            // Out of random bytes is no error: the first value of the type does.
            let _ = self.statements(b, u, &mut inside, depth + 1);
            let values = types.map(|ty| inside.pick(u, ty).unwrap_or_else(|_| first(&inside, ty)));
            shared.set(Some(u));
            values.to_vec()
        };
        let results = b.if_else(condition, arm, arm);
        results.iter().for_each(|&value| pool.add(b, value));
        Ok(())
    }

    fn store(&self, b: &mut Builder, u: &mut Unstructured, pool: &Pool) -> Result<()> {
        let ty = *u.choose(&VECTORS)?;
        let value = pool.pick(u, ty)?;
        let place = self.stored.get();
        let vector = b.width().bytes();
        if place < PLACES {
            self.stored.set(place + 1);
            b.store_partial(self.dst, (place * vector) as i32, value, u.int_in_range(1..=vector)?);
        }
        Ok(())
    }

    fn load(&self, b: &mut Builder, u: &mut Unstructured) -> Result<Val> {
        let vector = b.width().bytes();
        let offset = u.int_in_range(0..=(SRC - vector) as i32)?;
        let ty = *u.choose(&[Ty::V8, Ty::V16, Ty::V32])?;
        Ok(match u.int_in_range(0..=4)? {
            0 => b.load_splat32(ty, self.src, offset),
            1 => b.load_partial(ty, self.src, offset, u.int_in_range(0..=vector)?),
            2 => b.load_widen(*u.choose(&[Widen::U8ToI32, Widen::I8ToI16, Widen::I16ToI32])?, self.src, offset),
            3 => b.load_int(self.src, offset, *u.choose(&[IntMem::U8, IntMem::I16, IntMem::I32, IntMem::I64])?),
            _ => b.load(ty, self.src, offset),
        })
    }
}

fn first(pool: &Pool, ty: Ty) -> Val {
    pool.values.iter().find(|(t, _)| *t == ty).unwrap().1
}

fn integer(b: &mut Builder, u: &mut Unstructured, pool: &Pool) -> Result<Val> {
    use IntOp::{Add, And, MaxS, MinS, Mul, Or, Shl, ShrS, Sub, Xor};
    let (x, y) = (pool.pick(u, Ty::I64)?, pool.pick(u, Ty::I64)?);
    Ok(match u.int_in_range(0..=4)? {
        0 => b.int_cmp(*u.choose(&[Cmp::Eq, Cmp::Lt, Cmp::Ge])?, x, y),
        1 => b.choose(x, y, x),
        2 => {
            let value = pool.pick(u, Ty::V32)?;
            b.reduce(*u.choose(&[Reduction::AddI32, Reduction::MaxI32])?, value)
        }
        3 => b.int(u.arbitrary()?),
        _ => b.int_op(*u.choose(&[Add, Sub, Mul, And, Or, Xor, Shl, ShrS, MinS, MaxS])?, x, y),
    })
}

fn vector(b: &mut Builder, u: &mut Unstructured, pool: &Pool) -> Result<Val> {
    use VecOp::{Add, And, AndNot, MaxS, MaxU, MinS, MinU, Mul, Or, Sub, Xor};
    let ty = *u.choose(&[Ty::V8, Ty::V16, Ty::V32])?;
    let (x, y) = (pool.pick(u, ty)?, pool.pick(u, ty)?);
    Ok(match u.int_in_range(0..=7)? {
        0 => {
            let op = *u.choose(&[Add, Sub, Mul, And, Or, Xor, AndNot, MinS, MaxS, MinU, MaxU])?;
            b.vec_op(if ty == Ty::V8 && op == Mul { Add } else { op }, x, y)
        }
        1 => {
            let op = *u.choose(&[ShiftOp::Left, ShiftOp::RightSigned, ShiftOp::RightUnsigned])?;
            b.shift(op, x, u.int_in_range(0..=8 * ty.lane_bytes() as u8 - 1)?)
        }
        2 => {
            let mask = b.vec_cmp(*u.choose(&[Cmp::Eq, Cmp::Ne, Cmp::Lt, Cmp::Ge])?, x, y);
            b.vec_select(mask, y, x)
        }
        3 => b.interleave(*u.choose(&[Half::Low, Half::High])?, *u.choose(&[1, 2, 4, 8])?, x, y),
        4 => {
            let pattern: [u8; 16] = u.arbitrary()?;
            b.shuffle(x, pattern.map(|from| if from >= 0xf0 { 0x80 } else { from % 16 }))
        }
        5 => {
            let scalar = pool.pick(u, Ty::I64)?;
            b.splat(ty, scalar)
        }
        6 => float(b, u, pool)?,
        _ => product(b, u, pool)?,
    })
}

fn float(b: &mut Builder, u: &mut Unstructured, pool: &Pool) -> Result<Val> {
    use FloatOp::{Add, Div, Max, Min, Mul, Sub};
    let (x, y, ints) = (pool.pick(u, Ty::VF32)?, pool.pick(u, Ty::VF32)?, pool.pick(u, Ty::V32)?);
    Ok(match u.int_in_range(0..=5)? {
        0 => b.to_float(ints),
        1 => {
            let inside = inside_i32(b, x);
            b.to_int(inside)
        }
        2 => {
            let mask = b.float_vec_cmp(*u.choose(&[Cmp::Eq, Cmp::Ne, Cmp::Lt, Cmp::Ge])?, x, y);
            b.vec_select(mask, x, y)
        }
        3 => {
            let z = pool.pick(u, Ty::VF32)?;
            let value = match u.int_in_range(0..=2)? {
                0 => b.mul_add(x, y, z),
                1 => b.mul_sub(x, y, z),
                _ => b.neg_mul_add(x, y, z),
            };
            no_nan(b, value)
        }
        4 => {
            let op = *u.choose(&[FloatUnary::Neg, FloatUnary::Abs, FloatUnary::Round, FloatUnary::Floor])?;
            b.float_unary(op, x)
        }
        _ => {
            let value = b.float_op(*u.choose(&[Add, Sub, Mul, Div, Min, Max])?, x, y);
            no_nan(b, value)
        }
    })
}

fn product(b: &mut Builder, u: &mut Unstructured, pool: &Pool) -> Result<Val> {
    let (words, more) = (pool.pick(u, Ty::V16)?, pool.pick(u, Ty::V16)?);
    let (bytes, acc, other) = (pool.pick(u, Ty::V8)?, pool.pick(u, Ty::V32)?, pool.pick(u, Ty::V32)?);
    Ok(match u.int_in_range(0..=5)? {
        0 => b.madd(words, more),
        1 => {
            let weights = pool.pick(u, Ty::V8)?;
            b.madd_ubs(bytes, weights)
        }
        2 => b.pack(Pack::I32ToI16, acc, other),
        3 => b.pack(*u.choose(&[Pack::I16ToI8, Pack::I16ToU8])?, words, more),
        _ => {
            let weights = pool.pick(u, Ty::V8)?;
            // The obligation of the product.
            let small = b.shift(ShiftOp::RightSigned, weights, 1);
            b.dot4(acc, bytes, small)
        }
    })
}

/// A random kernel `fn(src, dst, n)`; out of random bytes it ends early.
fn generate(u: &mut Unstructured, vectors: Vectors) -> Result<Case> {
    let vector = vectors.width.bytes();
    let mut b = Builder::new("random", vectors);
    let (src, dst, n) = (b.param_ptr(Mem::Const), b.param_ptr(Mem::Mutable), b.param_int());
    let generator = Generator { src, dst, stored: Cell::new(0) };
    let mut pool = Pool::default();
    pool.add(&b, n);
    for (i, ty) in [Ty::V8, Ty::V16, Ty::V32].into_iter().enumerate() {
        let value = b.load(ty, src, (vector * i) as i32);
        pool.add(&b, value);
    }
    let ints = b.load(Ty::V32, src, 3 * vector as i32);
    let floats = b.to_float(ints);
    pool.add(&b, floats);
    // Out of random bytes: what has been built so far is a program too.
    let _ = generator.statements(&mut b, u, &mut pool, 0);
    for &(ty, value) in pool.values.iter().rev().take(PLACES - generator.stored.get()) {
        let offset = (generator.stored.get() * vector) as i32;
        generator.stored.set(generator.stored.get() + 1);
        match ty {
            Ty::I64 | Ty::Ptr => b.store_int(dst, offset, IntMem::I64, value),
            Ty::F32 => b.store_float(dst, offset, value),
            Ty::V8 | Ty::V16 | Ty::V32 | Ty::VF32 => b.store(dst, offset, value),
        }
    }
    let bytes: Vec<u8> = (0..SRC).map(|i| (i * 37 + i / 16) as u8).collect();
    let memory = Memory { regions: vec![bytes, vec![0; PLACES * vector]] };
    let args = vec![Arg::Ptr { region: 0, offset: 0 }, Arg::Ptr { region: 1, offset: 0 }, Arg::Int(-5)];
    Ok(Case { name: "random".into(), function: b.finish(), memory, args, floats: false })
}

#[test]
fn random_programs() {
    arbtest(|u| {
        let width = *u.choose(&WIDTHS)?;
        let fma = Vectors::from(width).fma || u.arbitrary()?;
        let cases: Vec<Case> = (0..4).map(|_| generate(u, Vectors { width, fma })).collect::<Result<_>>()?;
        check(&cases);
        Ok(())
    })
    .size_min(256)
    .size_max(2048)
    .budget_ms(5_000);
}

/// Chains long enough to be rearranged, each with a place the one before has written: memory keeps its order.
#[test]
fn long_chains_keep_the_order_of_memory() {
    const CHAINS: usize = 12;
    let cases = WIDTHS.map(|width| {
        let mut b = Builder::new("chains", width);
        let (src, dst) = (b.param_ptr(Mem::Const), b.param_ptr(Mem::Mutable));
        let vector = width.bytes() as i32;
        for i in 0..CHAINS as i32 {
            let ints = b.load(Ty::V32, src, 4 * i);
            let x = b.to_float(ints);
            let x = octet::simd::math::sigmoid(&mut b, x);
            let before = b.load(Ty::VF32, dst, i / 2 * vector);
            let sum = b.fadd(x, before);
            b.store(dst, (i / 2 + 1) * vector, sum);
        }
        let src = (0..4 * CHAINS + width.bytes()).map(|i| if i % 4 < 3 { 0 } else { (i * 37) as u8 }).collect();
        let memory = Memory { regions: vec![src, vec![0; (CHAINS + 1) * width.bytes()]] };
        let args = vec![Arg::Ptr { region: 0, offset: 0 }, Arg::Ptr { region: 1, offset: 0 }];
        Case { name: format!("chains at {}", 8 * width.bytes()), function: b.finish(), memory, args, floats: true }
    });
    for case in cases {
        check(&[case]);
    }
}
