//! The model's entry in Cranelift IR: what stands between a caller and the kernels.
//!
//! - A *step function* per step, `fn(context, begin, end)`: it computes the addresses of its operands and calls its kernel.
//!   It is what `parallel_for` runs.
//! - `infer` checks its arguments, fills the context on its stack, and walks the table of steps: function, number of items,
//!   whether they are worth sharing. With a clock it adds the time of each step to its counter.
//! - Of several versions of the model both `infer` and `info` take the first one whose check the CPU passes. Nothing is
//!   kept between calls, since there is no writable global and the workspace may hold anything: callers who do not want to
//!   pay for `cpuid` at each call say `CPU_CHECKED` and name the version that `info` gave them.
//! - `reset`, of a program with variables, marks the workspace as fresh. `infer` refuses a workspace with neither mark, runs
//!   the steps that compute initial values on a fresh one only, and marks it as used at its end.
//!
//! The context and the table are private to the object: [`CONTEXT_BYTES`], [`ROW_BYTES`].

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, FuncRef, GlobalValue, InstBuilder, MemFlagsData, SigRef, Signature, StackSlotData,
    StackSlotKind, Value, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::FunctionBuilder;
use octet_runtime::abi::{ABI_VERSION, Exec, WORKSPACE_ALIGN, exec_flags, status};

use crate::lower::program::{Place, Port, Program, Step, Variable};

/// Three pointers: the caller's inputs and outputs, the workspace.
pub const CONTEXT_BYTES: u32 = 24;
const CONTEXT_INPUTS: i32 = 0;
const CONTEXT_OUTPUTS: i32 = 8;
const CONTEXT_WORKSPACE: i32 = 16;

/// A row of the table of steps: function, items, whether to share them, and whether they run after a reset only.
pub const ROW_BYTES: usize = 32;
pub const ROW_ITEMS: usize = 8;
pub const ROW_PARALLEL: usize = 16;
pub const ROW_AFTER_RESET: usize = 24;

/// `fn(context, begin, end)`
pub fn task_signature(call_conv: CallConv) -> Signature {
    signature(call_conv, 3, false)
}

/// `fn(inputs, outputs, workspace, exec) -> i32`
pub fn infer_signature(call_conv: CallConv) -> Signature {
    signature(call_conv, 4, true)
}

/// `fn(workspace) -> i32`
pub fn reset_signature(call_conv: CallConv) -> Signature {
    signature(call_conv, 1, true)
}

/// 64-bit parameters, and an i32 or nothing.
pub fn signature(call_conv: CallConv, params: usize, status: bool) -> Signature {
    let mut signature = Signature::new(call_conv);
    signature.params = vec![AbiParam::new(types::I64); params];
    if status {
        signature.returns = vec![AbiParam::new(types::I32)];
    }
    signature
}

/// The body of a step function. `offsets` places each constant in the object's constants.
pub fn step(
    builder: &mut FunctionBuilder<'_>,
    step: &Step,
    kernel: FuncRef,
    constants: GlobalValue,
    offset_of: &dyn Fn(crate::lower::program::ConstId) -> usize,
) {
    let block = start(builder);
    let &[context, begin, end] = builder.block_params(block) else { return };
    let mut arguments: Vec<Value> = Vec::new();
    for place in &step.operands {
        let (base, offset) = match *place {
            Place::Input { index, offset } => (caller_pointer(builder, context, CONTEXT_INPUTS, index), offset),
            Place::Output { index, offset } => (caller_pointer(builder, context, CONTEXT_OUTPUTS, index), offset),
            Place::Workspace { offset, .. } => (load(builder, context, CONTEXT_WORKSPACE), offset),
            Place::Const { id, offset } => (builder.ins().symbol_value(types::I64, constants), offset_of(id) + offset),
        };
        arguments.push(builder.ins().iadd_imm_s(base, offset as i64));
    }
    arguments.extend([begin, end]);
    builder.ins().call(kernel, &arguments);
    builder.ins().return_(&[]);
}

fn caller_pointer(builder: &mut FunctionBuilder<'_>, context: Value, list: i32, index: usize) -> Value {
    let list = load(builder, context, list);
    load(builder, list, (index * 8) as i32)
}

