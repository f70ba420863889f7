//! What an image may say: unit text in, requests and refusals out; one test for each line of DESIGN 11's lists.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't read its own samples must fail"
)]

mod reviewing;

use coracle_load as load;
use load::SpecifierContext;
use load::portable::{UnitText, review, shadowed};
use model::UnitName;
use reviewing::{check, check_files, check_install, check_socket, check_unit, portable};

#[test]
fn a_plain_service_asks_for_nothing() {
    check_files(
        &[(
            "hello.service",
            "[Unit]\nDescription=Hello\nDocumentation=man:hello(1)\nAfter=network.target hello-setup.service\nRequires=hello.socket\nConditionPathExists=/etc\n\
             [Service]\nType=notify\nExecStartPre=-/bin/mkdir x\nExecStart=/bin/hello --port 80\nRestart=on-failure\nRestartSec=1\nEnvironment=A=b\n\
             WatchdogSec=10\nTimeoutStopSec=5\nStateDirectory=hello hello/sub\nRuntimeDirectory=hello-run\nUMask=0022\nReadOnlyPaths=/usr\n\
             StandardOutput=journal\nSyslogIdentifier=hello\nPrivateNetwork=yes\nSystemCallFilter=~@privileged\nLimitNOFILE=1024\nNice=5\n",
        )],
        "",
    );
}

#[test]
fn timers_and_paths_of_its_own_are_free() {
    check_files(
        &[
            (
                "hello.timer",
                "[Timer]\nOnBootSec=1\nOnUnitActiveSec=1h\nUnit=hello-clean.service\n",
            ),
            (
                "hello.path",
                "[Path]\nPathExists=/var/lib/hello/queue\nMakeDirectory=yes\n",
            ),
            ("hello-x@.service", "[Service]\nExecStart=/bin/x %i\n"),
            ("hello.target", "[Unit]\nWants=hello.service\n"),
        ],
        "",
    );
}

#[test]
fn each_address_port_abstract_name_and_foreign_path_asks() {
    check_socket(
        "ListenStream=8080\nListenStream=127.0.0.1:81\nListenDatagram=53\nListenStream=@hello\nListenStream=/run/other.sock\nListenStream=/run/hello/own.sock",
        "
ask hello.socket:6 listen:/run/other.sock: listen on /run/other.sock
ask hello.socket:3 listen:127.0.0.1:81: listen on 127.0.0.1:81
ask hello.socket:4 listen:53/udp: listen on 53/udp
ask hello.socket:2 listen:8080: listen on 8080
ask hello.socket:5 listen:@hello: listen on @hello",
    );
}

#[test]
fn the_network_asks() {
    check(
        "PrivateNetwork=no",
        "ask hello.service:2 network: use the network",
    );
}

#[test]
fn devices_ask() {
    check(
        "PrivateDevices=no",
        "ask hello.service:2 devices: use the host's devices",
    );
    check(
        "DeviceAllow=/dev/kvm rw",
        "ask hello.service:2 device:/dev/kvm: use the device /dev/kvm",
    );
}

#[test]
fn host_paths_ask_and_its_own_do_not() {
    check(
        "BindPaths=/srv/x:/data",
        "ask hello.service:2 path:/srv/x: write to the host's /srv/x",
    );
    check(
        "BindReadOnlyPaths=/srv/x",
        "ask hello.service:2 path-read-only:/srv/x: read the host's /srv/x",
    );
    check(
        "ReadWritePaths=/srv/x",
        "ask hello.service:2 path:/srv/x: write to the host's /srv/x",
    );
    check(
        "StateDirectory=other",
        "ask hello.service:2 path:/var/lib/other: own the host's /var/lib/other",
    );
    check("ReadWritePaths=/var/lib/hello", "");
    check("ReadWritePaths=/var/lib/hello/../../etc", "");
}

#[test]
fn paths_inside_of_the_image_are_free_but_not_where_the_kernels_files_are_shown() {
    check("ReadWritePaths=+/srv -+/etc/hello +/proceedings", "");
    for path in ["/proc", "/proc/sys", "/./proc//sys", "/sys", "/sys/kernel"] {
        check(
            &format!("ReadWritePaths=+{path}"),
            "ask hello.service:2 kernel-tunables: change the kernel's settings",
        );
    }
    check(
        "ReadWritePaths=-+/sys/fs/cgroup/system.slice",
        "ask hello.service:2 control-groups: change control groups",
    );
}

