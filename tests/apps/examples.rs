//! The examples, as their readers run them, beside `octet run`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{command, digits, has, octet, root, run};

/// Which image the examples are asked about.
const INDEX: usize = 5;

/// What `octet run` computes, in the form in which the examples print it.
pub fn expected(folder: &Path) -> String {
    let images = fs::read(folder.join("digits_images.npy")).unwrap();
    let bytes = 64 * size_of::<f32>();
    let mut image =
        b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 8, 8)}".to_vec();
    image.resize(128, b' ');
    image.extend(&images[images.len() - 48 * bytes..][INDEX * bytes..][..bytes]);
    fs::write(folder.join("image.npy"), image).unwrap();
    run(&mut command(folder, octet(), "run digits.xml --input image.npy --output logits.npy"));
    let output = fs::read(folder.join("logits.npy")).unwrap();
    let (words, _) = output[output.len() - 40..].as_chunks::<4>();
    let logits: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
    let best = (0..10).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
    let bits: Vec<String> = logits.iter().map(|logit| format!("{:08x}", logit.to_bits())).collect();
    format!("class {best}\nbits {}\n", bits.join(" "))
}

/// The arguments of every example.
pub fn arguments(folder: &Path) -> [PathBuf; 2] {
    [folder.join("digits_images.npy"), INDEX.to_string().into()]
}

/// `make` in the C example; its output ends with that of the program.
fn make(test: &str, goal: &str) {
    let folder = digits(test);
    let mut make = command(&root().join("examples/c"), "make", goal);
    let output = run(make.arg(format!("OCTET={}", octet().display())).arg(format!("BUILD={}", folder.display())));
    assert!(output.ends_with(&expected(&folder)), "{output}");
}

#[test]
fn c_with_make() {
    if has("make", "the example's Makefile needs it") {
        make("make", "run");
    }
}

#[test]
fn c_with_pkg_config() {
    if has("make", "the example's Makefile needs it") && has("pkg-config", "`apt install pkg-config`") {
        make("pkg-config", "pkg-config");
    }
}

#[test]
fn c_with_cmake() {
    if !has("cmake", "`pip install cmake` or `apt install cmake`") {
        return;
    }
    let folder = digits("cmake");
    let mut configure = command(&root().join("examples/c"), "cmake", "-B");
    run(configure.arg(folder.join("build")).arg(format!("-DOCTET_EXECUTABLE={}", octet().display())));
    run(&mut command(&folder, "cmake", "--build build"));
    let output = run(Command::new(folder.join("build/classify")).args(arguments(&folder)));
    assert_eq!(output, expected(&folder));
}

/// The example is as short as its README says, and clean under the strictest warnings.
#[test]
fn c_is_short_and_clean() {
    let source = root().join("examples/c/classify.c");
    assert!(fs::read_to_string(&source).unwrap().lines().count() <= 60);
    let folder = digits("clean");
    run(&mut command(&folder, octet(), "compile digits.xml --emit obj,header -o digits.o"));
    for (compiler, language) in [("cc", "-std=c99"), ("c++", "-xc++ -std=c++11")] {
        let line = format!("{language} -Wall -Wextra -pedantic -Werror -I. -c -o classify.o");
        run(command(&folder, compiler, &line).arg(&source));
    }
}

/// A Python with numpy: that of the environment variable, or the system's.
#[test]
fn python() {
    let python = env::var("OCTET_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let numpy = Command::new(&python).args(["-c", "import numpy"]).output();
    if !numpy.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no numpy in {python}, `pip install numpy`; OCTET_TEST_PYTHON names another Python");
        return;
    }
    let script = root().join("examples/python/classify.py");
    assert!(fs::read_to_string(&script).unwrap().lines().count() <= 30);
    let folder = digits("python");
    run(&mut command(&folder, octet(), "compile digits.xml --emit sharedlib -o libdigits.so"));
    let output = run(Command::new(&python).arg(script).arg(folder.join("libdigits.so")).args(arguments(&folder)));
    assert_eq!(output, expected(&folder));
}
