//! Entry of `coracled`.
fn main() {}
