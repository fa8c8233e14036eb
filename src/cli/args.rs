//! What may be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::bench::args::BenchArgs;
use super::examples;
use super::model_args::{ModelArgs, PassArgs, ShapeArgs};
use super::tune::args::TuneArgs;

/// Compile quantized OpenVINO models to native INT8 programs and libraries.
#[derive(Parser)]
#[command(name = "octet", version, after_help = examples::OCTET, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Compile a model to a program, an object, a library, a C header.
    #[command(after_help = examples::COMPILE)]
    Compile(CompileArgs),
    /// Compile a model to a temporary place and run it on .npy files.
    #[command(after_help = examples::RUN)]
    Run(RunArgs),
    /// Compile a model to a temporary place and measure its latency.
    #[command(after_help = examples::BENCH)]
    Bench(BenchArgs),
    /// Show precision and kernel of every step, or why it computes in float.
    #[command(after_help = examples::EXPLAIN)]
    Explain(ExplainArgs),
    /// Run passes on a model and print the graph.
    #[command(after_help = examples::OPT)]
    Opt(OptArgs),
    /// Say whether a model is supported, with all problems at once.
    #[command(after_help = examples::CHECK)]
    Check(CheckArgs),
    /// Compile a small network that octet brings along, and run it on handwritten digits.
    #[command(after_help = examples::DEMO)]
    Demo(DemoArgs),
    /// Explain the code of an error: cause, example, remedy.
    #[command(after_help = examples::EXPLAIN_CODE)]
    ExplainCode(ExplainCodeArgs),
    /// Print a script that completes octet's command line in a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Write manual pages.
    #[command(after_help = examples::MAN)]
    Man(ManArgs),
    /// Write the CMake package with octet_add_model(), for find_package(octet).
    #[command(after_help = examples::CMAKE)]
    Cmake(CmakeArgs),
}

#[derive(Args)]
pub struct CompileArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Where to write the first of --emit; the others stand beside it. Default: the model's name.
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// What to write.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "exe")]
    pub emit: Vec<Emit>,
    /// Fail, with the list of what computes in float, if a smaller share of the multiply-accumulates than this is in INT8.
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    pub require_int8: Option<f64>,
    /// Leave out the line information that lets debuggers and profilers name layers and their lines in the model.
    #[arg(long)]
    pub strip_debug: bool,
    /// Fail, with what is in memory when most is, if one inference needs more memory for intermediate results.
    #[arg(long, value_name = "BYTES|KiB|MiB", value_parser = parse_bytes)]
    pub max_workspace: Option<u64>,
    /// Write what became of each layer: a page for browsers, or JSON, by the extension.
    #[arg(long, value_name = "FILE.html|FILE.json")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub tune: TuneArgs,
    /// Print a summary as JSON, and errors too.
    #[arg(long)]
    pub json: bool,
    /// Say nothing on success.
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Emit {
    /// A program with run, bench and info.
    Exe,
    /// An object for your linker.
    Obj,
    /// A static library.
    Staticlib,
    /// A shared library; needs `cc`.
    Sharedlib,
    /// The C header of the model.
    Header,
    /// The Rust module of the model, for `octet_runtime::include_model!`.
    Rust,
    /// A .pc file for pkg-config, beside the static library and the header.
    Pkgconfig,
    /// The steps as an OpenVINO execution graph, which Netron opens.
    ExecGraph,
}

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// An input; without NAME in the model's order.
    #[arg(short, long = "input", value_name = "[NAME=]FILE.npy", required = true)]
    pub inputs: Vec<String>,
    /// Where an output goes; without NAME in the model's order. None: outputs are summarised.
    #[arg(short, long = "output", value_name = "[NAME=]FILE.npy")]
    pub outputs: Vec<String>,
    /// Default: the number of CPUs.
    #[arg(long, value_name = "N")]
    pub threads: Option<String>,
    /// Report how long it took.
    #[arg(long)]
    pub time: bool,
}

