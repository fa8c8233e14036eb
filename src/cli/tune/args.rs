//! Options of `compile --tune`.

use std::path::PathBuf;

use clap::Args;

const TUNING: &str = "Tuning";

#[derive(Args)]
pub struct TuneArgs {
    /// Measure on this machine in which form each layer is the fastest, write that into this file, and compile with it. What the
    /// file has of other layers and CPUs stays.
    #[arg(long, value_name = "FILE", help_heading = TUNING, conflicts_with = "tuning")]
    pub tune: Option<PathBuf>,
    /// How long each variant of the model is measured; there are about a dozen.
    #[arg(long, value_name = "SECONDS", help_heading = TUNING, requires = "tune", default_value = "1",
        value_parser = parse_seconds)]
    pub tune_seconds: f64,
    /// Threads that measure.
    #[arg(long, value_name = "N", help_heading = TUNING, requires = "tune", default_value = "1",
        value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: u32,
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    number.filter(|number| (0.0..=3600.0).contains(number)).ok_or_else(|| "write a number from 0 to 3600".to_owned())
}
