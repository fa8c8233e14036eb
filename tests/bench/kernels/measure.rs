//! A row as a program: checked, then timed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use octet::codegen::estimate::Model;
use octet::codegen::object::{infer_symbol, info_symbol};
use octet::codegen::target::Target;
use octet::driver::{self, CompileOptions, Compiled, Monitor};
use octet::emit::{exe, stub};
use octet::frontend::ImportOptions;
use octet::interp;
use octet::ir::{ElemType, Graph, Tensor, file};
use octet::lower::choice::Estimate;
use octet::lower::program::{Place, Program, Step};
use octet::passes::manager;
use serde_json::Value;

use crate::rows::{Row, random};

pub struct Settings {
    pub target: Target,
    pub threads: usize,
    /// Of each row, in each round.
    pub seconds: f64,
}

/// What the kernels of the row's family took; conversions of layout at the border are not counted.
pub struct Measured {
    exec_types: String,
    ms: f64,
    macs: f64,
    /// Of the layer's inputs and outputs, and of the constants that it multiplies with; `None` where they are not all its own.
    bytes: Option<usize>,
    peak_gmac_per_s: f64,
    cycles: f64,
    /// Of the same kernels, by the model.
    predicted_cycles: f64,
}

impl Measured {
    pub fn header() -> String {
        format!(
            "{:<44} {:<22} {:>10} {:>9} {:>8} {:>8} {:>10} {:>6}",
            "row", "exec type", "ms", "GMAC/s", "peak %", "GB/s", "model ms", "ratio"
        )
    }

    pub fn line(&self, row: &Row) -> String {
        let rate = self.macs / self.ms / 1e6;
        let products = match self.macs > 0.0 {
            true => format!("{rate:>9.1} {:>8.1}", 100.0 * rate / self.peak_gmac_per_s),
            false => format!("{:>18}", ""),
        };
        let gigabytes = self.bytes.map(|bytes| format!("{:.1}", bytes as f64 / self.ms / 1e6)).unwrap_or_default();
        format!(
            "{:<44} {:<22} {:>10.4} {products} {gigabytes:>8} {:>10.4} {:>6.2}",
            row.name,
            self.exec_types,
            self.ms,
            self.predicted_ms(),
            self.ratio()
        )
    }

    /// Whether the model is right within 20 %.
    pub fn is_predicted(&self) -> bool {
        (0.8..=1.2).contains(&self.ratio())
    }

    /// Predicted by measured time, on one thread.
    pub fn ratio(&self) -> f64 {
        self.predicted_cycles / self.cycles
    }

    fn predicted_ms(&self) -> f64 {
        self.ms * self.ratio()
    }

    /// The better of two measurements of a row: whatever disturbs one makes it slower, the kernel and the clock alike.
    pub fn better(self, other: Measured) -> Measured {
        let peak_gmac_per_s = self.peak_gmac_per_s.max(other.peak_gmac_per_s);
        Measured { ms: self.ms.min(other.ms), cycles: self.cycles.min(other.cycles), peak_gmac_per_s, ..self }
    }
}

/// A row's program, whose results are right.
pub struct Prepared<'a> {
    pub row: &'a Row,
    graph: Graph,
    /// Of each step, by the model.
    cycles: Vec<f64>,
    folder: Folder,
}

