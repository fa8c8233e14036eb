//! `compile --tune` and `--tuning`: what is measured once is compiled ever after, and nothing but the time changes.

use std::fs;

use serde_json::Value;

use super::Folder;

const LAYER: &str = "\"p\": {\"form\": \"winograd\"}";

fn tuning(version: u32, cpus: &str) -> String {
    format!("{{\"octet_tuning\": {version}, \"cpus\": {{{cpus}}}}}")
}

/// Tunes for a moment, for two CPUs: whatever was the fastest, the outputs keep their bits, and equal files make equal objects.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_tuned_model_gives_the_same_bits() {
    let folder = Folder::new("tune");
    folder.octet_ok("compile digits.xml --batch 48 --cpu x86-64-v2 -o plain");
    let tuned =
        folder.octet("compile digits.xml --batch 48 --cpu x86-64-v2 -o tuned --tune tuned.json --tune-seconds 0.01");
    assert_eq!(tuned.code, 0, "{}", tuned.stderr);
    assert!(tuned.stderr.contains("tuned for x86-64-v2 with --threads 1\n"), "{}", tuned.stderr);
    for program in ["plain", "tuned"] {
        let line = format!("run --input digits_images.npy --output {program}.npy");
        let output = folder.command(folder.file(program), &line);
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
    assert_eq!(folder.read("plain.npy"), folder.read("tuned.npy"));
    for object in ["a.o", "b.o"] {
        folder.octet_ok(&format!("compile digits.xml --cpu x86-64-v2 --tuning tuned.json --emit obj -o {object}"));
    }
    assert_eq!(folder.read("a.o"), folder.read("b.o"));
    let file: Value = serde_json::from_slice(&folder.read("tuned.json")).unwrap();
    let layers = file["cpus"]["x86-64-v2"].as_object().unwrap();
    assert!(!layers.is_empty());
    for (problem, layer) in layers {
        let form = layer["form"].as_str().unwrap();
        assert!(layer["microseconds"][form].as_f64().unwrap() > 0.0, "{problem}: {layer}");
        assert!(layer["microseconds"]["default"].as_f64().unwrap() > 0.0, "{problem}: {layer}");
    }
}

/// A second CPU and a second model are added to a file.
#[cfg(target_arch = "x86_64")]
#[test]
fn tuning_again_adds_to_the_file() {
    let folder = Folder::new("tune-again");
    folder.write("tuned.json", tuning(1, &format!("\"x86-64-v2\": {{{LAYER}}}, \"sse4.1\": {{{LAYER}}}")));
    folder.octet_ok(
        "compile digits.xml --cpu x86-64-v2 --emit obj --tune tuned.json --tune-seconds 0 --threads 2 --quiet",
    );
    let file: Value = serde_json::from_slice(&folder.read("tuned.json")).unwrap();
    assert_eq!(file["cpus"]["sse4.1"]["p"]["form"], "winograd");
    let layers = file["cpus"]["x86-64-v2"].as_object().unwrap();
    assert_eq!(layers["p"]["form"], "winograd");
    assert!(layers.len() > 1 && layers.values().any(|layer| layer["threads"] == 2), "{layers:?}");
}

/// The form that a file names is what is compiled, and `explain` says so, with the others.
#[test]
fn a_file_decides_between_forms() {
    let folder = Folder::new("tuning-decides");
    let convolution = |report: &str| -> Value {
        let report: Value = serde_json::from_str(report).unwrap();
        let layers = report["layers"].as_array().unwrap();
        let has_choice = |row: &&Value| row["candidates"].as_array().unwrap().len() > 1;
        layers.iter().find(has_choice).unwrap().clone()
    };
    let cpu = "--cpu x86-64-v3 --target x86_64-unknown-linux-gnu";
    let before = convolution(&folder.octet_ok(&format!("explain digits.xml --json {cpu}")));
    assert_eq!(before["form"], before["candidates"][0]["form"]);
    let (problem, other) = (before["problem"].as_str().unwrap(), before["candidates"][1]["form"].as_str().unwrap());
    folder.write("t.json", tuning(1, &format!("\"x86-64-v3\": {{\"{problem}\": {{\"form\": \"{other}\"}}}}")));
    let after = convolution(&folder.octet_ok(&format!("explain digits.xml --json {cpu} --tuning t.json")));
    assert_eq!((&after["form"], &after["candidates"]), (&before["candidates"][1]["form"], &before["candidates"]));
    assert!(folder.octet_ok(&format!("explain digits.xml {cpu} --tuning t.json")).contains(other));
}

/// What cannot be used is told before anything is compiled: texts of a file, and what is said of it.
#[test]
fn wrong_files_are_errors() {
    let folder = Folder::new("tuning-wrong");
    let unknown = "\"p\": {\"form\": \"magic 7\"}, \"q\": {\"form\": \"fold\"}";
    let cases: [(String, &[&str]); 4] = [
        ("{".into(), &["error[E0210]: t.json:1: is not JSON"]),
        (tuning(7, ""), &["error[E0210]: t.json: has version 7", "this octet reads version 1"]),
        (
            tuning(1, &format!("\"x86-64-v3\": {{{LAYER}}}")),
            &["error[E0210]: t.json: was measured for x86-64-v3, not for"],
        ),
        (
            tuning(1, &format!("\"sse4.1\": {{{unknown}}}")),
            &["sse4.1: \"p\": `magic 7` is no form of a layer", "sse4.1: \"q\": `fold` is no form of a layer"],
        ),
    ];
    for (text, messages) in cases {
        folder.write("t.json", text);
        let line = "compile digits.xml --cpu sse4.1 --target x86_64-unknown-linux-gnu --emit obj --tuning t.json";
        folder.octet_fails(line, 2, messages);
    }
    fs::remove_file(folder.file("t.json")).unwrap();
    folder.octet_fails("compile digits.xml --tuning t.json", 4, &["error[E0401]: t.json: cannot be read"]);
}

/// A version without measurements, and a form that a layer does not have, are worth a warning.
#[test]
fn what_a_file_lacks_is_a_warning() {
    let folder = Folder::new("tuning-warnings");
    let cpu = "--cpu x86-64-v3,sse4.1 --target x86_64-unknown-linux-gnu";
    let report: Value = serde_json::from_str(&folder.octet_ok(&format!("explain digits.xml --json {cpu}"))).unwrap();
    let rows = report["layers"].as_array().unwrap();
    let problem = rows.iter().find_map(|row| row["problem"].as_str()).unwrap();
    folder.write("t.json", tuning(1, &format!("\"x86-64-v3\": {{\"{problem}\": {{\"form\": \"fold 8\"}}, {LAYER}}}")));
    let output = folder.octet(&format!("compile digits.xml --emit obj --tuning t.json {cpu}"));
    assert_eq!(output.code, 0, "{}", output.stderr);
    for expected in ["warning: t.json: has no measurements for sse4.1", "cannot be computed by `fold 8`"] {
        assert!(output.stderr.contains(expected), "{} lacks {expected:?}", output.stderr);
    }
}

/// What cannot run here cannot be measured here.
#[test]
fn other_machines_are_not_tuned_for() {
    let folder = Folder::new("tune-other");
    let other = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" };
    let line = format!("compile digits.xml --target {other}-unknown-linux-gnu --tune t.json");
    folder.octet_fails(
        &line,
        2,
        &["error[E0207]: --tune: code for", "cannot be measured on this machine", "help: tune on"],
    );
    assert!(!folder.file("t.json").exists());
}
