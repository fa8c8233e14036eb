use crate::simd::{builder::Builder, ir::Val};
pub fn acos(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn acosh(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn asin(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn asinh(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn atan(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn atanh(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn cos(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn cosh(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn erf(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn exp(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn expm1(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn gelu(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn gelu_tanh(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn log(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn mish(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn pow(_: &mut Builder, _: Val, _: Val) -> Val {
    panic!()
}
pub fn sigmoid(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn sin(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn sinh(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn softplus(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn swish(_: &mut Builder, _: Val, _: f32) -> Val {
    panic!()
}
pub fn tan(_: &mut Builder, _: Val) -> Val {
    panic!()
}
pub fn tanh(_: &mut Builder, _: Val) -> Val {
    panic!()
}
