//! Golden tests: the text of a unit and the host's facts in, the plan as lines out.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // What tests share fails as tests do.

mod planning;

use coracle_plan as plan;
use model::value::ExecCommand;
use model::{Directive, Facts, Position};
use plan::{Bindings, Frame, Passed, Role, Situation, Step, User};
use planning::{bindings, check, plan_of, situation, unit};

#[test]
fn a_unit_without_a_sandbox_has_few_steps() {
    let plan = plan_of("", &Facts::default()).unwrap();
    let expected = "signals: default, SIGPIPE ignored
session: a new one
stream 0: /dev/null  [StandardInput=]
stream 1: handed over by the manager  [StandardOutput=]
stream 2: the same as stream 1  [StandardError=]
keyring: a new session  [KeyringMode=]
file mode mask: 0022  [UMask=]
working directory: /  [WorkingDirectory=]
descriptors: only what the service is handed
program: find it
execute";
    assert_eq!(plan.explain().join("\n"), expected);
    assert_eq!(plan.roles(), [Role::Output]);
    assert!(!plan.pid_namespace() && !plan.has_stub());
}

#[test]
fn a_file_that_two_streams_name_is_opened_once() {
    check(
        "StandardOutput=truncate:/srv/log
         StandardError=truncate:/srv/log",
        "stream 1: /srv/log  [StandardOutput=]",
    );
    check(
        "StandardOutput=file:/srv/log
         StandardError=append:/srv/log",
        "stream 1: /srv/log  [StandardOutput=]
         stream 2: /srv/log  [StandardError=]",
    );
    check(
        "StandardInput=file:/dev/ttyS0
         StandardOutput=file:/dev/ttyS0
         StandardError=file:/dev/ttyS0",
        "stream 0: /dev/ttyS0  [StandardInput=]
         stream 1: the same as stream 0  [StandardOutput=]",
    );
    check(
        "StandardInput=file:/dev/ttyS0
         StandardError=file:/dev/ttyS0",
        "stream 0: /dev/ttyS0  [StandardInput=]
         stream 2: the same as stream 0  [StandardError=]",
    );
}

#[test]
fn what_is_given_for_standard_input_is_read_where_nothing_else_is_named() {
    check(
        "StandardInputText=hello",
        "stream 0: 6 bytes of the unit  [StandardInput=]",
    );
    check(
        "StandardInputText=hello
         StandardInput=file:/srv/in",
        "stream 0: /srv/in  [StandardInput=]",
    );
}

#[test]
fn what_can_only_be_read_is_not_inherited_for_output() {
    check("StandardOutput=inherit", "");
    check(
        "StandardInput=file:/srv/in
         StandardOutput=inherit",
        "stream 0: /srv/in  [StandardInput=]",
    );
    check(
        "StandardInput=socket
         StandardOutput=inherit",
        "stream 0: handed over by the manager  [StandardInput=]
         stream 1: the same as stream 0  [StandardOutput=]",
    );
}

#[test]
fn protections_take_capabilities_along() {
    check(
        "ProtectClock=yes
         CapabilityBoundingSet=CAP_SYS_TIME CAP_CHOWN
         PrivateMounts=no",
        "new namespaces: mounts  [ProtectClock=]
         mounts of the host: come in, none goes out
         root: the host's tree
         mount /dev/rtc: inaccessible, if there  [ProtectClock=]
         mount /dev/rtc0: inaccessible, if there  [ProtectClock=]
         root: enter it, let go of the old one, share its mounts with copies of it
         bounding set: CAP_CHOWN  [CapabilityBoundingSet=]
         system calls: a program of 28 instructions  [ProtectClock=]",
    );
}

#[test]
fn what_the_host_can_not_do_is_refused_by_name_or_reduced_where_the_table_lets_it() {
    let mut facts = Facts::default();
    facts.namespaces.net = false;
    facts.seccomp.filter = false;
    let refusal = plan_of("PrivateNetwork=yes", &facts).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "PrivateNetwork= can't be applied: network namespaces can't be made here"
    );
    let refusal = plan_of("RestrictRealtime=yes", &facts).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "RestrictRealtime= can't be applied: this kernel has no system-call filters"
    );
    let reducible = |directive: Directive| directive.name() == "PrivateNetwork";
    let web = unit("web.service", "Service", "PrivateNetwork=yes");
    let plan = plan::plan(&web, &facts, &situation(&reducible)).unwrap();
    let reductions: Vec<String> = plan
        .reductions()
        .iter()
        .map(|one| format!("{} {}", one.directive, one.reason))
        .collect();
    assert_eq!(
        reductions,
        ["PrivateNetwork= network namespaces can't be made here"]
    );
    assert!(!plan.explain().join("\n").contains("network: loopback"));
}

