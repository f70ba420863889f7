//! Portables: what an image's units may say, what they ask for, and the sandbox that is theirs without asking.
//!
//! [`review`] judges units value by value: free, asked for (a [`Request`] with the name of its grant), or refused. [`restrict`] puts a
//! unit into a [`Profile`]; what was granted survives. [`as_unit_text`] prints the unit as it was judged and [`as_drop_in`] the difference, so
//! that both, loaded together, are what `restrict` made. Nothing here knows images, signatures or who asks the administrator.

mod amounts;
mod drop_in;
mod grants;
mod judge;
mod kernel;
mod listen;
mod paths;
mod profile;
mod relations;
mod restrict;
mod review;
mod rules;
mod scope;

pub use drop_in::{Unprintable, as_drop_in, as_unit_text};
pub use grants::{SUPERPRIVILEGED, covers, is_covered};
pub use profile::{NAMES as PROFILE_NAMES, Profile};
pub use restrict::restrict;
pub use review::{Claim, Refusal, Request, Review, UnitText, review, shadowed};
pub use scope::{InvalidName, PortableName};
