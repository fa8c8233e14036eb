//! What the wide back end makes of real kernels: the instructions of inner loops, and the CPU features of all instructions.

use iced_x86::{Code, CpuidFeature, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register};
use octet::codegen::target::Target;
use octet::codegen::x86;
use octet::ir::ElemType;
use octet::lower::kernel::Mac;
use octet::simd::ir::{Function, Width};
use octet::simd::kernels;

use crate::conv::{BASE, Shape, Values};
use crate::depthwise;
use crate::reference::Outcome;
use crate::tile_conv;

fn target(cpu: &str) -> Target {
    Target::parse(Some("x86_64-unknown-linux-gnu"), cpu).unwrap()
}

/// The instructions of a kernel up to its return; constants stand behind.
fn decode(shape: &Shape, width: Width, target: &Target) -> Vec<Instruction> {
    decoded(&kernels::build(&shape.case(width).spec, "kernel", width), width, target)
}

fn decoded(function: &Function, width: Width, target: &Target) -> Vec<Instruction> {
    let code = x86::compile(function, &target.clone().with_width(width)).unwrap();
    let mut instructions = Vec::new();
    for instruction in Decoder::new(64, &code.bytes, DecoderOptions::NONE).iter() {
        assert!(!instruction.is_invalid(), "bytes that are no instruction behind {instructions:?}");
        instructions.push(instruction);
        if instruction.code() == Code::Retnq {
            return instructions;
        }
    }
    panic!("no return");
}

/// The loops without a loop inside, from the target of their last jump to that jump.
fn inner_loops(instructions: &[Instruction]) -> Vec<&[Instruction]> {
    let jumps_back = |instruction: &Instruction| {
        let branches = [FlowControl::ConditionalBranch, FlowControl::UnconditionalBranch];
        branches.contains(&instruction.flow_control()) && instruction.near_branch_target() <= instruction.ip()
    };
    let mut loops = Vec::new();
    for (end, last) in instructions.iter().enumerate().filter(|(_, instruction)| jumps_back(instruction)) {
        let start = instructions.iter().position(|first| first.ip() == last.near_branch_target()).unwrap();
        if !instructions[start..end].iter().any(jumps_back) {
            loops.push(&instructions[start..=end]);
        }
    }
    loops
}

fn count(instructions: &[Instruction], mnemonic: Mnemonic) -> usize {
    instructions.iter().filter(|instruction| instruction.mnemonic() == mnemonic).count()
}

/// A pointwise convolution of tiles of `tile_pixels` pixels and `block_vectors` vectors, all weights in the plain form.
fn pointwise(mac: Mac, width: Width, block_vectors: usize, tile_pixels: usize) -> Shape {
    let (oc, ow) = (block_vectors * width.lanes32(), 2 * tile_pixels);
    Shape { mac, ic: 64, oc, ow, block_vectors, tile_pixels, values: Values::Small, ..BASE }
}

/// Mnemonics and how often an inner loop has them, and no other instruction.
type Expected = Vec<(Mnemonic, usize)>;

fn check(shape: &Shape, width: Width, cpu: &str, expected: &Expected) {
    let instructions = decode(shape, width, &target(cpu));
    let loops = inner_loops(&instructions);
    let matches = |body: &&[Instruction]| {
        expected.iter().all(|&(mnemonic, number)| count(body, mnemonic) == number)
            && body.len() == expected.iter().map(|(_, number)| number).sum::<usize>()
    };
    let found: Vec<Vec<Mnemonic>> = loops.iter().map(|body| body.iter().map(Instruction::mnemonic).collect()).collect();
    assert!(loops.iter().any(matches), "{cpu}, {width:?}, {shape:?}: no loop is {expected:?}, but\n{found:#?}");
}

/// What every entry of a list costs besides products: its offset, two pointers, the count.
const BESIDES: [(Mnemonic, usize); 4] =
    [(Mnemonic::Movsxd, 1), (Mnemonic::Lea, 2), (Mnemonic::Add, 1), (Mnemonic::Jg, 1)];

