//! Kernels as text, for dumps and for the messages of the interpreter and the verifier. Nothing reads it back.
//!
//! ```text
//! kernel copy(v0: ptr, v1: ptr, v2: i64) width 128 {
//!   v3 = int 0
//!   for v4 in v3..v2 step 16 {
//!     v5 = ptr_add v0, v4
//!     v6 = load.v8 const [v5+0]
//!     v7 = ptr_add v1, v4
//!     store [v7+0], v6
//!   }
//! }
//! ```

use std::fmt::{self, Display, Formatter, Write};

use super::ir::{Addr, Block, Cache, Function, If, Inst, IntMem, Loop, Mem, Span, Ty, Val};
use super::tiles::{TileInst, TileReg, TileShapes};

impl Display for Ty {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.write_str(match self {
            Ty::Ptr => "ptr",
            Ty::I64 => "i64",
            Ty::F32 => "f32",
            Ty::V8 => "v8",
            Ty::V16 => "v16",
            Ty::V32 => "v32",
            Ty::VF32 => "vf32",
        })
    }
}

impl Display for Mem {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.write_str(match self {
            Mem::Const => "const",
            Mem::Mutable => "mutable",
        })
    }
}

impl Display for Addr {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "[{}{:+}]", self.base, self.offset)
    }
}

impl Display for Function {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let params: Vec<String> = self.params.iter().map(|&p| format!("{p}: {}", self.values[p])).collect();
        writeln!(f, "kernel {}({}) width {} {{", self.name, params.join(", "), self.width.bytes() * 8)?;
        let mut text = String::new();
        if let Some(shapes) = &self.tiles {
            writeln!(text, "  tiles {}", tile_shapes(shapes))?;
        }
        block(&mut text, &self.body, 1)?;
        f.write_str(&text)?;
        writeln!(f, "}}")
    }
}

fn block(out: &mut String, block: &Block, depth: usize) -> fmt::Result {
    for (results, inst) in &block.insts {
        indent(out, depth)?;
        match inst {
            Inst::Loop(l) => for_loop(out, results, l, depth)?,
            Inst::If(i) => branch(out, results, i, depth)?,
            _ => writeln!(out, "{}", Line(results, inst))?,
        }
    }
    Ok(())
}

fn indent(out: &mut String, depth: usize) -> fmt::Result {
    write!(out, "{:1$}", "", depth * 2)
}

fn for_loop(out: &mut String, results: &[Val], l: &Loop, depth: usize) -> fmt::Result {
    writeln!(out, "{} {{", Line(results, &Inst::Loop(Box::new(Loop { body: Block::default(), ..l.clone() }))))?;
    block(out, &l.body, depth + 1)?;
    if !l.next.is_empty() {
        indent(out, depth + 1)?;
        writeln!(out, "next {}", list(&l.next))?;
    }
    indent(out, depth)?;
    writeln!(out, "}}")
}

fn branch(out: &mut String, results: &[Val], i: &If, depth: usize) -> fmt::Result {
    writeln!(out, "{}if {} {{", definitions(results), i.condition)?;
    arm(out, &i.then_block, &i.then_values, depth)?;
    if !i.else_block.insts.is_empty() || !i.else_values.is_empty() {
        indent(out, depth)?;
        writeln!(out, "}} else {{")?;
        arm(out, &i.else_block, &i.else_values, depth)?;
    }
    indent(out, depth)?;
    writeln!(out, "}}")
}

fn arm(out: &mut String, body: &Block, values: &[Val], depth: usize) -> fmt::Result {
    block(out, body, depth + 1)?;
    if !values.is_empty() {
        indent(out, depth + 1)?;
        writeln!(out, "give {}", list(values))?;
    }
    Ok(())
}

fn list(values: &[Val]) -> String {
    values.iter().map(Val::to_string).collect::<Vec<_>>().join(", ")
}

fn definitions(results: &[Val]) -> String {
    if results.is_empty() { String::new() } else { format!("{} = ", list(results)) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn int_mem(kind: IntMem) -> String {
    format!("{kind:?}").to_lowercase()
}

/// One instruction with its results, without the blocks inside.
pub struct Line<'a>(pub &'a [Val], pub &'a Inst);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let Line(results, inst) = *self;
        write!(f, "{}{}", definitions(results), head(inst))
    }
}

