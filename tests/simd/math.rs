//! Elementary functions against f64 over all of f32, with fused multiplication and addition and without; and the same bits on every
//! machine that fuses alike.

use octet::codegen::target::Target;
use octet::simd::builder::Builder;
use octet::simd::interp::{Arg, Memory};
use octet::simd::ir::{Function, Mem, Ty, Val, Vectors, Width};
use octet::simd::math;

use crate::machine::{Case, Loaded, WIDTHS, check, compile, host_targets};

type Build = fn(&mut Builder, Val) -> Val;

/// A function with its reference and its claim.
struct Row {
    name: &'static str,
    build: Build,
    exact: fn(f64) -> f64,
    /// Arguments the claim holds for.
    range: (f32, f32),
    /// Units in the last place of the result, or of `floor` where the result is smaller.
    ulps: f64,
    floor: Floor,
}

/// The smallest magnitude whose unit counts.
#[derive(Clone, Copy)]
enum Floor {
    /// Subnormal numbers count.
    Nothing,
    /// Smaller results may be 0.
    Flush(f64),
    Value(f64),
    /// The argument, times this.
    Argument(f64),
}

const ALL: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);
const FINITE: (f32, f32) = (f32::MIN, f32::MAX);
const NORMAL: Floor = Floor::Flush(f32::MIN_POSITIVE as f64);

fn row(name: &'static str, build: Build, exact: fn(f64) -> f64, ulps: f64) -> Row {
    Row { name, build, exact, range: ALL, ulps, floor: Floor::Nothing }
}

fn rows() -> Vec<Row> {
    vec![
        row("exp", math::exp, f64::exp, 1.1),
        Row { range: (-8.0, 0.0), ..row("exp of negative numbers", math::exp_negative, f64::exp, 9.0) },
        Row {
            range: (f32::NEG_INFINITY, 0.0),
            floor: NORMAL,
            ..row("exp of all negative numbers", math::exp_negative, f64::exp, 88.0)
        },
        row("expm1", math::expm1, f64::exp_m1, 2.0),
        row("log", math::log, f64::ln, 1.0),
        Row { range: (0.0, f32::INFINITY), ..row("log1p", math::log1p, f64::ln_1p, 2.0) },
        Row { range: (0.0, f32::INFINITY), ..row("sigmoid", math::sigmoid, sigmoid, 2.0) },
        Row { range: (-8.0, 0.0), ..row("sigmoid below 0", math::sigmoid, sigmoid, 9.0) },
        Row { floor: NORMAL, ..row("sigmoid far below 0", math::sigmoid, sigmoid, 88.0) },
        row("tanh", math::tanh, f64::tanh, 2.0),
        row("erf", math::erf, erf, 1.5),
        Row { floor: NORMAL, ..row("softplus", math::softplus, softplus, 2.0) },
        Row { range: (0.0, f32::MAX), ..row("swish", swish, |x| x * sigmoid(x), 3.0) },
        Row { range: (-8.0, 0.0), ..row("swish below 0", swish, |x| x * sigmoid(x), 9.0) },
        Row {
            range: FINITE,
            floor: Floor::Flush(1.1e-36),
            ..row("swish far below 0", swish, |x| x * sigmoid(x), 88.0)
        },
        Row { range: FINITE, floor: Floor::Flush(1.1e-36), ..row("mish", math::mish, mish, 5.0) },
        Row {
            range: FINITE,
            floor: Floor::Argument(1.0),
            ..row("gelu", math::gelu, |x| 0.5 * x * (1.0 + erf(x * 0.5f64.sqrt())), 4.0)
        },
        Row { range: FINITE, floor: Floor::Argument(1.0), ..row("gelu_tanh", math::gelu_tanh, gelu_tanh, 2.0) },
        row("elu", |b, x| math::elu(b, x, 1.5), |x| if x > 0.0 { x } else { 1.5 * x.exp_m1() }, 3.0),
        row("selu", |b, x| math::selu(b, x, 1.67, 1.05), selu, 4.0),
        Row { range: FINITE, ..row("softsign", math::softsign, |x| x / (1.0 + x.abs()), 2.0) },
        Row { range: FINITE, floor: Floor::Value(1e-1), ..row("hswish", math::hswish, |x| x * hsigmoid(x), 3.0) },
        Row { floor: Floor::Value(1e-1), ..row("hsigmoid", math::hsigmoid, hsigmoid, 2.0) },
        row("relu", math::relu, |x| if x < 0.0 { 0.0 } else { x }, 0.0),
        trig("sin", math::sin, f64::sin, 1.5),
        trig("cos", math::cos, f64::cos, 1.5),
        trig("tan", math::tan, f64::tan, 3.0),
        row("asin", math::asin, f64::asin, 2.0),
        row("acos", math::acos, f64::acos, 2.0),
        row("atan", math::atan, f64::atan, 2.0),
        row("sinh", math::sinh, f64::sinh, 3.0),
        row("cosh", math::cosh, f64::cosh, 2.0),
        row("asinh", math::asinh, f64::asinh, 3.0),
        row("acosh", math::acosh, f64::acosh, 3.0),
        row("atanh", math::atanh, f64::atanh, 3.0),
        row("round_away", math::round_away, f64::round, 0.0),
        row("sign", math::sign, |x| if x == 0.0 { x } else { x.signum() }, 0.0),
    ]
}

