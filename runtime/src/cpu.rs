//! Which of the features in [`crate::abi::cpu`] this machine offers: the CPU has the instructions *and* the operating
//! system saves the registers they use.

use core::fmt;

use crate::abi::cpu;

/// What the kernel tells a program about the CPU in the auxiliary vector (`AT_HWCAP`, `AT_HWCAP2`). Only aarch64 needs it:
/// there user code cannot ask the CPU itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct HardwareCapabilities {
    pub hwcap: u64,
    pub hwcap2: u64,
}

/// The features of this machine as bits of [`cpu`].
#[cfg(target_arch = "aarch64")]
pub fn detect(capabilities: HardwareCapabilities) -> u64 {
    // asm/hwcap.h: HWCAP_ASIMDDP, HWCAP2_I8MM
    let dotprod = capabilities.hwcap & 1 << 20 != 0;
    let i8mm = capabilities.hwcap2 & 1 << 13 != 0;
    u64::from(dotprod) * cpu::DOTPROD | u64::from(i8mm) * cpu::I8MM
}

/// The features of this machine as bits of [`cpu`]. Where it has AMX, asks for its registers, for this process and its threads.
#[cfg(target_arch = "x86_64")]
pub fn detect(_: HardwareCapabilities) -> u64 {
    let features = x86::features(&x86::Registers::read());
    // Asked for only where there is something to get.
    let asks = features & cpu::AMX_TILE != 0;
    let refused = asks && crate::sys::request_tiles().is_err();
    if refused { features & !(cpu::AMX_TILE | cpu::AMX_INT8) } else { features }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! Intel SDM volume 2, CPUID; volume 1, 13.3 and 14.3 for the operating system's part.

    use core::arch::x86_64::__cpuid_count;

    use crate::abi::cpu;

    /// The words of CPUID and XCR0 that decide, separate from reading them so that tests can play other machines.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Registers {
        pub leaf1_ecx: u32,
        pub leaf7_ebx: u32,
        pub leaf7_ecx: u32,
        pub leaf7_edx: u32,
        pub leaf7_1_eax: u32,
        pub extended1_ecx: u32,
        pub xcr0: u64,
    }

    const OSXSAVE: u32 = 1 << 27;

    impl Registers {
        pub fn read() -> Registers {
            let highest = __cpuid_count(0, 0).eax;
            let extended = __cpuid_count(0x8000_0000, 0).eax;
            let leaf1_ecx = __cpuid_count(1, 0).ecx;
            let mut registers = Registers { leaf1_ecx, ..Registers::default() };
            if highest >= 7 {
                let leaf7 = __cpuid_count(7, 0);
                registers.leaf7_ebx = leaf7.ebx;
                registers.leaf7_ecx = leaf7.ecx;
                registers.leaf7_edx = leaf7.edx;
                if leaf7.eax >= 1 {
                    registers.leaf7_1_eax = __cpuid_count(7, 1).eax;
                }
            }
            if extended >= 0x8000_0001 {
                registers.extended1_ecx = __cpuid_count(0x8000_0001, 0).ecx;
            }
            if leaf1_ecx & OSXSAVE != 0 {
                registers.xcr0 = xcr0();
            }
            registers
        }
    }

    fn xcr0() -> u64 {
        let (low, high): (u32, u32);
        // SAFETY: OSXSAVE says that the operating system has enabled the instruction; it only reads a register.
        unsafe {
            core::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack));
        }
        u64::from(high) << 32 | u64::from(low)
    }

    /// The bits of [`cpu`] that follow from the registers.
    pub fn features(registers: &Registers) -> u64 {
        const YMM_STATE: u64 = 0b110;
        const ZMM_STATE: u64 = 0b1110_0110;
        const TILE_STATE: u64 = 1 << 17 | 1 << 18;
        const AVX512_F_DQ_BW_VL: u32 = 1 << 16 | 1 << 17 | 1 << 30 | 1 << 31;
        let leaf1 = |bit: u32| registers.leaf1_ecx & 1 << bit != 0;
        let leaf7 = |bit: u32| registers.leaf7_ebx & 1 << bit != 0;
        let avx = leaf1(28) && registers.xcr0 & YMM_STATE == YMM_STATE;
        let avx2 = avx && leaf7(5);
        let avx512 = avx2
            && registers.leaf7_ebx & AVX512_F_DQ_BW_VL == AVX512_F_DQ_BW_VL
            && registers.xcr0 & ZMM_STATE == ZMM_STATE;
        let tiles = avx512 && registers.leaf7_edx & 1 << 24 != 0 && registers.xcr0 & TILE_STATE == TILE_STATE;
        [
            (leaf1(9), cpu::SSSE3),
            (leaf1(19), cpu::SSE41),
            (leaf1(20), cpu::SSE42),
            (leaf1(23), cpu::POPCNT),
            (avx, cpu::AVX),
            (avx2, cpu::AVX2),
            (avx && leaf1(12), cpu::FMA),
            (leaf7(3), cpu::BMI1),
            (leaf7(8), cpu::BMI2),
            (registers.extended1_ecx & 1 << 5 != 0, cpu::LZCNT),
            (avx2 && registers.leaf7_1_eax & 1 << 4 != 0, cpu::AVX_VNNI),
            (avx512, cpu::AVX512),
            (avx512 && registers.leaf7_ecx & 1 << 11 != 0, cpu::AVX512_VNNI),
            (tiles, cpu::AMX_TILE),
            (tiles && registers.leaf7_edx & 1 << 25 != 0, cpu::AMX_INT8),
        ]
        .into_iter()
        .fold(0, |bits, (present, bit)| if present { bits | bit } else { bits })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        const EVERYTHING: Registers = Registers {
            leaf1_ecx: u32::MAX,
            leaf7_ebx: u32::MAX,
            leaf7_ecx: u32::MAX,
            leaf7_edx: u32::MAX,
            leaf7_1_eax: u32::MAX,
            extended1_ecx: u32::MAX,
            xcr0: u64::MAX,
        };
        const TILES: u64 = cpu::AMX_TILE | cpu::AMX_INT8;
        const WIDE: u64 = cpu::AVX | cpu::AVX2 | cpu::FMA | cpu::AVX_VNNI;

        #[test]
        fn operating_system_decides_about_wide_registers() {
            let bits = |xcr0| features(&Registers { xcr0, ..EVERYTHING });
            assert_eq!(bits(0b011) & (WIDE | cpu::AVX512 | cpu::AVX512_VNNI), 0, "ymm state is not saved");
            assert_eq!(bits(0b111) & (cpu::AVX512 | cpu::AVX512_VNNI), 0, "zmm state is not saved");
            assert_eq!(bits(0b111) & WIDE, WIDE);
            assert_eq!(bits(0b1110_0111) & TILES, 0, "tiles are not saved");
            assert_eq!(bits(1 << 17 | 1 << 18 | 0b1110_0111), features(&EVERYTHING));
        }

        #[test]
        fn avx512_needs_all_its_parts() {
            let without_vl = Registers { leaf7_ebx: !(1 << 31), ..EVERYTHING };
            assert_eq!(features(&without_vl) & (cpu::AVX512 | cpu::AVX512_VNNI), 0);
        }

        #[test]
        fn agrees_with_the_standard_library() {
            let bits = super::super::detect(Default::default());
            for (bit, expected) in [
                (cpu::SSSE3, std::is_x86_feature_detected!("ssse3")),
                (cpu::SSE41, std::is_x86_feature_detected!("sse4.1")),
                (cpu::SSE42, std::is_x86_feature_detected!("sse4.2")),
                (cpu::POPCNT, std::is_x86_feature_detected!("popcnt")),
                (cpu::AVX, std::is_x86_feature_detected!("avx")),
                (cpu::AVX2, std::is_x86_feature_detected!("avx2")),
                (cpu::FMA, std::is_x86_feature_detected!("fma")),
                (cpu::BMI1, std::is_x86_feature_detected!("bmi1")),
                (cpu::BMI2, std::is_x86_feature_detected!("bmi2")),
                (cpu::LZCNT, std::is_x86_feature_detected!("lzcnt")),
                (cpu::AVX_VNNI, std::is_x86_feature_detected!("avxvnni")),
                (cpu::AVX512_VNNI, std::is_x86_feature_detected!("avx512vnni")),
            ] {
                assert_eq!(bits & bit != 0, expected, "{}", super::super::Names(bit));
            }
        }
    }
}

/// Prints the names of the bits, separated by commas; a bit without a name prints as its number.
#[derive(Clone, Copy, Debug)]
pub struct Names(pub u64);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = (0..u64::BITS).map(|shift| 1u64 << shift).filter(|bit| self.0 & bit != 0);
        for (index, bit) in bits.enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            match cpu::NAMES.iter().find(|(named, _)| *named == bit) {
                Some((_, name)) => f.write_str(name)?,
                None => write!(f, "bit {}", bit.trailing_zeros())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn names_of_bits() {
        assert_eq!(Names(cpu::AVX2 | cpu::I8MM | 1 << 63).to_string(), "avx2, i8mm, bit 63");
        assert_eq!(Names(0).to_string(), "");
    }
}
