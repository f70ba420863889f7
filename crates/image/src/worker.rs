//! The workers: short-lived processes, each confined to what its one task needs, and the caller's side of them.

mod channel;
mod confine;
mod extensions;
mod parcels;
mod refusal;
mod seccomp;
mod watch;

use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use kernel::descriptor;
use kernel::message::{self, Descriptors, ReceiveOptions};
use serde::{Deserialize, Serialize};

pub use confine::{ConfineError, confine};
pub use refusal::{Fault, Refusal};
pub(crate) use watch::Watch;
use watch::limit;

use crate::crew::Crew;
use crate::disk::Disk;
use crate::dissect::{Layout, dissect, survey};
use crate::extension::{self, Brought, Release};
use crate::inspect::{Report, inspect};
use crate::os_release::OsRelease;
use crate::parcel;
use crate::probe::{Content, probe};
use crate::signature::TrustedCertificate;
use crate::source::{DeviceSource, Extent, FileSource};
use crate::statement::{self, Statement};
use crate::tree::{self, Contents};
use crate::unpack::{self, Order};
use crate::verify::{How, Record, Trust, Unverified, Verified, VerifyError, verify_with};

/// Which worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Reads hostile headers.
    Dissect,
    /// Checks signature and hashes.
    Verify,
    /// Mounts what was verified; the only one with a privilege.
    Mount,
    /// Reads os-release and units from a mounted root.
    Extract,
    /// Looks at an image for `coracle inspect`.
    Inspect,
    /// Takes container images and compressed images apart; writes one file that it was handed.
    Unpack,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] = [
        Kind::Dissect,
        Kind::Verify,
        Kind::Mount,
        Kind::Extract,
        Kind::Inspect,
        Kind::Unpack,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Dissect => "dissect",
            Kind::Verify => "verify",
            Kind::Mount => "mount",
            Kind::Extract => "extract",
            Kind::Inspect => "inspect",
            Kind::Unpack => "unpack",
        }
    }

    /// The worker of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What a worker is asked; its kind is the process's.
#[derive(Debug, Serialize, Deserialize)]
enum Task {
    Dissect,
    Survey,
    /// What an opened partition of this length holds.
    Probe(u64),
    Verify {
        layout: Unverified<Layout>,
        trust: Trust,
        how: How,
    },
    /// A channel index, by these certificates.
    Stand(Vec<TrustedCertificate>),
    /// What a system says that it is.
    Base,
    /// What an extension of this name is made for.
    Release(String),
    /// The same, with its units: of these prefixes, too.
    Bring(String, Vec<String>),
    Mount(Box<Record>),
    Extract,
    Inspect,
    /// A container image, from an archive or a layout's directory.
    Unpack(Order),
    /// A compressed image, of which at most so many bytes may come out.
    Decompress(u64),
    /// An archive by which a portable moves, of which at most so many bytes may come out.
    Parcel {
        limit_bytes: u64,
        measures: bool,
    },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Dissected(Unverified<Layout>),
    Surveyed(Unverified<Disk>),
    Probed(Option<Content>),
    Base(OsRelease),
    Release(Release),
    Brought(Brought),
    Verified(Box<Record>),
    Stood(Box<Statement>),
    /// One byte follows that carries the mount.
    Mounted,
    Extracted(Contents),
    Inspected(Box<Report>),
    /// Where the listing is.
    Unpacked(Extent),
    /// How much came out.
    Decompressed(u64),
    Refused {
        /// The outermost first.
        causes: Vec<String>,
        fault: Fault,
    },
}

/// What went wrong with a worker, or what it said.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The worker refused; its own words.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// It could not confine itself.
    #[error(transparent)]
    Confine(#[from] ConfineError),
    /// It could not be started, or talked to.
    #[error("cannot use the {kind} worker")]
    Channel {
        /// Which.
        kind: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended without an answer: the image overtaxed it, or tried to.
    #[error(
        "the {kind} worker ended without an answer ({status}): the image asks too much of it, or attacks it"
    )]
    Ended {
        /// Which.
        kind: &'static str,
        /// How.
        status: ExitStatus,
    },
    /// It was killed, as it took too long.
    #[error(
        "the {kind} worker was not done after {limit_s} s and was ended: the image keeps it busy, or the disk or file server below it hangs"
    )]
    Late {
        /// Which.
        kind: &'static str,
        /// How long it had, in seconds.
        limit_s: u64,
    },
    /// It answered something else than it was asked.
    #[error("the {kind} worker gave an answer to another question")]
    Confused {
        /// Which.
        kind: &'static str,
    },
    /// The file is not what the answer is about.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// The whole life of a worker process (`coracle worker NAME`): descriptor 0 is the channel to the caller, 1 the image or root.