/// One of the versions that an object holds of a model.
pub struct Version {
    /// Checks the CPU; none where only the caller can.
    pub cpu_check: Option<FuncRef>,
    /// What belongs to it: its table of steps, its description.
    pub data: GlobalValue,
    pub steps: usize,
}

/// What `infer` refers to.
pub struct Callees {
    /// At least one; the best first.
    pub versions: Vec<Version>,
    pub task: SigRef,
    pub parallel_for: SigRef,
    pub clock: SigRef,
}

/// Signatures of the callbacks of `Exec`.
pub fn callback_signatures(call_conv: CallConv) -> (Signature, Signature) {
    let mut clock = signature(call_conv, 1, false);
    clock.returns = vec![AbiParam::new(types::I64)];
    (signature(call_conv, 4, false), clock)
}

/// The body of `infer`.
pub fn infer(builder: &mut FunctionBuilder<'_>, program: &Program, callees: &Callees) {
    let block = start(builder);
    let &[inputs, outputs, workspace, exec] = builder.block_params(block) else { return };
    let version = check_exec(builder, exec, &callees.versions);
    for pointer in [inputs, outputs, workspace] {
        check_pointer(builder, pointer, 1);
    }
    check_pointer(builder, workspace, WORKSPACE_ALIGN);
    check_tensors(builder, inputs, &program.inputs);
    check_tensors(builder, outputs, &program.outputs);
    let state = (program.state_bytes > 0).then(|| check_state(builder, workspace, program));
    let slot = builder.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, CONTEXT_BYTES, 3));
    let context = builder.ins().stack_addr(types::I64, slot, 0);
    for (value, offset) in [(inputs, CONTEXT_INPUTS), (outputs, CONTEXT_OUTPUTS), (workspace, CONTEXT_WORKSPACE)] {
        builder.ins().store(MemFlagsData::trusted(), value, context, offset);
    }
    let callbacks = load_callbacks(builder, exec);
    let steps = Steps::of(builder, version, &callees.versions);
    let fresh = state.as_ref().map(|state| state.fresh);
    walk(builder, &steps, context, &callbacks, callees, fresh);
    if let Some(state) = state {
        builder.ins().store(MemFlagsData::trusted(), state.used_mark, workspace, 0);
    }
    let ok = builder.ins().iconst(types::I32, i64::from(status::OK));
    builder.ins().return_(&[ok]);
}

/// The body of `reset`.
pub fn reset(builder: &mut FunctionBuilder<'_>, program: &Program) {
    let block = start(builder);
    let &[workspace] = builder.block_params(block) else { return };
    check_pointer(builder, workspace, 1);
    check_pointer(builder, workspace, WORKSPACE_ALIGN);
    let fresh = builder.ins().iconst(types::I64, fresh_mark(program));
    builder.ins().store(MemFlagsData::trusted(), fresh, workspace, 0);
    let ok = builder.ins().iconst(types::I32, i64::from(status::OK));
    builder.ins().return_(&[ok]);
}

/// What `reset` writes into the workspace: differs from model to model and from layout to layout, never zero. FNV-1a of 64 bits
/// over digest, name and variables. Its complement, which is not zero either, says that an inference has run since.
fn fresh_mark(program: &Program) -> i64 {
    let mut text = format!("{} {}", program.model_hash, program.name);
    for Variable { name, ty, order } in &program.variables {
        text += &format!(" {name:?} {ty} {order:?}");
    }
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    ((hash | 1) & !(1 << 63)) as i64
}

/// The mark of a workspace with variables.
struct State {
    /// Not zero: the workspace was reset and has seen no inference since.
    fresh: Value,
    used_mark: Value,
}

/// Refuses a workspace without a mark of this program.
fn check_state(builder: &mut FunctionBuilder<'_>, workspace: Value, program: &Program) -> State {
    let mark = load(builder, workspace, 0);
    let fresh_mark = builder.ins().iconst(types::I64, fresh_mark(program));
    let used_mark = builder.ins().bnot(fresh_mark);
    let fresh = builder.ins().icmp(IntCC::Equal, mark, fresh_mark);
    let used = builder.ins().icmp(IntCC::Equal, mark, used_mark);
    let known = builder.ins().bor(fresh, used);
    require(builder, known, status::NOT_RESET);
    State { fresh, used_mark }
}

