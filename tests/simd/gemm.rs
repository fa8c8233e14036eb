//! The inner loop of a matrix product: what Cranelift makes of it decides the speed of every convolution.

use octet::codegen::clif;
use octet::codegen::target::Target;
use octet::simd::builder::Builder;
use octet::simd::interp::{Arg, Memory};
use octet::simd::ir::{Function, Mem, Ty, Val, Width};

use crate::machine::{Case, check};
use crate::rows::Random;

/// `fn(a, w, out, bytes)`: `out[p][c] = sum over k of a[p * LDA + k] * w[k]`, for `pixels` rows of activations and
/// `vectors` vectors of output channels; four bytes of `k` a step.
fn microkernel(pixels: usize, vectors: usize, lda: i32) -> Function {
    let mut b = Builder::new(format!("gemm_{pixels}x{vectors}"), Width::W128);
    let (a, w) = (b.param_ptr(Mem::Const), b.param_ptr(Mem::Const));
    let (out, bytes) = (b.param_ptr(Mem::Mutable), b.param_int());
    let zero = b.int(0);
    let start: Vec<Val> = (0..pixels * vectors).map(|_| b.splat_const(Ty::V32, 0)).collect();
    let sums = b.for_range((zero, bytes, 4), &start, |b, k, sums| {
        let a = b.advance(a, k);
        let w = b.index(w, k, 4 * vectors as i64);
        let weights: Vec<Val> = (0..vectors).map(|c| b.load(Ty::V8, w, 16 * c as i32)).collect();
        let mut next = Vec::new();
        for p in 0..pixels {
            let activations = b.load_splat32(Ty::V8, a, p as i32 * lda);
            next.extend((0..vectors).map(|c| b.dot4(sums[p * vectors + c], activations, weights[c])));
        }
        next
    });
    for (i, &sum) in sums.iter().enumerate() {
        b.store(out, 16 * i as i32, sum);
    }
    b.finish()
}

fn case(pixels: usize, vectors: usize, k: usize) -> Case {
    let mut random = Random(5);
    let activations = (0..pixels * k).map(|_| (random.next() % 256) as u8).collect();
    // Small enough for the obligation of the product.
    let weights = (0..k * 4 * vectors).map(|_| (random.next() % 127) as u8).map(|w| w.wrapping_sub(63)).collect();
    let memory = Memory { regions: vec![activations, weights, vec![0; 16 * pixels * vectors]] };
    let pointers = (0..3).map(|region| Arg::Ptr { region, offset: 0 });
    let args = pointers.chain([Arg::Int(k as i64)]).collect();
    let name = format!("gemm {pixels}x{vectors}");
    Case { name, function: microkernel(pixels, vectors, k as i32), memory, args, floats: false }
}

#[test]
fn products_are_right() {
    check(&[case(4, 2, 64), case(6, 2, 512), case(3, 4, 32), case(4, 3, 4), case(1, 1, 0)]);
}

/// The basic blocks of a disassembly, in order.
fn blocks(text: &str) -> Vec<Vec<&str>> {
    let mut blocks = Vec::new();
    for line in text.lines().map(str::trim) {
        match (line.starts_with("block"), blocks.last_mut()) {
            (true, _) => blocks.push(Vec::new()),
            (false, Some(block)) => block.push(line),
            (false, None) => {}
        }
    }
    blocks
}

/// The instructions of the inner loop, the longest block: it ends in a branch whose edge back must be without moves.
fn inner_loop(text: &str) -> Vec<&str> {
    let blocks = blocks(text);
    let body = (0..blocks.len()).max_by_key(|&i| blocks[i].len()).unwrap();
    let branch = blocks[body].last().unwrap();
    let edge: usize = branch.split_once("label").and_then(|(_, rest)| rest.split(';').next()?.parse().ok()).unwrap();
    assert!(edge == body || blocks[edge] == [format!("jmp     label{body}")], "moves on the edge back:\n{text}");
    blocks[body].clone()
}

#[test]
fn the_inner_loop_has_no_moves_and_no_spills() {
    for (cpu, per_product) in [("x86-64-v3", 3), ("x86-64-v3,+avxvnni", 1), ("x86-64-v4,+avx512vnni", 1)] {
        for (pixels, vectors) in [(4, 2), (5, 2), (6, 2)] {
            let target = Target::parse(Some("x86_64-unknown-linux-gnu"), cpu).unwrap().with_width(Width::W128);
            let isa = target.isa().unwrap();
            let text = clif::disassemble(&microkernel(pixels, vectors, 512), &target, &*isa).unwrap();
            let instructions = inner_loop(&text);
            // Weights, broadcasts of a load and a shuffle, products. Besides: index, its multiple, counter, test, jump.
            let expected = vectors + 2 * pixels + per_product * pixels * vectors;
            let moves = instructions.iter().filter(|line| line.starts_with("mov") || line.contains("rsp")).count();
            assert_eq!(moves, 0, "{cpu}, {pixels}x{vectors}:\n{}", instructions.join("\n"));
            let scalar = instructions.len() - expected;
            assert!(scalar <= 6, "{cpu}, {pixels}x{vectors}: {scalar} besides:\n{}", instructions.join("\n"));
        }
    }
}