/// Confines itself before it reads a byte. Call it first thing in a process of one thread.
///
/// # Errors
/// Where it can't confine itself or the channel fails. What it refuses goes over the channel.
pub fn main(kind: Kind) -> Result<(), WorkerError> {
    let channel = |source| WorkerError::Channel {
        kind: kind.name(),
        source,
    };
    let take = |number| {
        descriptor::take_inherited(number)
            .map(File::from)
            .map_err(|error| channel(error.into()))
    };
    // The third is nothing, or has an image's verity data.
    let (caller, object, aside) = (take(0)?, take(1)?, take(2)?);
    let crew = confine(kind, object.as_fd())?;
    let task = channel::receive(&caller).map_err(channel)?;
    let (answer, mount) = perform(kind, task, (&object, &aside), &crew)
        .unwrap_or_else(|error| (refused(&*error), None));
    channel::send(&caller, &answer).map_err(channel)?;
    if let Some(mount) = mount {
        message::send(&caller, b"m", &[mount.as_fd()]).map_err(|error| channel(error.into()))?;
    }
    Ok(())
}

fn perform(
    kind: Kind,
    task: Task,
    (object, aside): (&File, &File),
    crew: &Crew,
) -> Result<(Answer, Option<OwnedFd>), Box<dyn Error>> {
    let answer = match (kind, task) {
        (Kind::Dissect, Task::Dissect) => Answer::Dissected(dissect(&FileSource::new(object)?)?),
        (Kind::Dissect, Task::Survey) => Answer::Surveyed(survey(&FileSource::new(object)?)?),
        (Kind::Dissect, Task::Probe(length)) => {
            let device = DeviceSource::new(object, length);
            Answer::Probed(probe(&device, Extent { offset: 0, length })?)
        }
        (Kind::Verify, Task::Verify { layout, trust, how }) => {
            let verified = verify_with((object, crew), Some(aside), &layout, &trust, how)?;
            Answer::Verified(Box::new(verified.record().clone()))
        }
        (Kind::Verify, Task::Stand(trusted)) => {
            Answer::Stood(Box::new(statement::stand(object, &trusted)?))
        }
        (Kind::Extract, Task::Base) => Answer::Base(extension::base(&tree::Root(object.as_fd()))?),
        (Kind::Extract, Task::Release(name)) => {
            Answer::Release(extension::release(&tree::Root(object.as_fd()), &name)?)
        }
        (Kind::Extract, Task::Bring(name, prefixes)) => Answer::Brought(extension::brought(
            &tree::Root(object.as_fd()),
            &name,
            prefixes,
        )?),
        (Kind::Mount, Task::Mount(record)) => {
            let mount = crate::mount::mount(object, &record.confirm(object)?)?;
            return Ok((Answer::Mounted, Some(mount)));
        }
        (Kind::Extract, Task::Extract) => Answer::Extracted(tree::read(object.as_fd())?),
        (Kind::Inspect, Task::Inspect) => Answer::Inspected(Box::new(inspect(object, crew)?)),
        (Kind::Unpack, Task::Unpack(order)) => {
            Answer::Unpacked(unpack::unpack_from(object, aside, &order)?)
        }
        (Kind::Unpack, Task::Decompress(limit_bytes)) => {
            Answer::Decompressed(unpack::decompress_all(object, aside, limit_bytes)?)
        }
        (
            Kind::Unpack,
            Task::Parcel {
                limit_bytes,
                measures,
            },
        ) => Answer::Unpacked(parcel::read(object, aside, limit_bytes, measures)?),
        (kind, _) => {
            return Err(format!("the {} worker was asked for something else", kind.name()).into());
        }
    };
    Ok((answer, None))
}

fn refused(error: &(dyn Error + 'static)) -> Answer {
    let fault = Fault::of(error);
    let mut causes = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    Answer::Refused { causes, fault }
}

/// How to start workers: `PROGRAM ARGUMENTS… NAME`.
#[derive(Debug, Clone)]
pub struct Workers {
    /// The executable, `/proc/self/exe` as a rule.
    pub program: PathBuf,
    /// What comes before the worker's name, `worker` as a rule.
    pub arguments: Vec<OsString>,
    /// How long one may take, start to end; none: as its image's size suggests.
    pub limit: Option<Duration>,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            program: "/proc/self/exe".into(),
            arguments: vec!["worker".into()],
            limit: None,
        }
    }
}