/// Fields of `Exec`, zero without one.
struct Callbacks {
    context: Value,
    parallel_for: Value,
    clock: Value,
    layer_ns: Value,
}

fn load_callbacks(builder: &mut FunctionBuilder<'_>, exec: Value) -> Callbacks {
    let [given, joined] = [builder.create_block(), builder.create_block()];
    for _ in 0..4 {
        builder.append_block_param(joined, types::I64);
    }
    let zero = builder.ins().iconst(types::I64, 0);
    builder.ins().brif(exec, given, &[], joined, &[BlockArg::Value(zero); 4]);
    switch(builder, given);
    let fields = [
        offset_of!(Exec, context),
        offset_of!(Exec, parallel_for),
        offset_of!(Exec, clock),
        offset_of!(Exec, layer_ns),
    ]
    .map(|offset| BlockArg::Value(load(builder, exec, offset as i32)));
    builder.ins().jump(joined, &fields);
    switch(builder, joined);
    let params = builder.block_params(joined);
    Callbacks { context: params[0], parallel_for: params[1], clock: params[2], layer_ns: params[3] }
}

/// Refuses another ABI, and a CPU that the caller has not checked and that can run no version. Gives the number of the
/// version to run: the one the caller names, or the first that the CPU can run.
fn check_exec(builder: &mut FunctionBuilder<'_>, exec: Value, versions: &[Version]) -> Value {
    let [given, unchecked, trusted, checked] = [(); 4].map(|()| builder.create_block());
    let chosen = builder.append_block_param(checked, types::I64);
    builder.ins().brif(exec, given, &[], unchecked, &[]);
    switch(builder, given);
    let abi = load32(builder, exec, offset_of!(Exec, abi_version));
    let same = builder.ins().icmp_imm_s(IntCC::Equal, abi, i64::from(ABI_VERSION));
    require(builder, same, status::ABI_MISMATCH);
    let flags = load32(builder, exec, offset_of!(Exec, flags));
    let is_checked = builder.ins().band_imm_s(flags, i64::from(exec_flags::CPU_CHECKED));
    builder.ins().brif(is_checked, trusted, &[], unchecked, &[]);

    switch(builder, trusted);
    let named = builder.ins().ushr_imm_u(flags, i64::from(exec_flags::VERSION_SHIFT));
    let named = builder.ins().uextend(types::I64, named);
    let count = builder.ins().iconst(types::I64, versions.len() as i64);
    let exists = builder.ins().icmp(IntCC::UnsignedLessThan, named, count);
    require(builder, exists, status::CPU_UNSUPPORTED);
    builder.ins().jump(checked, &[BlockArg::Value(named)]);

    switch(builder, unchecked);
    choose(builder, versions, checked);
    let code = builder.ins().iconst(types::I32, i64::from(status::CPU_UNSUPPORTED));
    builder.ins().return_(&[code]);
    switch(builder, checked);
    chosen
}

/// Jumps to `chosen` with the number of the first version that the CPU can run; goes on in a new block if there is none.
fn choose(builder: &mut FunctionBuilder<'_>, versions: &[Version], chosen: Block) {
    for (number, version) in versions.iter().enumerate() {
        let number = builder.ins().iconst(types::I64, number as i64);
        let next = builder.create_block();
        match version.cpu_check {
            Some(check) => {
                let call = builder.ins().call(check, &[]);
                let code = builder.inst_results(call)[0];
                let able = builder.ins().icmp_imm_s(IntCC::Equal, code, i64::from(status::OK));
                builder.ins().brif(able, chosen, &[BlockArg::Value(number)], next, &[]);
            }
            None => {
                builder.ins().jump(chosen, &[BlockArg::Value(number)]);
            }
        }
        switch(builder, next);
    }
}

/// Address of the data of version number `version`.
fn data_of(builder: &mut FunctionBuilder<'_>, version: Value, versions: &[Version]) -> Value {
    let mut data = builder.ins().symbol_value(types::I64, versions[0].data);
    for (number, other) in versions.iter().enumerate().skip(1) {
        let is_this = builder.ins().icmp_imm_s(IntCC::Equal, version, number as i64);
        let address = builder.ins().symbol_value(types::I64, other.data);
        data = builder.ins().select(is_this, address, data);
    }
    data
}

