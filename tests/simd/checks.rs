//! What the interpreter and the verifier must reject, and what their messages name.

use octet::simd::builder::{Builder, Pointer};
use octet::simd::interp::{self, Arg, Memory};
use octet::simd::ir::{Function, FusedOp, Inst, IntOp, Mem, Ty, Val, Width};
use octet::simd::tiles::{Signs, TileInst, TileReg, TileShape};
use octet::simd::verify::verify;

/// Runs `fn(src, dst)` on two regions of 32 bytes of ones; the source is const.
fn run(build: impl FnOnce(&mut Builder, Pointer, Pointer), strict: bool) -> Result<(), String> {
    let mut b = Builder::new("k", Width::W128);
    let (src, dst) = (b.param_ptr(Mem::Const), b.param_ptr(Mem::Mutable));
    build(&mut b, src, dst);
    let mut memory = Memory { regions: vec![vec![0xff; 32], vec![0; 32]] };
    let args = [0, 1].map(|region| Arg::Ptr { region, offset: 0 });
    let function = b.finish();
    if strict { interp::run_strict(&function, &mut memory, &args) } else { interp::run(&function, &mut memory, &args) }
}

fn rejects(expected: &str, build: impl FnOnce(&mut Builder, Pointer, Pointer)) {
    let message = run(build, true).unwrap_err();
    assert!(message.starts_with("kernel k: ") && message.contains(expected), "{message}");
}

#[test]
fn accesses_outside_a_region() {
    rejects("`v2 = load.v8 const [v0+17]`: bytes 17..33 of region 0, which has 32", |b, src, _| {
        b.load(Ty::V8, src, 17);
    });
    rejects("bytes -1..15", |b, src, _| {
        b.load(Ty::V8, src, -1);
    });
    rejects("bytes 30..33", |b, src, dst| {
        let value = b.load(Ty::V8, src, 0);
        b.store_partial(dst, 30, value, 3);
    });
}

#[test]
fn the_last_bytes_are_inside() {
    run(
        |b, src, dst| {
            let value = b.load(Ty::V8, src, 16);
            b.store_partial(dst, 29, value, 3);
        },
        true,
    )
    .unwrap();
}

#[test]
fn const_memory_that_the_kernel_writes() {
    rejects("writes what the kernel read as const", |b, src, _| {
        let value = b.load(Ty::V8, src, 0);
        b.store(src, 8, value);
    });
    rejects("reads as const what the kernel wrote", |b, src, dst| {
        let value = b.load(Ty::V8, src, 0);
        b.store(dst, 0, value);
        b.load(Ty::V8, Pointer { mem: Mem::Const, ..dst }, 0);
    });
}

#[test]
fn products_that_do_not_fit() {
    rejects("the products of bytes 0 and 1 sum to 64770, which is no i16", |b, src, _| {
        let u = b.load(Ty::V8, src, 0);
        let s = b.splat_const(Ty::V8, 127);
        let acc = b.splat_const(Ty::V32, 0);
        b.dot4(acc, u, s);
    });
}

#[test]
fn conversions_outside_i32_only_when_strict() {
    let build = |b: &mut Builder, _: Pointer, _: Pointer| {
        let value = b.splat_const_f32(3e9);
        b.to_int(value);
    };
    rejects("a lane is 3000000000, which is outside i32", build);
    run(build, false).unwrap();
}

#[test]
fn division_by_zero() {
    rejects("the divisor is zero", |b, _, _| {
        let zero = b.int(0);
        b.int_op(IntOp::DivU, zero, zero);
    });
}

/// A kernel with one value of `ty` and an instruction nobody checked.
fn broken(inst: impl FnOnce(Val, Val) -> (Vec<Val>, Inst)) -> Function {
    let mut b = Builder::new("k", Width::W128);
    b.param_int();
    b.splat_const(Ty::V8, 0);
    let mut function = b.finish();
    let (int, vector) = (function.params[0], function.body.insts[0].0[0]);
    function.body.insts.push(inst(int, vector));
    function
}

