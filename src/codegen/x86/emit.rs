//! From machine instructions over virtual registers to bytes: register allocation, frame, encoding.
//!
//! Blocks keep their order. A block that only jumps and got no moves is no code: branches go to where it jumps. Flags never
//! live between instructions, so the moves of the allocator may stand anywhere.
//!
//! Frame: `rbp` is the frame pointer, so that profilers and debuggers find the callers without unwind information. Spill slots
//! are at the aligned `rsp`, then the kernel's own memory, below the saved registers.

mod encode;

use iced_x86::{BlockEncoder, BlockEncoderOptions, Code, Instruction, InstructionBlock, Register};
use regalloc2::{Algorithm, Allocation, Block, Edit, InstOrEdit, MachineEnv, Output, PReg, PRegSet, RegallocOptions};

use super::cfg::Cfg;
use super::constants::Constants;
use super::inst::{Arg, Condition, INT, Kind, Step, VECTOR};
use crate::codegen::MachineCode;
use crate::simd::ir::Width;
use encode::{Constant, Encoder};

/// Where the code is while it is encoded: far from the numbers that stand for instructions in branches.
const BASE: u64 = 1 << 32;

/// Of a kernel's own memory.
const SCRATCH_ALIGN: usize = 64;

/// Registers a kernel must leave as they were, among those it may use: rbx, r12 to r15.
const CALLEE_SAVED: [usize; 5] = [3, 12, 13, 14, 15];

pub fn emit(cfg: &Cfg, constants: &Constants, width: Width) -> Result<MachineCode, String> {
    let options =
        RegallocOptions { verbose_log: false, validate_ssa: cfg!(debug_assertions), algorithm: Algorithm::Ion };
    let output = regalloc2::run(cfg, &machine_env(width), &options).map_err(|error| format!("{error:?}"))?;
    let frame = Frame::new(cfg, &output, width);
    // The code does not depend on where the constants are, so the first encoding tells how long it is.
    let draft = encode(cfg, &output, &frame, &Constants::place(constants, 0).0)?;
    let (offsets, pool) = constants.place(draft.len());
    let mut bytes = encode(cfg, &output, &frame, &offsets)?;
    if bytes.len() != draft.len() {
        return Err("the code changed its size with the place of its constants".into());
    }
    bytes.extend(pool);
    Ok(MachineCode { bytes, align: constants.align().max(32) as u64, stack_bytes: frame.stack_bytes() })
}

/// All registers but rsp and rbp; those a kernel must save come last. AVX-512 has 32 vector registers and masks.
fn machine_env(width: Width) -> MachineEnv {
    let set = |numbers: &mut dyn Iterator<Item = usize>, class| {
        numbers.fold(PRegSet::empty(), |set, number| set.with(PReg::new(number, class)))
    };
    let wide = width == Width::W512;
    let caller_saved = set(&mut [0, 1, 2, 6, 7, 8, 9, 10, 11].into_iter(), INT);
    let vectors = set(&mut (0..if wide { 32 } else { 16 }), VECTOR);
    let masks = set(&mut (1..if wide { 8 } else { 1 }), super::inst::MASK);
    let callee_saved = set(&mut CALLEE_SAVED.into_iter(), INT);
    MachineEnv {
        preferred_regs_by_class: [caller_saved, vectors, masks],
        non_preferred_regs_by_class: [callee_saved, PRegSet::empty(), PRegSet::empty()],
        scratch_by_class: [None; 3],
        fixed_stack_slots: Vec::new(),
    }
}

/// What surrounds the code of a kernel.
struct Frame {
    saved: Vec<Register>,
    /// Of spill slots and the kernel's own memory. 0: none.
    bytes: usize,
    /// Where the kernel's own memory is, from `rsp`.
    scratch_at: usize,
    align: usize,
    width: Width,
}

