//! `info`: what the model is, as text.

use alloc::format;
use alloc::string::String;

use super::Process;
use super::error::Failure;
use super::io;
use super::model::{Model, Tensor};
use crate::cpu::Names;

pub fn info(model: &Model, process: &Process) -> Result<(), Failure> {
    let missing = model.cpu_features & !process.cpu_features;
    let macs: u64 = model.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.macs));
    let mut text = String::new();
    let mut row = |key: &str, value: &str| text += &format!("{key:<12}{value}\n");
    row("model", &model.name);
    row("hash", &model.hash);
    row("compiler", &model.compiler);
    row("cpu", &model.cpu_name);
    if model.version_count > 1 {
        row("version", &format!("{} of {}, the best for this CPU", model.version + 1, model.version_count));
    }
    match model.cpu_features {
        0 => row("needs", "no special instructions"),
        features => row("needs", &format!("{}", Names(features))),
    }
    if missing != 0 {
        row("missing", &format!("{} (this CPU cannot run the model)", Names(missing)));
    }
    tensor_rows(&mut row, "input", &model.inputs);
    tensor_rows(&mut row, "output", &model.outputs);
    row("layers", &format!("{}", model.layers.len()));
    row("macs", &format!("{macs}"));
    row("code", &format!("{} bytes", model.code_bytes));
    row("constants", &format!("{} bytes", model.constant_bytes));
    row("workspace", &format!("{} bytes", model.workspace_bytes));
    io::out(&text)
}

fn tensor_rows(row: &mut impl FnMut(&str, &str), key: &str, tensors: &[Tensor]) {
    for tensor in tensors {
        row(key, &format!("{} {}", tensor.name, tensor.tensor));
    }
}
