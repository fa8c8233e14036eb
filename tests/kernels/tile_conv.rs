//! Convolutions in tile registers: shapes, rows that tiles do not divide, groups and extreme values. Vectors of 512 bits only.

use octet::ir::ElemType;
use octet::lower::kernel::{Band, Grid, KernelSpec, Mac, TileConvSpec};
use octet::lower::pack::{ChannelBlocks, Group, TileLayout, pack_tiles, step_bytes, steps};
use octet::simd::ir::Width;

use crate::conv::{BASE, Shape, Values, for_each};
use crate::harness::{Case, check_at};
use crate::random::Random;
use crate::reference::{self, Outcome};

const TILES: Shape = Shape { mac: Mac::U8I8Dot, tile_pixels: 16, ..BASE };

pub fn case(shape: &Shape) -> Case {
    build(shape, 1, false)
}

/// With so many rows of pixels as one, all tiles of which are a panel; or with items that overlap, in blocks of as many channel tiles
/// as are computed together.
fn build(shape: &Shape, rows: usize, overlapped: bool) -> Case {
    let mut random = Random(11);
    let channels = shape.groups * shape.oc;
    let src = shape.source(&mut random);
    let weights = shape.int_weights(&mut random);
    let init: Vec<i32> = (0..channels).map(|_| random.int(-5000, 5000) as i32).collect();
    let groups: Vec<Group> = (0..shape.groups)
        .map(|group| Group { runs: shape.runs(group), first_oc: group * shape.oc, oc: shape.oc })
        .collect();
    let step_bytes = step_bytes(&groups[0].runs);
    let band = Band { rows, pitch: shape.iw() };
    let tile_pixels = shape.tile_pixels.min(band.pixels(shape.ow));
    let band_tiles = band.pixels(shape.ow).div_ceil(tile_pixels);
    let tiles = shape.batch * shape.oh / rows * band_tiles;
    // Blocks of vectors as elsewhere: here one stands for panels of many pixels.
    let (panel_tiles, channel_tiles) = match shape.block_vectors {
        _ if rows > 1 => (band_tiles, if band_tiles > 2 { 1 } else { 2 }),
        1 => (4, 1),
        _ => (tiles.min(2), TileLayout::vectors(shape.oc).min(2)),
    };
    let channels_of_block = if overlapped { channel_tiles * TileLayout::TILE } else { TileLayout::BLOCK };
    let blocks = ChannelBlocks { channels: channels_of_block, together: channel_tiles };
    let packed = pack_tiles(step_bytes, blocks, &groups, &weights, &init);
    let outer = [shape.batch, shape.oh, shape.ow];
    let built = reference::build(shape.result, false, &outer, channels, &mut random);
    let row = (shape.iw() * shape.pixel()) as i64;
    let spec = TileConvSpec {
        batch: shape.batch,
        oh: shape.oh,
        ow: shape.ow,
        oc: channels,
        src: Grid {
            batch: shape.ih() as i64 * row,
            row: shape.stride as i64 * row,
            pixel: (shape.stride * shape.pixel()) as i64,
        },
        block_channels: packed.block_channels,
        step_bytes,
        band,
        tile_pixels,
        panel_tiles,
        channel_tiles,
        steps: steps(&groups[0].runs, step_bytes).len(),
        overlapped,
        blocks_outer: shape.blocks_outer,
        epilogue: built.epilogue.clone(),
    };
    let mut regions = vec![src, packed.blob];
    regions.extend(built.regions);
    let mut case = Case::new(KernelSpec::TileConv(spec), regions);
    for_each(&outer, |at| {
        for channel in 0..channels {
            let sum = shape.sum(&case.regions[0], &weights, (&[], Width::W512.into()), &init, at, channel);
            reference::epilogue(&mut case, &built.epilogue, 2, at, channel, Some(sum));
        }
    });
    case
}

fn check_all(shapes: impl IntoIterator<Item = Shape>) {
    for shape in shapes {
        check_at(&[Width::W512], &format!("tiles, {shape:?}"), |_| case(&shape));
    }
}

#[test]
fn output_channels() {
    check_all([1, 3, 16, 17, 33, 50, 64, 65, 100, 128].map(|oc| Shape { oc, ..TILES }));
}

#[test]
fn input_channels() {
    check_all([1, 3, 4, 37, 63, 64, 65, 130, 144].map(|ic| Shape { ic, oc: 20, ..TILES }));
}

#[test]
fn rows_that_tiles_do_not_divide() {
    let rows = [(1, 16, 1), (1, 16, 3), (7, 16, 3), (16, 16, 2), (17, 16, 3), (28, 14, 1), (33, 16, 2), (9, 4, 1)];
    let results = [Outcome::Quantized(ElemType::U8), Outcome::Residual, Outcome::Both];
    check_all(rows.iter().flat_map(|&(ow, tile_pixels, oh)| {
        results.map(|result| Shape { ow, tile_pixels, oh, oc: 40, result, ..TILES })
    }));
}

