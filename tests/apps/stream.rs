//! A program with a model with variables; `tests/apps/rust.rs` builds it. Its own code has nothing unsafe.
#![deny(unsafe_code)]

octet_runtime::include_model!(state);

/// A workspace is one stream.
fn main() {
    let mut streams = [state::Workspace::new(), state::Workspace::new()];
    let mut next = |stream: usize| {
        let mut y = [0.0; 2];
        let mut outputs = state::Outputs { y: &mut y };
        state::infer(&state::Inputs { x: &[1.0, 2.0] }, &mut outputs, &mut streams[stream]).unwrap();
        y
    };
    assert_eq!([next(0), next(0), next(1), next(0)], [[11.0, 22.0], [12.0, 24.0], [11.0, 22.0], [13.0, 26.0]]);
    streams[0].reset();
    let mut y = [0.0; 2];
    let mut outputs = state::Outputs { y: &mut y };
    state::infer(&state::Inputs { x: &[1.0, 2.0] }, &mut outputs, &mut streams[0]).unwrap();
    assert_eq!(y, [11.0, 22.0]);
    assert!(state::info().state_bytes() > 0);
    println!("ok");
}