impl Frame {
    fn new(cfg: &Cfg, output: &Output, width: Width) -> Frame {
        let moved = output.edits.iter().flat_map(|(_, Edit::Move { from, to })| [*from, *to]);
        let used: Vec<PReg> = output.allocs.iter().copied().chain(moved).filter_map(Allocation::as_reg).collect();
        let saved = CALLEE_SAVED.iter().filter(|&&number| used.contains(&PReg::new(number, INT)));
        let saved = saved.map(|&number| encode::int64(number)).collect();
        let align = if cfg.scratch_bytes > 0 { SCRATCH_ALIGN } else { width.bytes() };
        let scratch_at = (output.num_spillslots * 8).next_multiple_of(align);
        let bytes = scratch_at + cfg.scratch_bytes.next_multiple_of(align);
        Frame { saved, bytes, scratch_at, align, width }
    }

    /// Return address, frame pointer, saved registers, spill slots, own memory, and what aligning them skips at most.
    fn stack_bytes(&self) -> usize {
        let pushed = 2 + self.saved.len();
        let aligning = if self.bytes > 0 { self.align - 8 } else { 0 };
        8 * pushed + self.bytes + aligning
    }

    fn enter(&self, code: &mut Encoder<'_>) {
        code.register(Code::Push_r64, &[Register::RBP]);
        code.register(Code::Mov_r64_rm64, &[Register::RBP, Register::RSP]);
        for &register in &self.saved {
            code.register(Code::Push_r64, &[register]);
        }
        if self.bytes > 0 {
            code.with_imm(Code::Sub_rm64_imm32, Register::RSP, self.bytes as i64);
            code.with_imm(Code::And_rm64_imm32, Register::RSP, -(self.align as i64));
        }
    }

    fn leave(&self, code: &mut Encoder<'_>) {
        if self.bytes > 0 {
            code.at(Code::Lea_r64_m, Register::RSP, Register::RBP, -8 * self.saved.len() as i64);
        }
        for &register in self.saved.iter().rev() {
            code.register(Code::Pop_r64, &[register]);
        }
        code.register(Code::Pop_r64, &[Register::RBP]);
        code.register(Code::VEX_Vzeroupper, &[]);
        code.register(Code::Retnq, &[]);
    }
}

/// How a block goes on behind its instructions.
enum Ending {
    Jump,
    Branch(Condition),
    Return,
}

struct BlockCode {
    instructions: Vec<Instruction>,
    ending: Ending,
}

fn encode(cfg: &Cfg, output: &Output, frame: &Frame, offsets: &Constant) -> Result<Vec<u8>, String> {
    let mut blocks: Vec<BlockCode> = Vec::new();
    for block in 0..cfg.block_count() {
        blocks.push(block_code(cfg, output, block, frame, offsets)?);
    }
    let instructions = place(cfg, blocks);
    let block = InstructionBlock::new(&instructions, BASE);
    let result = BlockEncoder::encode(64, block, BlockEncoderOptions::NONE).map_err(|error| error.to_string())?;
    Ok(result.code_buffer)
}

fn block_code(
    cfg: &Cfg,
    output: &Output,
    block: usize,
    frame: &Frame,
    offsets: &Constant,
) -> Result<BlockCode, String> {
    let mut code = Encoder::new(offsets, BASE, frame.width.bytes());
    let mut ending = Ending::Return;
    if block == 0 {
        frame.enter(&mut code);
    }
    for item in output.block_insts_and_edits(cfg, Block::new(block)) {
        match item {
            InstOrEdit::Edit(Edit::Move { from, to }) => code.copy(*from, *to)?,
            InstOrEdit::Inst(inst) => {
                let allocs = output.inst_allocs(inst);
                match &cfg.insts[inst.index()].kind {
                    Kind::Jump => ending = Ending::Jump,
                    Kind::Branch(step, condition) => {
                        if !code.has_flags_of(step, allocs)? {
                            code.step(step, allocs)?;
                        }
                        ending = Ending::Branch(*condition);
                    }
                    Kind::Return => frame.leave(&mut code),
                    kind => inst_code(&mut code, kind, allocs, frame)?,
                }
            }
        }
    }
    Ok(BlockCode { instructions: code.finish(), ending })
}

