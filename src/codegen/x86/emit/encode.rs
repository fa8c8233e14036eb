//! One machine instruction with registers in the form the encoder takes.
//!
//! How wide a register is read, and how long an immediate is, stands in the opcode: an argument is a register's number or a
//! value, and the opcode's operand kind says the rest.

use cranelift_entity::PrimaryMap;
use iced_x86::{Code, Instruction, OpCodeOperandKind, OpKind, Register};
use regalloc2::{Allocation, PReg};

use crate::codegen::x86::constants::ConstId;
use crate::codegen::x86::inst::{Arg, Condition, INT, MASK, Step};

/// Offset of each constant from the beginning of the code.
pub type Constant = PrimaryMap<ConstId, usize>;

pub struct Encoder<'a> {
    instructions: Vec<Instruction>,
    constants: &'a Constant,
    base: u64,
    vector_bytes: usize,
}

impl Encoder<'_> {
    /// For code at address `base`, with vectors of `vector_bytes`.
    pub fn new(constants: &Constant, base: u64, vector_bytes: usize) -> Encoder<'_> {
        Encoder { instructions: Vec::new(), constants, base, vector_bytes }
    }

    pub fn finish(self) -> Vec<Instruction> {
        self.instructions
    }

    /// An opcode with the registers of its operands.
    pub fn step(&mut self, step: &Step, allocs: &[Allocation]) -> Result<(), String> {
        let mut instruction = new(step.code);
        for (place, arg) in step.args.iter().enumerate() {
            let kind = step.code.op_code().op_kind(place as u32);
            let place = place as u32;
            match *arg {
                Arg::Reg(operand) => {
                    set_register(&mut instruction, place, register(kind, in_register(allocs[operand])?)?)
                }
                Arg::Tile(tile) => set_register(&mut instruction, place, Register::TMM0 + u32::from(tile.0)),
                Arg::Cl => set_register(&mut instruction, place, Register::CL),
                Arg::Imm(value) => set_immediate(&mut instruction, place, kind, value)?,
                Arg::Const(id) => {
                    let target = self.base + self.constants[id] as u64;
                    instruction.set_op_kind(place, OpKind::Memory);
                    instruction.set_memory_base(Register::RIP);
                    instruction.set_memory_displacement64(target);
                    instruction.set_memory_displ_size(8);
                }
                Arg::Mem { base, index, disp } => {
                    let base = self.int(allocs[base])?;
                    set_memory(&mut instruction, place, base, disp.into());
                    if let Some((index, scale)) = index {
                        instruction.set_memory_index(self.int(allocs[index])?);
                        instruction.set_memory_index_scale(scale);
                    }
                }
            }
        }
        if let Some(mask) = step.mask {
            instruction.set_op_mask(Register::K0 + in_register(allocs[mask])?.hw_enc() as u32);
            instruction.set_zeroing_masking(instruction.op0_kind() == OpKind::Register);
        }
        self.instructions.push(instruction);
        Ok(())
    }

    /// Whether `step` tests what the last instruction, an addition that does not overflow, has just computed: a counter.
    pub fn has_flags_of(&self, step: &Step, allocs: &[Allocation]) -> Result<bool, String> {
        let (Code::Test_rm64_r64, Some(&Arg::Reg(tested)), Some(last)) =
            (step.code, step.args.first(), self.instructions.last())
        else {
            return Ok(false);
        };
        let counts = matches!(last.code(), Code::Add_rm64_imm8 | Code::Add_rm64_imm32);
        Ok(counts && last.op0_register() == self.int(allocs[tested])?)
    }

    /// An opcode with registers only.
    pub fn register(&mut self, code: Code, registers: &[Register]) {
        let mut instruction = new(code);
        for (place, &register) in registers.iter().enumerate() {
            set_register(&mut instruction, place as u32, register);
        }
        self.instructions.push(instruction);
    }

    /// An opcode with a register and an immediate of 32 bits.
    pub fn with_imm(&mut self, code: Code, register: Register, value: i64) {
        let mut instruction = new(code);
        set_register(&mut instruction, 0, register);
        instruction.set_op_kind(1, OpKind::Immediate32to64);
        instruction.set_immediate32to64(value);
        self.instructions.push(instruction);
    }

    /// `code register, [base + disp]`
    pub fn at(&mut self, code: Code, register: Register, base: Register, disp: i64) {
        let mut instruction = new(code);
        set_register(&mut instruction, 0, register);
        set_memory(&mut instruction, 1, base, disp);
        self.instructions.push(instruction);
    }

    /// A move of the register allocator.
    pub fn copy(&mut self, from: Allocation, to: Allocation) -> Result<(), String> {
        if from == to {
            return Ok(());
        }
        let register = from.as_reg().or(to.as_reg()).ok_or("a move from memory to memory")?;
        let wide = self.vector_bytes == 64;
        let [load, store] = match (register.class(), wide) {
            (INT, _) => [Code::Mov_r64_rm64, Code::Mov_rm64_r64],
            (MASK, _) => [Code::VEX_Kmovq_kr_km64, Code::VEX_Kmovq_m64_kr],
            (_, false) => [Code::VEX_Vmovdqa_ymm_ymmm256, Code::VEX_Vmovdqa_ymmm256_ymm],
            (_, true) => [Code::EVEX_Vmovdqa32_zmm_k1z_zmmm512, Code::EVEX_Vmovdqa32_zmmm512_k1z_zmm],
        };
        let code = if to.is_reg() { load } else { store };
        let mut instruction = new(code);
        for (place, end) in [to, from].into_iter().enumerate() {
            match (end.as_reg(), end.as_stack()) {
                (Some(end), _) => {
                    let kind = code.op_code().op_kind(place as u32);
                    set_register(&mut instruction, place as u32, self::register(kind, end)?);
                }
                (_, Some(slot)) => set_memory(&mut instruction, place as u32, Register::RSP, 8 * slot.index() as i64),
                _ => return Err("a move from nowhere".into()),
            }
        }
        self.instructions.push(instruction);
        Ok(())
    }

    pub fn int(&self, alloc: Allocation) -> Result<Register, String> {
        in_register(alloc).map(|register| int64(register.hw_enc()))
    }

    pub fn int32(&self, alloc: Allocation) -> Result<Register, String> {
        in_register(alloc).map(|register| Register::EAX + register.hw_enc() as u32)
    }

    pub fn int8(&self, alloc: Allocation) -> Result<Register, String> {
        in_register(alloc).map(|register| int8(register.hw_enc()))
    }
}

