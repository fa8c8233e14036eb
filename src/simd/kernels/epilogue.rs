//! Evaluates a pointwise program on strips: the end of every kernel that computes, and all of a pointwise kernel.
//!
//! The program runs vector by vector, and for each vector pixel by pixel: what does not depend on the pixel (channel
//! constants and what is computed from them) is loaded once per vector, and few values live at a time.

use crate::ir::ElemType;
use crate::lower::pointwise::{Epilogue, Inner, PwInst, PwTensor, Ref};
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{Ty, Val};

use super::lanes;
use super::strip::{Strip, load_splat};

/// Where an epilogue's tensors are read and written: at the current outer indices and channel.
#[derive(Clone, Debug)]
pub struct Operands {
    pub loads: Vec<Pointer>,
    pub stores: Vec<Pointer>,
}

impl Operands {
    /// Pointers in the order of the kernel's parameters behind those of the family.
    pub fn new(epilogue: &Epilogue, params: &[Pointer]) -> Operands {
        let (loads, stores) = params.split_at(epilogue.loads.len());
        Operands { loads: loads.to_vec(), stores: stores.to_vec() }
    }

    /// Moves to index `index` of outer dimension `dim`.
    pub fn at(&self, b: &mut Builder, epilogue: &Epilogue, dim: usize, index: Val) -> Operands {
        self.moved(b, epilogue, index, |tensor| tensor.strides[dim])
    }

    /// Moves by `channels` along the inner dimension.
    pub fn at_channel(&self, b: &mut Builder, epilogue: &Epilogue, channels: Val) -> Operands {
        self.moved(b, epilogue, channels, channel_bytes)
    }

    fn moved(&self, b: &mut Builder, epilogue: &Epilogue, index: Val, bytes: impl Fn(&PwTensor) -> i64) -> Operands {
        // tensors with one stride share the product
        let mut products: Vec<(i64, Val)> = Vec::new();
        let mut all = |b: &mut Builder, pointers: &[Pointer], tensors: &[PwTensor]| -> Vec<Pointer> {
            let moved = pointers.iter().zip(tensors).map(|(&pointer, tensor)| {
                let stride = bytes(tensor);
                if stride == 0 {
                    return pointer;
                }
                let known = products.iter().find(|(bytes, _)| *bytes == stride).map(|&(_, product)| product);
                let product = known.unwrap_or_else(|| {
                    let product = if stride == 1 { index } else { b.imul_imm(index, stride) };
                    products.push((stride, product));
                    product
                });
                b.advance(pointer, product)
            });
            moved.collect()
        };
        let loads = all(b, &self.loads, &epilogue.loads);
        Operands { loads, stores: all(b, &self.stores, &epilogue.stores) }
    }
}

/// Bytes from one channel to the next.
fn channel_bytes(tensor: &PwTensor) -> i64 {
    match tensor.inner {
        Inner::Contiguous | Inner::Strips => tensor.elem.bytes() as i64,
        Inner::Splat => 0,
    }
}

/// Pixels side by side along the last outer dimension, and a strip of channels of each.
#[derive(Clone, Copy, Debug)]
pub struct Tile {
    pub pixels: usize,
    /// First channel of the strip, from where the operands point.
    pub channel: usize,
    pub strip: Strip,
}

/// Runs the program on a tile and stores its results. `accumulators[pixel][vector]` has all live vectors of the strip, or is empty
/// if the program uses none.
pub fn apply(b: &mut Builder, epilogue: &Epilogue, operands: &Operands, tile: Tile, accumulators: &[Vec<Val>]) {
    apply_with(b, epilogue, operands, tile, accumulators, &vec![None; epilogue.loads.len()]);
}

/// What some loads give, one value per live vector of a strip; `None` for those still to be done.
pub type Loaded = Vec<Option<Vec<Val>>>;

/// The loads of a strip that are the same for all outer indices: a kernel does them once for many tiles.
pub fn load_constants(b: &mut Builder, epilogue: &Epilogue, operands: &Operands, strip: Strip) -> Loaded {
    let loads = epilogue.loads.iter().zip(&operands.loads);
    let load = loads.map(|(tensor, &pointer)| {
        let constant = tensor.strides.iter().all(|&stride| stride == 0) && !tensor.aliased;
        constant.then(|| load_strip(b, tensor, strip, pointer, 0))
    });
    load.collect()
}

