//! Prints what a spawn through the keeper costs beside a plain fork and exec.
fn main() {}
