//! Winograd convolutions: the transform of the source against its matrix, and products with transformed sources against sums
//! over windows.

use octet::ir::ElemType;
use octet::lower::kernel::{Grid, KernelSpec, WinogradSourceSpec, WinogradSpec};
use octet::lower::pack::{Weights, WinogradLayout, pack_winograd};
use octet::simd::ir::Width;

use crate::conv::for_each;
use crate::harness::{Case, check};
use crate::random::Random;
use crate::reference::{self, Lane, Outcome};

/// `B`: a patch's column to those of the points 0, 1, -1, 2, -2 and infinity that one to four results need.
const B: [&[(usize, &[i32])]; 4] = [
    &[(0, &[1, -1, 0]), (1, &[0, 1, 0]), (5, &[0, -1, 1])],
    &[(0, &[1, 0, -1, 0]), (1, &[0, 1, 1, 0]), (2, &[0, -1, 1, 0]), (5, &[0, -1, 0, 1])],
    &[
        (0, &[2, -1, -2, 1, 0]),
        (1, &[0, -2, -1, 1, 0]),
        (2, &[0, 2, -3, 1, 0]),
        (3, &[0, -1, 0, 1, 0]),
        (5, &[0, 2, -1, -2, 1]),
    ],
    &[
        (0, &[4, 0, -5, 0, 1, 0]),
        (1, &[0, 4, 4, -1, -1, 0]),
        (2, &[0, -4, 4, 1, -1, 0]),
        (3, &[0, -2, -1, 2, 1, 0]),
        (4, &[0, 2, -1, -2, 1, 0]),
        (5, &[0, 4, 0, -5, 0, 1]),
    ],
];

#[derive(Clone, Copy, Debug)]
struct Shape {
    batch: usize,
    oh: usize,
    ow: usize,
    ic: usize,
    oc: usize,
    parts: usize,
    result: Outcome,
    /// Only the ends of the ranges.
    extreme: bool,
}

const BASE: Shape = Shape { batch: 1, oh: 4, ow: 4, ic: 8, oc: 16, parts: 1, result: Outcome::Plain, extreme: false };

impl Shape {
    fn ih(&self) -> usize {
        self.oh + 2
    }

    fn iw(&self) -> usize {
        self.ow + 2
    }

    fn layout(&self, width: Width) -> WinogradLayout {
        WinogradLayout::new(width, self.batch, self.oh, self.ow, self.ic)
    }

    fn source(&self, random: &mut Random) -> Vec<u8> {
        let count = self.batch * self.ih() * self.iw() * self.ic;
        match self.extreme {
            true => (0..count).map(|_| random.of(&[0, 255]) as u8).collect(),
            false => random.elements(ElemType::U8, count),
        }
    }

    fn weights(&self, random: &mut Random) -> Vec<i32> {
        let weight = |random: &mut Random| match self.extreme {
            true => random.of(&[-128, 127]),
            false => random.int(-128, 127) as i32,
        };
        (0..self.oc * 9 * self.ic).map(|_| weight(random)).collect()
    }

    fn pixel(&self, src: &[u8], [n, y, x, c]: [usize; 4]) -> i32 {
        i32::from(src[((n * self.ih() + y) * self.iw() + x) * self.ic + c])
    }

    /// Image, row and column of every tile, by number: in a single image, those of a last column with fewer results come first,
    /// except the one in a last row with fewer.
    fn tiles(&self, layout: &WinogradLayout) -> Vec<[usize; 3]> {
        let mut tiles = Vec::new();
        for_each(&[self.batch, layout.rows, layout.cols], |at| tiles.push([at[0], at[1], at[2]]));
        if self.batch == 1 {
            let is_edge = |&[_, row, col]: &[usize; 3]| 4 * col + 4 > self.ow && 4 * row + 4 <= self.oh;
            let is_corner = |&[_, row, col]: &[usize; 3]| 4 * col + 4 > self.ow && 4 * row + 4 > self.oh;
            tiles.sort_by_key(|tile| (is_corner(tile), !is_edge(tile)));
        }
        tiles
    }

    /// `B d Bt` of every tile and channel, over `memory` as it was before.
    fn transformed(&self, layout: &WinogradLayout, src: &[u8], memory: &mut [u8]) {
        for (tile, at) in self.tiles(layout).into_iter().enumerate() {
            let [rows, cols] = [self.oh - 4 * at[1], self.ow - 4 * at[2]].map(|results| B[results.min(4) - 1]);
            for_each(&[rows.len(), cols.len(), self.ic], |of| {
                let ((row, rows), (col, cols), channel) = (rows[of[0]], cols[of[1]], of[2]);
                let mut sum = 0;
                for_each(&[rows.len(), cols.len()], |d| {
                    let pixel = self.pixel(src, [at[0], 4 * at[1] + d[0], 4 * at[2] + d[1], channel]);
                    sum += rows[d[0]] * cols[d[1]] * pixel;
                });
                let value = i16::try_from(sum).expect("a transformed source fits i16");
                let place = (row * 6 + col) * layout.source_position() + tile * layout.source_tile() + 2 * channel;
                memory[place..place + 2].copy_from_slice(&value.to_le_bytes());
            });
        }
    }

