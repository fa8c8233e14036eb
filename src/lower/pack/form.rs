//! The forms of a product of u8 sources and constant weights; all are exact.
//!
//! A *quad* is four neighbouring source bytes and their weights. `Dot4` adds neighbouring u8 x i8 products in 16 bits, so a quad
//! may use it plainly only where the weights prove that nothing saturates: of every pair of neighbouring weights the
//! positive ones add up to at most 128, and so do the negative ones (255 * 128 fits i16). Any other quad takes the XOR form
//!
//! ```text
//! w >= 0:  w * a = |w| * i8(a ^ 0x80) + 128 |w|        i8(a ^ 0x80) = a - 128
//! w <  0:  w * a = |w| * i8(a ^ 0x7f) - 127 |w|        i8(a ^ 0x7f) = 127 - a
//! ```
//!
//! whose pairs lie in `-128 * 256 ..= 127 * 256` and always fit. The constant terms go into the accumulators' start values.
//! Two plain quads may be added in 16 bits before they are widened where their weights allow it (`pairs`).
//! 16-bit weights multiply even and odd bytes separately. The sum is exact in all forms, in any order of quads.

use super::pairs;

/// How many (quad, vector) products take which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forms {
    pub plain: usize,
    /// Plain ones that are added two by two.
    pub paired: usize,
    pub xor: usize,
    pub wide: usize,
}

impl Forms {
    /// Vector instructions of all products of 8-bit weights, doubled: two quads of a pair take five.
    pub fn instructions(&self) -> usize {
        2 * (3 * self.plain + 4 * self.xor) + 5 * self.paired
    }
}

/// Sums of the positive and of the negative weights of each pair.
pub(super) fn sums(weights: [i32; 4]) -> [i32; 4] {
    let of = |sign: i32, pair: usize| weights[2 * pair..2 * pair + 2].iter().map(|&w| (sign * w).max(0)).sum();
    [of(1, 0), of(-1, 0), of(1, 1), of(-1, 1)]
}

/// Whether `Dot4` of these weights and any four u8 keeps both pairs of products inside i16.
pub fn is_plain_safe(weights: [i32; 4]) -> bool {
    sums(weights).iter().all(|&sum| sum <= pairs::LIMIT.into())
}

/// `weight` in two parts, one for the pair of each neighbour: safe in both whenever any parts are, that is unless the three
/// weights have one sign and add up to more than two limits.
pub(super) fn split(weight: i32, neighbours: [i32; 2]) -> [i32; 2] {
    let sign = weight.signum();
    let room = i32::from(pairs::LIMIT) - (sign * neighbours[0]).max(0);
    let first = sign * weight.abs().min(room);
    [first, weight - first]
}

/// What the XOR form of a weight lacks.
pub(super) fn xor_constant(weight: i32) -> i32 {
    if weight >= 0 { 128 * weight } else { 127 * weight }
}

pub(super) fn xor_mask(weight: i32) -> u8 {
    if weight >= 0 { 0x80 } else { 0x7f }
}

pub(super) fn narrow(weight: i32) -> u8 {
    i8::try_from(weight).expect("internal error: a weight outside i8") as u8
}

pub(super) fn magnitude(weight: i32) -> u8 {
    narrow(weight).cast_signed().unsigned_abs()
}

pub(super) fn wide_bytes(weight: i32) -> [u8; 2] {
    i16::try_from(weight).expect("internal error: a weight outside i16").to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_weight_are_safe_where_any_are() {
        let weights = [-128, -127, -126, -86, -85, -64, -1, 0, 1, 63, 64, 85, 86, 126, 127];
        for a in weights {
            for b in weights {
                for w in -128..=127 {
                    let [first, second] = split(w, [a, b]);
                    assert_eq!(first + second, w);
                    assert!(first * second >= 0, "{w} = {first} + {second}");
                    let safe = [a, b, w].iter().map(|w: &i32| (*w).max(0)).sum::<i32>() <= 256
                        && [a, b, w].iter().map(|w: &i32| (-*w).max(0)).sum::<i32>() <= 256;
                    assert_eq!(is_plain_safe([a, first, b, second]), safe, "{w} between {a} and {b}");
                }
            }
        }
    }
}
