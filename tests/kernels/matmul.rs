//! Products of two matrices: types, transposes, batches, tails.

use octet::ir::ElemType;
use octet::lower::kernel::{KernelSpec, MatMulForm, MatMulSpec};
use octet::lower::pack::{MatMulScratch, matmul_scratch_bytes};
use octet::simd::ir::Vectors;

use crate::conv::for_each;
use crate::harness::{Case, check};
use crate::random::Random;
use crate::reference::{self, Lane, Outcome};

#[derive(Clone, Copy, Debug)]
struct Shape {
    elems: [ElemType; 2],
    batch: usize,
    m: usize,
    k: usize,
    n: usize,
    transposed: [bool; 2],
    /// Blocks of columns of an item; 0 for all.
    item_blocks: usize,
    result: Outcome,
}

const BASE: Shape = Shape {
    elems: [ElemType::U8, ElemType::I8],
    batch: 2,
    m: 5,
    k: 8,
    n: 16,
    transposed: [false, false],
    item_blocks: 0,
    result: Outcome::Plain,
};

impl Shape {
    fn case(&self, form: MatMulForm, vectors: Vectors) -> Case {
        let width = vectors.width;
        let &Shape { batch, m, k, n, .. } = self;
        let float = self.elems[0] == ElemType::F32;
        let mut random = Random(13);
        let sides = [[m, k], [k, n]];
        let strides = [0, 1].map(|side| {
            let ([rows, cols], bytes) = (sides[side], self.elems[side].bytes() as i64);
            let [row, col] = if self.transposed[side] { [1, rows as i64] } else { [cols as i64, 1] };
            [row * bytes, col * bytes, (rows * cols) as i64 * bytes]
        });
        let outer = [batch, m];
        let built = reference::build(self.result, float, &outer, n, &mut random);
        let spec = MatMulSpec {
            form,
            a_elem: self.elems[0],
            b_elem: self.elems[1],
            batch: vec![batch],
            a_batch: vec![strides[0][2]],
            b_batch: vec![strides[1][2]],
            m,
            k,
            n,
            a_m: strides[0][0],
            a_k: strides[0][1],
            b_k: strides[1][0],
            b_n: strides[1][1],
            item_columns: match self.item_blocks * MatMulScratch::block(width) {
                0 => n,
                columns => columns.min(n),
            },
            epilogue: built.epilogue.clone(),
        };
        let mut regions = vec![
            random.elements(self.elems[0], batch * m * k),
            random.elements(self.elems[1], batch * k * n),
            vec![0; matmul_scratch_bytes(&spec, width)],
        ];
        regions.extend(built.regions);
        let mut case = Case::new(KernelSpec::MatMul(spec), regions);
        case.scratch = Some(2);
        for_each(&[batch, m], |at| {
            for column in 0..n {
                let element = |side: usize, row: usize, col: usize| {
                    let [r, c, b] = strides[side];
                    let place = at[0] as i64 * b + row as i64 * r + col as i64 * c;
                    reference::load(self.elems[side], &case.regions[side], place)
                };
                let sum = if float {
                    let factors = |i: usize| (element(0, at[1], i).f(), element(1, i, column).f());
                    let product = |sum, i: usize| reference::mul_add(vectors, factors(i).0, factors(i).1, sum);
                    Lane::F((0..k).fold(0.0, product))
                } else {
                    Lane::I((0..k).fold(0, |sum, i| sum + element(0, at[1], i).i() * element(1, i, column).i()))
                };
                reference::epilogue(&mut case, &built.epilogue, 3, at, column, Some(sum));
            }
        });
        case
    }
}

fn check_all(shapes: impl IntoIterator<Item = Shape>) {
    for shape in shapes {
        let forms: &[MatMulForm] = match shape.elems {
            [ElemType::F32, _] => &[MatMulForm::F32],
            [_, ElemType::I8] => &[MatMulForm::Words, MatMulForm::Bytes],
            _ => &[MatMulForm::Words],
        };
        for &form in forms {
            check(&format!("{shape:?} in {form:?}"), |vectors| shape.case(form, vectors));
        }
    }
}

const INTS: [ElemType; 2] = [ElemType::U8, ElemType::I8];

#[test]
fn sizes() {
    check_all([1, 3, 8, 17, 33].map(|n| Shape { n, ..BASE }));
    check_all([1, 2, 7, 15, 64].map(|k| Shape { k, ..BASE }));
    check_all([1, 2, 4, 9].map(|m| Shape { m, ..BASE }));
}

/// Whole blocks of columns, chunks of steps and what is left behind them, for each direction that is contiguous.
#[test]
fn packing() {
    let (u8, i8, f32) = (ElemType::U8, ElemType::I8, ElemType::F32);
    for elems in [[u8, u8], [i8, i8], [u8, i8], [f32, f32]] {
        for (k, n) in [(16, 32), (18, 33), (33, 64), (7, 71), (40, 32), (67, 40)] {
            for transposed in [[false, false], [false, true], [true, true]] {
                check_all([Shape { elems, k, n, transposed, m: 9, ..BASE }]);
            }
        }
    }
}

#[test]
fn types_and_transposes() {
    for a in INTS {
        for b in INTS {
            check_all([[false, true], [true, false], [true, true]].map(|transposed| Shape {
                elems: [a, b],
                transposed,
                ..BASE
            }));
        }
    }
}

#[test]
fn floats() {
    let base = Shape { elems: [ElemType::F32; 2], ..BASE };
    check_all([1, 7, 16, 37].map(|n| Shape { n, ..base }));
    check_all([Outcome::Both, Outcome::Quantized(ElemType::U8)].map(|result| Shape { result, ..base }));
    check_all([[false, true], [true, false]].map(|transposed| Shape { transposed, ..base }));
}

#[test]
fn results() {
    let results =
        [Outcome::Quantized(ElemType::U8), Outcome::Quantized(ElemType::I8), Outcome::Residual, Outcome::Both];
    check_all(results.map(|result| Shape { result, n: 21, ..BASE }));
}

/// Items of some of the columns, with a shorter last one or without.
#[test]
fn columns_as_items() {
    let (u8, i8, f32) = (ElemType::U8, ElemType::I8, ElemType::F32);
    for elems in [[u8, i8], [i8, i8], [f32, f32]] {
        for (n, item_blocks) in [(64, 1), (65, 1), (100, 2)] {
            check_all([[false, false], [false, true]].map(|transposed| Shape {
                elems,
                n,
                transposed,
                item_blocks,
                result: Outcome::Residual,
                ..BASE
            }));
        }
    }
}
