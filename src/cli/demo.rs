//! `demo`: the whole path on a network that octet brings along, from model files to a native program that reads digits.
//!
//! Nothing is special about the model: the files are written to a directory and everything goes on from there as
//! `octet compile`, `run` and `bench` would do it. The program is asked once for each digit.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use octet::codegen::target::Target;
use octet::diag::{Diagnostic, Place, codes};
use octet::driver::{CompileOptions, Compiled};
use octet::frontend::ImportOptions;
use octet::passes::manager::Options as PassOptions;
use octet_runtime::abi::ElementType;
use octet_runtime::npy::{self, Header, TensorType};
use serde_json::Value;

use super::args::{DemoArgs, Emit};
use super::artifacts::{self, write_file};
use super::compile::compile;
use super::failure::Failure;
use super::failure::print;
use super::native::cannot_run;
use super::picture::{self, Style};
use super::progress::Progress;
use super::table::bytes;
use super::temp::TempDir;

const XML: &[u8] = include_bytes!("../../examples/digits/model/digits.xml");
const BIN: &[u8] = include_bytes!("../../examples/digits/model/digits.bin");
const IMAGES: &[u8] = include_bytes!("../../examples/digits/digits_images.npy");
const LABELS: &[u8] = include_bytes!("../../examples/digits/digits_labels.npy");

/// Pixels of a side.
const SIDE: usize = 8;
/// Digits that are shown.
const SHOWN: usize = 8;
/// How long the latency is measured.
const BENCH_SECONDS: &str = "0.5";

pub fn run(args: &DemoArgs) -> Result<(), Failure> {
    let temporary = if args.keep.is_none() { Some(TempDir::new()?) } else { None };
    let directory = match (&args.keep, &temporary) {
        (Some(keep), _) => keep.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => PathBuf::new(),
    };
    fs::create_dir_all(&directory).map_err(|error| Failure::io(&directory, "be created", &error))?;
    let demo = Demo::prepare(directory)?;
    let predictions = demo.predictions()?;
    let latency = demo.latency()?;
    let mut text = String::new();
    demo.show_digits(&mut text, &predictions, Style::of_stdout());
    demo.show_numbers(&mut text, &predictions, &latency)?;
    show_next(&mut text, args.keep.as_deref());
    print(&text)
}

/// The digits, and the program that reads them.
struct Demo {
    directory: PathBuf,
    program: PathBuf,
    compiled: Compiled,
    cpu: String,
    /// One image after the other.
    pixels: Vec<f32>,
    labels: Vec<usize>,
}

/// Milliseconds of one inference.
struct Latency {
    first: f64,
    median: f64,
}

impl Demo {
    /// Writes the model's files, compiles them, writes the program and its header.
    fn prepare(directory: PathBuf) -> Result<Demo, Failure> {
        let xml = directory.join("digits.xml");
        write_file(&xml, XML)?;
        write_file(&xml.with_extension("bin"), BIN)?;
        write_file(&directory.join("digits_images.npy"), IMAGES)?;
        write_file(&directory.join("digits_labels.npy"), LABELS)?;
        let target = Target::native().map_err(|reason| Failure::usage(&codes::OTHER_MACHINE, reason))?;
        let cpu = target.cpu_name();
        let options = CompileOptions {
            import: ImportOptions::default(),
            name: None,
            target,
            fallbacks: Vec::new(),
            passes: PassOptions::default(),
            tuning: octet::tuning::Tuning::default(),
            strip_debug: false,
        };
        let compiled = compile(&xml, &options)?;
        let program = directory.join("digits");
        artifacts::write(Emit::Exe, &compiled, &options.target, &program)?;
        artifacts::write(Emit::Header, &compiled, &options.target, &directory.join("digits.h"))?;
        let pixels = words(IMAGES, f32::from_le_bytes);
        let labels = words(LABELS, i64::from_le_bytes).into_iter().map(|label| label as usize).collect();
        Ok(Demo { directory, program, compiled, cpu, pixels, labels })
    }

    fn images(&self) -> impl Iterator<Item = &[f32]> {
        self.pixels.chunks_exact(SIDE * SIDE)
    }

    /// The digit the program sees in each image.
    fn predictions(&self) -> Result<Vec<usize>, Failure> {
        let mut progress = Progress::new();
        let (input, output) = (self.directory.join("image.npy"), self.directory.join("logits.npy"));
        let mut predictions = Vec::new();
        for (index, image) in self.images().enumerate() {
            progress.say(&format!("digit {} of {}", index + 1, self.labels.len()));
            write_file(&input, &npy_of(image))?;
            self.call(&["run", "--threads=1", &argument("--input", &input), &argument("--output", &output)])?;
            let logits = fs::read(&output).map_err(|error| Failure::io(&output, "be read", &error))?;
            predictions.push(greatest(&words(&logits, f32::from_le_bytes)));
        }
        Ok(predictions)
    }

    /// As the program measures it, on one thread.
    fn latency(&self) -> Result<Latency, Failure> {
        let mut progress = Progress::new();
        progress.say("measuring the latency");
        let report = self.directory.join("bench.json");
        let duration = format!("--duration={BENCH_SECONDS}");
        self.call(&["bench", "--threads=1", &duration, &argument("--json", &report)])?;
        let text = fs::read_to_string(&report).map_err(|error| Failure::io(&report, "be read", &error))?;
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        let number = |value: &Value| value.as_f64();
        match (number(&json["first_inference_ms"]), number(&json["latency_ms"]["median"])) {
            (Some(first), Some(median)) => Ok(Latency { first, median }),
            _ => Err(Diagnostic::internal(Place::item("demo"), "the program's report lacks its latency").into()),
        }
    }

