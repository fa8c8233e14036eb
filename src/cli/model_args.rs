//! What all commands that compile have in common: the model, its shapes, the CPU, the passes; and as options of the library.

use std::path::PathBuf;

use clap::Args;
use octet::codegen::target::Target;
use octet::diag::codes;
use octet::driver::CompileOptions;
use octet::emit::header::identifier;
use octet::frontend::ImportOptions;
use octet::passes::manager::{Options as PassOptions, Selection};
use octet::tuning::Tuning;

use super::failure::Failure;

/// The model, and what it is compiled to.
#[derive(Args)]
pub struct ModelArgs {
    /// OpenVINO IR (model.xml, with model.bin beside it), or an .oir text dump.
    pub model: PathBuf,
    /// Prefix of the symbols and default name of the results; by default the model's file name.
    #[arg(long)]
    pub name: Option<String>,
    /// CPU to compile for: native, x86-64-v2, x86-64-v3, x86-64-v4, generic, or a feature such as avx512vnni; +feature or
    /// -feature behind a comma changes it. Several CPUs, separated by commas, give one object with a version for each, of
    /// which it chooses the best when it runs. Default: native, or the least one of a --target that is not this machine.
    #[arg(long, value_name = "CPU,..")]
    pub cpu: Option<String>,
    /// Target triple: x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu. Default: this machine.
    #[arg(long, value_name = "TRIPLE")]
    pub target: Option<String>,
    /// Compute layers in the forms that were the fastest when `octet compile --tune` wrote this file.
    #[arg(long, value_name = "FILE")]
    pub tuning: Option<PathBuf>,
    #[command(flatten)]
    pub shapes: ShapeArgs,
    #[command(flatten)]
    pub passes: PassArgs,
}

/// The inputs' shapes.
#[derive(Args)]
pub struct ShapeArgs {
    /// Shape of an input: x=[1,3,224,224].
    #[arg(long = "shape", value_name = "NAME=SHAPE", value_parser = parse_shape)]
    pub shapes: Vec<(String, Vec<usize>)>,
    /// First dimension of every input.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: Option<u32>,
}

/// Ways to watch the passes.
#[derive(Args)]
pub struct PassArgs {
    /// Print the graph after these passes, or after all: to standard error.
    #[arg(long, help_heading = "Passes", value_name = "PASS,..|all")]
    pub print_after: Option<String>,
    /// Print the graph before these passes.
    #[arg(long, help_heading = "Passes", value_name = "PASS,..|all")]
    pub print_before: Option<String>,
    /// The last pass to run.
    #[arg(long, help_heading = "Passes", value_name = "PASS")]
    pub stop_after: Option<String>,
    /// Passes that are left out.
    #[arg(long, help_heading = "Passes", value_name = "PASS,..")]
    pub disable_pass: Option<String>,
    /// Write the graph before and after every pass into this directory; each can be compiled.
    #[arg(long, help_heading = "Passes", value_name = "DIR")]
    pub dump_dir: Option<PathBuf>,
    /// Print how long each pass took.
    #[arg(long, help_heading = "Passes")]
    pub time_passes: bool,
    /// Check the graph after every pass, and compare what it computes before and after, on random and boundary inputs. A pass
    /// that changes it is an error, with a small graph that shows it in the directory of --dump-dir, or this one.
    #[arg(long, help_heading = "Passes")]
    pub verify_passes: bool,
}

impl ModelArgs {
    pub fn options(&self) -> Result<CompileOptions, Failure> {
        if let Some(name) = self.name.as_deref().filter(|name| identifier(name) != **name) {
            return Err(Failure::usage(
                &codes::NO_IDENTIFIER,
                format!(
                    "--name {name}: symbols begin with it, so it must be a C identifier, such as {}",
                    identifier(name)
                ),
            ));
        }
        let mut targets = self.targets()?.into_iter();
        let target = targets.next().ok_or_else(|| Failure::usage(&codes::UNKNOWN_CPU, "--cpu names no CPU"))?;
        Ok(CompileOptions {
            import: self.shapes.options(),
            name: self.name.clone(),
            target,
            fallbacks: targets.collect(),
            passes: self.passes.options(),
            tuning: self.tuning.as_deref().map(Tuning::read).transpose()?.unwrap_or_default(),
            strip_debug: false,
        })
    }

    /// The best CPU first.
    fn targets(&self) -> Result<Vec<Target>, Failure> {
        let host = |triple: &str| triple.split('-').next() == Some(std::env::consts::ARCH);
        let native = self.target.as_deref().is_none_or(host);
        let cpu = self.cpu.as_deref().unwrap_or(if native { "native" } else { "" });
        Target::parse_list(self.target.as_deref(), cpu).map_err(|reason| Failure::usage(&codes::UNKNOWN_CPU, reason))
    }

    /// The CPU was not named, and is the one of this machine.
    pub fn is_native(&self) -> bool {
        self.target.is_none() && self.cpu.as_deref().is_none_or(|cpu| cpu == "native")
    }
}

impl ShapeArgs {
    pub fn options(&self) -> ImportOptions {
        ImportOptions { batch: self.batch.map(|batch| batch as usize), shapes: self.shapes.clone(), name: None }
    }
}

impl PassArgs {
    pub fn options(&self) -> PassOptions {
        let selection = |text: &Option<String>| text.as_deref().map(Selection::parse).unwrap_or_default();
        let default = PassOptions::default();
        PassOptions {
            verify: self.verify_passes || default.verify,
            verify_meaning: self.verify_passes,
            print_before: selection(&self.print_before),
            print_after: selection(&self.print_after),
            stop_after: self.stop_after.clone(),
            disable: selection(&self.disable_pass),
            dump_dir: self.dump_dir.clone(),
            time_passes: self.time_passes,
        }
    }
}

/// `NAME=[1,3,224,224]`; brackets may be left out. Names may contain `=`, shapes do not.
fn parse_shape(text: &str) -> Result<(String, Vec<usize>), String> {
    const FORM: &str = "write NAME=[1,3,224,224]";
    let (name, shape) = text.rsplit_once('=').ok_or_else(|| format!("no input is named; {FORM}"))?;
    let inner = shape.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(shape);
    let dim = |word: &str| word.trim().parse::<usize>().map_err(|_| format!("`{word}` is not a dimension; {FORM}"));
    let dims = if inner.trim().is_empty() { Ok(Vec::new()) } else { inner.split(',').map(dim).collect() };
    dims.map(|dims| (name.to_owned(), dims))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let parsed = |text| parse_shape(text).map_err(|_| ());
        assert_eq!(parsed("x=[1,3, 8]"), Ok(("x".into(), vec![1, 3, 8])));
        assert_eq!(parsed("a=b=2,4"), Ok(("a=b".into(), vec![2, 4])));
        assert_eq!(parsed("x=[]"), Ok(("x".into(), vec![])));
        assert_eq!(parsed("x=[1,?]"), Err(()));
        assert_eq!(parsed("x=[-1]"), Err(()));
        assert_eq!(parsed("[1,3]"), Err(()));
    }
}
