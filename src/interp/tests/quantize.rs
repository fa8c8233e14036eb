//! Quantization, bit by bit.

use super::*;

/// Both sides of every range below, its ends, ties, and what is no number.
fn samples() -> Tensor {
    let finite = [-2.0, -1.0, -0.5, -0.26, 0.0, 0.24, 0.49, 0.5, 1.0, 1.5, 2.0];
    f(&[1, 14], &[&finite[..], &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]].concat())
}

#[test]
fn fake_quantize() {
    check(&[
        (
            Op::FakeQuantize { levels: 256 },
            vec![samples(), f(&[], &[-1.0]), f(&[], &[1.0]), f(&[], &[-1.0]), f(&[], &[1.0])],
            vec![f(
                &[1, 14],
                &[
                    -1.0,
                    -1.0,
                    -0.4980392,
                    -0.26274508,
                    0.003921628,
                    0.23921573,
                    0.4901961,
                    0.49803925,
                    1.0,
                    1.0,
                    1.0,
                    f32::NAN,
                    1.0,
                    -1.0,
                ],
            )],
        ),
        (
            Op::FakeQuantize { levels: 16 },
            vec![samples(), f(&[], &[0.0]), f(&[], &[1.5]), f(&[], &[0.0]), f(&[], &[1.5])],
            vec![f(&[1, 14], &[0.0, 0.0, 0.0, 0.0, 0.0, 0.20000002, 0.5, 0.5, 1.0, 1.5, 1.5, f32::NAN, 1.5, 0.0])],
        ),
        (
            Op::FakeQuantize { levels: 4 },
            vec![samples(), f(&[], &[1.0]), f(&[], &[-1.0]), f(&[], &[0.0]), f(&[], &[3.0])],
            vec![f(&[1, 14], &[0.0, 0.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 0.0, 3.0, 3.0, f32::NAN, 3.0, 0.0])],
        ),
        (
            Op::FakeQuantize { levels: 5 },
            vec![samples(), f(&[], &[-1.0]), f(&[], &[1.0]), f(&[], &[2.0]), f(&[], &[-2.0])],
            vec![f(&[1, 14], &[2.0, 2.0, 1.0, 1.0, 0.0, 0.0, -1.0, -1.0, -2.0, -2.0, -2.0, f32::NAN, -2.0, 2.0])],
        ),
        (
            Op::FakeQuantize { levels: 2 },
            vec![samples(), f(&[], &[0.5]), f(&[], &[0.5]), f(&[], &[-1.0]), f(&[], &[1.0])],
            vec![f(&[1, 14], &[-1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0, f32::NAN, 1.0, -1.0])],
        ),
        (
            Op::FakeQuantize { levels: 256 },
            vec![samples(), f(&[], &[-1.23]), f(&[], &[1.55]), f(&[], &[-1.23]), f(&[], &[1.55])],
            vec![f(
                &[1, 14],
                &[
                    -1.23,
                    -1.0010588,
                    -0.49956864,
                    -0.2597255,
                    0.0019215345,
                    0.24176478,
                    0.49250984,
                    0.50341177,
                    1.0049019,
                    1.4954901,
                    1.55,
                    f32::NAN,
                    1.55,
                    -1.23,
                ],
            )],
        ),
    ]);
}

/// Values of a published network's ranges, by the definition in f32.
#[test]
fn fake_quantize_goldens() {
    let scalars = |range: [f32; 4]| range.map(|value| f(&[], &[value]));
    let rows: [(u32, [f32; 4], f32, f32); 4] = [
        (256, [0.0, 2.55, 0.0, 2.55], 0.005, 0.0),
        (256, [0.0, 2.55, 0.0, 2.55], 0.015, 0.020000001),
        (256, [0.0, 2.55, 0.0, 2.55], 2.55, 2.55),
        // the integer -125 at scale 0.01
        (255, [0.0, 254.0, -1.27, 1.27], 2.0, -1.25),
    ];
    for (levels, range, x, expected) in rows {
        let operands = [vec![f(&[1], &[x])], scalars(range).to_vec()].concat();
        check(&[(Op::FakeQuantize { levels }, operands, vec![f(&[1], &[expected])])]);
    }
}

