//! `run`: one inference from files to files.

use alloc::format;

use super::Process;
use super::args::RunOptions;
use super::decimal::Decimal;
use super::error::Failure;
use super::io;
use super::model::Model;
use super::session::Session;
use super::tensors;
use crate::clock::now_ns;
use crate::sys;

pub fn run(model: &Model, process: &Process, options: &RunOptions) -> Result<(), Failure> {
    let outputs = tensors::assign(&model.outputs, &options.outputs, "output")?;
    let inputs = tensors::load_inputs(&model.inputs, &options.inputs)?;
    let mut session = Session::new(model, process, inputs, options.threads())?;
    let begin = now_ns();
    session.infer()?;
    let end = now_ns();
    for ((tensor, buffer), path) in model.outputs.iter().zip(&session.outputs).zip(outputs) {
        match path {
            Some(path) => tensors::store(tensor, path, buffer)?,
            None => io::out(&format!("{} {}: not written, no --output for it\n", tensor.name, tensor.tensor))?,
        }
    }
    if options.time {
        let ms = |ns| Decimal::milliseconds(ns).round(3);
        let (inference, total) = (ms(end - begin), ms(end - process.start_ns));
        io::print(sys::STDERR, &format!("inference {inference} ms, from process start to result {total} ms\n"));
    }
    Ok(())
}