/// The name of a one-word variant, as instructions are spelled: `RightSigned` is `right_signed`.
fn snake(variant: impl fmt::Debug) -> String {
    let mut name = String::new();
    for (i, c) in format!("{variant:?}").char_indices() {
        if c.is_ascii_uppercase() && i > 0 {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

fn head(inst: &Inst) -> String {
    match inst {
        Inst::ConstI64(value) => format!("int {value}"),
        Inst::ConstF32(value) => format!("float {value:?}"),
        Inst::Int(op, a, b) => format!("int_{} {a}, {b}", snake(op)),
        Inst::IntCmp(cmp, a, b) => format!("int_cmp.{} {a}, {b}", snake(cmp)),
        Inst::Choose(c, a, b) => format!("choose {c}, {a}, {b}"),
        Inst::PtrAdd(base, bytes) => format!("ptr_add {base}, {bytes}"),
        Inst::IntToFloat(v) => format!("int_to_float {v}"),
        Inst::FloatToInt(v) => format!("float_to_int {v}"),
        Inst::FloatBits(v) => format!("float_bits {v}"),
        Inst::FloatFromBits(v) => format!("float_from_bits {v}"),
        Inst::FloatCmp(cmp, a, b) => format!("float_cmp.{} {a}, {b}", snake(cmp)),
        Inst::VecConst { ty, chunk } => format!("vec_const.{ty} 0x{}", hex(chunk)),
        Inst::Splat { ty, value } => format!("splat.{ty} {value}"),
        Inst::Cast { ty, value } => format!("cast.{ty} {value}"),
        Inst::Vec(op, a, b) => format!("vec_{} {a}, {b}", snake(op)),
        Inst::Shift(op, value, bits) => format!("shift_{} {value}, {bits}", snake(op)),
        Inst::VecCmp(cmp, a, b) => format!("vec_cmp.{} {a}, {b}", snake(cmp)),
        Inst::VecSelect { mask, a, b } => format!("vec_select {mask}, {a}, {b}"),
        Inst::Madd(a, b) => format!("madd {a}, {b}"),
        Inst::MaddUbs { u, s } => format!("madd_ubs {u}, {s}"),
        Inst::Dot4 { acc, u, s, any } => {
            format!("{} {acc}, {u}, {s}", if *any { "dot4_any" } else { "dot4" })
        }
        Inst::ToFloat(v) => format!("to_float {v}"),
        Inst::ToInt(v) => format!("to_int {v}"),
        Inst::Float(op, a, b) => format!("float_{} {a}, {b}", snake(op)),
        Inst::Fused(op, a, b, c) => format!("fused_{} {a}, {b}, {c}", snake(op)),
        Inst::FloatUnary(op, v) => format!("float_{} {v}", snake(op)),
        Inst::FloatVecCmp(cmp, a, b) => format!("float_vec_cmp.{} {a}, {b}", snake(cmp)),
        Inst::Pack(pack, a, b) => format!("pack.{pack:?} {a}, {b}"),
        Inst::Interleave { half, lane_bytes, a, b } => format!("interleave_{}.{lane_bytes} {a}, {b}", snake(half)),
        Inst::Shuffle { value, pattern } => format!("shuffle {value}, 0x{}", hex(pattern)),
        Inst::ShuffleBy { table, indices } => format!("shuffle_by {table}, {indices}"),
        Inst::Unchunk(v) => format!("unchunk {v}"),
        Inst::Reduce(reduction, v) => format!("reduce.{reduction:?} {v}"),
        Inst::Prefetch(Cache::L1, addr) => format!("prefetch.l1 {addr}"),
        Inst::Prefetch(Cache::L2, addr) => format!("prefetch.l2 {addr}"),
        Inst::Scratch => "scratch".into(),
        Inst::Tile(inst) => tile(inst),
        Inst::Loop(l) => loop_head(l),
        Inst::If(i) => format!("if {}", i.condition),
        _ => memory(inst),
    }
}

fn loop_head(l: &Loop) -> String {
    let carried: Vec<String> = l.carried.iter().zip(&l.init).map(|(c, i)| format!("{c} = {i}")).collect();
    let carry = if carried.is_empty() { String::new() } else { format!(" carry {}", carried.join(", ")) };
    format!("for {} in {}..{} step {}{carry}", l.index, l.lo, l.hi, l.step)
}

fn memory(inst: &Inst) -> String {
    match inst {
        Inst::LoadInt { addr, kind, mem } => format!("load_int.{} {mem} {addr}", int_mem(*kind)),
        Inst::StoreInt { addr, kind, value } => format!("store_int.{} {addr}, {value}", int_mem(*kind)),
        Inst::LoadF32 { addr, mem } => format!("load_f32 {mem} {addr}"),
        Inst::StoreF32 { addr, value } => format!("store_f32 {addr}, {value}"),
        Inst::Load { ty, addr, mem } => format!("load.{ty} {mem} {addr}"),
        Inst::LoadPartial { ty, addr, bytes, mem } => format!("load_partial.{ty} {mem} {addr}, {bytes} bytes"),
        Inst::LoadChunks { ty, addr, stride, mem } => format!("load_chunks.{ty} {mem} {addr}, stride {stride}"),
        Inst::LoadPartialChunks { ty, addr, span, mem } => {
            format!("load_partial_chunks.{ty} {mem} {addr}, {}", print_span(*span))
        }
        Inst::LoadSplat32 { ty, addr, mem } => format!("load_splat32.{ty} {mem} {addr}"),
        Inst::LoadWiden { widen, addr, mem } => format!("load_widen.{widen:?} {mem} {addr}"),
        Inst::Store { addr, value } => format!("store {addr}, {value}"),
        Inst::StorePartial { addr, value, bytes } => format!("store_partial {addr}, {value}, {bytes} bytes"),
        Inst::StoreChunks { addr, stride, value } => format!("store_chunks {addr}, {value}, stride {stride}"),
        Inst::StorePartialChunks { addr, span, value } => {
            format!("store_partial_chunks {addr}, {value}, {}", print_span(*span))
        }
        other => unreachable!("internal error: {other:?} touches no memory"),
    }
}

impl Display for TileReg {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

fn tile_shapes(shapes: &TileShapes) -> String {
    let shapes = shapes.iter().enumerate().map(|(i, shape)| format!("t{i}: {}x{}", shape.rows, shape.bytes));
    shapes.collect::<Vec<_>>().join(", ")
}

fn tile(inst: &TileInst) -> String {
    let sign = |signed: bool| if signed { "i8" } else { "u8" };
    match inst {
        TileInst::Zero(tile) => format!("tile_zero {tile}"),
        TileInst::Load { tile, addr, stride, mem } => format!("tile_load {tile}, {mem} {addr}, stride {stride}"),
        TileInst::Store { tile, addr, stride } => format!("tile_store {addr}, {tile}, stride {stride}"),
        TileInst::Dot { acc, a, b, signs } => {
            format!("tile_dot.{}_{} {acc}, {a}, {b}", sign(signs.a), sign(signs.b))
        }
    }
}

fn print_span(span: Span) -> String {
    format!("stride {}, heads of {}, {} bytes", span.stride, span.head, span.limit)
}
