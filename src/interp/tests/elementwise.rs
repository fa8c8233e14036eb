//! Unary and binary operations, selection, conversion. Tables of floats are against OpenVINO.
#![expect(clippy::approx_constant, reason = "expected values, printed by another implementation")]

use half::f16;

use super::*;

fn check_unary<const N: usize>(x: [f32; N], rows: &[(UnaryOp, [f32; N])]) {
    for (op, expected) in rows {
        check_near(&[(Op::Unary(*op), vec![f(&[N], &x)], vec![f(&[N], expected)])]);
    }
}

#[test]
fn unary_on_the_line() {
    let x = [-90.0, -3.5, -2.5, -1.0, -0.25, 0.0, 0.5, 2.5, 20.0];
    let rows = [
        (UnaryOp::Relu, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 2.5, 20.0]),
        (UnaryOp::Sigmoid, [0.0, 0.02931223, 0.07585818, 0.26894143, 0.4378235, 0.5, 0.62245935, 0.9241418, 1.0]),
        (UnaryOp::Tanh, [-1.0, -0.9981779, -0.9866143, -0.7615942, -0.24491866, 0.0, 0.46211717, 0.9866143, 1.0]),
        (UnaryOp::Abs, [90.0, 3.5, 2.5, 1.0, 0.25, 0.0, 0.5, 2.5, 20.0]),
        (UnaryOp::Neg, [90.0, 3.5, 2.5, 1.0, 0.25, -0.0, -0.5, -2.5, -20.0]),
        (UnaryOp::Sign, [-1.0, -1.0, -1.0, -1.0, -1.0, 0.0, 1.0, 1.0, 1.0]),
        (UnaryOp::Floor, [-90.0, -4.0, -3.0, -1.0, -1.0, 0.0, 0.0, 2.0, 20.0]),
        (UnaryOp::Ceil, [-90.0, -3.0, -2.0, -1.0, -0.0, 0.0, 1.0, 3.0, 20.0]),
        (UnaryOp::Round, [-90.0, -4.0, -2.0, -1.0, -0.0, 0.0, 0.0, 2.0, 20.0]),
        (UnaryOp::RoundAway, [-90.0, -4.0, -3.0, -1.0, -0.0, 0.0, 1.0, 3.0, 20.0]),
        (UnaryOp::Erf, [-1.0, -0.9999993, -0.99959296, -0.84270066, -0.2763261, 0.0, 0.5205001, 0.99959296, 1.0]),
        (
            UnaryOp::Gelu,
            [-0.0, -0.00081433356, -0.015524179, -0.15865526, -0.10032342, 0.0, 0.34573123, 2.4844759, 20.0],
        ),
        (
            UnaryOp::GeluTanh,
            [-0.0, -0.0006161481, -0.015084296, -0.158808, -0.100324646, 0.0, 0.345714, 2.4849157, 20.0],
        ),
        (UnaryOp::HSwish, [-0.0, -0.0, -0.20833328, -0.3333333, -0.114583336, 0.0, 0.29166666, 2.2916667, 20.0]),
        (UnaryOp::HSigmoid, [0.0, 0.0, 0.08333333, 0.3333333, 0.4583333, 0.49999997, 0.5833333, 0.9166666, 0.99999994]),
        (UnaryOp::HardSigmoid { alpha: 0.25, beta: 0.5 }, [0.0, 0.0, 0.0, 0.25, 0.4375, 0.5, 0.625, 1.0, 1.0]),
        (
            UnaryOp::Swish { beta: 1.5 },
            [-0.0, -0.018270442, -0.057443433, -0.18242553, -0.10183336, 0.0, 0.33958936, 2.4425566, 20.0],
        ),
        (UnaryOp::Elu { alpha: 0.5 }, [-0.5, -0.4849013, -0.4589575, -0.31606025, -0.11059961, 0.0, 0.5, 2.5, 20.0]),
        (
            UnaryOp::Selu { alpha: 1.5, lambda: 1.25 },
            [-1.875, -1.8183799, -1.7210906, -1.1852261, -0.41474852, 0.0, 0.625, 3.125, 25.0],
        ),
        (
            UnaryOp::Softplus,
            [0.0, 0.029750347, 0.07888985, 0.31326175, 0.5759394, 0.69314724, 0.974077, 2.5788898, 20.0],
        ),
        (UnaryOp::Softsign, [-0.989011, -0.7777778, -0.71428573, -0.5, -0.2, 0.0, 0.33333334, 0.71428573, 0.95238096]),
        (UnaryOp::Mish, [-0.0, -0.104095675, -0.19681624, -0.30340153, -0.12992696, 0.0, 0.3752452, 2.4713924, 20.0]),
        (UnaryOp::Clamp { min: -1.5, max: 2.0 }, [-1.5, -1.5, -1.5, -1.0, -0.25, 0.0, 0.5, 2.0, 2.0]),
        (
            UnaryOp::Sin,
            [-0.89399666, 0.35078323, -0.5984721, -0.84147096, -0.24740396, 0.0, 0.47942555, 0.5984721, 0.9129453],
        ),
        (
            UnaryOp::Cos,
            [-0.44807363, -0.9364567, -0.8011436, 0.5403023, 0.9689124, 1.0, 0.87758255, -0.8011436, 0.40808207],
        ),
        (
            UnaryOp::Tan,
            [1.9952004, -0.37458563, 0.74702233, -1.5574077, -0.25534192, 0.0, 0.5463025, -0.74702233, 2.237161],
        ),
        (
            UnaryOp::Atan,
            [-1.5596857, -1.2924967, -1.19029, -0.7853982, -0.24497867, 0.0, 0.4636476, 1.19029, 1.5208379],
        ),
        (
            UnaryOp::Asinh,
            [-5.192988, -1.9657205, -1.6472312, -0.8813736, -0.24746647, 0.0, 0.48121184, 1.6472312, 3.689504],
        ),
    ];
    check_unary(x, &rows);
}

