//! The `coscribe` program.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// It gives memory that was freed back to the system (`.cargo/config.toml` says how soon), and is as fast where the binary is
/// static, which the C library's is not.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    coscribe::main()
}
