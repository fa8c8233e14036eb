//! Error numbers of system calls, and the sentences for those a user is likely to cause.

use core::fmt;

/// A positive error number of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    pub const INTERRUPTED: Errno = Errno(4);
    pub const OUT_OF_MEMORY: Errno = Errno(12);
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            1 => "operation not permitted",
            2 => "no such file or directory",
            5 => "input/output error",
            11 => "resource temporarily unavailable",
            12 => "out of memory",
            13 => "permission denied",
            20 => "a part of the path is not a directory",
            21 => "is a directory",
            24 => "too many open files",
            27 => "file too large",
            28 => "no space left on the device",
            30 => "read-only file system",
            36 => "file name too long",
            40 => "too many symbolic links",
            number => return write!(f, "system error {number}"),
        };
        f.write_str(text)
    }
}
