//! The nouns: unit names, values, typed unit records.
//!
//! Everything here is a plain value with a text form. Nothing here knows files, descriptors or clocks.

pub mod calendar;
pub mod directive;
pub mod escape;
pub mod facts;
#[macro_use]
mod keys;

pub mod key;
pub mod listen;
pub mod mount;
pub mod order;
pub mod pattern;
pub mod position;
pub mod replacing;
mod resources;
mod service_type;
pub mod slice;
pub mod sorted;
pub mod support;
pub mod tables;
pub mod text;
pub mod unit;
pub mod unit_name;
pub mod value;
pub mod version;
pub mod versioned;

pub use directive::{Directive, Key, Room};
pub use facts::Facts;
pub use listen::Listen;
pub use position::Position;
pub use resources::{Resource, Resources};
pub use text::{Expand, Form, ParseError, TextForm};
pub use unit::Unit;
pub use unit_name::{UnitKind, UnitName};
pub use value::{Setting, Value};