/// A table of steps.
struct Steps {
    table: Value,
    count: Value,
}

impl Steps {
    /// Those of version number `version`.
    fn of(builder: &mut FunctionBuilder<'_>, version: Value, versions: &[Version]) -> Steps {
        let mut count = builder.ins().iconst(types::I64, versions[0].steps as i64);
        for (number, other) in versions.iter().enumerate().skip(1) {
            let is_this = builder.ins().icmp_imm_s(IntCC::Equal, version, number as i64);
            let steps = builder.ins().iconst(types::I64, other.steps as i64);
            count = builder.ins().select(is_this, steps, count);
        }
        Steps { table: data_of(builder, version, versions), count }
    }
}

fn check_tensors(builder: &mut FunctionBuilder<'_>, list: Value, ports: &[Port]) {
    for (index, port) in ports.iter().enumerate() {
        let pointer = load(builder, list, (index * 8) as i32);
        check_pointer(builder, pointer, 1);
        check_pointer(builder, pointer, port.ty.elem.bytes());
    }
}

/// Not null (`align` 1), or aligned.
fn check_pointer(builder: &mut FunctionBuilder<'_>, pointer: Value, align: usize) {
    if align == 1 {
        return require(builder, pointer, status::NULL_POINTER);
    }
    let rest = builder.ins().band_imm_s(pointer, align as i64 - 1);
    let aligned = builder.ins().icmp_imm_s(IntCC::Equal, rest, 0);
    require(builder, aligned, status::MISALIGNED);
}

/// Returns `code` unless the condition holds.
fn require(builder: &mut FunctionBuilder<'_>, condition: Value, code: i32) {
    let [good, bad] = [builder.create_block(), builder.create_block()];
    builder.ins().brif(condition, good, &[], bad, &[]);
    builder.set_cold_block(bad);
    switch(builder, bad);
    let code = builder.ins().iconst(types::I32, i64::from(code));
    builder.ins().return_(&[code]);
    switch(builder, good);
}

/// `for row in table`: runs it, alone or shared, and adds its time. Where there are variables, `fresh` tells whether rows for
/// their initial values run.
fn walk(
    builder: &mut FunctionBuilder<'_>,
    steps: &Steps,
    context: Value,
    callbacks: &Callbacks,
    callees: &Callees,
    fresh: Option<Value>,
) {
    let [head, shared, alone, ran, timed, next, done] = [(); 7].map(|()| builder.create_block());
    let index = builder.append_block_param(head, types::I64);
    let before = builder.append_block_param(head, types::I64);
    let after = builder.append_block_param(next, types::I64);
    let &Steps { table, count } = steps;
    let begin = builder.ins().iconst(types::I64, 0);
    let start = first_time(builder, callbacks, callees);
    let any = builder.ins().icmp(IntCC::UnsignedLessThan, begin, count);
    builder.ins().brif(any, head, &[BlockArg::Value(begin), BlockArg::Value(start)], done, &[]);

    builder.switch_to_block(head);
    let offset = builder.ins().imul_imm_s(index, ROW_BYTES as i64);
    let row = builder.ins().iadd(table, offset);
    if let Some(fresh) = fresh {
        skip_unless(builder, fresh, row, next, before);
    }
    let function = load(builder, row, 0);
    let items = load(builder, row, ROW_ITEMS as i32);
    let worth = load(builder, row, ROW_PARALLEL as i32);
    let can = builder.ins().icmp_imm_s(IntCC::NotEqual, callbacks.parallel_for, 0);
    let worth = builder.ins().icmp_imm_s(IntCC::NotEqual, worth, 0);
    let share = builder.ins().band(can, worth);
    builder.ins().brif(share, shared, &[], alone, &[]);

    switch(builder, shared);
    let arguments = [callbacks.context, items, function, context];
    builder.ins().call_indirect(callees.parallel_for, callbacks.parallel_for, &arguments);
    builder.ins().jump(ran, &[]);

    switch(builder, alone);
    builder.ins().call_indirect(callees.task, function, &[context, begin, items]);
    builder.ins().jump(ran, &[]);

    switch(builder, ran);
    builder.ins().brif(callbacks.clock, timed, &[], next, &[BlockArg::Value(before)]);

    switch(builder, timed);
    let now = call_clock(builder, callbacks, callees);
    let elapsed = builder.ins().isub(now, before);
    let offset = builder.ins().imul_imm_s(index, 8);
    let counter = builder.ins().iadd(callbacks.layer_ns, offset);
    let sum = load(builder, counter, 0);
    let sum = builder.ins().iadd(sum, elapsed);
    builder.ins().store(MemFlagsData::trusted(), sum, counter, 0);
    builder.ins().jump(next, &[BlockArg::Value(now)]);

    switch(builder, next);
    let index = builder.ins().iadd_imm_s(index, 1);
    let more = builder.ins().icmp(IntCC::UnsignedLessThan, index, count);
    builder.ins().brif(more, head, &[BlockArg::Value(index), BlockArg::Value(after)], done, &[]);
    builder.seal_block(head);
    switch(builder, done);
}

