//! What services are for, beside systemd: answering on an activated socket, calling the kernel, logging.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::figure::{Figure, Times};
use super::sides::{Both, HARDENED, Side, figure};
use super::{BENCH_FOLDER, timing};

const ROUNDS: usize = 20;

/// A line that is not found by then is lost.
const FOUND_MAX: Duration = Duration::from_secs(60);

/// From a connection to the first byte of the answer, of a restricted service that does not run yet.
pub(super) fn socket() -> Result<Vec<Figure>> {
    let mut both = Both::new();
    for (side, port) in [(Side::Coracle, 8081), (Side::Systemd, 8082)] {
        let name = side.name();
        both.unit(
            &format!("bench-{name}.socket"),
            &format!("[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=127.0.0.1:{port}\nTriggerLimitIntervalSec=0\n"),
        )?;
        both.unit(
            &format!("bench-{name}.service"),
            &format!("[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n[Service]\nType=notify\nExecStart={BENCH_FOLDER}/hello\n{HARDENED}"),
        )?;
    }
    both.each(&["daemon-reload"])?;
    let named = |side: Side, kind: &str| format!("bench-{}.{kind}", side.name());
    for side in Side::ALL {
        timing::once(&mut both.command(side, &["start", &named(side, "socket")]))?;
    }
    let times = both.alternate(ROUNDS, |side| {
        let port = if side == Side::Coracle { 8081 } else { 8082 };
        let time = first_byte(port)?;
        timing::once(&mut both.command(side, &["stop", &named(side, "service")]))?;
        Ok(time)
    })?;
    for side in Side::ALL {
        timing::once(&mut both.command(side, &["stop", &named(side, "socket")]))?;
    }
    Ok(vec![figure(
        "first byte through an activated socket",
        &times,
    )])
}

fn first_byte(port: u16) -> Result<Duration> {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut byte = [0];
    let count = stream.read(&mut byte).context("no answer")?;
    ensure!(count == 1, "the connection ended without an answer");
    Ok(begin.elapsed())
}

/// What a call takes, by name: cheap for the kernel and allowed to all; and two whose arguments the filter looks at.
const CALLS: [&str; 3] = ["getppid", "socket and close", "personality"];

/// Of what a filter adds to a call whose arguments it looks at, our part of systemd's.
const ADDED_MAX: f64 = 0.5;

/// How long calls take inside of a restricted service and outside, and what the filter adds to them.
pub(super) fn syscalls() -> Result<Vec<Figure>> {
    const ROUNDS: usize = 5;
    let both = Both::new();
    let program = std::env::current_exe()?;
    let inside = |side: Side| {
        let mut command = both.transient(side, &["--pipe"], HARDENED);
        command.arg(&program);
        command
    };
    let mut best = [[f64::INFINITY; CALLS.len()]; 3];
    for _ in 0..ROUNDS {
        let commands = [
            inside(Side::Coracle),
            inside(Side::Systemd),
            Command::new(&program),
        ];
        for (mut command, best) in commands.into_iter().zip(&mut best) {
            let costs = costs_of(command.arg("bench-calls"))?;
            for (best, cost) in best.iter_mut().zip(costs) {
                *best = best.min(cost);
            }
        }
    }
    let [ours, theirs, plain] = best;
    let mut found = Vec::new();
    for (index, call) in CALLS.iter().enumerate() {
        let of = |costs: &[f64; CALLS.len()]| costs.get(index).copied().context("a call's cost");
        let (ours, theirs, plain) = (of(&ours)?, of(&theirs)?, of(&plain)?);
        let figure = |work: String, ours, theirs| {
            Figure::new(work, "ns")
                .value(Side::Coracle.name(), ours)
                .value(Side::Systemd.name(), theirs)
        };
        found.push(
            figure(format!("{call} inside of 17 restrictions"), ours, theirs)
                .value("without a filter", plain),
        );
        // The kernel asks no filter for a call that it knows to be allowed always.
        if index > 0 {
            let added = figure(format!("{call}: added"), ours - plain, theirs - plain);
            found.push(added.share_of(Side::Systemd.name(), ADDED_MAX));
        }
    }
    Ok(found)
}

fn costs_of(command: &mut Command) -> Result<[f64; CALLS.len()]> {
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    let costs: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    let costs = costs.with_context(|| format!("{command:?} says {text:?}"))?;
    <[f64; CALLS.len()]>::try_from(costs).map_err(|costs| anyhow!("{costs:?} are not all costs"))
}

/// Nanoseconds of each of [`CALLS`] where this process is.
pub(crate) fn costs() -> Result<[f64; CALLS.len()]> {
    const TIMES: u32 = 200_000;
    /// What LockPersonality= lets everybody set: what it is.
    const LINUX: u32 = 0;
    let per_call = |mut call: Box<dyn FnMut() -> Result<()>>| -> Result<f64> {
        let begin = Instant::now();
        for _ in 0..TIMES {
            call()?;
        }
        let all = begin.elapsed().as_secs_f64() * 1e9;
        Ok((all / f64::from(TIMES) * 10.0).round() / 10.0)
    };
    Ok([
        per_call(Box::new(|| {
            std::hint::black_box(rustix::process::getppid());
            Ok(())
        }))?,
        per_call(Box::new(|| {
            drop(std::os::unix::net::UnixDatagram::unbound()?);
            Ok(())
        }))?,
        per_call(Box::new(|| {
            kernel::process::set_personality(LINUX)?;
            Ok(())
        }))?,
    ])
}

/// From the start of a service that writes 100,000 lines until the last of them is found in the log.
pub(super) fn log() -> Result<Vec<Figure>> {
    const LINES: &str = "100000";
    const FEW: usize = 3;
    let mut both = Both::new();
    // What the unit says of its limit comes too late for its first lines.
    let settings = Path::new("/run/systemd/journald.conf.d");
    fs::create_dir_all(settings)?;
    fs::write(
        settings.join("bench.conf"),
        "[Journal]\nRateLimitIntervalSec=0\n",
    )?;
    timing::once(&mut both.command(Side::Systemd, &["restart", "systemd-journald"]))?;
    for round in 0..FEW {
        both.unit(
            &format!("bench-log-{round}.service"),
            &format!("[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nLogRateLimitIntervalSec=0\nExecStart=/usr/bin/seq {LINES}\n"),
        )?;
    }
    both.each(&["daemon-reload"])?;
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..FEW {
        let unit = format!("bench-log-{round}.service");
        for (side, times) in Side::ALL.into_iter().zip(&mut times) {
            let begin = Instant::now();
            timing::once(&mut both.command(side, &["start", &unit]))?;
            let pattern = format!("--grep=^{LINES}$");
            loop {
                let mut search = match side {
                    Side::Coracle => both.coracle.command(&["logs"]),
                    Side::Systemd => Command::new("journalctl"),
                };
                search.args(["--quiet", "-u", &unit, "-n", "1", &pattern]);
                if !search.output()?.stdout.is_empty() {
                    break;
                }
                ensure!(
                    begin.elapsed() < FOUND_MAX,
                    "{} lost the last line",
                    side.name()
                );
            }
            times.push(begin.elapsed());
        }
    }
    Ok(vec![figure(
        format!("{LINES} lines written and the last one found"),
        &times.map(Times::new),
    )])
}
