//! Copies, fills, gathers and resampling.

use octet::ir::ElemType;
use octet::lower::kernel::{CopySpec, FillSpec, Grid, IndexedKind, IndexedSpec, KernelSpec, ResizeSpec};
use octet::lower::pack::resize_table;
use octet::lower::pointwise::{Epilogue, PointwiseProgram, PwInst};
use octet::simd::ir::Vectors;

use crate::conv::for_each;
use crate::harness::{Case, check};
use crate::random::Random;
use crate::reference::{self, Lane, dense};

fn offset(at: &[usize], strides: &[i64]) -> usize {
    at.iter().zip(strides).map(|(&i, stride)| i as i64 * stride).sum::<i64>() as usize
}

/// Dense strides of dimensions in the order of `perm`, outermost first.
fn strides_in_order(sizes: &[usize], perm: &[usize], elem_bytes: usize) -> Vec<i64> {
    let mut strides = vec![0; sizes.len()];
    let mut stride = elem_bytes as i64;
    for &dim in perm.iter().rev() {
        strides[dim] = stride;
        stride *= sizes[dim] as i64;
    }
    strides
}

#[test]
fn copies() {
    let rows: [(&[usize], &[usize], &[usize]); 21] = [
        (&[100], &[0], &[0]),
        (&[3, 17], &[0, 1], &[0, 1]),
        (&[2, 3, 5], &[0, 1, 2], &[2, 0, 1]),
        (&[3, 40], &[0, 1], &[1, 0]),
        (&[40, 3], &[0, 1], &[1, 0]),
        (&[2, 35, 19], &[0, 1, 2], &[0, 2, 1]),
        (&[2, 64, 16], &[0, 1, 2], &[0, 2, 1]),
        (&[2, 4, 33], &[0, 2, 1], &[0, 1, 2]),
        (&[2, 3, 70], &[0, 1, 2], &[0, 2, 1]),
        (&[70, 3], &[1, 0], &[0, 1]),
        (&[2, 4, 65], &[0, 1, 2], &[0, 2, 1]),
        (&[4, 3, 2, 5], &[3, 2, 1, 0], &[0, 1, 2, 3]),
        (&[3, 2, 58], &[0, 1, 2], &[0, 2, 1]),
        (&[3, 2, 16], &[0, 1, 2], &[0, 2, 1]),
        (&[3, 2, 64], &[0, 1, 2], &[0, 2, 1]),
        (&[3, 2, 116], &[0, 1, 2], &[0, 2, 1]),
        (&[3, 3, 29], &[0, 1, 2], &[0, 2, 1]),
        (&[3, 70, 2, 3], &[3, 0, 2, 1], &[0, 1, 2, 3]),
        (&[2, 33, 2, 4], &[3, 0, 2, 1], &[0, 1, 2, 3]),
        (&[2, 16, 4, 2], &[0, 2, 3, 1], &[0, 1, 2, 3]),
        (&[2, 40, 3, 5], &[3, 0, 2, 1], &[0, 1, 2, 3]),
    ];
    for (sizes, src, dst) in rows {
        for elem_bytes in [1, 2, 4, 8] {
            for exact_reads in [false, true] {
                check(&format!("copy {sizes:?} {src:?} to {dst:?} of {elem_bytes} bytes"), |_| {
                    let spec = CopySpec {
                        elem_bytes,
                        sizes: sizes.to_vec(),
                        src: strides_in_order(sizes, src, elem_bytes),
                        dst: strides_in_order(sizes, dst, elem_bytes),
                        exact_reads,
                    };
                    let bytes = sizes.iter().product::<usize>() * elem_bytes;
                    let source = Random(9).elements(ElemType::U8, bytes);
                    let mut case = Case::new(KernelSpec::Copy(spec.clone()), vec![source, vec![0; bytes]]);
                    case.exact = if exact_reads { vec![0] } else { vec![] };
                    for_each(sizes, |at| {
                        let from = offset(at, &spec.src);
                        let element = case.regions[0][from..from + elem_bytes].to_vec();
                        let to = offset(at, &spec.dst);
                        case.expected[1][to..to + elem_bytes].copy_from_slice(&element);
                    });
                    case
                });
            }
        }
    }
}

#[test]
fn fills() {
    let rows: [(&[usize], &[i64]); 4] =
        [(&[2, 70], &[100, 1]), (&[3, 2, 5], &[64, 20, 4]), (&[7], &[8]), (&[2, 3], &[48, 16])];
    for (sizes, dst) in rows {
        for elem_bytes in [1, 2, 4] {
            check(&format!("fill {sizes:?} of {elem_bytes} bytes"), |_| {
                let scaled: Vec<i64> = dst.iter().map(|stride| stride * elem_bytes as i64).collect();
                let value = [0x91, 0x32, 0xf3, 0x14, 0, 0, 0, 0];
                let spec = FillSpec { elem_bytes, value, sizes: sizes.to_vec(), dst: scaled.clone() };
                let mut case = Case::new(KernelSpec::Fill(spec), vec![vec![0; 1000]]);
                for_each(sizes, |at| {
                    let to = offset(at, &scaled);
                    case.expected[0][to..to + elem_bytes].copy_from_slice(&value[..elem_bytes]);
                });
                case
            });
        }
    }
}