#[test]
fn unary_on_the_unit_interval() {
    let x = [-0.9, -0.5, 0.0, 0.25, 0.75];
    let rows = [
        (UnaryOp::Exp, [0.40656963, 0.6065306, 1.0, 1.2840254, 2.1169999]),
        (UnaryOp::Asin, [-1.1197695, -0.5235988, 0.0, 0.25268024, 0.8480621]),
        (UnaryOp::Acos, [2.6905658, 2.0943952, 1.5707964, 1.3181161, 0.7227343]),
        (UnaryOp::Sinh, [-1.0265167, -0.5210953, 0.0, 0.25261232, 0.8223167]),
        (UnaryOp::Cosh, [1.4330864, 1.127626, 1.0, 1.0314131, 1.2946833]),
        (UnaryOp::Atanh, [-1.4722193, -0.54930615, 0.0, 0.25541282, 0.9729551]),
    ];
    check_unary(x, &rows);
}

#[test]
fn unary_on_positive_numbers() {
    let x = [1.0, 1.5, 4.0, 100.0];
    let rows = [
        (UnaryOp::Log, [0.0, 0.4054651, 1.3862944, 4.6051702]),
        (UnaryOp::Sqrt, [1.0, 1.2247449, 2.0, 10.0]),
        (UnaryOp::Acosh, [0.0, 0.9624237, 2.063437, 5.298292]),
    ];
    check_unary(x, &rows);
}

