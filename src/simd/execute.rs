//! Runs a whole program with the kernel interpreter: the oracle between lowering and machine code, at every vector width.
//!
//! Memory is as exact as the contract: inputs and outputs end where they end, constants and the workspace are followed by
//! the slack that kernels may read. An access outside is an error that names the step.

use cranelift_entity::{EntityRef, SecondaryMap};

use crate::ir::Tensor;
use crate::lower::program::{KernelId, Place, Program, READ_SLACK};

use super::interp::{self, Arg, Memory};
use super::ir::{Function, Vectors};
use super::kernels;

/// Outputs of the program after a reset. Every step is cut into `parts` ranges of items, run one after the other.
///
/// # Errors
/// An input of another type, or a kernel that breaks its contract.
pub fn execute(
    program: &Program,
    vectors: impl Into<Vectors>,
    inputs: &[Tensor],
    parts: usize,
) -> Result<Vec<Tensor>, String> {
    execute_next(program, vectors, inputs, parts, &mut None)
}

/// As [`execute`], for one inference of several: `state` is what the inference before left of the workspace, none after a reset.
///
/// # Errors
/// As [`execute`].
pub fn execute_next(
    program: &Program,
    vectors: impl Into<Vectors>,
    inputs: &[Tensor],
    parts: usize,
    state: &mut Option<Vec<u8>>,
) -> Result<Vec<Tensor>, String> {
    let vectors = vectors.into();
    let mut memory = Memory::new();
    let regions = Regions::new(program, inputs, &mut memory)?;
    if let Some(state) = state {
        memory.regions[regions.workspace][..state.len()].copy_from_slice(state);
    }
    let mut functions: SecondaryMap<KernelId, Option<Function>> = SecondaryMap::new();
    for (index, step) in program.steps.iter().enumerate().filter(|(_, step)| !step.after_reset || state.is_none()) {
        let spec = &program.kernels[step.kernel];
        let function = functions[step.kernel].get_or_insert_with(|| kernels::build(spec, spec.family(), vectors));
        let places = step.operands.iter().map(|place| regions.arg(*place));
        let pointers: Vec<Arg> = places.collect();
        let items = spec.items();
        for part in 0..parts.clamp(1, items.max(1)) {
            let bound = |part: usize| Arg::Int((items * part / parts.clamp(1, items.max(1))) as i64);
            let args: Vec<Arg> = pointers.iter().cloned().chain([bound(part), bound(part + 1)]).collect();
            interp::run(function, &mut memory, &args)
                .map_err(|error| format!("step {index} ({} of \"{}\"): {error}", spec.family(), step.label.layer))?;
        }
    }
    *state = Some(memory.regions[regions.workspace][..program.state_bytes].to_vec());
    program
        .outputs
        .iter()
        .enumerate()
        .map(|(index, port)| {
            let bytes = &memory.regions[regions.outputs + index];
            Tensor::from_bytes(port.ty.clone(), bytes)
                .ok_or_else(|| format!("internal error: output {index} has another size"))
        })
        .collect()
}

/// Regions: inputs, outputs, constants, workspace.
struct Regions {
    outputs: usize,
    constants: usize,
    workspace: usize,
}

impl Regions {
    fn new(program: &Program, inputs: &[Tensor], memory: &mut Memory) -> Result<Regions, String> {
        if inputs.len() != program.inputs.len() {
            return Err(format!("{} inputs, the model takes {}", inputs.len(), program.inputs.len()));
        }
        for (port, input) in program.inputs.iter().zip(inputs) {
            if *input.ty() != port.ty {
                return Err(format!("input \"{}\" is {}, the model takes {}", port.name, input.ty(), port.ty));
            }
            memory.add(input.to_bytes());
        }
        let outputs = program.inputs.len();
        for port in &program.outputs {
            memory.add(vec![0xa5; port.ty.bytes()]);
        }
        let constants = outputs + program.outputs.len();
        for bytes in program.constants.values() {
            memory.add([bytes.as_slice(), &[0xa5; READ_SLACK]].concat());
        }
        // Garbage that is no number, so that reading what nobody wrote shows.
        let workspace = memory.add(vec![0xff; program.workspace_bytes]);
        Ok(Regions { outputs, constants, workspace })
    }

    fn arg(&self, place: Place) -> Arg {
        let (region, offset) = match place {
            Place::Input { index, offset } => (index, offset),
            Place::Output { index, offset } => (self.outputs + index, offset),
            Place::Const { id, offset } => (self.constants + id.index(), offset),
            Place::Workspace { offset, .. } => (self.workspace, offset),
        };
        Arg::Ptr { region, offset: offset as i64 }
    }
}
