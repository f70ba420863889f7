//! What one start of a service leaves, the next one does not find, whatever was prepared for it.

use coracle_system_tests::{manager, waiting, with_units};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use testkit::Instance;

/// Leaves something of each kind, after it has told what it found: the number of its network, interfaces and addresses, a setting of the
/// network, listeners, objects of inter-process communication, files in memory, keys.
const SCRIPT: &str = "readlink /proc/self/ns/net
echo $(tail -n +3 /proc/net/dev | cut -d: -f1) $(ip -4 -o address | tr -s ' ' | cut -d' ' -f4)
cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/net/ipv4/conf/lo/forwarding
echo $(tail -n +2 /proc/net/unix | wc -l) $(ipcs -q -m -s | grep -c 0x) $(ls -A /tmp /var/tmp /dev/shm /dev/mqueue | grep -c left)
cat /proc/sys/kernel/hostname; ATTACKER find-session-key
ip address add 10.1.2.3/32 dev lo; ip link add left0 type dummy 2>/dev/null || ip link add left0 type veth peer name left1 2>/dev/null
echo 77 > /proc/sys/net/ipv4/ip_default_ttl; echo 1 > /proc/sys/net/ipv4/conf/lo/forwarding
touch /tmp/left /var/tmp/left /dev/shm/left /dev/mqueue/left; ipcmk -Q -M 4096 -S 1 >/dev/null
echo left > /proc/sys/kernel/hostname; ATTACKER plant-session-key
test \"$(cat /proc/sys/net/ipv4/ip_default_ttl)\" = 77 && ip address | grep -q 10.1.2.3 && ATTACKER find-session-key
";

/// A service that is root and may do all that in its namespaces; `shell` starts it.
fn unit(folder: &str) -> String {
    let attacker = env!("CARGO_BIN_EXE_attacker");
    let script = SCRIPT
        .replace("ATTACKER", attacker)
        .trim_end()
        .replace('\n', "; ");
    let script = script.replace('%', "%%").replace('$', "$$");
    format!(
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c '{}'\n\
         StandardOutput=append:{folder}/said\nPrivateNetwork=yes\nPrivateTmp=disconnected\nPrivateIPC=yes\nPrivatePIDs=yes\n\
         PrivateDevices=yes\nProtectHostname=private:clean\nKeyringMode=private\nMountAPIVFS=yes\nProtectSystem=strict\n\
         BindReadOnlyPaths={attacker}\n",
        script.replace('\'', "\\'")
    )
}

/// The lines of each start: the number of its network, and the rest.
fn starts(coracle: &Instance) -> Vec<(String, String)> {
    let said = std::fs::read_to_string(coracle.folder().join("said")).unwrap_or_default();
    let mut starts: Vec<(String, String)> = Vec::new();
    for line in said.lines() {
        match starts.last_mut() {
            Some((_, rest)) if !line.starts_with("net:[") => *rest += &format!("{line}\n"),
            _ => starts.push((line.to_owned(), String::new())),
        }
    }
    starts
}

/// The process that makes networks ahead, if it is there.
fn maker(coracle: &Instance) -> Option<Pid> {
    let mut children = manager::children(coracle.process("KeeperPID")).into_iter();
    children
        .find(|(_, line)| line.starts_with("coracle-networks"))
        .map(|(pid, _)| pid)
}

fn networks(coracle: &Instance) -> usize {
    let held = manager::descriptors(coracle.process("ManagerPID"));
    held.iter().filter(|kind| *kind == "net").count()
}

/// Waits until as many namespaces are ready as there are to be.
fn wait_for_networks(coracle: &Instance) {
    waiting::eventually("networks made ahead", || {
        (networks(coracle) == 2).then_some(())
    });
}

#[test]
fn a_start_finds_nothing_that_the_one_before_left() {
    with_units(&[], |coracle| {
        let folder = coracle.folder().to_string_lossy().into_owned();
        coracle.unit("a.service", &unit(&folder));
        coracle.ok(&["daemon-reload"]);
        assert_eq!(maker(coracle), None, "nobody has wanted one yet");
        coracle.ok(&["start", "a"]);
        for _ in 0..3 {
            wait_for_networks(coracle);
            coracle.ok(&["restart", "a"]);
        }
        // A manager that dies takes what was ready along; no start gets it.
        manager::kill(coracle.process("ManagerPID"));
        coracle.ok(&["restart", "a"]);
        wait_for_networks(coracle);
        coracle.ok(&["restart", "a"]);
        let starts = starts(coracle);
        assert_eq!(starts.len(), 6, "{starts:#?}");
        let clean = "lo 127.0.0.1/8\n64\n0\n0 0 0\nclean\nENOKEY\nreached\nreached\n";
        let host: u32 = std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl")
            .expect("the host's setting")
            .trim()
            .parse()
            .expect("a number");
        assert_eq!(host, 64, "what a new namespace has");
        // The numbers of namespaces tell nothing: the kernel gives them again.
        for (place, (_, found)) in starts.iter().enumerate() {
            assert_eq!(found, clean, "start {place}");
        }
    });
}

