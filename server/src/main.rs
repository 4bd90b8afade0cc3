//! The `coscribe` program.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// It gives freed memory back to the system, and is as fast where the binary is static, which the C library's is not.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    coscribe::main()
}
