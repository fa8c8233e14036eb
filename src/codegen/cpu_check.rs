//! The check for CPU features that an x86-64 object carries: `fn() -> i32`, 0 or `status::CPU_UNSUPPORTED`.
//!
//! Cranelift has no `cpuid`, so the few instructions are encoded here. The function compares words of CPUID with the bits the
//! code needs, and XCR0 with the registers the operating system must save; it writes nothing but its registers. Linux gives
//! the registers of AMX to processes that ask for them, so where they are needed the function asks.

use octet_runtime::abi::{cpu, status};

/// A word of CPUID that must have all bits of `mask`.
#[derive(Clone, Copy, Debug)]
struct Need {
    leaf: u32,
    subleaf: u32,
    register: Register,
    mask: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    Eax,
    Ebx,
    Ecx,
    Edx,
}

/// Where CPUID shows each feature (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix D).
const FEATURES: &[(u64, u32, u32, Register, u32)] = &[
    (cpu::SSSE3, 1, 0, Register::Ecx, 1 << 9),
    (cpu::SSE41, 1, 0, Register::Ecx, 1 << 19),
    (cpu::SSE42, 1, 0, Register::Ecx, 1 << 20),
    (cpu::POPCNT, 1, 0, Register::Ecx, 1 << 23),
    (cpu::AVX, 1, 0, Register::Ecx, 1 << 28 | OSXSAVE),
    (cpu::FMA, 1, 0, Register::Ecx, 1 << 12),
    (cpu::BMI1, 7, 0, Register::Ebx, 1 << 3),
    (cpu::AVX2, 7, 0, Register::Ebx, 1 << 5),
    (cpu::BMI2, 7, 0, Register::Ebx, 1 << 8),
    (cpu::AVX512, 7, 0, Register::Ebx, 1 << 16 | 1 << 17 | 1 << 30 | 1 << 31),
    (cpu::AVX512_VNNI, 7, 0, Register::Ecx, 1 << 11),
    (cpu::AMX_TILE, 7, 0, Register::Edx, 1 << 24),
    (cpu::AMX_INT8, 7, 0, Register::Edx, 1 << 25),
    (cpu::AVX_VNNI, 7, 1, Register::Eax, 1 << 4),
    (cpu::LZCNT, 0x8000_0001, 0, Register::Ecx, 1 << 5),
];

const OSXSAVE: u32 = 1 << 27;
/// XCR0: SSE and AVX state.
const AVX_STATE: u32 = 0b110;
/// XCR0: opmasks, upper halves, and the upper sixteen registers.
const AVX512_STATE: u32 = 0b1110_0000;
/// XCR0: configuration and data of tiles.
const AMX_STATE: u32 = 1 << 17 | 1 << 18;

/// `arch_prctl` of Linux on x86-64 (`syscall_64.tbl`), its request for the right to use a register state, and the number of
/// that state (`asm/prctl.h`, Documentation/arch/x86/xstate.rst).
const ARCH_PRCTL: u32 = 158;
const ARCH_REQ_XCOMP_PERM: u32 = 0x1023;
const TILE_DATA: u32 = 18;

/// Stack the check takes: the return address, a register.
pub const STACK_BYTES: usize = 16;

/// Machine code of the check for these bits of `abi::cpu`.
pub fn x86_64(features: u64) -> Vec<u8> {
    let mut code = Assembler::default();
    code.bytes.push(0x53); // push rbx
    let mut checked = (u32::MAX, 0);
    for need in needs(features) {
        if need.leaf != checked.0 && need.leaf != 1 {
            code.need_leaf(need.leaf);
        }
        checked = (need.leaf, need.subleaf);
        code.need_bits(need);
    }
    if features & cpu::AVX != 0 {
        let states = [(cpu::AVX, AVX_STATE), (cpu::AVX512, AVX512_STATE), (cpu::AMX_TILE, AMX_STATE)];
        let needed = states.iter().filter(|(feature, _)| features & feature != 0);
        let state = needed.fold(0, |all, (_, state)| all | state);
        code.bytes.extend([0x31, 0xc9, 0x0f, 0x01, 0xd0]); // xor ecx, ecx; xgetbv
        code.need_mask(Register::Eax, state);
    }
    if features & cpu::AMX_TILE != 0 {
        code.ask_for_tiles();
    }
    code.finish()
}

/// One entry per word, in the order of the table: AVX, whose word holds OSXSAVE, comes before XCR0 is read.
fn needs(features: u64) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::new();
    for &(feature, leaf, subleaf, register, mask) in FEATURES {
        if features & feature == 0 {
            continue;
        }
        match needs.iter_mut().find(|n| (n.leaf, n.subleaf, n.register) == (leaf, subleaf, register)) {
            Some(need) => need.mask |= mask,
            None => needs.push(Need { leaf, subleaf, register, mask }),
        }
    }
    needs
}

#[derive(Default)]
struct Assembler {
    bytes: Vec<u8>,
    /// Ends of 32-bit displacements of jumps to the failure.
    failures: Vec<usize>,
}

