//! Depthwise convolutions: windows, strides, channels, types and extreme values.

use octet::ir::ElemType;
use octet::lower::kernel::{DepthwiseSpec, Grid, KernelSpec, Mac};
use octet::lower::pack::{Weights, pack_depthwise};
use octet::simd::ir::Vectors;

use crate::conv::for_each;
use crate::harness::{Case, check};
use crate::random::Random;
use crate::reference::{self, Lane, Outcome};

#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub mac: Mac,
    pub batch: usize,
    pub channels: usize,
    pub oh: usize,
    pub ow: usize,
    pub kernel: [usize; 2],
    pub stride: usize,
    pub dilation: usize,
    pub result: Outcome,
    pub weights: [i64; 2],
    /// Every fifth block of 16 channels has weights of the whole range.
    pub mixed: bool,
}

pub const BASE: Shape = Shape {
    mac: Mac::U8I8,
    batch: 1,
    channels: 16,
    oh: 2,
    ow: 5,
    kernel: [3, 3],
    stride: 1,
    dilation: 1,
    result: Outcome::Quantized(ElemType::U8),
    weights: [-128, 127],
    mixed: false,
};

impl Shape {
    fn is_float(&self) -> bool {
        self.mac == Mac::F32
    }

    fn elem(&self) -> ElemType {
        if self.is_float() { ElemType::F32 } else { ElemType::U8 }
    }

    pub fn case(&self, vectors: impl Into<Vectors>) -> Case {
        let vectors = vectors.into();
        let width = vectors.width;
        let mut random = Random(11);
        let channels = self.channels;
        let ih = (self.oh - 1) * self.stride + (self.kernel[0] - 1) * self.dilation + 1;
        let iw = (self.ow - 1) * self.stride + (self.kernel[1] - 1) * self.dilation + 1;
        let bytes = self.elem().bytes();
        let src = random.elements(self.elem(), self.batch * ih * iw * channels);
        let taps: Vec<i64> = (0..self.kernel[0] * self.kernel[1])
            .map(|tap| {
                let (y, x) = (tap / self.kernel[1] * self.dilation, tap % self.kernel[1] * self.dilation);
                ((y * iw + x) * channels * bytes) as i64
            })
            .collect();
        let ints: Vec<i32> = (0..taps.len() * channels)
            .map(|i| {
                let wild = self.mixed && (i % channels / 16).is_multiple_of(5);
                let [low, high] = if wild { [-128, 127] } else { self.weights };
                random.int(low, high) as i32
            })
            .collect();
        let floats: Vec<f32> = ints.iter().map(|&w| w as f32 / 100.0).collect();
        let init: Vec<i32> = (0..channels).map(|_| random.int(-5000, 5000) as i32).collect();
        let weights = if self.is_float() { Weights::F32(&floats) } else { Weights::Int(&ints) };
        let packed = pack_depthwise(self.mac, width, weights, channels, &init);
        let outer = [self.batch, self.oh, self.ow];
        let built = reference::build(self.result, self.is_float(), &outer, channels, &mut random);
        let pixel = (channels * bytes) as i64;
        let row = iw as i64 * pixel;
        let spec = DepthwiseSpec {
            mac: self.mac,
            batch: self.batch,
            oh: self.oh,
            ow: self.ow,
            channels,
            src: Grid { batch: ih as i64 * row, row: self.stride as i64 * row, pixel: self.stride as i64 * pixel },
            taps: taps.clone(),
            safe_blocks: packed.safe_blocks,
            epilogue: built.epilogue.clone(),
        };
        let grid = spec.src;
        let mut regions = vec![src, packed.blob];
        regions.extend(built.regions);
        let mut case = Case::new(KernelSpec::Depthwise(spec), regions);
        for_each(&outer, |at| {
            let place = at[0] as i64 * grid.batch + at[1] as i64 * grid.row + at[2] as i64 * grid.pixel;
            for (channel, &start) in init.iter().enumerate().take(channels) {
                let element = |tap: usize| {
                    let at = place + taps[tap] + (channel * bytes) as i64;
                    reference::load(self.elem(), &case.regions[0], at)
                };
                let weight = |tap: usize| tap * channels + channel;
                let sum = if self.is_float() {
                    let product = |sum, tap| reference::mul_add(vectors, element(tap).f(), floats[weight(tap)], sum);
                    Lane::F((0..taps.len()).fold(0.0, product))
                } else {
                    Lane::I((0..taps.len()).fold(start, |sum, tap| sum + element(tap).i() * ints[weight(tap)]))
                };
                reference::epilogue(&mut case, &built.epilogue, 2, at, channel, Some(sum));
            }
        });
        case
    }
}

