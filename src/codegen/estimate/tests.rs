//! The model against what is known without a clock.

use super::*;
use crate::codegen::x86::Part;
use crate::codegen::x86::timing::Unit;
use crate::ir::ElemType;
use crate::lower::kernel::{CopySpec, Grid, IndexedKind, IndexedSpec, SoftmaxSpec, TopKSpec, WinogradSourceSpec};
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Mem, Ty};

const CPUS: [&str; 3] = ["x86-64-v2", "x86-64-v3", "x86-64-v4,+avx512vnni"];

fn target(cpu: &str) -> Target {
    Target::parse(Some("x86_64-unknown-linux-gnu"), cpu).unwrap()
}

/// `sums += weights * splat`, four vectors of weights in each iteration.
fn products(width: Width) -> Function {
    let mut b = Builder::new("products", width);
    let (src, weights) = (b.param_ptr(Mem::Const), b.param_ptr(Mem::Const));
    let (dst, count) = (b.param_ptr(Mem::Mutable), b.param_int());
    let (zero, start) = (b.int(0), b.splat_const(Ty::V32, 0));
    let init = [start, start, start, start, src.base, weights.base];
    let bytes = width.bytes() as i32;
    let sums = b.for_range((zero, count, 1), &init, |b, _, carried| {
        let at = |base| Pointer { base, mem: Mem::Const };
        let (source, weights) = (at(carried[4]), at(carried[5]));
        let splat = b.load_splat32(Ty::V8, source, 0);
        let mut next: Vec<Val> = (0..4)
            .map(|v| {
                let weight = b.load(Ty::V8, weights, v * bytes);
                b.dot4(carried[v as usize], splat, weight)
            })
            .collect();
        let (source_step, weight_step) = (b.int(4), b.int(4 * i64::from(bytes)));
        next.push(b.advance(source, source_step).base);
        next.push(b.advance(weights, weight_step).base);
        next
    });
    (0..4).for_each(|v| b.store(dst, v * bytes, sums[v as usize]));
    b.finish()
}

/// One load is the splat's; those of weights are operands of the products.
#[test]
fn an_inner_loop_has_the_instructions_of_its_machine_code() {
    // cpu, products, additions, cycles from iteration to iteration
    let rows =
        [("x86-64-v3", 8.0, 4.0, 1), ("x86-64-v3,+avxvnni", 4.0, 0.0, 5), ("x86-64-v4,+avx512vnni", 4.0, 0.0, 5)];
    for (cpu, multiplies, lanes, carried) in rows {
        let target = target(cpu);
        let outline = x86::outline(&products(target.width), &target);
        let body = outline.parts.iter().find_map(|part| if let Part::Loop(body) = part { Some(body) } else { None });
        let Some([Part::Straight(body)]) = body.map(|body| body.parts.as_slice()) else {
            panic!("{cpu}: no inner loop")
        };
        assert_eq!(body.uops.of(Unit::Multiply), multiplies, "{cpu}");
        assert_eq!(body.uops.of(Unit::Lanes), lanes, "{cpu}");
        assert_eq!(body.uops.of(Unit::Load), 5.0, "{cpu}");
        assert_eq!(body.uops.of(Unit::Store), 0.0, "{cpu}");
        assert_eq!(body.carried, carried, "{cpu}");
    }
}

/// Kernels of several families, `n` times a unit of work.
fn specs(n: usize) -> Vec<KernelSpec> {
    let softmax = |inner: usize, axis: usize| SoftmaxSpec {
        log: false,
        outer: n,
        src_outer: (4 * axis * inner) as i64,
        dst_outer: (4 * axis * inner) as i64,
        axis,
        src_axis: 4 * inner as i64,
        dst_axis: 4 * inner as i64,
        inner,
        exact_reads: false,
    };
    vec![
        KernelSpec::Softmax(softmax(1, 100)),
        KernelSpec::Softmax(softmax(40, 9)),
        KernelSpec::Copy(CopySpec {
            elem_bytes: 4,
            sizes: vec![n, 24, 33],
            src: vec![33 * 24 * 4, 4, 24 * 4],
            dst: vec![33 * 24 * 4, 33 * 4, 4],
            exact_reads: true,
        }),
        KernelSpec::WinogradSource(WinogradSourceSpec {
            batch: 1,
            ih: 4 * n + 2,
            iw: 30,
            ic: 96,
            src: Grid { batch: 0, row: 30 * 96, pixel: 96 },
        }),
        KernelSpec::Indexed(IndexedSpec {
            kind: IndexedKind::Gather,
            elem: ElemType::F32,
            index_elem: ElemType::I64,
            sizes: vec![8 * n],
            index_strides: vec![8],
            coordinate_stride: 0,
            coordinates: vec![(50, 200)],
            wraps: true,
            data_strides: vec![0],
            other_strides: vec![200],
            bytes: 200,
        }),
        KernelSpec::TopK(TopKSpec {
            elem: ElemType::F32,
            index_elem: ElemType::I32,
            largest: true,
            by_index: false,
            k: 3,
            axis: 100,
            outer: vec![n],
            src_outer: vec![400],
            values_outer: vec![12],
            indices_outer: vec![12],
            src_axis: 4,
            values_axis: 4,
            indices_axis: 4,
        }),
    ]
}

#[test]
fn iterations_that_are_left_out_are_like_those_that_are_walked() {
    for cpu in CPUS {
        let model = Model::new(&target(cpu));
        for spec in specs(12) {
            let constants = vec![None; spec.operands().len()];
            let (sampled, whole) = (model.cycles(&spec, &constants), model.unsampled_cycles(&spec, &constants));
            assert!((sampled / whole - 1.0).abs() < 0.05, "{cpu}: {}: {sampled} for {whole}", spec.family());
        }
    }
}

#[test]
fn more_work_takes_longer() {
    for cpu in CPUS {
        let model = Model::new(&target(cpu));
        for (less, more) in specs(8).iter().zip(specs(24)) {
            let cycles = |spec: &KernelSpec| model.cycles(spec, &vec![None; spec.operands().len()]);
            let (less, more) = (cycles(less), cycles(&more));
            assert!(more > 1.5 * less && less > 0.0, "{cpu}: {less} cycles, then {more}");
        }
    }
}
