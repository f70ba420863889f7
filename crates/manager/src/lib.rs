//! The loop that owns every descriptor: thin adapters between the engine, the keeper and the clients, one file each.
//!
//! No decision is made here: what to do next is the engine's, how a process is set up is the planner's. One thread, one
//! epoll loop, and no call in it that can wait for anything but memory and small files.

mod adopt;
mod api;
mod beginning;
mod builtin;
mod calls;
mod causes;
mod cgroup;
mod children;
mod cleaning;
mod clock;
mod conditions;
mod connection;
mod credentials;
mod directories;
mod dynamic_user;
mod effects;
mod elsewhere;
mod entry;
mod environment;
mod filters;
mod firewall;
mod host_files;
mod identity;
mod image;
mod instance;
mod ipc;
mod keys;
mod leftovers;
mod life;
mod link;
mod loading;
mod manager;
mod monitor;
mod networks;
pub mod notice;
mod notify;
mod opener;
mod own_log;
mod pattern;
mod pending;
mod pid_file;
mod planning;
mod poll;
mod portable;
mod recent;
mod record;
mod release;
mod resources;
mod returning;
mod run;
mod show;
mod signals;
mod start;
mod status;
mod stopping;
mod streams;
mod survivors;
mod testing;
mod transient;
mod user_database;
mod users;

pub use directories::{DEFAULT_CONFIG, DEFAULT_RUNTIME, DEFAULT_STATE, Directories};
pub use manager::{Error, Options, run};
