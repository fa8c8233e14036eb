//! A compiled program in a file of its own, and tensors in and out of it: machine code that goes wrong ends its own process
//! and not the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use octet::codegen::object::{Object, infer_symbol, info_symbol};
use octet::emit::{exe, stub};
use octet::ir::{ElemType, Tensor, TensorType};
use octet::lower::program::Program;

use super::executable;

pub struct Executable {
    directory: PathBuf,
    outputs: Vec<TensorType>,
}

static COUNTER: AtomicUsize = AtomicUsize::new(0);

impl Executable {
    pub fn new(program: &Program, object: &Object) -> Result<Executable, String> {
        let stub = stub::program(std::env::consts::ARCH).ok_or("octet was built without a stub")?;
        let bytes = exe::attach(stub, &object.bytes, &infer_symbol(&program.name), &info_symbol(&program.name))
            .map_err(|error| error.to_string())?;
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("octet-random-{}-{number}", std::process::id()));
        fs::create_dir(&directory).map_err(|error| error.to_string())?;
        let outputs = program.outputs.iter().map(|port| port.ty.clone()).collect();
        let executable = Executable { directory, outputs };
        executable::write(&executable.path("app"), &bytes).map_err(|error| error.to_string())?;
        Ok(executable)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub fn run(&self, inputs: &[Tensor], threads: usize) -> Result<Vec<Tensor>, String> {
        let mut command = Command::new(self.path("app"));
        command.arg("run").arg(format!("--threads={threads}"));
        for (index, input) in inputs.iter().enumerate() {
            let path = self.path(&format!("in{index}.npy"));
            fs::write(&path, npy(input)).map_err(|error| error.to_string())?;
            command.arg("--input").arg(path);
        }
        let paths: Vec<PathBuf> = (0..self.outputs.len()).map(|index| self.path(&format!("out{index}.npy"))).collect();
        for path in &paths {
            command.arg("--output").arg(path);
        }
        let output = command.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)));
        }
        paths.iter().zip(&self.outputs).map(|(path, ty)| read_npy(path, ty)).collect()
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        // Left behind at worst.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn npy(tensor: &Tensor) -> Vec<u8> {
    let descr = match tensor.elem() {
        ElemType::F32 => "<f4",
        ElemType::F16 | ElemType::BF16 => "<f2",
        ElemType::I64 => "<i8",
        ElemType::I32 => "<i4",
        ElemType::I16 => "<i2",
        ElemType::I8 | ElemType::I4 => "|i1",
        ElemType::U8 | ElemType::U4 => "|u1",
        ElemType::Bool => "|b1",
    };
    let dims: String = tensor.shape().dims().iter().map(|dim| format!("{dim},")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}\n");
    [b"\x93NUMPY\x01\x00", (header.len() as u16).to_le_bytes().as_slice(), header.as_bytes(), &tensor.to_bytes()]
        .concat()
}

fn read_npy(path: &Path, ty: &TensorType) -> Result<Tensor, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    Tensor::from_bytes(ty.clone(), &bytes[10 + header..]).ok_or_else(|| format!("{} is not {ty}", path.display()))
}