fn trig(name: &'static str, build: Build, exact: fn(f64) -> f64, ulps: f64) -> Row {
    Row { range: (-8192.0, 8192.0), floor: Floor::Value(1e-4), ..row(name, build, exact, ulps) }
}

fn swish(b: &mut Builder, x: Val) -> Val {
    math::swish(b, x, 1.0)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn mish(x: f64) -> f64 {
    x * softplus(x).tanh()
}

fn hsigmoid(x: f64) -> f64 {
    (x + 3.0).clamp(0.0, 6.0) / 6.0
}

fn gelu_tanh(x: f64) -> f64 {
    x * sigmoid(2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x))
}

fn selu(x: f64) -> f64 {
    let (alpha, lambda) = (f64::from(1.67f32), f64::from(1.05f32));
    lambda * if x > 0.0 { x } else { alpha * x.exp_m1() }
}

/// The series with positive terms, which is good to 1e-15 where erf is not 1.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > sum.abs() * 1e-17 {
        odd += 2.0;
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

/// `fn(src, dst, vectors)`
fn kernel(name: &str, build: impl Fn(&mut Builder, Val) -> Val, vectors: Vectors) -> Function {
    let bytes = vectors.width.bytes() as i64;
    let mut b = Builder::new(name, vectors);
    let (src, dst, vectors) = (b.param_ptr(Mem::Const), b.param_ptr(Mem::Mutable), b.param_int());
    let zero = b.int(0);
    b.for_each(zero, vectors, 1, |b, i| {
        let (from, to) = (b.index(src, i, bytes), b.index(dst, i, bytes));
        let x = b.load(Ty::VF32, from, 0);
        let y = build(b, x);
        b.store(to, 0, y);
    });
    b.finish()
}

/// `arguments` are whole vectors.
fn case(name: &str, build: impl Fn(&mut Builder, Val) -> Val, arguments: &[f32], vectors: Vectors) -> Case {
    assert!(arguments.len().is_multiple_of(vectors.width.lanes32()));
    let bytes: Vec<u8> = arguments.iter().flat_map(|x| x.to_le_bytes()).collect();
    let zeros = vec![0; bytes.len()];
    let args = vec![
        Arg::Ptr { region: 0, offset: 0 },
        Arg::Ptr { region: 1, offset: 0 },
        Arg::Int((arguments.len() / vectors.width.lanes32()) as i64),
    ];
    let memory = Memory { regions: vec![bytes, zeros] };
    Case { name: name.into(), function: kernel(name, build, vectors), memory, args, floats: true }
}

