//! The coscribe server.
fn main() {}
