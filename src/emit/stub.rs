//! The prebuilt programs that [`super::exe::attach`] attaches models to, made by `build.rs` from `runtime/stub/`.

/// The stub for an architecture as target triples name it (`x86_64`, `aarch64`), on Linux. `None` if octet was built
/// without one: the architecture has no runtime, its `core` was not installed, or no linker was found then.
pub fn program(arch: &str) -> Option<&'static [u8]> {
    let stub: &[u8] = match arch {
        "x86_64" => include_bytes!(concat!(env!("OUT_DIR"), "/stub-x86_64")),
        "aarch64" => include_bytes!(concat!(env!("OUT_DIR"), "/stub-aarch64")),
        _ => return None,
    };
    Some(stub).filter(|stub| !stub.is_empty())
}
