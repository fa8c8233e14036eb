//! What a compilation did to each operation: precision, kernel, and why something computes in float.
//!
//! A row is a run of steps for one layer: its kernel, and the copies and borders around it. A layer that multiplies in two
//! precisions (the products of an attention, of a recurrent sequence) has two rows. Layers that were fused into one
//! kernel share a row. A row's reason is a remark of the passes about one of its layers, the main layer's first.
//! Multiply-accumulates measure how much of the work is in INT8.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Value, json};

use crate::codegen::object::Sizes;
use crate::ir::Graph;
use crate::lower::choice::{Candidate, Choice};
use crate::lower::kernel::KernelSpec;
use crate::lower::program::{Label, Program, Step};
use crate::passes::Remark;
use crate::passes::lpt::Refusal;

/// The rows, and what they sum up to.
pub struct Report<'p> {
    pub model: &'p str,
    pub rows: Vec<Row<'p>>,
}

/// What computes one layer, with what is fused into it.
pub struct Row<'p> {
    /// Of the step that does most.
    pub label: &'p Label,
    /// Line of the layer in the source, from 1; none for what no layer asked for.
    pub line: Option<u32>,
    /// `I8`, `I32`, `FP32`: what the main kernel computes in.
    pub precision: &'static str,
    /// The kernels as profiles name them, the main one first: `conv_u8i8_I8 + 4 fill_I8`.
    pub kernel: String,
    pub macs: u64,
    /// In which form it is computed, and which others there are; none for kernels that have one form.
    pub choice: Option<&'p Choice>,
    /// Cycles of one core, by estimate.
    pub cycles: u64,
    /// Numbers of its steps in the program.
    pub steps: Range<usize>,
    /// It computes nothing: a border, a copy.
    pub moves_only: bool,
    /// Why it computes in float, as far as a pass said so.
    pub reason: Option<&'p str>,
}

impl<'p> Report<'p> {
    /// `graph` is what was lowered to `program`; it knows the lines of the layers.
    pub fn new(graph: &'p Graph, program: &'p Program, remarks: &'p [Remark]) -> Report<'p> {
        let lines: BTreeMap<&str, u32> =
            graph.all_layers().map(|(_, layer)| (layer.name.as_str(), layer.line)).collect();
        let mut first = 0;
        let rows = groups(program).map(|steps| {
            let begin = first;
            first += steps.len();
            Row::new(begin..first, program, &lines, remarks)
        });
        let rows = rows.collect();
        Report { model: &program.name, rows }
    }

    /// Multiply-accumulates of one inference: those in INT8, and all.
    pub fn macs(&self) -> (u64, u64) {
        let int8 = self.rows.iter().filter(|row| row.is_int8()).map(|row| row.macs).sum();
        (int8, self.rows.iter().map(|row| row.macs).sum())
    }

    /// Share of the multiply-accumulates in INT8, in per cent; none for a model without any.
    pub fn int8_share(&self) -> Option<f64> {
        let (int8, all) = self.macs();
        (all != 0).then(|| 100.0 * int8 as f64 / all as f64)
    }

    /// The whole report as JSON.
    pub fn json(&self) -> Value {
        let (int8, all) = self.macs();
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        json!({
            "model": self.model,
            "macs": all,
            "int8_macs": int8,
            "int8_share_percent": self.int8_share(),
            "layers": rows,
        })
    }
}

/// Bytes of the model's memory as JSON.
pub fn memory_json(sizes: &Sizes) -> Value {
    json!({
        "constant_bytes": sizes.constant_bytes,
        "code_bytes": sizes.code_bytes,
        "workspace_bytes": sizes.workspace_bytes,
        "stack_bytes": sizes.stack_bytes,
    })
}

/// Runs of steps for one layer, cut where its multiply-accumulates go on in another precision.
fn groups(program: &Program) -> impl Iterator<Item = &[Step]> {
    let mut precision = None;
    program.steps.chunk_by(move |a, b| {
        let of = |step: &Step| (step.label.macs != 0).then(|| program.kernels[step.kernel].precision());
        let (same_layer, next) = (a.label.layer == b.label.layer, of(b));
        precision = of(a).or(precision);
        let same = same_layer && (next.is_none() || precision.is_none() || next == precision);
        if !same {
            precision = next;
        }
        same
    })
}

impl<'p> Row<'p> {
    /// `range` is not empty.
    fn new(range: Range<usize>, program: &'p Program, lines: &BTreeMap<&str, u32>, remarks: &'p [Remark]) -> Row<'p> {
        let steps = &program.steps[range.clone()];
        let spec = |step: &Step| &program.kernels[step.kernel];
        let weight = |step: &Step| (step.label.macs, !moves_only(spec(step)), spec(step).elements());
        let (index, main) = steps.iter().enumerate().max_by_key(|(_, step)| weight(step)).unwrap_or((0, &steps[0]));
        let number = range.start + index;
        let precision = spec(main).precision();
        let reason = if precision == "FP32" { reason(&main.label, remarks) } else { None };
        Row {
            label: &main.label,
            line: lines.get(main.label.layer.as_str()).copied().filter(|&line| line != 0),
            precision,
            kernel: kernels(&spec(main).exec_type(), steps.iter().map(|step| spec(step).exec_type())),
            macs: steps.iter().map(|step| step.label.macs).sum(),
            choice: program.choices.iter().find(|choice| choice.steps.contains(&number)),
            cycles: steps.iter().map(|step| step.label.cycles).sum(),
            steps: range,
            moves_only: moves_only(spec(main)),
            reason,
        }
    }

