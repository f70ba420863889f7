//! Hosts that can do less, made of namespaces: each directive that restricts holds there, or the start says that it is reduced or refused.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use coracle_system_tests::attack::Answer;
use coracle_system_tests::attacks::ATTACKS;
use coracle_system_tests::profile::profile;
use coracle_system_tests::stage::Stage;
use testkit::Instance;

/// Names the host that this process is to be on already.
const HOST: &str = "CORACLE_POOR_HOST";

/// A host: whether it has users of its own, and what a shell does to it first.
const HOSTS: &[(&str, bool, &str)] = &[
    (
        "a container with users of its own that can make no more such, and no control groups",
        true,
        "echo 0 > /proc/sys/user/max_user_namespaces; mount -t tmpfs none /sys/fs/cgroup",
    ),
    ("no control groups", false, "umount --lazy /sys/fs/cgroup"),
    (
        "no network namespaces and no pid namespaces",
        true,
        "echo 0 > /proc/sys/user/max_net_namespaces; echo 0 > /proc/sys/user/max_pid_namespaces",
    ),
];

/// Runs this test once more on such a host, where it looks at all attacks.
fn on_host(name: &str, has_users: bool, script: &str) {
    let test = std::env::current_exe().expect("the test's own file");
    let inside = format!("{script}; exec \"$@\"");
    let users: &[&str] = if has_users { &["--user"] } else { &[] };
    let mut child = Command::new("unshare")
        .args(users)
        .args(["sh", "-c", "echo ready; read go; exec \"$@\"", "sh"])
        .args([
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .args(["sh", "-e", "-c", &inside, "sh"])
        .arg(test)
        .args([
            "--exact",
            "no_restriction_is_lost_on_a_host_that_can_do_less",
            "--nocapture",
        ])
        .env(HOST, name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare is installed");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    assert_eq!(lines.next().and_then(Result::ok).as_deref(), Some("ready"));
    if has_users {
        // All of the host's users but the last are there, by their own numbers.
        for map in ["uid_map", "gid_map"] {
            let path = format!("/proc/{}/{map}", child.id());
            std::fs::write(path, "0 0 65535").expect("a map of users");
        }
    }
    let mut input = child.stdin.take().expect("its input");
    input.write_all(b"go\n").expect("it reads");
    let said: Vec<String> = lines.map_while(Result::ok).collect();
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{name}: {}", said.join("\n"));
    println!("{name}: {}", said.join("\n"));
}

/// What becomes of each attack where this process is.
fn look_at_all() {
    let coracle = Instance::new();
    let stage = Stage::in_container(&coracle);
    let profile = profile();
    let mut counts = [0; 3];
    let mut lost = Vec::new();
    let mut seen = Vec::new();
    for attack in ATTACKS {
        // One attack that can be made here says it of its directive.
        if seen.contains(&attack.directive) {
            continue;
        }
        let answer = attack.answer(&coracle, &stage, &profile);
        seen.extend(answer.is_some().then_some(attack.directive));
        match answer {
            None => {}
            Some(Answer::Applied) => counts[0] += 1,
            Some(Answer::Reduced) => counts[1] += 1,
            Some(Answer::Refused) => counts[2] += 1,
            Some(Answer::Lost(why)) => {
                lost.push(format!("{}, {:?}: {why}", attack.directive, attack.line))
            }
        }
    }
    drop(stage);
    coracle.stop();
    let [applied, reduced, refused] = counts;
    println!("{applied} applied, {reduced} reduced, {refused} refused");
    assert!(lost.is_empty(), "lost: {}", lost.join("\n"));
    assert!(applied > 0 && refused > 0, "this host is not poor");
}

#[test]
fn no_restriction_is_lost_on_a_host_that_can_do_less() {
    testkit::require_root();
    if std::env::var_os(HOST).is_some() {
        return look_at_all();
    }
    for (name, has_users, script) in HOSTS {
        on_host(name, *has_users, script);
    }
}
