//! Resolves one relocation: puts an address, or a distance, into data or into the fields of an instruction.
//!
//! With S + A the target and P the place, from the ELF supplements "System V ABI, AMD64" (4.4.1) and "ELF for the Arm
//! 64-bit Architecture" (5.7).

use object::elf;

use super::error::RelocationProblem::{self, Misaligned, OutOfRange, OutsideSection, Unsupported};

/// Writes the relocation `r_type` at the beginning of `site`, whose address is `place`.
pub fn apply(machine: u16, r_type: u32, site: &mut [u8], place: u64, target: u64) -> Result<(), RelocationProblem> {
    match machine {
        elf::EM_X86_64 => x86_64(r_type, site, place, target),
        elf::EM_AARCH64 => aarch64(r_type, site, place, target),
        _ => Err(Unsupported),
    }
}

fn x86_64(r_type: u32, site: &mut [u8], place: u64, target: u64) -> Result<(), RelocationProblem> {
    let distance = target.wrapping_sub(place) as i64;
    match r_type {
        elf::R_X86_64_NONE => Ok(()),
        elf::R_X86_64_64 => write(site, target.to_le_bytes()),
        elf::R_X86_64_PC64 => write(site, distance.to_le_bytes()),
        // A call through the PLT is a direct call when the callee is in the same program.
        elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => write(site, signed_32(distance)?),
        elf::R_X86_64_32 => write(site, unsigned_32(target)?),
        elf::R_X86_64_32S => write(site, signed_32(target as i64)?),
        _ => Err(Unsupported),
    }
}

fn aarch64(r_type: u32, site: &mut [u8], place: u64, target: u64) -> Result<(), RelocationProblem> {
    let distance = target.wrapping_sub(place) as i64;
    match r_type {
        elf::R_AARCH64_NONE => Ok(()),
        elf::R_AARCH64_ABS64 => write(site, target.to_le_bytes()),
        elf::R_AARCH64_PREL64 => write(site, distance.to_le_bytes()),
        elf::R_AARCH64_ABS32 => write(site, unsigned_32(target)?),
        elf::R_AARCH64_PREL32 => write(site, signed_32(distance)?),
        elf::R_AARCH64_ADR_PREL_LO21 => adr(site, distance),
        elf::R_AARCH64_ADR_PREL_PG_HI21 => adr(site, (target >> 12).wrapping_sub(place >> 12) as i64),
        elf::R_AARCH64_ADD_ABS_LO12_NC | elf::R_AARCH64_LDST8_ABS_LO12_NC => low_12(site, target, 0),
        elf::R_AARCH64_LDST16_ABS_LO12_NC => low_12(site, target, 1),
        elf::R_AARCH64_LDST32_ABS_LO12_NC => low_12(site, target, 2),
        elf::R_AARCH64_LDST64_ABS_LO12_NC => low_12(site, target, 3),
        elf::R_AARCH64_LDST128_ABS_LO12_NC => low_12(site, target, 4),
        elf::R_AARCH64_CALL26 | elf::R_AARCH64_JUMP26 => branch(site, distance),
        _ => Err(Unsupported),
    }
}

fn write<const N: usize>(site: &mut [u8], value: [u8; N]) -> Result<(), RelocationProblem> {
    *site.first_chunk_mut().ok_or(OutsideSection)? = value;
    Ok(())
}

fn signed_32(value: i64) -> Result<[u8; 4], RelocationProblem> {
    i32::try_from(value).map(i32::to_le_bytes).map_err(|_| OutOfRange)
}

fn unsigned_32(value: u64) -> Result<[u8; 4], RelocationProblem> {
    u32::try_from(value).map(u32::to_le_bytes).map_err(|_| OutOfRange)
}

/// Replaces the bits `mask` of an instruction.
fn set_bits(site: &mut [u8], mask: u32, bits: u32) -> Result<(), RelocationProblem> {
    let word = site.first_chunk_mut::<4>().ok_or(OutsideSection)?;
    *word = (u32::from_le_bytes(*word) & !mask | bits & mask).to_le_bytes();
    Ok(())
}

/// `value` if it fits in `bits` bits with its sign.
fn fit(value: i64, bits: u32) -> Result<u32, RelocationProblem> {
    let limit = 1i64 << (bits - 1);
    if (-limit..limit).contains(&value) { Ok(value as u32) } else { Err(OutOfRange) }
}

/// ADR and ADRP: 21 bits, the lowest two of them in bits 30:29, the others in 23:5.
fn adr(site: &mut [u8], value: i64) -> Result<(), RelocationProblem> {
    let value = fit(value, 21)?;
    set_bits(site, 0x60ff_ffe0, (value & 3) << 29 | (value >> 2 & 0x7_ffff) << 5)
}

/// ADD, LDR and STR: the lowest 12 bits of an address in units of `1 << scale` bytes, in bits 21:10.
fn low_12(site: &mut [u8], target: u64, scale: u32) -> Result<(), RelocationProblem> {
    let low = target as u32 & 0xfff;
    if low.trailing_zeros() < scale {
        return Err(Misaligned);
    }
    set_bits(site, 0x003f_fc00, low >> scale << 10)
}