/// As [`apply`] with loads that are done.
pub fn apply_with(
    b: &mut Builder,
    epilogue: &Epilogue,
    operands: &Operands,
    tile: Tile,
    accumulators: &[Vec<Val>],
    known: &[Option<Vec<Val>>],
) {
    let evaluation = Evaluation::new(b, epilogue, operands, tile, accumulators, known);
    let mut results = vec![vec![Vec::new(); epilogue.stores.len()]; tile.pixels];
    for vector in 0..tile.strip.live() {
        let shared = evaluation.shared(b, vector);
        for (pixel, results) in results.iter_mut().enumerate() {
            let values = evaluation.pixel(b, &shared, pixel, vector);
            for (result, (value, _)) in results.iter_mut().zip(&epilogue.program.stores) {
                result.push(values[value.0 as usize]);
            }
        }
    }
    for store in 0..epilogue.stores.len() {
        let of_pixel: Vec<&[Val]> = results.iter().map(|results| results[store].as_slice()).collect();
        evaluation.store_all(b, store, &of_pixel);
    }
}

struct Evaluation<'a> {
    epilogue: &'a Epilogue,
    operands: &'a Operands,
    tile: Tile,
    accumulators: &'a [Vec<Val>],
    /// Whether an instruction has the same value for all pixels.
    uniform: Vec<bool>,
    /// `loaded[load][pixel][vector]`; one pixel where all share it.
    loaded: Vec<Vec<Vec<Val>>>,
}

impl<'a> Evaluation<'a> {
    fn new(
        b: &mut Builder,
        epilogue: &'a Epilogue,
        operands: &'a Operands,
        tile: Tile,
        accumulators: &'a [Vec<Val>],
        known: &[Option<Vec<Val>>],
    ) -> Evaluation<'a> {
        let mut evaluation =
            Evaluation { epilogue, operands, tile, accumulators, uniform: uniform(epilogue), loaded: Vec::new() };
        for ((tensor, &pointer), known) in epilogue.loads.iter().zip(&operands.loads).zip(known) {
            if let Some(known) = known {
                evaluation.loaded.push(vec![known.clone()]);
                continue;
            }
            let pixels = if pixel_stride(tensor) == 0 { 1 } else { tile.pixels };
            let loaded = (0..pixels).map(|pixel| evaluation.load(b, tensor, pointer, pixel)).collect();
            evaluation.loaded.push(loaded);
        }
        evaluation
    }

    fn load(&self, b: &mut Builder, tensor: &PwTensor, pointer: Pointer, pixel: usize) -> Vec<Val> {
        let (pointer, offset) = self.place(b, tensor, pointer, pixel);
        load_strip(b, tensor, self.tile.strip, pointer, offset)
    }

    /// Stores `values[pixel][vector]`.
    fn store_all(&self, b: &mut Builder, index: usize, values: &[&[Val]]) {
        let tensor = &self.epilogue.stores[index];
        let elem = self.epilogue.program.stores[index].1;
        assert_eq!(elem, tensor.elem, "internal error: a store of another element type");
        let (strip, stride) = (self.tile.strip, pixel_stride(tensor));
        let four = tensor.inner == Inner::Contiguous && strip.stores_four(b.width(), elem, stride);
        for (i, pixels) in values.chunks(4).enumerate() {
            match *pixels {
                [&[p0], &[p1], &[p2], &[p3]] if four => {
                    let (pointer, offset) = self.place(b, tensor, self.operands.stores[index], 4 * i);
                    strip.store_four(b, elem, pointer, (offset, stride as i32), [p0, p1, p2, p3]);
                }
                _ => pixels.iter().enumerate().for_each(|(j, values)| self.store(b, index, 4 * i + j, values)),
            }
        }
    }

    fn store(&self, b: &mut Builder, index: usize, pixel: usize, values: &[Val]) {
        let tensor = &self.epilogue.stores[index];
        let elem = self.epilogue.program.stores[index].1;
        let (pointer, offset) = self.place(b, tensor, self.operands.stores[index], pixel);
        let strip = match tensor.inner {
            Inner::Contiguous => self.tile.strip,
            Inner::Strips => panic!("internal error: results in the order of strips"),
            Inner::Splat => Strip { valid: 1, ..self.tile.strip },
        };
        strip.store(b, elem, pointer, offset, &values[..strip.live()]);
    }

    /// Address of the tile's strip in pixel `pixel`.
    fn place(&self, b: &mut Builder, tensor: &PwTensor, pointer: Pointer, pixel: usize) -> (Pointer, i32) {
        let offset = pixel_stride(tensor) * pixel as i64 + channel_bytes(tensor) * self.tile.channel as i64;
        displaced(b, pointer, offset)
    }

    /// Values that all pixels share, of one vector.
    fn shared(&self, b: &mut Builder, vector: usize) -> Vec<Option<Val>> {
        let mut values: Vec<Option<Val>> = vec![None; self.uniform.len()];
        for (i, inst) in self.epilogue.program.insts.iter().enumerate() {
            if self.uniform[i] {
                let value = self.inst(b, inst, 0, vector, |r: Ref| values[r.0 as usize]);
                values[i] = Some(value);
            }
        }
        values
    }

    fn pixel(&self, b: &mut Builder, shared: &[Option<Val>], pixel: usize, vector: usize) -> Vec<Val> {
        let mut values: Vec<Val> = Vec::with_capacity(shared.len());
        for (inst, shared) in self.epilogue.program.insts.iter().zip(shared) {
            let value =
                shared.unwrap_or_else(|| self.inst(b, inst, pixel, vector, |r: Ref| Some(values[r.0 as usize])));
            values.push(value);
        }
        values
    }

    fn inst(
        &self,
        b: &mut Builder,
        inst: &PwInst,
        pixel: usize,
        vector: usize,
        value: impl Fn(Ref) -> Option<Val>,
    ) -> Val {
        let value = |r: Ref| value(r).unwrap_or_else(|| panic!("internal error: %{} is used before it is known", r.0));
        match *inst {
            PwInst::Accumulator => self.accumulators[pixel][vector],
            PwInst::Load(i) => {
                let pixels = &self.loaded[i];
                pixels[pixel.min(pixels.len() - 1)][vector]
            }
            PwInst::ConstF32(x) => b.splat_const_f32(x),
            PwInst::ConstI32(x) => b.splat_const(Ty::V32, x.into()),
            PwInst::ToFloat(x) => b.to_float(value(x)),
            PwInst::Quantize { x, low, high } => lanes::quantize(b, value(x), low, high),
            PwInst::Round(x) => b.to_int(value(x)),
            PwInst::Truncate(x) => lanes::truncate(b, value(x)),
            PwInst::Unary(op, x) => lanes::unary(b, op, value(x)),
            PwInst::Binary(op, x, y) => lanes::binary(b, op, value(x), value(y)),
            PwInst::Select(condition, x, y) => lanes::select(b, value(condition), value(x), value(y)),
        }
    }
}

