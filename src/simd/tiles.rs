//! Tiles: registers of up to 16 rows of 64 bytes, and products of whole matrices (Intel AMX).
//!
//! A kernel has one shape per tile register, the same from its beginning to its end; it starts with tiles of zeros and leaves
//! nothing behind in them. Kernels name the registers themselves: there are eight, and a kernel that uses them is a plan for
//! them. Only targets with tiles can run such kernels (`Target::has_tiles`).
//!
//! ```text
//! dot acc, a, b:   acc[m][n] += sum over k of a[m][k] * b[k / 4][4 n + k % 4]
//!
//! a:    one row of bytes along k for each m
//! b:    one row for four neighbours along k, with the four bytes of each n side by side
//! acc:  one row of i32 for each m
//! ```

use super::ir::{Addr, Mem, Val};

/// Tile registers of a kernel.
pub const TILE_REGS: usize = 8;
/// Rows of the largest tile.
pub const TILE_ROWS: usize = 16;
/// Bytes of a row of the largest tile.
pub const TILE_ROW_BYTES: usize = 64;

/// A tile register, below [`TILE_REGS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileReg(pub u8);

/// What a tile register holds: up to [`TILE_ROWS`] rows of up to [`TILE_ROW_BYTES`] bytes, a multiple of four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TileShape {
    pub rows: usize,
    pub bytes: usize,
}

/// The shape of each tile register.
pub type TileShapes = [TileShape; TILE_REGS];

/// Which operand of a product has signed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signs {
    pub a: bool,
    pub b: bool,
}

/// An instruction on tiles; none defines a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileInst {
    Zero(TileReg),
    /// Row `i` from `addr + i * stride` bytes.
    Load {
        tile: TileReg,
        addr: Addr,
        stride: Val,
        mem: Mem,
    },
    /// Row `i` to `addr + i * stride` bytes.
    Store {
        tile: TileReg,
        addr: Addr,
        stride: Val,
    },
    /// `acc += a * b` in wrapping i32; the products are exact.
    Dot {
        acc: TileReg,
        a: TileReg,
        b: TileReg,
        signs: Signs,
    },
}

impl TileInst {
    /// The values the instruction uses.
    pub fn operands(&self) -> Vec<Val> {
        match *self {
            TileInst::Zero(_) | TileInst::Dot { .. } => vec![],
            TileInst::Load { addr, stride, .. } | TileInst::Store { addr, stride, .. } => vec![addr.base, stride],
        }
    }

    /// The registers it names.
    pub fn registers(&self) -> Vec<TileReg> {
        match *self {
            TileInst::Zero(tile) | TileInst::Load { tile, .. } | TileInst::Store { tile, .. } => vec![tile],
            TileInst::Dot { acc, a, b, .. } => vec![acc, a, b],
        }
    }

    /// What is wrong with it under these shapes.
    pub fn problem(&self, shapes: Option<&TileShapes>) -> Option<&'static str> {
        let Some(shapes) = shapes else { return Some("the kernel has no tiles") };
        if self.registers().iter().any(|tile| usize::from(tile.0) >= TILE_REGS) {
            return Some("there is no such tile register");
        }
        let TileInst::Dot { acc, a, b, .. } = *self else { return None };
        let [acc, a, b] = [acc, a, b].map(|tile| shapes[usize::from(tile.0)]);
        let fits = acc.rows == a.rows && acc.bytes == b.bytes && a.bytes == 4 * b.rows;
        (!fits).then_some("the shapes of the tiles do not make a product")
    }
}

/// What is wrong with a shape.
pub fn shape_problem(shape: TileShape) -> Option<&'static str> {
    let rows = (1..=TILE_ROWS).contains(&shape.rows);
    let bytes = (4..=TILE_ROW_BYTES).contains(&shape.bytes) && shape.bytes.is_multiple_of(4);
    (!rows || !bytes).then_some("a tile has 1 to 16 rows of 4 to 64 bytes, a multiple of four")
}
