//! What clients may do and see, and what they can't do to the others.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says so"
)]

mod support;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use support::{Instance, eventually};
use wire::methods as call;
use wire::{
    Client, ClientError, Done, Environment, Failure, KillRequest, ListUnitsRequest, MonitorRequest,
    NamesRequest, OneUnit, ShowRequest, TransientRequest,
};

fn names(names: &[&str]) -> NamesRequest {
    NamesRequest {
        names: names.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn variables_reach_services_and_outlive_the_manager() {
    let instance = Instance::start();
    let set = Environment {
        environment: vec!["COLOUR=blue".into(), "SIZE=3".into()],
    };
    instance.client().call(call::SetEnvironment, &set).unwrap();
    instance
        .client()
        .call(
            call::UnsetEnvironment,
            &Environment {
                environment: vec!["SIZE".into()],
            },
        )
        .unwrap();
    instance.kill_manager();
    let shown = instance.stubborn(|client| client.call(call::ShowEnvironment, &Done {}));
    assert_eq!(shown.environment, ["COLOUR=blue"]);
    let outcome = instance
        .run(&[], &["/bin/sh", "-c", "echo $COLOUR-$SIZE"])
        .unwrap();
    assert_eq!(
        eventually("a line", || Some(instance.log(&outcome.unit))
            .filter(|lines| !lines.is_empty())),
        ["blue-"]
    );
}

#[test]
fn a_watcher_sees_a_unit_come_and_go() {
    let instance = Instance::start();
    instance.unit(
        "short.service",
        "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    );
    let mut watcher = instance.client();
    let input = MonitorRequest {
        names: vec!["short.*".into()],
    };
    let mut events = watcher.more(call::Monitor, &input, &[]).unwrap();
    assert_eq!(events.next().unwrap().unwrap().kind, "ready");
    instance.start_unit("short");
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "job done") {
        let event = events.next().unwrap().unwrap();
        seen.push(format!(
            "{} {}",
            event.kind,
            event.sub.or(event.job_result).unwrap()
        ));
    }
    assert!(
        seen.contains(&"unit start".to_owned()) && seen.contains(&"unit dead".to_owned()),
        "{seen:?}"
    );
}

#[test]
fn signals_reach_the_processes_that_are_meant() {
    let instance = Instance::start();
    instance.unit("target.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    let kill = |signal: &str| {
        let input = KillRequest {
            names: vec!["target".into()],
            signal: signal.into(),
            whom: "main".into(),
        };
        instance.client().call(call::Kill, &input)
    };
    assert!(matches!(
        kill("TERM"),
        Err(ClientError::Failure(Failure::NoProcess { .. }))
    ));
    instance.start_unit("target");
    assert!(matches!(
        kill("SIGNONSENSE"),
        Err(ClientError::Failure(Failure::BadSignal { .. }))
    ));
    kill("SIGUSR2").unwrap();
    let status = instance.await_state("target", "failed/failed");
    assert_eq!(status.service.unwrap().exit.unwrap().status, 12);
    instance
        .client()
        .call(call::ResetFailed, &names(&["target"]))
        .unwrap();
    assert_eq!(instance.status("target").active, "inactive");
}

fn show(client: &mut Client, name: &str) -> std::collections::BTreeMap<String, String> {
    let request = ShowRequest {
        names: vec![name.into()],
        ..ShowRequest::default()
    };
    let mut reply = client.call(call::Show, &request).unwrap();
    reply.units.remove(0).properties
}

/// The words of a command, which a unit made at run time has for its description, are for root.
fn sees_no_command(client: &mut Client) {
    let request = ListUnitsRequest {
        names: vec!["spoken.service".into()],
        ..ListUnitsRequest::default()
    };
    let listed = client.call(call::ListUnits, &request).unwrap();
    let status = client.call(call::Status, &names(&["spoken.service"]));
    for description in [
        &listed.units[0].description,
        &status.unwrap().units[0].description,
        &show(client, "spoken.service")["Description"],
    ] {
        assert_eq!(description, "spoken.service");
    }
}

/// Not a test: what a stranger of the next one does.
#[test]
#[ignore = "a helper of another test, run by it as another user"]
fn helper_that_is_a_stranger() {
    let mut client =
        Client::connect(std::path::Path::new(&std::env::var_os("API").unwrap())).unwrap();
    let denied = client
        .call(
            call::StartTransient,
            &support::transient(&[], &["/bin/true"]),
        )
        .unwrap_err();
    assert!(
        matches!(denied, ClientError::Failure(Failure::AccessDenied { .. })),
        "{denied}"
    );
    for result in [
        client.call(call::Exit, &wire::ExitRequest::default()),
        client.call(call::Kill, &KillRequest::default()),
    ] {
        assert!(matches!(
            result,
            Err(ClientError::Failure(Failure::AccessDenied { .. }))
        ));
    }
    assert!(
        client
            .call(call::ListUnits, &ListUnitsRequest::default())
            .unwrap()
            .units
            .len()
            > 3
    );
    // A long list of patterns takes long for each of them: whoever sends one is cut off.
    let mut patient = UnixStream::connect(std::env::var_os("API").unwrap()).unwrap();
    let patterns = ["\"*\""; 100_000].join(",");
    let request = format!(
        "{{\"method\":\"io.coracle.Manager.Status\",\"parameters\":{{\"names\":[{patterns}]}}}}\0"
    );
    patient.write_all(request.as_bytes()).ok();
    let mut answer = Vec::new();
    patient.read_to_end(&mut answer).ok();
    assert_eq!(answer, b"");
    let status = client
        .call(call::Status, &names(&["secret.service"]))
        .unwrap()
        .units
        .remove(0);
    assert_eq!(
        (status.active.as_str(), status.processes[0].command.as_str()),
        ("active", "")
    );
    let shown = show(&mut client, "secret.service");
    assert!(
        shown.contains_key("ActiveState") && !shown.contains_key("Environment"),
        "{shown:?}"
    );
    sees_no_command(&mut client);
    let unknown = client
        .call(call::Status, &names(&["made-up.service"]))
        .unwrap_err();
    assert!(matches!(
        unknown,
        ClientError::Failure(Failure::NoSuchUnit { .. })
    ));
}

#[test]
fn strangers_see_states_and_nothing_else() {
    let instance = Instance::start();
    std::fs::set_permissions(instance.path("."), std::fs::Permissions::from_mode(0o755)).unwrap();
    instance.unit(
        "secret.service",
        "[Service]\nEnvironment=TOKEN=xyzzy\nExecStart=/bin/sleep 1000\n",
    );
    instance.start_unit("secret");
    let spoken = TransientRequest {
        unit: "spoken.service".into(),
        ..support::transient(&[], &["/bin/sh", "-c", "sleep 1000 # password"])
    };
    let mut client = instance.client();
    client.call(call::StartTransient, &spoken).unwrap();
    let description = instance.status("spoken").description;
    assert!(description.contains("password"), "{description}");
    let helper = instance.path("helper");
    std::fs::copy(std::env::current_exe().unwrap(), &helper).unwrap();
    let output = std::process::Command::new(&helper)
        .args(["--ignored", "--exact", "helper_that_is_a_stranger"])
        .env("API", instance.path("run/api"))
        .current_dir("/")
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn hostile_clients_are_answered_or_cut_off_and_harm_nobody() {
    let instance = Instance::start();
    let say = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(instance.path("run/api")).unwrap();
        // Cut off in the midst of it is an answer too.
        stream.write_all(bytes).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert_eq!(say(&vec![b'x'; 3 << 20]), "");
    assert_eq!(say(b""), "");
    say(b"{\"method\":\0\0\0{}\0[]\0");
    let mut deep = vec![b'['; 100_000];
    deep.push(0);
    say(&deep);
    // One that never reads, and one that never ends its call.
    let mut deaf = UnixStream::connect(instance.path("run/api")).unwrap();
    for _ in 0..100 {
        deaf.write_all(
            b"{\"method\":\"io.coracle.Manager.ListUnits\",\"parameters\":{\"all\":true}}\0",
        )
        .ok();
    }
    let mut slow = UnixStream::connect(instance.path("run/api")).unwrap();
    slow.write_all(b"{\"method\":").unwrap();
    let manager = instance.manager();
    assert_eq!(
        instance
            .run(&[], &["/bin/true"])
            .unwrap()
            .exit
            .unwrap()
            .status,
        0
    );
    assert_eq!(instance.manager(), manager);
}

#[test]
fn a_client_that_reads_late_is_served_late_and_gets_every_answer() {
    const CALL: &[u8] = b"{\"method\":\"io.coracle.Manager.ListUnits\"}\0";
    let instance = Instance::start();
    let mut client = UnixStream::connect(instance.path("run/api")).unwrap();
    client.set_nonblocking(true).unwrap();
    // More answers than anybody's memory should hold; their number is what the manager lets us ask for.
    let calls = CALL.repeat((16 << 20) / CALL.len());
    let mut rest = calls.as_slice();
    while !rest.is_empty() {
        let mut watched = [PollFd::new(&client, PollFlags::OUT)];
        let patience = Timespec {
            tv_sec: 2,
            tv_nsec: 0,
        };
        if poll(&mut watched, Some(&patience)).unwrap() == 0 {
            break;
        }
        match client.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
    assert!(!rest.is_empty(), "the manager took every call");
    let asked = (calls.len() - rest.len()) / CALL.len();
    client.set_nonblocking(false).unwrap();
    let (mut answered, mut buffer) = (0, vec![0; 1 << 16]);
    while answered < asked {
        let count = client.read(&mut buffer).unwrap();
        assert!(count > 0, "{answered} of {asked} answers came");
        answered += buffer[..count].iter().filter(|byte| **byte == 0).count();
    }
    instance.exit();
}

#[test]
fn what_is_wrong_with_a_transient_unit_is_said() {
    let instance = Instance::start();
    for (property, part) in [
        ("NoSuchThing=yes", "no such directive"),
        (
            "ProtectSystem=perhaps",
            "\"perhaps\" is not no, yes, full or strict",
        ),
        ("Type", "no Directive=value"),
        ("Description=a\nExecStart=/bin/false", "more than one line"),
        ("Description=a\\", "ends with a backslash"),
    ] {
        match instance.run(&[property], &["/bin/true"]) {
            Err(Failure::BadProperty { message, .. }) => {
                assert!(message.contains(part), "{property}: {message}")
            }
            other => panic!("{property}: {other:?}"),
        }
    }
    assert!(matches!(
        instance.start_unit("nowhere").failure,
        Some(Failure::NoSuchUnit { .. })
    ));
}

#[test]
fn a_line_of_a_transient_unit_without_effect_is_told_and_starts() {
    let instance = Instance::start();
    let outcome = instance
        .run(
            &["SurviveFinalKillSignal=no", "SurviveFinalKillSignal=yes"],
            &["/bin/true"],
        )
        .unwrap();
    assert_eq!(outcome.result, "done");
    let told: Vec<&str> = outcome
        .diagnostics
        .iter()
        .map(|one| one.message.as_str())
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("SurviveFinalKillSignal= has no effect"),
        "{told:?}"
    );
    instance.exit();
}

#[test]
fn a_hardened_service_runs_as_nobody_else_and_leaves_nothing() {
    let instance = Instance::start();
    let properties = [
        "DynamicUser=yes",
        "ProtectSystem=strict",
        "PrivateTmp=yes",
        "PrivateUsers=yes",
        "PrivatePIDs=yes",
        "PrivateNetwork=yes",
        "RuntimeDirectory=coracle-daemon-test",
        "SystemCallFilter=@system-service",
        "CapabilityBoundingSet=",
    ];
    let script = "id -u; touch /tmp/x /run/coracle-daemon-test/y && echo written; touch /etc/z || echo kept; ls /sys/class/net 2>/dev/null; exit 4";
    let outcome = instance
        .run(&properties, &["/bin/sh", "-c", script])
        .unwrap();
    assert_eq!(outcome.exit.unwrap().status, 4);
    let lines = eventually("the output", || {
        Some(instance.log(&outcome.unit)).filter(|lines| lines.len() >= 4)
    });
    let uid: u32 = lines[0].parse().unwrap();
    assert!((61_184..=65_519).contains(&uid), "{lines:?}");
    assert!(
        lines.contains(&"written".to_owned()) && lines.contains(&"kept".to_owned()),
        "{lines:?}"
    );
    assert!(!std::path::Path::new("/run/coracle-daemon-test").exists());
    // Nobody waits for that.
    eventually("the number to be free again", || {
        let lock = std::path::Path::new("/run/coracle-dynamic-users").join(uid.to_string());
        (!lock.exists()).then_some(())
    });
    instance.exit();
}

#[test]
fn a_sandbox_can_be_entered_and_its_plan_read() {
    let instance = Instance::start();
    instance.unit(
        "inside.service",
        "[Service]\nPrivateTmp=yes\nNoNewPrivileges=yes\nExecStart=/bin/sleep 1000\n",
    );
    instance.start_unit("inside");
    let mut client = instance.client();
    let reply = client
        .call(
            call::EnterSandbox,
            &OneUnit {
                unit: "inside".into(),
            },
        )
        .unwrap();
    assert_eq!(reply.main_pid, instance.main_pid("inside"));
    assert_eq!(client.take_descriptors().len(), 1);
    let plan = client
        .call(
            call::Explain,
            &OneUnit {
                unit: "inside".into(),
            },
        )
        .unwrap();
    assert!(
        plan.steps.iter().any(|step| step.directive == "PrivateTmp"),
        "{plan:?}"
    );
    assert_eq!(plan.steps.len(), reply.steps.len());
}

/// Not a test: the client of the next one.
#[test]
#[ignore = "a helper of another test, run by it in a pid namespace"]
fn helper_that_asks_who_is_there() {
    let path = std::env::var_os("API").unwrap();
    let mut client = Client::connect(std::path::Path::new(&path)).unwrap();
    client.call(call::Describe, &Done {}).unwrap();
}

#[test]
fn a_client_that_does_not_see_the_managers_process_is_answered() {
    let instance = Instance::start();
    let output = std::process::Command::new("unshare")
        .args(["--fork", "--pid", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "helper_that_asks_who_is_there"])
        .env("API", instance.path("run/api"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    instance.exit();
}
