//! `cmake`: writes the package that makes models libraries of CMake projects. It does not depend on a model or a machine, so
//! it may be committed with the project that uses it.

use std::fs;

use super::args::CmakeArgs;
use super::artifacts::write_file;
use super::failure::Failure;

const CONFIG: &str = include_str!("octetConfig.cmake");

pub fn run(args: &CmakeArgs) -> Result<(), Failure> {
    let directory = &args.directory;
    fs::create_dir_all(directory).map_err(|error| Failure::io(directory, "be created", &error))?;
    write_file(&directory.join("octetConfig.cmake"), CONFIG.as_bytes())?;
    write_file(&directory.join("octetConfigVersion.cmake"), version().as_bytes())
}

/// Another minor version of a 0.x may differ, another patch does not.
fn version() -> String {
    let (version, series) =
        (env!("CARGO_PKG_VERSION"), concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR")));
    format!(
        "set(PACKAGE_VERSION {version})\n\
         if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)\n  set(PACKAGE_VERSION_EXACT TRUE)\nendif()\n\
         if(NOT PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION\n   \
         AND PACKAGE_FIND_VERSION VERSION_GREATER_EQUAL {series})\n  set(PACKAGE_VERSION_COMPATIBLE TRUE)\nendif()\n"
    )
}
