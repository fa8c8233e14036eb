//! The graph: SSA values with tensor types, and the closed set of operations between them.
//!
//! - [`entity`]: the `u32` names of things (`Value`, `Node`, `Region`, `Const`, `Layer`); they print as the text form writes them.
//! - [`ty`]: element types, shapes, tensor types. Shapes are static: the importer resolves every dynamic dimension.
//! - [`tensor`]: a constant's value, the only place where element types become Rust vectors.
//! - [`op`]: `enum Op` with its attributes, and one table of facts about each operation.
//! - [`quant`]: scales and zero points.
//! - [`graph`]: arenas, order, users; the only way to change a graph.
//! - [`infer`]: the result types of every operation, the only place where shapes are computed.
//! - [`verify`]: what must hold of every graph, as a checklist.
//! - [`attrs`]: the attributes of every operation as text, in one description for both directions; [`dense`]: elements as text.
//! - [`print`](mod@print), [`parse`]: the text form, which round-trips; [`file`]: on disk; [`dot`]: a picture.
//!
//! Invariants: a node's operands are defined before it in its region or in an enclosing one; every value has one type,
//! the one `infer` gives; a region ends in `return`. After `verify` is silent, later stages do not check these again.

pub mod attrs;
pub mod dense;
pub mod dot;
pub mod entity;
pub mod file;
pub mod graph;
pub mod infer;
pub mod op;
pub mod parse;
pub mod print;
pub mod quant;
pub mod tensor;
pub mod ty;
pub mod verify;

pub use entity::{Const, Layer, Node, Region, Value};
pub use graph::Graph;
pub use infer::broadcast_shapes;
pub use op::Op;
pub use quant::QuantParams;
pub use tensor::Tensor;
pub use ty::{ElemType, Shape, TensorType};
