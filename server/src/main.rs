//! The Pilothouse server and its commands.
fn main() {}