impl Workers {
    /// Checks who stands for a channel index, which is read from where the file is.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn stand(
        &self,
        index: &File,
        trusted: &[TrustedCertificate],
    ) -> Result<Statement, WorkerError> {
        match self.ask(
            Kind::Verify,
            index.as_fd(),
            None,
            &Task::Stand(trusted.to_vec()),
        )? {
            (Answer::Stood(statement), _) => Ok(*statement),
            _ => Err(WorkerError::Confused {
                kind: Kind::Verify.name(),
            }),
        }
    }

    /// Reads an image's headers.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn dissect(&self, image: &File) -> Result<Unverified<Layout>, WorkerError> {
        match self.ask(Kind::Dissect, image.as_fd(), None, &Task::Dissect)? {
            (Answer::Dissected(layout), _) => Ok(layout),
            _ => Err(WorkerError::Confused {
                kind: Kind::Dissect.name(),
            }),
        }
    }

    /// Reads all headers of an image.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn survey(&self, image: &File) -> Result<Unverified<Disk>, WorkerError> {
        match self.ask(Kind::Dissect, image.as_fd(), None, &Task::Survey)? {
            (Answer::Surveyed(disk), _) => Ok(disk),
            _ => Err(WorkerError::Confused {
                kind: Kind::Dissect.name(),
            }),
        }
    }

    /// Looks at what is on a device of this length.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn probe(&self, device: &File, length: u64) -> Result<Option<Content>, WorkerError> {
        match self.ask(Kind::Dissect, device.as_fd(), None, &Task::Probe(length))? {
            (Answer::Probed(content), _) => Ok(content),
            _ => Err(WorkerError::Confused {
                kind: Kind::Dissect.name(),
            }),
        }
    }

    /// Proves an image.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn verify(
        &self,
        image: &File,
        layout: &Unverified<Layout>,
        trust: &Trust,
    ) -> Result<Verified<Layout>, WorkerError> {
        self.verify_with(image, None, layout, trust, How::Whole)
    }

    /// The same, with its verity data in a file of their own, or what is below the root hash left to the kernel.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn verify_with(
        &self,
        image: &File,
        aside: Option<&File>,
        layout: &Unverified<Layout>,
        trust: &Trust,
        how: How,
    ) -> Result<Verified<Layout>, WorkerError> {
        let task = Task::Verify {
            layout: layout.clone(),
            trust: trust.clone(),
            how,
        };
        match self.ask(Kind::Verify, image.as_fd(), aside.map(AsFd::as_fd), &task)? {
            (Answer::Verified(record), _) => Ok(record.confirm(image)?),
            _ => Err(WorkerError::Confused {
                kind: Kind::Verify.name(),
            }),
        }
    }

    /// Mounts an image.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn mount(&self, image: &File, layout: &Verified<Layout>) -> Result<OwnedFd, WorkerError> {
        match self.ask(
            Kind::Mount,
            image.as_fd(),
            None,
            &Task::Mount(Box::new(layout.record().clone())),
        )? {
            (Answer::Mounted, Some(mount)) => Ok(mount),
            _ => Err(WorkerError::Confused {
                kind: Kind::Mount.name(),
            }),
        }
    }

    /// Reads os-release and units below a root.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn extract(&self, root: BorrowedFd<'_>) -> Result<Contents, WorkerError> {
        match self.ask(Kind::Extract, root, None, &Task::Extract)? {
            (Answer::Extracted(contents), _) => Ok(contents),
            _ => Err(WorkerError::Confused {
                kind: Kind::Extract.name(),
            }),
        }
    }

    /// Looks at an image.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn inspect(&self, image: &File) -> Result<Report, WorkerError> {
        match self.ask(Kind::Inspect, image.as_fd(), None, &Task::Inspect)? {
            (Answer::Inspected(report), _) => Ok(*report),
            _ => Err(WorkerError::Confused {
                kind: Kind::Inspect.name(),
            }),
        }
    }

    /// Unpacks a container image, a layout's directory or an archive, into a file; where its listing is comes back.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn unpack(&self, from: &File, pool: &File, order: &Order) -> Result<Extent, WorkerError> {
        let task = Task::Unpack(order.clone());
        match self.ask(Kind::Unpack, from.as_fd(), Some(pool.as_fd()), &task)? {
            (Answer::Unpacked(listing), _) => Ok(listing),
            _ => Err(WorkerError::Confused {
                kind: Kind::Unpack.name(),
            }),
        }
    }

    /// Writes what comes out of a compressed file into another one; how much it was comes back.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn decompress(&self, from: &File, to: &File, limit_bytes: u64) -> Result<u64, WorkerError> {
        let task = Task::Decompress(limit_bytes);
        match self.ask(Kind::Unpack, from.as_fd(), Some(to.as_fd()), &task)? {
            (Answer::Decompressed(length), _) => Ok(length),
            _ => Err(WorkerError::Confused {
                kind: Kind::Unpack.name(),
            }),
        }
    }

    /// Starts a worker, asks it, and waits for its end.
    fn ask(
        &self,
        kind: Kind,
        object: BorrowedFd<'_>,
        aside: Option<BorrowedFd<'_>>,
        task: &Task,
    ) -> Result<(Answer, Option<OwnedFd>), WorkerError> {
        let error = |source| WorkerError::Channel {
            kind: kind.name(),
            source,
        };
        let (ours, theirs) = UnixStream::pair().map_err(error)?;
        let limit = self.limit.unwrap_or(limit(kind, object).map_err(error)?);
        let mut child = self
            .start(kind, theirs.into(), object, aside)
            .map_err(error)?;
        let watch = Watch::begin(&child, limit).map_err(error)?;
        let caller = File::from(OwnedFd::from(ours));
        let answer = converse(&caller, task);
        // Closed before the wait: a worker that still writes would never end.
        drop(caller);
        if answer.is_err() {
            // It says nothing any more, and need not end by itself; one that has ended keeps its own status.
            child.kill().map_err(error)?;
        }
        let status = child.wait().map_err(error)?;
        if watch.end() {
            return Err(WorkerError::Late {
                kind: kind.name(),
                limit_s: limit.as_secs(),
            });
        }
        match answer {
            Ok((Answer::Refused { causes, fault }, _)) => Err(Refusal::chain(causes, fault)
                .map_or(
                    WorkerError::Ended {
                        kind: kind.name(),
                        status,
                    },
                    WorkerError::Refused,
                )),
            Ok(answer) if status.success() => Ok(answer),
            Err(source) if !has_ended(&source) => Err(error(source)),
            Ok(_) | Err(_) => Err(WorkerError::Ended {
                kind: kind.name(),
                status,
            }),
        }
    }

    fn start(
        &self,
        kind: Kind,
        channel: OwnedFd,
        object: BorrowedFd<'_>,
        aside: Option<BorrowedFd<'_>>,
    ) -> io::Result<Child> {
        Command::new(&self.program)
            .args(&self.arguments)
            .arg(kind.name())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(channel))
            .stdout(Stdio::from(duplicate(object)?))
            // Its last words may be an image's: they must not reach a terminal.
            .stderr(aside.map_or_else(
                || Ok(Stdio::null()),
                |aside| duplicate(aside).map(Stdio::from),
            )?)
            .spawn()
    }
}