#[test]
fn a_start_with_all_made_ahead_finds_nothing_either() {
    let script = "echo net:[ $(ipcs -q -m -s | grep -c 0x) $(ls -A /tmp /var/tmp /dev/shm /dev/mqueue | grep -c left)
cut -c1-24 /proc/self/uid_map; readlink /proc/1/ns/user | cut -d: -f1; tail -n +3 /proc/net/dev | cut -d: -f1
touch /tmp/left /var/tmp/left /dev/shm/left /dev/mqueue/left; ipcmk -Q -M 4096 -S 1 >/dev/null; test -e /dev/mqueue/left";
    let script = script.replace('\n', "; ").replace('%', "%%");
    let script = script.replace('$', "$$");
    with_units(&[], |coracle| {
        let folder = coracle.folder().to_string_lossy().into_owned();
        let text = format!(
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c '{script}'\n\
             StandardOutput=append:{folder}/said\nPrivateNetwork=yes\nPrivateTmp=disconnected\nPrivateIPC=yes\nPrivatePIDs=yes\n\
             PrivateDevices=yes\nPrivateUsers=yes\nLimitMSGQUEUE=infinity\nMountAPIVFS=yes\nProtectSystem=strict\nInaccessiblePaths=/home\n"
        );
        coracle.unit("a.service", &text);
        coracle.ok(&["daemon-reload"]);
        // Less than one queue as touch(1) makes them, of ten messages of 8 KiB: the unit's limit is the hard one, and that of its user
        // namespace, too, whoever made it.
        let less = Rlimit {
            current: Some(50_000),
            ..getrlimit(Resource::Msgqueue)
        };
        let keeper = coracle.process("KeeperPID");
        prlimit(Some(keeper), Resource::Msgqueue, less).expect("root limits");
        coracle.ok(&["start", "a"]);
        for _ in 0..6 {
            coracle.ok(&["restart", "a"]);
        }
        assert_ne!(maker(coracle), None);
        assert_eq!(networks(coracle), 0, "what is ready is all or nothing");
        let starts = starts(coracle);
        assert_eq!(starts.len(), 7, "{starts:#?}");
        for start in &starts {
            assert_eq!(start, &starts[0]);
            assert_eq!(start.0, "net:[ 0 0");
            assert!(start.1.contains("lo\n"), "{start:?}");
        }
    });
}

#[test]
fn a_start_in_the_hosts_network_finds_nothing_in_files_made_ahead() {
    let script = "echo net:[ $$(ls -A /dev/shm /dev/pts | grep -c left); ls -A /dev | sort | tr '\\\\n' ' '; stat -c %%a /home /dev/shm; \
         touch /dev/shm/left /dev/left /home/left; test -e /dev/shm/left -a ! -e /dev/left";
    with_units(&[], |coracle| {
        let folder = coracle.folder().to_string_lossy().into_owned();
        let text = format!(
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c \"{script}\"\n\
             StandardOutput=append:{folder}/said\nPrivateDevices=yes\nProtectHome=yes\nProtectSystem=strict\n"
        );
        coracle.unit("a.service", &text);
        coracle.ok(&["daemon-reload"]);
        assert_eq!(maker(coracle), None, "nobody has wanted one yet");
        coracle.ok(&["start", "a"]);
        for _ in 0..6 {
            coracle.ok(&["restart", "a"]);
        }
        assert_ne!(maker(coracle), None);
        assert_eq!(networks(coracle), 0, "none is wanted");
        let starts = starts(coracle);
        assert_eq!(starts.len(), 7, "{starts:#?}");
        for start in &starts {
            assert_eq!(start, &starts[0]);
            assert_eq!(start.0, "net:[ 0");
            assert!(
                start.1.contains("null") && start.1.contains("0\n1777\n"),
                "{start:?}"
            );
        }
    });
}

