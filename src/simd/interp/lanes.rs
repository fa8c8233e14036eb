//! What each vector instruction does to bytes. One function per instruction, lane by lane, no tricks.

use crate::simd::ir::{CHUNK, Cmp, FloatOp, FloatUnary, FusedOp, Half, Pack, Reduction, ShiftOp, Ty, VecOp};

const MAX_BYTES: usize = 64;

/// Bytes of a vector of the widest width; narrower vectors use the first ones and keep zeros in the others.
#[derive(Clone, Copy, Debug)]
pub struct Vector([u8; MAX_BYTES]);

impl Vector {
    /// These bytes, then zeros.
    pub fn from_bytes(bytes: &[u8]) -> Vector {
        let mut vector = [0; MAX_BYTES];
        vector[..bytes.len()].copy_from_slice(bytes);
        Vector(vector)
    }

    pub fn bytes(&self, count: usize) -> &[u8] {
        &self.0[..count]
    }

    /// Lanes of `N` bytes.
    fn lanes<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> + '_ {
        self.0.as_chunks::<N>().0.iter().copied()
    }

    fn collect<const N: usize>(lanes: impl Iterator<Item = [u8; N]>) -> Vector {
        let mut vector = [0; MAX_BYTES];
        for (to, lane) in vector.as_chunks_mut::<N>().0.iter_mut().zip(lanes) {
            *to = lane;
        }
        Vector(vector)
    }

    fn i8s(&self) -> impl Iterator<Item = i8> + '_ {
        self.0.iter().map(|&byte| byte as i8)
    }

    fn i16s(&self) -> impl Iterator<Item = i16> + '_ {
        self.lanes().map(i16::from_le_bytes)
    }

    fn i32s(&self) -> impl Iterator<Item = i32> + '_ {
        self.lanes().map(i32::from_le_bytes)
    }

    fn f32s(&self) -> impl Iterator<Item = f32> + '_ {
        self.lanes().map(f32::from_le_bytes)
    }

    fn from_i16s(lanes: impl Iterator<Item = i16>) -> Vector {
        Vector::collect(lanes.map(i16::to_le_bytes))
    }

    fn from_i32s(lanes: impl Iterator<Item = i32>) -> Vector {
        Vector::collect(lanes.map(i32::to_le_bytes))
    }

    pub fn map_i32(&self, f: impl Fn(i32) -> i32) -> Vector {
        Vector::from_i32s(self.i32s().map(f))
    }

    /// Lane by lane in i64: lanes are sign-extended, results cut.
    fn zip(self, other: Vector, ty: Ty, f: impl Fn(i64, i64) -> i64) -> Vector {
        match ty.lane_bytes() {
            1 => Vector::collect(self.i8s().zip(other.i8s()).map(|(a, b)| [f(a.into(), b.into()) as u8])),
            2 => Vector::from_i16s(self.i16s().zip(other.i16s()).map(|(a, b)| f(a.into(), b.into()) as i16)),
            _ => Vector::from_i32s(self.i32s().zip(other.i32s()).map(|(a, b)| f(a.into(), b.into()) as i32)),
        }
    }

    /// Zeros behind the first `bytes`.
    fn cut(mut self, bytes: usize) -> Vector {
        self.0[bytes..].fill(0);
        self
    }
}

/// Whether `a` compares so with `b`.
pub fn compare<T: PartialOrd>(cmp: Cmp, a: &T, b: &T) -> bool {
    match cmp {
        Cmp::Eq => a == b,
        Cmp::Ne => a != b,
        Cmp::Lt => a < b,
        Cmp::Le => a <= b,
        Cmp::Gt => a > b,
        Cmp::Ge => a >= b,
    }
}

pub fn float_op(op: FloatOp, a: f32, b: f32) -> f32 {
    match op {
        FloatOp::Add => a + b,
        FloatOp::Sub => a - b,
        FloatOp::Mul => a * b,
        FloatOp::Div => a / b,
        FloatOp::Min => {
            if a < b {
                a
            } else {
                b
            }
        }
        FloatOp::Max => {
            if a > b {
                a
            } else {
                b
            }
        }
    }
}

/// One rounding. As the instructions do, it negates no NaN.
pub fn fused(op: FusedOp, a: f32, b: f32, c: f32) -> f32 {
    let negated = |x: f32| if x.is_nan() { x } else { -x };
    match op {
        FusedOp::MulAdd => a.mul_add(b, c),
        FusedOp::MulSub => a.mul_add(b, negated(c)),
        FusedOp::NegMulAdd => negated(a).mul_add(b, c),
    }
}

