//! What is made ahead of starts: it is as what a start makes itself, and whoever makes it can do nothing else.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // What tests share fails as tests do.

mod harness;

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use harness::roots::{SLAVE, at};
use harness::shell;
use kernel::Errno;
use kernel::message::{Descriptors, ReceiveOptions, receive};
use kernel::mount::{NO_EXEC, NO_SUID, READ_ONLY};
use kernel::namespace::{IPC, MOUNT, NETWORK, UTS};
use kernel::wait::Ending;
use plan::Step;
use plan::code::ListBytes;
use plan::frame::Role;
use plan::report::{MAKE_ALL, MAKE_FILES, MAKE_NETWORK, Report, Unmade, UnmadePart};
use plan::step::{RootSource, UserMap, What};

/// A start in a network namespace that was made ahead, which shows its number, its interfaces, and whether the loopback answers.
fn in_made_network(made: OwnedFd, command: &str) -> String {
    let mut start = shell(command);
    start.passed.push((Role::MadeNetwork, made));
    let steps = [
        Step::Unshare {
            kinds: NETWORK | UTS,
            told: 0,
        },
        Step::Loopback,
    ];
    start.run(&steps).said().to_owned()
}

#[test]
fn a_network_namespace_made_ahead_is_as_one_that_is_made_now() {
    let maker = Maker::start();
    let seen = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; ip -o address | cut -d' ' -f7; wc -l < /proc/net/route";
    let own = shell(seen).run(&[
        Step::Unshare {
            kinds: NETWORK,
            told: 0,
        },
        Step::Loopback,
    ]);
    assert_eq!(in_made_network(maker.ask(), seen), own.said());
    // Each is another one, and none is the host's.
    let number = "readlink /proc/self/ns/net";
    let mut numbers = vec![shell(number).run(&[]).said().to_owned()];
    numbers.extend((0..3).map(|_| in_made_network(maker.ask(), number)));
    numbers.dedup();
    assert_eq!(numbers.len(), 4, "{numbers:?}");
    assert_eq!(maker.end(), Ending::Exited(0));
}

/// The steps of a start that can take all that is made ahead.
fn steps_of_all() -> Vec<Step<'static>> {
    let temporary = || What::Tmpfs {
        mode: plan::frame::TEMPORARY_MODE,
        options: plan::frame::TEMPORARY_OPTIONS.list(),
    };
    vec![
        Step::Unshare {
            kinds: MOUNT | NETWORK | IPC | UTS,
            told: 0,
        },
        Step::Loopback,
        Step::Propagation { flag: SLAVE },
        Step::Root {
            from: RootSource::Host,
            set: READ_ONLY,
        },
        Step::Mount {
            at: c"/dev",
            what: What::Devices { bound: false },
            set: READ_ONLY | NO_EXEC | NO_SUID,
            clear: 0,
            missing_ok: false,
        },
        at(c"/dev/mqueue", What::MessageQueues),
        at(c"/home", What::Inaccessible),
        at(c"/sys", What::Sysfs),
        at(c"/tmp", temporary()),
        at(c"/var/tmp", temporary()),
        Step::EnterRoot { shared: true },
        Step::Groups,
        Step::UserNamespaceLate {
            map: UserMap::CallerOnly,
        },
        Step::User {
            keep_capabilities: false,
        },
    ]
}

/// Tells what the start sees of each part.
const SEEN: &str = "tr -s ' ' < /proc/self/uid_map; tr -s ' ' < /proc/self/gid_map; ls /sys/class/net; cat /sys/class/net/lo/flags; \
     ls -lAn /dev | tr -s ' ' | cut -d' ' -f1,3-6,10-; ls -A /dev/pts /dev/shm /dev/mqueue /tmp /var/tmp; ipcs -q -m -s | grep -c 0x; \
     stat -f -c %T /dev/mqueue /dev/pts /dev/shm /sys /tmp; stat -c %a /tmp /var/tmp /dev/shm /dev /home; \
     grep -E ' /(dev|dev/[a-z]*|sys|tmp|var/tmp|home) ' /proc/self/mountinfo | cut -d' ' -f4-6,8- | sed 's/shared:[0-9]*//; s/rw,size=[0-9]*k/rw/' | sort; \
     touch /dev/x /home/x /sys/x 2>/dev/null || echo closed; touch /tmp/x /var/tmp/x /dev/shm/x /dev/mqueue/x; ipcmk -Q >/dev/null; echo > /dev/null";

/// The steps of a start in the host's network that can take file systems.
fn steps_of_files() -> Vec<Step<'static>> {
    vec![
        Step::Unshare {
            kinds: MOUNT | UTS,
            told: 0,
        },
        Step::Propagation { flag: SLAVE },
        Step::Root {
            from: RootSource::Host,
            set: READ_ONLY,
        },
        Step::Mount {
            at: c"/dev",
            what: What::Devices { bound: false },
            set: READ_ONLY | NO_EXEC | NO_SUID,
            clear: 0,
            missing_ok: false,
        },
        at(c"/home", What::Inaccessible),
        at(c"/etc/hostname", What::Inaccessible),
        Step::EnterRoot { shared: true },
    ]
}

