//! Tables of names that the kernel numbers: capabilities, signals, errors, families, system call groups, exit statuses; the states of units; and where hosts keep their files.

pub mod architectures;
pub mod bpf;
pub mod capabilities;
pub mod errno;
pub mod exit_status;
pub mod families;
pub mod file_systems;
pub mod host_files;
pub mod signals;
pub mod states;
pub mod syscall_groups;
