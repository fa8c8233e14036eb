//! A graph under construction, and the numbers that decide it.

use octet::ir::op::{BinaryOp, UnaryOp};
use octet::ir::tensor::Data;
use octet::ir::{ElemType, Graph, Op, Shape, Tensor, TensorType, Value};

use super::rng::Rng;

pub struct Net {
    pub graph: Graph,
    pub rng: Rng,
}

pub fn shape(dims: &[usize]) -> Shape {
    Shape::new(dims).unwrap()
}

impl Net {
    pub fn new(seed: u64) -> Net {
        Net { graph: Graph::new("net"), rng: Rng::new(seed) }
    }

    pub fn input(&mut self, elem: ElemType, dims: &[usize]) -> Value {
        let name = format!("x{}", self.graph.inputs().len());
        self.graph.add_input(name, TensorType::new(elem, shape(dims)))
    }

    /// All results; none when the operation does not take these operands.
    pub fn ops(&mut self, op: Op, operands: &[Value]) -> Vec<Value> {
        let body = self.graph.body();
        let node = self.graph.append(body, op, operands, &[]);
        node.map(|node| self.graph.results(node).to_vec()).unwrap_or_default()
    }

    /// The first operand when the operation does not take these: random attributes need not fit every shape.
    pub fn op(&mut self, op: Op, operands: &[Value]) -> Value {
        self.ops(op, operands).first().copied().unwrap_or(operands[0])
    }

    pub fn tensor(&mut self, tensor: Tensor) -> Value {
        let id = self.graph.add_tensor(tensor);
        self.ops(Op::Const(id), &[])[0]
    }

    pub fn f32(&mut self, dims: &[usize], values: Vec<f32>) -> Value {
        self.tensor(Tensor::f32(shape(dims), values))
    }

    pub fn scalar(&mut self, value: f32) -> Value {
        self.f32(&[], vec![value])
    }

    /// A constant as files store it: f32, or f16 that is decompressed.
    pub fn stored(&mut self, dims: &[usize], values: Vec<f32>) -> Value {
        if self.rng.chance(85) {
            return self.f32(dims, values);
        }
        let halves = values.into_iter().map(half::f16::from_f32).collect();
        let ty = TensorType::new(ElemType::F16, shape(dims));
        let stored = self.tensor(Tensor::new(ty, Data::F16(halves)));
        self.op(Op::Convert { elem: ElemType::F32 }, &[stored])
    }

    /// A constant of random values.
    pub fn random(&mut self, dims: &[usize], low: f32, high: f32) -> Value {
        let values = self.rng.floats(dims.iter().product(), low, high);
        self.stored(dims, values)
    }

    pub fn dims(&self, value: Value) -> Vec<usize> {
        self.graph.ty(value).shape.dims().to_vec()
    }

    pub fn elements(&self, value: Value) -> usize {
        self.graph.ty(value).shape.elements()
    }

    pub fn binary(&mut self, op: BinaryOp, a: Value, b: Value) -> Value {
        self.op(Op::Binary(op), &[a, b])
    }

    pub fn unary(&mut self, op: UnaryOp, x: Value) -> Value {
        self.op(Op::Unary(op), &[x])
    }

    pub fn reshape(&mut self, x: Value, dims: &[usize]) -> Value {
        self.op(Op::Reshape { shape: shape(dims) }, &[x])
    }

    pub fn transpose(&mut self, x: Value, perm: &[usize]) -> Value {
        self.op(Op::Transpose { perm: perm.to_vec() }, &[x])
    }

    /// `[1, n, 1, ..]` of the rank of `x`, `n` on `axis`.
    pub fn along(&self, x: Value, axis: usize) -> Vec<usize> {
        let dims = self.dims(x);
        (0..dims.len()).map(|dim| if dim == axis { dims[dim] } else { 1 }).collect()
    }

    /// Ends the graph.
    pub fn finish(mut self, outputs: &[Value]) -> Graph {
        let body = self.graph.body();
        self.graph.append(body, Op::Return, outputs, &[]).unwrap();
        self.graph.output_names = (0..outputs.len()).map(|i| format!("y{i}")).collect();
        self.graph
    }
}
