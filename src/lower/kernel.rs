//! What each kernel computes: one spec per family, every size, stride and tap a constant.
//!
//! A kernel is a function of pointers, in the order of [`KernelSpec::operands`], and a range `begin..end` of its
//! [`KernelSpec::items`]; items may run in any order and on any thread. Strides and offsets are in bytes and may be
//! negative. Specs are compared to share machine code between steps: nothing in a spec depends on a layer's name or values.

mod specs;

use super::pointwise::Epilogue;
use crate::ir::ElemType;
use crate::simd::ir::Mem;

pub use specs::{
    ArrangedSource, Band, ConvSpec, CopySpec, DepthwiseSpec, FillSpec, IndexedKind, IndexedSpec, LookupSpec,
    MatMulForm, MatMulSpec, NormalizeKind, NormalizeSpec, PointwiseSpec, PoolKind, PoolSpec, ReduceSpec, ResizeSpec,
    RnnSpec, ScanSpec, SoftmaxSpec, StateProduct, TileConvSpec, TopKSpec, WinogradSourceSpec, WinogradSpec,
};

#[derive(Clone, Debug, PartialEq)]
pub enum KernelSpec {
    Conv(ConvSpec),
    TileConv(TileConvSpec),
    Depthwise(DepthwiseSpec),
    WinogradSource(WinogradSourceSpec),
    Winograd(WinogradSpec),
    Pool(PoolSpec),
    Pointwise(PointwiseSpec),
    Lookup(LookupSpec),
    Reduce(ReduceSpec),
    Softmax(SoftmaxSpec),
    Normalize(NormalizeSpec),
    Copy(CopySpec),
    Fill(FillSpec),
    Resize(ResizeSpec),
    MatMul(MatMulSpec),
    Rnn(RnnSpec),
    Indexed(IndexedSpec),
    Scan(ScanSpec),
    TopK(TopKSpec),
}

/// Types of a multiply-accumulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mac {
    /// u8 source, i8 weights, i32 accumulator.
    U8I8,
    /// The same on targets with an instruction for four products: any weights in their plain form.
    U8I8Dot,
    /// u8 source, i16 weights in -256..=255, i32 accumulator.
    U8I16,
    /// f32, multiplied and added in the order of taps, fused where the target can.
    F32,
}

/// Byte strides of a pixel grid `[batch, row, pixel]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    pub batch: i64,
    pub row: i64,
    pub pixel: i64,
}

/// What a kernel does with an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    ReadWrite,
}

impl Access {
    /// How a kernel may load from an operand with this access.
    pub fn mem(self) -> Mem {
        match self {
            Access::Read => Mem::Const,
            Access::Write | Access::ReadWrite => Mem::Mutable,
        }
    }
}

