//! What moves a portable and what it has stored: an archive is packed while the services are quiet, read by a worker, and takes the place of
//! what is there whole or not at all.

pub(crate) mod arrived;
pub(crate) mod former;
pub(crate) mod manifest;
pub(crate) mod pack;
pub(crate) mod places;
pub(crate) mod put;
pub(crate) mod quiet;
mod room;
mod sink;
