//! Takes a plan's steps, then executes the service.
//!
//! A loop over steps, one file each. There is no allocator and no C library; memory is the stack, the mapped plan and what
//! a step maps. Whatever a step can't do ends the start with a report: there are no fallbacks here that weaken a restriction.
#![no_std]

mod ahead;
mod begin;
mod head;
mod made;
mod path;
mod state;
mod steps;

pub use begin::run;