impl KernelSpec {
    /// Name of the family in `explain` and in symbols.
    pub fn family(&self) -> &'static str {
        match self {
            KernelSpec::Conv(_) | KernelSpec::TileConv(_) => "conv",
            KernelSpec::Depthwise(_) => "depthwise",
            KernelSpec::WinogradSource(_) => "winograd_source",
            KernelSpec::Winograd(_) => "winograd",
            KernelSpec::Pool(_) => "pool",
            KernelSpec::Pointwise(_) => "pointwise",
            KernelSpec::Lookup(_) => "lookup",
            KernelSpec::Reduce(_) => "reduce",
            KernelSpec::Softmax(_) => "softmax",
            KernelSpec::Normalize(_) => "normalize",
            KernelSpec::Copy(_) => "copy",
            KernelSpec::Fill(_) => "fill",
            KernelSpec::Resize(_) => "resize",
            KernelSpec::MatMul(_) => "matmul",
            KernelSpec::Rnn(_) => "rnn",
            KernelSpec::Indexed(s) if s.kind == IndexedKind::Gather => "gather",
            KernelSpec::Indexed(_) => "scatter",
            KernelSpec::Scan(_) => "scan",
            KernelSpec::TopK(_) => "top_k",
        }
    }

    /// Access of each pointer operand, in order.
    pub fn operands(&self) -> Vec<Access> {
        match self {
            KernelSpec::Conv(s) if s.arranged.is_some() => {
                with_epilogue(&[Access::Read, Access::Read, Access::ReadWrite], &s.epilogue)
            }
            KernelSpec::Conv(s) => with_epilogue(&[Access::Read, Access::Read], &s.epilogue),
            KernelSpec::TileConv(s) => with_epilogue(&[Access::Read, Access::Read], &s.epilogue),
            KernelSpec::Depthwise(s) => with_epilogue(&[Access::Read, Access::Read], &s.epilogue),
            KernelSpec::WinogradSource(_) => vec![Access::Read, Access::ReadWrite],
            KernelSpec::Winograd(s) => with_epilogue(&[Access::Read, Access::Read, Access::ReadWrite], &s.epilogue),
            KernelSpec::Pool(s) => with_epilogue(&[Access::Read], &s.epilogue),
            KernelSpec::Pointwise(s) => with_epilogue(&[], &s.epilogue),
            KernelSpec::Lookup(s) if s.src.aliased => vec![Access::ReadWrite, Access::Read, Access::Write],
            KernelSpec::Lookup(_) => vec![Access::Read, Access::Read, Access::Write],
            KernelSpec::Reduce(s) => with_epilogue(&[Access::Read], &s.epilogue),
            KernelSpec::Normalize(s) => with_epilogue(&[Access::Read], &s.epilogue),
            KernelSpec::Softmax(_) | KernelSpec::Copy(_) | KernelSpec::Scan(_) => vec![Access::Read, Access::Write],
            KernelSpec::Indexed(s) if s.kind == IndexedKind::Gather => {
                vec![Access::Read, Access::Read, Access::Write]
            }
            KernelSpec::Indexed(_) => vec![Access::Read, Access::Read, Access::ReadWrite],
            KernelSpec::TopK(_) => vec![Access::Read, Access::ReadWrite, Access::Write, Access::Write],
            KernelSpec::Fill(_) => vec![Access::Write],
            KernelSpec::Resize(s) => with_epilogue(&[Access::Read, Access::Read], &s.epilogue),
            KernelSpec::MatMul(s) => with_epilogue(&[Access::Read, Access::Read, Access::ReadWrite], &s.epilogue),
            KernelSpec::Rnn(_) => vec![Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite],
        }
    }

    /// Kernel and precision in the grammar of OpenVINO's counters: `conv_u8i8_I8`.
    pub fn exec_type(&self) -> String {
        let mac = |mac: Mac| match mac {
            Mac::U8I8 => "_u8i8",
            Mac::U8I8Dot => "_u8i8dot",
            Mac::U8I16 => "_u8i16",
            Mac::F32 => "_f32",
        };
        let detail = match self {
            KernelSpec::Conv(s) => mac(s.mac),
            KernelSpec::Depthwise(s) => mac(s.mac),
            KernelSpec::TileConv(_) => "_u8i8tile",
            KernelSpec::Winograd(_) => mac(Mac::U8I8),
            KernelSpec::MatMul(s) if s.form == MatMulForm::Bytes => "_dot",
            KernelSpec::Rnn(s) if s.product != StateProduct::F32 => "_i24i8",
            _ => "",
        };
        format!("{}{detail}_{}", self.family(), self.precision())
    }

    /// The type a kernel computes in, as OpenVINO's counters write it: `I8`, `FP32`, or `I32` for indices and counts.
    pub fn precision(&self) -> &'static str {
        let elem = |elem: ElemType| match elem {
            ElemType::F32 | ElemType::F16 | ElemType::BF16 => "FP32",
            ElemType::I64 | ElemType::I32 | ElemType::I16 => "I32",
            ElemType::I8 | ElemType::U8 | ElemType::I4 | ElemType::U4 | ElemType::Bool => "I8",
        };
        let mac = |mac: Mac| if mac == Mac::F32 { "FP32" } else { "I8" };
        match self {
            KernelSpec::Conv(s) => mac(s.mac),
            KernelSpec::Depthwise(s) => mac(s.mac),
            KernelSpec::TileConv(_) | KernelSpec::Lookup(_) => "I8",
            KernelSpec::WinogradSource(_) | KernelSpec::Winograd(_) => "I8",
            KernelSpec::MatMul(s) => elem(s.a_elem),
            KernelSpec::Pool(s) => elem(s.elem),
            KernelSpec::Reduce(s) => elem(s.elem),
            KernelSpec::Resize(s) => elem(s.elem),
            KernelSpec::Pointwise(s) => s.epilogue.stores.first().map_or("FP32", |store| elem(store.elem)),
            KernelSpec::Copy(CopySpec { elem_bytes, .. }) | KernelSpec::Fill(FillSpec { elem_bytes, .. }) => {
                if *elem_bytes == 1 {
                    "I8"
                } else {
                    "FP32"
                }
            }
            KernelSpec::Indexed(s) => elem(s.elem),
            KernelSpec::Scan(s) => elem(s.elem),
            KernelSpec::TopK(s) => elem(s.elem),
            KernelSpec::Softmax(_) | KernelSpec::Normalize(_) | KernelSpec::Rnn(_) => "FP32",
        }
    }

    /// Elements the kernel writes: a measure of its work where there are no multiply-accumulates.
    pub fn elements(&self) -> usize {
        let product = |sizes: &[usize]| sizes.iter().product::<usize>();
        match self {
            KernelSpec::Conv(s) => s.batch * s.oh * s.ow * s.oc,
            KernelSpec::TileConv(s) => s.batch * s.oh * s.ow * s.oc,
            KernelSpec::Depthwise(s) => s.batch * s.oh * s.ow * s.channels,
            KernelSpec::WinogradSource(s) => s.batch * s.ih * s.iw * s.ic,
            KernelSpec::Winograd(s) => s.batch * s.oh * s.ow * s.oc,
            KernelSpec::Pool(s) => s.batch * s.oh * s.ow * s.channels * product(&s.kernel),
            KernelSpec::Pointwise(s) => product(&s.outer) * s.inner,
            KernelSpec::Lookup(s) => product(&s.outer) * s.inner,
            KernelSpec::Reduce(s) => product(&s.outer) * product(&s.reduced) * s.inner,
            KernelSpec::Softmax(s) => s.outer * s.axis * s.inner,
            KernelSpec::Normalize(s) => product(&s.outer) * product(&s.reduced) * s.inner,
            KernelSpec::Copy(s) => product(&s.sizes),
            KernelSpec::Fill(s) => product(&s.sizes),
            KernelSpec::Resize(s) => s.batch * s.oh * s.ow * s.channels,
            KernelSpec::MatMul(s) => product(&s.batch) * s.m * s.n,
            KernelSpec::Rnn(s) => s.batch * s.sequence * s.hidden,
            KernelSpec::Indexed(s) => product(&s.sizes) * s.bytes / s.elem.bytes(),
            KernelSpec::Scan(s) => product(&s.outer) * s.axis,
            KernelSpec::TopK(s) => product(&s.outer) * s.axis,
        }
    }

    /// Number of work items: what `begin..end` ranges over.
    pub fn items(&self) -> usize {
        match self {
            KernelSpec::TileConv(s) => s.panels() * s.block_channels.len(),
            KernelSpec::Conv(s) if s.blocks_outer => s.block_channels.len(),
            KernelSpec::Conv(s) => s.batch * s.oh,
            KernelSpec::Depthwise(s) => s.batch * s.oh,
            KernelSpec::WinogradSource(s) => s.batch * (s.ih - 2).div_ceil(4),
            KernelSpec::Winograd(s) => s.oc.div_ceil(s.block) * s.parts,
            KernelSpec::Pool(s) => s.batch * s.oh,
            KernelSpec::Pointwise(s) => s.outer.iter().product(),
            KernelSpec::Lookup(s) => s.outer.iter().product(),
            KernelSpec::Reduce(s) => s.outer.iter().product(),
            KernelSpec::Softmax(s) => s.outer,
            KernelSpec::Normalize(s) => s.outer.iter().product(),
            KernelSpec::Copy(s) => s.sizes.first().copied().unwrap_or(1),
            KernelSpec::Fill(s) => s.sizes.first().copied().unwrap_or(1),
            KernelSpec::Resize(s) => s.batch * s.oh,
            KernelSpec::MatMul(s) => s.batch.iter().product::<usize>() * s.parts(),
            KernelSpec::Rnn(_) => 1,
            KernelSpec::Indexed(s) if s.kind == IndexedKind::Gather => s.sizes.iter().product(),
            KernelSpec::Indexed(_) => 1,
            KernelSpec::Scan(s) => s.outer.iter().product(),
            KernelSpec::TopK(s) => s.outer.iter().product(),
        }
    }
}

fn with_epilogue(first: &[Access], epilogue: &Epilogue) -> Vec<Access> {
    let loads = epilogue.loads.iter().map(|load| if load.aliased { Access::ReadWrite } else { Access::Read });
    let stores = epilogue.stores.iter().map(|_| Access::Write);
    first.iter().copied().chain(loads).chain(stores).collect()
}
