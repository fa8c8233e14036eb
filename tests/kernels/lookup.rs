//! Lookups: every byte, lengths, strides, places.

use octet::ir::ElemType;
use octet::lower::kernel::{KernelSpec, LookupSpec};
use octet::lower::pack::pack_lookup;
use octet::lower::pointwise::PwTensor;

use crate::harness::{Case, check};
use crate::random::Random;
use crate::reference::dense;

/// Rows of `inner` bytes, all bytes in turn, through a random table.
fn case(rows: usize, inner: usize, in_place: bool, exact_reads: bool) -> Case {
    let table: [u8; 256] = Random(3).elements(ElemType::U8, 256).try_into().unwrap();
    let src: Vec<u8> = (0..rows * inner).map(|i| (i * 7) as u8).collect();
    let tensor = dense(ElemType::U8, &[rows], inner);
    let src_tensor = PwTensor { exact_reads, aliased: in_place, ..tensor.clone() };
    let spec = LookupSpec { outer: vec![rows], inner, src: src_tensor, dst: tensor };
    let results: Vec<u8> = src.iter().map(|&byte| table[usize::from(byte)]).collect();
    let mut regions = vec![src, pack_lookup(&table)];
    if !in_place {
        regions.push(vec![0x55; rows * inner]);
    }
    let mut case = Case::new(KernelSpec::Lookup(spec), regions);
    let dst = if in_place { 0 } else { 2 };
    case.operands = vec![(0, 0), (1, 0), (dst, 0)];
    case.exact = if exact_reads { vec![0] } else { Vec::new() };
    case.expected[dst] = results;
    case
}

#[test]
fn lookups() {
    for inner in [1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 256, 300] {
        for in_place in [false, true] {
            check(&format!("{inner} bytes, in place {in_place}"), |_| case(3, inner, in_place, !in_place));
        }
    }
}