#[test]
fn file_systems_made_ahead_are_as_those_that_a_start_makes() {
    let maker = Maker::start();
    let seen = "ls -lAn /dev | tr -s ' ' | cut -d' ' -f1,3-6,10-; ls -A /dev/pts /dev/shm; stat -f -c %T /dev/pts /dev/shm /dev /home; \
         stat -c %a /dev/shm /dev /home /etc/hostname; \
         grep -E ' /(dev|dev/[a-z]*|home|etc/hostname) ' /proc/self/mountinfo | cut -d' ' -f4-6,8- | sed 's/shared:[0-9]*//' | sort; \
         touch /dev/x /home/x 2>/dev/null || echo closed; touch /dev/shm/x; echo > /dev/null; \
         readlink /proc/self/ns/net /proc/self/ns/ipc; ls /proc/self/fd | wc -l";
    let run = |made: Option<OwnedFd>| {
        let mut start = shell(seen);
        start.passed = made
            .into_iter()
            .map(|made| (Role::MadeFiles, made))
            .collect();
        start.run(&steps_of_files()).said().to_owned()
    };
    let own = run(None);
    assert!(own.contains("closed") && own.contains("devpts"), "{own}");
    // The second one finds nothing of what the first one left.
    for _ in 0..2 {
        let made = maker.ask_for(MAKE_FILES, Report::Files);
        assert_eq!(run(Some(made)), own);
    }
    let (made, devices) = part_of(&maker.ask_for(MAKE_FILES, Report::Files), DEVICES);
    let mut start = shell("stat -c %d /dev");
    start.passed.push((Role::MadeFiles, made));
    let taken = start.run(&steps_of_files()).said().to_owned();
    assert_eq!(taken, devices.dev().to_string());
    assert_eq!(maker.end(), Ending::Exited(0));
}

fn seen(made: Option<OwnedFd>, command: &str) -> String {
    let mut start = shell(command);
    (start.uid, start.gid) = (61_234, 61_234);
    start.passed = made
        .into_iter()
        .map(|made| (Role::MadeAhead, made))
        .collect();
    start.run(&steps_of_all()).said().to_owned()
}

#[test]
fn all_that_is_made_ahead_is_as_what_a_start_makes() {
    let maker = Maker::start();
    let own = seen(None, SEEN);
    assert!(
        own.contains("61234 61234 1") && own.contains("closed"),
        "{own}"
    );
    // The second one finds nothing of what the first one left.
    for _ in 0..2 {
        let made = maker.ask_for(MAKE_ALL, Report::Ahead);
        assert_eq!(seen(Some(made), SEEN), own);
    }
    let numbers = "readlink /proc/self/ns/net /proc/self/ns/ipc /proc/self/ns/user; stat -c %d /dev /dev/pts /dev/shm /tmp /var/tmp";
    let lines = |made| -> Vec<String> { seen(made, numbers).lines().map(str::to_owned).collect() };
    let made: Vec<OwnedFd> = (0..2)
        .map(|_| maker.ask_for(MAKE_ALL, Report::Ahead))
        .collect();
    let mut starts: Vec<Vec<String>> = made.into_iter().map(|made| lines(Some(made))).collect();
    starts.push(
        shell(numbers)
            .run(&[])
            .said()
            .lines()
            .map(str::to_owned)
            .collect(),
    );
    for (place, start) in starts.iter().enumerate() {
        assert_eq!(start.len(), 8, "{start:?}");
        for other in &starts[..place] {
            // The numbers of file systems are used again.
            assert!((0..3).all(|line| start[line] != other[line]), "{starts:?}");
        }
    }
    assert_eq!(maker.end(), Ending::Exited(0));
}