    fn source_case(&self, width: Width) -> Case {
        let mut random = Random(3);
        let layout = self.layout(width);
        let src = self.source(&mut random);
        let row = (self.iw() * self.ic) as i64;
        let spec = WinogradSourceSpec {
            batch: self.batch,
            ih: self.ih(),
            iw: self.iw(),
            ic: self.ic,
            src: Grid { batch: self.ih() as i64 * row, row, pixel: self.ic as i64 },
        };
        let memory = vec![0x77; layout.source_bytes()];
        let mut case = Case::new(KernelSpec::WinogradSource(spec), vec![src.clone(), memory]);
        self.transformed(&layout, &src, &mut case.expected[1]);
        case
    }

    fn product_case(&self, width: Width) -> Case {
        let mut random = Random(5);
        let layout = self.layout(width);
        let (src, weights) = (self.source(&mut random), self.weights(&mut random));
        let init: Vec<i32> = (0..self.oc).map(|_| random.int(-5000, 5000) as i32).collect();
        // what stands behind a tile's channels must not matter
        let mut transformed = vec![0x77; layout.source_bytes()];
        self.transformed(&layout, &src, &mut transformed);
        let outer = [self.batch, self.oh, self.ow];
        let built = reference::build(self.result, false, &outer, self.oc, &mut random);
        let block = WinogradLayout::block(width);
        let spec = WinogradSpec {
            batch: self.batch,
            oh: self.oh,
            ow: self.ow,
            ic: self.ic,
            oc: self.oc,
            block,
            parts: self.parts,
            epilogue: built.epilogue.clone(),
        };
        let blob = pack_winograd(&layout, self.oc, Weights::Int(&weights), &init);
        let item = layout.clone().in_parts(self.parts).scratch_item();
        let scratch = vec![0x77; self.oc.div_ceil(block) * self.parts * item];
        let mut regions = vec![transformed, blob, scratch];
        regions.extend(built.regions);
        let mut case = Case::new(KernelSpec::Winograd(spec), regions);
        case.scratch = Some(2);
        for_each(&outer, |at| {
            for (channel, &start) in init.iter().enumerate() {
                let sum = self.sum(&src, &weights, at, channel) + start;
                reference::epilogue(&mut case, &built.epilogue, 3, at, channel, Some(Lane::I(sum)));
            }
        });
        case
    }

    fn sum(&self, src: &[u8], weights: &[i32], at: &[usize], channel: usize) -> i32 {
        let mut sum = 0;
        for_each(&[3, 3, self.ic], |tap| {
            let weight = ((channel * 3 + tap[0]) * 3 + tap[1]) * self.ic + tap[2];
            sum += self.pixel(src, [at[0], at[1] + tap[0], at[2] + tap[1], tap[2]]) * weights[weight];
        });
        sum
    }
}

fn check_products(shapes: impl IntoIterator<Item = Shape>) {
    for shape in shapes {
        check(&format!("{shape:?}"), |vectors| shape.product_case(vectors.width));
    }
}

#[test]
fn sources_at_every_edge() {
    for (oh, ow) in [(1, 1), (2, 3), (3, 6), (4, 4), (5, 9), (8, 7), (6, 8), (7, 10)] {
        for batch in [1, 2] {
            for extreme in [false, true] {
                // whole vectors at every width: what stands behind a tile's channels is not defined
                let shape = Shape { batch, oh, ow, ic: 32, extreme, ..BASE };
                check(&format!("{shape:?}"), |vectors| shape.source_case(vectors.width));
            }
        }
    }
}

#[test]
fn sources_with_odd_channels_stay_inside() {
    for ic in [1, 7, 17, 40] {
        let shape = Shape { oh: 5, ow: 6, ic, ..BASE };
        check(&format!("{shape:?}"), |vectors| Case { scratch: Some(1), ..shape.source_case(vectors.width) });
    }
}

#[test]
fn planes() {
    let planes = [(1, 1), (2, 3), (4, 4), (5, 9), (6, 6), (7, 7), (7, 14), (8, 13), (12, 17)];
    check_products(planes.map(|(oh, ow)| Shape { oh, ow, ..BASE }));
}

#[test]
fn parts_of_the_rows() {
    let shapes = [(1, 12, 3), (2, 6, 2), (2, 9, 6), (1, 16, 2)];
    let in_parts = |ow: usize| shapes.map(|(batch, oh, parts)| Shape { batch, oh, ow, oc: 40, parts, ..BASE });
    check_products(in_parts(8).into_iter().chain(in_parts(10).into_iter().filter(|shape| shape.batch > 1)));
}

#[test]
fn channels() {
    let pairs = [(1, 1), (2, 16), (3, 8), (5, 17), (16, 33), (17, 24), (64, 40)];
    check_products(pairs.map(|(ic, oc)| Shape { ic, oc, oh: 6, batch: 2, ..BASE }));
}

#[test]
fn results() {
    let results =
        [Outcome::Quantized(ElemType::U8), Outcome::Quantized(ElemType::I8), Outcome::Residual, Outcome::Both];
    check_products(results.map(|result| Shape { result, oh: 6, ow: 7, oc: 21, ..BASE }));
}

#[test]
fn extreme_values_are_exact() {
    let edges = [(5, 5), (6, 7), (7, 6), (3, 9), (8, 8)];
    check_products(
        edges.iter().flat_map(|&(oh, ow)| [8, 64, 100].map(|ic| Shape { ic, oh, ow, extreme: true, ..BASE })),
    );
}

#[test]
fn chunks_of_input_channels_add_up() {
    check_products([257, 300, 515].map(|ic| Shape { ic, oc: 5, ..BASE }));
}
