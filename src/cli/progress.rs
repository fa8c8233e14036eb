//! One line on a terminal that says what is going on; nothing where standard error is no terminal.

use std::io::{self, IsTerminal, Write};

use octet::driver::Stage;

pub struct Progress {
    shown: bool,
    on: bool,
}

impl Progress {
    pub fn new() -> Progress {
        Progress { shown: false, on: io::stderr().is_terminal() }
    }

    /// A stage of the compiler has begun.
    pub fn stage(&mut self, stage: Stage) {
        let number = Stage::ALL.iter().position(|&other| other == stage).map_or(0, |index| index + 1);
        self.say(&format!("[{number}/{}] {}", Stage::ALL.len(), stage.name()));
    }

    /// Replaces the line.
    pub fn say(&mut self, text: &str) {
        if self.on {
            let mut stderr = io::stderr().lock();
            // Progress is a courtesy: a terminal that went away is no error.
            let _ = write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush());
            self.shown = true;
        }
    }

    /// Removes the line, so that something else can be written there.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
