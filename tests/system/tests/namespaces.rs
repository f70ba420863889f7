//! What the processes of one run have in common, and units that join each other.

use coracle_system_tests::{manager, waiting, with_units};
use testkit::Instance;

/// The network, the IPC namespace and the /tmp of whoever runs this, one line.
const LOOK: &str =
    "/bin/sh -c 'echo $(readlink /proc/self/ns/net /proc/self/ns/ipc) $(stat -c %%d.%%i /tmp)'";

/// All that units can have in common, and where their commands say what they see.
fn private(coracle: &Instance) -> String {
    let folder = coracle.folder().display();
    format!(
        "PrivateNetwork=yes\nPrivateIPC=yes\nPrivateTmp=yes\nStandardOutput=append:{folder}/said\n"
    )
}

fn lines(coracle: &Instance) -> Vec<String> {
    let text = std::fs::read_to_string(coracle.folder().join("said")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn all_alike(coracle: &Instance, count: usize) -> String {
    let found = waiting::eventually("all of them", || {
        Some(lines(coracle)).filter(|lines| lines.len() >= count)
    });
    assert_eq!(found.len(), count, "{found:?}");
    assert!(found.iter().all(|line| *line == found[0]), "{found:?}");
    found[0].clone()
}

fn kill_manager(coracle: &Instance) {
    manager::kill(coracle.process("ManagerPID"));
    waiting::eventually("the next manager", || {
        (coracle.coracle(&["show", "-p", "Version"]).status == 0).then_some(())
    });
}

#[test]
fn all_commands_of_a_run_are_in_one_network_and_the_next_run_in_another() {
    with_units(&[], |coracle| {
        let (look, private) = (LOOK, private(coracle));
        coracle.unit(
            "a.service",
            &format!(
                "[Service]\n{private}ExecStartPre={look}\nExecStartPre={look}\nExecStart=/bin/sleep infinity\nExecStartPost={look}\n\
                 ExecReload={look}\nExecStop={look}\nExecStopPost={look}\n"
            ),
        );
        // The main process goes on while the others come: all are where it is.
        coracle.ok(&["start", "a"]);
        let main = coracle.property("a.service", "MainPID");
        let of_main = std::fs::read_link(format!("/proc/{main}/ns/net")).expect("its network");
        assert!(all_alike(coracle, 3).starts_with(&of_main.display().to_string()));
        std::fs::write(format!("/proc/{main}/root/tmp/left"), "").expect("a file in its /tmp");
        kill_manager(coracle);
        coracle.ok(&["reload", "a"]);
        coracle.ok(&["stop", "a"]);
        all_alike(coracle, 6);
        std::fs::remove_file(coracle.folder().join("said")).expect("it is there");
        coracle.ok(&["start", "a"]);
        all_alike(coracle, 3);
        let main = coracle.property("a.service", "MainPID");
        assert!(!std::fs::exists(format!("/proc/{main}/root/tmp/left")).expect("its /tmp"));
        coracle.ok(&["stop", "a"]);
    });
}

#[test]
fn what_one_command_does_to_the_network_the_next_one_finds() {
    with_units(&[], |coracle| {
        coracle.unit(
            "a.service",
            "[Service]\nType=oneshot\nPrivateNetwork=yes\nPrivateIPC=yes\nExecStartPre=ip address add 10.1.2.3/32 dev lo\n\
             ExecStartPre=/bin/sh -c 'ipcmk -Q > /dev/null'\nExecStart=/bin/sh -c 'ip address | grep -q 10.1.2.3 && ipcs -q | grep -q 0x'\n",
        );
        coracle.ok(&["start", "a"]);
    });
}

#[test]
fn a_command_with_all_privileges_is_where_the_host_is() {
    with_units(&[], |coracle| {
        let (look, private) = (LOOK, private(coracle));
        coracle.unit(
            "a.service",
            &format!(
                "[Service]\nType=oneshot\n{private}ExecStartPre=+{look}\nExecStart=/bin/true\n"
            ),
        );
        coracle.ok(&["start", "a"]);
        let own = std::fs::read_link("/proc/self/ns/net").expect("our network");
        assert!(all_alike(coracle, 1).starts_with(&own.display().to_string()));
    });
}

#[test]
fn units_that_join_each_other_have_one_network_in_whatever_order_and_as_long_as_one_of_them_runs() {
    with_units(&[], |coracle| {
        let (look, private) = (LOOK, private(coracle));
        let service = format!(
            "[Service]\n{private}ExecStart=/bin/sh -c 'exec sleep infinity'\nExecStartPost={look}\n"
        );
        // a names b, and c names a: all three are one group.
        coracle.unit(
            "a.service",
            &format!("[Unit]\nJoinsNamespaceOf=b.service\n{service}"),
        );
        coracle.unit("b.service", &service);
        coracle.unit(
            "c.service",
            &format!("[Unit]\nJoinsNamespaceOf=a.service\n{service}"),
        );
        coracle.unit("d.service", &service);
        coracle.ok(&["start", "a", "b"]);
        let first = all_alike(coracle, 2);
        coracle.ok(&["start", "c"]);
        assert_eq!(all_alike(coracle, 3), first);
        // Who made it goes, and so does the manager: the others stay where they are, and what they have in /tmp stays.
        coracle.ok(&["stop", "a", "b"]);
        kill_manager(coracle);
        coracle.ok(&["start", "b"]);
        assert_eq!(all_alike(coracle, 4), first);
        coracle.ok(&["stop", "b", "c"]);
        coracle.ok(&["start", "d", "c"]);
        let both = waiting::eventually("two more", || {
            Some(lines(coracle)).filter(|lines| lines.len() >= 6)
        });
        assert_ne!(both[4], both[5]);
        coracle.ok(&["stop", "c", "d"]);
    });
}

#[test]
fn nobody_joins_the_host_or_what_a_service_has_made_for_itself() {
    with_units(&[], |coracle| {
        let mains = [
            "+/bin/sleep infinity",
            "/usr/bin/unshare --user --map-root-user --net /bin/sleep infinity",
        ];
        let own = std::fs::read_link("/proc/self/ns/net").expect("our network");
        for (number, main) in mains.into_iter().enumerate() {
            let other = format!("other{number}.service");
            coracle.unit(
                &other,
                &format!(
                    "[Service]\nUser=nobody\nPrivateNetwork=yes\nType=exec\nExecStart={main}\n"
                ),
            );
            coracle.ok(&["start", &other]);
            let name = format!("joins{number}.service");
            coracle.unit(
                &name,
                &format!(
                    "[Unit]\nJoinsNamespaceOf={other}\n[Service]\nPrivateNetwork=yes\nType=exec\nExecStart=/bin/sleep infinity\n"
                ),
            );
            let network = |unit: &str| {
                let main = coracle.property(unit, "MainPID");
                std::fs::read_link(format!("/proc/{main}/ns/net")).expect("its network")
            };
            waiting::eventually("the other one's own network", || {
                (number == 0 || network(&other) != own).then_some(())
            });
            // Until it is asleep, in whatever network it has.
            waiting::eventually("the last program", || {
                let main = coracle.property(&other, "MainPID");
                let name = std::fs::read_to_string(format!("/proc/{main}/comm")).ok()?;
                (name.trim() == "sleep").then_some(())
            });
            coracle.ok(&["start", &name]);
            assert_ne!(network(&name), own, "{main}");
            assert_ne!(network(&name), network(&other), "{main}");
            coracle.ok(&["stop", &name, &other]);
        }
    });
}