#[test]
fn binary_floats_broadcast() {
    let (a, b) = (f(&[1, 4], &[-7.0, -1.0, 0.0, 9.0]), f(&[2, 1], &[2.0, -3.0]));
    let rows = [
        (BinaryOp::Add, [-5.0, 1.0, 2.0, 11.0, -10.0, -4.0, -3.0, 6.0]),
        (BinaryOp::Sub, [-9.0, -3.0, -2.0, 7.0, -4.0, 2.0, 3.0, 12.0]),
        (BinaryOp::Mul, [-14.0, -2.0, 0.0, 18.0, 21.0, 3.0, -0.0, -27.0]),
        (BinaryOp::Div, [-3.5, -0.5, 0.0, 4.5, 2.3333335, 0.33333334, -0.0, -3.0]),
        (BinaryOp::Max, [2.0, 2.0, 2.0, 9.0, -3.0, -1.0, 0.0, 9.0]),
        (BinaryOp::Min, [-7.0, -1.0, 0.0, 2.0, -7.0, -3.0, -3.0, -3.0]),
        (BinaryOp::Mod, [-1.0, -1.0, 0.0, 1.0, -1.0, -1.0, 0.0, 0.0]),
        (BinaryOp::FloorMod, [1.0, 1.0, 0.0, 1.0, -1.0, -1.0, 0.0, 0.0]),
    ];
    for (op, expected) in rows {
        check_near(&[(Op::Binary(op), vec![a.clone(), b.clone()], vec![f(&[2, 4], &expected)])]);
    }
}

/// Division rounds toward negative infinity.
#[test]
fn binary_integers_broadcast() {
    let (a, b) = (i(&[1, 4], &[-7, -1, 0, 9]), i(&[2, 1], &[2, -3]));
    let rows = [
        (BinaryOp::Add, [-5, 1, 2, 11, -10, -4, -3, 6]),
        (BinaryOp::Sub, [-9, -3, -2, 7, -4, 2, 3, 12]),
        (BinaryOp::Mul, [-14, -2, 0, 18, 21, 3, 0, -27]),
        (BinaryOp::Div, [-4, -1, 0, 4, 2, 0, 0, -3]),
        (BinaryOp::Max, [2, 2, 2, 9, -3, -1, 0, 9]),
        (BinaryOp::Min, [-7, -1, 0, 2, -7, -3, -3, -3]),
        (BinaryOp::Mod, [-1, -1, 0, 1, -1, -1, 0, 0]),
        (BinaryOp::FloorMod, [1, 1, 0, 1, -1, -1, 0, 0]),
    ];
    for (op, expected) in rows {
        check(&[(Op::Binary(op), vec![a.clone(), b.clone()], vec![i(&[2, 4], &expected)])]);
    }
}

#[test]
fn integers_wrap_and_do_not_trap() {
    let row = |op, a: &[u8], b: &[u8], c: &[u8]| (Op::Binary(op), vec![u(&[2], a), u(&[2], b)], vec![u(&[2], c)]);
    let wide = |op, a: i64, b: i64, c: i64| (Op::Binary(op), vec![l(&[], &[a]), l(&[], &[b])], vec![l(&[], &[c])]);
    check(&[
        row(BinaryOp::Add, &[200, 1], &[100, 1], &[44, 2]),
        row(BinaryOp::Sub, &[1, 3], &[2, 3], &[255, 0]),
        row(BinaryOp::Div, &[7, 9], &[0, 2], &[0, 4]),
        row(BinaryOp::BitwiseXor, &[6, 255], &[3, 15], &[5, 240]),
        wide(BinaryOp::Div, i64::MIN, -1, i64::MIN),
        wide(BinaryOp::Mod, i64::MIN, -1, 0),
        wide(BinaryOp::FloorMod, 5, 0, 0),
        wide(BinaryOp::Pow, 3, 4, 81),
        wide(BinaryOp::Pow, 2, 64, 0),
        wide(BinaryOp::Pow, -1, -3, -1),
        wide(BinaryOp::Pow, 0, -1, 0),
        wide(BinaryOp::Mul, i64::MAX, 2, -2),
        (Op::Unary(UnaryOp::Abs), vec![s(&[2], &[-128, -3])], vec![s(&[2], &[-128, 3])]),
        (Op::Unary(UnaryOp::BitwiseNot), vec![u(&[2], &[0, 15])], vec![u(&[2], &[255, 240])]),
        (Op::Unary(UnaryOp::BitwiseNot), vec![b(&[2], &[0, 1])], vec![b(&[2], &[1, 0])]),
        (Op::Unary(UnaryOp::Clamp { min: -1.5, max: 2.5 }), vec![i(&[3], &[-9, 0, 9])], vec![i(&[3], &[-1, 0, 2])]),
    ]);
}

