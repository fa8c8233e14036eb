//! Bad input: each a diagnostic with the place and the documented exit code.

use super::{Folder, npy};

const USAGE: i32 = 2;
const MODEL: i32 = 3;
const IO: i32 = 4;

/// `check` on the digits model with a changed XML text.
#[track_caller]
fn check_changed(test: &str, change: impl Fn(&str) -> String, code: i32, messages: &[&str]) {
    let folder = Folder::new(test);
    let text = String::from_utf8(folder.read("digits.xml")).unwrap();
    let changed = change(&text);
    assert_ne!(changed, text, "the change is in vain");
    folder.write("digits.xml", changed);
    folder.octet_fails("check digits.xml", code, messages);
    folder.octet_fails("compile digits.xml -o out", code, messages);
    assert!(!folder.file("out").exists(), "nothing is written for a bad model");
}

#[test]
fn wrong_command_lines() {
    let folder = Folder::new("usage");
    let rows: &[(&str, &str)] = &[
        ("", "Usage"),
        ("fly", "fly"),
        ("compile", "MODEL"),
        ("compile digits.xml --fast", "--fast"),
        ("compile digits.xml --emit wasm", "wasm"),
        ("compile digits.onnx", "not a model's file name"),
        ("compile digits.xml --cpu 486", "unknown CPU `486`"),
        ("compile digits.xml --target sparc-unknown-linux-gnu", "unsupported target"),
        ("compile digits.xml --name 3d-net", "must be a C identifier"),
        ("compile digits.xml --shape [1,1,8,8]", "no input is named"),
        ("compile digits.xml --shape image=[1,x]", "is not a dimension"),
        ("compile digits.xml --shape picture=[1,1,8,8]", "which is not an input"),
        ("compile digits.xml --batch 0", "0"),
        ("compile digits.xml --require-int8 most", "write a number from 0 to 100"),
        ("compile digits.xml --require-int8 101", "write a number from 0 to 100"),
        ("compile digits.xml --disable-pass magic", "there is no pass \"magic\""),
        ("opt digits.xml --passes magic", "there is no pass \"magic\""),
        ("opt", "FILE"),
        ("run digits.xml", "--input"),
        ("bench digits.xml --threads zero", "--threads"),
    ];
    for (line, message) in rows {
        folder.octet_fails(line, USAGE, &[message]);
    }
}

#[test]
fn programs_for_other_machines_do_not_run_here() {
    let other = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" };
    let folder = Folder::new("other-machine");
    let line = format!("bench digits.xml --target {other}-unknown-linux-gnu");
    folder.octet_fails(&line, USAGE, &["does not run on this machine"]);
}

#[test]
fn missing_files() {
    let folder = Folder::new("missing");
    folder.octet_fails("compile nothing.xml", IO, &["nothing.xml", "cannot be read"]);
    folder.octet_fails("opt nothing.oir", IO, &["nothing.oir"]);
    folder.octet_fails("compile digits.xml -o no/such/folder/app", IO, &["no/such/folder/app", "cannot be written"]);
    folder.octet_fails("run digits.xml --input nothing.npy", IO, &["nothing.npy"]);
    std::fs::remove_file(folder.file("digits.bin")).unwrap();
    folder.octet_fails("compile digits.xml", IO, &["digits.bin", "cannot be read"]);
}

#[test]
fn truncated_xml() {
    check_changed(
        "truncated",
        |text| text[..text.len() / 2].to_owned(),
        MODEL,
        &["digits.xml:", "not well-formed XML"],
    );
}

#[test]
fn other_xml() {
    check_changed("other-xml", |_| "<html/>".to_owned(), MODEL, &["digits.xml:1"]);
}

#[test]
fn empty_xml() {
    check_changed("empty-xml", |_| String::new(), MODEL, &["digits.xml"]);
}

#[test]
fn text_that_is_no_text() {
    let folder = Folder::new("no-text");
    folder.write("digits.xml", [0xff, 0xfe, 0x00]);
    folder.octet_fails("check digits.xml", MODEL, &["digits.xml", "not UTF-8"]);
}

