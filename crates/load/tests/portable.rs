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
            "[Unit]\nDescription=Hello\nDocumentation=man:hello(1)\nAfter=network.target hello-setup.service\nRequires=hello.socket\nConditionPathExists=/var/lib/hello/ready\nConditionVirtualization=!container\n\
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
                "[Path]\nPathExists=/var/lib/hello/queue\nMakeDirectory=no\n",
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
fn what_a_unit_tests_of_the_host_asks() {
    check_unit(
        "ConditionPathExists=|!/run/hello/x\nConditionPathExists=!/root/.ssh\nConditionPathExistsGlob=/home/*\nAssertFileNotEmpty=|/etc/shadow\n\
         ConditionEnvironment=TOKEN=x\nConditionCredential=token\nConditionKernelVersion=>=6\nConditionFirmware=uefi\n",
        "ask hello.service:5 look:/etc/shadow: know what the host has at /etc/shadow\n\
         ask hello.service:3 look:/root/.ssh: know what the host has at /root/.ssh\n\
         ask hello.service:7 setting:ConditionCredential=token: set ConditionCredential=token\n\
         ask hello.service:6 setting:ConditionEnvironment=TOKEN=x: set ConditionEnvironment=TOKEN=x\n\
         ask hello.service:9 setting:ConditionFirmware=uefi: set ConditionFirmware=uefi\n\
         ask hello.service:4 setting:ConditionPathExistsGlob=/home/*: set ConditionPathExistsGlob=/home/*",
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
fn names_that_are_not_the_portables_ask_and_are_known_to_its_other_units() {
    for file in [
        "sshd.service",
        "helloworld.service",
        "hello_x.service",
        "hell.service",
    ] {
        check_files(
            &[(file, "")],
            &format!(
                "ask {file}:1 name:{file}: have a unit that is called {file}, not as hello is"
            ),
        );
    }
    check_files(
        &[
            (
                "hello.service",
                "[Unit]\nRequires=ship.service\nAfter=ship@1.service\nConflicts=sshd.service\n",
            ),
            ("ship.service", ""),
            ("ship@.service", ""),
        ],
        "ask ship.service:1 name:ship.service: have a unit that is called ship.service, not as hello is\n\
         ask ship@.service:1 name:ship@.service: have a unit that is called ship@.service, not as hello is\n\
         never hello.service:4: Conflicts=: sshd.service is not one of the portable's own units",
    );
    for file in ["systemd-logind.service", "coracle.service", "user@.service"] {
        check_files(
            &[(file, "")],
            &format!("never {file}: this name is the host's; a portable can't have it"),
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
    let text = "[Service]\nExecStart=/bin/x\nNice=loud\nCPUAccounting=yes\nNonsense=1\n";
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
            "hello.service:4:1: warning: CPUAccounting= has no effect: the reference has given it up: it is read and ignored",
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
