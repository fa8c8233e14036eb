//! What the import of one layer sees: its attributes, its operands, and a place to put operations.
//!
//! Every accessor checks and gives a [`Fault`]: the fact and the remedy, to which the importer adds the place.

use std::sync::Arc;

use crate::ir::op::{BinaryOp, UnaryOp};
use crate::ir::tensor::Data;
use crate::ir::{ElemType, Graph, Layer, Op, Region, Shape, Tensor, TensorType, Value};

use super::build::Importer;
use super::xml::LayerXml;

/// Why a layer cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub message: String,
    pub help: Option<String>,
}

pub type Fallible<T> = Result<T, Fault>;

impl Fault {
    pub fn new(message: impl Into<String>) -> Fault {
        Fault { message: message.into(), help: None }
    }

    pub fn help(self, help: impl Into<String>) -> Fault {
        Fault { help: Some(help.into()), ..self }
    }

    /// A form of a supported operation that is not supported.
    pub fn unsupported(message: impl Into<String>) -> Fault {
        Fault::new(message).help(super::layers::CUT)
    }
}

/// One layer in the middle of its import.
pub struct Context<'m, 'i, 'a> {
    pub importer: &'m mut Importer<'i>,
    pub layer: &'m LayerXml<'a>,
    pub source: Layer,
    pub region: Region,
    pub operands: &'m [Value],
}

impl<'a> Context<'_, '_, 'a> {
    pub fn graph(&self) -> &Graph {
        &self.importer.graph
    }

    // Operands.

    pub fn operand(&self, index: usize) -> Fallible<Value> {
        self.operands.get(index).copied().ok_or_else(|| {
            Fault::new(format!("the number of inputs is {}, and input {index} is missing", self.operands.len()))
                .help("the file is damaged: export the model again")
        })
    }

    /// Checks the number of inputs.
    pub fn takes(&self, count: usize) -> Fallible<()> {
        let given = self.operands.len();
        if given == count { Ok(()) } else { Err(Fault::new(format!("the number of inputs is {given}, not {count}"))) }
    }

    pub fn has(&self, index: usize) -> bool {
        index < self.operands.len()
    }

    pub fn dims(&self, value: Value) -> Vec<usize> {
        self.graph().ty(value).shape.dims().to_vec()
    }

    pub fn rank(&self, value: Value) -> usize {
        self.graph().ty(value).shape.rank()
    }

    pub fn elem(&self, value: Value) -> ElemType {
        self.graph().ty(value).elem
    }

    /// The value of operand `index`, called `what` in messages.
    pub fn constant(&mut self, index: usize, what: &str) -> Fallible<Arc<Tensor>> {
        let value = self.operand(index)?;
        let Importer { graph, folder, .. } = &mut *self.importer;
        folder.value(graph, value).map_err(|reason| {
            Fault::new(format!("{what} (input {index}) is not a constant: {reason}"))
                .help("octet needs it when it compiles the model: make it a constant in the source model")
        })
    }

    pub fn ints(&mut self, index: usize, what: &str) -> Fallible<Vec<i64>> {
        let tensor = self.constant(index, what)?;
        tensor.to_i64().ok_or_else(|| Fault::new(format!("{what} (input {index}) is {}, not integers", tensor.ty())))
    }

    pub fn int(&mut self, index: usize, what: &str) -> Fallible<i64> {
        match self.ints(index, what)?.as_slice() {
            &[value] => Ok(value),
            values => Err(Fault::new(format!("{what} (input {index}) has {} elements, not one", values.len()))),
        }
    }

    pub fn sizes(&mut self, index: usize, what: &str) -> Fallible<Vec<usize>> {
        let values = self.ints(index, what)?;
        to_sizes(&values).ok_or_else(|| Fault::new(format!("{what} {values:?} has negative elements")))
    }

    pub fn floats(&mut self, index: usize, what: &str) -> Fallible<Vec<f64>> {
        Ok(self.constant(index, what)?.to_f64())
    }