fn new(code: Code) -> Instruction {
    let mut instruction = Instruction::default();
    instruction.set_code(code);
    instruction
}

fn in_register(alloc: Allocation) -> Result<PReg, String> {
    alloc.as_reg().ok_or_else(|| format!("{alloc} is no register"))
}

pub fn int64(number: usize) -> Register {
    Register::RAX + number as u32
}

/// The first four are al, cl, dl, bl; spl and those behind it need a prefix, which the encoder adds.
fn int8(number: usize) -> Register {
    match number {
        0..4 => Register::AL + number as u32,
        _ => Register::SPL + (number - 4) as u32,
    }
}

/// A register as wide as an operand of this kind.
fn register(kind: OpCodeOperandKind, register: PReg) -> Result<Register, String> {
    use OpCodeOperandKind as Kind;
    let number = register.hw_enc();
    let first = match kind {
        Kind::r8_reg | Kind::r8_or_mem => return Ok(int8(number)),
        Kind::r16_reg | Kind::r16_or_mem => Register::AX,
        Kind::r32_reg | Kind::r32_rm | Kind::r32_or_mem | Kind::r32_opcode => Register::EAX,
        Kind::r64_reg | Kind::r64_rm | Kind::r64_or_mem | Kind::r64_opcode => Register::RAX,
        Kind::xmm_reg | Kind::xmm_rm | Kind::xmm_vvvv | Kind::xmm_or_mem | Kind::xmm_is4 => Register::XMM0,
        Kind::ymm_reg | Kind::ymm_rm | Kind::ymm_vvvv | Kind::ymm_or_mem | Kind::ymm_is4 => Register::YMM0,
        Kind::zmm_reg | Kind::zmm_rm | Kind::zmm_vvvv | Kind::zmm_or_mem => Register::ZMM0,
        Kind::k_reg | Kind::k_rm | Kind::k_vvvv | Kind::k_or_mem => Register::K0,
        other => return Err(format!("a register as operand of kind {other:?}")),
    };
    Ok(first + number as u32)
}

