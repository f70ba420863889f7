//! Fetch, store, versions, trust: how an image comes to a host and what the host remembers of it.
//!
//! Everything below `<state>` is changed by writing beside, syncing and renaming, so that a power cut
//! at any byte leaves the old or the new. Nothing here mounts, runs, or opens an image's headers.

pub mod attached;
pub mod channel;
pub mod chunks;
pub mod credential;
pub mod digest;
pub mod digests;
pub mod fetch;
pub mod files;
pub mod grants;
pub mod moving;
pub mod place;
pub mod policy;
pub mod portables;
pub mod publish;
pub mod purge;
pub mod registry;
pub mod store;
pub mod trust;
