//! Layers without weights: arithmetic, activations, reductions, normalization, and everything that moves elements.

use octet::ir::op::*;
use octet::ir::{Op, Tensor, Value};

use super::net::{Net, shape};

impl Net {
    pub fn activation(&mut self, x: Value) -> Value {
        let op = match self.rng.below(18) {
            0..4 => UnaryOp::Relu,
            4 => UnaryOp::Clamp { min: 0.0, max: 6.0 },
            5 => UnaryOp::Clamp { min: -1.0, max: self.rng.of(&[0.5, 1.0, 2.0]) },
            6 => UnaryOp::HSwish,
            7 => UnaryOp::Sigmoid,
            8 => UnaryOp::Swish { beta: 1.0 },
            9 => self.rng.of(&[UnaryOp::Gelu, UnaryOp::GeluTanh]),
            10 => UnaryOp::Tanh,
            11 => self.rng.of(&[UnaryOp::Elu { alpha: 1.0 }, UnaryOp::Mish, UnaryOp::HSigmoid, UnaryOp::Softplus]),
            12 => self.rng.of(&[UnaryOp::Abs, UnaryOp::Neg, UnaryOp::Exp, UnaryOp::Erf]),
            13 | 14 => return self.prelu(x),
            _ => return x,
        };
        if op == UnaryOp::Exp {
            let x = self.unary(UnaryOp::Clamp { min: -4.0, max: 2.0 }, x);
            return self.unary(op, x);
        }
        self.unary(op, x)
    }

    fn prelu(&mut self, x: Value) -> Value {
        let axis = if self.dims(x).len() > 2 { 1 } else { self.dims(x).len() - 1 };
        let dims = if self.rng.chance(70) { self.along(x, axis) } else { vec![1] };
        let low = if self.rng.chance(70) { 0.0 } else { -0.3 };
        let slope = self.random(&dims, low, 0.4);
        self.binary(BinaryOp::PRelu, x, slope)
    }

    /// Arithmetic with a constant: for all, per slice of an axis, or for each element.
    pub fn constant_arithmetic(&mut self, x: Value) -> Value {
        let rank = self.dims(x).len();
        let dims = match self.rng.below(6) {
            0 => Vec::new(),
            1 | 2 if rank > 1 => self.along(x, 1),
            3 => self.along(x, rank - 1),
            4 => self.dims(x)[1..].to_vec(),
            _ => vec![1; rank],
        };
        let op = self.rng.of(&[BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Mul, BinaryOp::Div]);
        let constant = match op {
            BinaryOp::Mul | BinaryOp::Div => {
                let sign = if self.rng.chance(15) { -1.0 } else { 1.0 };
                self.random(&dims, 0.5 * sign, 1.5 * sign)
            }
            _ => self.random(&dims, -1.0, 1.0),
        };
        let is_left = self.rng.chance(15) && op != BinaryOp::Div && dims.len() <= rank;
        if is_left { self.op_left(op, constant, x) } else { self.binary(op, x, constant) }
    }

    fn op_left(&mut self, op: BinaryOp, constant: Value, x: Value) -> Value {
        self.ops(Op::Binary(op), &[constant, x]).first().copied().unwrap_or(x)
    }

    pub fn arithmetic(&mut self, a: Value, b: Value) -> Value {
        use BinaryOp::{Add, Max, Min, Mul, Sub};
        let op = self.rng.of(&[Add, Add, Add, Add, Mul, Mul, Sub, Max, Min]);
        self.binary(op, a, b)
    }

    pub fn reduce(&mut self, x: Value, axes: &[usize]) -> Value {
        use ReduceKind::{L2, Max, Mean, Min, Sum};
        let kind = self.rng.of(&[Mean, Mean, Mean, Max, Min, Sum, L2]);
        let attrs = ReduceAttrs { kind, axes: axes.to_vec(), keep_dims: true };
        self.op(Op::Reduce(attrs), &[x])
    }

    pub fn normalize(&mut self, x: Value) -> Value {
        let rank = self.dims(x).len();
        let axes: Vec<usize> = match rank {
            3.. if self.rng.chance(10) => vec![self.rng.within(1, rank - 1)],
            4 | 5 if self.rng.chance(50) => (2..rank).collect(),
            4 | 5 => (1..rank).collect(),
            _ => vec![rank - 1],
        };
        // Beside the root, a small epsilon would show the last bits of rows whose elements are equal.
        let (eps, eps_mode) =
            self.rng.of(&[(1e-3, EpsMode::Inside), (1e-5, EpsMode::Inside), (1e-3, EpsMode::Outside)]);
        match self.rng.below(4) {
            0 => {
                let axes = if self.rng.chance(70) { vec![1.min(rank - 1)] } else { (1..rank).collect() };
                self.op(Op::NormalizeL2(NormalizeL2Attrs { axes, eps, eps_mode }), &[x])
            }
            _ => {
                let normalize_variance = self.rng.chance(80);
                self.op(Op::Mvn(MvnAttrs { axes, normalize_variance, eps, eps_mode }), &[x])
            }
        }
    }