impl Assembler {
    fn imm(&mut self, opcode: &[u8], value: u32) {
        self.bytes.extend_from_slice(opcode);
        self.bytes.extend(value.to_le_bytes());
    }

    fn cpuid(&mut self, leaf: u32, subleaf: u32) {
        self.imm(&[0xb8], leaf); // mov eax, leaf
        self.imm(&[0xb9], subleaf); // mov ecx, subleaf
        self.bytes.extend([0x0f, 0xa2]); // cpuid
    }

    /// The CPU knows the leaf: the greatest of its range is at least that.
    fn need_leaf(&mut self, leaf: u32) {
        self.cpuid(leaf & 0x8000_0000, 0);
        self.imm(&[0x3d], leaf); // cmp eax, leaf
        self.fail_if(0x82); // jb
    }

    fn need_bits(&mut self, need: Need) {
        self.cpuid(need.leaf, need.subleaf);
        self.need_mask(need.register, need.mask);
    }

    /// The system call leaves 0 in eax where the process has the right already or gets it now.
    fn ask_for_tiles(&mut self) {
        self.imm(&[0xbf], ARCH_REQ_XCOMP_PERM); // mov edi, request
        self.imm(&[0xbe], TILE_DATA); // mov esi, state
        self.imm(&[0xb8], ARCH_PRCTL); // mov eax, call
        self.bytes.extend([0x0f, 0x05, 0x85, 0xc0]); // syscall; test eax, eax
        self.fail_if(0x85); // jne
    }

    fn need_mask(&mut self, register: Register, mask: u32) {
        let (and, cmp): (&[u8], &[u8]) = match register {
            Register::Eax => (&[0x25], &[0x3d]),
            Register::Ebx => (&[0x81, 0xe3], &[0x81, 0xfb]),
            Register::Ecx => (&[0x81, 0xe1], &[0x81, 0xf9]),
            Register::Edx => (&[0x81, 0xe2], &[0x81, 0xfa]),
        };
        self.imm(and, mask);
        self.imm(cmp, mask);
        self.fail_if(0x85); // jne
    }

