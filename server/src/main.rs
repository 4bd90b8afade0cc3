//! The `coscribe` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    coscribe::main()
}