    pub fn softmax(&mut self, x: Value) -> Value {
        let rank = self.dims(x).len();
        let axis = if self.rng.chance(70) { rank - 1 } else { 1.min(rank - 1) };
        let log = self.rng.chance(10);
        self.op(Op::Softmax { axis, log }, &[x])
    }

    /// One step that moves elements of `[n, c, spatial..]` and gives the same rank.
    pub fn movement(&mut self, x: Value) -> Value {
        let dims = self.dims(x);
        match self.rng.below(15) {
            0 => self.channels_last(x),
            1 => self.shuffle(x),
            2 => self.pad(x),
            3 => self.split_and_join(x),
            4 => self.slice(x),
            5 => self.op(Op::Reverse { axis: 1 }, &[x]),
            6 => self.gather(x),
            7 if dims.len() == 4 => self.resize(x),
            8 if dims.len() == 4 => self.blocks(x),
            9 => {
                let mut repeats = vec![1; dims.len()];
                repeats[self.rng.below(dims.len() - 1) + 1] = 2;
                self.op(Op::Tile { repeats }, &[x])
            }
            10 => {
                let y = self.op(Op::Concat { axis: 1 }, &[x, x]);
                if dims[1] <= 8 { y } else { x }
            }
            11 => self.swap_spatial(x),
            12 => self.batches(x),
            13 => self.repeat_rows(x),
            _ => x,
        }
    }

    /// Blocks of the last dimension to the batch, something there, and back. What does not fill a block is padded, and
    /// the pads are cropped again or stay.
    fn batches(&mut self, x: Value) -> Value {
        let dims = self.dims(x);
        let last = dims.len() - 1;
        let (mut block, mut begin, mut end) = (vec![1; dims.len()], vec![0; dims.len()], vec![0; dims.len()]);
        block[last] = 2;
        begin[last] = self.rng.below(3);
        end[last] = (dims[last] + begin[last]) % 2;
        let apart = Op::SpaceToBatch { block: block.clone(), pads_begin: begin.clone(), pads_end: end.clone() };
        let y = self.op(apart, &[x]);
        let y = if self.rng.chance(50) { self.activation(y) } else { self.constant_arithmetic(y) };
        let none = vec![0; dims.len()];
        let (crops_begin, crops_end) = if self.rng.chance(70) { (begin, end) } else { (none.clone(), none) };
        self.op(Op::BatchToSpace { block, crops_begin, crops_end }, &[y])
    }

    /// One slice of an axis, and as many copies of it as there were slices.
    fn repeat_rows(&mut self, x: Value) -> Value {
        let dims = self.dims(x);
        let axis = self.rng.within(1, dims.len() - 1);
        let (mut begin, mut lengths) = (vec![0; dims.len()], dims.clone());
        (begin[axis], lengths[axis]) = (self.rng.below(dims[axis]), 1);
        let one = self.op(Op::Slice(SliceAttrs { begin, lengths, strides: vec![1; dims.len()] }), &[x]);
        self.op(Op::Broadcast { shape: shape(&dims) }, &[one])
    }

    /// To channels last and back, with something in between.
    fn channels_last(&mut self, x: Value) -> Value {
        let rank = self.dims(x).len();
        let there: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
        let back: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        let y = self.transpose(x, &there);
        let y = self.activation(y);
        self.transpose(y, &back)
    }

    fn swap_spatial(&mut self, x: Value) -> Value {
        let rank = self.dims(x).len();
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(rank - 1, self.rng.of(&[rank - 2, 1]));
        self.transpose(x, &perm)
    }

    /// Channel shuffle, or one of its reshapes alone and back.
    fn shuffle(&mut self, x: Value) -> Value {
        let dims = self.dims(x);
        if !dims[1].is_multiple_of(2) {
            return x;
        }
        let parts = [&[dims[0], 2, dims[1] / 2], &dims[2..]].concat();
        let mut perm: Vec<usize> = (0..parts.len()).collect();
        perm.swap(1, 2);
        let mut y = self.reshape(x, &parts);
        if self.rng.chance(70) {
            y = self.transpose(y, &perm);
        }
        self.reshape(y, &dims)
    }

