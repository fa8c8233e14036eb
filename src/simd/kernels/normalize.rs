//! Mean, variance and L2 normalisation in f32: sums in one or two passes, then the elements, times the reciprocal of their norm.
//! Integer sources are converted as they are loaded.
//!
//! If the inner dimension is reduced a row goes by vectors and its tail element by element; else columns go side by side, a strip
//! at a time. Sums are taken per row first and then over rows, which keeps their error small. A mean is the first element and
//! the mean of the distances from it: additions of like numbers round all to one side, and a small deviation would enlarge the error.

use crate::ir::op::EpsMode;
use crate::lower::kernel::{NormalizeKind, NormalizeSpec};
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{FloatOp, FloatUnary, Reduction, Ty, Val};

use super::Items;
use super::epilogue::{self, Operands, Tile};
use super::nest;
use super::reduce::reduced;
use super::strip::{Strip, load_splat};

pub fn build(b: &mut Builder, spec: &NormalizeSpec, operands: &[Pointer], items: Items) {
    let &[src, ref rest @ ..] = operands else { panic!("internal error: normalization without a source") };
    let operands = Operands::new(&spec.epilogue, rest);
    nest::for_items(b, items, |b, item| {
        let indices = nest::indices(b, item, &spec.outer);
        let src = nest::at(b, src, &indices, &spec.src_outer);
        let at = |operands: Operands, (dim, &index): (usize, &Val)| operands.at(b, &spec.epilogue, dim, index);
        let operands = indices.iter().enumerate().fold(operands.clone(), at);
        if spec.inner_reduced {
            return normalize(b, spec, &Rows { spec, src, operands });
        }
        nest::for_strips(b, spec.inner, 4, |b, column, strip| {
            let src = b.index(src, column, spec.elem.bytes() as i64);
            let operands = operands.at_channel(b, &spec.epilogue, column);
            normalize(b, spec, &Columns { spec, src, operands, strip: strip.in_suitable_order(b.width()) });
        });
    });
}

/// From the number of a statistic, a sum and an element to the next sum.
type Add<'a> = dyn Fn(&mut Builder, usize, Val, Val) -> Val + 'a;

/// What is reduced together. Statistics are one vector for rows (the same in all lanes), one per vector of a strip of columns.
trait Part {
    /// The first of the reduced elements.
    fn first(&self, b: &mut Builder) -> Vec<Val>;
    /// Sums from 0 on: `add(statistic, sum, x)` is the sum with one more of the reduced elements.
    fn sum(&self, b: &mut Builder, add: &Add) -> Vec<Val>;
    /// Runs the epilogue on `f(statistic, x)` of every element.
    fn map(&self, b: &mut Builder, f: &dyn Fn(&mut Builder, usize, Val) -> Val);
}

fn normalize(b: &mut Builder, spec: &NormalizeSpec, part: &dyn Part) {
    if spec.kind == NormalizeKind::L2 {
        let sums = part.sum(b, &|b, _, sum, x| b.mul_add(x, x, sum));
        let factors: Vec<Val> = sums
            .into_iter()
            .map(|sum| {
                let norm = l2_norm(b, spec, sum);
                reciprocal(b, norm)
            })
            .collect();
        return part.map(b, &|b, i, x| b.fmul(x, factors[i]));
    }
    let means = means(b, spec, part);
    if spec.kind == NormalizeKind::Mean {
        return part.map(b, &|b, i, x| b.fsub(x, means[i]));
    }
    let squares = part.sum(b, &|b, i, sum, x| {
        let distance = b.fsub(x, means[i]);
        b.mul_add(distance, distance, sum)
    });
    let factors: Vec<Val> = squares
        .into_iter()
        .map(|sum| {
            let variance = mean(b, spec, sum);
            let deviation = deviation(b, spec, variance);
            reciprocal(b, deviation)
        })
        .collect();
    part.map(b, &|b, i, x| {
        let centred = b.fsub(x, means[i]);
        b.fmul(centred, factors[i])
    });
}

