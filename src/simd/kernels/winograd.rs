//! Winograd convolutions F(4x4, 3x3) of u8 and i8 in whole numbers, exact.
//!
//! A tile of 4x4 results comes from a patch `d` of 6x6 source pixels and the 3x3 weights `g`, all of them per channel:
//!
//! ```text
//! V = B d Bt      U = G g Ht      M = sum over input channels of U * V, position by position      y = R M Ct / (9 * 2^s)
//!
//!     4  0 -5  0  1  0        6  0  0        6  0  0         1  4  4  1  1  0          1  4  4  1  1  0
//!     0  4  4 -1 -1  0        1  1  1        1  1  1         0  4 -4  2 -2  0          0  2 -2  1 -1  0
//! B = 0 -4  4  1 -1  0    G = 1 -1  1    H = 1 -1  1     R = 0  4  4  4  4  0      C = 0  1  1  1  1  0
//!     0 -2 -1  2  1  0        1  2  4        1  2  4         0  4 -4  8 -8  1          0  1 -1  2 -2  1
//!     0  2 -1 -2  1  0        1 -2  4        1 -2  4
//!     0  4  0 -5  0  1        0  0 24        0  0  6        s = 6, 5, 4, 4 by column
//! ```
//!
//! They are the matrices of Lavin and Gray ("Fast Algorithms for Convolutional Neural Networks", 2015) with rows multiplied by what
//! makes them whole: R and C give 24, 24, 24, 24 and 24, 12, 6, 6 times the result, and 24 * 24 = 9 * 2^6.
//!
//! Everything is exact in the integers, so it is modulo 2^32 whatever wraps. Limits: |V| <= 68 * 255 and |U| <= 24 * 7 * 128 fit i16,
//! and two of their products fit i32. The sums over channels and R M Ct wrap. Multiplied by the inverse of 9 modulo 2^32, the
//! result is `2^s y` modulo 2^32; an arithmetic shift gives `y`, because lowering has checked `-2^25 <= y < 2^25`.
//!
//! Tiles at the edge of the plane with fewer results along a side need fewer points there: `n` results `n + 2`. They take the same
//! U, with other matrices B, R and C ([`points`]), whose entries are no larger, and powers of two that are no greater.

mod points;
mod product;
mod source;
mod tiles;

pub use product::build;
pub use source::build_source;
