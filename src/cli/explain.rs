//! `explain`: a row for every layer of the compiled model, and the share of the work in INT8.

use std::io;

use octet::driver::{self, Monitor};
use octet::emit::page;
use octet::emit::report::{Report, Row};

use super::args::ExplainArgs;
use super::artifacts::write_file;
use super::compile::print_warnings;
use super::failure::Failure;
use super::failure::print;
use super::progress::Progress;
use super::table::{Align, table};

pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let options = args.model.options()?;
    let mut progress = Progress::new();
    let mut stage = |stage| progress.stage(stage);
    let plan = driver::plan(&args.model.model, &options, &mut Monitor { stage: &mut stage, log: &mut io::stderr() })?;
    progress.clear();
    print_warnings(&plan);
    let report = plan.report();
    if let Some(path) = &args.html {
        write_file(path, page::html(&report, &plan.program, None).as_bytes())?;
    }
    if args.json {
        return print(&format!("{:#}\n", report.json()));
    }
    match &args.html {
        Some(path) => print(&format!("{}wrote {}\n", summary(&report), path.display())),
        None => print(&text(&report)),
    }
}

const COLUMNS: [(&str, Align); 8] = [
    ("layer", Align::Left),
    ("line", Align::Right),
    ("type", Align::Left),
    ("precision", Align::Left),
    ("kernel", Align::Left),
    ("form", Align::Left),
    ("MACs", Align::Right),
    ("reason", Align::Left),
];

fn text(report: &Report<'_>) -> String {
    let rows: Vec<Vec<String>> = report.rows.iter().map(cells).collect();
    format!("{}\n{}", table(&COLUMNS, &rows), summary(report))
}

fn cells(row: &Row<'_>) -> Vec<String> {
    vec![
        row.label.layer.clone(),
        row.line.map(|line| line.to_string()).unwrap_or_default(),
        row.label.layer_type.clone(),
        row.precision.to_owned(),
        row.kernel.clone(),
        row.form(),
        if row.macs == 0 { String::new() } else { row.macs.to_string() },
        row.reason.unwrap_or_default().to_owned(),
    ]
}

/// `resnet50: 100.0 % of 4089184256 MACs in INT8; 57 of 59 rows in INT8`
fn summary(report: &Report<'_>) -> String {
    let int8_rows = report.rows.iter().filter(|row| row.is_int8()).count();
    let share = match report.int8_share() {
        Some(share) => format!("{share:.2} % of {} MACs in INT8", report.macs().1),
        None => "no multiply-accumulates".to_owned(),
    };
    format!("{}: {share}; {int8_rows} of {} rows in INT8\n", report.model, report.rows.len())
}
