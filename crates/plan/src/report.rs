//! What an executor says back over its report socket, one record per message.
//!
//! A start that succeeds says nothing: the socket closes at exec. A socket role sends one [`Report::Socket`] with each
//! descriptor; a payload below a stub sends [`Report::Payload`], whose sender the kernel names (`SCM_CREDENTIALS`);
//! who makes namespaces that others are to be in sends [`Report::Namespaces`].

/// Size of a record on the socket, in bytes.
pub const RECORD_BYTES: usize = 16;
/// Bytes of a program that could not be executed, at most: they follow the failure in its message.
pub const HEAD_BYTES: usize = 4096;
/// What execve(2) says where an interpreter is missing; the same number on every architecture.
const ENOENT: i32 = 2;

/// What the manager asks of who makes things ahead: a network namespace, or that the descriptors beside it are closed, or all that a start
/// with the whole default profile can take, or of that what belongs to no namespace.
pub const MAKE_NETWORK: [u8; 1] = [0];
/// See [`MAKE_NETWORK`].
pub const LET_GO: [u8; 1] = [1];
/// See [`MAKE_NETWORK`].
pub const MAKE_ALL: [u8; 1] = [2];
/// See [`MAKE_NETWORK`].
pub const MAKE_FILES: [u8; 1] = [3];

/// One message of an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// A step failed, the executor ends.
    Failure(Failure),
    /// The attached descriptor is this listening socket.
    Socket {
        /// The place that its step named.
        index: u32,
    },
    /// The sender of this message is the service's main process; its parent is the stub.
    Payload,
    /// The attached descriptor is a network namespace that nobody has been in but its maker, whose loopback is up.
    Network,
    /// The attached descriptor is a socket with all that was made for one start ([`crate::frame::Role::MadeAhead`]).
    Ahead,
    /// The attached descriptor is a socket with file systems that were made for one start ([`crate::frame::Role::MadeFiles`]).
    Files,
    /// What was wished could not be made ahead; other wishes may be.
    Unmade(Unmade),
    /// The attached descriptors are namespaces that this process has made, one for each of these `CLONE_NEW` flags, the network first.
    Namespaces {
        /// Which.
        kinds: u32,
    },
}

/// What could not be made ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unmade {
    /// What was wished, as [`MAKE_NETWORK`].
    pub wish: [u8; 1],
    /// What of it failed.
    pub part: UnmadePart,
    /// The kernel's error number.
    pub errno: i32,
}

/// A thing that is made ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum UnmadePart {
    /// A network namespace, and with it one of inter-process communication where both are made in one.
    Network,
    /// A user namespace, and the files of its maps.
    Users,
    /// A `/dev`.
    Devices,
    /// sysfs(5).
    Sysfs,
    /// The file system of POSIX message queues.
    Queues,
    /// A file system in memory.
    Temporary,
    /// What covers inaccessible paths.
    Masks,
    /// The message in which all of it is handed on.
    Bundle,
}

impl UnmadePart {
    /// In the order of their numbers.
    const ALL: [Self; 8] = [
        Self::Network,
        Self::Users,
        Self::Devices,
        Self::Sysfs,
        Self::Queues,
        Self::Temporary,
        Self::Masks,
        Self::Bundle,
    ];

    /// What a person calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "a network namespace",
            Self::Users => "a user namespace",
            Self::Devices => "a file system for /dev",
            Self::Sysfs => "a file system for /sys",
            Self::Queues => "a file system of message queues",
            Self::Temporary => "a file system in memory",
            Self::Masks => "the cover of inaccessible paths",
            Self::Bundle => "a bundle of namespaces and file systems",
        }
    }
}

/// The step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Place in the plan.
    pub position: u16,
    /// [`crate::Step::tag`]; 0 when the plan itself could not be read.
    pub step: u8,
    /// Status with which the executor ends.
    pub exit_status: u8,
    /// The directive that asked for the step, or [`crate::NO_DIRECTIVE`].
    pub directive: u16,
    /// The kernel's error number.
    pub errno: i32,
}

impl Failure {
    /// Whether a program that was there a moment ago is said not to be there: then it is what it names as its interpreter that is missing.
    pub const fn lacks_interpreter(&self) -> bool {
        self.step == crate::Step::Exec.tag() && self.errno == ENOENT
    }

    /// The name of the step.
    pub const fn step_name(&self) -> &'static str {
        match crate::Step::name_of(self.step) {
            Some(name) => name,
            None => "Plan",
        }
    }
}

