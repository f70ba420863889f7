//! Golden tests: the text of a unit and the host's facts in, the plan as lines out.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // What tests share fails as tests do.

use coracle_plan as plan;
use model::text::Verbatim;
use model::value::ExecCommand;
use model::{Directive, Facts, Position, Unit};
use plan::{Bindings, Frame, Passed, Refusal, Role, Situation, SpawnPlan, User};

fn unit(name: &str, section: &str, lines: &str) -> Unit {
    let mut unit = Unit::new(name.parse().unwrap());
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (directive, value) = line.split_once('=').unwrap();
        settings::apply(&mut unit, section, directive, value, &Verbatim)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    unit
}

fn situation<'a>(may_reduce: &'a dyn Fn(Directive) -> bool) -> Situation<'a> {
    Situation {
        position: Position::Beside,
        runtime_dir: "/run/coracle",
        notify_socket: None,
        stub: false,
        may_take_over: &|_| true,
        may_reduce,
    }
}

fn plan_of(lines: &str, facts: &Facts) -> Result<SpawnPlan, Refusal> {
    plan::plan(
        &unit("web.service", "Service", lines),
        facts,
        &situation(&|_| false),
    )
}

/// The lines of the plan, without those that every start has.
#[track_caller]
fn check(lines: &str, expected: &str) {
    let usual = plan_of("", &Facts::default()).unwrap().explain();
    let plan = plan_of(lines, &Facts::default()).unwrap();
    let own: Vec<String> = plan
        .explain()
        .into_iter()
        .filter(|line| !usual.contains(line))
        .collect();
    let expected: Vec<&str> = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(own, expected, "{lines}\n{}", own.join("\n"));
}

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
fn a_strict_system_with_writable_paths() {
    check(
        "ProtectSystem=strict
         ReadWritePaths=/srv/data
         ProtectHome=yes",
        "new namespaces: mounts  [ProtectSystem=]
         mounts of the host: come in, none goes out
         root: the host's tree, read-only  [ProtectSystem=]
         mount /dev: what is there, if there  [ProtectSystem=]
         mount /home: inaccessible, if there  [ProtectHome=]
         mount /proc: what is there, if there  [ProtectSystem=]
         mount /root: inaccessible, if there  [ProtectHome=]
         mount /run/user: inaccessible, if there  [ProtectHome=]
         mount /srv/data: what is there  [ReadWritePaths=]
         mount /sys: what is there, if there  [ProtectSystem=]
         root: enter it, let go of the old one",
    );
}

#[test]
fn what_changes_nothing_is_not_mounted() {
    check(
        "ReadOnlyPaths=-/usr -/usr/lib
         InaccessiblePaths=-/srv
         ReadWritePaths=-/srv/data -/opt",
        "new namespaces: mounts  [ReadWritePaths=]
         mounts of the host: come in, none goes out
         root: the host's tree
         mount /srv: inaccessible, if there  [InaccessiblePaths=]
         mount /usr: what is there, read-only, if there  [ReadOnlyPaths=]
         root: enter it, let go of the old one",
    );
}

#[test]
fn a_dynamic_user_gets_directories_that_only_it_reaches() {
    let plan = plan_of("DynamicUser=yes\nStateDirectory=web", &Facts::default()).unwrap();
    let lines = plan.explain().join("\n");
    for expected in [
        "directory: /var/lib/private/web for the service's user, mode 755, in a directory that only root enters  [StateDirectory=]",
        "mount /var/lib/private: empty, in memory (mode 0755, size=16k, nr_inodes=1024)  [StateDirectory=]",
        "mount /var/lib/private/web: /var/lib/private/web of the host, nosuid, nodev  [StateDirectory=]",
        "mount /var/lib/private: closed, read-only  [StateDirectory=]",
        "mount /tmp: empty, in memory (mode 1777, size=10%, nr_inodes=400k), nosuid, nodev  [PrivateTmp=]",
        "user: the service's  [DynamicUser=]",
        "privileges: none is gained by exec  [NoNewPrivileges=]",
    ] {
        assert!(lines.contains(expected), "{expected} is not in\n{lines}");
    }
}