/// The ways to write a function whose code this machine can run: they differ in what they round.
fn forms() -> Vec<Vectors> {
    let plain = Vectors { width: Width::W128, fma: false };
    let fused = [Width::W256, Width::W512].map(|width| Vectors { width, fma: true });
    let runs = |vectors: &Vectors| !host_targets(vectors.width).is_empty() && Target::native().unwrap().vectors().fma;
    [plain].into_iter().chain(fused.into_iter().filter(runs)).collect()
}

/// Results of compiled code on this machine, for each of [`forms`].
fn evaluate(name: &str, build: impl Fn(&mut Builder, Val) -> Val + Copy, arguments: &[f32]) -> Vec<Vec<f32>> {
    let mut padded = arguments.to_vec();
    padded.resize(arguments.len().next_multiple_of(Width::W512.lanes32()), 0.0);
    let forms = forms().into_iter().map(|vectors| run(&case(name, build, &padded, vectors), arguments.len()));
    forms.collect()
}

fn run(case: &Case, results: usize) -> Vec<f32> {
    let target = Target::native().unwrap().with_width(case.function.width);
    let codes = compile(std::slice::from_ref(case), &target);
    let memory = Loaded::new(&codes).run(0, case.memory.clone(), &case.args);
    let bytes = memory.regions[1].as_chunks::<4>().0[..results].iter();
    bytes.map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// One argument in `2^32 / count`, over all bit patterns, so all magnitudes alike.
fn grid(count: u32) -> Vec<f32> {
    let stride = (u32::MAX / count) | 1;
    (0..count).map(|i| f32::from_bits(i.wrapping_mul(stride))).collect()
}

const SPECIAL: [f32; 12] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    f32::MIN_POSITIVE,
    -1e-42,
    f32::MAX,
    f32::MIN,
    0.5,
];

fn unit(magnitude: f64) -> f64 {
    let exponent = magnitude.max(f64::from(f32::MIN_POSITIVE)).log2().floor();
    2f64.powf(exponent.min(127.0) - 23.0)
}

