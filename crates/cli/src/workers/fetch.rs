//! The fetch worker: it may use the network and write two files that it was handed, and nothing else.
//!
//! Descriptor 0 is a socket to the caller (a request comes in, progress and the result go out, one JSON value a line),
//! 1 the staging file, 2 the file beside it that a resumed transfer needs.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use delivery::digest::Digest;
use delivery::fetch::{Fetched, Limits, Progress, Request, Roots};
use delivery::store::Staging;
use serde::{Deserialize, Serialize};

/// Longest line between the two, in bytes: a certificate bundle is some 250 kB, and JSON writes its bytes as numbers.
const LINE_MAX_BYTES: u64 = 8 << 20;

/// A request as it travels.
#[derive(Serialize, Deserialize)]
struct Order {
    url: String,
    roots: Option<String>,
    size_max_bytes: u64,
    total_s: u64,
    idle_s: u64,
    redirects: u32,
    retries: u32,
}

/// What comes back.
#[derive(Serialize, Deserialize)]
enum Word {
    /// A layer of the confinement that this kernel does not have.
    Reduced {
        reason: String,
    },
    Progress {
        bytes: u64,
        total_bytes: Option<u64>,
    },
    Fetched {
        digest: String,
        bytes: u64,
        url: String,
    },
    Failed {
        causes: Vec<String>,
    },
}

/// Runs the worker, passes its progress on, and what this kernel can't take from it.
///
/// # Errors
/// What the worker says, or that it ended without a word.
pub(crate) fn run(
    request: &Request,
    staging: &Staging,
    progress: &mut dyn FnMut(Progress),
    reduced: &mut dyn FnMut(&str),
) -> Result<Fetched> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new("/proc/self/exe")
        .args([super::ARGUMENT, "fetch"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(staging.file.try_clone()?))
        .stderr(Stdio::from(staging.state.try_clone()?))
        .spawn()
        .context("cannot start the fetch worker")?;
    let order = Order::of(request)?;
    send(&mut &ours, &order)?;
    let outcome = listen(ours, progress, reduced);
    let status = child.wait()?;
    outcome.with_context(|| format!("the fetch worker ended with {status}"))?
}

fn listen(
    ours: UnixStream,
    progress: &mut dyn FnMut(Progress),
    reduced: &mut dyn FnMut(&str),
) -> Result<Result<Fetched>> {
    let mut reader = BufReader::new(ours);
    loop {
        match receive(&mut reader)? {
            Word::Reduced { reason } => reduced(&reason),
            Word::Progress { bytes, total_bytes } => progress(Progress { bytes, total_bytes }),
            Word::Fetched { digest, bytes, url } => {
                return Ok(Ok(Fetched {
                    digest: digest.parse::<Digest>()?,
                    bytes,
                    url,
                }));
            }
            Word::Failed { causes } => return Ok(Err(chain(causes))),
        }
    }
}

/// The worker's causes as an error chain: the first is the outermost.
fn chain(causes: Vec<String>) -> anyhow::Error {
    let mut causes = causes.into_iter().rev();
    let innermost = anyhow!(
        causes
            .next()
            .unwrap_or_else(|| "no cause was given".to_owned())
    );
    causes.fold(innermost, anyhow::Error::context)
}

/// The worker's whole life.
///
/// # Errors
/// When it can't confine itself or talk to its caller.
pub(crate) fn main() -> Result<()> {
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let staging = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let state = File::from(std::io::stderr().as_fd().try_clone_to_owned()?);
    let order: Order = receive(&mut BufReader::new(socket.try_clone()?))?;
    let reductions = delivery::fetch::confine(order.size_max_bytes)?;
    let told = |word: &Word| send(&mut &socket, word);
    for reduction in reductions {
        told(&Word::Reduced {
            reason: reduction.words().to_owned(),
        })?;
    }
    let mut last = None;
    let outcome = delivery::fetch::fetch(
        &order.request(),
        &staging,
        &state,
        &mut |progress: Progress| {
            if last != Some(progress.bytes) {
                last = Some(progress.bytes);
                let heard = told(&Word::Progress {
                    bytes: progress.bytes,
                    total_bytes: progress.total_bytes,
                });
                // The caller went away: what has come stays for its next try, and nobody waits for the rest.
                if heard.is_err() {
                    std::process::exit(1);
                }
            }
        },
    );
    match outcome {
        Ok(fetched) => told(&Word::Fetched {
            digest: fetched.digest.to_string(),
            bytes: fetched.bytes,
            url: fetched.url,
        }),
        Err(error) => told(&Word::Failed {
            causes: anyhow::Error::new(error)
                .chain()
                .map(ToString::to_string)
                .collect(),
        }),
    }
}

impl Order {
    fn of(request: &Request) -> Result<Order> {
        let roots = match &request.roots {
            Roots::System => None,
            Roots::Only(pem) => {
                Some(String::from_utf8(pem.clone()).context("the file of --ca is not PEM")?)
            }
        };
        let Limits {
            size_max_bytes,
            total,
            idle,
            redirects,
            retries,
        } = request.limits;
        Ok(Order {
            url: request.url.clone(),
            roots,
            size_max_bytes,
            total_s: total.as_secs(),
            idle_s: idle.as_secs(),
            redirects,
            retries,
        })
    }

    fn request(&self) -> Request {
        let limits = Limits {
            size_max_bytes: self.size_max_bytes,
            total: Duration::from_secs(self.total_s),
            idle: Duration::from_secs(self.idle_s),
            redirects: self.redirects,
            retries: self.retries,
        };
        let roots = self
            .roots
            .as_ref()
            .map_or(Roots::System, |pem| Roots::Only(pem.clone().into_bytes()));
        Request {
            url: self.url.clone(),
            roots,
            limits,
        }
    }
}

fn send<T: Serialize>(to: &mut impl Write, value: &T) -> Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)?;
    Ok(())
}

fn receive<T: for<'a> Deserialize<'a>>(from: &mut impl BufRead) -> Result<T> {
    let mut line = Vec::new();
    std::io::Read::take(from, LINE_MAX_BYTES).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        bail!("it ended without a word");
    }
    Ok(serde_json::from_slice(&line)?)
}