#[test]
fn capabilities_ask_one_by_one() {
    check(
        "CapabilityBoundingSet=CAP_NET_ADMIN CAP_CHOWN",
        "
ask hello.service:2 capability:CAP_CHOWN: hold the capability CAP_CHOWN
ask hello.service:2 capability:CAP_NET_ADMIN: hold the capability CAP_NET_ADMIN",
    );
    check("CapabilityBoundingSet=", "");
}

#[test]
fn system_calls_and_socket_families_beyond_the_default_ask() {
    check(
        "SystemCallFilter=@system-service @mount",
        "ask hello.service:2 system-call:@mount: make the system calls @mount",
    );
    check("SystemCallFilter=@basic-io @network-io", "");
    check("SystemCallFilter=~@mount", "");
    check(
        "RestrictAddressFamilies=AF_UNIX AF_PACKET",
        "ask hello.service:2 address-family:AF_PACKET: use AF_PACKET sockets",
    );
    check(
        "RestrictAddressFamilies=~AF_PACKET",
        "ask hello.service:2 address-family: use nearly every kind of socket",
    );
    check(
        "RestrictNamespaces=user",
        "ask hello.service:2 namespaces:user: make namespaces: user",
    );
    check(
        "SystemCallArchitectures=native x86",
        "ask hello.service:2 architecture:x86: run x86 programs",
    );
}

#[test]
fn a_fixed_user_asks() {
    check(
        "User=www",
        "ask hello.service:2 user:www: run as the host's user www",
    );
    check(
        "DynamicUser=no",
        "ask hello.service:2 fixed-user: run as a user that stays",
    );
}

#[test]
fn executable_memory_clock_kernel_logs_and_realtime_ask() {
    check(
        "MemoryDenyWriteExecute=no",
        "ask hello.service:2 jit: make executable memory",
    );
    check(
        "ProtectClock=no",
        "ask hello.service:2 clock: set the clock",
    );
    check(
        "ProtectKernelLogs=no",
        "ask hello.service:2 kernel-logs: read the kernel's log",
    );
    check(
        "RestrictRealtime=no",
        "ask hello.service:2 realtime: use realtime scheduling",
    );
    check(
        "CPUSchedulingPolicy=fifo",
        "ask hello.service:2 realtime: use realtime scheduling",
    );
}

#[test]
fn resource_use_beyond_the_default_asks() {
    check(
        "TasksMax=infinity",
        "ask hello.service:2 resources:TasksMax=infinity: use more of the machine: TasksMax=infinity",
    );
    check("TasksMax=100", "");
    check(
        "Nice=-5",
        "ask hello.service:2 resources:priority=-5: use more of the machine: priority=-5",
    );
}

#[test]
fn targets_of_the_boot_gain_nothing_and_other_units_are_refused() {
    check_install("WantedBy=multi-user.target", "");
    check_install("WantedBy=hello.target", "");
    check_install(
        "WantedBy=sshd.service",
        "never hello.service:2: WantedBy=: sshd.service is not one of the portable's own units",
    );
}

#[test]
fn a_bus_name_asks() {
    check(
        "BusName=org.example.Hello",
        "ask hello.service:2 bus-name:org.example.Hello: own the D-Bus name org.example.Hello",
    );
}

#[test]
fn exec_prefixes_that_leave_the_sandbox_are_refused() {
    for (prefix, mark) in [
        ("+", '+'),
        ("!", '!'),
        ("!!", '!'),
        ("-+", '+'),
        ("@-!", '!'),
    ] {
        let tail = if prefix.contains('@') { " hello" } else { "" };
        check(
            &format!("ExecStart={prefix}/bin/x{tail}"),
            &format!(
                "never hello.service:2: ExecStart=: the prefix “{mark}” would run the command outside the sandbox"
            ),
        );
    }
    check("ExecStart=-/bin/x", "");
}

#[test]
fn root_is_refused_in_any_spelling() {
    for (directive, what) in [
        ("User", "user"),
        ("Group", "group"),
        ("SupplementaryGroups", "group"),
    ] {
        for name in ["root", "0", "00"] {
            let units = [(
                "hello.service".to_owned(),
                format!("[Service]\n{directive}={name}\n"),
            )];
            let texts: Vec<_> = units
                .iter()
                .map(|(name, text)| UnitText {
                    name,
                    bytes: text.as_bytes(),
                })
                .collect();
            let found = review(&portable(), &texts, &SpecifierContext::default());
            let directive = model::Directive::find("Service", directive).unwrap();
            let has_effect = found
                .units
                .iter()
                .any(|loaded| !settings::print(&loaded.unit, directive).is_empty());
            assert!(
                !found.refusals.is_empty() || !has_effect,
                "{directive}{name} ({what})"
            );
        }
    }
}

