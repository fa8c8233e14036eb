//! What a compiled model needs at run time.
//!
//! [`abi`] is the one border between compiler and objects; the compiler uses nothing else of this crate.
#![no_std]

pub mod abi;
