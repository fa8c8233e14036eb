//! Functions of one number in f64, against values computed with 40 digits.

use super::super::math::{erf, erfc, gelu, gelu_tanh, mish, sigmoid, softplus, swish};

#[test]
fn error_function() {
    let rows = [
        (0.0, 0.0),
        (1e-10, 1.1283791670955126e-10),
        (0.1, 0.1124629160182849),
        (0.5, 0.52049987781304654),
        (0.9, 0.79690821242283214),
        (1.3, 0.93400794494065245),
        (2.0, 0.99532226501895273),
        (2.4, 0.99931148610335492),
        (2.5, 0.99959304798255504),
        (2.6, 0.99976396558347065),
        (3.0, 0.99997790950300141),
        (4.0, 0.9999999845827421),
        (5.5, 0.99999999999999264),
    ];
    for (x, expected) in rows {
        assert!((erf(x) - expected).abs() <= 1e-15, "erf({x}) = {} not {expected}", erf(x));
        assert_eq!(erf(-x), -erf(x));
    }
}

#[test]
fn complement_keeps_its_digits_in_the_tail() {
    let rows = [
        (-1.0, 1.8427007929497149),
        (0.5, 0.47950012218695346),
        (2.0, 0.0046777349810472658),
        (2.5, 4.0695201744495894e-4),
        (3.0, 2.2090496998585441e-5),
        (5.0, 1.5374597944280349e-12),
        (10.0, 2.0884875837625448e-45),
        (20.0, 5.3958656116079009e-176),
        (26.0, 5.6631924088561428e-296),
    ];
    for (x, expected) in rows {
        assert!((erfc(x) / expected - 1.0).abs() <= 1e-12, "erfc({x}) = {:e} not {expected:e}", erfc(x));
    }
}

/// Infinities and large numbers give the limits; NaN stays NaN.
#[test]
fn limits() {
    let functions: [(&str, fn(f64) -> f64, f64, f64); 6] = [
        ("erf", erf, -1.0, 1.0),
        ("gelu", gelu, 0.0, f64::INFINITY),
        ("gelu_tanh", gelu_tanh, 0.0, f64::INFINITY),
        ("mish", mish, 0.0, f64::INFINITY),
        ("sigmoid", sigmoid, 0.0, 1.0),
        ("softplus", softplus, 0.0, f64::INFINITY),
    ];
    for (name, function, low, high) in functions {
        assert_eq!(function(f64::NEG_INFINITY), low, "{name}");
        assert_eq!(function(f64::INFINITY), high, "{name}");
        assert_eq!(function(-1e300), low, "{name}");
        assert!(function(f64::NAN).is_nan(), "{name}");
    }
    assert_eq!(swish(f64::NEG_INFINITY, 1.0), 0.0);
    assert_eq!(swish(f64::INFINITY, 1.0), f64::INFINITY);
}