/// As [`fused`] on lanes; see [`zip_f32`].
pub fn fused_lanes(op: FusedOp, [a, b, c]: [Vector; 3], width: usize) -> Vector {
    let lanes = a.f32s().zip(b.f32s()).zip(c.f32s());
    Vector::collect(lanes.map(|((a, b), c)| fused(op, a, b, c).to_le_bytes())).cut(width)
}

pub fn float_unary(op: FloatUnary, a: f32) -> f32 {
    match op {
        FloatUnary::Neg => -a,
        FloatUnary::Abs => a.abs(),
        FloatUnary::Sqrt => a.sqrt(),
        FloatUnary::Floor => a.floor(),
        FloatUnary::Ceil => a.ceil(),
        FloatUnary::Trunc => a.trunc(),
        FloatUnary::Round => a.round_ties_even(),
    }
}

/// Lanes of the first `width` bytes; the others stay zero whatever `f` makes of zeros.
pub fn zip_f32(a: Vector, b: Vector, width: usize, f: impl Fn(f32, f32) -> f32) -> Vector {
    Vector::collect(a.f32s().zip(b.f32s()).map(|(x, y)| f(x, y).to_le_bytes())).cut(width)
}

pub fn vec_op(op: VecOp, ty: Ty, a: Vector, b: Vector) -> Vector {
    let mask = (1i64 << (8 * ty.lane_bytes())) - 1;
    a.zip(b, ty, |a, b| match op {
        VecOp::Add => a + b,
        VecOp::Sub => a - b,
        VecOp::Mul => a * b,
        VecOp::And => a & b,
        VecOp::Or => a | b,
        VecOp::Xor => a ^ b,
        VecOp::AndNot => a & !b,
        VecOp::MinS => a.min(b),
        VecOp::MaxS => a.max(b),
        VecOp::MinU => (a & mask).min(b & mask),
        VecOp::MaxU => (a & mask).max(b & mask),
    })
}

/// `bits` is less than the bits of a lane.
pub fn shift(op: ShiftOp, ty: Ty, value: Vector, bits: u32) -> Vector {
    let mask = (1i64 << (8 * ty.lane_bytes())) - 1;
    value.zip(value, ty, |a, _| match op {
        ShiftOp::Left => a << bits,
        ShiftOp::RightUnsigned => (a & mask) >> bits,
        ShiftOp::RightSigned => a >> bits,
    })
}

pub fn vec_cmp(cmp: Cmp, ty: Ty, a: Vector, b: Vector, width: usize) -> Vector {
    a.zip(b, ty, |a, b| if compare(cmp, &a, &b) { -1 } else { 0 }).cut(width)
}

pub fn float_vec_cmp(cmp: Cmp, a: Vector, b: Vector, width: usize) -> Vector {
    let lanes = a.f32s().zip(b.f32s()).map(|(a, b)| if compare(cmp, &a, &b) { -1 } else { 0 });
    Vector::from_i32s(lanes).cut(width)
}

pub fn select(mask: Vector, a: Vector, b: Vector) -> Vector {
    Vector(std::array::from_fn(|i| (a.0[i] & mask.0[i]) | (b.0[i] & !mask.0[i])))
}

pub fn madd(a: Vector, b: Vector) -> Vector {
    let products: Vec<i32> = a.i16s().zip(b.i16s()).map(|(a, b)| i32::from(a) * i32::from(b)).collect();
    Vector::from_i32s(products.as_chunks::<2>().0.iter().map(|[x, y]| x.wrapping_add(*y)))
}

/// Sums of neighbouring products u8 x i8.
fn pair_sums(u: Vector, s: Vector) -> Vec<i32> {
    let products: Vec<i32> = u.0.iter().zip(s.i8s()).map(|(&u, s)| i32::from(u) * i32::from(s)).collect();
    products.as_chunks::<2>().0.iter().map(|[x, y]| x + y).collect()
}