#[test]
fn of_what_is_made_ahead_a_start_takes_only_what_is_as_its_own() {
    let maker = Maker::start();
    let made = |command: &str, steps: &[Step<'_>]| {
        let mut start = shell(command);
        let made = maker.ask_for(MAKE_ALL, Report::Ahead);
        start.passed.push((Role::MadeAhead, made));
        start.run(steps).said().to_owned()
    };
    // Another size and mode than the usual ones.
    let other = What::Tmpfs {
        mode: 0o755,
        options: ListBytes(b"size=64k\0").list(),
    };
    let mut steps = steps_of_all();
    for step in &mut steps {
        if matches!(step, Step::Mount { at, .. } if *at == c"/tmp") {
            *step = at(c"/tmp", other);
        }
    }
    let seen = "stat -c %a /tmp /var/tmp; df -k --output=size /tmp | tail -n1 | tr -d ' '; ls /proc/self/fd | wc -l";
    assert_eq!(made(seen, &steps), "755\n1777\n64\n4");
    // The host's queues, where its namespace is: none of another one.
    let ipc = std::fs::read_link("/proc/self/ns/ipc").unwrap();
    let steps = [
        Step::Unshare {
            kinds: MOUNT | NETWORK,
            told: 0,
        },
        Step::Loopback,
        Step::Propagation { flag: SLAVE },
        Step::Root {
            from: RootSource::Host,
            set: 0,
        },
        at(c"/dev", What::Devices { bound: false }),
        at(c"/dev/mqueue", What::MessageQueues),
        Step::EnterRoot { shared: true },
    ];
    let queues = "readlink /proc/self/ns/ipc; stat -c %d /dev/mqueue";
    let own = shell(queues).run(&steps).said().to_owned();
    assert_eq!(made(queues, &steps), own);
    assert!(own.starts_with(ipc.to_str().unwrap()), "{own}");
    // Without a network of its own it takes nothing.
    let none = [Step::Unshare {
        kinds: IPC,
        told: 0,
    }];
    assert_eq!(
        made(
            "readlink /proc/self/ns/net; ls /proc/self/fd | wc -l",
            &none
        ),
        format!(
            "{}\n4",
            std::fs::read_link("/proc/self/ns/net").unwrap().display()
        )
    );
    maker.end();
}

#[test]
fn a_start_with_limits_that_its_user_namespace_keeps_makes_one_with_them() {
    let maker = Maker::start();
    // RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE; and RLIMIT_NOFILE, which no namespace has.
    for (resource, is_kept) in [(6, true), (8, true), (11, true), (12, true), (7, false)] {
        let (made, users) = part_of(&maker.ask_for(MAKE_ALL, Report::Ahead), USERS);
        let users = users.ino().to_string();
        let mut steps = steps_of_all();
        let before = steps.iter().position(|step| *step == Step::Groups).unwrap();
        let limit = Step::Limit {
            resource,
            soft: 512,
            hard: 512,
        };
        steps.insert(before, limit);
        let mut start =
            shell("stat -L -c %i /proc/self/ns/user; df --output=fstype /tmp | tail -n1");
        (start.uid, start.gid) = (61_234, 61_234);
        start.passed.push((Role::MadeAhead, made));
        let outcome = start.run(&steps);
        let said = outcome.said();
        let (inode, rest) = said.split_once('\n').unwrap();
        assert_eq!(rest, "tmpfs", "{resource}");
        assert_eq!(inode != users, is_kept, "{resource}: {said}");
    }
    assert_eq!(maker.end(), Ending::Exited(0));
}

/// The places of a user namespace and of a `/dev` in what was made ahead (`ahead::Part`).
const USERS: u8 = 2;
const DEVICES: u8 = 5;

/// What was made ahead, and what tells a part in it from all others.
fn part_of(made: &OwnedFd, part: u8) -> (OwnedFd, std::fs::Metadata) {
    let (mut names, mut descriptors) = ([0; 64], Descriptors::default());
    let received = receive(
        made,
        &mut names,
        &mut descriptors,
        ReceiveOptions::default(),
    )
    .unwrap();
    let names = &names[..received.bytes];
    let files: Vec<OwnedFd> = std::iter::from_fn(|| descriptors.take()).collect();
    let place = names.iter().position(|name| *name == part).unwrap();
    let file = std::fs::File::from(files[place].try_clone().unwrap());
    (bundle(Some(names), &files), file.metadata().unwrap())
}

/// A message and what comes along with it, in a socket; or one without any.
fn bundle(bytes: Option<&[u8]>, files: &[OwnedFd]) -> OwnedFd {
    use kernel::rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None).unwrap();
    let files: Vec<_> = files.iter().map(std::os::fd::AsFd::as_fd).collect();
    if let Some(bytes) = bytes {
        kernel::message::send(&ours, bytes, &files).unwrap();
    }
    theirs
}

#[test]
fn a_start_with_a_bundle_that_is_none_fails() {
    // No message; one without parts; a part without its descriptor, two with one, and a part that there is not.
    let cases = [
        (None, 0, Errno::AGAIN),
        (Some(&[][..]), 0, Errno::BADMSG),
        (Some(&[0]), 0, Errno::BADMSG),
        (Some(&[0, 1]), 1, Errno::BADMSG),
        (Some(&[200]), 1, Errno::BADMSG),
    ];
    for (bytes, count, errno) in cases {
        let files: Vec<OwnedFd> = (0..count)
            .map(|_| std::fs::File::open("/dev/null").unwrap().into())
            .collect();
        let mut start = shell("echo reached");
        start.passed.push((Role::MadeAhead, bundle(bytes, &files)));
        let step = Step::Unshare {
            kinds: NETWORK,
            told: 0,
        };
        let tag = step.tag();
        let outcome = start.run(&[step]);
        assert!(!outcome.output.contains("reached"), "{bytes:?} {outcome:?}");
        let [Report::Failure(failure)] = outcome.reports[..] else {
            panic!("{bytes:?}: {outcome:?}");
        };
        let told = (failure.step, failure.errno);
        assert_eq!(told, (tag, errno.raw_os_error()), "{bytes:?}");
    }
}

