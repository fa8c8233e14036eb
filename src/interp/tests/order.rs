//! Running sums, the greatest elements, one-hot vectors.

use super::*;

#[test]
fn order() {
    check_near(&[
        (
            Op::CumSum { axis: 1, exclusive: false, reverse: false },
            vec![f(&[2, 3, 2], &[-2.5, -1.25, 1.75, -1.25, -2.75, -0.25, 3.0, 1.75, 2.25, -1.25, -1.25, -2.25])],
            vec![f(&[2, 3, 2], &[-2.5, -1.25, -0.75, -2.5, -3.5, -2.75, 3.0, 1.75, 5.25, 0.5, 4.0, -1.75])],
        ),
        (
            Op::CumSum { axis: 1, exclusive: false, reverse: true },
            vec![f(&[2, 3, 2], &[-2.25, -1.5, 2.5, 1.0, -0.25, -0.25, -2.25, 0.0, 0.0, 1.75, -1.5, 2.25])],
            vec![f(&[2, 3, 2], &[0.0, -0.75, 2.25, 0.75, -0.25, -0.25, -3.75, 4.0, -1.5, 4.0, -1.5, 2.25])],
        ),
        (
            Op::CumSum { axis: 1, exclusive: true, reverse: false },
            vec![f(&[2, 3, 2], &[-0.5, -2.75, 1.0, 0.75, 2.5, 0.25, 2.0, -1.75, -2.0, 1.0, -0.25, 1.75])],
            vec![f(&[2, 3, 2], &[0.0, 0.0, -0.5, -2.75, 0.5, -2.0, 0.0, 0.0, 2.0, -1.75, 0.0, -0.75])],
        ),
        (
            Op::CumSum { axis: 1, exclusive: true, reverse: true },
            vec![f(&[2, 3, 2], &[0.0, 1.75, 3.0, 3.0, -2.5, 3.0, 0.0, -0.75, 2.5, -2.0, -0.75, 2.0])],
            vec![f(&[2, 3, 2], &[0.5, 6.0, -2.5, 3.0, 0.0, 0.0, 1.75, 0.0, -0.75, 2.0, 0.0, 0.0])],
        ),
        (
            Op::TopK(top_k(1, 2, true, TopKSort::ByValue)),
            vec![f(&[2, 5], &[3.0, 1.0, 3.0, 2.0, 1.0, 0.0, -1.0, -1.0, 5.0, 4.0])],
            vec![f(&[2, 2], &[3.0, 3.0, 5.0, 4.0]), l(&[2, 2], &[0, 2, 3, 4])],
        ),
        (
            Op::TopK(top_k(1, 2, true, TopKSort::ByIndex)),
            vec![f(&[2, 5], &[3.0, 1.0, 3.0, 2.0, 1.0, 0.0, -1.0, -1.0, 5.0, 4.0])],
            vec![f(&[2, 2], &[3.0, 3.0, 5.0, 4.0]), l(&[2, 2], &[0, 2, 3, 4])],
        ),
        (
            Op::TopK(top_k(1, 2, false, TopKSort::ByValue)),
            vec![f(&[2, 5], &[3.0, 1.0, 3.0, 2.0, 1.0, 0.0, -1.0, -1.0, 5.0, 4.0])],
            vec![f(&[2, 2], &[1.0, 1.0, -1.0, -1.0]), l(&[2, 2], &[1, 4, 1, 2])],
        ),
        (
            Op::TopK(top_k(1, 2, false, TopKSort::ByIndex)),
            vec![f(&[2, 5], &[3.0, 1.0, 3.0, 2.0, 1.0, 0.0, -1.0, -1.0, 5.0, 4.0])],
            vec![f(&[2, 2], &[1.0, 1.0, -1.0, -1.0]), l(&[2, 2], &[1, 4, 1, 2])],
        ),
        (
            Op::OneHot { axis: 0, depth: 3, on: 2.0, off: -1.0, elem: ElemType::F32 },
            vec![l(&[2, 2], &[0, 2, 1, 3])],
            vec![f(&[3, 2, 2], &[2.0, -1.0, -1.0, -1.0, -1.0, -1.0, 2.0, -1.0, -1.0, 2.0, -1.0, -1.0])],
        ),
        (
            Op::OneHot { axis: 1, depth: 3, on: 2.0, off: -1.0, elem: ElemType::F32 },
            vec![l(&[2, 2], &[0, 2, 1, 3])],
            vec![f(&[2, 3, 2], &[2.0, -1.0, -1.0, -1.0, -1.0, 2.0, -1.0, -1.0, 2.0, -1.0, -1.0, -1.0])],
        ),
        (
            Op::OneHot { axis: 2, depth: 3, on: 2.0, off: -1.0, elem: ElemType::F32 },
            vec![l(&[2, 2], &[0, 2, 1, 3])],
            vec![f(&[2, 2, 3], &[2.0, -1.0, -1.0, -1.0, -1.0, 2.0, -1.0, 2.0, -1.0, -1.0, -1.0, -1.0])],
        ),
    ]);
}

/// NaN is last in either direction, equal elements keep their order, integers wrap.
#[test]
fn corner_cases() {
    let x = f(&[4], &[f32::NAN, 1.0, -0.0, 0.0]);
    let order = |largest| Op::TopK(top_k(0, 4, largest, TopKSort::ByValue));
    check(&[
        (order(true), vec![x.clone()], vec![f(&[4], &[1.0, -0.0, 0.0, f32::NAN]), l(&[4], &[1, 2, 3, 0])]),
        (order(false), vec![x], vec![f(&[4], &[-0.0, 0.0, 1.0, f32::NAN]), l(&[4], &[2, 3, 1, 0])]),
        (
            Op::CumSum { axis: 0, exclusive: false, reverse: false },
            vec![u(&[3], &[200, 100, 1])],
            vec![u(&[3], &[200, 44, 45])],
        ),
        (
            Op::OneHot { axis: 0, depth: 2, on: 1.0, off: 0.0, elem: ElemType::Bool },
            vec![l(&[3], &[1, -1, 2])],
            vec![b(&[2, 3], &[0, 0, 0, 1, 0, 0])],
        ),
    ]);
}
