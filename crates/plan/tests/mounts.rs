//! Golden tests of what is mounted: the text of a unit and the host's facts in, the plan as lines out.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // What tests share fails as tests do.

mod planning;

use coracle_plan as plan;
use model::Facts;
use model::facts::KernelMasks;
use model::text::Verbatim;
use plan::{Role, Situation};
use planning::{check, environment, plan_of, situation, unit};

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
         root: enter it, let go of the old one, share its mounts with copies of it",
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
         root: enter it, let go of the old one, share its mounts with copies of it",
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
         mount /etc/passwd: its users, and whom of the service it lacks, read-only, nosuid, nodev, noexec, if there  [RootImage=]
         mount /etc/group: its groups, and which of the service it lacks, read-only, nosuid, nodev, noexec, if there  [RootImage=]
         mount /dev: /dev of the host, nosuid  [MountAPIVFS=]
         mount /proc: processes of this namespace  [MountAPIVFS=]
         mount /run: empty, in memory (mode 0755, size=20%, nr_inodes=800k), nosuid, nodev  [MountAPIVFS=]
         mount /run/web: /run/web of the host, nosuid, nodev  [RuntimeDirectory=]
         mount /sys: the system as this network sees it  [PrivateNetwork=]
         mount /sys/fs/cgroup: /sys/fs/cgroup (if there) of the host, nosuid, nodev, noexec, if there  [MountAPIVFS=]
         root: enter it, let go of the old one, share its mounts with copies of it",
    );
    assert_eq!(
        plan_of("RootImage=/srv/web.psi", &Facts::default())
            .unwrap()
            .roles(),
        [Role::Output, Role::Image]
    );
}