#[test]
fn where_not_all_can_be_made_ahead_networks_are() {
    let unit = "[Service]\nType=exec\nExecStart=/bin/sleep infinity\nPrivateNetwork=yes\nPrivateTmp=disconnected\nPrivateIPC=yes\n\
                PrivateDevices=yes\nPrivateUsers=yes\n";
    let plain = "[Service]\nType=exec\nExecStart=/bin/sleep infinity\nPrivateNetwork=yes\n";
    with_units(
        &[("all.service", unit), ("one.service", plain)],
        |coracle| {
            coracle.ok(&["start", "one"]);
            wait_for_networks(coracle);
            // Room for a network and not for all the rest.
            let maker = maker(coracle).expect("somebody makes networks");
            let path = |number| format!("/proc/{}/fd/{number}", maker.as_raw_pid());
            let is_free = |number: &u64| std::fs::symlink_metadata(path(*number)).is_err();
            let few = Rlimit {
                current: (0..).filter(is_free).nth(3),
                ..getrlimit(Resource::Nofile)
            };
            prlimit(Some(maker), Resource::Nofile, few).expect("root limits");
            let told =
                "a user namespace can't be made ahead, so nothing is but network namespaces: ";
            let log = || coracle.ok(&["logs", "--cat"]);
            for _ in 0..3 {
                coracle.ok(&["restart", "all", "one"]);
                waiting::eventually("what could not be made", || {
                    log().contains(told).then_some(())
                });
                wait_for_networks(coracle);
            }
            let log = log();
            assert_eq!(log.matches(told).count(), 1, "it is told once");
            // Each C library has words of its own for EMFILE.
            assert!(log.contains("(os error 24)"), "{log}");
            assert!(manager::lives(&maker.as_raw_pid().to_string()));
        },
    );
}

#[test]
fn the_mounts_of_a_run_are_let_go_after_its_end() {
    let text = "[Service]\nType=exec\nExecStart=/bin/sleep infinity\nPrivateNetwork=yes\nPrivateTmp=disconnected\n";
    with_units(&[("a.service", text)], |coracle| {
        coracle.ok(&["start", "a"]);
        wait_for_networks(coracle);
        let own = rustix::process::getpid();
        let own = rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty());
        // Since Linux 6.11.
        let can_hold = kernel::namespace::mounts_of(own.expect("a descriptor")).is_ok();
        let held = |pid: Pid| {
            let all = manager::descriptors(pid);
            all.iter().filter(|kind| *kind == "mnt").count()
        };
        let of_manager = || held(coracle.process("ManagerPID"));
        coracle.ok(&["restart", "a"]);
        waiting::eventually("a hold on the mounts", || {
            (of_manager() == usize::from(can_hold)).then_some(())
        });
        coracle.ok(&["stop", "a"]);
        waiting::eventually("the end of the mounts", || {
            (of_manager() == 0 && maker(coracle).is_none_or(|maker| held(maker) == 0)).then_some(())
        });
    });
}

#[test]
fn who_makes_networks_may_die_and_starts_go_on() {
    with_units(&[], |coracle| {
        // The kernel gives the number of a namespace again when it is gone, so all of them stay.
        let runs = std::cell::Cell::new(0);
        let run = || {
            let unit = format!("run-{}.service", runs.replace(runs.get() + 1));
            let start = ["run", "-u", &unit, "-p", "Type=exec"];
            let rest = ["-p", "PrivateNetwork=yes", "sleep", "infinity"];
            coracle.ok(&[&start[..], &rest[..]].concat());
            let pid = coracle.ok(&["show", "-p", "MainPID", "--value", &unit]);
            let link = std::fs::read_link(format!("/proc/{}/ns/net", pid.trim()));
            link.expect("it runs").to_string_lossy().into_owned()
        };
        let mut seen = vec![run()];
        wait_for_networks(coracle);
        let first = maker(coracle).expect("somebody makes networks");
        manager::end(first, Signal::KILL);
        waiting::eventually("the end of the maker", || {
            (maker(coracle) != Some(first)).then_some(())
        });
        // Those that are ready, and then its own.
        seen.extend((0..4).map(|_| run()));
        let host = std::fs::read_link("/proc/self/ns/net").expect("a link");
        seen.push(host.to_string_lossy().into_owned());
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count, "{seen:?}");
    });
}

#[test]
fn what_is_kept_of_the_last_run_is_not_taken_for_another_ones() {
    with_units(&[], |coracle| {
        let run = |words: &[&str]| {
            let mut all = vec!["run", "--pipe", "--collect", "--profile=default"];
            all.extend(words);
            coracle.ok(&all).trim().to_owned()
        };
        for (unit, said) in [("one", "one.service"), ("two", "two.service")] {
            let named = ["-u", unit, "-p", "Environment=NAME=%n", "printenv", "NAME"];
            assert_eq!(run(&named), said);
        }
        for unit in ["one", "two"] {
            let with = [
                "-u",
                unit,
                "-p",
                "SetCredential=key:value",
                "printenv",
                "CREDENTIALS_DIRECTORY",
            ];
            let said = run(&with);
            assert!(said.starts_with("/run/credentials/coracle-"), "{said}");
            assert!(said.ends_with(&format!("/{unit}.service")), "{said}");
        }
        // The same properties, another command; and other properties, the same command.
        assert_eq!(run(&["echo", "one"]), "one");
        assert_eq!(run(&["echo", "two"]), "two");
        assert_eq!(run(&["-p", "UMask=0027", "sh", "-c", "umask"]), "0027");
        assert_eq!(run(&["-p", "UMask=0022", "sh", "-c", "umask"]), "0022");
    });
}
