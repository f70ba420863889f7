//! Services of every type, sockets and restarts, through the real processes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says so"
)]

mod support;

use kernel::message::{Descriptors, ReceiveOptions, receive};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use support::{Instance, eventually, kill};
use wire::methods as call;
use wire::{Failure, JobRequest};

#[test]
fn a_command_runs_and_its_exit_status_and_output_come_back() {
    let instance = Instance::start();
    let outcome = instance
        .run(&[], &["/bin/sh", "-c", "echo out; echo err >&2; exit 7"])
        .unwrap();
    let exit = outcome.exit.unwrap();
    assert_eq!(
        (exit.code.as_str(), exit.status, exit.result.as_str()),
        ("exited", 7, "exit-code")
    );
    let lines = eventually("two lines", || {
        Some(instance.log(&outcome.unit)).filter(|lines| lines.len() == 2)
    });
    assert_eq!(lines, ["out", "err"]);
    let killed = instance
        .run(&[], &["/bin/sh", "-c", "kill -USR1 $$"])
        .unwrap()
        .exit
        .unwrap();
    assert_eq!((killed.code.as_str(), killed.status), ("killed", 10));
    instance.exit();
}

#[test]
fn what_can_not_be_executed_names_the_directive_and_why() {
    let instance = Instance::start();
    let failure = instance
        .run(&["Type=exec"], &["/no/such/program"])
        .map(|outcome| outcome.failure);
    let text = match failure {
        Ok(failure) => failure.unwrap().to_string(),
        Err(failure) => failure.to_string(),
    };
    assert!(
        text.contains("ExecStart") && text.contains("No such file"),
        "{text}"
    );
}

#[test]
fn one_call_starts_several_units_that_were_never_read_before() {
    let instance = Instance::start();
    let names = ["one", "two", "three"];
    for name in names {
        let path = instance.path(&format!("config/units/{name}.service"));
        std::fs::write(path, "[Service]\nExecStart=/bin/sleep 1000\n").unwrap();
    }
    let input = JobRequest {
        names: names.map(String::from).to_vec(),
        ..JobRequest::default()
    };
    let reply = instance.client().call(call::StartUnit, &input).unwrap();
    assert_eq!(reply.outcomes.len(), 3);
    assert!(
        reply.outcomes.iter().all(|one| one.result == "done"),
        "{reply:?}"
    );
    instance.exit();
}

#[test]
fn the_types_are_up_when_they_should_be() {
    let instance = Instance::start();
    instance.unit("simple.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    instance.unit(
        "exec.service",
        "[Service]\nType=exec\nExecStart=/bin/sleep 1000\n",
    );
    instance.unit("once.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo one'\nExecStart=/bin/sh -c 'echo two'\n");
    instance.unit(
        "broken.service",
        "[Service]\nType=exec\nExecStart=/no/such/program\n",
    );
    for (unit, state) in [
        ("simple", "active/running"),
        ("exec", "active/running"),
        ("once", "active/exited"),
    ] {
        let outcome = instance.start_unit(unit);
        assert_eq!(outcome.result, "done", "{unit}: {outcome:?}");
        let status = instance.status(unit);
        assert_eq!(format!("{}/{}", status.active, status.sub), state, "{unit}");
    }
    let outcome = instance.start_unit("broken");
    assert_eq!(outcome.result, "failed");
    assert!(
        matches!(outcome.failure, Some(Failure::Refused { .. })),
        "{outcome:?}"
    );
    let pid = instance.main_pid("simple");
    assert_eq!(
        instance
            .status("simple")
            .processes
            .iter()
            .map(|process| process.pid)
            .collect::<Vec<_>>(),
        [pid]
    );
    assert_eq!(instance.stop_unit("simple").result, "done");
    assert_eq!(instance.status("simple").active, "inactive");
    assert_eq!(
        eventually("both lines", || Some(instance.log("once.service"))
            .filter(|lines| lines.len() == 2)),
        ["one", "two"]
    );
    instance.exit();
}