/// B and BL: a distance of 28 bits in words, in bits 25:0.
fn branch(site: &mut [u8], distance: i64) -> Result<(), RelocationProblem> {
    if distance & 3 != 0 {
        return Err(Misaligned);
    }
    set_bits(site, 0x03ff_ffff, fit(distance, 28)? >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn x86(r_type: u32, place: u64, target: u64) -> Result<[u8; 8], RelocationProblem> {
        let mut site = [0xcc; 8];
        apply(elf::EM_X86_64, r_type, &mut site, place, target).map(|()| site)
    }

    #[test]
    fn x86_64_values() {
        let c = 0xcc;
        for (r_type, place, target, expected) in [
            (elf::R_X86_64_64, 0, 0x1122_3344_5566_7788, Ok([0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11])),
            (elf::R_X86_64_PC32, 0x1000, 0x1234, Ok([0x34, 2, 0, 0, c, c, c, c])),
            (elf::R_X86_64_PLT32, 0x1000, 0xffc, Ok([0xfc, 0xff, 0xff, 0xff, c, c, c, c])),
            (elf::R_X86_64_PC64, 0x1000, 0xfff, Ok([0xff; 8])),
            (elf::R_X86_64_PC32, 0, 0x8000_0000, Err(OutOfRange)),
            (elf::R_X86_64_PC32, 0x8000_0001, 0, Err(OutOfRange)),
            (elf::R_X86_64_32, 0, 0xffff_ffff, Ok([0xff, 0xff, 0xff, 0xff, c, c, c, c])),
            (elf::R_X86_64_32, 0, 0x1_0000_0000, Err(OutOfRange)),
            (elf::R_X86_64_32S, 0, 0x8000_0000, Err(OutOfRange)),
            (elf::R_X86_64_GOTPCREL, 0, 0, Err(Unsupported)),
        ] {
            assert_eq!(x86(r_type, place, target), expected, "type {r_type}, {target:#x} from {place:#x}");
        }
    }

    /// Instructions before and after, as GNU as encodes them.
    #[test]
    fn aarch64_instructions() {
        for (name, r_type, before, place, target, expected) in [
            ("adrp x0, +1 page", elf::R_AARCH64_ADR_PREL_PG_HI21, 0x9000_0000, 0x1ffc, 0x2123, Ok(0xb000_0000)),
            ("adrp x0, -1 page", elf::R_AARCH64_ADR_PREL_PG_HI21, 0x9000_0000, 0x2000, 0x1fff, Ok(0xf0ff_ffe0)),
            ("adrp too far", elf::R_AARCH64_ADR_PREL_PG_HI21, 0x9000_0000, 0, 1 << 32, Err(OutOfRange)),
            ("adr x1, +5", elf::R_AARCH64_ADR_PREL_LO21, 0x1000_0001, 0x1000, 0x1005, Ok(0x3000_0021)),
            ("add x0, x0, #0x123", elf::R_AARCH64_ADD_ABS_LO12_NC, 0x9100_0000, 0, 0x5123, Ok(0x9104_8c00)),
            ("ldrb w0, [x0, #3]", elf::R_AARCH64_LDST8_ABS_LO12_NC, 0x3940_0000, 0, 0x5003, Ok(0x3940_0c00)),
            ("ldrh w0, [x0, #6]", elf::R_AARCH64_LDST16_ABS_LO12_NC, 0x7940_0000, 0, 0x5006, Ok(0x7940_0c00)),
            ("ldr w0, [x0, #12]", elf::R_AARCH64_LDST32_ABS_LO12_NC, 0xb940_0000, 0, 0x500c, Ok(0xb940_0c00)),
            ("ldr x0, [x0, #24]", elf::R_AARCH64_LDST64_ABS_LO12_NC, 0xf940_0000, 0, 0x5018, Ok(0xf940_0c00)),
            ("ldr q0, [x0, #48]", elf::R_AARCH64_LDST128_ABS_LO12_NC, 0x3dc0_0000, 0, 0x5030, Ok(0x3dc0_0c00)),
            ("ldr q0, odd", elf::R_AARCH64_LDST128_ABS_LO12_NC, 0x3dc0_0000, 0, 0x5008, Err(Misaligned)),
            ("bl +8", elf::R_AARCH64_CALL26, 0x9400_0000, 0x1000, 0x1008, Ok(0x9400_0002)),
            ("b -4", elf::R_AARCH64_JUMP26, 0x1400_0000, 0x1000, 0xffc, Ok(0x17ff_ffff)),
            ("bl too far", elf::R_AARCH64_CALL26, 0x9400_0000, 0, 1 << 27, Err(OutOfRange)),
            ("bl odd", elf::R_AARCH64_CALL26, 0x9400_0000, 0, 2, Err(Misaligned)),
            ("through the GOT", elf::R_AARCH64_ADR_GOT_PAGE, 0x9000_0000, 0, 0, Err(Unsupported)),
        ] {
            let mut site = u32::to_le_bytes(before);
            let result = apply(elf::EM_AARCH64, r_type, &mut site, place, target);
            assert_eq!(result.map(|()| u32::from_le_bytes(site)), expected, "{name}");
        }
    }

    #[test]
    fn sites_outside_the_section() {
        let none: &mut [u8] = &mut [];
        assert_eq!(apply(elf::EM_X86_64, elf::R_X86_64_64, &mut [0; 7], 0, 0), Err(OutsideSection));
        assert_eq!(apply(elf::EM_AARCH64, elf::R_AARCH64_CALL26, none, 0, 0), Err(OutsideSection));
    }
}
