//! The fetch worker: it may use the network and write two files that it was handed, and nothing else.
//!
//! Descriptor 0 is a socket to the caller (a request comes in, progress and the result go out, one JSON value a line),
//! 1 a pipe that the content goes into, 2 the file beside the staging file that a resumed transfer needs. Where chunks are to come, 1 is the
//! image that they are of and 2 the list of them; several workers may bring chunks of one image at once.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use delivery::chunks::List;
use delivery::chunks::list::LIST_MAX_BYTES;
use delivery::digest::Digest;
use delivery::fetch::{
    Access, Came, Fetched, Handed, InFile, Limits, Pieces, Progress, Request, Roots, Sink as _,
};
use delivery::store::Staging;
use serde::{Deserialize, Serialize};

use super::stream;

/// Longest line between the two, in bytes: a certificate bundle is some 250 kB, and JSON writes its bytes as numbers.
const LINE_MAX_BYTES: u64 = 8 << 20;

/// How often a worker tells how far it is.
const TOLD_EVERY: Duration = Duration::from_millis(50);

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
    access: Access,
    chunks: Option<Wanted>,
    registry: Option<Errand>,
    /// How much of the content is there.
    there_bytes: u64,
}

/// Chunks that are to come, by their numbers in the list, and the sizes that the list has to come to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) numbers: Vec<usize>,
    pub(crate) image_bytes: u64,
    pub(crate) pack_bytes: u64,
}

/// What is to be done at a registry beside fetching.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Errand {
    /// Hand the file over.
    HandOver(Handed),
    /// Say what refers to an artefact.
    Referrers(Digest),
    /// Say whether there is anything.
    Look,
}

