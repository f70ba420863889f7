//! Entry of `coracle`.
fn main() {}
