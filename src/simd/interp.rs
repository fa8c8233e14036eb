//! Runs a kernel on byte regions, slowly and with every check: the oracle of all back ends.
//!
//! A pointer is a region and an offset, so an access outside a region is found even where the machine would not fault.
//! Checked besides: bytes read through a [`Mem::Const`] pointer are never written by the same run (back ends move such
//! loads), the obligation of [`Inst::Dot4`], division by zero, and in [`run_strict`] the obligation of [`Inst::ToInt`].
//!
//! Invariant: a [`Vector`] holds zeros behind the bytes of the kernel's width.

mod lanes;
mod tiles;

use cranelift_entity::{PrimaryMap, SecondaryMap};

use super::ir::{Addr, Block, CHUNK, Function, If, Inst, IntMem, IntOp, Loop, Mem, Ty, Val, Widen};
use super::print::Line;
use super::verify::verify;
use lanes::Vector;
pub use lanes::compare;
use tiles::Tiles;

/// The memory a kernel sees: regions that know their size.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub regions: Vec<Vec<u8>>,
}

impl Memory {
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Adds a region and gives its index.
    pub fn add(&mut self, bytes: Vec<u8>) -> usize {
        self.regions.push(bytes);
        self.regions.len() - 1
    }
}

/// An argument of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    Ptr { region: usize, offset: i64 },
    Int(i64),
}

/// Verifies and runs `function`. Errors name the kernel and the instruction.
pub fn run(function: &Function, memory: &mut Memory, args: &[Arg]) -> Result<(), String> {
    execute(function, memory, args, false)
}

/// As [`run`], and a lane outside i32 given to [`Inst::ToInt`] is an error even if nothing uses the result.
pub fn run_strict(function: &Function, memory: &mut Memory, args: &[Arg]) -> Result<(), String> {
    execute(function, memory, args, true)
}

fn execute(function: &Function, memory: &mut Memory, args: &[Arg], strict: bool) -> Result<(), String> {
    verify(function)?;
    let types: Vec<Ty> = function.params.iter().map(|&param| function.values[param]).collect();
    let given: Vec<Ty> = args.iter().map(|arg| if matches!(arg, Arg::Int(_)) { Ty::I64 } else { Ty::Ptr }).collect();
    if types != given {
        return Err(format!("kernel {} takes {types:?}, but the arguments are {given:?}", function.name));
    }
    let uses = memory.regions.iter().map(|region| vec![Use::default(); region.len()]).collect();
    let width = function.width.bytes();
    let scratch = memory.regions.len();
    let tiles = function.tiles.map(Tiles::new);
    let values = SecondaryMap::new();
    let mut machine = Machine { types: &function.values, width, memory, scratch, tiles, uses, strict, values };
    machine.add_scratch(function.scratch);
    for (&param, &arg) in function.params.iter().zip(args) {
        machine.values[param] = match arg {
            Arg::Ptr { region, offset } => Value::Ptr { region, offset },
            Arg::Int(value) => Value::Int(value),
        };
    }
    let outcome = machine.block(&function.body).map_err(|problem| format!("kernel {}: {problem}", function.name));
    memory.regions.truncate(scratch);
    outcome
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Ptr { region: usize, offset: i64 },
    Int(i64),
    Float(f32),
    Vector(Vector),
}

impl Default for Value {
    fn default() -> Value {
        Value::Int(0)
    }
}

/// What this run did with a byte of memory.
#[derive(Clone, Copy, Default)]
struct Use {
    read_const: bool,
    written: bool,
}

struct Machine<'a> {
    types: &'a PrimaryMap<Val, Ty>,
    /// Bytes of a vector.
    width: usize,
    memory: &'a mut Memory,
    /// The region of the kernel's own memory.
    scratch: usize,
    tiles: Option<Tiles>,
    uses: Vec<Vec<Use>>,
    strict: bool,
    values: SecondaryMap<Val, Value>,
}

type Outcome<T> = Result<T, String>;