#[test]
fn every_kind_of_namespace_that_is_missing_ends_the_planning() {
    for (directive, forbid) in [
        (
            "PrivateIPC=yes",
            (|facts| facts.namespaces.ipc = false) as fn(&mut Facts),
        ),
        ("ProtectHostname=yes", |facts| facts.namespaces.uts = false),
        ("PrivatePIDs=yes", |facts| facts.namespaces.pid = false),
        ("PrivateUsers=yes", |facts| facts.namespaces.user = false),
        ("PrivateMounts=yes", |facts| facts.namespaces.mount = false),
        ("PrivateTmp=yes", |facts| facts.mounts.new_api = false),
        ("ProtectControlGroups=private", |facts| {
            facts.namespaces.cgroup = false
        }),
        ("KeyringMode=private", |facts| facts.keyring = false),
        ("OOMScoreAdjust=-5", |facts| {
            facts.capabilities = facts.capabilities.without(24)
        }),
        ("ProtectProc=invisible", |facts| {
            facts.mounts.proc_hidepid = false
        }),
        ("ProcSubset=pid", |facts| facts.mounts.proc_subset = false),
        ("PrivatePIDs=yes", |facts| {
            facts.mounts.proc_mountable = false
        }),
        ("PrivateNetwork=yes", |facts| {
            facts.mounts.sysfs_mountable = false
        }),
    ] {
        let mut facts = Facts::default();
        forbid(&mut facts);
        let refusal = plan_of(directive, &facts).expect_err(directive);
        assert_eq!(Some(refusal.directive.name()), directive.split('=').next());
    }
}

#[test]
fn without_net_admin_a_private_network_is_as_private_and_its_loopback_interface_stays_down() {
    let facts = Facts {
        capabilities: Facts::default().capabilities.without(12),
        ..Facts::default()
    };
    let plan = plan_of("PrivateNetwork=yes", &facts).unwrap();
    let lines = plan.explain().join("\n");
    assert!(
        lines.contains("network") && !lines.contains("loopback up"),
        "{lines}"
    );
    assert_eq!(plan.reductions().len(), 1);
}

#[test]
fn a_container_that_closes_all_keyrings_has_done_what_private_asks() {
    let facts = Facts {
        keyring: false,
        keyring_closed: true,
        ..Facts::default()
    };
    let plan = plan_of("KeyringMode=private", &facts).unwrap();
    assert!(!plan.explain().join("\n").contains("keyring"));
    let refusal = plan_of("KeyringMode=shared", &facts).expect_err("there is none to share");
    assert_eq!(refusal.directive.name(), "KeyringMode");
}

#[test]
fn the_unprivileged_make_their_user_namespace_first_and_a_filter_needs_no_new_privileges() {
    let web = unit(
        "web.service",
        "Service",
        "PrivateTmp=disconnected\nPrivateDevices=yes",
    );
    let facts = Facts {
        uid: 1000,
        gid: 1000,
        capabilities: model::value::CapabilitySet::EMPTY,
        ..Facts::default()
    };
    let user = Situation {
        position: Position::User,
        ..situation(&|_| false)
    };
    let lines = plan::plan(&web, &facts, &user).unwrap().explain();
    let place = |start: &str| {
        lines
            .iter()
            .position(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("{start} is not in {lines:#?}"))
    };
    assert!(place("user namespace, first of all: the caller") < place("new namespaces"));
    assert!(place("privileges: none is gained") < place("system calls"));
    assert!(lines[place("mount /dev")].contains("bound from the host"));
}

