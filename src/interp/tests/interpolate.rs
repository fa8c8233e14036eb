//! Resizing, against OpenVINO's reference: modes, coordinates, roundings, antialiasing, pads.

use super::*;
use CoordinateMode::{AlignCorners, Asymmetric, HalfPixel, PytorchHalfPixel, TfHalfPixelForNn};
use NearestMode::{Ceil, Floor, RoundPreferCeil, RoundPreferFloor, Simple};

/// Of the last two axes, scales being the ratios of the sizes.
fn attrs(mode: InterpolateMode, coordinates: CoordinateMode, sizes: [usize; 2]) -> InterpolateAttrs {
    InterpolateAttrs {
        mode,
        coordinates,
        nearest: RoundPreferFloor,
        antialias: false,
        cube_coeff: -0.75,
        axes: vec![2, 3],
        sizes: sizes.to_vec(),
        scales: vec![sizes[0] as f64 / 2.0, sizes[1] as f64 / 3.0],
        pads_begin: vec![0; 4],
        pads_end: vec![0; 4],
    }
}

/// Resizes `[[1, 2, 4], [7, 11, 16]]`.
fn check_image(attrs: InterpolateAttrs, expected: &[f32]) {
    let image = f(&[1, 1, 2, 3], &[1.0, 2.0, 4.0, 7.0, 11.0, 16.0]);
    let expected = f(&[1, 1, attrs.sizes[0], attrs.sizes[1]], expected);
    check_near(&[(Op::Interpolate(attrs), vec![image], vec![expected])]);
}

#[test]
fn nearest() {
    let rows: [(CoordinateMode, NearestMode, [usize; 2], &[f32]); 16] = [
        (HalfPixel, RoundPreferCeil, [3, 4], &[1.0, 2.0, 2.0, 4.0, 7.0, 11.0, 11.0, 16.0, 7.0, 11.0, 11.0, 16.0]),
        (HalfPixel, Floor, [1, 2], &[1.0, 2.0]),
        (HalfPixel, Simple, [3, 4], &[1.0, 1.0, 2.0, 4.0, 1.0, 1.0, 2.0, 4.0, 7.0, 7.0, 11.0, 16.0]),
        (PytorchHalfPixel, RoundPreferFloor, [1, 2], &[1.0, 4.0]),
        (PytorchHalfPixel, Floor, [3, 4], &[1.0, 1.0, 2.0, 4.0, 1.0, 1.0, 2.0, 4.0, 7.0, 7.0, 11.0, 16.0]),
        (PytorchHalfPixel, Ceil, [1, 2], &[2.0, 4.0]),
        (Asymmetric, RoundPreferFloor, [3, 4], &[1.0, 2.0, 2.0, 4.0, 7.0, 11.0, 11.0, 16.0, 7.0, 11.0, 11.0, 16.0]),
        (Asymmetric, RoundPreferCeil, [1, 2], &[1.0, 4.0]),
        (Asymmetric, Ceil, [3, 4], &[1.0, 2.0, 4.0, 4.0, 7.0, 11.0, 16.0, 16.0, 7.0, 11.0, 16.0, 16.0]),
        (Asymmetric, Simple, [1, 2], &[1.0, 4.0]),
        (
            TfHalfPixelForNn,
            RoundPreferCeil,
            [3, 4],
            &[1.0, 2.0, 4.0, 4.0, 7.0, 11.0, 16.0, 16.0, 7.0, 11.0, 16.0, 16.0],
        ),
        (TfHalfPixelForNn, Floor, [1, 2], &[7.0, 16.0]),
        (TfHalfPixelForNn, Simple, [3, 4], &[1.0, 2.0, 2.0, 4.0, 7.0, 11.0, 11.0, 16.0, 7.0, 11.0, 11.0, 16.0]),
        (AlignCorners, RoundPreferFloor, [1, 2], &[1.0, 4.0]),
        (AlignCorners, Floor, [3, 4], &[1.0, 1.0, 2.0, 4.0, 1.0, 1.0, 2.0, 4.0, 7.0, 7.0, 11.0, 16.0]),
        (AlignCorners, Ceil, [1, 2], &[1.0, 4.0]),
    ];
    for (coordinates, nearest, sizes, expected) in rows {
        check_image(InterpolateAttrs { nearest, ..attrs(InterpolateMode::Nearest, coordinates, sizes) }, expected);
    }
}

