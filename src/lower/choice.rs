//! What lowering asks about kernels before it chooses among them.

use super::kernel::KernelSpec;

/// How long kernels take, as lowering asks before it chooses one.
pub trait Estimate {
    /// Cycles of one core for all items of `spec`, first cache warm as far as the data fit. `constants[i]` are the bytes of operand `i` where it is a
    /// constant (packed weights decide how often some loops run).
    fn cycles(&self, spec: &KernelSpec, constants: &[Option<&[u8]>]) -> f64;
}