#[test]
fn who_cannot_make_all_says_what_and_goes_on_with_networks() {
    use kernel::rustix::process::{Resource, Rlimit, getrlimit, prlimit};
    let maker = Maker::start();
    maker.ask_for(MAKE_ALL, Report::Ahead);
    let pid = maker.child.pid;
    let path = |name: &str| format!("/proc/{}/{name}", pid.as_raw_nonzero());
    let is_free = |number: &u64| std::fs::symlink_metadata(path(&format!("fd/{number}"))).is_err();
    let limit = |descriptors| {
        let limit = Rlimit {
            current: Some(descriptors),
            ..getrlimit(Resource::Nofile)
        };
        prlimit(Some(pid), Resource::Nofile, limit).unwrap()
    };
    // Room for a network alone, then for a user namespace and not for all the rest.
    for (room, part) in [(3, UnmadePart::Users), (7, UnmadePart::Devices)] {
        // It holds for the numbers, of which some are far from the others.
        let usual = limit((0..).filter(is_free).nth(room).unwrap());
        let unmade = Unmade {
            wish: MAKE_ALL,
            part,
            errno: Errno::MFILE.raw_os_error(),
        };
        // Whatever stayed open would soon leave no room for a network.
        for _ in 0..5 {
            maker.refuses(MAKE_ALL, unmade);
            for kind in ["net", "ipc"] {
                let link = |path| std::fs::read_link(path).unwrap();
                let home = link(format!("/proc/self/ns/{kind}"));
                assert_eq!(link(path(&format!("ns/{kind}"))), home);
            }
            maker.ask();
        }
        limit(usual.current.unwrap());
    }
    maker.ask_for(MAKE_ALL, Report::Ahead);
    assert_eq!(maker.end(), Ending::Exited(0));
}

#[test]
fn who_makes_networks_is_in_none_of_them_and_has_no_other_privileges() {
    let maker = Maker::start();
    let made = maker.ask();
    let link = |path: String| std::fs::read_link(path).unwrap();
    let home = link(format!("/proc/{}/ns/net", maker.child.pid.as_raw_nonzero()));
    assert_eq!(home, link("/proc/self/ns/net".to_owned()));
    let file = std::fs::File::from(made);
    assert_ne!(
        file.metadata().unwrap().ino(),
        std::fs::metadata("/proc/self/ns/net").unwrap().ino()
    );
    let status = format!("/proc/{}/status", maker.child.pid.as_raw_nonzero());
    let status = std::fs::read_to_string(status).unwrap();
    // CAP_SETGID, CAP_SETUID, CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_MKNOD, CAP_SETFCAP.
    assert!(status.contains("CapPrm:\t00000000882010c0"), "{status}");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    maker.end();
}

/// The role that makes networks ahead, as the manager has it.
struct Maker {
    socket: OwnedFd,
    child: kernel::spawn::Child,
}

impl Maker {
    fn start() -> Self {
        use kernel::rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        let flags = SocketFlags::CLOEXEC;
        let (socket, end) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let child = harness::start(&plan::network_maker(), &end, &[], false);
        Self { socket, child }
    }

    fn ask(&self) -> OwnedFd {
        self.ask_for(MAKE_NETWORK, Report::Network)
    }

    fn ask_for(&self, wish: [u8; 1], expected: Report) -> OwnedFd {
        self.asked(wish, expected).take().unwrap()
    }

    fn refuses(&self, wish: [u8; 1], expected: Unmade) {
        let mut descriptors = self.asked(wish, Report::Unmade(expected));
        assert!(descriptors.take().is_none());
    }

    fn asked(&self, wish: [u8; 1], expected: Report) -> Descriptors {
        kernel::message::send(&self.socket, &wish, &[]).unwrap();
        let (mut bytes, mut descriptors) = ([0; 64], Descriptors::default());
        let wait = ReceiveOptions {
            wait: true,
            ..ReceiveOptions::default()
        };
        let received = receive(&self.socket, &mut bytes, &mut descriptors, wait).unwrap();
        let report = Report::decode(&bytes[..received.bytes]);
        assert_eq!(report, Some(expected));
        descriptors
    }

    fn end(self) -> Ending {
        drop(self.socket);
        kernel::wait::wait(&self.child.pidfd).unwrap().ending
    }
}