fn check_all(shapes: impl IntoIterator<Item = Shape>) {
    for shape in shapes {
        check(&format!("{shape:?}"), |vectors| shape.case(vectors));
    }
}

#[test]
fn channels() {
    check_all([1, 3, 5, 16, 17, 24, 33, 58, 64, 100].map(|channels| Shape { channels, ..BASE }));
}

#[test]
fn windows() {
    check_all([
        Shape { stride: 2, ..BASE },
        Shape { dilation: 2, ow: 9, ..BASE },
        Shape { kernel: [5, 5], channels: 20, ..BASE },
        Shape { kernel: [1, 9], ..BASE },
        Shape { kernel: [2, 3], batch: 2, ..BASE },
        Shape { kernel: [7, 7], ow: 1, ..BASE },
        Shape { kernel: [1, 1], ow: 13, ..BASE },
    ]);
    // columns of a row that its pixels share
    check_all([1, 2, 3, 4, 7, 8].map(|ow| Shape { ow, channels: 70, ..BASE }));
    check_all([1, 2, 3, 6].map(|ow| Shape { ow, stride: 2, channels: 40, ..BASE }));
    check_all([2, 4, 5, 6, 7].map(|side| Shape { kernel: [side; 2], ow: 6, channels: 24, ..BASE }));
    check_all([1, 2].map(|dilation| Shape { kernel: [5, 5], stride: 2, dilation, channels: 36, ..BASE }));
}

#[test]
fn forms() {
    check_all([
        Shape { weights: [-30, 30], channels: 40, ..BASE },
        Shape { weights: [-128, -128], channels: 40, result: Outcome::Plain, ..BASE },
        // a column's weights at the limit of what two parts of the third one hold, and above it
        Shape { weights: [85, 85], channels: 40, result: Outcome::Plain, ..BASE },
        Shape { weights: [-86, -84], channels: 40, result: Outcome::Plain, ..BASE },
        Shape { weights: [127, 127], channels: 40, result: Outcome::Plain, ..BASE },
        Shape { weights: [-30, 30], mixed: true, channels: 200, ..BASE },
        Shape { weights: [-128, 127], channels: 19, result: Outcome::Residual, ..BASE },
        Shape { weights: [-60, 60], channels: 19, result: Outcome::Both, ..BASE },
        Shape { mac: Mac::U8I8Dot, channels: 40, result: Outcome::Plain, ..BASE },
    ]);
}

#[test]
fn sixteen_bit_weights() {
    check_all([16, 21, 70].map(|channels| Shape { mac: Mac::U8I16, weights: [-256, 255], channels, ..BASE }));
    check_all([[2, 2], [5, 5]].map(|kernel| Shape { mac: Mac::U8I16, weights: [-256, 255], kernel, ..BASE }));
}

#[test]
fn floats() {
    let results = [Outcome::Plain, Outcome::Both, Outcome::Quantized(ElemType::I8)];
    let shapes = results
        .iter()
        .flat_map(|&result| [1, 6, 16, 37].map(|channels| Shape { mac: Mac::F32, channels, result, ..BASE }));
    check_all(shapes);
}
