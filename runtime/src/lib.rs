//! What a compiled model needs at run time.
//!
//! [`abi`] is the one border between compiler and objects; the compiler uses nothing else of this crate.
//!
//! [`host`] is for programs in Rust that have a model inside: what [`include_model!`] expands to.
//!
//! The rest is the program around a model, without libc and without std, so that it links with nothing and stays small:
//!
//! - `sys`: Linux system calls, the only place with assembly beside the stub;
//! - `clock`, `cpu`, `threads`: time, CPU features and the pool behind [`abi::ParallelFor`];
//! - [`npy`]: tensors in files;
//! - `peak`: the best rate of products on this machine, for profiles;
//! - `program`: the command line (`run`, `bench`, `info`).
//!
//! `runtime/stub/` makes a static executable of it, which waits for a model in an [`abi::ModelSlot`]; the compiler embeds
//! that executable and attaches models to it. Targets other than Linux on x86-64 and aarch64 get [`abi`], [`host`] and [`npy`] only.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod abi;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub mod clock;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub mod cpu;
pub mod host;
pub mod npy;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub mod peak;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub mod program;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub mod sys;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub mod threads;
