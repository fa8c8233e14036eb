//! Each command does what it says.

use std::fs;

use serde_json::Value;

use super::Folder;

#[test]
fn check_lists_layers_and_ports() {
    let text = Folder::new("check").octet_ok("check digits.xml");
    for expected in ["Convolution", "FakeQuantize      13", "image: tensor<1x1x8x8xf32>", "logits", "supported"] {
        assert!(text.contains(expected), "{text} lacks {expected:?}");
    }
}

#[test]
fn explain_counts_multiplications_in_int8() {
    let folder = Folder::new("explain");
    let text = folder.octet_ok("explain digits.xml");
    assert!(text.contains("100.00 % of 2439648 MACs in INT8"), "{text}");
    let report: Value = serde_json::from_str(&folder.octet_ok("explain digits.xml --json")).unwrap();
    assert_eq!((&report["macs"], &report["int8_macs"]), (&Value::from(2439648), &Value::from(2439648)));
    let layers = report["layers"].as_array().unwrap();
    let convolutions = layers.iter().filter(|row| row["type"] == "Convolution");
    assert_eq!(convolutions.filter(|row| row["precision"] == "I8").count(), 8);
}

/// Without the pass that makes integers everything is float, and the report says so.
#[test]
fn explain_without_low_precision() {
    let text = Folder::new("float").octet_ok("explain digits.xml --disable-pass lpt-decompose,lpt-prepare");
    assert!(text.contains("0.00 % of 2439648 MACs in INT8"), "{text}");
}

/// What is not reached is listed, and nothing is written.
#[test]
fn a_share_in_int8_can_be_required() {
    let folder = Folder::new("require");
    let all_float = "--disable-pass lpt-decompose,lpt-prepare";
    let messages = [
        "error[E0101]: digits.xml: 0.00 % of the MACs are in INT8, less than the 0.5 % of --require-int8",
        "note: digits.xml:128: layer \"Convolution_10\": ",
        "% of the MACs in FP32: ",
    ];
    folder.octet_fails(&format!("compile digits.xml --require-int8 0.5 {all_float} -o out"), 1, &messages);
    assert!(!folder.file("out").exists());
    folder.octet_ok(&format!("compile digits.xml --require-int8 0 {all_float} --emit header -o low.h"));
    folder.octet_ok("compile digits.xml --require-int8 100 --emit header -o high.h");
    assert!(folder.file("low.h").exists() && folder.file("high.h").exists());
}

/// A limit is met or missed by one byte; what is missed lists buffers that together take about the workspace.
#[test]
fn a_workspace_can_be_limited() {
    let folder = Folder::new("workspace");
    let summary: Value = serde_json::from_str(&folder.octet_ok("compile digits.xml --emit obj --json")).unwrap();
    let workspace = summary["memory"]["workspace_bytes"].as_u64().unwrap();
    folder.octet_ok(&format!("compile digits.xml --emit obj --max-workspace {workspace}"));
    let line = format!("compile digits.xml --emit obj -o out.o --max-workspace {}", workspace - 1);
    let failed = folder.octet(&line);
    assert_eq!((failed.code, folder.file("out.o").exists()), (1, false), "{}", failed.stderr);
    let buffers = failed.stderr.lines().filter(|line| line.contains("since this layer"));
    let bytes = buffers.map(|line| line.split(['(', ')']).nth(1).unwrap().trim_end_matches(" bytes").to_owned());
    let sum: u64 = bytes.map(|bytes| bytes.parse::<u64>().unwrap()).sum();
    assert!(sum > workspace / 2 && sum <= workspace, "{sum} of {workspace}: {}", failed.stderr);
}

/// Variables are in use in every step.
#[test]
fn a_limited_workspace_has_variables() {
    let folder = Folder::new("workspace-variables");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps/state.oir"), folder.file("state.oir")).unwrap();
    let failed = folder.octet("compile state.oir --emit obj --max-workspace 1");
    assert!(failed.code == 1 && failed.stderr.contains(" from inference to inference"), "{}", failed.stderr);
}

#[test]
fn compile_reports() {
    let folder = Folder::new("report");
    folder.octet_ok("compile digits.xml --report report.json --quiet");
    let report: Value = serde_json::from_slice(&folder.read("report.json")).unwrap();
    assert_eq!(report["int8_share_percent"], 100.0);
    for key in ["constant_bytes", "code_bytes", "workspace_bytes", "stack_bytes"] {
        assert!(report["memory"][key].as_u64().unwrap() > 0, "{key}");
    }
    folder.octet_ok("compile digits.xml --report report.html --quiet");
    assert!(String::from_utf8(folder.read("report.html")).unwrap().starts_with("<!DOCTYPE html>"));
}

