//! Objects with versions for several CPUs: each gives the bits that it gives alone, and each CPU gets its best.
#![cfg(target_arch = "x86_64")]

use std::process::Command;

use super::Folder;

const CPUS: [&str; 3] = ["x86-64-v4,+avx512vnni", "x86-64-v3", "x86-64-v2"];
const LIST: &str = "x86-64-v2,x86-64-v3,avx512vnni";

/// `host` with the model for all CPUs in it, and an input.
fn host(folder: &Folder) {
    folder.octet_ok(&format!("compile digits.xml --name many --emit obj,header -o many.o --cpu {LIST}"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/versions.c");
    let line = format!("-std=c99 -Wall -Wextra -pedantic -Werror -I. -static {source} many.o -o host");
    let compiled = folder.command("cc", &line);
    assert_eq!(compiled.code, 0, "{}", compiled.stderr);
    folder.image(7, "image.npy");
    let image = folder.read("image.npy");
    folder.write("image.raw", &image[image.len() - 256..]);
}

/// Number of the version that the host chose, as it says.
fn chosen(text: &str) -> usize {
    let (number, rest) = text.split_once(" of 3, ").unwrap();
    assert!(rest.ends_with(": 0\n"), "{text}");
    number.parse().unwrap()
}

#[test]
fn every_version_gives_the_bits_it_gives_alone() {
    let folder = Folder::new("versions");
    host(&folder);
    let output = folder.command(folder.file("host"), "image.raw");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let first = chosen(&output.stdout);
    assert!(folder.read("chosen.raw") == folder.read(&format!("{first}.raw")));
    for (number, cpu) in CPUS.iter().enumerate().skip(first) {
        folder.octet_ok(&format!("run digits.xml --cpu {cpu} --input image.npy --output {number}.npy"));
        let alone = folder.read(&format!("{number}.npy"));
        assert!(alone.ends_with(&folder.read(&format!("{number}.raw"))), "{cpu}");
    }
}

#[test]
fn objects_of_many_versions_need_nothing_and_are_the_same_every_time() {
    let folder = Folder::new("versions-bytes");
    for name in ["a.o", "b.o"] {
        folder.octet_ok(&format!("compile digits.xml --name many --emit obj -o {name} --cpu {LIST}"));
    }
    assert!(folder.read("a.o") == folder.read("b.o"));
    assert_eq!(folder.command("nm", "-u a.o").stdout, "");
    let size = |cpu: &str| {
        let text = folder.octet_ok(&format!("compile digits.xml --emit obj -o one.o --json --cpu {cpu}"));
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["memory"].clone()
    };
    let all = size(LIST);
    let alone = CPUS.map(size);
    let largest = alone.iter().map(|memory| memory["workspace_bytes"].as_u64()).max().unwrap();
    assert_eq!(all["workspace_bytes"].as_u64(), largest);
    let constants = |memory: &serde_json::Value| memory["constant_bytes"].as_u64().unwrap();
    assert!(constants(&all) < alone.iter().map(constants).sum(), "equal constants are shared");
}

/// A program says which version it runs, and runs it in threads.
#[test]
fn programs_choose_their_version() {
    let folder = Folder::new("versions-program");
    folder.octet_ok(&format!("compile digits.xml -o app --cpu {LIST}"));
    let info = folder.command(folder.file("app"), "info").stdout;
    assert!(info.contains(" of 3, the best for this CPU"), "{info}");
    folder.image(7, "image.npy");
    let output = folder.command(folder.file("app"), "run --threads 2 --input image.npy --output many.npy");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let bench = folder.command(folder.file("app"), "bench --iterations 3 --profile");
    assert!(bench.code == 0 && bench.stdout.contains("Convolution_23"), "{}{}", bench.stdout, bench.stderr);
}

/// Emulated CPUs take the best version they can run, and refuse where there is none.
#[test]
fn emulated_cpus_choose_their_version() {
    if Command::new("qemu-x86_64").arg("--version").output().is_err() {
        eprintln!("skipped: no qemu-x86_64");
        return;
    }
    let folder = Folder::new("versions-emulated");
    host(&folder);
    let on = |cpu: &str| folder.command("qemu-x86_64", &format!("-cpu {cpu} host image.raw"));
    assert_eq!(chosen(&on("Nehalem").stdout), 2);
    assert_eq!(chosen(&on("max").stdout), 1);
    assert_eq!(chosen(&on("max,-fma").stdout), 2);
    let refused = on("core2duo");
    assert!(refused.stdout.starts_with("2 of 3, ") && refused.stdout.ends_with(": -4\n"), "{}", refused.stdout);
}
