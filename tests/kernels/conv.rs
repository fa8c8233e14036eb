//! Convolutions: shapes, tiles, groups, types and extreme values.

use octet::ir::ElemType;
use octet::lower::kernel::{ArrangedSource, ConvSpec, Grid, KernelSpec, Mac};
use octet::lower::pack::{ArrangedLayout, Arrangement, Forms, Group, Run, Weights, pack_conv};
use octet::simd::ir::Vectors;

use crate::harness::{Case, WIDTHS, check};
use crate::random::Random;
use crate::reference::{self, Lane, Outcome};

#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub mac: Mac,
    pub batch: usize,
    pub groups: usize,
    /// Per group.
    pub ic: usize,
    pub oc: usize,
    pub oh: usize,
    pub ow: usize,
    pub kernel: [usize; 2],
    pub stride: usize,
    pub dilation: usize,
    pub block_vectors: usize,
    pub tile_pixels: usize,
    pub blocks_outer: bool,
    /// Copies of the source, of windows of one run.
    pub copies: usize,
    pub result: Outcome,
    pub values: Values,
}

#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// All of the type's range.
    Any,
    /// Weights that are mostly safe.
    Small,
    /// Only the ends of the ranges.
    Extreme,
    /// Sources at the ends, weights of which any two quads make a pair that is just inside 16 bits.
    Paired,
    /// The same, where only some quads do.
    HalfPaired,
}

pub const BASE: Shape = Shape {
    mac: Mac::U8I8,
    batch: 1,
    groups: 1,
    ic: 16,
    oc: 16,
    oh: 2,
    ow: 7,
    kernel: [1, 1],
    stride: 1,
    dilation: 1,
    block_vectors: 4,
    tile_pixels: 3,
    blocks_outer: false,
    copies: 1,
    result: Outcome::Quantized(ElemType::U8),
    values: Values::Any,
};

impl Shape {
    pub fn ih(&self) -> usize {
        (self.oh - 1) * self.stride + (self.kernel[0] - 1) * self.dilation + 1
    }

