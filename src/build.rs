//! Compiling models in a `build.rs`.
//!
//! ```no_run
//! // build.rs; octet is a build-dependency
//! octet::build::Model::new("model/digits.xml").compile();
//! ```
//!
//! The program itself depends on the small `octet-runtime` only, and gets a module with typed inputs and outputs:
//!
//! ```text
//! octet_runtime::include_model!(digits);
//! ```
//!
//! docs/rust-guide.md has the whole of it.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use crate::codegen::target::Target;
use crate::diag::{self, Diagnostic, Kind, Place};
use crate::driver::{self, CompileOptions, Monitor};
use crate::emit::header::identifier;
use crate::emit::{archive, rust};
use crate::frontend::ImportOptions;
use crate::passes::manager::Options as PassOptions;
use crate::tuning::Tuning;

/// A model to compile, and how; the options are those of `octet compile`.
#[derive(Clone, Debug)]
pub struct Model {
    path: PathBuf,
    name: Option<String>,
    cpu: Option<String>,
    tuning: Option<PathBuf>,
    import: ImportOptions,
    strip_debug: bool,
}

impl Model {
    /// `path` is an OpenVINO IR (`model.xml`, with `model.bin` beside it) or an `.oir` text dump, relative to the package.
    pub fn new(path: impl Into<PathBuf>) -> Model {
        let (name, cpu, tuning, import) = (None, None, None, ImportOptions::default());
        Model { path: path.into(), name, cpu, tuning, import, strip_debug: false }
    }

    /// Name of the module and prefix of the symbols, a Rust and C identifier; by default made of the model's file name.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Model {
        Model { name: Some(name.into()), ..self }
    }

    /// CPU to compile for, as `--cpu` reads it: `x86-64-v3`, `native`, ... By default this machine's, or the least one if the
    /// package is built for another machine. Programs that run elsewhere should say.
    #[must_use]
    pub fn cpu(self, cpu: impl Into<String>) -> Model {
        Model { cpu: Some(cpu.into()), ..self }
    }

    /// A file that `octet compile --tune` wrote for this CPU: layers take the forms that were the fastest there.
    #[must_use]
    pub fn tuning(self, file: impl Into<PathBuf>) -> Model {
        Model { tuning: Some(file.into()), ..self }
    }

    /// First dimension of every input without a [`Model::shape`].
    #[must_use]
    pub fn batch(mut self, batch: usize) -> Model {
        self.import.batch = Some(batch);
        self
    }

    /// Shape of an input.
    #[must_use]
    pub fn shape(mut self, input: impl Into<String>, dims: impl Into<Vec<usize>>) -> Model {
        self.import.shapes.push((input.into(), dims.into()));
        self
    }

    /// Leaves out the line information for debuggers and profilers.
    #[must_use]
    pub fn strip_debug(self) -> Model {
        Model { strip_debug: true, ..self }
    }

    /// Compiles the model for the package's target, writes library and module where `include_model!` finds them, and tells
    /// cargo what to link and when to do it again. If something is wrong, says what and ends the build.
    pub fn compile(&self) {
        let variable = |name: &str| env::var(name).ok();
        let done = match (variable("OUT_DIR"), variable("TARGET")) {
            (Some(out), Some(target)) => {
                let native = variable("HOST").is_some_and(|host| host == target);
                self.write(Path::new(&out), &target, if native { "native" } else { "" })
            }
            _ => {
                let message = "octet::build is called from a build script, where cargo sets OUT_DIR and TARGET";
                Err(Diagnostic::error(Kind::Usage, Place::default(), message).into())
            }
        };
        match done {
            Ok(directives) => directives.iter().for_each(|directive| println!("cargo::{directive}")),
            Err(diagnostics) => {
                eprintln!("{diagnostics}");
                process::exit(diagnostics.exit_code());
            }
        }
    }

    /// Compiles the model for `triple`, with `default_cpu` if none was named, and writes `libNAME_octet.a` and `NAME.rs` into
    /// the directory `out`. Gives what cargo is told, without `cargo::`.
    ///
    /// # Errors
    /// As [`driver::compile`]; a target without ELF objects; a file that cannot be written.
    pub fn write(&self, out: &Path, triple: &str, default_cpu: &str) -> diag::Result<Vec<String>> {
        let options = self.options(targets(triple, self.cpu.as_deref().unwrap_or(default_cpu))?)?;
        let compiled =
            driver::compile(&self.path, &options, &mut Monitor { stage: &mut |_| (), log: &mut io::stderr() })?;
        let name = &compiled.plan.program.name;
        // Not the model's name alone: a program may link a library that is called the same.
        let library = format!("{name}_octet");
        let object: &[u8] = &compiled.object.bytes;
        write(&out.join(format!("lib{library}.a")), &archive::static_library(&[(&format!("{name}.o"), object)]))?;
        let module = rust::module(&compiled.plan.program, &options.common_target(), &compiled.object.sizes);
        write(&out.join(format!("{name}.rs")), module.as_bytes())?;
        let warnings = compiled.plan.warnings.iter();
        let told = warnings.map(|warning| format!("warning={}", warning.to_string().replace('\n', " ")));
        let tuning = self.tuning.iter().map(|file| format!("rerun-if-changed={}", file.display()));
        let mut directives = vec![
            format!("rerun-if-changed={}", self.path.display()),
            format!("rerun-if-changed={}", self.path.with_extension("bin").display()),
            format!("rustc-link-search=native={}", out.display()),
            format!("rustc-link-lib=static={library}"),
        ];
        directives.extend(tuning.chain(told));
        Ok(directives)
    }

    /// The first target is the best CPU.
    fn options(&self, targets: Vec<Target>) -> diag::Result<CompileOptions> {
        let usage = |message: String| Diagnostic::error(Kind::Usage, Place::default(), message);
        if let Some(name) = self.name.as_deref().filter(|name| identifier(name) != **name) {
            let message = format!("the name {name} is no identifier of Rust and C; such as {} is", identifier(name));
            return Err(usage(message).into());
        }
        let tuning = self.tuning.as_deref().map(Tuning::read).transpose()?.unwrap_or_default();
        let mut targets = targets.into_iter();
        Ok(CompileOptions {
            import: self.import.clone(),
            name: self.name.clone(),
            target: targets.next().ok_or_else(|| usage("no CPU is named".into()))?,
            fallbacks: targets.collect(),
            passes: PassOptions::default(),
            tuning,
            strip_debug: self.strip_debug,
        })
    }
}

fn targets(triple: &str, cpu: &str) -> diag::Result<Vec<Target>> {
    let usage = |message: String| Diagnostic::error(Kind::Usage, Place::default(), message);
    if !triple.contains("linux") {
        let help = "octet writes ELF objects; build for Linux on x86-64 or aarch64";
        return Err(usage(format!("models cannot be compiled for {triple}")).with_help(help).into());
    }
    Target::parse_list(Some(triple), cpu).map_err(|message| usage(message).into())
}

fn write(path: &Path, bytes: &[u8]) -> diag::Result<()> {
    fs::write(path, bytes).map_err(|error| {
        let place = Place::file(path.display().to_string());
        Diagnostic::error(Kind::Io, place, format!("cannot be written: {error}")).into()
    })
}
