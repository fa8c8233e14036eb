//! What models do without: memory of their own, an allocator, a compiler, a linker, the rest of the file system.

use std::fs;
use std::process::Command;

use object::{Object, ObjectSection, SectionFlags, elf};

use super::{command, digits, octet, root, run};

/// Nothing an object loads is written: what holds addresses is read-only once they are known (RELRO).
#[test]
fn objects_have_no_writable_data() {
    let folder = digits("sections");
    for target in ["x86_64", "aarch64"] {
        run(&mut command(
            &folder,
            octet(),
            &format!("compile digits.xml --emit obj --target {target}-unknown-linux-gnu"),
        ));
        let bytes = fs::read(folder.join("digits.o")).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        for section in file.sections().filter(|section| section.size() > 0) {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else { panic!("{section:?}") };
            let (name, writable) = (section.name().unwrap(), sh_flags & u64::from(elf::SHF_WRITE) != 0);
            assert!(!writable || name == ".data.rel.ro", "{target}: {name} is writable");
            assert_eq!(sh_flags & u64::from(elf::SHF_TLS), 0, "{target}: {name}");
        }
    }
}

/// A program whose allocator aborts while a model works.
#[test]
fn models_allocate_nothing() {
    let folder = digits("malloc");
    run(&mut command(&folder, octet(), "compile digits.xml --emit obj,header -o digits.o"));
    let source = root().join("tests/apps/no_malloc.c");
    run(command(&folder, "cc", "-std=c99 -Wall -Wextra -pedantic -Werror -I. -o host digits.o").arg(source));
    assert_eq!(run(&mut Command::new(folder.join("host"))), "ok\n");
    let output = Command::new(folder.join("host")).arg("allocate").output().unwrap();
    assert!(!output.status.success(), "an allocation would have been noticed");
}

/// The compiler alone, copied, with nothing in PATH: programs, objects and libraries; `cc` is for shared libraries.
#[test]
fn no_compiler_and_no_linker_are_needed() {
    let folder = digits("alone");
    fs::copy(octet(), folder.join("octet")).unwrap();
    let alone = |line: &str| {
        let mut octet = command(&folder, folder.join("octet"), line);
        octet.env_clear().env("PATH", folder.join("nothing"));
        octet
    };
    run(&mut alone("demo --keep demo"));
    run(&mut alone("compile digits.xml --emit exe,obj,staticlib,header,rust,pkgconfig,exec-graph -o app"));
    run(&mut alone("run digits.xml --input demo/digits_images.npy --batch 48 --output y.npy"));
    run(command(&folder, folder.join("app"), "bench --iterations 3").env_clear());
    let output = alone("compile digits.xml --emit sharedlib").output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{message}");
    for part in ["a shared library needs a C compiler", "CC", "--emit exe, obj and staticlib need none"] {
        assert!(message.contains(part), "{message}");
    }
}

/// 200 KB beside weights and code.
#[test]
fn programs_are_small() {
    let folder = digits("size");
    run(&mut command(&folder, octet(), "compile digits.xml --emit exe,header -o app"));
    let header = fs::read_to_string(folder.join("digits.h")).unwrap();
    let size = |name: &str| -> u64 {
        let line = header.lines().find(|line| line.starts_with(&format!("#define DIGITS_{name}_BYTES "))).unwrap();
        line.split(' ').nth(2).unwrap().trim_end_matches('u').parse().unwrap()
    };
    let (all, model) = (fs::metadata(folder.join("app")).unwrap().len(), size("CONSTANT") + size("CODE"));
    assert!(all - model <= 200_000, "{all} bytes with {model} of weights and code");
}