#[test]
fn an_image_is_cloned_before_the_namespaces_and_has_its_own_api_file_systems() {
    check(
        "RootImage=/srv/web.psi
         PrivateNetwork=yes
         RuntimeDirectory=web",
        "directory: /run/web for the service's user, mode 755  [RuntimeDirectory=]
         image: a clone of the verified tree  [RootImage=]
         new namespaces: mounts, network  [PrivateNetwork=]
         network: loopback up  [PrivateNetwork=]
         mounts of the host: come in, none goes out
         root: the image's tree  [RootImage=]
         mount /dev: /dev of the host, nosuid  [MountAPIVFS=]
         mount /proc: processes of this namespace  [MountAPIVFS=]
         mount /run: empty, in memory (mode 0755, size=20%, nr_inodes=800k), nosuid, nodev  [MountAPIVFS=]
         mount /run/web: /run/web of the host, nosuid, nodev  [RuntimeDirectory=]
         mount /sys: the system as this network sees it  [PrivateNetwork=]
         mount /sys/fs/cgroup: /sys/fs/cgroup (if there) of the host, nosuid, nodev, noexec, if there  [MountAPIVFS=]
         root: enter it, let go of the old one",
    );
    assert_eq!(
        plan_of("RootImage=/srv/web.psi", &Facts::default())
            .unwrap()
            .roles(),
        [Role::Output, Role::Image]
    );
}

#[test]
fn a_link_in_a_directory_of_the_unit_is_made_where_that_directory_is() {
    let lines = "DynamicUser=yes\nStateDirectory=a b:a/link c:link";
    let plan = plan_of(lines, &Facts::default()).unwrap();
    let mut links = Vec::new();
    for asked in plan.steps() {
        if let plan::step::Step::Directory { links: own, .. } = asked.step {
            links.extend(own.iter().map(|link| link.to_str().unwrap().to_owned()));
        }
    }
    let expected = [
        "/var/lib/a",
        "/var/lib/b",
        "/var/lib/private/a/link",
        "/var/lib/c",
        "/var/lib/link",
    ];
    assert_eq!(links, expected);
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
         root: enter it, let go of the old one
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
fn a_notification_socket_that_would_be_hidden_is_bound() {
    let web = unit("web.service", "Service", "PrivateTmp=yes");
    let at = |notify_socket| Situation {
        notify_socket: Some(notify_socket),
        ..situation(&|_| false)
    };
    let notify = |lines: &str, socket| {
        let plan = plan::plan(
            &unit("web.service", "Service", lines),
            &Facts::default(),
            &at(socket),
        )
        .unwrap();
        let environment = environment(&plan);
        let line = environment
            .into_iter()
            .find(|line| line.starts_with("NOTIFY_SOCKET"))
            .unwrap();
        (
            line,
            plan.explain()
                .join("\n")
                .contains(&format!("{socket} of the host")),
        )
    };
    assert_eq!(
        notify("PrivateTmp=yes", "/run/coracle/notify/web"),
        ("NOTIFY_SOCKET=/run/coracle/notify/web".into(), false)
    );
    assert_eq!(
        notify("PrivateTmp=yes", "/tmp/it/notify/web"),
        ("NOTIFY_SOCKET=/tmp/it/notify/web".into(), true)
    );
    assert_eq!(
        notify("RootDirectory=/srv", "/run/coracle/notify/web"),
        ("NOTIFY_SOCKET=/run/coracle/notify".into(), true)
    );
    assert!(plan::plan(&web, &Facts::default(), &at("/run/x")).is_ok());
}

fn bindings(plan: &SpawnPlan) -> Bindings<'static> {
    Bindings {
        uid: 1000,
        gid: 1000,
        user: Some(User {
            name: "web".into(),
            home: "/home/web".into(),
            shell: "/bin/bash".into(),
        }),
        invocation: [0xab; 16],
        descriptors: plan
            .roles()
            .into_iter()
            .map(|role| Passed {
                role,
                name: String::new(),
            })
            .collect(),
        ..Bindings::default()
    }
}

