//! Every family of kernels over shapes of the networks users compile: GMAC/s or GB/s, and per cent of the peak measured in the
//! same run.
//!
//! ```text
//! cargo bench --bench kernels                       all rows on this CPU, one thread
//! cargo bench --bench kernels -- conv/3x3 --cpu x86-64-v3 --threads 2
//! cargo bench --bench kernels -- --check-model      fails where the cost model is off by more than 20 %
//! ```
//!
//! A row is a graph of one layer. It takes the compiler's own way (passes, lowering, code, program), so the kernel is the one
//! that lowering chooses for the shape; the program's `bench --profile` times it and measures the peak. Its result is first
//! compared with the interpreter of graphs: a row whose result is wrong is not timed, and the exit code is 1. So it is when a
//! family of `lower::kernel` has no row.
//!
//! All rows are timed in turn, for several rounds, and the best of the rounds counts: what disturbs a machine lasts longer than a row.
//! On a machine that does other work, run it with `chrt -f 50`: a core whose caches and clock others change cannot be predicted.

mod measure;
mod rows;

use std::process::ExitCode;

use measure::{Measured, Prepared, Settings};
use octet::codegen::target::Target;
use rows::Row;

const USAGE: &str =
    "cargo bench --bench kernels -- [FILTER]... [--cpu CPU] [--threads N] [--seconds S] [--rounds N] [--list] [--check-model]

FILTER: rows whose names contain it; all if there is none
--cpu: as of `octet compile`, default native; --threads: default 1; --seconds: per row and round, default 0.1
--rounds: default 5
--list: the names of the rows
--check-model: fail where the model (docs/kernels.md, \"What a kernel costs\") is off by more than 20 %";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let rows = rows::all();
    let chosen: Vec<&Row> = rows.iter().filter(|row| options.chooses(&row.name)).collect();
    if options.list {
        chosen.iter().for_each(|row| println!("{}", row.name));
        return ExitCode::SUCCESS;
    }
    println!("{}, {} thread(s)\n{}", options.settings.target.cpu_name(), options.settings.threads, Measured::header());
    let mut problems = Vec::new();
    let prepared = chosen.iter().filter_map(|row| {
        Prepared::new(row, &options.settings).map_err(|problem| problems.push(format!("{}: {problem}", row.name))).ok()
    });
    let prepared: Vec<Prepared> = prepared.collect();
    let mut measured: Vec<Option<Measured>> = prepared.iter().map(|_| None).collect();
    for _ in 0..options.rounds {
        for (prepared, best) in prepared.iter().zip(&mut measured) {
            match (prepared.measure(&options.settings), best.take()) {
                (Ok(measured), Some(other)) => *best = Some(measured.better(other)),
                (Ok(measured), None) => *best = Some(measured),
                (Err(problem), _) => problems.push(format!("{}: {problem}", prepared.row.name)),
            }
        }
    }
    for (prepared, measured) in prepared.iter().zip(&measured) {
        let Some(measured) = measured else { continue };
        println!("{}", measured.line(prepared.row));
        if options.check_model && !measured.is_predicted() {
            problems.push(format!("{}: predicted {:.2} of the time measured", prepared.row.name, measured.ratio()));
        }
    }
    problems.extend(rows::families_without_rows(&rows).iter().map(|family| format!("no row for the family {family}")));
    problems.iter().for_each(|problem| eprintln!("error: {problem}"));
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Options {
    filters: Vec<String>,
    list: bool,
    check_model: bool,
    rounds: usize,
    settings: Settings,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
        let (mut filters, mut list, mut cpu) = (Vec::new(), false, "native".to_owned());
        let (mut threads, mut seconds, mut rounds, mut check_model) = (1, 0.1, 5, false);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                // What cargo adds.
                "--bench" => {}
                "--list" => list = true,
                "--check-model" => check_model = true,
                "--cpu" => cpu = value()?,
                "--threads" => threads = value()?.parse().map_err(|_| "--threads takes a number".to_owned())?,
                "--seconds" => seconds = value()?.parse().map_err(|_| "--seconds takes a number".to_owned())?,
                "--rounds" => rounds = value()?.parse().map_err(|_| "--rounds takes a number".to_owned())?,
                option if option.starts_with('-') => return Err(format!("there is no option {option}")),
                _ => filters.push(word),
            }
        }
        let settings = Settings { target: Target::parse(None, &cpu)?, threads, seconds };
        Ok(Options { filters, list, check_model, rounds, settings })
    }

    fn chooses(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter.as_str()))
    }
}