#[test]
fn the_environment_goes_from_the_weakest_word_to_the_strongest() {
    let plan = plan_of("Environment=A=unit B=unit PATH=/mine\nUnsetEnvironment=C D=unit\nStateDirectory=web one/two", &Facts::default()).unwrap();
    let mut bindings = bindings(&plan);
    bindings.manager_environment = ["A=manager", "C=manager", "D=manager"]
        .map(str::to_owned)
        .to_vec();
    bindings.file_environment = vec!["B=file".into()];
    bindings.descriptors.insert(
        0,
        Passed {
            role: Role::Service,
            name: "http".into(),
        },
    );
    let bytes = plan.bind(&bindings).unwrap();
    let frame = Frame::decode(&bytes).unwrap();
    let lines: Vec<_> = frame
        .environment
        .iter()
        .map(|line| line.to_str().unwrap())
        .collect();
    let expected = [
        "PATH=/mine",
        "A=unit",
        "D=manager",
        "USER=web",
        "LOGNAME=web",
        "HOME=/home/web",
        "SHELL=/bin/bash",
        "INVOCATION_ID=abababababababababababababababab",
        "LISTEN_FDS=1",
        "LISTEN_FDNAMES=http",
        "STATE_DIRECTORY=/var/lib/one/two:/var/lib/web",
        "B=file",
    ];
    assert_eq!(lines, expected);
    assert_eq!(
        (frame.passed(), frame.uid, frame.descriptor(Role::Output)),
        (1, 1000, Some(6))
    );
}

#[test]
fn a_start_without_a_descriptor_that_the_plan_needs_is_no_start() {
    let plan = plan_of("", &Facts::default()).unwrap();
    let command = ExecCommand::new("/bin/true", &[]);
    let missing = Bindings {
        command: Some(&command),
        ..Bindings::default()
    };
    assert_eq!(
        plan.bind(&missing).unwrap_err().to_string(),
        "the plan needs a descriptor (Output) that is not passed"
    );
    let command = ExecCommand::new("/bin/true", &["a\0b"]);
    let nul = Bindings {
        command: Some(&command),
        ..bindings(&plan)
    };
    assert_eq!(
        plan.bind(&nul).unwrap_err().to_string(),
        "an argument contains a NUL byte"
    );
}

/// The steps of a start about namespaces that others have, too.
fn shared_steps(lines: &str, (joined, told): (u32, u32)) -> Vec<String> {
    let plan = plan_of(lines, &Facts::default()).unwrap();
    let bytes = plan
        .bind(&Bindings {
            joined,
            told,
            ..bindings(&plan)
        })
        .unwrap();
    let frame = Frame::decode(&bytes).unwrap();
    let steps = frame.steps().map(|asked| asked.unwrap().step);
    let shown = steps.filter_map(|step| match step {
        Step::Join { kind, path: None } => Some(format!("join {kind:x}")),
        Step::Unshare { kinds, told } => Some(format!("make {kinds:x}, tell {told:x}")),
        Step::Loopback => Some("loopback".to_owned()),
        _ => None,
    });
    shown.collect()
}

#[test]
fn a_start_tells_of_what_it_makes_or_joins_what_another_has_made() {
    const BOTH: u32 = 0x4800_0000;
    let lines = "PrivateNetwork=yes\nPrivateIPC=yes\nProtectHostname=yes";
    let check = |lines: &str, how: (u32, u32), expected: &[&str]| {
        assert_eq!(shared_steps(lines, how), expected, "{lines} {how:x?}");
    };
    check(lines, (0, 0), &["make 4c020000, tell 0", "loopback"]);
    check(
        lines,
        (0, BOTH),
        &["make 4c020000, tell 48000000", "loopback"],
    );
    let joined = ["join 40000000", "join 8000000", "make 4020000, tell 0"];
    check(lines, (BOTH, 0), &joined);
    let one = ["join 40000000", "make c020000, tell 8000000"];
    check(lines, (0x4000_0000, BOTH), &one);
    check(
        "PrivateNetwork=yes",
        (BOTH, BOTH),
        &["join 40000000", "make 20000, tell 0"],
    );
    check("", (BOTH, BOTH), &[]);
}

#[test]
fn a_damaged_plan_is_never_taken_for_another() {
    let plan = plan_of(
        "ProtectSystem=strict\nPrivateTmp=yes\nSystemCallFilter=@system-service",
        &Facts::default(),
    )
    .unwrap();
    let bytes = plan.bind(&bindings(&plan)).unwrap();
    let whole = Frame::decode(&bytes)
        .unwrap()
        .steps()
        .filter(Result::is_ok)
        .count();
    assert_eq!(whole, plan.steps().count());
    for length in 0..bytes.len() {
        // A cut plan is refused, or ends with a step that can't be read; it never reads beyond its end.
        if let Ok(frame) = Frame::decode(&bytes[..length]) {
            assert!(
                frame.steps().any(|step| step.is_err()),
                "cut to {length} bytes"
            );
        }
    }
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0xff;
        if let Ok(frame) = Frame::decode(&damaged) {
            // Whatever it is now, reading it ends.
            assert!(frame.steps().count() <= bytes.len());
        }
    }
}