    pub fn iw(&self) -> usize {
        (self.ow - 1) * self.stride + (self.kernel[1] - 1) * self.dilation + 1
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    fn is_float(&self) -> bool {
        self.mac == Mac::F32
    }

    fn elem(&self) -> ElemType {
        if self.is_float() { ElemType::F32 } else { ElemType::U8 }
    }

    /// Bytes of a source pixel.
    pub fn pixel(&self) -> usize {
        self.groups * self.ic * self.elem().bytes()
    }

    pub fn source(&self, random: &mut Random) -> Vec<u8> {
        let count = self.batch * self.ih() * self.iw() * self.groups * self.ic;
        match self.values {
            Values::Extreme | Values::Paired | Values::HalfPaired if !self.is_float() => {
                (0..count).map(|_| random.of(&[0, 255, 255, 128]) as u8).collect()
            }
            _ => random.elements(self.elem(), count),
        }
    }

    pub fn int_weights(&self, random: &mut Random) -> Vec<i32> {
        let wide = self.mac == Mac::U8I16;
        let count = self.groups * self.oc * self.taps() * self.ic;
        let weight = |random: &mut Random| match self.values {
            Values::Any if wide => random.int(-256, 255) as i32,
            Values::Any => random.int(-128, 127) as i32,
            Values::Small => random.int(-40, 66) as i32,
            Values::Extreme if wide => random.of(&[-256, 255]),
            Values::Extreme => random.of(&[-128, 127, 127, 64, -64]),
            Values::Paired => random.of(&[32, -32]),
            Values::HalfPaired => random.of(&[64, -64, 0, 0, 0, 0, 0, 0]),
        };
        (0..count).map(|_| weight(random)).collect()
    }

    pub fn runs(&self, group: usize) -> Vec<Run> {
        let bytes = self.elem().bytes();
        let row = self.iw() * self.pixel();
        let whole_rows = self.groups == 1 && self.dilation == 1;
        let mut runs = Vec::new();
        for y in 0..self.kernel[0] {
            let at = y * self.dilation * row + group * self.ic * bytes;
            if whole_rows {
                runs.push(Run { offset: at as i64, len: self.kernel[1] * self.ic });
                continue;
            }
            for x in 0..self.kernel[1] {
                runs.push(Run { offset: (at + x * self.dilation * self.pixel()) as i64, len: self.ic });
            }
        }
        runs
    }

    fn arranged(&self, groups: &[Group]) -> Option<ArrangedSource> {
        let Run { offset, len: bytes } = groups[0].runs[0];
        (self.copies > 1).then_some(ArrangedSource { offset, bytes, copies: self.copies })
    }

    pub fn case(&self, vectors: impl Into<Vectors>) -> Case {
        let vectors = vectors.into();
        let width = vectors.width;
        let mut random = Random(7);
        let channels = self.groups * self.oc;
        let src = self.source(&mut random);
        let ints = self.int_weights(&mut random);
        let floats: Vec<f32> = ints.iter().map(|&w| w as f32 / 100.0).collect();
        let init: Vec<i32> = (0..channels).map(|_| random.int(-5000, 5000) as i32).collect();
        let groups: Vec<Group> = (0..self.groups)
            .map(|group| Group { runs: self.runs(group), first_oc: group * self.oc, oc: self.oc })
            .collect();
        let weights = if self.is_float() { Weights::F32(&floats) } else { Weights::Int(&ints) };
        let arranged = self.arranged(&groups);
        let packed = pack_conv(self.mac, width, self.block_vectors, &groups, weights, &init, arranged.as_ref());
        let outer = [self.batch, self.oh, self.ow];
        let built = reference::build(self.result, self.is_float(), &outer, channels, &mut random);
        let row = (self.iw() * self.pixel()) as i64;
        let spec = ConvSpec {
            mac: self.mac,
            batch: self.batch,
            oh: self.oh,
            ow: self.ow,
            oc: channels,
            src: Grid {
                batch: self.ih() as i64 * row,
                row: self.stride as i64 * row,
                pixel: (self.stride * self.pixel()) as i64,
            },
            block_vectors: self.block_vectors,
            block_channels: packed.block_channels,
            tile_pixels: self.tile_pixels,
            blocks_outer: self.blocks_outer,
            arranged,
            epilogue: built.epilogue.clone(),
        };
        let mut regions = vec![src, packed.blob];
        if let Some(source) = &arranged {
            let tile = self.tile_pixels * ArrangedLayout::new(width, source).pixel;
            regions.push(vec![0x55; self.batch * self.oh * tile]);
        }
        let epilogue_at = regions.len();
        regions.extend(built.regions);
        let mut case = Case::new(KernelSpec::Conv(spec), regions);
        case.scratch = arranged.map(|_| 2);
        for_each(&outer, |at| {
            for channel in 0..channels {
                let sum = self.sum(&case.regions[0], &ints, (&floats, vectors), &init, at, channel);
                reference::epilogue(&mut case, &built.epilogue, epilogue_at, at, channel, Some(sum));
            }
        });
        case
    }

    /// What is accumulated for a channel of a pixel; floats as a target with these vectors rounds them.
    pub fn sum(
        &self,
        src: &[u8],
        ints: &[i32],
        (floats, vectors): (&[f32], Vectors),
        init: &[i32],
        at: &[usize],
        channel: usize,
    ) -> Lane {
        let group = channel / self.oc;
        let (mut int, mut float) = (init[channel], 0.0f32);
        for (tap, (y, x)) in window(self.kernel).enumerate() {
            for c in 0..self.ic {
                let row = at[0] * self.ih() + at[1] * self.stride + y * self.dilation;
                let pixel = row * self.iw() + at[2] * self.stride + x * self.dilation;
                let place = pixel * self.groups * self.ic + group * self.ic + c;
                let weight = (channel * self.taps() + tap) * self.ic + c;
                if self.is_float() {
                    let source = reference::load(ElemType::F32, src, 4 * place as i64).f();
                    float = reference::mul_add(vectors, source, floats[weight], float);
                } else {
                    int = int.wrapping_add(i32::from(src[place]) * ints[weight]);
                }
            }
        }
        if self.is_float() { Lane::F(float) } else { Lane::I(int) }
    }
}

fn window(kernel: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
    (0..kernel[0]).flat_map(move |y| (0..kernel[1]).map(move |x| (y, x)))
}

/// All index vectors below `sizes`.
pub fn for_each(sizes: &[usize], mut body: impl FnMut(&[usize])) {
    let mut at = vec![0; sizes.len()];
    if sizes.contains(&0) {
        return;
    }
    loop {
        body(&at);
        let Some(dim) = (0..sizes.len()).rev().find(|&dim| at[dim] + 1 < sizes[dim]) else { return };
        at[dim] += 1;
        at[dim + 1..].fill(0);
    }
}

fn check_all(shapes: impl IntoIterator<Item = Shape>) {
    for shape in shapes {
        check(&format!("{shape:?}"), |vectors| shape.case(vectors));
    }
}

const CHANNELS: [usize; 9] = [1, 3, 5, 16, 17, 24, 33, 58, 64];

#[test]
fn output_channels() {
    check_all(CHANNELS.map(|oc| Shape { oc, ..BASE }));
}

#[test]
fn input_channels() {
    check_all(CHANNELS.map(|ic| Shape { ic, ..BASE }));
}

#[test]
fn tiles_and_blocks() {
    let tiles = [(1, 1), (1, 12), (2, 6), (3, 4), (4, 3), (5, 2), (6, 1), (8, 1)];
    let shapes = tiles.iter().flat_map(|&(block_vectors, tile_pixels)| {
        [(40, 13, Outcome::Quantized(ElemType::U8)), (9, 5, Outcome::Plain), (21, 1, Outcome::Residual)]
            .map(|(oc, ow, result)| Shape { block_vectors, tile_pixels, oc, ow, result, ..BASE })
    });
    check_all(shapes);
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
    let shapes = results.iter().flat_map(|&result| {
        [(4, 16), (4, 19), (2, 11), (3, 25), (1, 3)].map(|(block_vectors, oc)| Shape {
            result,
            block_vectors,
            oc,
            ..BASE
        })
    });
    check_all(shapes);
}

#[test]
fn windows() {
    check_all([
        Shape { kernel: [3, 3], ic: 5, ..BASE },
        Shape { kernel: [3, 3], ic: 3, stride: 2, block_vectors: 2, tile_pixels: 6, ..BASE },
        Shape { kernel: [7, 7], ic: 3, stride: 2, oh: 2, ow: 5, ..BASE },
        Shape { kernel: [3, 3], dilation: 2, ic: 8, ..BASE },
        Shape { kernel: [1, 5], ic: 6, ..BASE },
        Shape { kernel: [5, 1], ic: 6, batch: 2, ..BASE },
    ]);
}

#[test]
fn batches_groups_and_order() {
    check_all([
        Shape { batch: 3, oc: 24, blocks_outer: true, ..BASE },
        Shape { batch: 2, oc: 50, oh: 3, ow: 1, blocks_outer: true, block_vectors: 2, ..BASE },
        Shape { groups: 2, ic: 4, oc: 12, ..BASE },
        Shape { groups: 3, ic: 6, oc: 18, kernel: [3, 3], ..BASE },
        Shape { groups: 4, ic: 1, oc: 3, kernel: [3, 3], blocks_outer: true, ..BASE },
        Shape { oh: 1, ow: 1, ic: 130, oc: 70, blocks_outer: true, tile_pixels: 6, block_vectors: 2, ..BASE },
    ]);
}

#[test]
fn extreme_values_do_not_saturate() {
    let blocks = [1, 2, 3, 4];
    let shapes = blocks.iter().flat_map(|&block_vectors| {
        [Values::Extreme, Values::Small].map(|values| Shape {
            values,
            block_vectors,
            ic: 37,
            oc: 35,
            result: Outcome::Plain,
            ..BASE
        })
    });
    check_all(shapes);
}

#[test]
fn pairs_of_quads_do_not_wrap() {
    let tiles = [1, 6, 10, 24];
    let shapes = tiles.iter().flat_map(|&tile_pixels| {
        [Values::Paired, Values::HalfPaired].map(|values| Shape {
            values,
            block_vectors: 1,
            tile_pixels,
            ic: 44,
            oc: 21,
            ow: 25,
            kernel: [1, 2],
            result: Outcome::Plain,
            ..BASE
        })
    });
    check_all(shapes);
}

#[test]
fn copies_of_the_source_give_the_same_sums() {
    let shapes = Arrangement::COUNTS.into_iter().flat_map(|copies| {
        [(1, 10, Values::Extreme), (1, 3, Values::Any), (2, 4, Values::Extreme), (4, 2, Values::Small)].map(
            |(block_vectors, tile_pixels, values)| Shape {
                copies,
                values,
                block_vectors,
                tile_pixels,
                ic: 45,
                oc: 35,
                ow: 13,
                kernel: [1, 2],
                batch: 2,
                stride: 2,
                result: Outcome::Plain,
                ..BASE
            },
        )
    });
    check_all(shapes);
}

#[test]
fn quads_that_fit_together_are_paired() {
    for width in WIDTHS {
        let runs = vec![Run { offset: 0, len: 40 }, Run { offset: 100, len: 7 }];
        let groups = [Group { runs, first_oc: 0, oc: 16 }];
        let packed =
            |weight: i32| pack_conv(Mac::U8I8, width, 1, &groups, Weights::Int(&vec![weight; 47 * 16]), &[], None);
        let blocks = 16 / width.lanes32();
        assert_eq!(packed(32).forms, Forms { paired: 12 * blocks, ..Forms::default() });
        assert_eq!(packed(33).forms, Forms { plain: 12 * blocks, ..Forms::default() });
        assert_eq!(packed(65).forms, Forms { xor: 12 * blocks, ..Forms::default() });
    }
}

#[test]
fn dot_products() {
    check_all([1, 2, 4].map(|block_vectors| Shape {
        mac: Mac::U8I8Dot,
        values: Values::Extreme,
        block_vectors,
        ic: 37,
        oc: 35,
        result: Outcome::Plain,
        ..BASE
    }));
}

#[test]
fn sixteen_bit_weights() {
    let shapes = [Values::Any, Values::Extreme].iter().flat_map(|&values| {
        [(1, 6), (2, 4), (4, 2)].map(|(block_vectors, tile_pixels)| Shape {
            mac: Mac::U8I16,
            values,
            block_vectors,
            tile_pixels,
            ic: 13,
            oc: 21,
            kernel: [3, 3],
            ..BASE
        })
    });
    check_all(shapes);
}

#[test]
fn floats() {
    let shapes = [(1, 6), (2, 6), (3, 4), (4, 3)].iter().flat_map(|&(block_vectors, tile_pixels)| {
        [(Outcome::Plain, 21), (Outcome::Both, 16)].map(|(result, oc)| Shape {
            mac: Mac::F32,
            block_vectors,
            tile_pixels,
            result,
            ic: 5,
            oc,
            kernel: [3, 3],
            ..BASE
        })
    });
    check_all(shapes);
}
