//! Options of `bench`. Those under "Like benchmark_app" have the names of OpenVINO's tool, whose flags [`super::benchmark_app`]
//! turns into these.

use std::path::PathBuf;

use clap::builder::ArgPredicate;
use clap::{Args, ValueEnum};

use crate::cli::model_args::ModelArgs;

const LIKE_OPENVINO: &str = "Like benchmark_app";

// A comparison reads no model. The name it gets then is never looked at: other commands have a model always.
#[derive(Args)]
#[command(mut_arg("model", |model| {
    model.required_unless_present("compare").default_value_if("compare", ArgPredicate::IsPresent, "none")
}))]
pub struct BenchArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Inputs that are not given are pseudo-random numbers.
    #[arg(short, long = "input", value_name = "[NAME=]FILE.npy")]
    pub inputs: Vec<String>,
    /// Default: the number of CPUs.
    #[arg(long, value_name = "N")]
    pub threads: Option<String>,
    /// Seconds to measure; 3 if neither this nor --iterations is given.
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<String>,
    /// Inferences to measure.
    #[arg(long, value_name = "N")]
    pub iterations: Option<String>,
    /// Inferences before those that are measured. Default: 10, and as many as fit into a tenth of a second.
    #[arg(long, value_name = "N")]
    pub warmup: Option<String>,
    /// Add a row for each layer, with its share of the time and its distance from the peak of this machine.
    #[arg(long)]
    pub profile: bool,
    /// Write the numbers and all latencies into this file, or those of --compare.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the rows of the profile into this file.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write a page with the distribution of the latencies and a profile; a browser opens it, no network is needed.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Compare two files of --json instead of measuring: exit code 1 if B is slower by more than the threshold and more than
    /// chance explains.
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"], conflicts_with_all = ["model", "profile", "html", "csv"])]
    pub compare: Option<Vec<PathBuf>>,
    /// How much slower B may be.
    #[arg(long, value_name = "PERCENT", default_value = "3", value_parser = parse_percent)]
    pub threshold: f64,
    #[command(flatten)]
    pub like_openvino: OpenVinoArgs,
}

#[derive(Args)]
pub struct OpenVinoArgs {
    /// Print in the form of benchmark_app.
    #[arg(long, hide = true)]
    pub benchmark_app: bool,
    /// Order and choice of the layers that --profile prints.
    #[arg(long, value_enum, help_heading = LIKE_OPENVINO)]
    pub pcsort: Option<Order>,
    /// Write benchmark_report and, with counters, a report of the layers.
    #[arg(long, value_enum, help_heading = LIKE_OPENVINO)]
    pub report_type: Option<Counters>,
    /// Where reports go. Default: this directory.
    #[arg(long, value_name = "DIR", help_heading = LIKE_OPENVINO)]
    pub report_folder: Option<PathBuf>,
    /// Write reports as JSON instead of CSV.
    #[arg(long, help_heading = LIKE_OPENVINO)]
    pub json_stats: bool,
    /// Print this percentile instead of the median.
    #[arg(long, value_name = "N", help_heading = LIKE_OPENVINO, default_value = "50",
        value_parser = clap::value_parser!(u8).range(1..=100))]
    pub latency_percentile: u8,
}

/// Which layers, and in which order; the values' names are benchmark_app's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// The slowest first.
    #[value(name = "sort")]
    Slowest,
    /// In the order of execution.
    #[value(name = "no_sort")]
    Execution,
    /// The slowest first, without those that did not run: all did.
    #[value(name = "simple_sort")]
    SlowestThatRan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Counters {
    /// Configuration, latencies and throughput.
    #[value(name = "no_counters")]
    No,
    /// Also the time of each layer.
    #[value(name = "average_counters")]
    Average,
    /// The same, as of one request: there is no other.
    #[value(name = "detailed_counters")]
    Detailed,
}

/// A number of per cent; the sign may be left out.
fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>().ok();
    number.filter(|number| (0.0..=1000.0).contains(number)).ok_or_else(|| "write a number from 0 up".to_owned())
}