fn converse(caller: &File, task: &Task) -> io::Result<(Answer, Option<OwnedFd>)> {
    channel::send(caller, task)?;
    let answer = channel::receive(caller)?;
    let mount = if matches!(answer, Answer::Mounted) {
        Some(receive_mount(caller)?)
    } else {
        None
    };
    Ok((answer, mount))
}

/// Whether the channel failed since the other end is gone: then the status says more.
fn has_ended(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn receive_mount(caller: &File) -> io::Result<OwnedFd> {
    let mut descriptors = Descriptors::default();
    let options = ReceiveOptions {
        wait: true,
        ..ReceiveOptions::default()
    };
    message::receive(caller, &mut [0; 1], &mut descriptors, options)?;
    descriptors
        .take()
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Another descriptor of the same open file, closed by exec.
fn duplicate(descriptor: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(descriptor, 3)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_never_answers_is_ended_in_time() {
        let workers = Workers {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), "exec /bin/sleep 1000".into()],
            limit: Some(Duration::from_millis(50)),
        };
        let image = tempfile::tempfile().unwrap();
        let said = workers.dissect(&image).unwrap_err();
        assert!(
            matches!(
                said,
                WorkerError::Late {
                    kind: "dissect",
                    ..
                }
            ),
            "{said}"
        );
        let in_time = Workers {
            arguments: vec!["-c".into(), "exit 7".into()],
            ..workers
        };
        let said = in_time.dissect(&image).unwrap_err();
        assert!(matches!(said, WorkerError::Ended { .. }), "{said}");
    }
}