#[test]
fn compile_tells_programs_what_it_made() {
    let folder = Folder::new("compile-json");
    let text = folder.octet_ok(
        "compile digits.xml --json --emit obj,header -o digits.o --cpu x86-64-v3 --target x86_64-unknown-linux-gnu",
    );
    let summary: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&summary["model"], &summary["cpu"]), (&Value::from("digits"), &Value::from("x86-64-v3")));
    let files: Vec<&str> =
        summary["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(files, ["digits.o", "digits.h"]);
    assert_eq!(summary["files"][0]["bytes"], folder.read("digits.o").len());
    folder.octet_ok("man pages");
    assert!(String::from_utf8(folder.read("pages/octet-compile.1")).unwrap().contains("max\\-workspace"));
}

#[test]
fn opt_prints_the_graph() {
    let folder = Folder::new("opt");
    let imported = folder.octet_ok("opt digits.xml");
    assert!(imported.starts_with("func @digits(%image: tensor<1x1x8x8xf32>)"), "{imported}");
    assert!(imported.contains("fake_quantize") && !imported.contains(" requantize "));
    let lowered = folder.octet_ok("opt digits.xml --passes all");
    assert!(!lowered.contains("fake_quantize") && lowered.contains(" requantize "), "{lowered}");
    assert!(folder.octet_ok("opt digits.xml --dot").starts_with("digraph"));
    assert!(folder.octet_ok("opt --list").contains("lpt-sink"));
}

/// A dump is a model: what comes after it gives the same.
#[test]
fn dumps_can_be_compiled() {
    let folder = Folder::new("dumps");
    folder.octet_ok("opt digits.xml -o digits.oir");
    folder.octet_ok("opt digits.oir --passes all -o low.oir");
    folder.image(3, "image.npy");
    for model in ["digits.xml", "digits.oir", "low.oir"] {
        folder.octet_ok(&format!("run {model} --input image.npy --output {model}.npy"));
    }
    assert!(folder.read("digits.xml.npy") == folder.read("digits.oir.npy"));
    assert!(folder.read("digits.xml.npy") == folder.read("low.oir.npy"));
}

#[test]
fn passes_can_be_watched() {
    let folder = Folder::new("watch");
    let output = folder.octet("check digits.xml --print-after lpt-sink --print-before dce --time-passes");
    for expected in ["// after lpt-sink", "// before dce", "total"] {
        assert!(output.stderr.contains(expected), "{} lacks {expected:?}", output.stderr);
    }
    folder.octet_ok("check digits.xml --dump-dir dumps");
    let first = folder.octet_ok("opt dumps/00-input.oir");
    assert!(first.contains("fake_quantize"), "{first}");
}

#[test]
fn bench_reports_numbers() {
    let folder = Folder::new("bench");
    let text = folder.octet_ok("bench digits.xml --threads 2 --iterations 5 --warmup 1 --profile --json bench.json");
    for expected in ["median", "p99", "Convolution_23"] {
        assert!(text.contains(expected), "{text} lacks {expected:?}");
    }
    let report: Value = serde_json::from_slice(&folder.read("bench.json")).unwrap();
    assert_eq!((&report["threads"], &report["iterations"]), (&Value::from(2), &Value::from(5)));
    let latency = &report["latency_ms"];
    assert!(latency["min"].as_f64().unwrap() > 0.0 && latency["min"].as_f64() <= latency["max"].as_f64());
    assert!(!report["layers"].as_array().unwrap().is_empty());
}

#[test]
fn batches_are_compiled_in() {
    let folder = Folder::new("batch");
    folder.octet_ok("run digits.xml --batch 48 --input digits_images.npy --output all.npy");
    folder.image(47, "last.npy");
    folder.octet_ok("run digits.xml --input last.npy --output last_out.npy");
    let (all, last) = (folder.read("all.npy"), folder.read("last_out.npy"));
    let bytes = 10 * size_of::<f32>();
    assert_eq!(all.len() % 64, (48 * bytes) % 64);
    assert!(all[all.len() - bytes..] == last[last.len() - bytes..], "a digit alone and in a batch");
}

#[test]
fn the_demo_reads_all_digits() {
    let folder = Folder::new("demo");
    let text = folder.octet_ok("demo --keep kept");
    assert!(text.contains("48 of 48 held-out digits right"), "{text}");
    assert!(text.contains("is a 8") && text.contains("@@"), "pictures are plain where no terminal is: {text}");
    let info = folder.command(folder.file("kept/digits"), "info");
    assert!(info.code == 0 && info.stdout.contains("f32[1,1,8,8]"), "{}", info.stdout);
}

#[test]
fn help_and_version_are_no_errors() {
    let folder = Folder::new("help");
    assert!(folder.octet_ok("--help").contains("Exit codes"));
    assert!(folder.octet_ok("compile --help").contains("--emit"));
    assert!(folder.octet_ok("--version").starts_with("octet "));
}