#[test]
fn gathers() {
    for index_elem in [ElemType::I32, ElemType::I64] {
        for bytes in [1, 12, 67] {
            check(&format!("gather of {bytes} bytes by {index_elem}"), |_| {
                let (outer, axis, picked) = (2, 5, [4i64, 0, -1, 7, 2, -9]);
                let count = picked.len();
                let spec = IndexedSpec {
                    kind: IndexedKind::Gather,
                    elem: ElemType::U8,
                    index_elem,
                    sizes: vec![outer, count],
                    index_strides: vec![0, index_elem.bytes() as i64],
                    coordinate_stride: 0,
                    coordinates: vec![(axis, bytes as i64)],
                    wraps: true,
                    data_strides: vec![(axis * bytes) as i64, 0],
                    other_strides: vec![(count * bytes) as i64, bytes as i64],
                    bytes,
                };
                let src = Random(10).elements(ElemType::U8, outer * axis * bytes);
                let indices = picked.iter().flat_map(|i| i.to_le_bytes()[..index_elem.bytes()].to_vec()).collect();
                let dst = vec![0; outer * picked.len() * bytes];
                let mut case = Case::new(KernelSpec::Indexed(spec), vec![src, indices, dst]);
                for_each(&[outer, picked.len()], |at| {
                    let index = picked[at[1]];
                    let index = if index < 0 { index + axis as i64 } else { index };
                    let from = (at[0] * axis + index.clamp(0, axis as i64 - 1) as usize) * bytes;
                    let inside = (0..axis as i64).contains(&index);
                    let run = if inside { case.regions[0][from..from + bytes].to_vec() } else { vec![0; bytes] };
                    let to = (at[0] * picked.len() + at[1]) * bytes;
                    case.expected[2][to..to + bytes].copy_from_slice(&run);
                });
                case
            });
        }
    }
}

#[test]
fn resampling() {
    for elem in [ElemType::U8, ElemType::I8, ElemType::F32] {
        for taps in [[1, 1], [2, 2], [1, 4]] {
            for channels in [1, 5, 16, 35] {
                check(&format!("resize {elem} {taps:?} of {channels} channels"), |vectors| {
                    resize(vectors, elem, taps, channels)
                });
            }
        }
    }
}

fn resize(vectors: Vectors, elem: ElemType, taps: [usize; 2], channels: usize) -> Case {
    let (batch, size, out) = (2, [3, 4], [5, 7]);
    let mut random = Random(12);
    let nearest = taps == [1, 1];
    let tables = [0, 1].map(|dim| -> Vec<Vec<(usize, f32)>> {
        let mut tap = || (random.int(0, size[dim] as i64 - 1) as usize, if nearest { 1.0 } else { random.float() });
        (0..out[dim]).map(|_| (0..taps[dim]).map(|_| tap()).collect()).collect()
    });
    let accumulates_ints = nearest && elem != ElemType::F32;
    let result = if accumulates_ints { elem } else { ElemType::F32 };
    let mut program = PointwiseProgram::default();
    let accumulator = program.push(PwInst::Accumulator);
    program.stores.push((accumulator, result));
    let outer = [batch, out[0], out[1]];
    let epilogue = Epilogue { program, loads: vec![], stores: vec![dense(result, &outer, channels)] };
    let pixel = (channels * elem.bytes()) as i64;
    let grid = Grid { batch: (size[0] * size[1]) as i64 * pixel, row: size[1] as i64 * pixel, pixel };
    let spec =
        ResizeSpec { elem, batch, channels, oh: out[0], ow: out[1], taps, src: grid, epilogue: epilogue.clone() };
    let src = random.elements(elem, batch * size[0] * size[1] * channels);
    let dst = vec![0; batch * out[0] * out[1] * channels * result.bytes()];
    let regions = vec![src, resize_table(&tables[0], &tables[1]), dst];
    let mut case = Case::new(KernelSpec::Resize(spec), regions);
    for_each(&outer, |at| {
        for channel in 0..channels {
            let element = |y: usize, x: usize| {
                let place = at[0] as i64 * grid.batch + y as i64 * grid.row + x as i64 * grid.pixel;
                reference::load(elem, &case.regions[0], place + (channel * elem.bytes()) as i64)
            };
            let float = |lane: Lane| if elem == ElemType::F32 { lane.f() } else { lane.i() as f32 };
            let (rows, cols) = (&tables[0][at[1]], &tables[1][at[2]]);
            let value = if nearest {
                element(rows[0].0, cols[0].0)
            } else {
                let add = |sum: Option<f32>, x: f32, weight: f32| {
                    Some(sum.map_or(x * weight, |sum| reference::mul_add(vectors, x, weight, sum)))
                };
                let row =
                    |y| cols.iter().fold(None, |sum, &(x, weight)| add(sum, float(element(y, x)), weight)).unwrap();
                Lane::F(rows.iter().fold(None, |sum, &(y, weight)| add(sum, row(y), weight)).unwrap())
            };
            reference::epilogue(&mut case, &epilogue, 2, at, channel, Some(value));
        }
    });
    case
}
