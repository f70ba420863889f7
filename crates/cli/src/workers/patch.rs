//! The patch worker: it makes an image of another one and a patch, and can do nothing else; it has no network.
//!
//! Descriptor 0 is a socket to the caller (the length of the image comes in as a JSON line, then the patch; the result goes out), 1 the
//! image that is made, 2 the one that it is made of.

use std::fs::File;
use std::io::{BufReader, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use delivery::chunks::patch;
use serde::{Deserialize, Serialize};

use super::fetch::{receive, send};

/// Bytes passed on at once.
const BUFFER_BYTES: usize = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct Order {
    image_bytes: u64,
}

/// What comes back: what this kernel could not take from the worker, and why the image was not made.
#[derive(Serialize, Deserialize)]
struct Word {
    reduced: Vec<String>,
    failed: Option<String>,
}

/// Runs the worker. Whether what it made is the image that was meant is for the caller to see.
///
/// # Errors
/// When the patch is none, or one of another image.
pub(crate) fn run(
    patch: &File,
    (old, new): (&File, &File),
    image_bytes: u64,
    reduced: &mut dyn FnMut(&str),
) -> Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new("/proc/self/exe")
        .args([super::ARGUMENT, "patch"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(new.try_clone()?))
        .stderr(Stdio::from(old.try_clone()?))
        .spawn()
        .context("cannot start the patch worker")?;
    let passed = pass(patch, &ours, image_bytes);
    let word = receive::<Word>(&mut BufReader::new(&ours));
    let status = child.wait()?;
    // A worker that has given up says more than that nobody takes the rest.
    let word = word.with_context(|| format!("the patch worker ended with {status}"))?;
    word.reduced.iter().for_each(|reason| reduced(reason));
    match word.failed {
        Some(why) => bail!("the patch can't be used: {why}"),
        None => passed,
    }
}

fn pass(mut patch: &File, mut to: &UnixStream, image_bytes: u64) -> Result<()> {
    send(&mut to, &Order { image_bytes })?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = patch.read(&mut buffer)?;
        if count == 0 {
            return Ok(to.shutdown(Shutdown::Write)?);
        }
        std::io::Write::write_all(&mut to, buffer.get(..count).unwrap_or_default())?;
    }
}

/// The worker's whole life.
///
/// # Errors
/// When it can't confine itself or talk to its caller.
pub(crate) fn main() -> Result<()> {
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let new = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let old = File::from(std::io::stderr().as_fd().try_clone_to_owned()?);
    let mut reader = BufReader::new(socket.try_clone()?);
    let order: Order = receive(&mut reader)?;
    let reductions = delivery::fetch::confine_alone(order.image_bytes)?;
    let made = patch::apply(&mut reader, &old, &new, order.image_bytes);
    let word = Word {
        reduced: reductions
            .iter()
            .map(|one| one.words().to_owned())
            .collect(),
        failed: made.err().map(|error| error.to_string()),
    };
    send(&mut &socket, &word)
}
