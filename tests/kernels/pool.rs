//! Pooling: maxima and sums, borders, types.

use octet::ir::ElemType;
use octet::lower::kernel::{Grid, KernelSpec, PoolKind, PoolSpec};

use crate::conv::for_each;
use crate::harness::{Case, check};
use crate::random::Random;
use crate::reference::{self, Lane, Outcome};

#[derive(Clone, Copy, Debug)]
struct Shape {
    kind: PoolKind,
    elem: ElemType,
    batch: usize,
    channels: usize,
    ih: usize,
    iw: usize,
    oh: usize,
    ow: usize,
    kernel: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    pads: [usize; 2],
    result: Outcome,
}

const BASE: Shape = Shape {
    kind: PoolKind::Max,
    elem: ElemType::U8,
    batch: 2,
    channels: 16,
    ih: 7,
    iw: 7,
    oh: 4,
    ow: 4,
    kernel: [3, 3],
    strides: [2, 2],
    dilations: [1, 1],
    pads: [1, 1],
    result: Outcome::Quantized(ElemType::U8),
};

impl Shape {
    fn case(&self) -> Case {
        let mut random = Random(5);
        let is_float = self.elem == ElemType::F32;
        let src = random.elements(self.elem, self.batch * self.ih * self.iw * self.channels);
        let outer = [self.batch, self.oh, self.ow];
        let built = reference::build(self.result, is_float, &outer, self.channels, &mut random);
        let pixel = (self.channels * self.elem.bytes()) as i64;
        let grid = Grid { batch: self.ih as i64 * self.iw as i64 * pixel, row: self.iw as i64 * pixel, pixel };
        let spec = PoolSpec {
            kind: self.kind,
            elem: self.elem,
            batch: self.batch,
            channels: self.channels,
            ih: self.ih,
            iw: self.iw,
            oh: self.oh,
            ow: self.ow,
            kernel: self.kernel,
            strides: self.strides,
            dilations: self.dilations,
            pads: self.pads,
            src: grid,
            epilogue: built.epilogue.clone(),
        };
        let mut regions = vec![src];
        regions.extend(built.regions);
        let mut case = Case::new(KernelSpec::Pool(spec), regions);
        for_each(&outer, |at| {
            for channel in 0..self.channels {
                let value = self.window(&case.regions[0], grid, at, channel);
                reference::epilogue(&mut case, &built.epilogue, 1, at, channel, Some(value));
            }
        });
        case
    }

    fn window(&self, src: &[u8], grid: Grid, at: &[usize], channel: usize) -> Lane {
        let mut elements = Vec::new();
        for_each(&self.kernel, |tap| {
            let place = |dim: usize| {
                (at[1 + dim] * self.strides[dim] + tap[dim] * self.dilations[dim]) as i64 - self.pads[dim] as i64
            };
            let (y, x) = (place(0), place(1));
            if (0..self.ih as i64).contains(&y) && (0..self.iw as i64).contains(&x) {
                let place = at[0] as i64 * grid.batch + y * grid.row + x * grid.pixel;
                elements.push(reference::load(self.elem, src, place + (channel * self.elem.bytes()) as i64));
            }
        });
        match (self.elem, self.kind) {
            (ElemType::F32, PoolKind::Max) => Lane::F(elements.iter().fold(f32::NEG_INFINITY, |m, x| m.max(x.f()))),
            (ElemType::F32, PoolKind::Sum) => Lane::F(elements.iter().fold(0.0, |sum, x| sum + x.f())),
            (_, PoolKind::Max) => Lane::I(elements.iter().map(|x| x.i()).max().unwrap()),
            (_, PoolKind::Sum) => Lane::I(elements.iter().map(|x| x.i()).sum()),
        }
    }
}

fn check_all(shapes: impl IntoIterator<Item = Shape>) {
    for shape in shapes {
        check(&format!("{shape:?}"), |_| shape.case());
    }
}

const ELEMS: [ElemType; 3] = [ElemType::U8, ElemType::I8, ElemType::F32];

#[test]
fn kinds_and_channels() {
    for elem in ELEMS {
        for kind in [PoolKind::Max, PoolKind::Sum] {
            check_all([1, 5, 16, 33, 64].map(|channels| Shape { elem, kind, channels, ..BASE }));
            check_all([Outcome::Plain, Outcome::Both].map(|result| Shape { elem, kind, result, ..BASE }));
        }
    }
}

#[test]
fn windows() {
    check_all([PoolKind::Max, PoolKind::Sum].iter().flat_map(|&kind| {
        let base = Shape { kind, result: Outcome::Plain, ..BASE };
        [
            Shape { kernel: [7, 7], strides: [1, 1], pads: [0, 0], oh: 1, ow: 1, ..base },
            Shape { kernel: [2, 2], pads: [0, 0], oh: 3, ow: 3, ..base },
            Shape { kernel: [2, 3], dilations: [3, 2], strides: [1, 1], pads: [1, 2], oh: 6, ow: 7, ..base },
            Shape { kernel: [5, 5], strides: [1, 1], pads: [2, 2], oh: 7, ow: 7, ..base },
        ]
    }));
}