impl Report {
    /// The bytes of the message.
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let (kind, failure, value) = match *self {
            Report::Failure(failure) => (1, failure, 0),
            Report::Socket { index } => (2, NONE, index),
            Report::Payload => (3, NONE, 0),
            Report::Network => (4, NONE, 0),
            Report::Ahead => (5, NONE, 0),
            Report::Files => (7, NONE, 0),
            Report::Namespaces { kinds } => (8, NONE, kinds),
            Report::Unmade(unmade) => {
                let [wish] = unmade.wish;
                let failure = Failure {
                    step: unmade.part as u8,
                    exit_status: wish,
                    errno: unmade.errno,
                    ..NONE
                };
                (6, failure, 0)
            }
        };
        let [p0, p1] = failure.position.to_le_bytes();
        let [d0, d1] = failure.directive.to_le_bytes();
        let [e0, e1, e2, e3] = failure.errno.to_le_bytes();
        let [v0, v1, v2, v3] = value.to_le_bytes();
        [
            kind,
            failure.step,
            failure.exit_status,
            0,
            p0,
            p1,
            d0,
            d1,
            e0,
            e1,
            e2,
            e3,
            v0,
            v1,
            v2,
            v3,
        ]
    }

    /// Reads a message; `None` if it is none of ours.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let [
            kind,
            step,
            exit_status,
            _,
            p0,
            p1,
            d0,
            d1,
            e0,
            e1,
            e2,
            e3,
            v0,
            v1,
            v2,
            v3,
        ] = *bytes
        else {
            return None;
        };
        match kind {
            1 => Some(Report::Failure(Failure {
                position: u16::from_le_bytes([p0, p1]),
                step,
                exit_status,
                directive: u16::from_le_bytes([d0, d1]),
                errno: i32::from_le_bytes([e0, e1, e2, e3]),
            })),
            2 => Some(Report::Socket {
                index: u32::from_le_bytes([v0, v1, v2, v3]),
            }),
            3 => Some(Report::Payload),
            4 => Some(Report::Network),
            5 => Some(Report::Ahead),
            7 => Some(Report::Files),
            8 => Some(Report::Namespaces {
                kinds: u32::from_le_bytes([v0, v1, v2, v3]),
            }),
            6 => Some(Report::Unmade(Unmade {
                wish: [exit_status],
                part: *UnmadePart::ALL.get(usize::from(step))?,
                errno: i32::from_le_bytes([e0, e1, e2, e3]),
            })),
            _ => None,
        }
    }
}

/// How a signal ended a payload, in the name under which its stub is found dead. A stub can't die by that signal, since PID 1 of a
/// namespace is immune to its own; its exit status, 128 and the number, could be one that the payload chose. A name outlives the
/// process until it is reaped, and with it the manager (proc_pid_comm(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epitaph {
    /// The signal's number.
    pub signal: u8,
    /// Whether core was dumped.
    pub dumped: bool,
}

impl Epitaph {
    /// What the names begin with, where core was dumped and where not.
    const WORDS: [(bool, &str); 2] = [(false, "killed by "), (true, "dumped by ")];

    /// The name, with its NUL: at most 15 bytes before it.
    #[must_use]
    pub fn name(self) -> [u8; 16] {
        let word = if self.dumped {
            Self::WORDS[1].1
        } else {
            Self::WORDS[0].1
        };
        let number = self.signal.min(99);
        let digits = [b'0' + number / 10, b'0' + number % 10];
        let mut name = [0; 16];
        for (to, from) in name.iter_mut().zip(word.bytes().chain(digits)) {
            *to = from;
        }
        name
    }

    /// From a name, if it is one.
    #[must_use]
    pub fn read(name: &str) -> Option<Epitaph> {
        Self::WORDS.iter().find_map(|(dumped, word)| {
            let signal = name.strip_prefix(word)?.parse().ok()?;
            Some(Epitaph {
                signal,
                dumped: *dumped,
            })
        })
    }
}

const NONE: Failure = Failure {
    position: 0,
    step: 0,
    exit_status: 0,
    directive: crate::NO_DIRECTIVE,
    errno: 0,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epitaph_is_read_as_it_was_written() {
        for signal in [1, 15, 64] {
            for dumped in [false, true] {
                let epitaph = Epitaph { signal, dumped };
                let name = epitaph.name();
                assert_eq!(name.last(), Some(&0));
                let text = core::str::from_utf8(&name).unwrap().trim_end_matches('\0');
                assert_eq!(Epitaph::read(text), Some(epitaph));
            }
        }
        for other in ["hello", "killed by ", "killed by x", "killed by 999"] {
            assert_eq!(Epitaph::read(other), None);
        }
    }

    #[test]
    fn a_record_survives_the_socket() {
        let failure = Failure {
            position: 9,
            step: 23,
            exit_status: 226,
            directive: 300,
            errno: 2,
        };
        for report in [
            Report::Failure(failure),
            Report::Socket { index: 7 },
            Report::Payload,
            Report::Network,
            Report::Ahead,
            Report::Files,
            Report::Namespaces { kinds: 0x4800_0000 },
        ] {
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        for (place, part) in UnmadePart::ALL.into_iter().enumerate() {
            let unmade = Unmade {
                wish: [MAKE_NETWORK, MAKE_ALL, MAKE_FILES][place % 3],
                part,
                errno: 24,
            };
            let report = Report::Unmade(unmade);
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        let mut beyond = Report::Ahead.encode();
        (beyond[0], beyond[1]) = (6, 8);
        assert_eq!(Report::decode(&beyond), None);
        assert_eq!(Report::decode(&[0; RECORD_BYTES]), None);
        assert_eq!(Report::decode(&[1; 3]), None);
    }
}
