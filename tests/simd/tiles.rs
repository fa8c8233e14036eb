//! Tiles: products of matrices of all signs and shapes, against plain sums.

use octet::simd::builder::Builder;
use octet::simd::interp::{Arg, Memory};
use octet::simd::ir::{Mem, Width};
use octet::simd::tiles::{Signs, TileReg, TileShape};

use crate::machine::{Case, check};
use crate::rows::Random;

/// `acc += a * b`, all in memory with rows farther apart than they are long.
fn product(m: usize, k: usize, n: usize, signs: Signs) -> Case {
    let name = format!("{m} x {k} x {n}, {signs:?}");
    let mut b = Builder::new("product", Width::W512);
    let [a, matrix] = [(); 2].map(|()| b.param_ptr(Mem::Const));
    let acc = b.param_ptr(Mem::Mutable);
    let shapes = [(m, 4 * n), (m, k), (k / 4, 4 * n)].map(|(rows, bytes)| TileShape { rows, bytes });
    b.use_tiles(std::array::from_fn(|i| shapes[i.min(2)]));
    let scratch = b.scratch(16 * 64);
    let (stride, dense) = (b.int(80), b.int(64));
    let [acc_tile, a_tile, b_tile, copy] = [0, 1, 2, 0].map(TileReg);
    b.tile_load(acc_tile, acc, 0, stride);
    b.tile_load(a_tile, a, 0, stride);
    b.tile_load(b_tile, matrix, 0, stride);
    b.tile_dot(acc_tile, a_tile, b_tile, signs);
    b.tile_store(acc_tile, scratch, 0, dense);
    b.tile_zero(copy);
    b.tile_load(copy, scratch, 0, dense);
    b.tile_store(copy, acc, 0, stride);
    let mut random = Random(5);
    let mut region = || (0..16 * 80).map(|_| (random.next() as u8) | (0x80 * (random.next() % 2) as u8)).collect();
    let memory = Memory { regions: vec![region(), region(), region()] };
    let args = (0..3).map(|region| Arg::Ptr { region, offset: 0 }).collect();
    Case { name, function: b.finish(), memory, args, floats: false }
}

/// What the product should leave in the third region.
fn expected(case: &Case, m: usize, k: usize, n: usize, signs: Signs) -> Vec<u8> {
    let [a, b, acc] = [0, 1, 2].map(|region| &case.memory.regions[region]);
    let value = |byte: u8, signed: bool| if signed { i32::from(byte as i8) } else { i32::from(byte) };
    let mut result = acc.clone();
    for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
        let at = row * 80 + 4 * column;
        let start = i32::from_le_bytes(acc[at..at + 4].try_into().unwrap());
        let sum = (0..k).fold(start, |sum, i| {
            let right = value(b[i / 4 * 80 + 4 * column + i % 4], signs.b);
            sum.wrapping_add(value(a[row * 80 + i], signs.a) * right)
        });
        result[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    }
    result
}

#[test]
fn products_of_tiles() {
    let shapes = [(16, 64, 16), (1, 4, 1), (7, 20, 16), (16, 64, 3), (9, 36, 11)];
    let signs = [(false, true), (false, false), (true, true), (true, false)].map(|(a, b)| Signs { a, b });
    for ((m, k, n), signs) in shapes.into_iter().flat_map(|shape| signs.map(|signs| (shape, signs))) {
        let case = product(m, k, n, signs);
        let mut memory = case.memory.clone();
        octet::simd::interp::run(&case.function, &mut memory, &case.args).unwrap();
        assert!(memory.regions[2] == expected(&case, m, k, n, signs), "{}", case.name);
        check(&[case]);
    }
}
