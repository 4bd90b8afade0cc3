//! Lines on stdout and stderr, above the progress bar if there is one.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use crate::progress;

/// Why a part of stdout was not written, first of all.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes a line to stdout, as `println!` does, and goes on if nobody reads it.
#[macro_export]
macro_rules! say {
    ($($what:tt)*) => { $crate::line(::std::format_args!($($what)*)) };
}

/// Writes a line to stderr, as `eprintln!` does, and goes on if nobody reads it.
#[macro_export]
macro_rules! note {
    ($($what:tt)*) => { $crate::error(::std::format_args!($($what)*)) };
}

/// Writes a line to stdout: see [`say!`](crate::say).
pub fn line(what: Arguments<'_>) {
    print(format!("{what}\n").as_bytes());
}

/// Writes a line to stderr: see [`note!`](crate::note).
pub fn error(what: Arguments<'_>) {
    // Nothing is left to say it to.
    let _ = stderr().write_all(format!("{what}\n").as_bytes());
}

/// Writes bytes to stdout. [`ending`] tells whether they got there.
pub fn print(bytes: &[u8]) {
    let written = progress::aside(|| {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush())
    });
    if let Err(error) = written {
        LOST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// A writer to stderr that never fails.
pub fn stderr() -> impl Write {
    Stderr
}

/// The exit code of a program that has done its work. A reader of stdout that has gone had enough; whatever else kept stdout from
/// being written, such as a full disk, is an error.
pub fn ending(code: ExitCode) -> ExitCode {
    match LOST.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(lost) if lost.kind() != ErrorKind::BrokenPipe => {
            note!("error: cannot write to stdout: {lost}");
            if code == ExitCode::SUCCESS { ExitCode::FAILURE } else { code }
        }
        _ => code,
    }
}

struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Who has closed it does not want to know.
        let _ = progress::aside(|| io::stderr().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