    fn fail_if(&mut self, condition: u8) {
        self.imm(&[0x0f, condition], 0);
        self.failures.push(self.bytes.len());
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.extend([0x31, 0xc0, 0x5b, 0xc3]); // xor eax, eax; pop rbx; ret
        let target = self.bytes.len();
        self.imm(&[0xb8], status::CPU_UNSUPPORTED as u32); // mov eax, code
        self.bytes.extend([0x5b, 0xc3]); // pop rbx; ret
        for &end in &self.failures {
            let distance = (target - end) as u32;
            self.bytes[end - 4..end].copy_from_slice(&distance.to_le_bytes());
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Register as R};

    use super::*;

    #[test]
    fn words_are_merged_and_jumps_end_at_the_failure() {
        let words = needs(cpu::SSSE3 | cpu::AVX | cpu::AVX2 | cpu::BMI2);
        assert_eq!(words.len(), 2);
        assert_eq!(words[0].mask, 1 << 9 | 1 << 28 | OSXSAVE);
        let code = x86_64(cpu::SSSE3);
        // The failure: mov eax, -4; pop rbx; ret.
        assert_eq!(code[code.len() - 7..], [0xb8, 0xfc, 0xff, 0xff, 0xff, 0x5b, 0xc3]);
        let asks = |features| x86_64(features).windows(2).any(|pair| pair == [0x0f, 0x05]);
        assert!(asks(cpu::AVX | cpu::AVX512 | cpu::AMX_TILE | cpu::AMX_INT8), "the right to use tiles");
        assert!(!asks(cpu::AVX | cpu::AVX512), "nothing to ask for");
        let jump = code.windows(2).position(|pair| pair == [0x0f, 0x85]).expect("a jump");
        let distance = u32::from_le_bytes(code[jump + 2..jump + 6].try_into().expect("four bytes")) as usize;
        assert_eq!(jump + 6 + distance, code.len() - 7);
    }

    /// A CPU as `cpuid` and `xgetbv` show it.
    #[derive(Clone)]
    struct Machine {
        /// eax, ebx, ecx, edx of leaf and subleaf; others are zero.
        leaves: BTreeMap<(u32, u32), [u32; 4]>,
        xcr0: u32,
    }

    impl Machine {
        /// Has all bits of the features, the leaves they are in, and an operating system that saves every register.
        fn with(features: u64) -> Machine {
            let mut leaves: BTreeMap<(u32, u32), [u32; 4]> =
                [((0, 0), [7, 0, 0, 0]), ((0x8000_0000, 0), [0x8000_0001, 0, 0, 0])].into();
            for &(feature, leaf, subleaf, register, mask) in FEATURES {
                if features & feature != 0 {
                    leaves.entry((leaf, subleaf)).or_default()[register as usize] |= mask;
                }
            }
            Machine { leaves, xcr0: u32::MAX }
        }

        /// What the check of `features` returns on this machine.
        fn run(&self, features: u64) -> i32 {
            let code = x86_64(features);
            let mut registers = [0u32; 4];
            let (mut zero, mut below) = (false, false);
            let mut decoder = Decoder::with_ip(64, &code, 0, DecoderOptions::NONE);
            loop {
                let inst = decoder.decode();
                match inst.code() {
                    Code::Push_r64 | Code::Pop_r64 => assert_eq!(inst.op0_register(), R::RBX),
                    Code::Mov_r32_imm32 => registers[index(&inst)] = inst.immediate32(),
                    Code::Xor_r32_rm32 | Code::Xor_rm32_r32 => registers[index(&inst)] = 0,
                    Code::Cpuid => {
                        registers = self.leaves.get(&(registers[0], registers[2])).copied().unwrap_or_default()
                    }
                    Code::Xgetbv => {
                        let saves = self.leaves.get(&(1, 0)).is_some_and(|leaf| leaf[2] & OSXSAVE != 0);
                        assert!(saves && registers[2] == 0, "xgetbv faults without OSXSAVE");
                        registers[0] = self.xcr0;
                    }
                    Code::And_EAX_imm32 | Code::And_rm32_imm32 => registers[index(&inst)] &= inst.immediate32(),
                    Code::Cmp_EAX_imm32 | Code::Cmp_rm32_imm32 => {
                        let (left, right) = (registers[index(&inst)], inst.immediate32());
                        (zero, below) = (left == right, left < right);
                    }
                    Code::Jne_rel32_64 if !zero => jump(&mut decoder, &inst),
                    Code::Jb_rel32_64 if below => jump(&mut decoder, &inst),
                    Code::Jne_rel32_64 | Code::Jb_rel32_64 => {}
                    Code::Retnq => return registers[0] as i32,
                    other => panic!("{other:?} is not expected in the check"),
                }
            }
        }
    }

    fn index(inst: &Instruction) -> usize {
        [R::EAX, R::EBX, R::ECX, R::EDX].iter().position(|&known| known == inst.op0_register()).expect("a register")
    }

    fn jump(decoder: &mut Decoder<'_>, inst: &Instruction) {
        decoder.set_position(inst.near_branch_target() as usize).expect("a target inside the code");
        decoder.set_ip(inst.near_branch_target());
    }

    /// Closed under what each needs, as targets are.
    const SETS: [u64; 4] = [
        cpu::SSSE3 | cpu::SSE41,
        cpu::SSSE3 | cpu::SSE41 | cpu::SSE42 | cpu::POPCNT | cpu::AVX | cpu::AVX2 | cpu::FMA | cpu::BMI1 | cpu::LZCNT,
        cpu::SSSE3 | cpu::SSE41 | cpu::SSE42 | cpu::AVX | cpu::AVX2 | cpu::AVX_VNNI,
        cpu::SSSE3 | cpu::SSE41 | cpu::SSE42 | cpu::AVX | cpu::AVX2 | cpu::FMA | cpu::AVX512 | cpu::AVX512_VNNI,
    ];

    #[test]
    fn a_machine_passes_with_all_and_fails_without_any_feature() {
        let everything = FEATURES.iter().fold(0, |all, (feature, ..)| all | feature);
        for set in SETS {
            assert_eq!(Machine::with(set).run(set), status::OK, "{set:#x}");
            assert_eq!(Machine::with(everything).run(set), status::OK, "{set:#x}");
            for &(feature, ..) in FEATURES.iter().filter(|(feature, ..)| set & feature != 0) {
                let machine = Machine::with(everything & !feature);
                assert_eq!(machine.run(set), status::CPU_UNSUPPORTED, "{set:#x} without {feature:#x}");
            }
        }
    }

    #[test]
    fn registers_that_are_not_saved_cannot_be_used() {
        for (set, xcr0, code) in [
            (SETS[0], 0b001, status::OK),
            (SETS[1], 0b011, status::CPU_UNSUPPORTED),
            (SETS[1], 0b111, status::OK),
            (SETS[3], 0b111, status::CPU_UNSUPPORTED),
            (SETS[3], 0b1110_0111, status::OK),
        ] {
            assert_eq!(Machine { xcr0, ..Machine::with(set) }.run(set), code, "{set:#x} with {xcr0:#b}");
        }
    }

    /// What stands in a leaf that the CPU does not have is no feature.
    #[test]
    fn leaves_must_exist() {
        let mut old = Machine::with(SETS[1]);
        old.leaves.insert((0, 0), [6, 0, 0, 0]);
        assert_eq!(old.run(SETS[1]), status::CPU_UNSUPPORTED);
        let mut old = Machine::with(SETS[1]);
        old.leaves.insert((0x8000_0000, 0), [0x8000_0000, 0, 0, 0]);
        assert_eq!(old.run(SETS[1]), status::CPU_UNSUPPORTED);
    }
}
