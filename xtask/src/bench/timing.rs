//! Times of commands that alternate, so that a machine that slows down slows all of them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::figure::Times;

/// Rounds before the counted ones: caches fill, the instance starts.
const WARM_UP_ROUNDS: usize = 10;

/// Runs each command once per round, and returns the times of each.
///
/// # Errors
/// When a command can't be started or fails: a failed start must not count as a fast one.
pub(super) fn alternate<const N: usize>(
    rounds: usize,
    mut commands: [Command; N],
) -> Result<[Times; N]> {
    let mut times: [Vec<Duration>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..WARM_UP_ROUNDS + rounds {
        for (command, times) in commands.iter_mut().zip(&mut times) {
            let time = once(command)?;
            if round >= WARM_UP_ROUNDS {
                times.push(time);
            }
        }
    }
    Ok(times.map(Times::new))
}

/// Runs a command and returns how long it took from start to exit.
pub(super) fn once(command: &mut Command) -> Result<Duration> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let begin = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    let time = begin.elapsed();
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(time)
}
