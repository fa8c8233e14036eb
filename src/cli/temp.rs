//! A directory of this process's own that vanishes with it.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use octet::diag::Place;
use octet::diag::codes;

use super::failure::Failure;

/// A directory that only we may read, removed with this value.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Result<TempDir, Failure> {
        let base = env::temp_dir();
        for number in 0..1000 {
            let path = base.join(format!("octet-{}-{number}", process::id()));
            match create_private(&path) {
                Ok(()) => return Ok(TempDir(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Failure::io(&path, "be created", &error)),
            }
        }
        Err(Failure::new(
            &codes::UNWRITABLE,
            Place::file(base.display().to_string()),
            "full of directories of earlier runs of octet",
        ))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Left behind at worst; there is nobody to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}