#[test]
fn images_are_cloned_one_by_one_and_extensions_lie_over_the_root_before_anything_else() {
    check(
        "RootDirectory=/srv/root
         MountAPIVFS=no
         MountImages=/srv/data.raw:/mnt
         ExtensionImages=/srv/one.raw -/srv/two.raw
         ExtensionDirectories=/srv/three
         ReadOnlyPaths=/usr/lib",
        "image 1: a clone of its tree  [MountImages=]
         image 2: a clone of its tree  [ExtensionImages=]
         image 3: a clone of its tree  [ExtensionImages=]
         image 4: a clone of its tree  [ExtensionDirectories=]
         new namespaces: mounts  [RootDirectory=]
         mounts of the host: come in, none goes out
         root: the tree of /srv/root  [RootDirectory=]
         mount /: /usr, /opt and /etc with those of image 2, image 3, image 4 over them  [ExtensionImages=]
         mount /mnt: the tree of image 1  [MountImages=]
         mount /usr/lib: what is there, read-only  [ReadOnlyPaths=]
         mount /etc/passwd: its users, and whom of the service it lacks, read-only, nosuid, nodev, noexec, if there  [RootDirectory=]
         mount /etc/group: its groups, and which of the service it lacks, read-only, nosuid, nodev, noexec, if there  [RootDirectory=]
         root: enter it, let go of the old one, share its mounts with copies of it",
    );
    let unit = "RootDirectory=/srv/root.v\nExtensionImages=/srv/one.raw";
    let plan = plan_of(unit, &Facts::default()).unwrap();
    let kinds: Vec<_> = plan
        .images()
        .iter()
        .map(|wish| (wish.index, wish.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            (0, plan::ImageKind::RootDirectory),
            (1, plan::ImageKind::Extension)
        ]
    );
    assert_eq!(
        plan.images()[1].base,
        None,
        "it is laid over a tree that is mounted"
    );
    let many = "ExtensionImages=/a.raw\n".repeat(33);
    let refusal = plan_of(&many, &Facts::default()).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "ExtensionImages= can't be applied: a unit has no more than 32 images"
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

#[test]
fn mount_options_about_times_are_not_the_file_systems() {
    check(
        "TemporaryFileSystem=/var:ro,mode=0700,nostrictatime,lazytime,size=1M",
        "new namespaces: mounts  [TemporaryFileSystem=]
         mounts of the host: come in, none goes out
         root: the host's tree
         mount /var: empty, in memory (mode 0700, size=1M), read-only, nosuid, nodev  [TemporaryFileSystem=]
         root: enter it, let go of the old one, share its mounts with copies of it",
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
        kernel_masks: KernelMasks {
            hidden: ["/proc/sys/kernel/random/boot_id", "/sys/firmware"]
                .map(str::to_owned)
                .to_vec(),
            read_only: ["/proc/sys", "/sys/class"].map(str::to_owned).to_vec(),
        },
        ..Facts::default()
    };
    let masks = |lines: &str| {
        let plan = plan_of(lines, &facts).unwrap().explain();
        let is_mask = |line: &String| {
            line.starts_with("mount /")
                && (line.contains("of the host") || line.contains("what is there"))
        };
        let masks = plan.into_iter().filter(is_mask);
        masks.collect::<Vec<_>>()
    };
    let proc = [
        "mount /proc/sys: what is there, read-only, if there  [PrivatePIDs=]",
        "mount /proc/sys/kernel/random/boot_id: /proc/sys/kernel/random/boot_id (if there) of the host, if there  [PrivatePIDs=]",
    ];
    assert_eq!(masks("PrivatePIDs=yes"), proc);
    let groups = "mount /sys/fs/cgroup: /sys/fs/cgroup (if there) of the host, nosuid, nodev, noexec, if there  [MountAPIVFS=]";
    let classes = "mount /sys/class: what is there, read-only, if there  [PrivateNetwork=]";
    let system =
        "mount /sys/firmware: /sys/firmware (if there) of the host, if there  [PrivateNetwork=]";
    assert_eq!(masks("PrivateNetwork=yes"), [classes, system, groups]);
    assert!(masks("PrivateDevices=yes").is_empty());
}

#[test]
fn an_ephemeral_root_has_room_for_what_a_run_changes_and_is_another_than_the_hosts() {
    check(
        "RootDirectory=/srv/root
         RootEphemeral=yes
         MountAPIVFS=no",
        "root: what a run changes in it is in /var/tmp, and goes with the run  [RootEphemeral=]
         new namespaces: mounts  [RootEphemeral=]
         mounts of the host: come in, none goes out
         root: the tree of /srv/root  [RootDirectory=]
         mount /etc/passwd: its users, and whom of the service it lacks, read-only, nosuid, nodev, noexec, if there  [RootDirectory=]
         mount /etc/group: its groups, and which of the service it lacks, read-only, nosuid, nodev, noexec, if there  [RootDirectory=]
         root: enter it, let go of the old one, share its mounts with copies of it",
    );
    let refused = plan_of("RootEphemeral=yes", &Facts::default()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "RootEphemeral= can't be applied: the unit has the host's root: RootDirectory=, RootImage= or RootMStack= gives it another"
    );
}

#[test]
fn what_directories_may_hold_is_a_word_of_the_step_and_keeps_the_service_in_its_project() {
    let quota = |lines: &str| {
        let plan = plan_of(lines, &Facts::default()).unwrap();
        plan.explain().join("\n")
    };
    for (line, words) in [
        ("StateDirectoryQuota=1K", ", at most 1024 bytes  ["),
        ("StateDirectoryQuota=0", ", at most 1 bytes  ["),
        (
            "StateDirectoryQuota=12.5%",
            ", at most 12.5% of its file system  [",
        ),
        ("StateDirectoryAccounting=yes", ", counted  ["),
        (
            "StateDirectoryQuota=off",
            ", without a limit from before  [",
        ),
        ("CacheDirectoryQuota=1K", "mode 755  ["),
    ] {
        let plan = quota(&format!("StateDirectory=web\n{line}"));
        let expected = format!(
            "directory: /var/lib/web for the service's user, mode 755{}",
            words.trim_start_matches("mode 755")
        );
        assert!(plan.contains(&expected), "{line}\n{plan}");
        let of_state = line.starts_with("State");
        let is_bound = of_state && line.contains(['K', '0', '%']);
        let is_counted = is_bound || line.ends_with("Accounting=yes");
        for (kept, expected) in [
            ("system calls: a program", is_counted),
            ("bounding set: all but CAP_SYS_RESOURCE", is_bound),
        ] {
            assert_eq!(plan.contains(kept), expected, "{line}: {kept}\n{plan}");
        }
    }
}

#[test]
fn where_directories_cannot_be_bounded_the_start_goes_on_and_it_is_told() {
    let unit = unit(
        "web.service",
        "Service",
        "StateDirectory=web\nStateDirectoryQuota=1G\nCacheDirectory=web\nCacheDirectoryAccounting=yes",
    );
    let trouble = |path: &str, bounded: bool| Some(format!("{path} {bounded}"));
    let planned = |may_reduce: bool| {
        let reduces = |_| may_reduce;
        let situation = Situation {
            quota_trouble: &trouble,
            ..situation(&reduces)
        };
        plan::plan(&unit, &Facts::default(), &situation)
    };
    let told: Vec<String> = planned(true)
        .unwrap()
        .reductions()
        .iter()
        .map(|one| format!("{}: {}", one.directive, one.reason))
        .collect();
    let expected = [
        "StateDirectoryQuota=: /var/lib/web true",
        "CacheDirectoryAccounting=: /var/cache/web false",
    ];
    assert_eq!(told, expected);
    // What is not bounded costs the service nothing.
    let steps = planned(true).unwrap().explain().join("\n");
    for lost in ["system calls: ", "bounding set: "] {
        assert!(!steps.contains(lost), "{lost}\n{steps}");
    }
    let refusal = planned(false).unwrap_err();
    assert_eq!(refusal.why, "/var/lib/web true");
}
