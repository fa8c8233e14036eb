//! What `compile` can be told a model must fulfil: `--require-int8`, `--max-workspace`. What is missed is an error with notes
//! that say where.

use std::iter;
use std::path::Path;

use octet::diag::{Diagnostic, Diagnostics, Place, codes};
use octet::emit::report::Report;
use octet::lower::program::{Buffer, Program};

use super::failure::Failure;
use super::table::bytes;

/// A model without multiply-accumulates has nothing that could be in float, and passes.
///
/// # Errors
/// A smaller share than `percent`, with a note for every layer whose multiply-accumulates are in float.
pub fn require_int8(percent: f64, report: &Report<'_>, model: &Path) -> Result<(), Failure> {
    let Some(share) = report.int8_share().filter(|share| *share < percent) else { return Ok(()) };
    let file = Place::file(model.display().to_string());
    // Shares just below the threshold are not rounded up to it.
    let shown = (share * 100.0).floor() / 100.0;
    let message = format!("{shown:.2} % of the MACs are in INT8, less than the {percent} % of --require-int8");
    let all = report.macs().1;
    let islands = report.rows.iter().filter(|row| row.macs != 0 && !row.is_int8()).map(|row| {
        let place = Place { line: row.line, ..file.clone() }.with_item(format!("layer \"{}\"", row.label.layer));
        let reason = row.reason.unwrap_or("no pass gave a reason");
        let share = 100.0 * row.macs as f64 / all as f64;
        Diagnostic::note(place, format!("{share:.2} % of the MACs in {}: {reason}", row.precision))
    });
    let error = Diagnostic::error(&codes::LITTLE_INT8, file.clone(), message);
    Err(Diagnostics(iter::once(error).chain(islands).collect()).into())
}

/// # Errors
/// A larger workspace than `limit` bytes, with a note for every buffer that lives at the step where most is needed.
pub fn max_workspace(limit: u64, program: &Program, model: &Path) -> Result<(), Failure> {
    let needed = program.workspace_bytes as u64;
    if needed <= limit {
        return Ok(());
    }
    let file = Place::file(model.display().to_string());
    let message = format!(
        "the workspace takes {} ({needed} bytes), more than the {} ({limit} bytes) of --max-workspace",
        bytes(needed),
        bytes(limit)
    );
    let error = Diagnostic::error(&codes::LARGE_WORKSPACE, file, message);
    let notes = program.peak().into_iter().flat_map(|(step, buffers)| peak(program, step, &buffers));
    Err(Diagnostics(iter::once(error).chain(notes).collect()).into())
}

/// The step where most is needed, and what lives there.
fn peak(program: &Program, step: usize, buffers: &[&Buffer]) -> Vec<Diagnostic> {
    let layer = |step: usize| format!("layer \"{}\"", program.steps[step].label.layer);
    let sum: usize = buffers.iter().map(|buffer| buffer.bytes).sum();
    let head = format!("most is in use here: {} in {} buffers", bytes(sum as u64), buffers.len());
    let rows = buffers.iter().map(|buffer| {
        let size = format!("{} ({} bytes)", bytes(buffer.bytes as u64), buffer.bytes);
        if buffer.is_variable() {
            return Diagnostic::note(Place::item("variable"), format!("{size} from inference to inference"));
        }
        let kept = if buffer.last == step { String::new() } else { format!(", read last by {}", layer(buffer.last)) };
        Diagnostic::note(Place::item(layer(buffer.first)), format!("{size} since this layer{kept}"))
    });
    iter::once(Diagnostic::note(Place::item(layer(step)), head)).chain(rows).collect()
}