impl<'a> Prepared<'a> {
    /// # Errors
    /// A wrong result.
    pub fn new(row: &'a Row, settings: &Settings) -> Result<Prepared<'a>, String> {
        let folder = Folder::new(&row.name)?;
        let compiled = compile(&row.graph(), &folder, &settings.target)?;
        write_program(&folder.path("app"), &compiled)?;
        // After the passes: the meaning of this graph is exact to the bit, while passes may move a rounding.
        check(&compiled.plan.graph, &folder, settings)?;
        let cycles = predictions(&compiled.plan.program, &settings.target);
        Ok(Prepared { row, graph: compiled.plan.graph, cycles, folder })
    }

    /// # Errors
    /// A row that does not become a kernel of its family.
    pub fn measure(&self, settings: &Settings) -> Result<Measured, String> {
        let report = self.folder.path("report.json");
        let (threads, seconds) = (settings.threads.to_string(), settings.seconds.to_string());
        let words = ["bench", "--threads", &threads, "--duration", &seconds, "--profile", "--json"];
        run(&self.folder.path("app"), &words, &[&report])?;
        let report: Value = serde_json::from_str(&read(&report)?).map_err(|error| error.to_string())?;
        of_family(self.row, &self.graph, &report, &self.cycles)
    }
}

/// Cycles of each step by the model, which is asked about kernels of the target on this machine: about its caches.
fn predictions(program: &Program, target: &Target) -> Vec<f64> {
    let model = Model::new(target);
    let model = match second_cache() {
        Some(bytes) => model.with_second_cache(bytes),
        None => model,
    };
    let cycles = |step: &Step| {
        let constant = |place: &Place| match *place {
            Place::Const { id, offset } => program.constants[id].get(offset..),
            Place::Input { .. } | Place::Output { .. } | Place::Workspace { .. } => None,
        };
        let constants: Vec<Option<&[u8]>> = step.operands.iter().map(constant).collect();
        model.cycles(&program.kernels[step.kernel], &constants)
    };
    program.steps.iter().map(cycles).collect()
}

/// Bytes of the second cache of the first CPU, where Linux says so.
fn second_cache() -> Option<usize> {
    let text = fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index2/size").ok()?;
    text.trim().strip_suffix('K')?.parse::<usize>().ok().map(|kilobytes| 1024 * kilobytes)
}

/// By way of a file, as a user's model.
fn compile(graph: &Graph, folder: &Folder, target: &Target) -> Result<Compiled, String> {
    let path = folder.path("row.oir");
    file::write(graph, &path).map_err(|problem| problem.to_string())?;
    let options = CompileOptions {
        import: ImportOptions { batch: None, shapes: Vec::new(), name: None },
        name: None,
        target: target.clone(),
        fallbacks: Vec::new(),
        passes: manager::Options::default(),
        tuning: octet::tuning::Tuning::default(),
        strip_debug: true,
    };
    let monitor = &mut Monitor { stage: &mut |_| (), log: &mut std::io::sink() };
    driver::compile(&path, &options, monitor).map_err(|problems| problems.to_string())
}

fn write_program(path: &Path, compiled: &Compiled) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let name = &compiled.plan.program.name;
    let stub = stub::program(std::env::consts::ARCH).ok_or("octet was built without a stub")?;
    let bytes = exe::attach(stub, &compiled.object.bytes, &infer_symbol(name), &info_symbol(name))
        .map_err(|error| error.to_string())?;
    fs::write(path, bytes).map_err(|error| error.to_string())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(|error| error.to_string())
}

/// Compares the program with the interpreter: integers are equal, floats close to the greatest of them.
fn check(graph: &Graph, folder: &Folder, settings: &Settings) -> Result<(), String> {
    let inputs: Vec<Tensor> =
        graph.inputs().iter().enumerate().map(|(index, &input)| random(graph.ty(input), 100 + index as u64)).collect();
    let expected = interp::run(graph, &inputs)?;
    let threads = settings.threads.to_string();
    let mut words = vec!["run".to_owned(), "--threads".to_owned(), threads];
    for (index, input) in inputs.iter().enumerate() {
        let path = folder.path(&format!("in{index}.npy"));
        fs::write(&path, npy(input)).map_err(|error| error.to_string())?;
        words.push(format!("--input={}", path.display()));
    }
    let outputs: Vec<PathBuf> = (0..expected.len()).map(|index| folder.path(&format!("out{index}.npy"))).collect();
    words.extend(outputs.iter().map(|path| format!("--output={}", path.display())));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    run(&folder.path("app"), &words, &[])?;
    outputs.iter().zip(&expected).try_for_each(|(path, expected)| compare(path, expected))
}