#[test]
fn linear() {
    let rows: [(CoordinateMode, [usize; 2], &[f32]); 10] = [
        (HalfPixel, [3, 4], &[1.0, 1.625, 2.75, 4.0, 4.0, 5.5625, 7.8125, 10.0, 7.0000005, 9.5, 12.875, 16.0]),
        (HalfPixel, [1, 2], &[4.625, 9.125]),
        (PytorchHalfPixel, [3, 4], &[1.0, 1.625, 2.75, 4.0, 4.0, 5.5625, 7.8125, 10.0, 7.0000005, 9.5, 12.875, 16.0]),
        (PytorchHalfPixel, [1, 2], &[1.25, 3.5]),
        (Asymmetric, [3, 4], &[1.0, 1.75, 3.0, 4.0, 5.0000005, 7.25, 10.0, 12.0, 7.0, 10.0, 13.500001, 16.0]),
        (Asymmetric, [1, 2], &[1.0, 3.0]),
        (
            TfHalfPixelForNn,
            [3, 4],
            &[3.75, 5.375, 7.6250005, 8.000001, 8.5, 11.625, 15.375, 16.0, 8.499999, 11.624999, 15.375, 16.0],
        ),
        (TfHalfPixelForNn, [1, 2], &[10.0, 16.0]),
        (
            AlignCorners,
            [3, 4],
            &[1.0, 1.6666667, 2.6666667, 4.0, 4.0, 5.666667, 7.666667, 10.0, 7.0, 9.666667, 12.666667, 16.0],
        ),
        (AlignCorners, [1, 2], &[1.0, 4.0]),
    ];
    for (coordinates, sizes, expected) in rows {
        check_image(attrs(InterpolateMode::Linear, coordinates, sizes), expected);
    }
}

#[test]
fn linear_onnx() {
    let rows: [(CoordinateMode, [usize; 2], &[f32]); 8] = [
        (HalfPixel, [3, 4], &[1.0, 1.625, 2.75, 4.0, 4.0, 5.5625, 7.8125, 10.0, 7.0, 9.5, 12.875, 16.0]),
        (HalfPixel, [1, 2], &[4.625, 9.125]),
        (PytorchHalfPixel, [3, 4], &[1.0, 1.625, 2.75, 4.0, 4.0, 5.5625, 7.8125, 10.0, 7.0, 9.5, 12.875, 16.0]),
        (Asymmetric, [3, 4], &[1.0, 1.75, 3.0, 4.0, 5.0000005, 7.25, 10.0, 12.0, 7.0, 10.0, 13.5, 16.0]),
        (Asymmetric, [1, 2], &[1.0, 3.0]),
        (TfHalfPixelForNn, [3, 4], &[3.75, 5.375, 7.625, 8.0, 8.5, 11.625, 15.375, 16.0, 8.5, 11.625, 15.375, 16.0]),
        (
            AlignCorners,
            [3, 4],
            &[1.0, 1.6666667, 2.6666667, 4.0, 4.0, 5.666667, 7.666667, 10.0, 7.0, 9.666667, 12.666667, 16.0],
        ),
        (AlignCorners, [1, 2], &[1.0, 4.0]),
    ];
    for (coordinates, sizes, expected) in rows {
        check_image(attrs(InterpolateMode::LinearOnnx, coordinates, sizes), expected);
    }
}

#[test]
fn cubic() {
    let rows: [(CoordinateMode, [usize; 2], &[f32]); 8] = [
        (
            HalfPixel,
            [3, 4],
            &[
                0.42608172, 0.7611239, 1.9268653, 3.0831966, 3.8205566, 5.2145996, 8.035889, 10.251221, 7.215035,
                9.668079, 14.14492, 17.41925,
            ],
        ),
        (HalfPixel, [1, 2], &[4.4433594, 9.294922]),
        (
            PytorchHalfPixel,
            [3, 4],
            &[
                0.42608172, 0.7611239, 1.9268653, 3.0831966, 3.8205566, 5.2145996, 8.035889, 10.251221, 7.215035,
                9.668079, 14.14492, 17.41925,
            ],
        ),
        (
            Asymmetric,
            [3, 4],
            &[
                1.0, 1.5625, 3.09375, 4.2109375, 5.111111, 7.046658, 10.480905, 12.649958, 7.6666646, 10.455726,
                15.072911, 17.895828,
            ],
        ),
        (Asymmetric, [1, 2], &[1.0, 3.09375]),
        (
            TfHalfPixelForNn,
            [3, 4],
            &[
                3.3954794, 5.2805696, 7.490041, 7.971865, 8.111816, 11.80957, 15.518555, 16.32959, 8.494222, 12.338949,
                16.16951, 17.00724,
            ],
        ),
        (
            AlignCorners,
            [3, 4],
            &[1.0, 1.4629632, 2.7407398, 4.0, 4.0, 5.3240767, 7.8796263, 10.0, 7.0, 9.185187, 13.018515, 16.0],
        ),
        (AlignCorners, [1, 2], &[1.0, 4.0]),
    ];
    for (coordinates, sizes, expected) in rows {
        check_image(attrs(InterpolateMode::Cubic, coordinates, sizes), expected);
    }
}