#[test]
fn files_of_the_host_opened_as_root_are_refused() {
    check(
        "OpenFile=/etc/shadow",
        "never hello.service:2: OpenFile=: a file of the host would be opened as root",
    );
    check(
        "EnvironmentFile=/etc/shadow",
        "never hello.service:2: EnvironmentFile=: a file of the host would be read as root",
    );
    check(
        "LoadCredential=x:/etc/shadow",
        "never hello.service:2: LoadCredential=: the host's files can't be loaded as credentials on an image's word; `coracle configure` gives it secrets",
    );
    for mode in ["file", "append", "truncate"] {
        check(
            &format!("StandardOutput={mode}:/etc/cron.d/x"),
            "never hello.service:2: StandardOutput=: a file for its output would be opened as root on the host",
        );
    }
    check_socket(
        "ListenSpecial=/dev/sda",
        "never hello.socket:2: ListenSpecial=: a device of the host would be opened as root",
    );
}

#[test]
fn foreign_images_namespaces_programs_and_slices_are_refused() {
    check(
        "MountImages=/x.raw:/y",
        "never hello.service:2: MountImages=: an image can't bring in other images",
    );
    check(
        "NetworkNamespacePath=/proc/1/ns/net",
        "never hello.service:2: NetworkNamespacePath=: an image can't join the host's namespaces",
    );
    check(
        "BPFProgram=egress:/sys/fs/bpf/x",
        "never hello.service:2: BPFProgram=: an image can't load programs into the kernel",
    );
    check(
        "NFTSet=cgroup:inet:filter:x",
        "never hello.service:2: NFTSet=: an image can't change the host's firewall",
    );
    check(
        "Slice=system.slice",
        "never hello.service:2: Slice=: an image can't choose its place in the resource tree",
    );
    check(
        "Delegate=yes",
        "never hello.service:2: Delegate=: control groups are not handed to an image",
    );
    check_unit(
        "JoinsNamespaceOf=sshd.service",
        "never hello.service:2: JoinsNamespaceOf=: sshd.service is not one of the portable's own units",
    );
    check(
        "RootDirectory=/",
        "never hello.service:2: RootDirectory=: the image itself is the root",
    );
}

#[test]
fn a_pid_file_outside_its_own_directories_is_refused() {
    check(
        "PIDFile=/run/sshd.pid",
        "never hello.service:2: PIDFile=: a PID file outside its own directories would be read as root",
    );
    check("PIDFile=/run/hello/pid", "");
}

#[test]
fn relations_to_host_units_are_refused() {
    for directive in [
        "Conflicts",
        "PartOf",
        "OnFailure",
        "OnSuccess",
        "Upholds",
        "Requires",
        "BindsTo",
        "Before",
        "PropagatesStopTo",
    ] {
        check_unit(
            &format!("{directive}=sshd.service"),
            &format!(
                "never hello.service:2: {directive}=: sshd.service is not one of the portable's own units"
            ),
        );
    }
    check_unit(
        "After=sshd.service",
        "never hello.service:2: After=: sshd.service is not one of the portable's own units",
    );
    check_unit(
        "Wants=network-online.target\nAfter=network-online.target",
        "",
    );
    check_unit(
        "DefaultDependencies=no",
        "never hello.service:2: DefaultDependencies=: an image's unit must be ordered and stopped like any other",
    );
}

#[test]
fn names_of_other_units_to_start_or_to_be_are_refused() {
    check_files(
        &[(
            "hello.timer",
            "[Timer]\nOnBootSec=1\nUnit=poweroff.target\n",
        )],
        "never hello.timer:3: Unit=: poweroff.target is not one of the portable's own units",
    );
    check(
        "Sockets=sshd.socket",
        "never hello.service:2: Sockets=: sshd.socket is not one of the portable's own units",
    );
    check_socket(
        "Service=sshd.service",
        "never hello.socket:2: Service=: sshd.service is not one of the portable's own units",
    );
    check_install(
        "Alias=sshd.service",
        "never hello.service:2: Alias=: sshd.service is not one of the portable's own units",
    );
    check_install(
        "Also=sshd.socket",
        "never hello.service:2: Also=: sshd.socket is not one of the portable's own units",
    );
}