/// What comes back.
#[derive(Serialize, Deserialize)]
enum Word {
    /// It was handed over; whether the registry keeps track of what refers to what.
    Taken {
        has_referrers: bool,
    },
    /// What refers to an artefact, as a document.
    Referrers {
        document: Option<String>,
    },
    /// Whether there is anything.
    There(bool),
    /// A layer of the confinement that this kernel does not have.
    Reduced {
        reason: String,
    },
    Progress {
        bytes: u64,
        total_bytes: Option<u64>,
    },
    /// All of it came; the digest that it has to have, where the place says so.
    Fetched {
        expected: Option<String>,
    },
    /// All chunks are there; how many bytes came.
    Came {
        bytes: u64,
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
    // The worker speaks with a stranger: the file is written here, and its digest is of what was written.
    let mut file = InFile::open(&staging.file)?;
    let order = Order {
        there_bytes: file.bytes(),
        ..Order::of(request, None)?
    };
    let (from_worker, to_here) = stream::pair()?;
    let (child, ours) = start(&order, OwnedFd::from(to_here), &staging.state)?;
    let limit_bytes = request.limits.size_max_bytes;
    let (taken, ended) = std::thread::scope(|scope| {
        let taking = scope.spawn(|| stream::take(from_worker, &mut file, limit_bytes));
        // Its end is that of the content, too.
        let ended = end(child, listen(&ours, progress, reduced));
        (taking.join(), ended)
    });
    // A worker whose content nobody takes any more only knows that.
    taken.map_err(|_| anyhow!("what takes the content failed"))??;
    match ended? {
        Word::Fetched { expected } => {
            let expected = expected.map(|text| text.parse()).transpose()?;
            Ok(file.finish(Came { expected }, &request.url)?)
        }
        _ => Err(confused()),
    }
}

/// Runs one worker for each share of the chunks, at once; returned is how many bytes came. `progress` is the sum.
///
/// # Errors
/// What the first worker that fails says, which ends the others; what they brought until then stays.
pub(crate) fn run_chunks(
    request: &Request,
    (image, list): (&File, &File),
    shares: &[Wanted],
    progress: &mut dyn FnMut(u64),
    reduced: &mut dyn FnMut(&str),
) -> Result<u64> {
    enum Told {
        Bytes(usize, u64),
        Reduced(String),
    }
    let mut workers = Vec::new();
    for share in shares {
        let mut order = Order::of(request, Some(share.clone()))?;
        let rate = &mut order.access.rate_bytes;
        *rate = rate.map(|bytes| bytes / shares.len() as u64);
        workers.push(start(&order, image.try_clone()?.into(), list)?);
    }
    // An end of each one's socket: who finds it closed goes.
    let ends = workers.iter().map(|(_, ours)| ours.try_clone());
    let ends: Vec<UnixStream> = ends.collect::<Result<_, _>>()?;
    let (to_here, told) = mpsc::channel();
    std::thread::scope(|scope| {
        let mut listeners = Vec::new();
        for (number, (child, ours)) in workers.into_iter().enumerate() {
            let (to_here, ends) = (to_here.clone(), &ends);
            listeners.push(scope.spawn(move || {
                // Who is told has gone only where this process ends.
                let tell = |told| drop(to_here.send(told));
                let mut bytes = |progress: Progress| tell(Told::Bytes(number, progress.bytes));
                let mut reduced = |reason: &str| tell(Told::Reduced(reason.to_owned()));
                let outcome = listen(&ours, &mut bytes, &mut reduced);
                let ended = end(child, outcome);
                // What the others would still bring is asked for again: nobody waits for that.
                if ended.is_err() {
                    let both = Shutdown::Both;
                    ends.iter().for_each(|end| drop(end.shutdown(both)));
                }
                (ended, std::time::Instant::now())
            }));
        }
        drop(to_here);
        let mut came = vec![0; shares.len()];
        for told in told {
            match told {
                Told::Bytes(number, bytes) => {
                    if let Some(one) = came.get_mut(number) {
                        *one = bytes;
                    }
                    progress(came.iter().sum());
                }
                Told::Reduced(reason) => reduced(&reason),
            }
        }
        let mut all_bytes = 0;
        let mut ended = Vec::new();
        for listener in listeners {
            let one = listener.join();
            ended.push(one.map_err(|_| anyhow!("a listener of a fetch worker failed"))?);
        }
        // The first that failed says why: the others were ended for it.
        ended.sort_by_key(|(_, at)| *at);
        for (one, _) in ended {
            match one? {
                Word::Came { bytes } => all_bytes += bytes,
                _ => bail!("the fetch worker brought something else than it was asked for"),
            }
        }
        Ok(all_bytes)
    })
}

/// Lets a worker hand a file's content over to a registry; says whether that one keeps track of what refers to what.
///
/// # Errors
/// When the registry does not take it.
pub(crate) fn hand_over(
    request: &Request,
    handed: Handed,
    file: &File,
    reduced: &mut dyn FnMut(&str),
) -> Result<bool> {
    match run_errand(request, Errand::HandOver(handed), file, reduced)? {
        Word::Taken { has_referrers } => Ok(has_referrers),
        _ => Err(confused()),
    }
}

/// Lets a worker ask a registry what refers to an artefact; nothing where it has no list yet.
///
/// # Errors
/// When it can't be read.
pub(crate) fn referrers(
    request: &Request,
    of: Digest,
    reduced: &mut dyn FnMut(&str),
) -> Result<Option<String>> {
    let nothing = File::open("/dev/null")?;
    match run_errand(request, Errand::Referrers(of), &nothing, reduced)? {
        Word::Referrers { document } => Ok(document),
        _ => Err(confused()),
    }
}

/// Lets a worker look whether there is anything in a place of a registry.
///
/// # Errors
/// When it does not say.
pub(crate) fn is_there(request: &Request, reduced: &mut dyn FnMut(&str)) -> Result<bool> {
    let nothing = File::open("/dev/null")?;
    match run_errand(request, Errand::Look, &nothing, reduced)? {
        Word::There(is_there) => Ok(is_there),
        _ => Err(confused()),
    }
}

fn run_errand(
    request: &Request,
    errand: Errand,
    file: &File,
    reduced: &mut dyn FnMut(&str),
) -> Result<Word> {
    let order = Order {
        registry: Some(errand),
        ..Order::of(request, None)?
    };
    let (child, ours) = start(&order, file.try_clone()?.into(), file)?;
    let outcome = listen(&ours, &mut |_| {}, reduced);
    end(child, outcome)
}

fn confused() -> anyhow::Error {
    anyhow!("the fetch worker brought something else than it was asked for")
}

/// Starts a worker with its order, what its content goes into or comes from, and the file beside that.
fn start(order: &Order, content: OwnedFd, beside: &File) -> Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new("/proc/self/exe")
        .args([super::ARGUMENT, "fetch"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(content))
        .stderr(Stdio::from(beside.try_clone()?))
        .spawn()
        .context("cannot start the fetch worker")?;
    send(&mut &ours, order)?;
    Ok((child, ours))
}

/// The worker's last word, once it has ended.
/// A worker that has said its last word, or what is none, has nothing to do any more: one that stays keeps nobody.
fn end(mut child: Child, outcome: Result<Word>) -> Result<Word> {
    child.kill()?;
    let status = child.wait()?;
    match outcome.with_context(|| format!("the fetch worker ended with {status}"))? {
        Word::Failed { causes } => Err(chain(causes)),
        word => Ok(word),
    }
}

/// Passes on what a worker tells, up to its last word.
fn listen(
    ours: &UnixStream,
    progress: &mut dyn FnMut(Progress),
    reduced: &mut dyn FnMut(&str),
) -> Result<Word> {
    let mut reader = BufReader::new(ours);
    loop {
        match receive(&mut reader)? {
            Word::Reduced { reason } => reduced(&reason),
            Word::Progress { bytes, total_bytes } => progress(Progress { bytes, total_bytes }),
            last => return Ok(last),
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
    let mut last: Option<Instant> = None;
    let mut progress = |progress: Progress| {
        if last.is_none_or(|last| last.elapsed() >= TOLD_EVERY) {
            last = Some(Instant::now());
            let heard = told(&Word::Progress {
                bytes: progress.bytes,
                total_bytes: progress.total_bytes,
            });
            // The caller went away: what has come stays for its next try, and nobody waits for the rest.
            if heard.is_err() {
                std::process::exit(1);
            }
        }
    };
    let outcome = match &order.chunks {
        None if order.registry.is_some() => at_registry(&order, &staging),
        None => whole(&order, (&staging, &state), &mut progress),
        Some(wanted) => chunks(&order, wanted, (&staging, &state), &mut progress),
    };
    told(&outcome.unwrap_or_else(|error| Word::Failed {
        causes: error.chain().map(ToString::to_string).collect(),
    }))
}

fn at_registry(order: &Order, file: &File) -> Result<Word> {
    let request = order.request();
    Ok(match &order.registry {
        Some(Errand::HandOver(handed)) => Word::Taken {
            has_referrers: delivery::fetch::hand_over(&request, handed, file)?,
        },
        Some(Errand::Referrers(of)) => Word::Referrers {
            document: delivery::fetch::referrers(&request, of)?
                .map(String::from_utf8)
                .transpose()?,
        },
        Some(Errand::Look) => Word::There(delivery::fetch::there(&request)?),
        None => return Err(confused()),
    })
}

fn whole(
    order: &Order,
    (content, state): (&File, &File),
    progress: &mut dyn FnMut(Progress),
) -> Result<Word> {
    let mut outward = stream::Outward::new(content, order.there_bytes);
    let came = delivery::fetch::fetch_into(&order.request(), &mut outward, state, progress)?;
    outward.end()?;
    Ok(Word::Fetched {
        expected: came.expected.map(|digest| digest.to_string()),
    })
}

fn chunks(
    order: &Order,
    wanted: &Wanted,
    (target, list): (&File, &File),
    progress: &mut dyn FnMut(Progress),
) -> Result<Word> {
    let list = read_list(list, wanted.image_bytes, wanted.pack_bytes)?;
    let pieces = Pieces {
        list: &list,
        wanted: &wanted.numbers,
        target,
    };
    let bytes = delivery::fetch::fetch_pieces(&order.request(), &pieces, progress)?;
    Ok(Word::Came { bytes })
}

/// Reads a list from the start of a file, whatever the file's offset is: others may read it at the same time.
///
/// # Errors
/// When it can't be read or is refused.
pub(crate) fn read_list(file: &File, image_bytes: u64, pack_bytes: u64) -> Result<List> {
    let length = file.metadata()?.len().min(LIST_MAX_BYTES + 1);
    let mut bytes = vec![0; usize::try_from(length)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(List::parse(&bytes, image_bytes, pack_bytes)?)
}

impl Order {
    fn of(request: &Request, chunks: Option<Wanted>) -> Result<Order> {
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
            access: request.access.clone(),
            chunks,
            registry: None,
            there_bytes: 0,
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
            access: self.access.clone(),
        }
    }
}

/// Sends a value as a line.
///
/// # Errors
/// When nobody takes it.
pub(super) fn send<T: Serialize>(to: &mut impl Write, value: &T) -> Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)?;
    Ok(())
}

/// Takes a line as a value.
///
/// # Errors
/// When there is none, or it is something else.
pub(super) fn receive<T: for<'a> Deserialize<'a>>(from: &mut impl BufRead) -> Result<T> {
    let mut line = Vec::new();
    std::io::Read::take(from, LINE_MAX_BYTES).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        bail!("it ended without a word");
    }
    Ok(serde_json::from_slice(&line)?)
}
