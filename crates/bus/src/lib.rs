//! A client of a message bus (D-Bus Specification 0.43), as small as watching who owns which name needs: bytes in, events and bytes out.
//!
//! Nothing here opens a socket. What comes from the bus may be another user's: long messages are skipped and never held, and only what the
//! bus itself says is an event.

#![forbid(unsafe_code)]

mod address;
mod message;
mod session;

pub use address::{Address, SYSTEM, address};
pub use message::{Defect, MESSAGE_BYTES_MAX};
pub use session::{Event, Session};