    /// Runs the program; what it prints is shown only if it fails.
    fn call(&self, line: &[&str]) -> Result<(), Failure> {
        let output =
            Command::new(&self.program).args(line).output().map_err(|error| cannot_run(&self.program, &error))?;
        if output.status.success() {
            return Ok(());
        }
        let message = format!("the program failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        Err(Diagnostic::internal(Place::item("demo"), message).into())
    }

    /// Some digits side by side, and under each what the program says.
    fn show_digits(&self, text: &mut String, predictions: &[usize], style: Style) {
        let per_row = if style == Style::Shades { SHOWN } else { SHOWN / 2 };
        let shown: Vec<usize> = (0..self.labels.len().min(SHOWN)).collect();
        let images: Vec<&[f32]> = self.images().collect();
        for row in shown.chunks(per_row) {
            let pictures: Vec<Vec<String>> =
                row.iter().map(|&index| picture::lines(images[index], SIDE, style)).collect();
            for line in 0..pictures[0].len() {
                let parts: Vec<&str> = pictures.iter().map(|picture| picture[line].as_str()).collect();
                text.push_str(parts.join("   ").trim_end());
                text.push('\n');
            }
            let width = if style == Style::Shades { SIDE } else { 2 * SIDE };
            let captions = row.iter().map(|&index| format!("{:<width$}", self.caption(index, predictions)));
            text.push_str(captions.collect::<Vec<_>>().join("   ").trim_end());
            text.push_str("\n\n");
        }
    }

    fn caption(&self, index: usize, predictions: &[usize]) -> String {
        match (predictions[index], self.labels[index]) {
            (prediction, label) if prediction == label => format!("is a {prediction}"),
            (prediction, label) => format!("{prediction}, not {label}"),
        }
    }

    fn show_numbers(&self, text: &mut String, predictions: &[usize], latency: &Latency) -> Result<(), Failure> {
        let right = predictions.iter().zip(&self.labels).filter(|(prediction, label)| prediction == label).count();
        let (all, object) = (self.labels.len(), &self.compiled.object);
        let sizes = &object.sizes;
        let program = fs::metadata(&self.program).map_err(|error| Failure::io(&self.program, "be read", &error))?.len();
        let report = self.compiled.plan.report();
        let compile_seconds: f64 = self.compiled.plan.times.iter().map(|(_, time)| time.as_secs_f64()).sum();
        let mut row = |key: &str, value: String| {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{key:<10} {value}");
        };
        row("accuracy", format!("{right} of {all} held-out digits right ({:.1} %)", 100.0 * right as f64 / all as f64));
        row(
            "latency",
            format!("{:.4} ms median, {:.4} ms the very first time; one thread", latency.median, latency.first),
        );
        row("int8", format!("{:.1} % of multiply-accumulates", report.int8_share().unwrap_or_default()));
        row(
            "program",
            format!("{}: the runtime, and an object of {}", bytes(program), bytes(object.bytes.len() as u64)),
        );
        row(
            "object",
            format!("{} constants, {} code", bytes(sizes.constant_bytes as u64), bytes(sizes.code_bytes as u64)),
        );
        row(
            "memory",
            format!("{} workspace, {} stack", bytes(sizes.workspace_bytes as u64), bytes(sizes.stack_bytes as u64)),
        );
        row(
            "compiled",
            format!(
                "for {} in {compile_seconds:.2} s, from {} of model",
                self.cpu,
                bytes((XML.len() + BIN.len()) as u64)
            ),
        );
        Ok(())
    }
}

/// What to try with the files that were kept, or how to keep them.
fn show_next(text: &mut String, kept: Option<&Path>) {
    let commands = match kept {
        None => "octet demo --keep demo        keep model, program and digits in a directory\n  \
                 octet --help                  compile models of your own\n"
            .to_owned(),
        Some(directory) => {
            let at = directory.display();
            format!(
                "{at}/digits info\n  \
                 {at}/digits bench --profile\n  \
                 octet explain {at}/digits.xml\n  \
                 octet compile {at}/digits.xml --emit obj,header -o {at}/digits.o\n"
            )
        }
    };
    text.push_str("\nnext:\n  ");
    text.push_str(&commands);
}

/// `--name=path`
fn argument(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// The elements of a `.npy` file; none if it is no such file.
fn words<const N: usize, T>(file: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    let offset = Header::parse(file).map_or(file.len(), |header| header.data_offset);
    file[offset..].as_chunks::<N>().0.iter().map(|&word| read(word)).collect()
}

/// A `.npy` file of one image, in the shape of the model's input.
fn npy_of(image: &[f32]) -> Vec<u8> {
    let side = SIDE as u64;
    let mut file = npy::header(&TensorType { element: ElementType::F32, dims: vec![1, 1, side, side] });
    file.extend(image.iter().flat_map(|pixel| pixel.to_le_bytes()));
    file
}

/// Index of the greatest value, the first of equal ones.
fn greatest(values: &[f32]) -> usize {
    let best = values.iter().enumerate().rev().max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_fit_together() {
        let pixels = words(IMAGES, f32::from_le_bytes);
        let labels = words(LABELS, i64::from_le_bytes);
        assert_eq!(pixels.len(), labels.len() * SIDE * SIDE);
        assert!(labels.len() >= SHOWN && labels.iter().all(|label| (0..10).contains(label)));
        assert!(pixels.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
    }

    #[test]
    fn greatest_is_the_first_of_equals() {
        assert_eq!(greatest(&[1.0, 3.0, 3.0, -1.0]), 1);
        assert_eq!(greatest(&[]), 0);
    }
}