#[test]
fn the_verifier_names_what_is_wrong() {
    let new = || Val::from_u32(2);
    let rows: [(&str, Function); 7] = [
        ("v1 is v8, not i64", broken(|int, vector| (vec![], Inst::Int(IntOp::Add, int, vector)))),
        ("v9 is not defined here", broken(|int, _| (vec![], Inst::Int(IntOp::Add, int, Val::from_u32(9))))),
        ("v0 is defined twice", broken(|int, _| (vec![int], Inst::ConstI64(1)))),
        ("v2 does not exist", broken(|_, _| (vec![new()], Inst::ConstI64(1)))),
        ("no fused multiplication", {
            let x = Val::from_u32(1);
            broken(|_, _| (vec![], Inst::Fused(FusedOp::MulAdd, x, x, x)))
        }),
        ("gives [], not [I64]", broken(|_, _| (vec![], Inst::ConstI64(1)))),
        ("a shuffle from outside the chunk", broken(|_, value| (vec![], Inst::Shuffle { value, pattern: [16; 16] }))),
    ];
    for (expected, function) in rows {
        let problems = verify(&function).unwrap_err();
        assert!(problems.contains(expected), "{expected:?} is not in {problems}");
    }
}

/// A kernel whose eight tiles have these rows and bytes in turn.
fn with_tiles(shapes: [(usize, usize); 2], inst: TileInst) -> Function {
    let mut b = Builder::new("k", Width::W512);
    let shape = |i: usize| TileShape { rows: shapes[i % 2].0, bytes: shapes[i % 2].1 };
    b.use_tiles(std::array::from_fn(shape));
    let mut function = b.finish();
    function.body.insts.push((vec![], Inst::Tile(inst)));
    function
}

#[test]
fn the_verifier_knows_tiles() {
    let [t0, t1, t9] = [0, 1, 9].map(TileReg);
    let signs = Signs { a: false, b: true };
    let dot = TileInst::Dot { acc: t0, a: t1, b: t0, signs };
    let mut without = with_tiles([(16, 64), (16, 64)], TileInst::Zero(t0));
    without.tiles = None;
    let rows = [
        ("no such tile register", with_tiles([(16, 64), (16, 64)], TileInst::Zero(t9))),
        ("a tile has 1 to 16 rows", with_tiles([(17, 64), (16, 64)], TileInst::Zero(t0))),
        ("a tile has 1 to 16 rows", with_tiles([(16, 30), (16, 64)], TileInst::Zero(t0))),
        ("do not make a product", with_tiles([(16, 64), (16, 32)], dot)),
        ("the kernel has no tiles", without),
    ];
    for (expected, function) in rows {
        let problems = verify(&function).unwrap_err();
        assert!(problems.contains(expected), "{expected:?} is not in {problems}");
    }
    verify(&with_tiles([(16, 64), (16, 64)], dot)).unwrap();
}

#[test]
fn values_of_a_loop_do_not_leave_it() {
    let mut b = Builder::new("k", Width::W128);
    let (zero, one) = (b.int(0), b.int(1));
    let mut inside = zero;
    b.for_each(zero, one, 1, |b, index| inside = b.iadd(index, one));
    b.iadd(inside, one);
    let problems = verify(&b.finish()).unwrap_err();
    assert!(problems.contains("v3 is not defined here"), "{problems}");
}

#[test]
fn kernels_print() {
    let mut b = Builder::new("copy", Width::W128);
    let (src, dst, bytes) = (b.param_ptr(Mem::Const), b.param_ptr(Mem::Mutable), b.param_int());
    let zero = b.int(0);
    b.for_each(zero, bytes, 16, |b, at| {
        let from = b.advance(src, at);
        let value = b.load(Ty::V8, from, 0);
        let to = b.advance(dst, at);
        b.store(to, 0, value);
    });
    let text = "\
kernel copy(v0: ptr, v1: ptr, v2: i64) width 128 {
  v3 = int 0
  for v4 in v3..v2 step 16 {
    v5 = ptr_add v0, v4
    v6 = load.v8 const [v5+0]
    v7 = ptr_add v1, v4
    store [v7+0], v6
  }
}
";
    assert_eq!(b.finish().to_string(), text);
}
