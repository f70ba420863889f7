//! The varlink interface of the manager: its messages, its description, and the codec both ends share.
//!
//! A message is one JSON object followed by a NUL byte, over a stream socket; descriptors travel beside it
//! (`SCM_RIGHTS`). The definitions in [`messages`] and [`methods`] are the only ones: the interface description
//! that `org.varlink.service` hands out is printed from them.

mod again;
pub mod client;
pub mod failure;
pub mod frame;
pub mod listing;
pub mod messages;
pub mod methods;
pub mod remote;
pub mod request;
pub mod service;
mod shape;
pub mod user_database;

pub use client::{Client, ClientError};
pub use failure::Failure;
pub use messages::*;
pub use methods::{Call, INTERFACE, Method};
pub use shape::{Field, Shape, Type};