fn environment(plan: &SpawnPlan) -> Vec<String> {
    let bytes = plan.bind(&bindings(plan)).unwrap();
    Frame::decode(&bytes)
        .unwrap()
        .environment
        .iter()
        .map(|line| line.to_str().unwrap().to_owned())
        .collect()
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
fn mount_options_about_times_are_not_the_file_systems() {
    check(
        "TemporaryFileSystem=/var:ro,mode=0700,nostrictatime,lazytime,size=1M",
        "new namespaces: mounts  [TemporaryFileSystem=]
         mounts of the host: come in, none goes out
         root: the host's tree
         mount /var: empty, in memory (mode 0700, size=1M), read-only, nosuid, nodev  [TemporaryFileSystem=]
         root: enter it, let go of the old one",
    );
}

#[test]
fn devices_that_a_unit_binds_have_their_place_before_the_rest_is_closed() {
    let lines = plan_of("PrivateDevices=yes\nBindPaths=/dev/kmsg", &Facts::default())
        .unwrap()
        .explain();
    let mounts: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("mount /dev"))
        .collect();
    assert_eq!(
        mounts,
        [
            "mount /dev: pseudo-devices only, nosuid, noexec  [PrivateDevices=]",
            "mount /dev/kmsg: /dev/kmsg of the host  [BindPaths=]",
            "mount /dev: closed, read-only  [PrivateDevices=]",
        ]
    );
}

#[test]
fn a_rule_of_the_devices_holds_for_what_is_mounted_in_them() {
    let plan = plan_of("PrivateDevices=yes\nReadOnlyPaths=/dev", &Facts::default()).unwrap();
    let lines = plan.explain();
    let made = lines
        .iter()
        .position(|line| line.starts_with("mount /dev: "));
    let next = &lines[made.expect("the devices") + 1];
    assert_eq!(
        next,
        "mount /dev: what is there, read-only  [PrivateDevices=]"
    );
}

#[test]
fn what_starts_before_var_is_mounted_has_no_var_tmp_of_its_own() {
    for (lines, has_own) in [
        ("", true),
        ("DefaultDependencies=no", false),
        (
            "DefaultDependencies=no\nRequiresMountsFor=/var/lib/web",
            true,
        ),
        ("DefaultDependencies=no\nWantsMountsFor=/variable", false),
        ("DefaultDependencies=no\nAfter=var.mount", false),
        (
            "DefaultDependencies=no\nAfter=var.mount\nWants=var.mount",
            true,
        ),
    ] {
        let mut web = unit("web.service", "Unit", lines);
        for (directive, value) in [("PrivateTmp", "disconnected"), ("ProtectSystem", "strict")] {
            settings::apply(&mut web, "Service", directive, value, &Verbatim).unwrap();
        }
        let plan = plan::plan(&web, &Facts::default(), &situation(&|_| false)).unwrap();
        let own = plan
            .explain()
            .iter()
            .any(|line| line.starts_with("mount /var/tmp: "));
        let is_told = environment(&plan).contains(&"TMPDIR=/tmp".to_owned());
        assert_eq!((own, is_told), (has_own, !has_own), "{lines}");
    }
}

#[test]
fn the_files_of_another_network_are_seen_unless_the_unit_wants_no_mounts() {
    for (lines, seen) in [
        ("PrivateNetwork=yes", true),
        ("NetworkNamespacePath=/run/netns/web", true),
        ("PrivateNetwork=yes\nPrivateMounts=no", false),
        (
            "NetworkNamespacePath=/run/netns/web\nPrivateMounts=no",
            false,
        ),
    ] {
        let plan = plan_of(lines, &Facts::default()).unwrap();
        let lines = plan.explain().join("\n");
        assert_eq!(lines.contains("mount /sys: "), seen, "{lines}");
        assert_eq!(lines.contains("root: "), seen, "{lines}");
    }
}

#[test]
fn what_a_container_put_over_files_of_the_kernel_holds_in_new_instances() {
    let facts = Facts {
        kernel_masks: ["/proc/sys", "/sys/firmware"].map(str::to_owned).to_vec(),
        ..Facts::default()
    };
    let masks = |lines: &str| {
        let plan = plan_of(lines, &facts).unwrap().explain();
        let is_bound = |line: &String| line.starts_with("mount /") && line.contains("of the host");
        let masks = plan.into_iter().filter(is_bound);
        masks.collect::<Vec<_>>()
    };
    let proc = "mount /proc/sys: /proc/sys (if there) of the host, if there  [PrivatePIDs=]";
    assert_eq!(masks("PrivatePIDs=yes"), [proc]);
    let groups = "mount /sys/fs/cgroup: /sys/fs/cgroup (if there) of the host, nosuid, nodev, noexec, if there  [MountAPIVFS=]";
    let system =
        "mount /sys/firmware: /sys/firmware (if there) of the host, if there  [PrivateNetwork=]";
    assert_eq!(masks("PrivateNetwork=yes"), [system, groups]);
    assert!(masks("PrivateDevices=yes").is_empty());
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