#[test]
fn plain_products_are_three_instructions() {
    // Weights are loaded where registers are left, and memory operands where not.
    for (vectors, pixels, loads) in [(1, 6, 1), (2, 4, 2), (2, 5, 2), (4, 2, 4), (2, 6, 1), (3, 4, 1), (4, 3, 1)] {
        let shape = pointwise(Mac::U8I8, Width::W256, vectors, pixels);
        let products = vectors * pixels;
        let mut expected = vec![
            (Mnemonic::Vpbroadcastd, pixels),
            (Mnemonic::Vmovdqu, loads),
            (Mnemonic::Vpmaddubsw, products),
            (Mnemonic::Vpmaddwd, products),
            (Mnemonic::Vpaddd, products),
        ];
        expected.extend(BESIDES);
        check(&shape, Width::W256, "x86-64-v3", &expected);
    }
}

#[test]
fn dot_products_are_one_instruction() {
    let rows = [
        (Width::W256, "x86-64-v3,+avxvnni", 2, 6, (Mnemonic::Vmovdqu, 2)),
        (Width::W256, "x86-64-v3,+avxvnni", 4, 3, (Mnemonic::Vmovdqu, 3)),
        (Width::W512, "x86-64-v4,+avx512vnni", 2, 6, (Mnemonic::Vmovdqu32, 2)),
        (Width::W512, "x86-64-v4,+avx512vnni", 4, 6, (Mnemonic::Vmovdqu32, 4)),
    ];
    for (width, cpu, vectors, pixels, loads) in rows {
        let shape = pointwise(Mac::U8I8Dot, width, vectors, pixels);
        let mut expected = vec![(Mnemonic::Vpbroadcastd, pixels), (Mnemonic::Vpdpbusd, vectors * pixels), loads];
        expected.extend(BESIDES);
        check(&shape, width, cpu, &expected);
    }
}

/// Two pixels of a 3x3 window: three products a vector of each, one new column of each, and nothing on the stack.
#[test]
fn pixels_of_depthwise_convolutions_interleave_one_column() {
    let rows = [
        (Mac::U8I8, Width::W256, "x86-64-v3", Mnemonic::Vpmaddubsw),
        (Mac::U8I8Dot, Width::W256, "x86-64-v3,+avxvnni", Mnemonic::Vpdpbusd),
        (Mac::U8I8Dot, Width::W512, "x86-64-v4,+avx512vnni", Mnemonic::Vpdpbusd),
    ];
    for (mac, width, cpu, product) in rows {
        let (channels, result) = (width.bytes(), Outcome::Plain);
        let shape = depthwise::Shape { mac, channels, ow: 8, weights: [-30, 30], result, ..depthwise::BASE };
        let function = kernels::build(&shape.case(width).spec, "kernel", width);
        let instructions = decoded(&function, width, &target(cpu));
        let loops = inner_loops(&instructions);
        let body = loops.iter().find(|body| count(body, product) > 0).expect("a loop of products");
        let interleaves = [Mnemonic::Vpunpcklbw, Mnemonic::Vpunpckhbw, Mnemonic::Vpunpcklwd, Mnemonic::Vpunpckhwd];
        let interleaves: usize = interleaves.iter().map(|&mnemonic| count(body, mnemonic)).sum();
        let on_stack = body.iter().filter(|instruction| instruction.memory_base() == Register::RSP).count();
        assert_eq!((count(body, product), interleaves, on_stack), (24, 16, 0), "{cpu}, {width:?}: {body:#?}");
    }
}

/// The XOR form: one instruction more a product, weights and masks read where they are used.
#[test]
fn flipped_products_are_four_instructions() {
    let shape = Shape { values: Values::Extreme, ..pointwise(Mac::U8I8, Width::W256, 4, 3) };
    let mut expected = vec![
        (Mnemonic::Vpbroadcastd, 3),
        (Mnemonic::Vpxor, 12),
        (Mnemonic::Vmovdqu, 12),
        (Mnemonic::Vpmaddubsw, 12),
        (Mnemonic::Vpmaddwd, 12),
        (Mnemonic::Vpaddd, 12),
    ];
    expected.extend(BESIDES);
    check(&shape, Width::W256, "x86-64-v3", &expected);
}

