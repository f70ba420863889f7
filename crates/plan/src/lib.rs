//! A typed unit and facts to a spawn plan, pure.
//!
//! Without its features this crate is `no_std` and holds only what the executor shares with the planner:
//! the steps, their compact code and the report record.
#![cfg_attr(not(feature = "encode"), no_std)]

pub mod code;
pub mod frame;
pub mod names;
pub mod report;
pub mod step;

pub use code::{DecodeError, List, Text};
pub use frame::Frame;
pub use step::Step;

#[cfg(feature = "planner")]
mod bind;
#[cfg(feature = "planner")]
pub mod ebpf;
#[cfg(feature = "planner")]
mod explain;
#[cfg(feature = "planner")]
pub mod firewall;
#[cfg(feature = "planner")]
pub mod interpreter;
#[cfg(feature = "planner")]
mod planner;
#[cfg(feature = "planner")]
pub mod resources;
#[cfg(feature = "planner")]
pub mod seccomp;

#[cfg(feature = "planner")]
pub use bind::{BindError, Bindings, Passed, SEARCH_PATH, User};
#[cfg(feature = "planner")]
pub use frame::Role;
#[cfg(feature = "planner")]
pub use planner::{
    ImageKind, ImageWish, Reduction, Refusal, Situation, SpawnPlan, beside, connection_settings,
    directories, has_credentials, network_maker, plan, plan_sockets, private_tmp, root_image,
    terminal_path,
};

/// The number of a directive as it travels in a plan and a report: `model::Directive`'s, or [`NO_DIRECTIVE`].
pub type DirectiveNumber = u16;

/// A step that no directive of the unit asked for.
pub const NO_DIRECTIVE: DirectiveNumber = u16::MAX;