fn inst_code(code: &mut Encoder<'_>, kind: &Kind, allocs: &[Allocation], frame: &Frame) -> Result<(), String> {
    match kind {
        Kind::Args => Ok(()),
        Kind::StackArg(index) => {
            /// The saved frame pointer and the return address.
            const ABOVE: i64 = 16;
            let register = code.int(allocs[0])?;
            code.at(Code::Mov_r64_rm64, register, Register::RBP, ABOVE + 8 * *index as i64);
            Ok(())
        }
        Kind::Scratch => {
            let register = code.int(allocs[0])?;
            code.at(Code::Lea_r64_m, register, Register::RSP, frame.scratch_at as i64);
            Ok(())
        }
        Kind::One(step) => code.step(step, allocs),
        Kind::Zero(opcode) => {
            let args = vec![Arg::Reg(0); 3];
            code.step(&Step { code: *opcode, args, mask: None }, allocs)
        }
        Kind::Divide => {
            code.register(Code::Xor_r32_rm32, &[Register::EDX, Register::EDX]);
            let divisor = code.int(allocs[2])?;
            code.register(Code::Div_rm64, &[divisor]);
            Ok(())
        }
        Kind::SetIf(step, condition) => {
            code.step(step, allocs)?;
            let result = allocs[allocs.len() - 1];
            let low = code.int8(result)?;
            code.register(encode::set(*condition), &[low]);
            let whole = code.int32(result)?;
            code.register(Code::Movzx_r32_rm8, &[whole, low]);
            Ok(())
        }
        Kind::MoveIf(step, condition) => {
            code.step(step, allocs)?;
            let registers = [code.int(allocs[0])?, code.int(allocs[2])?];
            code.register(encode::conditional_move(*condition), &registers);
            Ok(())
        }
        Kind::Jump | Kind::Branch(..) | Kind::Return => unreachable!("internal error: the end of a block"),
    }
}

/// All instructions in order, with jumps where the next block is not the one meant. A branch names its target by the number of
/// an instruction, which is the `ip` of that instruction here.
fn place(cfg: &Cfg, blocks: Vec<BlockCode>) -> Vec<Instruction> {
    let skipped: Vec<bool> =
        blocks.iter().map(|code| code.instructions.is_empty() && matches!(code.ending, Ending::Jump)).collect();
    // Every loop has a branch, so a chain of jumps ends.
    let target = |mut block: usize| {
        while skipped[block] {
            block = cfg.succs(block)[0];
        }
        block
    };
    let placed: Vec<usize> = (0..blocks.len()).filter(|&block| !skipped[block]).collect();
    let mut next_of = vec![usize::MAX; blocks.len()];
    for pair in placed.windows(2) {
        next_of[pair[0]] = pair[1];
    }
    let mut starts = vec![0; blocks.len()];
    let mut instructions: Vec<Instruction> = Vec::new();
    let mut jumps: Vec<(usize, Code, usize)> = Vec::new();
    for (block, code) in blocks.into_iter().enumerate().filter(|(block, _)| !skipped[*block]) {
        starts[block] = instructions.len();
        instructions.extend(code.instructions);
        let targets: Vec<usize> = cfg.succs(block).iter().map(|&succ| target(succ)).collect();
        for (opcode, to) in ending_jumps(&code.ending, &targets, next_of[block]) {
            jumps.push((instructions.len(), opcode, to));
            instructions.push(Instruction::default());
        }
    }
    for (at, opcode, to) in jumps {
        instructions[at] = encode::jump(opcode, 1 + starts[to] as u64);
    }
    for (number, instruction) in instructions.iter_mut().enumerate() {
        instruction.set_ip(1 + number as u64);
    }
    instructions
}

/// The jumps at the end of a block in front of block `next`: opcode and target.
fn ending_jumps(ending: &Ending, targets: &[usize], next: usize) -> Vec<(Code, usize)> {
    match (ending, targets) {
        (Ending::Jump, &[to]) if to == next => vec![],
        (Ending::Jump, &[to]) => vec![(Code::Jmp_rel32_64, to)],
        (Ending::Branch(condition), &[then, otherwise]) if otherwise == next => {
            vec![(encode::jump_if(*condition), then)]
        }
        (Ending::Branch(condition), &[then, otherwise]) if then == next => {
            vec![(encode::jump_if(condition.inverted()), otherwise)]
        }
        (Ending::Branch(condition), &[then, otherwise]) => {
            vec![(encode::jump_if(*condition), then), (Code::Jmp_rel32_64, otherwise)]
        }
        _ => vec![],
    }
}