    fn pad(&mut self, x: Value) -> Value {
        let dims = self.dims(x);
        let mode =
            self.rng.of(&[PadMode::Constant, PadMode::Constant, PadMode::Edge, PadMode::Reflect, PadMode::Symmetric]);
        let (mut begin, mut end) = (vec![0; dims.len()], vec![0; dims.len()]);
        for dim in 2..dims.len() {
            let most = if mode == PadMode::Reflect { dims[dim] - 1 } else { dims[dim] }.min(2);
            (begin[dim], end[dim]) = (self.rng.within(0, most) as isize, self.rng.within(0, most) as isize);
        }
        if (mode == PadMode::Constant || dims[1] > 1) && self.rng.chance(20) {
            end[1] = 1;
        }
        if mode == PadMode::Constant && self.rng.chance(20) {
            begin[2..].fill(0);
            end[2..].fill(0);
            begin[1] = 1;
        }
        let value = if self.rng.chance(70) { 0.0 } else { self.rng.of(&[0.5, -0.3]) };
        let value = if mode == PadMode::Constant { value } else { 0.0 };
        self.op(Op::Pad(PadAttrs { mode, begin, end, value }), &[x])
    }

    fn split_and_join(&mut self, x: Value) -> Value {
        let channels = self.dims(x)[1];
        if channels < 2 {
            return x;
        }
        let first = self.rng.within(1, channels - 1);
        let parts = self.ops(Op::Split { axis: 1, lengths: vec![first, channels - first] }, &[x]);
        let a = self.activation(parts[0]);
        let b = if self.rng.chance(40) { self.quantize(parts[1]) } else { parts[1] };
        self.op(Op::Concat { axis: 1 }, &[b, a])
    }

    fn slice(&mut self, x: Value) -> Value {
        let dims = self.dims(x);
        let mut attrs = SliceAttrs { begin: vec![0; dims.len()], lengths: dims.clone(), strides: vec![1; dims.len()] };
        for (dim, &size) in dims.iter().enumerate().skip(1) {
            let (stride, begin) = (self.rng.of(&[1, 1, 2]), self.rng.below(size.min(2)));
            attrs.begin[dim] = begin;
            attrs.strides[dim] = stride as isize;
            attrs.lengths[dim] = (size - begin).div_ceil(stride);
        }
        if self.rng.chance(10) {
            let last = dims.len() - 1;
            (attrs.begin[last], attrs.strides[last], attrs.lengths[last]) = (dims[last] - 1, -1, dims[last]);
        }
        self.op(Op::Slice(attrs), &[x])
    }

    /// Some slices of an axis, in another order.
    fn gather(&mut self, x: Value) -> Value {
        let dims = self.dims(x);
        let axis = self.rng.within(1, dims.len() - 1);
        let count = self.rng.within(1, dims[axis]);
        let indices = (0..count).map(|_| self.rng.below(dims[axis]) as i64).collect();
        let indices = self.tensor(Tensor::i64(shape(&[count]), indices));
        self.op(Op::Gather { axis, batch_dims: 0 }, &[x, indices])
    }

    fn resize(&mut self, x: Value) -> Value {
        use CoordinateMode::{AlignCorners, Asymmetric, HalfPixel, PytorchHalfPixel};
        let dims = self.dims(x);
        let sizes: Vec<usize> = dims[2..].iter().map(|&size| self.rng.of(&[2 * size, 2 * size, size + 1])).collect();
        let (mut pads_begin, mut pads_end) = (vec![0; 4], vec![0; 4]);
        if self.rng.chance(20) {
            (pads_begin[2], pads_end[3]) = (self.rng.below(3), self.rng.below(2));
        }
        let padded = |dim: usize| dims[dim] + pads_begin[dim] + pads_end[dim];
        let scales = (0..2).map(|i| sizes[i] as f64 / padded(i + 2) as f64).collect();
        let attrs = InterpolateAttrs {
            mode: self.rng.of(&[
                InterpolateMode::Nearest,
                InterpolateMode::Nearest,
                InterpolateMode::LinearOnnx,
                InterpolateMode::Linear,
                InterpolateMode::Cubic,
            ]),
            coordinates: self.rng.of(&[HalfPixel, Asymmetric, AlignCorners, PytorchHalfPixel]),
            nearest: self.rng.of(&[NearestMode::RoundPreferFloor, NearestMode::Floor, NearestMode::Simple]),
            antialias: false,
            cube_coeff: -0.75,
            axes: vec![2, 3],
            sizes,
            scales,
            pads_begin,
            pads_end,
        };
        self.op(Op::Interpolate(attrs), &[x])
    }

    /// Depth to space, or the reverse, where the sizes allow.
    fn blocks(&mut self, x: Value) -> Value {
        let dims = self.dims(x);
        let mode = self.rng.of(&[DepthMode::BlocksFirst, DepthMode::DepthFirst]);
        if dims[1].is_multiple_of(4) && self.rng.chance(60) {
            return self.op(Op::DepthToSpace { block: 2, mode }, &[x]);
        }
        let fits = dims[2].is_multiple_of(2) && dims[3].is_multiple_of(2) && dims[1] <= 4;
        if fits { self.op(Op::SpaceToDepth { block: 2, mode }, &[x]) } else { x }
    }
}