fn saturate_i16(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

pub fn madd_ubs(u: Vector, s: Vector) -> Vector {
    Vector::from_i16s(pair_sums(u, s).into_iter().map(saturate_i16))
}

pub fn dot4(acc: Vector, u: Vector, s: Vector, any: bool) -> Result<Vector, String> {
    let pairs = pair_sums(u, s);
    let saturated = pairs.iter().position(|&sum| i16::try_from(sum).is_err());
    if let Some(i) = saturated.filter(|_| !any) {
        let sum = pairs[i];
        return Err(format!("the products of bytes {} and {} sum to {sum}, which is no i16", 2 * i, 2 * i + 1));
    }
    let sums = pairs.as_chunks::<2>().0.iter().map(|[x, y]| x + y);
    Ok(Vector::from_i32s(acc.i32s().zip(sums).map(|(acc, sum)| acc.wrapping_add(sum))))
}

/// Lanes outside i32 give `i32::MIN`, or an error when `strict`.
pub fn to_int(value: Vector, strict: bool) -> Result<Vector, String> {
    let inside = |x: &f32| (-2147483648.0..2147483648.0).contains(x);
    if strict && let Some(lane) = value.f32s().find(|x| !inside(x)) {
        return Err(format!("a lane is {lane}, which is outside i32"));
    }
    let convert = |x: f32| if inside(&x) { x.round_ties_even() as i32 } else { i32::MIN };
    Ok(Vector::from_i32s(value.f32s().map(convert)))
}

pub fn pack(pack: Pack, a: Vector, b: Vector) -> Vector {
    let narrow = |chunk: &[u8]| -> Vec<u8> {
        let i16s = || chunk.as_chunks::<2>().0.iter().map(|&lane| i16::from_le_bytes(lane));
        match pack {
            Pack::I32ToI16 => {
                let lanes = chunk.as_chunks::<4>().0.iter().map(|&lane| i32::from_le_bytes(lane));
                lanes.flat_map(|lane| saturate_i16(lane).to_le_bytes()).collect()
            }
            Pack::I16ToI8 => i16s().map(|lane| lane.clamp(-128, 127) as u8).collect(),
            Pack::I16ToU8 => i16s().map(|lane| lane.clamp(0, 255) as u8).collect(),
        }
    };
    let bytes: Vec<u8> =
        a.0.chunks(CHUNK).zip(b.0.chunks(CHUNK)).flat_map(|(a, b)| [narrow(a), narrow(b)].concat()).collect();
    Vector::from_bytes(&bytes)
}

pub fn interleave(half: Half, lane_bytes: usize, a: Vector, b: Vector) -> Vector {
    let first = if half == Half::Low { 0 } else { CHUNK / 2 };
    let mut bytes = Vec::with_capacity(MAX_BYTES);
    for (a, b) in a.0.chunks(CHUNK).zip(b.0.chunks(CHUNK)) {
        for at in (first..first + CHUNK / 2).step_by(lane_bytes) {
            bytes.extend_from_slice(&a[at..at + lane_bytes]);
            bytes.extend_from_slice(&b[at..at + lane_bytes]);
        }
    }
    Vector::from_bytes(&bytes)
}

pub fn shuffle(value: Vector, pattern: [u8; CHUNK]) -> Vector {
    let bytes: Vec<u8> = value
        .0
        .chunks(CHUNK)
        .flat_map(|chunk| pattern.map(|from| chunk.get(usize::from(from)).copied().unwrap_or(0)))
        .collect();
    Vector::from_bytes(&bytes)
}

pub fn shuffle_by(table: Vector, indices: Vector, width: usize) -> Vector {
    let byte = |i: usize| match indices.0[i] {
        0x80.. => 0,
        index => table.0[i / CHUNK * CHUNK + usize::from(index) % CHUNK],
    };
    Vector::from_bytes(&(0..width).map(byte).collect::<Vec<u8>>())
}

pub fn unchunk(value: Vector, width: usize) -> Vector {
    const LANE: usize = 4;
    let lane = |i: usize, chunk: usize| &value.0[chunk * CHUNK + i * LANE..][..LANE];
    let lanes = (0..CHUNK / LANE).flat_map(|i| (0..width / CHUNK).map(move |chunk| lane(i, chunk)));
    Vector::from_bytes(&lanes.collect::<Vec<_>>().concat())
}

pub enum Reduced {
    Int(i64),
    Float(f32),
}

pub fn reduce(reduction: Reduction, value: Vector, width: usize) -> Reduced {
    let ints = || value.i32s().take(width / 4).collect();
    let floats = || value.f32s().take(width / 4).collect();
    match reduction {
        Reduction::AddI32 => Reduced::Int(tree(ints(), i32::wrapping_add).into()),
        Reduction::MaxI32 => Reduced::Int(tree(ints(), i32::max).into()),
        Reduction::AddF32 => Reduced::Float(tree(floats(), |a, b| a + b)),
        Reduction::MaxF32 => Reduced::Float(tree(floats(), |a, b| float_op(FloatOp::Max, a, b))),
        Reduction::MinF32 => Reduced::Float(tree(floats(), |a, b| float_op(FloatOp::Min, a, b))),
    }
}

/// Lane `i` meets lane `i + n/2` until one is left.
fn tree<T: Copy>(mut lanes: Vec<T>, f: impl Fn(T, T) -> T) -> T {
    while lanes.len() > 1 {
        let (low, high) = lanes.split_at(lanes.len() / 2);
        lanes = low.iter().zip(high).map(|(&a, &b)| f(a, b)).collect();
    }
    lanes[0]
}