/// The error in units, infinite where one of the two is NaN or infinite and the other is not.
fn error(row: &Row, x: f32, y: f32) -> f64 {
    let exact = (row.exact)(f64::from(x));
    if exact.is_nan() || y.is_nan() {
        return if exact.is_nan() == y.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if exact as f32 == y {
        return 0.0;
    }
    if y.is_infinite() || (exact as f32).is_infinite() {
        // The largest number and infinity are neighbours.
        return if f64::from(f32::MAX) - exact.abs() < 4.0 * unit(exact.abs()) { 1.0 } else { f64::INFINITY };
    }
    let floor = match row.floor {
        Floor::Nothing => 0.0,
        Floor::Flush(limit) if exact.abs() <= limit && f64::from(y).abs() <= limit => return 0.0,
        Floor::Flush(_) => 0.0,
        Floor::Value(value) => value,
        Floor::Argument(factor) => factor * f64::from(x).abs(),
    };
    (f64::from(y) - exact).abs() / unit(exact.abs().max(floor))
}

#[test]
fn errors_are_as_stated() {
    let arguments = [&SPECIAL, grid(1 << 19).as_slice()].concat();
    let mut problems = Vec::new();
    for row in rows() {
        let inside = |x: f32| x.is_nan() || (row.range.0..=row.range.1).contains(&x);
        let forms = evaluate(row.name, row.build, &arguments);
        let results = forms.iter().flat_map(|results| arguments.iter().zip(results));
        let errors = results.filter(|(x, _)| inside(**x)).map(|(&x, &y)| (error(&row, x, y), x, y));
        let (worst, x, y) = errors.fold((0.0, 0.0, 0.0), |worst, next| if next.0 > worst.0 { next } else { worst });
        println!("{}: {worst:.2} of {} ulp, at {x:e}", row.name, row.ulps);
        if worst > row.ulps {
            let exact = (row.exact)(x.into());
            problems.push(format!("{}({x:e}) = {y:e}, exactly {exact:e}: {worst:.2} ulp, not {}", row.name, row.ulps));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn signs_of_zero_stay() {
    for (name, build) in [
        ("tanh", math::tanh as Build),
        ("erf", math::erf),
        ("sin", math::sin),
        ("tan", math::tan),
        ("asin", math::asin),
        ("atan", math::atan),
        ("sinh", math::sinh),
        ("asinh", math::asinh),
        ("atanh", math::atanh),
        ("sign", math::sign),
    ] {
        for results in evaluate(name, build, &[0.0, -0.0]) {
            assert_eq!([results[0].to_bits(), results[1].to_bits()], [0, 0x8000_0000], "{name}");
        }
    }
}

#[test]
fn limits_of_gated_functions() {
    let gated: [(&str, Build); 5] = [
        ("swish", swish),
        ("mish", math::mish),
        ("gelu", math::gelu),
        ("gelu_tanh", math::gelu_tanh),
        ("hswish", math::hswish),
    ];
    for (name, build) in gated {
        for results in evaluate(name, build, &[f32::NEG_INFINITY, f32::INFINITY, 0.0, f32::NAN]) {
            assert_eq!(results[..3], [0.0, f32::INFINITY, 0.0], "{name}");
            assert!(results[3].is_nan(), "{name}");
        }
    }
}

#[test]
fn powers() {
    let power = |exponent: f32| {
        move |b: &mut Builder, x: Val| {
            let y = b.splat_const_f32(exponent);
            math::pow(b, x, y)
        }
    };
    for exponent in [0.0, 1.0, 2.0, 3.0, -1.0, 0.5, -0.5, 2.4, 17.0] {
        let arguments = [&SPECIAL, grid(1 << 14).as_slice()].concat();
        let forms = evaluate("pow", power(exponent), &arguments);
        for (&x, &y) in forms.iter().flat_map(|results| arguments.iter().zip(results)) {
            let undefined = x == f32::NEG_INFINITY && exponent.fract() != 0.0;
            let exact = if undefined { f64::NAN } else { f64::from(x).powf(exponent.into()) };
            let bound = (2.0 + 2.0 * exact.abs().ln().abs().min(104.0)) * unit(exact.abs());
            let close = (f64::from(y) - exact).abs() <= bound;
            let overflow = exact.abs() > 3.4e38 && y.is_infinite() && f64::from(y).signum() == exact.signum();
            assert!(close || overflow || exact.is_nan() && y.is_nan(), "{x:e} ^ {exponent} = {y:e}, exactly {exact:e}");
        }
    }
}

#[test]
fn remainders() {
    let arguments = [7.5, -7.5, 6.0, -6.0, 0.25, -0.25, 0.0, 5.0];
    for divisor in [3.0f32, -3.0] {
        let with = |f: fn(&mut Builder, Val, Val) -> Val| {
            let build = move |b: &mut Builder, x: Val| {
                let y = b.splat_const_f32(divisor);
                f(b, x, y)
            };
            evaluate("remainder", build, &arguments)
        };
        assert!(with(math::modulo).iter().all(|results| *results == arguments.map(|x| x % divisor)));
        let expected = arguments.map(|x| x - divisor * (x / divisor).floor());
        assert!(with(math::floor_mod).iter().all(|results| *results == expected));
    }
}

/// Bits, not only errors: no target contracts or reorders by itself.
#[test]
fn every_machine_computes_the_same_bits() {
    let arguments = [&SPECIAL, grid(244).as_slice()].concat();
    for vectors in WIDTHS.into_iter().flat_map(|width| [false, true].map(|fma| Vectors { width, fma })) {
        if vectors.fma || !Vectors::from(vectors.width).fma {
            check(&rows().iter().map(|row| case(row.name, row.build, &arguments, vectors)).collect::<Vec<_>>());
        }
    }
}
