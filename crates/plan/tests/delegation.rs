//! Golden tests of user namespaces, of what belongs to them, and of labels: the text of a unit and the host's facts in, the plan's own lines out.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // What tests share fails as tests do.

mod planning;

use coracle_plan as plan;
use model::{Facts, Position};
use plan::Situation;
use planning::{situation, unit};

/// The steps that match one of these words, then what is lost, or why the unit is refused.
fn shown(lines: &str, facts: &Facts, position: Position) -> String {
    let situation = Situation {
        position,
        ..situation(&|_| false)
    };
    let plan = match plan::plan(&unit("web.service", "Service", lines), facts, &situation) {
        Ok(plan) => plan,
        Err(refusal) => return format!("refused: {refusal}"),
    };
    let words = ["namespace", "label of", "tokens", "groups:", "user:"];
    let steps = plan.explain().into_iter();
    let steps = steps.filter(|line| words.iter().any(|word| line.contains(word)));
    let lost = plan.reductions().iter();
    let lost = lost.map(|one| format!("lost: {} {}", one.directive, one.reason));
    steps.chain(lost).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(lines: &str, facts: &Facts, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(
        shown(lines, facts, Position::Beside),
        expected.join("\n"),
        "{lines}"
    );
}

#[test]
fn what_belongs_to_the_user_namespace_is_made_in_it_and_mounts_are_copied_to_it() {
    check(
        "PrivateNetwork=yes
         PrivateIPC=yes
         DelegateNamespaces=net mnt",
        &Facts::default(),
        "user namespace, made ahead: root and the service's user; to it belong: network  [DelegateNamespaces=]
         new namespaces: mounts, ipc  [PrivateNetwork=]
         mount /dev/mqueue: message queues of this namespace, if there  [PrivateIPC=]
         user namespace, after all others: root and the service's user  [DelegateNamespaces=]
         new namespaces that belong to the user namespace: mounts  [DelegateNamespaces=]",
    );
}

#[test]
fn nothing_is_unshared_because_it_is_delegated_but_the_users() {
    check(
        "DelegateNamespaces=yes",
        &Facts::default(),
        "user namespace, after all others: root and the service's user  [DelegateNamespaces=]",
    );
    check("DelegateNamespaces=no", &Facts::default(), "");
    check(
        "DelegateNamespaces=~net
         PrivateUsers=identity
         PrivateNetwork=yes
         PrivateMounts=no
         ProtectHostname=private:boat",
        &Facts::default(),
        "user namespace, made ahead: the first 65536 users; to it belong: host name  [DelegateNamespaces=]
         new namespaces: network  [PrivateNetwork=]
         user namespace, after all others: the first 65536 users  [PrivateUsers=]",
    );
}

#[test]
fn lists_join_and_inverted_ones_take_away() {
    check(
        "DelegateNamespaces=net ipc
         DelegateNamespaces=uts
         DelegateNamespaces=~ipc
         PrivateIPC=yes
         PrivateMounts=no
         PrivateNetwork=yes
         ProtectHostname=private",
        &Facts::default(),
        "user namespace, made ahead: root and the service's user; to it belong: host name, network  [DelegateNamespaces=]
         new namespaces: mounts, ipc  [PrivateIPC=]
         mount /dev/mqueue: message queues of this namespace, if there  [PrivateIPC=]
         user namespace, after all others: root and the service's user  [DelegateNamespaces=]",
    );
}

#[test]
fn the_namespace_of_processes_is_said_not_to_be_delegated() {
    check(
        "PrivatePIDs=yes
         DelegateNamespaces=pid",
        &Facts::default(),
        "new namespaces: mounts  [PrivatePIDs=]
         mount /proc: processes of this namespace  [PrivatePIDs=]
         user namespace, after all others: root and the service's user  [DelegateNamespaces=]
         lost: DelegateNamespaces= the namespace of processes stays the host's: it is made before all others",
    );
}

#[test]
fn control_groups_that_are_protected_are_not_delegated() {
    check(
        "ProtectControlGroups=strict
         DelegateNamespaces=cgroup mnt",
        &Facts::default(),
        "new namespaces: mounts, control groups  [ProtectControlGroups=]
         mount /sys/fs/cgroup: control groups of this namespace, read-only, nosuid, nodev, noexec  [ProtectControlGroups=]
         user namespace, after all others: root and the service's user  [DelegateNamespaces=]
         new namespaces that belong to the user namespace: mounts  [DelegateNamespaces=]
         lost: DelegateNamespaces= the namespace of control groups stays the host's: who owns it can mount them anew, writable, past ProtectControlGroups=",
    );
}

#[test]
fn control_groups_that_are_protected_are_not_mounted_anew_by_who_can_change_no_other_mount() {
    let restricts = |lines: &str| {
        let situation = situation(&|_| false);
        let unit = unit("web.service", "Service", lines);
        let plan = plan::plan(&unit, &Facts::default(), &situation).unwrap();
        let mut steps = plan.explain().into_iter();
        steps.any(|line| line.starts_with("system calls: "))
    };
    let without = "CapabilityBoundingSet=~CAP_SYS_ADMIN";
    for more in [without, "PrivateUsers=self"] {
        for mode in ["yes", "strict"] {
            let lines = format!("ProtectControlGroups={mode}\n{more}");
            assert!(restricts(&lines), "{lines}");
        }
        for mode in ["no", "private"] {
            let lines = format!("ProtectControlGroups={mode}\n{more}");
            assert!(!restricts(&lines), "{lines}");
        }
    }
    for more in ["", "User=daemon"] {
        let lines = format!("ProtectControlGroups=yes\n{more}");
        assert!(!restricts(&lines), "{lines}");
    }
}

#[test]
fn a_user_namespace_that_is_joined_comes_before_groups_and_user_and_instead_of_private_ones() {
    check(
        "UserNamespacePath=/run/userns/guests
         PrivateUsers=yes
         User=daemon
         PrivateNetwork=yes
         DelegateNamespaces=net",
        &Facts::default(),
        "user namespace: that of /run/userns/guests  [UserNamespacePath=]
         user namespace, made ahead: root and the service's user; to it belong: network  [DelegateNamespaces=]
         new namespaces: mounts  [PrivateNetwork=]
         user namespace: join it as its root, after all others  [UserNamespacePath=]
         groups: of the service's user  [User=]
         user: the service's  [User=]",
    );
    let found = shown(
        "UserNamespacePath=/run/userns/guests",
        &Facts::default(),
        Position::User,
    );
    assert_eq!(
        found,
        "refused: UserNamespacePath= can't be applied: only root joins a user namespace"
    );
}

#[test]
fn what_of_bpf_is_delegated_is_a_bit_for_each_name() {
    check(
        "PrivateBPF=yes
         PrivateUsers=yes
         BPFDelegateCommands=BPFMapCreate BPFProgLoad
         BPFDelegateMaps=any
         BPFDelegatePrograms=BPFProgTypeNetfilter BPFMapCreate
         BPFDelegateAttachments=BPFTraceFsessionMulti",
        &Facts::default(),
        "user namespace, made ahead: root and the service's user; to it belong: what of BPF is delegated  [PrivateUsers=]
         new namespaces: mounts  [PrivateBPF=]
         mount /sys/fs/bpf: no pinned objects of BPF, and tokens for delegate_cmds=0x21, delegate_maps=any, delegate_progs=0x100000000, delegate_attachs=0x2000000000000000, if there  [PrivateBPF=]
         user namespace, after all others: root and the service's user  [PrivateUsers=]
         lost: BPFDelegatePrograms= BPFMapCreate is not delegated: it is a name of another kind",
    );
}

#[test]
fn what_of_bpf_can_not_be_delegated_is_told() {
    check(
        "BPFDelegateMaps=any",
        &Facts::default(),
        "lost: BPFDelegateMaps= nothing is delegated without PrivateBPF=yes",
    );
    check(
        "BPFDelegateMaps=any
         PrivateBPF=yes",
        &Facts::default(),
        "new namespaces: mounts  [PrivateBPF=]
         lost: BPFDelegateMaps= nothing is delegated without a user namespace, such as that of PrivateUsers=yes",
    );
}

#[test]
fn a_label_needs_its_module_unless_it_may_be_missing() {
    let lines = "AppArmorProfile=web
         SELinuxContext=system_u:system_r:httpd_t:s0
         SmackProcessLabel=Web";
    let all = Facts {
        apparmor: true,
        selinux: true,
        smack: true,
        ..Facts::default()
    };
    check(
        lines,
        &all,
        "label of SMACK: Web  [SmackProcessLabel=]
         label of AppArmor, with exec: web  [AppArmorProfile=]
         label of SELinux, with exec: system_u:system_r:httpd_t:s0  [SELinuxContext=]",
    );
    for (line, module) in lines.lines().zip(["AppArmor", "SELinux", "SMACK"]) {
        let (directive, label) = line.trim().split_once('=').unwrap();
        let refused = format!(
            "refused: {directive}= can't be applied: {module} is not active in this kernel: with - in front of it the unit starts without"
        );
        check(line, &Facts::default(), &refused);
        check(&format!("{directive}=-{label}"), &Facts::default(), "");
    }
    check(
        "AppArmorProfile=-web",
        &all,
        "label of AppArmor, with exec: web, if it can be set  [AppArmorProfile=]",
    );
}
