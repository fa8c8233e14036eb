//! Programs that tests write and run.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Writes a program by way of a child process: this process forks in other threads, and a copy of the open file would keep the
/// program from being started ("text file busy").
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let plain = path.with_extension("data");
    fs::write(&plain, bytes)?;
    let status = Command::new("cp").arg(&plain).arg(path).status()?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    if status.success() { Ok(()) } else { Err(io::Error::other("cp failed")) }
}
