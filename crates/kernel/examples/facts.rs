//! Prints what this host can do, as the planner sees it, and how long it took to ask.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

fn main() {
    let before = std::time::Instant::now();
    let facts = coracle_kernel::probe::facts();
    let took = before.elapsed();
    println!("{facts:#?}\nasked in {took:?}");
}