fn load_strip(b: &mut Builder, tensor: &PwTensor, strip: Strip, pointer: Pointer, offset: i32) -> Vec<Val> {
    match tensor.inner {
        Inner::Contiguous => strip.load(b, tensor.elem, pointer, offset, tensor.exact_reads),
        Inner::Splat => vec![load_splat(b, tensor.elem, pointer, offset); strip.live()],
        Inner::Strips => {
            let width = b.width().bytes();
            (0..strip.live()).map(|v| b.load(Ty::VF32, pointer, offset + (v * width) as i32)).collect()
        }
    }
}

/// Which instructions have the same value for all pixels of a tile.
fn uniform(epilogue: &Epilogue) -> Vec<bool> {
    let mut uniform: Vec<bool> = Vec::with_capacity(epilogue.program.insts.len());
    for inst in &epilogue.program.insts {
        let value = match inst {
            PwInst::Accumulator => false,
            PwInst::Load(i) => pixel_stride(&epilogue.loads[*i]) == 0,
            _ => inst.operands().all(|operand| uniform[operand.0 as usize]),
        };
        uniform.push(value);
    }
    uniform
}

/// Bytes from one pixel of a tile to the next.
fn pixel_stride(tensor: &PwTensor) -> i64 {
    tensor.strides.last().copied().unwrap_or(0)
}

/// `pointer + offset` with the offset in the instruction where it fits.
pub fn displaced(b: &mut Builder, pointer: Pointer, offset: i64) -> (Pointer, i32) {
    // room for the offsets inside a strip
    const LIMIT: i64 = 1 << 30;
    if offset.abs() < LIMIT {
        return (pointer, offset as i32);
    }
    let offset = b.int(offset);
    (b.advance(pointer, offset), 0)
}

/// Vectors of a strip for kernels that may choose: four where bytes become lanes, so that they are packed together; else single
/// vectors in natural order, which load and store in one piece at every width.
pub fn strip_vectors(epilogue: &Epilogue) -> usize {
    let mut tensors = epilogue.loads.iter().chain(&epilogue.stores);
    let has_narrow = tensors.any(|tensor| {
        tensor.inner == Inner::Contiguous && !matches!(tensor.elem, ElemType::F32 | ElemType::I32 | ElemType::I64)
    });
    if has_narrow { 4 } else { 1 }
}
