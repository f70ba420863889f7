//! What only the first process does: at its very beginning, before the keeper is one, and at its very end, when nobody else is left.
//!
//! Nothing here ends the process: a machine whose `/proc` can't be mounted comes up as far as it gets, and says so on its console.

mod beginning;
mod end;
mod file_systems;
mod machine_id;

use std::io::Write;

pub use beginning::begin;
pub use end::end;

/// The word by which the keeper becomes [`end`].
pub const END: &str = "end";

/// To the console; there may be none.
fn tell(text: &str) {
    match std::io::stderr().write_all(format!("coracled: {text}\n").as_bytes()) {
        Ok(()) | Err(_) => {}
    }
}
