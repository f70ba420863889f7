//! What services are for, beside systemd: answering on an activated socket, calling the kernel, logging.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

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

/// How long a cheap call and one whose arguments the filter looks at take inside of a restricted service, and outside.
pub(super) fn syscalls() -> Result<Vec<Figure>> {
    let both = Both::new();
    let program = std::env::current_exe()?;
    let inside = |side: Side| -> Result<[f64; 2]> {
        let output = both
            .transient(side, &["--pipe"], HARDENED)
            .arg(&program)
            .arg("bench-calls")
            .output()?;
        ensure!(
            output.status.success(),
            "{}: {}",
            side.name(),
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout)?;
        let mut numbers = text.split_whitespace().map(str::parse);
        let mut next = || numbers.next().context("two numbers")?.context("a number");
        Ok([next()?, next()?])
    };
    let sides = [
        (Side::Coracle.name(), inside(Side::Coracle)?),
        (Side::Systemd.name(), inside(Side::Systemd)?),
        ("without a filter", cost()?),
    ];
    let figure = |call: &str, cost: fn(&[f64; 2]) -> f64| {
        let figure = Figure::new(format!("{call} inside of 17 restrictions"), "ns");
        sides.iter().fold(figure, |figure, (name, costs)| {
            figure.value(*name, cost(costs))
        })
    };
    Ok(vec![
        figure("getppid", |[cheap, _]| *cheap),
        figure("socket and close", |[_, checked]| *checked),
    ])
}

/// Nanoseconds of getppid, and of socket and close, where this process is.
pub(crate) fn cost() -> Result<[f64; 2]> {
    const CALLS: u32 = 200_000;
    let per_call =
        |time: Duration| (time.as_secs_f64() * 1e9 / f64::from(CALLS) * 10.0).round() / 10.0;
    let begin = Instant::now();
    for _ in 0..CALLS {
        std::hint::black_box(rustix::process::getppid());
    }
    let cheap = per_call(begin.elapsed());
    let begin = Instant::now();
    for _ in 0..CALLS {
        drop(std::os::unix::net::UnixDatagram::unbound()?);
    }
    Ok([cheap, per_call(begin.elapsed())])
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
                    Side::Systemd => std::process::Command::new("journalctl"),
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