    pub fn float(&mut self, index: usize, what: &str) -> Fallible<f64> {
        match self.floats(index, what)?.as_slice() {
            &[value] => Ok(value),
            values => Err(Fault::new(format!("{what} (input {index}) has {} elements, not one", values.len()))),
        }
    }

    /// Axes of a tensor of `rank`, from 0, ascending, each once.
    pub fn axes(&mut self, index: usize, what: &str, rank: usize) -> Fallible<Vec<usize>> {
        let values = self.ints(index, what)?;
        let mut axes = values.iter().map(|&value| axis(value, rank)).collect::<Fallible<Vec<usize>>>()?;
        axes.sort_unstable();
        axes.dedup();
        Ok(axes)
    }

    // Attributes.

    pub fn attr(&self, name: &str) -> Option<&'a str> {
        self.layer.attr(name)
    }

    pub fn required(&self, name: &str) -> Fallible<&'a str> {
        self.attr(name).ok_or_else(|| {
            Fault::new(format!("the attribute {name} is missing")).help("the file is damaged: export the model again")
        })
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str, text: &str) -> Fallible<T> {
        text.trim().parse().map_err(|_| {
            Fault::new(format!("attribute {name}=\"{text}\" is not a number of the expected kind"))
                .help("the file is damaged: export the model again")
        })
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Fallible<T> {
        self.parsed(name, self.required(name)?)
    }

    pub fn number_or<T: std::str::FromStr>(&self, name: &str, default: T) -> Fallible<T> {
        self.attr(name).map_or(Ok(default), |text| self.parsed(name, text))
    }

    /// A list of numbers; `None` when it is missing or empty.
    pub fn list<T: std::str::FromStr>(&self, name: &str) -> Fallible<Option<Vec<T>>> {
        match self.attr(name).map(str::trim) {
            None | Some("") => Ok(None),
            Some(text) => text.split(',').map(|part| self.parsed(name, part)).collect::<Fallible<_>>().map(Some),
        }
    }

    pub fn flag(&self, name: &str, default: bool) -> Fallible<bool> {
        match self.attr(name) {
            None => Ok(default),
            Some("true" | "True" | "1") => Ok(true),
            Some("false" | "False" | "0") => Ok(false),
            Some(text) => Err(Fault::new(format!("attribute {name}=\"{text}\" is neither true nor false"))),
        }
    }

    /// One of several words, without regard to case.
    pub fn choice<T: Copy>(&self, name: &str, default: &str, words: &[(&str, T)]) -> Fallible<T> {
        let text = self.attr(name).unwrap_or(default);
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        found.map(|&(_, value)| value).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|&(word, _)| word).collect();
            Fault::unsupported(format!("{name}=\"{text}\" is not supported, only {}", known.join(", ")))
        })
    }

    // Operations.

    pub fn emit_all(&mut self, op: Op, operands: &[Value]) -> Fallible<Vec<Value>> {
        let name = op.name();
        let is_own_name = name.replace('_', "").eq_ignore_ascii_case(self.layer.kind);
        let graph = &mut self.importer.graph;
        let node = graph
            .append(self.region, op, operands, &[self.source])
            .map_err(|reason| Fault::new(if is_own_name { reason } else { format!("its {name} {reason}") }))?;
        Ok(graph.results(node).to_vec())
    }

    /// Appends an operation and gives its first result.
    pub fn emit(&mut self, op: Op, operands: &[Value]) -> Fallible<Value> {
        let results = self.emit_all(op, operands)?;
        results.first().copied().ok_or_else(|| Fault::new("internal error: an operation without results"))
    }

    pub fn unary(&mut self, op: UnaryOp, x: Value) -> Fallible<Value> {
        self.emit(Op::Unary(op), &[x])
    }

    pub fn binary(&mut self, op: BinaryOp, a: Value, b: Value) -> Fallible<Value> {
        self.emit(Op::Binary(op), &[a, b])
    }

    pub fn convert(&mut self, x: Value, elem: ElemType) -> Fallible<Value> {
        if self.elem(x) == elem { Ok(x) } else { self.emit(Op::Convert { elem }, &[x]) }
    }

    pub fn reshape(&mut self, x: Value, dims: &[usize]) -> Fallible<Value> {
        if self.dims(x) == dims { Ok(x) } else { self.emit(Op::Reshape { shape: shape(dims)? }, &[x]) }
    }

    pub fn transpose(&mut self, x: Value, perm: &[usize]) -> Fallible<Value> {
        let identity = perm.iter().enumerate().all(|(to, &from)| to == from);
        if identity { Ok(x) } else { self.emit(Op::Transpose { perm: perm.to_vec() }, &[x]) }
    }

    pub fn broadcast(&mut self, x: Value, dims: &[usize]) -> Fallible<Value> {
        if self.dims(x) == dims { Ok(x) } else { self.emit(Op::Broadcast { shape: shape(dims)? }, &[x]) }
    }

    /// Checks that so many elements may still be created. To be asked before they are built.
    pub fn afford(&self, elements: usize) -> Fallible<()> {
        if elements <= self.importer.allowance {
            return Ok(());
        }
        Err(Fault::new(format!("its {elements} elements are more than a model's layers may create"))
            .help("the file is damaged, or the model is too large for octet"))
    }

    pub fn tensor(&mut self, tensor: Tensor) -> Fallible<Value> {
        let elements = tensor.shape().elements();
        self.afford(elements)?;
        self.importer.allowance -= elements;
        let id = self.importer.graph.add_tensor(tensor);
        self.emit(Op::Const(id), &[])
    }

    /// A constant of a float or integer type from f64 values.
    pub fn numbers(&mut self, elem: ElemType, dims: &[usize], values: &[f64]) -> Fallible<Value> {
        let data = match elem {
            ElemType::I64 => Data::I64(values.iter().map(|&v| v as i64).collect()),
            ElemType::I32 => Data::I32(values.iter().map(|&v| v as i32).collect()),
            ElemType::F16 => Data::F16(values.iter().map(|&v| half::f16::from_f64(v)).collect()),
            ElemType::BF16 => Data::BF16(values.iter().map(|&v| half::bf16::from_f64(v)).collect()),
            ElemType::F32 => Data::F32(values.iter().map(|&v| v as f32).collect()),
            other => return Err(Fault::unsupported(format!("it computes with {other}"))),
        };
        let shape = shape(dims)?;
        if shape.elements() != values.len() {
            return Err(Fault::new(format!("{} values do not fill {shape}", values.len())));
        }
        self.tensor(Tensor::new(TensorType::new(elem, shape), data))
    }

    pub fn scalar(&mut self, elem: ElemType, value: f64) -> Fallible<Value> {
        self.numbers(elem, &[], &[value])
    }
}

/// A shape, unless it is absurdly large.
pub fn shape(dims: &[usize]) -> Fallible<Shape> {
    Shape::new(dims).ok_or_else(|| {
        Fault::new(format!("shape {dims:?} has more than {} elements", Shape::MAX_ELEMENTS))
            .help("the file is damaged, or a --shape is too large")
    })
}

/// An axis counted from 0; negative ones count from the end.
pub fn axis(value: i64, rank: usize) -> Fallible<usize> {
    let from_start = if value < 0 { value.checked_add_unsigned(rank as u64) } else { Some(value) };
    let axis = from_start.and_then(|value| usize::try_from(value).ok()).filter(|&axis| axis < rank);
    axis.ok_or_else(|| Fault::new(format!("axis {value} is outside a tensor of {rank} dimensions")))
}

pub fn to_sizes(values: &[i64]) -> Option<Vec<usize>> {
    values.iter().map(|&value| usize::try_from(value).ok()).collect()
}
