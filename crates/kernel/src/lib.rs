//! The only unsafe code: system calls that rustix lacks, typed and thin, and probes of what this kernel can do.
//!
//! Without the feature `std` nothing here allocates or needs a C library: the executor links it as it is. Where rustix has
//! a call, that call is used directly (`kernel::rustix::…`), not wrapped again.
//!
//! Without an allocator rustix copies a `&str` path to 256 bytes of stack and refuses longer ones: pass `&CStr`.

#![cfg_attr(not(feature = "std"), no_std)]
#![allow(unsafe_code, reason = "this is the one crate for it")]

pub use rustix;
pub use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
pub use rustix::io::Errno;

/// What every call here answers: the value, or the kernel's error number.
pub type Result<T> = core::result::Result<T, Errno>;

mod syscall;

#[cfg(feature = "std")]
pub mod allocator;
#[cfg(feature = "std")]
pub mod aside;
pub mod autofs;
pub mod bpf;
#[cfg(all(c_library = "musl", target_env = "gnu", feature = "std"))]
mod c_library;
pub mod copy;
pub mod credentials;
pub mod descriptor;
pub mod device_mapper;
#[cfg(all(feature = "freestanding", not(feature = "std")))]
pub mod entry;
pub mod holder;
pub mod interface;
pub mod ipc;
pub mod keyring;
pub mod landlock;
pub mod listening;
pub mod loop_device;
pub mod machine;
pub mod mark;
pub mod memory;
pub mod message;
pub mod mount;
pub mod namespace;
pub mod power;
#[cfg(feature = "std")]
pub mod probe;
pub mod process;
pub mod quota;
#[cfg(feature = "std")]
pub mod remove;
pub mod resolve;
pub mod scheduling;
pub mod seccomp;
#[cfg(feature = "std")]
pub mod security;
#[cfg(feature = "std")]
pub mod session;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod terminal;
pub mod trace;
pub mod wait;
pub mod walk;