/// Goes on behind a row that runs after a reset only, unless the workspace is `fresh`.
fn skip_unless(builder: &mut FunctionBuilder<'_>, fresh: Value, row: Value, next: Block, time: Value) {
    let run = builder.create_block();
    let after_reset = load(builder, row, ROW_AFTER_RESET as i32);
    let always = builder.ins().icmp_imm_s(IntCC::Equal, after_reset, 0);
    let runs = builder.ins().bor(always, fresh);
    builder.ins().brif(runs, run, &[], next, &[BlockArg::Value(time)]);
    switch(builder, run);
}

/// The clock before the first step; zero without one.
fn first_time(builder: &mut FunctionBuilder<'_>, callbacks: &Callbacks, callees: &Callees) -> Value {
    let [given, joined] = [builder.create_block(), builder.create_block()];
    let time = builder.append_block_param(joined, types::I64);
    let zero = builder.ins().iconst(types::I64, 0);
    builder.ins().brif(callbacks.clock, given, &[], joined, &[BlockArg::Value(zero)]);
    switch(builder, given);
    let now = call_clock(builder, callbacks, callees);
    builder.ins().jump(joined, &[BlockArg::Value(now)]);
    switch(builder, joined);
    time
}

fn call_clock(builder: &mut FunctionBuilder<'_>, callbacks: &Callbacks, callees: &Callees) -> Value {
    let call = builder.ins().call_indirect(callees.clock, callbacks.clock, &[callbacks.context]);
    builder.inst_results(call)[0]
}

/// The entry block with the function's parameters.
fn start(builder: &mut FunctionBuilder<'_>) -> Block {
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    switch(builder, block);
    block
}

fn switch(builder: &mut FunctionBuilder<'_>, block: Block) {
    builder.switch_to_block(block);
    builder.seal_block(block);
}

fn load(builder: &mut FunctionBuilder<'_>, base: Value, offset: i32) -> Value {
    builder.ins().load(types::I64, MemFlagsData::trusted(), base, offset)
}

fn load32(builder: &mut FunctionBuilder<'_>, base: Value, offset: usize) -> Value {
    builder.ins().load(types::I32, MemFlagsData::trusted(), base, offset as i32)
}

/// The body of `info`: the address of the data of the version that `infer` chooses on this CPU, or of the last one, which
/// needs least, where it chooses none.
pub fn info(builder: &mut FunctionBuilder<'_>, versions: &[Version]) {
    start(builder);
    let found = builder.create_block();
    let version = builder.append_block_param(found, types::I64);
    if let [.., last] = versions
        && versions.len() > 1
    {
        choose(builder, versions, found);
        let least = builder.ins().symbol_value(types::I64, last.data);
        builder.ins().return_(&[least]);
    } else {
        // What there is only one of needs no check.
        let first = builder.ins().iconst(types::I64, 0);
        builder.ins().jump(found, &[BlockArg::Value(first)]);
    }
    switch(builder, found);
    let address = data_of(builder, version, versions);
    builder.ins().return_(&[address]);
}