#[test]
fn a_command_line_may_name_a_variable_that_is_then_unset() {
    let plan = plan_of(
        "Environment=A=one B=two\nUnsetEnvironment=A",
        &Facts::default(),
    )
    .unwrap();
    let command = ExecCommand::new("/bin/echo", &["$A", "${B}"]);
    let bindings = Bindings {
        command: Some(&command),
        ..bindings(&plan)
    };
    let bytes = plan.bind(&bindings).unwrap();
    let frame = Frame::decode(&bytes).unwrap();
    let arguments: Vec<_> = frame.arguments.iter().collect();
    assert_eq!(arguments, [c"/bin/echo", c"one", c"two"]);
    let environment: Vec<_> = frame.environment.iter().collect();
    assert!(environment.contains(&c"B=two") && !environment.contains(&c"A=one"));
}

#[test]
fn sockets_are_listened_to_in_the_order_of_their_kinds() {
    let lines = "ListenStream=80
        ListenStream=/run/web.sock
        ListenDatagram=127.0.0.1:53
        ListenSequentialPacket=@web
        ListenFIFO=/run/web.pipe
        PrivateNetwork=yes";
    let plan = plan::plan_sockets(
        &unit("web.socket", "Socket", lines),
        &Facts::default(),
        &situation(&|_| false),
    )
    .unwrap();
    let expected = "signals: default, SIGPIPE ignored
session: a new one
new namespaces: network  [PrivateNetwork=]
network: loopback up  [PrivateNetwork=]
listen: socket 0 on [::]:80, mode 666  [ListenStream=]
listen: socket 1 on /run/web.sock, mode 666  [ListenStream=]
listen: socket 2 on 127.0.0.1:53, mode 666  [ListenDatagram=]
listen: socket 3 on @web, mode 666  [ListenSequentialPacket=]
listen: socket 4 on the pipe /run/web.pipe, mode 666  [ListenFIFO=]
end";
    assert_eq!(plan.explain().join("\n"), expected);
}

#[test]
fn the_login_environment_can_be_switched_off_and_on() {
    let names = |lines: &str, user: Option<User>| {
        let plan = plan_of(lines, &Facts::default()).unwrap();
        let bytes = plan
            .bind(&Bindings {
                user,
                ..bindings(&plan)
            })
            .unwrap();
        let frame = Frame::decode(&bytes).unwrap();
        let home = frame
            .environment
            .iter()
            .find(|line| line.to_bytes().starts_with(b"HOME="));
        home.map(|line| line.to_str().unwrap().to_owned())
    };
    let user = || {
        Some(User {
            name: "web".into(),
            home: "/srv".into(),
            shell: "/bin/sh".into(),
            group: "web".into(),
        })
    };
    assert_eq!(names("", user()).as_deref(), Some("HOME=/srv"));
    assert_eq!(names("", None), None);
    assert_eq!(names("SetLoginEnvironment=no", user()), None);
    assert_eq!(
        names("SetLoginEnvironment=yes", None).as_deref(),
        Some("HOME=/root")
    );
}

#[test]
fn processors_are_those_of_the_memory_nodes_that_are_named() {
    check(
        "CPUAffinity=numa
         NUMAMask=1",
        "processors: mask [0c, 00, 00, 00, 00, 00, 00, 00]  [CPUAffinity=]",
    );
    for (mask, why) in [
        ("NUMAMask=0 7", "there is no memory node 7 here"),
        ("", "numa needs nodes with processors: NUMAMask= says which"),
    ] {
        let refused = plan_of(&format!("CPUAffinity=numa\n{mask}"), &Facts::default());
        let expected = format!("CPUAffinity= can't be applied: {why}");
        assert_eq!(refused.unwrap_err().to_string(), expected);
    }
}