    pub fn is_int8(&self) -> bool {
        self.precision == "I8"
    }

    /// Name of the form that was chosen: `winograd`; empty without a choice.
    pub fn form(&self) -> String {
        self.choice.map_or_else(String::new, |choice| choice.form().to_string())
    }

    fn json(&self) -> Value {
        let candidate =
            |candidate: &Candidate| json!({ "form": candidate.form.to_string(), "cycles": candidate.cycles });
        let candidates = |choice: &Choice| choice.candidates.iter().map(candidate).collect::<Vec<_>>();
        json!({
            "layer": self.label.layer,
            "line": self.line,
            "layers": self.label.layers,
            "type": self.label.layer_type,
            "precision": self.precision,
            "kernel": self.kernel,
            "form": self.choice.map(|choice| choice.form().to_string()),
            "problem": self.choice.map(|choice| &choice.problem),
            "candidates": self.choice.map(candidates).unwrap_or_default(),
            "macs": self.macs,
            "estimated_cycles": self.cycles,
            "reason": self.reason,
        })
    }
}

/// Whether a kernel computes nothing: a border, a copy.
fn moves_only(spec: &KernelSpec) -> bool {
    matches!(spec, KernelSpec::Copy(_) | KernelSpec::Fill(_))
}

/// A row's kernels with their numbers, `main` first.
fn kernels(main: &str, all: impl Iterator<Item = String>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for kernel in all {
        *counts.entry(kernel).or_default() += 1;
    }
    let counted = |kernel: &str, count: usize| match count {
        1 => kernel.to_owned(),
        count => format!("{count} {kernel}"),
    };
    let first = counted(main, counts.remove(main).unwrap_or(1));
    let others = counts.into_iter().map(|(kernel, count)| format!(" + {}", counted(&kernel, count)));
    first + &others.collect::<String>()
}

/// The remark about the main layer, else about any of the layers: first one that tells of more than of a function that
/// has a float form only.
fn reason<'p>(label: &Label, remarks: &'p [Remark]) -> Option<&'p str> {
    let about = |layer: &String| {
        let own = || remarks.iter().filter(|remark| remark.layers.contains(layer));
        own().find(|remark| remark.refusal != Some(Refusal::FloatFunction)).or_else(|| own().next())
    };
    let remark = about(&label.layer).or_else(|| label.layers.iter().find_map(about));
    remark.map(|remark| remark.message.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_counted() {
        let row = |main: &str, all: &[&str]| kernels(main, all.iter().map(|kernel| kernel.to_string()));
        assert_eq!(row("conv", &["fill", "conv", "fill"]), "conv + 2 fill");
        assert_eq!(row("copy", &["copy", "copy"]), "2 copy");
        assert_eq!(row("pool", &["pool"]), "pool");
    }
}
