//! Namespaces beside that of mounts: what is the host's is out of sight, and what is the service's own is there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // What tests share fails as tests do.

mod harness;

use harness::roots::{SLAVE, at};
use harness::shell;
use kernel::mount::{NO_EXEC, NO_SUID, READ_ONLY};
use kernel::namespace::{IPC, MOUNT, NETWORK, UTS};
use kernel::wait::Ending;
use plan::frame::Role;
use plan::report::Report;
use plan::step::{RootSource, What};
use plan::{List, Step};

#[test]
fn a_private_network_has_only_a_loopback_that_is_up() {
    let command = "ls /sys/class/net; cat /sys/class/net/lo/flags; ping -c1 127.0.0.1 >/dev/null 2>&1; wc -l < /proc/net/route";
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
        at(c"/sys", What::Sysfs),
        Step::EnterRoot { shared: true },
    ];
    assert_eq!(shell(command).run(&steps).said(), "lo\n0x9\n1");
}

#[test]
fn what_one_process_makes_and_tells_another_joins() {
    const LEAVES: &str = "ip address add 10.1.2.3/32 dev lo && ipcmk -Q > /dev/null";
    const FINDS: &str = "ip address | grep -c 10.1.2.3; ipcs -q | grep -c 0x";
    for told in [NETWORK | IPC, NETWORK, IPC] {
        let kinds = NETWORK | IPC | UTS;
        let first = shell(LEAVES).run(&[Step::Unshare { kinds, told }]);
        assert_eq!(
            (first.output.as_str(), first.ending),
            ("", Ending::Exited(0))
        );
        assert_eq!(first.reports, [Report::Namespaces { kinds: told }]);
        let mut second = shell(FINDS);
        let roles = [(NETWORK, Role::NetworkNamespace), (IPC, Role::IpcNamespace)];
        let roles: Vec<_> = roles
            .into_iter()
            .filter(|(kind, _)| told & kind != 0)
            .collect();
        assert_eq!(first.descriptors.len(), roles.len());
        let mut steps: Vec<Step<'_>> = Vec::new();
        for ((kind, role), descriptor) in roles.into_iter().zip(first.descriptors) {
            second.passed.push((role, descriptor));
            steps.push(Step::Join { kind, path: None });
        }
        let kinds = kinds & !told;
        steps.push(Step::Unshare { kinds, told: 0 });
        let found = |kind| u32::from(told & kind != 0);
        let expected = format!("{}\n{}", found(NETWORK), found(IPC));
        assert_eq!(second.run(&steps).output.trim(), expected, "{told:x}");
    }
}

#[test]
fn ipc_objects_of_the_host_are_out_of_sight() {
    let id = std::process::Command::new("ipcmk")
        .args(["-Q"])
        .output()
        .unwrap();
    let id = String::from_utf8(id.stdout)
        .unwrap()
        .split_whitespace()
        .last()
        .unwrap()
        .to_owned();
    let queues = |steps: &[Step<'_>]| {
        shell("ipcs -q | grep -c 0x")
            .run(steps)
            .output
            .trim()
            .to_owned()
    };
    let (seen, unseen) = (
        queues(&[]),
        queues(&[Step::Unshare {
            kinds: IPC,
            told: 0,
        }]),
    );
    std::process::Command::new("ipcrm")
        .args(["-q", &id])
        .status()
        .unwrap();
    assert_ne!(seen, "0");
    assert_eq!(unseen, "0");
}

#[test]
fn message_queues_of_the_new_namespace_are_mounted() {
    let steps = [
        Step::Unshare {
            kinds: MOUNT | IPC,
            told: 0,
        },
        Step::Propagation { flag: SLAVE },
        Step::Root {
            from: RootSource::Host,
            set: 0,
        },
        at(c"/dev", What::Devices { bound: false }),
        at(c"/dev/mqueue", What::MessageQueues),
        Step::EnterRoot { shared: true },
    ];
    assert_eq!(
        shell("stat -f -c %T /dev/mqueue").run(&steps).said(),
        "mqueue"
    );
}

#[test]
fn the_host_name_is_the_services_own() {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let steps = [
        Step::Unshare {
            kinds: UTS,
            told: 0,
        },
        Step::Hostname { name: c"boat" },
    ];
    assert_eq!(
        shell("cat /proc/sys/kernel/hostname").run(&steps).said(),
        "boat"
    );
    assert_eq!(
        std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        host
    );
}

#[test]
fn without_privileges_the_same_is_made_in_a_user_namespace_of_ones_own() {
    let mut start = shell(
        "id -u; cat /proc/self/uid_map | tr -s ' '; touch /usr/x 2>/dev/null || echo closed; ls /dev/shm; echo gone > /dev/null; ls /home 2>/dev/null; stat -c %a /tmp; ls -A /tmp",
    );
    (start.uid, start.gid) = (61_234, 61_234);
    let steps = [
        Step::Signals {
            ignore_sigpipe: true,
        },
        Step::Stream {
            target: 1,
            source: plan::step::Source::Passed,
        },
        Step::Stream {
            target: 2,
            source: plan::step::Source::Same { stream: 1 },
        },
        // First, which no planner does: from here on this is an ordinary user.
        Step::Groups,
        Step::User {
            keep_capabilities: false,
        },
        Step::UserNamespaceFirst {
            map: plan::step::UserMap::CallerOnly,
        },
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
            what: What::Devices { bound: true },
            set: READ_ONLY | NO_EXEC | NO_SUID,
            clear: 0,
            missing_ok: false,
        },
        at(c"/home", What::Inaccessible),
        at(
            c"/tmp",
            What::Tmpfs {
                mode: 0o1777,
                options: List::EMPTY,
            },
        ),
        Step::EnterRoot { shared: true },
        Step::BoundingSet { keep: 0 },
        Step::Descriptors,
        Step::Program,
        Step::NoNewPrivileges,
        Step::Exec,
    ];
    let outcome = start.run_exactly(&steps);
    assert_eq!(
        outcome.output, "61234\n 61234 61234 1\nclosed\n1777\n",
        "{outcome:?}"
    );
}