fn means(b: &mut Builder, spec: &NormalizeSpec, part: &dyn Part) -> Vec<Val> {
    let first = part.first(b);
    let distances = part.sum(b, &|b, i, sum, x| {
        let distance = b.fsub(x, first[i]);
        b.fadd(sum, distance)
    });
    let mean = |(sum, &first): (Val, &Val)| {
        let distance = mean(b, spec, sum);
        b.fadd(first, distance)
    };
    distances.into_iter().zip(&first).map(mean).collect()
}

fn reciprocal(b: &mut Builder, x: Val) -> Val {
    let one = b.splat_const_f32(1.0);
    b.float_op(FloatOp::Div, one, x)
}

fn mean(b: &mut Builder, spec: &NormalizeSpec, sum: Val) -> Val {
    let inner = if spec.inner_reduced { spec.inner } else { 1 };
    let count = spec.reduced.iter().product::<usize>() * inner;
    let count = b.splat_const_f32(count as f32);
    b.float_op(FloatOp::Div, sum, count)
}

fn deviation(b: &mut Builder, spec: &NormalizeSpec, variance: Val) -> Val {
    let eps = b.splat_const_f32(spec.eps as f32);
    match spec.eps_mode {
        EpsMode::Inside => {
            let sum = b.fadd(variance, eps);
            b.float_unary(FloatUnary::Sqrt, sum)
        }
        EpsMode::Outside => {
            let root = b.float_unary(FloatUnary::Sqrt, variance);
            b.fadd(root, eps)
        }
    }
}

fn l2_norm(b: &mut Builder, spec: &NormalizeSpec, sum: Val) -> Val {
    let eps = b.splat_const_f32(spec.eps as f32);
    let sum = match spec.eps_mode {
        EpsMode::Inside => b.fadd(sum, eps),
        EpsMode::Outside => b.float_op(FloatOp::Max, sum, eps),
    };
    b.float_unary(FloatUnary::Sqrt, sum)
}

/// Lanes as f32.
fn real(b: &mut Builder, x: Val) -> Val {
    if b.ty(x) == Ty::VF32 { x } else { b.to_float(x) }
}

/// Sums of a row that are taken side by side: one alone waits for each of its additions.
const SIDE_BY_SIDE: usize = 4;

/// The operands of an epilogue at indices of the reduced dimensions.
fn at_reduced(b: &mut Builder, spec: &NormalizeSpec, operands: &Operands, indices: &[Val]) -> Operands {
    let outer = spec.outer.len();
    let at = |operands: Operands, (dim, &index): (usize, &Val)| operands.at(b, &spec.epilogue, outer + dim, index);
    indices.iter().enumerate().fold(operands.clone(), at)
}

/// Rows of contiguous elements.
struct Rows<'a> {
    spec: &'a NormalizeSpec,
    src: Pointer,
    operands: Operands,
}

impl Rows<'_> {
    /// Elements in whole vectors.
    fn whole(&self, b: &Builder) -> usize {
        let lanes = b.width().lanes32();
        self.spec.inner / lanes * lanes
    }
}