#[test]
fn actions_on_the_host_are_refused() {
    for directive in [
        "FailureAction",
        "SuccessAction",
        "StartLimitAction",
        "JobTimeoutAction",
    ] {
        check_unit(
            &format!("{directive}=reboot"),
            &format!("never hello.service:2: {directive}=: an image can't stop or reboot the host"),
        );
    }
}

#[test]
fn shared_ports_foreign_traffic_and_links_are_refused() {
    check_socket(
        "ReusePort=yes",
        "never hello.socket:2: ReusePort=: the port could be shared with another service",
    );
    check_socket(
        "Transparent=yes",
        "never hello.socket:2: Transparent=: traffic for other hosts could be taken",
    );
    check_socket(
        "Symlinks=/run/x",
        "never hello.socket:2: Symlinks=: links outside its own directories would be made as root",
    );
    check_socket(
        "ExecStartPre=/bin/x",
        "never hello.socket:2: ExecStartPre=: a socket's commands would run outside the sandbox",
    );
}

#[test]
fn other_kinds_and_files_are_refused() {
    for kind in ["mount", "swap", "slice", "automount"] {
        check_files(
            &[(&format!("hello.{kind}"), "[Unit]\n")],
            &format!("never hello.{kind}: an image can't bring a {kind} unit"),
        );
    }
    for file in [
        "hello.conf",
        "10-x.service.d",
        "hello.network",
        "../hello.service",
        "hello.service.d/x.conf",
    ] {
        check_files(
            &[(file, "")],
            &format!(
                "never {file}: this is no unit's name; an image brings units only, and no drop-ins"
            ),
        );
    }
}

#[test]
fn names_outside_the_prefix_are_refused() {
    for file in [
        "sshd.service",
        "helloworld.service",
        "hello_x.service",
        "hell.service",
    ] {
        check_files(
            &[(file, "")],
            &format!("never {file}: its name must be hello, hello-… or hello@…"),
        );
    }
}

#[test]
fn names_and_instances_of_the_host_are_not_shadowed() {
    let units = ["hello.service", "hello-x@y.service", "hello-z.service"].map(|name| UnitText {
        name,
        bytes: b"[Unit]\n",
    });
    let found = review(&portable(), &units, &SpecifierContext::default());
    let host = ["hello.service", "hello-x@.service"];
    let names: Vec<_> = shadowed(&found, |name| host.contains(&name.as_str()))
        .into_iter()
        .map(UnitName::as_str)
        .collect();
    assert_eq!(names, ["hello.service", "hello-x@y.service"]);
}

#[test]
fn a_restriction_that_cannot_be_read_is_refused_and_another_value_is_told() {
    check(
        "Nice=loud\nProtectSystem=perhaps",
        "never hello.service:3: ProtectSystem=: \"perhaps\" is not no, yes, full or strict; it restricts the service, so the line can't be ignored",
    );
    check(
        "CapabilityBoundingSet=CAP_NONSENSE",
        "never hello.service:2: CapabilityBoundingSet=: \"CAP_NONSENSE\" is not a capability; it restricts the service, so the line can't be ignored",
    );
    let text = "[Service]\nExecStart=/bin/x\nNice=loud\nCacheDirectoryAccounting=yes\nNonsense=1\n";
    let unit = UnitText {
        name: "hello.service",
        bytes: text.as_bytes(),
    };
    let found = review(&portable(), &[unit], &SpecifierContext::default());
    let told: Vec<String> = found.units[0]
        .diagnostics
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        told,
        [
            "hello.service:3:6: warning: Nice=: \"loud\" is not a priority from -20 to 19; the line is ignored",
            "hello.service:4:1: warning: CacheDirectoryAccounting= has no effect: quotas are not built yet",
            "hello.service:5:1: warning: [Service] has no Nonsense=; the line is ignored",
        ]
    );
    assert!(found.refusals.is_empty());
}

#[test]
fn what_differs_from_instance_to_instance_is_not_taken_for_its_own() {
    check_files(
        &[("hello@.service", "[Service]\nBindPaths=/var/lib/hello/%I\n")],
        "ask hello@.service:2 path:/var/lib/hello/%I: write to the host's /var/lib/hello/%I",
    );
    check_files(
        &[("hello@.service", "[Service]\nNice=%i\n")],
        "never hello@.service: it has ignored lines, of which nobody can say what they mean for an instance; mend them",
    );
}
