//! What a compiled model promises: the same bytes everywhere, the same results for any number of threads, no symbol from
//! outside, a header that C and C++ take.

use std::env;
use std::path::Path;

use super::Folder;

#[test]
fn the_same_model_gives_the_same_object() {
    let (here, there) = (Folder::new("same-here"), Folder::new("same-there"));
    for folder in [&here, &there] {
        folder.octet_ok("compile digits.xml --emit obj,header,staticlib,exec-graph,exe -o digits.o");
    }
    for name in ["digits.o", "digits.h", "libdigits.a", "digits.exec.xml", "digits"] {
        assert!(here.read(name) == there.read(name), "{name} differs");
    }
}

#[test]
fn results_do_not_depend_on_threads() {
    let folder = Folder::new("threads");
    folder.octet_ok("compile digits.xml -o app --batch 48");
    for threads in ["1", "2", "3"] {
        let line = format!("run --threads {threads} --input digits_images.npy --output {threads}.npy");
        let output = folder.command(folder.file("app"), &line);
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
    assert!(folder.read("1.npy") == folder.read("2.npy"));
    assert!(folder.read("1.npy") == folder.read("3.npy"));
}

#[test]
fn objects_need_nothing() {
    let folder = Folder::new("needs");
    folder.octet_ok("compile digits.xml --emit obj --name net -o net.o");
    let undefined = folder.command("nm", "-u net.o");
    assert_eq!((undefined.code, undefined.stdout.as_str()), (0, ""), "{}", undefined.stderr);
    let exported = folder.command("nm", "-g --defined-only --format=posix net.o");
    let names: Vec<&str> = exported.stdout.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["net_infer", "net_info"]);
}

#[test]
fn the_other_machine_is_compiled_for() {
    let other = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" };
    let folder = Folder::new("cross");
    folder.octet_ok(&format!("compile digits.xml --emit obj -o digits.o --target {other}-unknown-linux-gnu"));
    let machine: [u8; 2] = folder.read("digits.o")[18..20].try_into().unwrap();
    // EM_AARCH64, EM_X86_64
    assert_eq!(u16::from_le_bytes(machine), if other == "aarch64" { 183 } else { 62 });
}

#[test]
fn shared_libraries_are_linked() {
    let folder = Folder::new("shared");
    folder.octet_ok("compile digits.xml --emit sharedlib -o libdigits.so");
    let exported = folder.command("nm", "-D --defined-only --format=posix libdigits.so");
    assert!(exported.stdout.contains("digits_infer") && exported.stdout.contains("digits_info"), "{}", exported.stdout);
}

/// Two models in one program, called through their headers.
#[track_caller]
fn host(test: &str, compiler: &str, language: &[&str]) {
    let folder = Folder::new(test);
    folder.octet_ok("compile digits.xml --emit obj,header --name one -o one.o");
    folder.octet_ok("compile digits.xml --emit obj,header --name two --batch 2 -o two.o");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/host.c");
    let mut line = format!("{} -Wall -Wextra -pedantic -Werror -I. -o host {}", language.join(" "), source.display());
    // The objects are no sources of the language.
    line += " -x none one.o two.o";
    let compiled = folder.command(compiler, &line);
    assert_eq!(compiled.code, 0, "{}", compiled.stderr);
    folder.image(5, "image.npy");
    let image = folder.read("image.npy");
    folder.write("image.raw", &image[image.len() - 256..]);
    let output = folder.command(folder.file("host"), "image.raw");
    assert_eq!((output.code, output.stdout.as_str()), (0, "ok\n"), "{}", output.stderr);
}

#[test]
fn headers_are_c99() {
    host("c99", "cc", &["-std=c99", "-x", "c"]);
}

#[test]
fn headers_are_cpp() {
    host("cpp", "c++", &["-std=c++11", "-x", "c++"]);
}