fn compare(path: &Path, expected: &Tensor) -> Result<(), String> {
    let file = fs::read(path).map_err(|error| error.to_string())?;
    let wanted = expected.to_bytes();
    let found = &file[file.len().saturating_sub(wanted.len())..];
    if expected.elem() != ElemType::F32 {
        let differs = found.iter().zip(&wanted).position(|(a, b)| a != b);
        return differs.map_or(Ok(()), |at| Err(format!("wrong result: byte {at} of {}", wanted.len())));
    }
    let floats =
        |bytes: &[u8]| -> Vec<f32> { bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect() };
    let (found, wanted) = (floats(found), floats(&wanted));
    let greatest = wanted.iter().fold(1e-6f32, |greatest, value| greatest.max(value.abs()));
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * greatest;
    match found.iter().zip(&wanted).position(|pair| !close(pair)) {
        None => Ok(()),
        Some(at) => Err(format!("wrong result: element {at} is {}, expected {}", found[at], wanted[at])),
    }
}

/// `cycles`: of each step, by the model.
fn of_family(row: &Row, graph: &Graph, report: &Value, cycles: &[f64]) -> Result<Measured, String> {
    let layers = report["layers"].as_array().ok_or("the report has no layers")?;
    let is_own = |exec: &str| row.kin().iter().any(|family| exec.starts_with(&format!("{family}_")));
    let own: Vec<&Value> = layers.iter().filter(|layer| layer["exec_type"].as_str().is_some_and(is_own)).collect();
    let Some(first) = own.iter().max_by_key(|layer| layer["macs"].as_u64()) else {
        let found: Vec<&str> = layers.iter().filter_map(|layer| layer["exec_type"].as_str()).collect();
        return Err(format!("lowered to {}, not to {}", found.join(" "), row.family));
    };
    let sum = |key: &str| own.iter().filter_map(|layer| layer[key].as_f64()).sum::<f64>();
    let of_own = layers.iter().zip(cycles).filter(|(layer, _)| layer["exec_type"].as_str().is_some_and(is_own));
    let predicted = of_own.map(|(_, &cycles)| cycles).sum::<f64>();
    let precision = first["precision"].as_str().unwrap_or_default();
    let mut exec_types: Vec<&str> = own.iter().filter_map(|layer| layer["exec_type"].as_str()).collect();
    exec_types.dedup();
    Ok(Measured {
        exec_types: exec_types.join("+"),
        ms: sum("min_time_ms").max(1e-6),
        macs: sum("macs"),
        bytes: row.is_whole.then(|| bytes_of(graph, sum("macs") > 0.0)),
        peak_gmac_per_s: report["peak"][precision]["gmac_per_s"].as_f64().unwrap_or(f64::NAN),
        cycles: sum("cycles").max(1.0),
        predicted_cycles: predicted,
    })
}

/// Bytes that the layer reads or writes at least once.
fn bytes_of(graph: &Graph, with_constants: bool) -> usize {
    let bytes = |value| graph.ty(value).shape.elements() * graph.ty(value).elem.bytes();
    let border = graph.inputs().iter().chain(graph.outputs()).map(|&value| bytes(value));
    let results = graph.body_nodes().filter_map(|node| graph.results(node).first().copied());
    let constants = results.filter(|&value| with_constants && graph.const_value(value).is_some()).map(bytes);
    border.chain(constants).sum()
}

fn run(app: &Path, words: &[&str], paths: &[&Path]) -> Result<(), String> {
    let output = Command::new(app).args(words).args(paths).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| error.to_string())
}

fn npy(tensor: &Tensor) -> Vec<u8> {
    let descr = match tensor.elem() {
        ElemType::F32 => "<f4",
        ElemType::I64 => "<i8",
        ElemType::I32 => "<i4",
        ElemType::I8 => "|i1",
        ElemType::U8 => "|u1",
        other => panic!("no row has inputs of {other}"),
    };
    let dims: String = tensor.shape().dims().iter().map(|dim| format!("{dim},")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}\n");
    let len = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", len.as_slice(), header.as_bytes(), &tensor.to_bytes()].concat()
}

/// A directory that goes with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(row: &str) -> Result<Folder, String> {
        let path = std::env::temp_dir().join(format!("octet-kernels-{}-{}", std::process::id(), row.replace('/', "-")));
        fs::create_dir_all(&path).map_err(|error| error.to_string())?;
        Ok(Folder(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind at worst.
        let _ = fs::remove_dir_all(&self.0);
    }
}