/// Not a test: what a service of the next one runs.
#[test]
#[ignore = "a helper of another test, run by it as a service"]
fn helper_that_says_it_is_ready() {
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let path = std::env::var_os("NOTIFY_SOCKET").unwrap();
    socket.send_to(b"STATUS=almost", &path).unwrap();
    std::fs::File::open(std::env::var_os("GATE").unwrap())
        .unwrap()
        .read_to_end(&mut Vec::new())
        .unwrap();
    socket.send_to(b"READY=1\nSTATUS=here", &path).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_service_that_notifies_is_up_when_it_says_so() {
    let instance = Instance::start();
    let helper = std::env::current_exe().unwrap();
    let gate = instance.path("gate");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&gate)
            .status()
            .unwrap()
            .success()
    );
    instance.unit(
        "ready.service",
        &format!(
            "[Service]\nType=notify\nNotifyAccess=all\nEnvironment=GATE={}\nExecStart={} --ignored --exact helper_that_says_it_is_ready\n",
            gate.display(),
            helper.display()
        ),
    );
    let input = JobRequest {
        names: vec!["ready".into()],
        no_block: true,
        ..JobRequest::default()
    };
    instance.client().call(call::StartUnit, &input).unwrap();
    let status = eventually("a status", || {
        let status = instance.status("ready");
        status.service.as_ref()?.status_text.as_ref()?;
        Some(status)
    });
    assert_eq!(
        (
            status.active.as_str(),
            status.service.unwrap().status_text.unwrap().as_str()
        ),
        ("activating", "almost")
    );
    instance.kill_manager();
    std::fs::write(&gate, "").unwrap();
    instance.await_state("ready", "active/running");
    instance.exit();
}

#[test]
fn a_socket_starts_its_service_and_outlives_it() {
    let instance = Instance::start();
    instance.unit(
        "echo.socket",
        "[Socket]\nListenStream=@DIR@/echo.sock\nFileDescriptorName=door\n",
    );
    instance.unit(
        "echo.service",
        "[Service]\nExecStart=/usr/bin/perl -e 'open(L, \"+<&=3\"); accept(C, L); sysread(C, $said, 99); syswrite(C, $$ENV{LISTEN_FDNAMES} . \":\" . $said)'\n",
    );
    assert_eq!(instance.start_unit("echo.socket").result, "done");
    assert_eq!(instance.status("echo.socket").sub, "listening");
    for word in ["one", "two"] {
        let mut stream = UnixStream::connect(instance.path("echo.sock")).unwrap();
        stream.write_all(word.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, format!("door:{word}"));
    }
    instance.await_state("echo.socket", "active/listening");
    instance.kill_manager();
    let mut stream = UnixStream::connect(instance.path("echo.sock")).unwrap();
    stream.write_all(b"three").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "door:three");
    assert_eq!(instance.stop_unit("echo.socket").result, "done");
    eventually("a closed door", || {
        UnixStream::connect(instance.path("echo.sock")).err()
    });
    instance.exit();
}

#[test]
fn a_service_that_dies_is_started_again_until_the_limit() {
    let instance = Instance::start();
    instance.unit(
        "phoenix.service",
        "[Unit]\nStartLimitIntervalSec=1h\nStartLimitBurst=3\n[Service]\nRestart=always\nRestartSec=0\nExecStart=/bin/sleep 1000\n",
    );
    instance.start_unit("phoenix");
    let mut seen = vec![instance.main_pid("phoenix")];
    for _ in 0..2 {
        kill(*seen.last().unwrap());
        let pid = eventually("a new process", || {
            let service = instance.status("phoenix").service?;
            service.main_pid.filter(|pid| !seen.contains(pid))
        });
        seen.push(pid);
    }
    assert_eq!(instance.status("phoenix").service.unwrap().restarts, 2);
    kill(*seen.last().unwrap());
    let status = instance.await_state("phoenix", "failed/failed");
    assert!(
        ["start-limit-hit", "signal"].contains(&status.result.as_str()),
        "{}",
        status.result
    );
    instance.exit();
}

