//! A program with two models; `tests/apps/rust.rs` builds it. Its own code has nothing unsafe.
#![deny(unsafe_code)]

use octet_runtime::abi::ElementType;
use octet_runtime::host::{Tensor, Threads, Work};

octet_runtime::include_model!(mixed);
octet_runtime::include_model!(pub(crate) many);

/// Threads started for the occasion.
struct Scoped(usize);

impl Threads for Scoped {
    fn count(&self) -> usize {
        self.0
    }

    fn share(&self, work: &Work<'_>) {
        std::thread::scope(|scope| (1..self.0).for_each(|_| drop(scope.spawn(|| work.help()))));
    }
}

fn main() {
    types();
    threads();
    info();
    println!("ok");
}

fn types() {
    let inputs = mixed::Inputs { x: &[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], type_: &[10, 20, 255], ids: &[-1, 1 << 40], bias: &0.5 };
    let (mut sum, mut bytes, mut ids) = ([[0.0; 3]; 2], [0; 3], [0; 2]);
    let mut outputs = mixed::Outputs { sum: &mut sum, fn_: &mut bytes, ids: &mut ids };
    mixed::infer(&inputs, &mut outputs, &mut mixed::Workspace::new()).unwrap();
    assert_eq!(sum, [[11.5, 22.5, 258.5], [14.5, 25.5, 261.5]]);
    assert_eq!((bytes, ids), ([10, 20, 255], [-1, 1 << 40]));
}

/// The same bits for any number of threads, in a workspace that is used again.
fn threads() {
    let pixels: Vec<f32> = (0..48 * 64).map(|index| (index * 37 % 17) as f32 / 16.0).collect();
    let image = Tensor::from_elements(&pixels).unwrap();
    let mut workspace = many::Workspace::new();
    let mut alone: Box<[[f32; 10]; 48]> = Tensor::zeroed();
    many::infer(&many::Inputs { image }, &mut many::Outputs { logits: &mut alone }, &mut workspace).unwrap();
    assert!(alone.elements().iter().any(|&logit| logit != 0.0));
    for count in [1, 2, 5] {
        let mut logits: Box<[[f32; 10]; 48]> = Tensor::zeroed();
        let mut outputs = many::Outputs { logits: &mut logits };
        many::infer_on(&Scoped(count), &many::Inputs { image }, &mut outputs, &mut workspace).unwrap();
        assert!(logits == alone, "{count} threads");
    }
}

fn info() {
    let info = mixed::info();
    assert_eq!(info.name(), "mixed");
    let inputs: Vec<_> = info.inputs().map(|input| (input.name, input.element.unwrap(), input.dims.to_vec())).collect();
    assert_eq!(inputs[1], ("type", ElementType::U8, vec![3]));
    assert_eq!(inputs[3], ("bias", ElementType::F32, vec![]));
    assert_eq!(info.outputs().len(), 3);
    assert!(info.stack_bytes() > 0 && info.code_bytes() > 0);
    assert_eq!(many::info().inputs().next().unwrap().dims, [48, 1, 8, 8]);
    assert!(many::info().layers().any(|layer| layer.layer_type == "Convolution" && layer.macs > 0));
}