/// A wider filter where the image shrinks; along an axis that grows it changes nothing.
#[test]
fn antialias() {
    let rows: [(CoordinateMode, [usize; 2], &[f32]); 4] = [
        (HalfPixel, [1, 2], &[4.9375, 8.6875]),
        (HalfPixel, [3, 4], &[1.0, 1.625, 2.75, 4.0, 4.0, 5.5625, 7.8125, 10.0, 7.0000005, 9.5, 12.875, 16.0]),
        (Asymmetric, [1, 2], &[3.5000005, 6.5]),
        (AlignCorners, [2, 2], &[1.25, 3.5, 8.0, 14.749999]),
    ];
    for (coordinates, sizes, expected) in rows {
        let attrs = attrs(InterpolateMode::Linear, coordinates, sizes);
        check_image(InterpolateAttrs { antialias: true, ..attrs }, expected);
    }
}

/// The model's scales count, also where the sizes have another ratio.
#[test]
fn scales() {
    let rows: [(InterpolateMode, [f64; 2], [usize; 2], &[f32]); 4] = [
        (InterpolateMode::Nearest, [1.75, 1.5], [3, 4], &[1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]),
        (
            InterpolateMode::Linear,
            [1.75, 1.5],
            [3, 4],
            &[
                1.0, 1.5000001, 2.3333333, 3.6666667, 3.1428573, 4.1785717, 5.7261906, 7.7738094, 6.571429, 8.464286,
                11.154762, 14.345239,
            ],
        ),
        (
            InterpolateMode::LinearOnnx,
            [1.75, 0.9],
            [3, 2],
            &[1.0555556, 2.3333335, 3.2579367, 5.726191, 6.7817464, 11.154763],
        ),
        (InterpolateMode::Cubic, [0.6, 1.5], [1, 4], &[2.7201042, 3.585073, 5.4247127, 7.388962]),
    ];
    for (mode, scales, sizes, expected) in rows {
        let attrs = attrs(mode, HalfPixel, sizes);
        check_image(InterpolateAttrs { nearest: Floor, scales: scales.to_vec(), ..attrs }, expected);
    }
}

/// Zeros above and to the right, before resizing.
#[test]
fn pads() {
    let rows: [(InterpolateMode, &[f32]); 4] = [
        (InterpolateMode::Nearest, &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 4.0, 7.0, 11.0, 16.0]),
        (
            InterpolateMode::Linear,
            &[0.0, 0.0, 0.0, 0.7291667, 1.875, 0.41666687, 3.6041667, 6.9375, 1.4166673, 7.6666665, 13.5, 2.666668],
        ),
        (
            InterpolateMode::LinearOnnx,
            &[0.0, 0.0, 0.0, 0.7291667, 1.875, 0.41666687, 3.6041667, 6.9375, 1.4166673, 7.666667, 13.5, 2.666668],
        ),
        (
            InterpolateMode::Cubic,
            &[
                -0.07958646,
                -0.24897766,
                -0.04369777,
                0.008479897,
                0.9107208,
                0.19448453,
                3.5291052,
                8.140274,
                1.3150539,
                7.9450994,
                16.229599,
                2.5104558,
            ],
        ),
    ];
    for (mode, expected) in rows {
        let (pads_begin, pads_end) = (vec![0, 0, 1, 0], vec![0, 0, 0, 1]);
        let (nearest, scales) = (Floor, vec![4.0 / 3.0, 3.0 / 4.0]);
        let attrs = attrs(mode, HalfPixel, [4, 3]);
        check_image(InterpolateAttrs { nearest, scales, pads_begin, pads_end, ..attrs }, expected);
    }
}

/// Integers are moved, not computed with: no bit is lost beyond 2^53.
#[test]
fn nearest_keeps_large_integers() {
    let attrs = attrs(InterpolateMode::Nearest, Asymmetric, [2, 6]);
    let large = [i64::MAX, i64::MIN, 1, (1 << 60) + 1, -1, 0];
    let doubled: Vec<i64> = large.iter().flat_map(|&x| [x, x]).collect();
    let attrs = InterpolateAttrs { nearest: Floor, ..attrs };
    check(&[(Op::Interpolate(attrs), vec![l(&[1, 1, 2, 3], &large)], vec![l(&[1, 1, 2, 6], &doubled)])]);
}
