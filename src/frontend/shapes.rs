//! The shapes of the model's inputs: what the file declares, and what the user decides.
//!
//! Rules: `--shape` gives an input its whole shape; it may change static dimensions, too, where the model's layers
//! allow it. Otherwise `--batch` is dimension 0, static or not, of every input of rank 1 and up. Otherwise a dynamic
//! dimension 0 is 1. What is still dynamic is an error that lists every input.

use crate::diag::{Diagnostic, Place, codes};
use crate::ir::Shape;

use super::ImportOptions;
use super::elements::Dim;

/// An input as the file declares it.
#[derive(Clone, Debug)]
pub struct Declared {
    pub name: String,
    /// All names the user may call it by.
    pub aliases: Vec<String>,
    pub dims: Vec<Dim>,
    pub place: Place,
}

/// One shape per input; `None` after problems were added.
pub fn resolve(
    inputs: &[Declared],
    options: &ImportOptions,
    file: &str,
    problems: &mut Vec<Diagnostic>,
) -> Option<Vec<Shape>> {
    let before = problems.len();
    check_names(inputs, options, problems);
    let shapes: Vec<Option<Shape>> = inputs.iter().map(|input| resolve_one(input, options, problems)).collect();
    if shapes.iter().zip(inputs).any(|(shape, input)| shape.is_none() && is_open(input, options)) {
        problems.push(open_shapes(inputs, options, file));
    }
    if problems.len() > before { None } else { shapes.into_iter().collect() }
}

fn check_names(inputs: &[Declared], options: &ImportOptions, problems: &mut Vec<Diagnostic>) {
    for (index, (name, _)) in options.shapes.iter().enumerate() {
        let known = inputs.iter().any(|input| is_called(input, name));
        let message = match (known, options.shapes[..index].iter().any(|(earlier, _)| earlier == name)) {
            (true, false) => continue,
            (true, true) => format!("--shape is given twice for input \"{name}\""),
            (false, _) => format!("--shape names \"{name}\", which is not an input"),
        };
        let names: Vec<String> = inputs.iter().map(|input| format!("\"{}\"", input.name)).collect();
        let help = format!("the model's inputs are {}", names.join(", "));
        problems.push(Diagnostic::error(&codes::WRONG_SHAPE_OPTION, Place::default(), message).with_help(help));
    }
}

fn resolve_one(input: &Declared, options: &ImportOptions, problems: &mut Vec<Diagnostic>) -> Option<Shape> {
    let dims = match wanted(input, options) {
        Some(dims) => {
            if input.dims.len() != dims.len() {
                let message = format!(
                    "--shape {}={dims:?} has another rank than the declared {}",
                    input.name,
                    declared(&input.dims)
                );
                let help = "give one number per dimension";
                problems
                    .push(Diagnostic::error(&codes::WRONG_SHAPE_OPTION, input.place.clone(), message).with_help(help));
            }
            dims.to_vec()
        }
        None => with_batch(&input.dims, options.batch).into_iter().collect::<Option<Vec<usize>>>()?,
    };
    let shape = Shape::new(dims.clone());
    if shape.is_none() {
        let message = format!("input shape {dims:?} has more than {} elements", Shape::MAX_ELEMENTS);
        problems.push(
            Diagnostic::error(&codes::LARGE_SHAPE, input.place.clone(), message).with_help("choose a smaller shape"),
        );
    }
    shape
}

/// The declared dimensions with the batch filled in.
fn with_batch(dims: &[Dim], batch: Option<usize>) -> Vec<Dim> {
    let mut dims = dims.to_vec();
    if let Some(first) = dims.first_mut() {
        *first = batch.or(*first).or(Some(1));
    }
    dims
}

fn wanted<'o>(input: &Declared, options: &'o ImportOptions) -> Option<&'o [usize]> {
    options.shapes.iter().find(|(name, _)| is_called(input, name)).map(|(_, dims)| dims.as_slice())
}

fn is_called(input: &Declared, name: &str) -> bool {
    input.name == name || input.aliases.iter().any(|alias| alias == name)
}

fn is_open(input: &Declared, options: &ImportOptions) -> bool {
    wanted(input, options).is_none() && with_batch(&input.dims, options.batch).contains(&None)
}

fn open_shapes(inputs: &[Declared], options: &ImportOptions, file: &str) -> Diagnostic {
    let lines = inputs.iter().map(|input| {
        let state = if is_open(input, options) { "needs a shape" } else { "fixed" };
        format!("\n    \"{}\" {} ({state})", input.name, declared(&input.dims))
    });
    let message = format!("inputs have dynamic dimensions other than the batch:{}", lines.collect::<String>());
    let flags = inputs.iter().filter(|input| is_open(input, options)).map(|input| {
        let dims = with_batch(&input.dims, options.batch)
            .into_iter()
            .map(|dim: Dim| dim.map_or("N".into(), |dim| dim.to_string()));
        format!("--shape {}=[{}]", input.name, dims.collect::<Vec<String>>().join(","))
    });
    let help = format!("give {} with a number for each N", flags.collect::<Vec<String>>().join(" "));
    Diagnostic::error(&codes::OPEN_SHAPE, Place::file(file), message).with_help(help)
}

fn declared(dims: &[Dim]) -> String {
    let dims: Vec<String> = dims.iter().map(|dim| dim.map_or("?".into(), |dim| dim.to_string())).collect();
    format!("[{}]", dims.join(","))
}