#[test]
fn results() {
    let results = [
        Outcome::Plain,
        Outcome::Quantized(ElemType::U8),
        Outcome::Quantized(ElemType::I8),
        Outcome::Residual,
        Outcome::Both,
    ];
    check_all(results.iter().flat_map(|&result| [3, 24, 64].map(|oc| Shape { result, oc, ..TILES })));
}

#[test]
fn windows() {
    check_all([
        Shape { kernel: [3, 3], ic: 5, ..TILES },
        Shape { kernel: [3, 3], ic: 64, oc: 32, ow: 14, ..TILES },
        Shape { kernel: [7, 7], ic: 3, stride: 2, ow: 20, ..TILES },
        Shape { kernel: [3, 3], dilation: 2, ic: 8, ..TILES },
        Shape { kernel: [1, 5], ic: 6, ..TILES },
        Shape { kernel: [5, 1], ic: 70, batch: 2, ..TILES },
    ]);
}

#[test]
fn batches_groups_and_order() {
    check_all([
        Shape { batch: 3, oc: 24, blocks_outer: true, ..TILES },
        Shape { batch: 2, oc: 70, oh: 3, ow: 1, blocks_outer: true, ..TILES },
        Shape { groups: 2, ic: 4, oc: 12, ..TILES },
        Shape { groups: 3, ic: 6, oc: 18, kernel: [3, 3], ..TILES },
        Shape { oh: 1, ow: 1, ic: 130, oc: 70, blocks_outer: true, ..TILES },
    ]);
}

#[test]
fn panels_of_many_pixels() {
    let many = Shape { block_vectors: 1, oc: 70, blocks_outer: true, ..TILES };
    check_all([
        many,
        Shape { oh: 1, ow: 5, ..many },
        Shape { oh: 3, ow: 16, ic: 70, ..many },
        Shape { oh: 1, ow: 61, result: Outcome::Residual, ..many },
        Shape { oh: 7, kernel: [3, 3], ic: 64, result: Outcome::Residual, ..many },
    ]);
}

/// Borders of any width between the rows, one band or several, tiles that overlap and tiles that do not.
#[test]
fn bands_of_rows() {
    let small = Shape { ow: 7, oh: 7, oc: 70, blocks_outer: true, ..TILES };
    let wide = Shape { kernel: [3, 3], ..small };
    let shapes = [
        (7, Shape { tile_pixels: 13, ic: 70, ..small }),
        (7, wide),
        (7, Shape { result: Outcome::Residual, ic: 64, batch: 2, ..wide }),
        (2, Shape { oh: 6, blocks_outer: false, result: Outcome::Both, ..wide }),
        (3, Shape { oh: 6, ow: 1, ..small }),
        (2, Shape { oh: 2, ow: 12, ic: 70, result: Outcome::Residual, ..small }),
        (3, Shape { oh: 3, ow: 5, tile_pixels: 4, groups: 2, ..small }),
        (2, Shape { oh: 4, ow: 4, stride: 2, kernel: [3, 3], ..small }),
    ];
    for (rows, shape) in shapes {
        check_at(&[Width::W512], &format!("tiles of {rows} rows, {shape:?}"), |_| build(&shape, rows, false));
    }
}

/// Tiles of one vector of channels and of two; more pixels than steps, more steps than pixels, and one step; calls of one item.
#[test]
fn items_that_overlap() {
    let two = Shape { ow: 28, tile_pixels: 14, oh: 3, oc: 64, ..TILES };
    let one = Shape { block_vectors: 1, ow: 32, oh: 4, oc: 48, ..TILES };
    let shapes = [
        Shape { ow: 14, oh: 2, ..two },
        Shape { ic: 70, ..two },
        Shape { kernel: [3, 3], ic: 64, blocks_outer: true, result: Outcome::Residual, ..two },
        Shape { kernel: [3, 3], ic: 256, oc: 32, oh: 2, result: Outcome::Both, ..two },
        Shape { oc: 24, batch: 2, result: Outcome::Residual, ..two },
        Shape { oc: 32, groups: 2, kernel: [5, 5], ic: 8, result: Outcome::Plain, ..two },
        Shape { kernel: [7, 7], ic: 3, stride: 2, result: Outcome::Quantized(ElemType::I8), ..two },
        one,
        Shape { kernel: [3, 3], ic: 64, blocks_outer: true, result: Outcome::Residual, ..one },
        Shape { tile_pixels: 8, ic: 130, oc: 10, result: Outcome::Quantized(ElemType::I8), ..one },
        Shape { ow: 13, tile_pixels: 13, oc: 16, batch: 2, kernel: [3, 3], result: Outcome::Both, ..one },
    ];
    for shape in shapes {
        check_at(&[Width::W512], &format!("tiles that overlap, {shape:?}"), |_| build(&shape, 1, true));
    }
}

#[test]
fn extreme_values_are_exact() {
    let extreme = Shape { values: Values::Extreme, ic: 200, oc: 35, result: Outcome::Plain, ..TILES };
    check_all([extreme, Shape { kernel: [3, 3], ..extreme }]);
}