/// What a CPU without the feature would not run.
fn allowed(cpu: &str) -> Vec<CpuidFeature> {
    use CpuidFeature::{
        AVX, AVX_VNNI, AVX2, AVX512_VNNI, AVX512BW, AVX512DQ, AVX512F, AVX512VL, CMOV, INTEL386, INTEL8086, X64,
    };
    let mut allowed = vec![INTEL8086, INTEL386, X64, CMOV, AVX, AVX2];
    if cpu.contains("avxvnni") {
        allowed.push(AVX_VNNI);
    }
    if cpu.contains("v4") {
        allowed.extend([AVX512F, AVX512BW, AVX512DQ, AVX512VL]);
    }
    if cpu.contains("avx512vnni") {
        allowed.push(AVX512_VNNI);
    }
    allowed
}

#[test]
fn no_instruction_is_beyond_the_target() {
    let macs = [Mac::U8I8, Mac::U8I8Dot, Mac::U8I16, Mac::F32];
    let results = [Outcome::Quantized(ElemType::I8), Outcome::Both, Outcome::Residual];
    let rows = [
        (Width::W256, "x86-64-v3"),
        (Width::W256, "x86-64-v3,+avxvnni"),
        (Width::W512, "x86-64-v4"),
        (Width::W512, "x86-64-v4,+avx512vnni"),
    ];
    for (width, cpu) in rows {
        let allowed = allowed(cpu);
        for (mac, result) in macs.into_iter().flat_map(|mac| results.map(|result| (mac, result))) {
            let shape = Shape { mac, result, ic: 37, oc: 45, ow: 13, ..BASE };
            for instruction in decode(&shape, width, &target(cpu)) {
                let needed = instruction.cpuid_features();
                let beyond = needed.iter().find(|feature| !allowed.contains(feature));
                assert_eq!(beyond, None, "{cpu}, {width:?}: {:?}", instruction.code());
            }
        }
    }
}

/// The loop over the steps of a convolution: four products, what they load, and what every step costs besides.
#[test]
fn products_of_tiles_need_nothing_else() {
    let shape = Shape { mac: Mac::U8I8Dot, ic: 128, oc: 64, oh: 2, ow: 16, tile_pixels: 16, ..BASE };
    let function = kernels::build(&tile_conv::case(&shape).spec, "kernel", Width::W512);
    let instructions = decoded(&function, Width::W512, &target("x86-64-v4,+amx-int8"));
    let mut expected = vec![
        (Mnemonic::Tileloadd, 4),
        (Mnemonic::Tdpbusd, 4),
        (Mnemonic::Prefetcht1, 1),
        (Mnemonic::Movsxd, 1),
        (Mnemonic::Lea, 4),
        (Mnemonic::Add, 1),
        (Mnemonic::Jg, 1),
    ];
    expected.sort();
    let loops = inner_loops(&instructions);
    let found = loops.iter().filter(|body| count(body, Mnemonic::Tdpbusd) > 0).map(|body| {
        let mut counts: Vec<(Mnemonic, usize)> = Vec::new();
        for instruction in body.iter() {
            match counts.iter_mut().find(|(mnemonic, _)| *mnemonic == instruction.mnemonic()) {
                Some((_, number)) => *number += 1,
                None => counts.push((instruction.mnemonic(), 1)),
            }
        }
        counts.sort();
        counts
    });
    let found: Vec<_> = found.collect();
    assert_eq!(found, [expected.clone(), expected]);
    assert_eq!(count(&instructions, Mnemonic::Ldtilecfg), 1);
    assert_eq!(count(&instructions, Mnemonic::Tilerelease), 1);
}