#[test]
fn short_bin() {
    let folder = Folder::new("short-bin");
    folder.write("digits.bin", b"123");
    folder.octet_fails("check digits.xml", MODEL, &["digits.xml:", "outside the .bin file of 3 bytes"]);
}

#[test]
fn offset_outside_the_bin() {
    let far = |text: &str| text.replacen("offset=\"0\"", "offset=\"18446744073709551615\"", 1);
    check_changed("far-offset", far, MODEL, &["digits.xml:", "outside the .bin file"]);
}

/// All of them at once: each kind with its layers and lines.
#[test]
fn unsupported_layers() {
    let change = |text: &str| {
        let text = text.replace("type=\"ReLU\" version=\"opset1\"", "type=\"Relic\" version=\"opset1\"");
        text.replace("type=\"MatMul\" version=\"opset1\"", "type=\"MatMul\" version=\"opset99\"")
    };
    let messages = ["Relic", "7 layers", "digits.xml:189", "opset99", "MatMul"];
    check_changed("unsupported", change, MODEL, &messages);
}

#[test]
fn missing_edge() {
    let first_edge = |text: &str| {
        let begin = text.find("<edge ").unwrap();
        let end = begin + text[begin..].find("/>").unwrap() + 2;
        text[..begin].to_owned() + &text[end..]
    };
    check_changed("missing-edge", first_edge, MODEL, &["digits.xml:", "no edge leads to input port"]);
}

#[test]
fn cyclic_edges() {
    let cycle = |text: &str| text.replacen("from-layer=\"0\" from-port=\"0\"", "from-layer=\"13\" from-port=\"1\"", 1);
    check_changed("cycle", cycle, MODEL, &["digits.xml:39", "depends on its own output"]);
}

#[test]
fn edge_from_nowhere() {
    let nowhere = |text: &str| text.replacen("from-layer=\"0\"", "from-layer=\"4711\"", 1);
    check_changed("nowhere", nowhere, MODEL, &["digits.xml:", "4711"]);
}

#[test]
fn absurd_shape() {
    let absurd = |text: &str| text.replace("shape=\"1,1,8,8\"", "shape=\"1,1,8000000000,8000000000\"");
    check_changed("absurd", absurd, MODEL, &["digits.xml:4", "elements"]);
}

/// The layers do not take the shape: the model is what it is, but not with this option.
#[test]
fn shape_that_the_layers_do_not_take() {
    let folder = Folder::new("channels");
    folder.octet_fails("check digits.xml --shape image=[1,2,8,8]", MODEL, &["Convolution_10"]);
}

#[test]
fn wrong_text_dump() {
    let folder = Folder::new("dump");
    folder.write("bad.oir", "func @f(%x: tensor<2xf32>) -> (y: tensor<2xf32>) {\n  %0 = magic %x : tensor<2xf32>\n}\n");
    folder.octet_fails("check bad.oir", MODEL, &["bad.oir:2", "magic"]);
    folder.octet_fails("check bad.oir --batch 2", USAGE, &["text dump"]);
}

#[test]
fn wrong_tensors() {
    let folder = Folder::new("tensors");
    let run = "run digits.xml --threads 1 --input";
    folder.write("type.npy", npy("<i4", "(1, 1, 8, 8)", &[0; 256]));
    folder.octet_fails(&format!("{run} type.npy"), IO, &["type.npy", "i32[1,1,8,8]", "f32[1,1,8,8]"]);
    folder.write("shape.npy", npy("<f4", "(1, 8, 8)", &[0; 256]));
    folder.octet_fails(&format!("{run} shape.npy"), IO, &["shape.npy", "f32[1,8,8]", "f32[1,1,8,8]"]);
    folder.write("short.npy", npy("<f4", "(1, 1, 8, 8)", &[0; 255]));
    folder.octet_fails(&format!("{run} short.npy"), IO, &["short.npy"]);
    folder.write("text.npy", "0 0 0 0");
    folder.octet_fails(&format!("{run} text.npy"), IO, &["text.npy", "not a .npy file"]);
    folder.image(0, "image.npy");
    folder.octet_fails(&format!("{run} picture=image.npy"), USAGE, &["picture"]);
}