#[test]
fn what_root_may_make_ahead_is_what_the_plan_would_make_without_it() {
    let all = "PrivateNetwork=yes\nPrivateDevices=yes\nPrivateIPC=yes\nPrivateUsers=yes";
    for (lines, role) in [
        ("ProtectHome=yes", None),
        ("PrivateDevices=yes", Some(Role::MadeFiles)),
        (
            "PrivateDevices=yes\nPrivateUsers=yes",
            Some(Role::MadeFiles),
        ),
        (
            "PrivateDevices=yes\nPrivateNetwork=yes",
            Some(Role::MadeNetwork),
        ),
        (all, Some(Role::MadeAhead)),
        (
            "PrivateDevices=yes\nPrivateNetwork=yes\nDelegateNamespaces=net",
            None,
        ),
    ] {
        let plan = plan_of(lines, &Facts::default()).unwrap();
        assert_eq!(plan.made_ahead(), role, "{lines}");
    }
}

#[test]
fn files_are_opened_for_the_main_command_before_anything_is_hidden() {
    let lines = "OpenFile=/srv/a
         OpenFile=/srv/b:second:read-only
         OpenFile=/srv/c:third:append,graceful
         OpenFile=/srv/d::truncate
         PrivateMounts=yes";
    let plan = plan_of(lines, &Facts::default()).unwrap();
    let told = plan.explain();
    let place = |start: &str| {
        told.iter()
            .position(|line| line.starts_with(start))
            .unwrap()
    };
    let first = place("open ");
    assert_eq!(
        told[first..first + 4],
        [
            "open /srv/a, for the main command  [OpenFile=]",
            "open /srv/b for reading, for the main command  [OpenFile=]",
            "open /srv/c for appending, if it can be opened, for the main command  [OpenFile=]",
            "open /srv/d, which is emptied, for the main command  [OpenFile=]",
        ]
    );
    assert!(
        place("stream 2") < first && first < place("new namespaces"),
        "{told:?}"
    );
    let command = ExecCommand::new("/bin/true", &[]);
    let bound = |beside| {
        let bindings = Bindings {
            beside,
            command: Some(&command),
            ..bindings(&plan)
        };
        let bytes = plan.bind(&bindings).unwrap();
        let frame = Frame::decode(&bytes).unwrap();
        let opens = |asked: &plan::step::Asked<'_>| matches!(asked.step, Step::OpenFile { .. });
        let opened = frame.steps().map(Result::unwrap).filter(opens).count();
        let lines = frame.environment.iter();
        let lines = lines.map(|line| line.to_str().unwrap().to_owned());
        let lines: Vec<String> = lines.filter(|line| line.starts_with("LISTEN")).collect();
        (opened, lines.join(" "))
    };
    assert_eq!(
        bound(false),
        (4, "LISTEN_FDS=4 LISTEN_FDNAMES=a:second:third:d".to_owned())
    );
    assert_eq!(bound(true), (0, String::new()));
}

#[test]
fn what_the_main_command_alone_has_is_taken_from_the_others() {
    let command = ExecCommand::new("/bin/true", &[]);
    let ranks = |plan: &plan::SpawnPlan, beside| {
        let bindings = Bindings {
            beside,
            command: Some(&command),
            ..bindings(plan)
        };
        let bytes = plan.bind(&bindings).unwrap();
        let frame = Frame::decode(&bytes).unwrap();
        let steps = frame.steps().map(|asked| asked.unwrap().step.rank());
        steps.collect::<Vec<u8>>()
    };
    let lines = "User=web\nPermissionsStartOnly=yes\nPrivateMounts=yes";
    let plan = plan_of(lines, &Facts::default()).unwrap();
    let user = Step::User {
        keep_capabilities: false,
    }
    .rank();
    assert!(ranks(&plan, false).contains(&user) && !ranks(&plan, true).contains(&user));

    let rooted = unit(
        "web.service",
        "Service",
        "RootDirectory=/srv/web\nWorkingDirectory=/data\nPrivateTmp=yes",
    );
    assert_eq!(plan::beside(&rooted), None);
    let lines = "RootDirectory=/srv/web\nWorkingDirectory=/data\nPrivateTmp=yes\nRootDirectoryStartOnly=yes";
    let beside = plan::beside(&unit("web.service", "Service", lines)).unwrap();
    let plan = plan::plan(&beside, &Facts::default(), &situation(&|_| false)).unwrap();
    let told = plan.explain().join("\n");
    assert!(told.contains("root: the host's"), "{told}");
    assert!(told.contains("working directory: /srv/web/data"), "{told}");
    assert!(told.contains("[PrivateTmp=]"), "{told}");
}
