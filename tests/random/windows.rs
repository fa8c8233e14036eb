//! Layers with windows over `[n, c, spatial..]` of any rank: convolutions, deconvolutions, pools.

use octet::ir::op::{BinaryOp, ConvAttrs, DeconvAttrs, PoolAttrs, Rounding};
use octet::ir::{Op, Value};

use super::net::Net;

/// Geometry along each spatial dimension.
struct Window {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    begin: Vec<usize>,
    end: Vec<usize>,
}

impl Net {
    fn window(&mut self, x: Value, kernels: &[usize]) -> Window {
        let sizes = self.dims(x)[2..].to_vec();
        let (kernel, stride) = (self.rng.of(kernels), self.rng.of(&[1, 1, 1, 2, 2, 3]));
        let dilation = if self.rng.chance(15) { 2 } else { 1 };
        let same = self.rng.chance(60);
        let mut window = Window { kernel: vec![], strides: vec![], dilations: vec![], begin: vec![], end: vec![] };
        for size in sizes {
            let kernel = if self.rng.chance(10) { self.rng.of(kernels) } else { kernel }.min(size);
            let dilation = if (kernel - 1) * dilation < size { dilation } else { 1 };
            let pad = if same { (kernel - 1) * dilation / 2 } else { 0 };
            window.kernel.push(kernel);
            window.strides.push(if self.rng.chance(10) { 1 } else { stride });
            window.dilations.push(dilation);
            window.begin.push(pad);
            window.end.push(if pad > 0 && self.rng.chance(20) { pad - 1 } else { pad });
        }
        window
    }

    pub fn convolution(&mut self, x: Value, oc: usize, groups: usize) -> Value {
        let ic = self.dims(x)[1] / groups;
        let window = self.window(x, &[1, 1, 3, 3, 3, 2, 5]);
        let taps: usize = window.kernel.iter().product::<usize>() * ic;
        let dims = [&[oc, ic], window.kernel.as_slice()].concat();
        let w = self.weights(&dims, 0, 2.0 / (taps as f32).sqrt());
        let attrs = ConvAttrs {
            strides: window.strides,
            dilations: window.dilations,
            pads_begin: window.begin,
            pads_end: window.end,
            groups,
            pad_value: 0,
        };
        let y = self.op(Op::Convolution(attrs), &[x, w]);
        self.bias(y, 1)
    }

    /// One channel at a time, sometimes with several results for each.
    pub fn depthwise(&mut self, x: Value) -> Value {
        let channels = self.dims(x)[1];
        let multiplier = if self.rng.chance(15) { 2 } else { 1 };
        self.convolution(x, channels * multiplier, channels)
    }

    pub fn grouped(&mut self, x: Value) -> Value {
        let channels = self.dims(x)[1];
        let groups = [4, 3, 2, 1].into_iter().find(|&groups| channels.is_multiple_of(groups)).unwrap_or(1);
        let oc = groups * self.rng.within(1, 6);
        self.convolution(x, oc, groups)
    }

    pub fn deconvolution(&mut self, x: Value, oc: usize) -> Value {
        let dims = self.dims(x);
        let spatial = dims.len() - 2;
        let (kernel, stride, pad) = self.rng.of(&[(2, 2, 0), (3, 2, 1), (3, 1, 1), (4, 2, 1), (3, 2, 0)]);
        let groups = if dims[1].is_multiple_of(2) && self.rng.chance(20) { 2 } else { 1 };
        let weights = [vec![dims[1], oc], vec![kernel; spatial]].concat();
        let w = self.weights(&weights, 1, 2.0 / (dims[1] as f32 * 2.0).sqrt());
        let attrs = DeconvAttrs {
            strides: vec![stride; spatial],
            dilations: vec![1; spatial],
            pads_begin: vec![pad; spatial],
            pads_end: vec![pad; spatial],
            output_padding: vec![if stride == 2 && self.rng.chance(20) { 1 } else { 0 }; spatial],
            groups,
            zero_point: 0,
        };
        let y = self.op(Op::Deconvolution(attrs), &[x, w]);
        self.bias(y, 1)
    }

    /// A constant per slice of `axis`, most of the time.
    pub fn bias(&mut self, y: Value, axis: usize) -> Value {
        if self.rng.chance(25) {
            return y;
        }
        let bias = self.random(&self.along(y, axis), -0.5, 0.5);
        let op = self.rng.of(&[BinaryOp::Add, BinaryOp::Add, BinaryOp::Add, BinaryOp::Sub]);
        self.binary(op, y, bias)
    }

    /// Pools have kernels for up to two spatial dimensions.
    fn can_pool(&self, x: Value) -> bool {
        self.dims(x).len() <= 4
    }

    pub fn max_pool(&mut self, x: Value) -> Value {
        if !self.can_pool(x) {
            return x;
        }
        let attrs = self.pool(x);
        self.op(Op::MaxPool(attrs), &[x])
    }

    pub fn avg_pool(&mut self, x: Value) -> Value {
        if !self.can_pool(x) {
            return x;
        }
        let attrs = PoolAttrs { dilations: vec![1; self.dims(x).len() - 2], ..self.pool(x) };
        self.op(Op::AvgPool(attrs), &[x])
    }

    fn pool(&mut self, x: Value) -> PoolAttrs {
        let window = self.window(x, &[2, 2, 3]);
        // A pad as wide as the kernel would leave windows without elements.
        let pads = |pads: &[usize]| pads.iter().zip(&window.kernel).map(|(&pad, &k)| pad.min(k / 2)).collect();
        PoolAttrs {
            pads_begin: pads(&window.begin),
            pads_end: pads(&window.end),
            kernel: window.kernel,
            strides: window.strides,
            dilations: vec![1; window.dilations.len()],
            rounding: self.rng.of(&[Rounding::Floor, Rounding::Floor, Rounding::CeilTorch]),
            exclude_pad: self.rng.chance(50),
        }
    }
}
