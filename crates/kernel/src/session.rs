//! Sessions and their terminals (setsid(2), ioctl_tty(2)), for programs that another terminal than ours is to be given; and programs that
//! are not to outlive their caller.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{ioctl_tiocsctty, setsid};

/// Makes the program lead a session of its own, so that it has no part in ours: a process can push input into the terminal that
/// controls its session (`TIOCSTI`). With `terminal`, its standard input controls the new session, whose keys mean what they mean at a
/// login: signals that our caller ignores are not ignored. Without, nothing controls it, and the program ends with us, since the keys
/// of our terminal don't reach it.
pub fn lead(command: &mut Command, terminal: bool) -> &mut Command {
    let begin = move || {
        setsid()?;
        if terminal {
            ioctl_tiocsctty(rustix::stdio::stdin())?;
            crate::signal::reset_dispositions()?;
        } else {
            crate::process::set_parent_death_signal(HANG_UP)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed: these are system calls without a C library.
    unsafe { command.pre_exec(begin) }
}

/// Has the kernel kill the program where the thread that starts it ends first: what it does is in vain then.
pub fn end_with_caller(command: &mut Command) -> &mut Command {
    let caller = rustix::process::getpid();
    let begin = move || {
        crate::process::set_parent_death_signal(KILL)?;
        // It may have ended before the kernel was told.
        if rustix::process::getppid() != Some(caller) {
            return Err(rustix::io::Errno::SRCH.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed: these are system calls without a C library.
    unsafe { command.pre_exec(begin) }
}

/// SIGKILL.
const KILL: i32 = 9;

/// SIGHUP, as when a terminal goes away (signal(7)).
const HANG_UP: i32 = 1;