impl Part for Rows<'_> {
    fn first(&self, b: &mut Builder) -> Vec<Val> {
        let x = load_splat(b, self.spec.elem, self.src, 0);
        vec![real(b, x)]
    }

    fn sum(&self, b: &mut Builder, add: &Add) -> Vec<Val> {
        let strip = Strip::full(b.width(), 1);
        let (lanes, whole) = (b.width().lanes32(), self.whole(b));
        let none = b.splat_const_f32(0.0);
        nest::fold_all(b, &self.spec.reduced, &[none], &mut |b, indices, carried| {
            let src = nest::at(b, self.src, indices, &self.spec.src_reduced);
            let mut sums = [none; SIDE_BY_SIDE];
            let mut begin = 0;
            for count in [SIDE_BY_SIDE, 1] {
                let end = whole / (count * lanes) * (count * lanes);
                let range = (b.int(begin as i64), b.int(end as i64), (count * lanes) as i64);
                let next = b.for_range(range, &sums[..count], |b, index, carried| {
                    let src = b.index(src, index, self.spec.elem.bytes() as i64);
                    let term = |(i, &sum): (usize, &Val)| {
                        let at = (i * lanes * self.spec.elem.bytes()) as i32;
                        let x = strip.load(b, self.spec.elem, src, at, true)[0];
                        let x = real(b, x);
                        add(b, 0, sum, x)
                    };
                    carried.iter().enumerate().map(term).collect()
                });
                sums[..count].copy_from_slice(&next);
                begin = end;
            }
            let sum = sums[1..].iter().fold(sums[0], |sum, &part| b.fadd(sum, part));
            let mut sum = reduced(b, Reduction::AddF32, sum);
            for i in whole..self.spec.inner {
                let x = load_splat(b, self.spec.elem, src, (self.spec.elem.bytes() * i) as i32);
                let x = real(b, x);
                sum = add(b, 0, sum, x);
            }
            vec![b.fadd(carried[0], sum)]
        })
    }

    fn map(&self, b: &mut Builder, f: &dyn Fn(&mut Builder, usize, Val) -> Val) {
        let spec = self.spec;
        let vectors = epilogue::strip_vectors(&spec.epilogue);
        nest::for_all(b, &spec.reduced, &mut |b, indices| {
            let src = nest::at(b, self.src, indices, &spec.src_reduced);
            let operands = at_reduced(b, spec, &self.operands, indices);
            nest::for_strips(b, spec.inner, vectors, |b, index, strip| {
                let strip = strip.in_suitable_order(b.width());
                let src = b.index(src, index, spec.elem.bytes() as i64);
                let operands = operands.at_channel(b, &spec.epilogue, index);
                let loaded = strip.load(b, spec.elem, src, 0, spec.exact_reads);
                let results = loaded.into_iter().map(|x| {
                    let x = real(b, x);
                    f(b, 0, x)
                });
                let results = vec![results.collect()];
                epilogue::apply(b, &spec.epilogue, &operands, Tile { pixels: 1, channel: 0, strip }, &results);
            });
        });
    }
}

/// Columns side by side.
struct Columns<'a> {
    spec: &'a NormalizeSpec,
    src: Pointer,
    operands: Operands,
    strip: Strip,
}

impl Columns<'_> {
    fn load(&self, b: &mut Builder, indices: &[Val]) -> Vec<Val> {
        let src = nest::at(b, self.src, indices, &self.spec.src_reduced);
        let loaded = self.strip.load(b, self.spec.elem, src, 0, self.spec.exact_reads);
        loaded.into_iter().map(|x| real(b, x)).collect()
    }
}

impl Part for Columns<'_> {
    fn first(&self, b: &mut Builder) -> Vec<Val> {
        let zero = b.int(0);
        self.load(b, &vec![zero; self.spec.reduced.len()])
    }

    fn sum(&self, b: &mut Builder, add: &Add) -> Vec<Val> {
        let none = b.splat_const_f32(0.0);
        let init = vec![none; self.strip.live()];
        let Some((&last, outer)) = self.spec.reduced.split_last() else {
            return self.load(b, &[]).into_iter().enumerate().map(|(i, x)| add(b, i, none, x)).collect();
        };
        nest::fold_all(b, outer, &init, &mut |b, indices, carried| {
            let row = nest::fold_all(b, &[last], &init, &mut |b, index, carried| {
                let loaded = self.load(b, &[indices, index].concat());
                let sums = carried.iter().zip(loaded).enumerate();
                sums.map(|(i, (&sum, x))| add(b, i, sum, x)).collect()
            });
            carried.iter().zip(row).map(|(&sum, row)| b.fadd(sum, row)).collect()
        })
    }

    fn map(&self, b: &mut Builder, f: &dyn Fn(&mut Builder, usize, Val) -> Val) {
        nest::for_all(b, &self.spec.reduced, &mut |b, indices| {
            let loaded = self.load(b, indices);
            let results: Vec<Val> = loaded.into_iter().enumerate().map(|(i, x)| f(b, i, x)).collect();
            let operands = at_reduced(b, self.spec, &self.operands, indices);
            let tile = Tile { pixels: 1, channel: 0, strip: self.strip };
            epilogue::apply(b, &self.spec.epilogue, &operands, tile, &[results]);
        });
    }
}