#[test]
fn not_a_number() {
    let nan = f32::NAN;
    let x = f(&[3], &[nan, f32::INFINITY, 1.0]);
    let one = f(&[], &[1.0]);
    check(&[
        (Op::Unary(UnaryOp::IsNan), vec![x.clone()], vec![b(&[3], &[1, 0, 0])]),
        (Op::Unary(UnaryOp::IsInf), vec![x.clone()], vec![b(&[3], &[0, 1, 0])]),
        (Op::Unary(UnaryOp::IsFinite), vec![x.clone()], vec![b(&[3], &[0, 0, 1])]),
        (Op::Unary(UnaryOp::Relu), vec![x.clone()], vec![f(&[3], &[0.0, f32::INFINITY, 1.0])]),
        (Op::Binary(BinaryOp::Max), vec![x.clone(), one.clone()], vec![f(&[3], &[nan, f32::INFINITY, 1.0])]),
        (Op::Binary(BinaryOp::Min), vec![one.clone(), x.clone()], vec![f(&[3], &[nan, 1.0, 1.0])]),
        (Op::Binary(BinaryOp::Equal), vec![x.clone(), x.clone()], vec![b(&[3], &[0, 1, 1])]),
        (Op::Binary(BinaryOp::NotEqual), vec![x.clone(), x], vec![b(&[3], &[1, 0, 0])]),
    ]);
}

#[test]
fn prelu_and_logic() {
    check(&[
        (
            Op::Binary(BinaryOp::PRelu),
            vec![f(&[2, 2], &[-2.0, 2.0, -4.0, 0.0]), f(&[2, 1], &[0.5, -0.25])],
            vec![f(&[2, 2], &[-1.0, 2.0, 1.0, 0.0])],
        ),
        (Op::Binary(BinaryOp::LogicalXor), vec![b(&[2], &[0, 1]), b(&[2], &[1, 1])], vec![b(&[2], &[1, 0])]),
        (
            Op::Select,
            vec![b(&[2, 1], &[1, 0]), f(&[2], &[1.0, 2.0]), f(&[], &[9.0])],
            vec![f(&[2, 2], &[1.0, 2.0, 9.0, 9.0])],
        ),
    ]);
}

#[test]
fn convert_truncates_saturates_and_wraps() {
    let x = f(&[6], &[-1.9, 1.9, 300.0, -300.0, f32::NAN, f32::INFINITY]);
    let to = |elem| Op::Convert { elem };
    check(&[
        (to(ElemType::I8), vec![x.clone()], vec![s(&[6], &[-1, 1, 127, -128, 0, 127])]),
        (to(ElemType::U8), vec![x.clone()], vec![u(&[6], &[0, 1, 255, 0, 0, 255])]),
        (to(ElemType::Bool), vec![x.clone()], vec![b(&[6], &[1; 6])]),
        (to(ElemType::I64), vec![f(&[1], &[-1e30])], vec![l(&[1], &[i64::MIN])]),
        (to(ElemType::I8), vec![i(&[3], &[128, -129, 256])], vec![s(&[3], &[-128, 127, 0])]),
        (to(ElemType::F32), vec![l(&[1], &[16_777_217])], vec![f(&[1], &[16_777_216.0])]),
        (to(ElemType::F32), vec![b(&[2], &[0, 1])], vec![f(&[2], &[0.0, 1.0])]),
    ]);
}

/// Half precision rounds once per operation, through f32.
#[test]
fn half_precision() {
    let half = |values: &[f32]| {
        let data = Data::F16(values.iter().map(|&x| f16::from_f32(x)).collect());
        Tensor::new(TensorType::new(ElemType::F16, shape(&[values.len()])), data)
    };
    check(&[(
        Op::Binary(BinaryOp::Add),
        vec![half(&[2048.0, 65504.0]), half(&[1.0, 65504.0])],
        vec![half(&[2048.0, f32::INFINITY])],
    )]);
}
