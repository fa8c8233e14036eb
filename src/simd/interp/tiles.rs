//! Tile registers and what instructions do with them.

use super::{Machine, Outcome};
use crate::simd::ir::{Addr, Val};
use crate::simd::tiles::{Signs, TILE_REGS, TILE_ROW_BYTES, TILE_ROWS, TileInst, TileReg, TileShape, TileShapes};

type Rows = [[u8; TILE_ROW_BYTES]; TILE_ROWS];

/// Invariant: bytes outside a register's shape are zero.
pub struct Tiles {
    shapes: TileShapes,
    registers: [Rows; TILE_REGS],
}

impl Tiles {
    pub fn new(shapes: TileShapes) -> Tiles {
        Tiles { shapes, registers: [[[0; TILE_ROW_BYTES]; TILE_ROWS]; TILE_REGS] }
    }

    fn shape(&self, tile: TileReg) -> TileShape {
        self.shapes[usize::from(tile.0)]
    }

    fn rows(&mut self, tile: TileReg) -> &mut Rows {
        &mut self.registers[usize::from(tile.0)]
    }

    fn dot(&mut self, [acc, a, b]: [TileReg; 3], signs: Signs) {
        let (rows, columns, k) = (self.shape(acc).rows, self.shape(acc).bytes / 4, self.shape(a).bytes);
        let (a, b) = (*self.rows(a), *self.rows(b));
        let value = |byte: u8, signed: bool| if signed { i32::from(byte.cast_signed()) } else { i32::from(byte) };
        for (m, row) in self.rows(acc).iter_mut().enumerate().take(rows) {
            for (n, lane) in row.as_chunks_mut::<4>().0.iter_mut().enumerate().take(columns) {
                let product = |k: usize| value(a[m][k], signs.a) * value(b[k / 4][4 * n + k % 4], signs.b);
                let sum = (0..k).fold(i32::from_le_bytes(*lane), |sum, k| sum.wrapping_add(product(k)));
                *lane = sum.to_le_bytes();
            }
        }
    }
}

impl Machine<'_> {
    pub(super) fn tile(&mut self, inst: &TileInst) -> Outcome<()> {
        match *inst {
            TileInst::Zero(tile) => *self.tiles_mut()?.rows(tile) = [[0; TILE_ROW_BYTES]; TILE_ROWS],
            TileInst::Dot { acc, a, b, signs } => self.tiles_mut()?.dot([acc, a, b], signs),
            TileInst::Load { tile, addr, stride, mem } => {
                let shape = self.tiles_mut()?.shape(tile);
                for row in 0..shape.rows {
                    let bytes = self.read(addr, self.row_offset(row, stride), shape.bytes, mem)?.to_vec();
                    self.tiles_mut()?.rows(tile)[row][..shape.bytes].copy_from_slice(&bytes);
                }
            }
            TileInst::Store { tile, addr, stride } => self.store_tile(tile, addr, stride)?,
        }
        Ok(())
    }

    fn store_tile(&mut self, tile: TileReg, addr: Addr, stride: Val) -> Outcome<()> {
        let shape = self.tiles_mut()?.shape(tile);
        for row in 0..shape.rows {
            let bytes = self.tiles_mut()?.rows(tile)[row];
            self.write(addr, self.row_offset(row, stride), &bytes[..shape.bytes])?;
        }
        Ok(())
    }

    fn row_offset(&self, row: usize, stride: Val) -> i64 {
        self.int(stride).wrapping_mul(row as i64)
    }

    fn tiles_mut(&mut self) -> Outcome<&mut Tiles> {
        self.tiles.as_mut().ok_or_else(|| "the kernel has no tiles".to_string())
    }
}