/// Each range has a shape of its own: input low per channel, input high one number, outputs per column and per row.
#[test]
fn fake_quantize_broadcasts_each_range() {
    let x = [0.5, -1.0, 2.5, 1.0, -2.0, 0.0];
    let row = (
        Op::FakeQuantize { levels: 3 },
        vec![
            f(&[1, 2, 1, 3], &x),
            f(&[2, 1, 1], &[-1.0, -2.0]),
            f(&[], &[2.0]),
            f(&[1, 1, 1, 3], &[0.0, -1.0, 1.0]),
            f(&[1, 2, 1, 1], &[4.0, 8.0]),
        ],
        vec![f(&[1, 2, 1, 3], &[2.0, -1.0, 4.0, 8.0, -1.0, 4.5])],
    );
    check(&[row]);
}

#[test]
fn quantize_rounds_half_to_even_and_clamps() {
    let x = [0.25, 0.75, -0.25, 1e9, -1e9, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let attrs =
        |elem, low, high| Op::Quantize(QuantizeAttrs { params: QuantParams::per_tensor(0.5, 3.0), elem, low, high });
    check(&[
        (attrs(ElemType::U8, 0, 255), vec![f(&[8], &x)], vec![u(&[8], &[4, 4, 2, 255, 0, 0, 255, 0])]),
        (attrs(ElemType::I8, -5, 7), vec![f(&[8], &x)], vec![s(&[8], &[4, 4, 2, 7, -5, -5, 7, -5])]),
    ]);
}

/// The factor is 1 / scale rounded once: 0.1 has the factor 10 exactly.
#[test]
fn quantize_multiplies_by_the_rounded_inverse() {
    let params = QuantParams::per_tensor(0.1, 0.0);
    let op = Op::Quantize(QuantizeAttrs { params, elem: ElemType::I8, low: -128, high: 127 });
    check(&[(op, vec![f(&[3], &[0.25, 0.35, -0.05])], vec![s(&[3], &[2, 4, 0])])]);
}

#[test]
fn dequantize_subtracts_then_scales() {
    let per_channel = QuantParams::per_axis(vec![0.5, 2.0], vec![1.0, -1.5], 1);
    check(&[
        (
            Op::Dequantize(QuantParams::per_tensor(0.25, 128.0)),
            vec![u(&[3], &[0, 128, 255])],
            vec![f(&[3], &[-32.0, 0.0, 31.75])],
        ),
        (
            Op::Dequantize(per_channel),
            vec![s(&[2, 2], &[3, 3, -128, 127])],
            vec![f(&[2, 2], &[1.0, 9.0, -64.5, 257.0])],
        ),
        // f32(q) rounds: 2^24 + 1 is no f32
        (
            Op::Dequantize(QuantParams::per_tensor(1.0, 0.0)),
            vec![i(&[1], &[16_777_217])],
            vec![f(&[1], &[16_777_216.0])],
        ),
    ]);
}

#[test]
fn requantize_is_per_channel_and_clamps_in_f32() {
    let attrs = |elem, low, high| {
        Op::Requantize(RequantizeAttrs {
            multiplier: vec![0.5, 0.25],
            bias: vec![10.0],
            axis: Some(0),
            elem,
            low,
            high,
        })
    };
    let src = i(&[2, 3], &[1, 3, 1000, -2, 2, i32::MAX]);
    check(&[
        (attrs(ElemType::U8, 0, 255), vec![src.clone()], vec![u(&[2, 3], &[10, 12, 255, 10, 10, 255])]),
        (attrs(ElemType::I8, 11, 127), vec![src.clone()], vec![s(&[2, 3], &[11, 12, 127, 11, 11, 127])]),
        (attrs(ElemType::I32, i32::MIN, i32::MAX), vec![src], vec![i(&[2, 3], &[10, 12, 510, 10, 10, 536_870_912])]),
    ]);
}
