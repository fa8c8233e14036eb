//! Floats of 8 and 4 bits, in which tools compress weights: every one of them is exact in f32.
//!
//! The formats of 8 bits are those of the OCP specification of 8-bit floating point, f4e2m1 and f8e8m0 those of its
//! microscaling formats, nf4 has the quantiles of the normal distribution that QLoRA (Dettmers et al., 2023) lists.

use half::f16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MiniFloat {
    F8E4M3,
    F8E5M2,
    /// A power of two.
    F8E8M0,
    F4E2M1,
    Nf4,
}

const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

impl MiniFloat {
    /// Bits of one element in the file.
    pub fn bits(self) -> usize {
        match self {
            MiniFloat::F8E4M3 | MiniFloat::F8E5M2 | MiniFloat::F8E8M0 => 8,
            MiniFloat::F4E2M1 | MiniFloat::Nf4 => 4,
        }
    }

    /// The value of an element, which is in the low bits.
    pub fn value(self, code: u8) -> f32 {
        match self {
            MiniFloat::F8E4M3 if code & 0x7f == 0x7f => f32::NAN,
            MiniFloat::F8E4M3 => decoded(code, 4, 3),
            // The upper half of an f16.
            MiniFloat::F8E5M2 => f16::from_bits(u16::from(code) << 8).to_f32(),
            MiniFloat::F8E8M0 if code == u8::MAX => f32::NAN,
            MiniFloat::F8E8M0 => (f32::from(code) - 127.0).exp2(),
            MiniFloat::F4E2M1 => decoded(code & 15, 2, 1),
            MiniFloat::Nf4 => NF4[usize::from(code & 15)],
        }
    }
}

/// A sign, an exponent and a mantissa of so many bits, without infinities.
fn decoded(code: u8, exponent_bits: u32, mantissa_bits: u32) -> f32 {
    let code = u32::from(code);
    let bias = (1 << (exponent_bits - 1)) - 1;
    let exponent = (code >> mantissa_bits) & ((1 << exponent_bits) - 1);
    let fraction = (code & ((1 << mantissa_bits) - 1)) as f32 / (1 << mantissa_bits) as f32;
    // Exponent 0 is that of 1, without the leading one.
    let leading = if exponent == 0 { 0.0 } else { 1.0 };
    let magnitude = (leading + fraction) * (exponent.max(1) as f32 - bias as f32).exp2();
    if code >> (exponent_bits + mantissa_bits) == 1 { -magnitude } else { magnitude }
}
