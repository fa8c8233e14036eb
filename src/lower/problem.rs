//! Problems: what decides how long the forms of a layer take, as a line of text.
//!
//! ```text
//! conv u8*i8 56x56x64 taps 3x192 strides 3712,64 | 4 ops f32 f32 -> u8
//! depthwise u8*i8 112x112x32 taps 9 strides 3648,32 | 5 ops clamp f32 f32 -> u8
//! ```
//!
//! Sizes are those of loops: dimensions that memory walks as one are one. No name, no weights, no place in memory: equal layers
//! have equal problems, in any model. Tuning files have these lines, so their form is kept.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::kernel::Mac;
use super::pack::Group;
use super::pointwise::PwInst;
use super::window::Convolved;

/// A convolution over channels, or a product with constants.
pub fn dense(convolved: &Convolved, mac: Mac, groups: &[Group]) -> String {
    let runs: BTreeSet<String> = groups.iter().map(runs).collect();
    let runs: Vec<String> = runs.into_iter().collect();
    let split = if groups.len() > 1 { format!(" groups {}", groups.len()) } else { String::new() };
    format!("conv {} taps {}{split}{}", product(convolved, mac), runs.join(" "), rest(convolved))
}

/// A convolution of each channel by itself, with so many taps.
pub fn depthwise(convolved: &Convolved, mac: Mac, taps: usize) -> String {
    format!("depthwise {} taps {taps}{}", product(convolved, mac), rest(convolved))
}

/// `3x192`: runs of neighbouring source elements, and their lengths.
fn runs(group: &Group) -> String {
    let lengths: BTreeSet<usize> = group.runs.iter().map(|run| run.len).collect();
    let lengths: Vec<usize> = lengths.into_iter().collect();
    format!("{}x{}", group.runs.len(), joined(&lengths, "/"))
}

/// Types, pixels and output channels.
fn product(convolved: &Convolved, mac: Mac) -> String {
    let types = match mac {
        Mac::U8I8 | Mac::U8I8Dot => "u8*i8",
        Mac::U8I16 => "u8*i16",
        Mac::F32 => "f32*f32",
    };
    let sizes = [convolved.dims().sizes, vec![convolved.laid.dst.sizes[convolved.channel]]].concat();
    format!("{types} {}", joined(&sizes, "x"))
}

/// Byte strides of the source's pixels, where there are several, and the epilogue.
fn rest(convolved: &Convolved) -> String {
    let strides = &convolved.dims().strides[0];
    let strides = if strides.is_empty() { String::new() } else { format!(" strides {}", joined(strides, ",")) };
    format!("{strides} | {}", epilogue(convolved))
}

/// Number of instructions, the functions among them, types of what is loaded and stored.
fn epilogue(convolved: &Convolved) -> String {
    let program = &convolved.tree.program;
    let function = |inst: &PwInst| match inst {
        PwInst::Unary(op, _) => Some(op.name()),
        _ => None,
    };
    let functions: BTreeSet<&str> = program.insts.iter().filter_map(function).collect();
    let types = convolved.laid.views().map(|view| view.elem.to_string());
    let mut words: Vec<String> = functions.into_iter().map(str::to_owned).chain(types).collect();
    words.insert(words.len() - 1, "->".to_owned());
    format!("{} ops {}", program.insts.len(), words.join(" "))
}

fn joined<T: Display>(values: &[T], separator: &str) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(separator)
}