#[test]
fn a_unit_whose_sandbox_can_not_be_made_is_refused_and_named() {
    let instance = Instance::start();
    let Some(row) = settings_row_that_is_not_enforced() else {
        return;
    };
    match instance.run(&[&row], &["/bin/true"]) {
        Err(Failure::Unenforced { directives, .. }) => {
            assert_eq!(directives, [row.split('=').next().unwrap()])
        }
        other => panic!("{other:?}"),
    }
}

/// A restriction that this version only reads; none, once all are enforced.
fn settings_row_that_is_not_enforced() -> Option<String> {
    let unenforced =
        |name: &str| settings::rows_named(name).any(|row| row.is_unenforced_restriction());
    [
        ("IPAddressDeny", "any"),
        ("DevicePolicy", "closed"),
        ("RestrictFileSystems", "ext4"),
        ("PrivateBPF", "yes"),
    ]
    .into_iter()
    .find(|(name, _)| unenforced(name))
    .map(|(name, value)| format!("{name}={value}"))
}

/// Not a test: the worker of the next ones. It says that an image is mounted, and that the manager has heard it.
#[test]
#[ignore = "a helper of another test, run by it as a worker"]
fn helper_that_mounts_an_image() {
    let mount = std::fs::File::open("/dev/null").unwrap();
    let socket = std::io::stdin();
    kernel::message::send(&socket, b"{}", &[mount.as_fd()]).unwrap();
    let wait = ReceiveOptions {
        peek: false,
        wait: true,
    };
    // The wish first, and then the end: nobody waits for an image any more.
    let hear = || receive(&socket, &mut [0; 1], &mut Descriptors::default(), wait).unwrap();
    while hear().bytes != 0 {}
    let answered = std::env::current_exe().unwrap().with_file_name("answered");
    std::fs::write(answered, "").unwrap();
}

/// An instance with a service whose image is mounted when somebody comes to the gate, and not before.
fn with_slow_image(lines: &str) -> Instance {
    let worker = "#!/bin/sh\nhere=${0%/*}\n: > $here/asked\nread word < $here/gate\n\
                  exec $here/helper --ignored --exact helper_that_mounts_an_image\n";
    let instance = Instance::start_with_worker(worker);
    std::fs::copy(std::env::current_exe().unwrap(), instance.path("helper")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, instance.path("gate"), fifo, mode, 0).unwrap();
    let text = format!("[Service]\nRootImage=@DIR@/slow.psi\n{lines}ExecStart=/bin/sleep 1000\n");
    instance.unit("slow.service", &text);
    instance
}

#[test]
fn a_service_that_waits_for_its_image_is_stopped_at_once_and_stays_stopped() {
    for lines in ["TimeoutStopSec=1h\n", "KillMode=none\n"] {
        stop_while_it_waits(with_slow_image(lines));
    }
}

fn stop_while_it_waits(instance: Instance) {
    let request = JobRequest {
        names: vec!["slow".into()],
        no_block: true,
        ..JobRequest::default()
    };
    instance.client().call(call::StartUnit, &request).unwrap();
    support::eventually("the worker", || {
        instance.path("asked").exists().then_some(())
    });
    instance.client().call(call::StopUnit, &request).unwrap();
    let stopped = |status: &wire::UnitStatus| {
        let image = status.image.as_ref().unwrap();
        status.active == "inactive" && status.processes.is_empty() && !image.mounted
    };
    support::eventually("the end", || {
        stopped(&instance.status("slow")).then_some(())
    });
    std::fs::write(instance.path("gate"), "\n").unwrap();
    support::eventually("the image", || {
        instance.path("answered").exists().then_some(())
    });
    let status = instance.status("slow");
    assert!(stopped(&status), "{status:?}");
    instance.exit();
}