impl Machine<'_> {
    fn block(&mut self, block: &Block) -> Outcome<()> {
        for (results, inst) in &block.insts {
            match inst {
                Inst::Loop(l) => self.for_loop(results, l)?,
                Inst::If(i) => self.branch(results, i)?,
                _ => {
                    let value = self.inst(inst).map_err(|problem| format!("`{}`: {problem}", Line(results, inst)))?;
                    if let (&[result], Some(value)) = (results.as_slice(), value) {
                        self.values[result] = value;
                    }
                }
            }
        }
        Ok(())
    }

    fn for_loop(&mut self, results: &[Val], l: &Loop) -> Outcome<()> {
        let (mut index, hi) = (self.int(l.lo), self.int(l.hi));
        let mut carried = self.all(&l.init);
        while index < hi {
            self.values[l.index] = Value::Int(index);
            self.define(&l.carried, &carried);
            self.block(&l.body)?;
            carried = self.all(&l.next);
            index = index.checked_add(l.step).ok_or("the index of a loop overflows")?;
        }
        self.define(results, &carried);
        Ok(())
    }

    fn branch(&mut self, results: &[Val], i: &If) -> Outcome<()> {
        let taken = self.int(i.condition) != 0;
        let (body, values) = if taken { (&i.then_block, &i.then_values) } else { (&i.else_block, &i.else_values) };
        self.block(body)?;
        let values = self.all(values);
        self.define(results, &values);
        Ok(())
    }

    fn all(&self, values: &[Val]) -> Vec<Value> {
        values.iter().map(|&value| self.values[value]).collect()
    }

    fn define(&mut self, results: &[Val], values: &[Value]) {
        for (&result, &value) in results.iter().zip(values) {
            self.values[result] = value;
        }
    }

    fn inst(&mut self, inst: &Inst) -> Outcome<Option<Value>> {
        if let Some(value) = self.scalar(inst)? {
            return Ok(Some(value));
        }
        if let Inst::Prefetch(..) = inst {
            return Ok(None);
        }
        if let Inst::Tile(inst) = inst {
            return self.tile(inst).map(|()| None);
        }
        if self.store(inst)? {
            return Ok(None);
        }
        match self.load(inst)? {
            Some(value) => Ok(Some(value)),
            None => self.vector_inst(inst).map(Some),
        }
    }

    /// Junk at first: a kernel must not rely on it.
    fn add_scratch(&mut self, bytes: usize) {
        self.memory.regions.push(vec![0xa5; bytes]);
        self.uses.push(vec![Use::default(); bytes]);
    }

    // Operands. The verifier guarantees their types; a mismatch is a bug of whoever built the kernel.

    fn int(&self, value: Val) -> i64 {
        match self.values[value] {
            Value::Int(int) => int,
            other => panic!("internal error: {value} is {other:?}, not an integer"),
        }
    }

    fn float(&self, value: Val) -> f32 {
        match self.values[value] {
            Value::Float(float) => float,
            other => panic!("internal error: {value} is {other:?}, not a float"),
        }
    }

    fn vector(&self, value: Val) -> Vector {
        match self.values[value] {
            Value::Vector(vector) => vector,
            other => panic!("internal error: {value} is {other:?}, not a vector"),
        }
    }

    fn scalar(&self, inst: &Inst) -> Outcome<Option<Value>> {
        Ok(Some(match *inst {
            Inst::ConstI64(value) => Value::Int(value),
            Inst::ConstF32(value) => Value::Float(value),
            Inst::Int(op, a, b) => Value::Int(int_op(op, self.int(a), self.int(b))?),
            Inst::IntCmp(cmp, a, b) => Value::Int(lanes::compare(cmp, &self.int(a), &self.int(b)).into()),
            Inst::Choose(condition, a, b) => self.values[if self.int(condition) != 0 { a } else { b }],
            Inst::Scratch => Value::Ptr { region: self.scratch, offset: 0 },
            Inst::PtrAdd(base, bytes) => self.offset(base, self.int(bytes))?,
            Inst::IntToFloat(value) => Value::Float(self.int(value) as f32),
            Inst::FloatToInt(value) => Value::Int(float_to_int(self.float(value))?),
            Inst::FloatBits(value) => Value::Int(self.float(value).to_bits().into()),
            Inst::FloatFromBits(value) => Value::Float(f32::from_bits(self.int(value) as u32)),
            Inst::FloatCmp(cmp, a, b) => Value::Int(lanes::compare(cmp, &self.float(a), &self.float(b)).into()),
            Inst::Float(op, a, b) if self.types[a] == Ty::F32 => {
                Value::Float(lanes::float_op(op, self.float(a), self.float(b)))
            }
            Inst::Fused(op, a, b, c) if self.types[a] == Ty::F32 => {
                Value::Float(lanes::fused(op, self.float(a), self.float(b), self.float(c)))
            }
            Inst::FloatUnary(op, a) if self.types[a] == Ty::F32 => Value::Float(lanes::float_unary(op, self.float(a))),
            _ => return Ok(None),
        }))
    }

    fn offset(&self, base: Val, bytes: i64) -> Outcome<Value> {
        match self.values[base] {
            Value::Ptr { region, offset } => {
                let offset = offset.checked_add(bytes).ok_or("the address overflows")?;
                Ok(Value::Ptr { region, offset })
            }
            other => panic!("internal error: {base} is {other:?}, not a pointer"),
        }
    }

    // Memory.

    /// The bytes `addr + extra ..+ bytes`, as region and index of the first.
    fn place(&self, addr: Addr, extra: i64, bytes: usize) -> Outcome<(usize, usize)> {
        let Value::Ptr { region, offset } = self.offset(addr.base, i64::from(addr.offset) + extra)? else {
            unreachable!("internal error: a pointer plus bytes is a pointer");
        };
        let size = self.memory.regions.get(region).ok_or_else(|| format!("there is no region {region}"))?.len();
        let begin = usize::try_from(offset).ok();
        match begin.filter(|begin| begin.checked_add(bytes).is_some_and(|end| end <= size)) {
            Some(begin) => Ok((region, begin)),
            None => Err(format!("bytes {offset}..{} of region {region}, which has {size}", offset + bytes as i64)),
        }
    }

    fn read(&mut self, addr: Addr, extra: i64, bytes: usize, mem: Mem) -> Outcome<&[u8]> {
        let (region, begin) = self.place(addr, extra, bytes)?;
        if mem == Mem::Const {
            for byte in &mut self.uses[region][begin..begin + bytes] {
                if byte.written {
                    return Err(format!("reads as const what the kernel wrote: byte {begin} of region {region}"));
                }
                byte.read_const = true;
            }
        }
        Ok(&self.memory.regions[region][begin..begin + bytes])
    }

    fn write(&mut self, addr: Addr, extra: i64, bytes: &[u8]) -> Outcome<()> {
        let (region, begin) = self.place(addr, extra, bytes.len())?;
        for byte in &mut self.uses[region][begin..begin + bytes.len()] {
            if byte.read_const {
                return Err(format!("writes what the kernel read as const: byte {begin} of region {region}"));
            }
            byte.written = true;
        }
        self.memory.regions[region][begin..begin + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn load(&mut self, inst: &Inst) -> Outcome<Option<Value>> {
        let width = self.width;
        let vector = match *inst {
            Inst::LoadInt { addr, kind, mem } => {
                let bytes = self.read(addr, 0, kind.bytes(), mem)?;
                return Ok(Some(Value::Int(extend(kind, bytes))));
            }
            Inst::LoadF32 { addr, mem } => {
                let bits = extend(IntMem::I32, self.read(addr, 0, 4, mem)?);
                return Ok(Some(Value::Float(f32::from_bits(bits as u32))));
            }
            Inst::Load { addr, mem, .. } => Vector::from_bytes(self.read(addr, 0, width, mem)?),
            Inst::LoadPartial { addr, bytes, mem, .. } => Vector::from_bytes(self.read(addr, 0, bytes, mem)?),
            Inst::LoadChunks { addr, stride, mem, .. } => {
                let mut bytes = Vec::new();
                for chunk in 0..width / CHUNK {
                    bytes.extend_from_slice(self.read(addr, chunk as i64 * i64::from(stride), CHUNK, mem)?);
                }
                Vector::from_bytes(&bytes)
            }
            Inst::LoadPartialChunks { addr, span, mem, .. } => {
                let mut bytes = vec![0; width];
                for (chunk, bytes) in bytes.chunks_mut(CHUNK).enumerate() {
                    // A part without bytes touches nothing, wherever it would stand.
                    let (extra, count) = span.part(chunk);
                    if count > 0 {
                        bytes[..count].copy_from_slice(self.read(addr, extra, count, mem)?);
                    }
                }
                Vector::from_bytes(&bytes)
            }
            Inst::LoadSplat32 { addr, mem, .. } => {
                let lane = self.read(addr, 0, 4, mem)?.to_vec();
                Vector::from_bytes(&lane.repeat(width / 4))
            }
            Inst::LoadWiden { widen, addr, mem } => {
                let bytes = self.read(addr, 0, width / widen.ratio(), mem)?;
                load_widen(widen, bytes)
            }
            _ => return Ok(None),
        };
        Ok(Some(Value::Vector(vector)))
    }

    /// Whether `inst` is a store; then it is done.
    fn store(&mut self, inst: &Inst) -> Outcome<bool> {
        match *inst {
            Inst::StoreInt { addr, kind, value } => {
                let bytes = self.int(value).to_le_bytes();
                self.write(addr, 0, &bytes[..kind.bytes()])?;
            }
            Inst::StoreF32 { addr, value } => self.write(addr, 0, &self.float(value).to_le_bytes())?,
            Inst::Store { addr, value } => self.write(addr, 0, self.vector(value).bytes(self.width))?,
            Inst::StorePartial { addr, value, bytes } => self.write(addr, 0, self.vector(value).bytes(bytes))?,
            Inst::StoreChunks { addr, stride, value } => {
                for (i, chunk) in self.vector(value).bytes(self.width).chunks(CHUNK).enumerate() {
                    self.write(addr, i as i64 * i64::from(stride), chunk)?;
                }
            }
            Inst::StorePartialChunks { addr, span, value } => {
                for (i, chunk) in self.vector(value).bytes(self.width).chunks(CHUNK).enumerate() {
                    let (extra, count) = span.part(i);
                    if count > 0 {
                        self.write(addr, extra, &chunk[..count])?;
                    }
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    // Vectors.

    fn vector_inst(&self, inst: &Inst) -> Outcome<Value> {
        let v = |value: Val| self.vector(value);
        let ty = |value: Val| self.types[value];
        Ok(Value::Vector(match *inst {
            Inst::VecConst { chunk, .. } => Vector::from_bytes(&chunk.repeat(self.width / CHUNK)),
            Inst::Splat { ty, value } => self.splat(ty, value),
            Inst::Vec(op, a, b) => lanes::vec_op(op, ty(a), v(a), v(b)),
            Inst::Shift(op, value, bits) => lanes::shift(op, ty(value), v(value), bits.into()),
            Inst::VecCmp(cmp, a, b) => lanes::vec_cmp(cmp, ty(a), v(a), v(b), self.width),
            Inst::VecSelect { mask, a, b } => lanes::select(v(mask), v(a), v(b)),
            Inst::Madd(a, b) => lanes::madd(v(a), v(b)),
            Inst::MaddUbs { u, s } => lanes::madd_ubs(v(u), v(s)),
            Inst::Dot4 { acc, u, s, any } => lanes::dot4(v(acc), v(u), v(s), any)?,
            Inst::Cast { value, .. } => v(value),
            Inst::ToFloat(value) => v(value).map_i32(|x| (x as f32).to_bits() as i32),
            Inst::ToInt(value) => lanes::to_int(v(value), self.strict)?,
            Inst::Float(op, a, b) => lanes::zip_f32(v(a), v(b), self.width, |x, y| lanes::float_op(op, x, y)),
            Inst::Fused(op, a, b, c) => lanes::fused_lanes(op, [a, b, c].map(v), self.width),
            Inst::FloatUnary(op, a) => lanes::zip_f32(v(a), v(a), self.width, |x, _| lanes::float_unary(op, x)),
            Inst::FloatVecCmp(cmp, a, b) => lanes::float_vec_cmp(cmp, v(a), v(b), self.width),
            Inst::Pack(pack, a, b) => lanes::pack(pack, v(a), v(b)),
            Inst::Interleave { half, lane_bytes, a, b } => lanes::interleave(half, lane_bytes, v(a), v(b)),
            Inst::Shuffle { value, pattern } => lanes::shuffle(v(value), pattern),
            Inst::ShuffleBy { table, indices } => lanes::shuffle_by(v(table), v(indices), self.width),
            Inst::Unchunk(value) => lanes::unchunk(v(value), self.width),
            Inst::Reduce(reduction, value) => {
                return Ok(match lanes::reduce(reduction, v(value), self.width) {
                    lanes::Reduced::Int(int) => Value::Int(int),
                    lanes::Reduced::Float(float) => Value::Float(float),
                });
            }
            ref other => unreachable!("internal error: {other:?} is no vector instruction"),
        }))
    }

    fn splat(&self, ty: Ty, value: Val) -> Vector {
        let lane = match self.values[value] {
            Value::Float(float) => i64::from(float.to_bits()),
            _ => self.int(value),
        };
        let size = ty.lane_bytes();
        Vector::from_bytes(&lane.to_le_bytes()[..size].repeat(self.width / size))
    }
}

/// What an operation on scalars gives.
///
/// # Errors
/// A divisor of zero.
pub fn int_op(op: IntOp, a: i64, b: i64) -> Outcome<i64> {
    let by_zero = || "the divisor is zero".to_string();
    Ok(match op {
        IntOp::Add => a.wrapping_add(b),
        IntOp::Sub => a.wrapping_sub(b),
        IntOp::Mul => a.wrapping_mul(b),
        IntOp::DivU => (a as u64).checked_div(b as u64).ok_or_else(by_zero)? as i64,
        IntOp::RemU => (a as u64).checked_rem(b as u64).ok_or_else(by_zero)? as i64,
        IntOp::And => a & b,
        IntOp::Or => a | b,
        IntOp::Xor => a ^ b,
        IntOp::Shl => a.wrapping_shl(b as u32),
        IntOp::ShrS => a.wrapping_shr(b as u32),
        IntOp::MinS => a.min(b),
        IntOp::MaxS => a.max(b),
    })
}

fn float_to_int(value: f32) -> Outcome<i64> {
    if !(-2147483648.0..2147483648.0).contains(&value) {
        return Err(format!("{value} is outside i32"));
    }
    Ok(value as i64)
}

/// An integer in memory as I64.
pub fn extend(kind: IntMem, bytes: &[u8]) -> i64 {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let value = i64::from_le_bytes(wide);
    match kind {
        IntMem::U8 | IntMem::U16 | IntMem::I64 => value,
        IntMem::I8 => (value as i8).into(),
        IntMem::I16 => (value as i16).into(),
        IntMem::I32 => (value as i32).into(),
    }
}

fn load_widen(widen: Widen, bytes: &[u8]) -> Vector {
    let (kind, to) = match widen {
        Widen::U8ToI16 => (IntMem::U8, 2),
        Widen::I8ToI16 => (IntMem::I8, 2),
        Widen::U8ToI32 => (IntMem::U8, 4),
        Widen::I8ToI32 => (IntMem::I8, 4),
        Widen::I16ToI32 => (IntMem::I16, 4),
        Widen::U16ToI32 => (IntMem::U16, 4),
    };
    let wide: Vec<u8> =
        bytes.chunks(kind.bytes()).flat_map(|lane| extend(kind, lane).to_le_bytes().into_iter().take(to)).collect();
    Vector::from_bytes(&wide)
}