#[derive(Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Print JSON, errors too.
    #[arg(long)]
    pub json: bool,
    /// Write a page that draws the model with precision by colour; a browser opens it, no network is needed.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

#[derive(Args)]
pub struct OptArgs {
    /// An .oir text file, or an OpenVINO model.
    #[arg(required_unless_present = "list")]
    pub file: Option<PathBuf>,
    /// Passes to run, in order; `all` stands for those of the compiler. Default: none.
    #[arg(long, value_name = "PASS,..", value_delimiter = ',')]
    pub passes: Vec<String>,
    /// Write an .oir file (and its constants beside it) instead of printing.
    #[arg(short, long, value_name = "FILE.oir")]
    pub output: Option<PathBuf>,
    /// Print Graphviz instead of text.
    #[arg(long, conflicts_with = "output")]
    pub dot: bool,
    /// List the passes.
    #[arg(long, exclusive = true)]
    pub list: bool,
    #[command(flatten)]
    pub shapes: ShapeArgs,
    #[command(flatten)]
    pub pass_options: PassArgs,
}

#[derive(Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Print JSON, problems too.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct DemoArgs {
    /// Keep the model, the program, its header and the digits in this directory.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

#[derive(Args)]
pub struct ExplainCodeArgs {
    /// As it stands behind `error`: E0305. Default: a list of all.
    pub code: Option<String>,
}

#[derive(Args)]
pub struct CompletionsArgs {
    pub shell: clap_complete::Shell,
}

#[derive(Args)]
pub struct ManArgs {
    /// Where to write octet.1, octet-compile.1 and the others.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

impl Command {
    /// Errors are for programs to read.
    pub fn wants_json(&self) -> bool {
        match self {
            Command::Compile(args) => args.json,
            Command::Explain(args) => args.json,
            Command::Check(args) => args.json,
            Command::Run(_)
            | Command::Bench(_)
            | Command::Opt(_)
            | Command::Demo(_)
            | Command::ExplainCode(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Cmake(_) => false,
        }
    }
}

#[derive(Args)]
pub struct CmakeArgs {
    /// Where octetConfig.cmake and octetConfigVersion.cmake go.
    pub directory: PathBuf,
}

/// A number of per cent, perhaps with a fraction; the sign may be left out.
fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>().ok();
    number.filter(|number| (0.0..=100.0).contains(number)).ok_or_else(|| "write a number from 0 to 100".to_owned())
}

/// A number of bytes, perhaps with a unit of 1024 (KiB, MiB, GiB) or of 1000 (KB, MB, GB) of them.
fn parse_bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 7] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("B", 1),
    ];
    let unit = UNITS.iter().find(|(name, _)| text.len() > name.len() && text.ends_with(name));
    let (number, scale) = unit.map_or((text, 1), |(name, scale)| (&text[..text.len() - name.len()], *scale));
    let number = number.trim().parse::<f64>().ok().filter(|number| (0.0..1e15).contains(number));
    number
        .map(|number| (number * scale as f64) as u64)
        .ok_or_else(|| "write a number of bytes, as 65536, 512KiB or 1.5MiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        let parsed = |text| parse_percent(text).map_err(|_| ());
        assert_eq!([parsed("0"), parsed("99.5"), parsed("100%")], [Ok(0.0), Ok(99.5), Ok(100.0)]);
        assert_eq!([parsed("101"), parsed("-1"), parsed("nan"), parsed("all")], [Err(()); 4]);
    }

    #[test]
    fn sizes() {
        let parsed = |text| parse_bytes(text).map_err(|_| ());
        assert_eq!([parsed("65536"), parsed("64KiB"), parsed("65536B"), parsed("64 KiB")], [Ok(65536); 4]);
        assert_eq!([parsed("1.5MiB"), parsed("2MB"), parsed("0")], [Ok(1572864), Ok(2000000), Ok(0)]);
        assert_eq!([parsed("-1"), parsed("KiB"), parsed("1 TiB"), parsed("nan"), parsed("")], [Err(()); 5]);
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
