//! The table: one row per directive. What is known of a directive is in its row; how a value is read and printed is its value type's.

mod apply;
#[cfg(feature = "prose")]
mod prose;
mod row;
mod table;
mod types;

pub use apply::{
    MAX_VALUE_BYTES, TESTS, ValueError, apply, apply_to, family_of_test, print, reset,
};
#[cfg(feature = "prose")]
pub use prose::prose;
pub use row::{FromImage, Reason, Row, Said, Status};
pub use table::{TABLE, from_image, row, rows_named};
pub use types::ValueType;