fn set_register(instruction: &mut Instruction, place: u32, register: Register) {
    instruction.set_op_kind(place, OpKind::Register);
    instruction.set_op_register(place, register);
}

fn set_memory(instruction: &mut Instruction, place: u32, base: Register, disp: i64) {
    instruction.set_op_kind(place, OpKind::Memory);
    instruction.set_memory_base(base);
    instruction.set_memory_index_scale(1);
    instruction.set_memory_displacement64(disp as u64);
    instruction.set_memory_displ_size(u32::from(disp != 0));
}

fn set_immediate(instruction: &mut Instruction, place: u32, kind: OpCodeOperandKind, value: i64) -> Result<(), String> {
    use OpCodeOperandKind as Kind;
    let op_kind = match kind {
        Kind::imm8 => OpKind::Immediate8,
        Kind::imm8sex64 => OpKind::Immediate8to64,
        Kind::imm32 => OpKind::Immediate32,
        Kind::imm32sex64 => OpKind::Immediate32to64,
        Kind::imm64 => OpKind::Immediate64,
        other => return Err(format!("an immediate as operand of kind {other:?}")),
    };
    instruction.set_op_kind(place, op_kind);
    match op_kind {
        OpKind::Immediate8 => instruction.set_immediate8(value as u8),
        OpKind::Immediate8to64 => instruction.set_immediate8to64(value),
        OpKind::Immediate32 => instruction.set_immediate32(value as u32),
        OpKind::Immediate32to64 => instruction.set_immediate32to64(value),
        _ => instruction.set_immediate64(value as u64),
    }
    Ok(())
}

/// A jump to the instruction whose `ip` is `target`.
pub fn jump(code: Code, target: u64) -> Instruction {
    let mut instruction = new(code);
    instruction.set_op_kind(0, OpKind::NearBranch64);
    instruction.set_near_branch64(target);
    instruction
}

pub fn jump_if(condition: Condition) -> Code {
    match condition {
        Condition::Equal => Code::Je_rel32_64,
        Condition::NotEqual => Code::Jne_rel32_64,
        Condition::Less => Code::Jl_rel32_64,
        Condition::LessEqual => Code::Jle_rel32_64,
        Condition::Greater => Code::Jg_rel32_64,
        Condition::GreaterEqual => Code::Jge_rel32_64,
    }
}

pub fn set(condition: Condition) -> Code {
    match condition {
        Condition::Equal => Code::Sete_rm8,
        Condition::NotEqual => Code::Setne_rm8,
        Condition::Less => Code::Setl_rm8,
        Condition::LessEqual => Code::Setle_rm8,
        Condition::Greater => Code::Setg_rm8,
        Condition::GreaterEqual => Code::Setge_rm8,
    }
}

pub fn conditional_move(condition: Condition) -> Code {
    match condition {
        Condition::Equal => Code::Cmove_r64_rm64,
        Condition::NotEqual => Code::Cmovne_r64_rm64,
        Condition::Less => Code::Cmovl_r64_rm64,
        Condition::LessEqual => Code::Cmovle_r64_rm64,
        Condition::Greater => Code::Cmovg_r64_rm64,
        Condition::GreaterEqual => Code::Cmovge_r64_rm64,
    }
}
