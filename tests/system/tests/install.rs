//! `coracle install` and `uninstall`: what each init is given, that it does what that init asks of it, and that nothing is left.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use coracle_system_tests::images::{By, Workshop};
use coracle_system_tests::{manager, stage, waiting, with_units};
use rustix::fs::{XattrFlags, setxattr};
use rustix::process::{Pid, Signal, kill_process};
use testkit::Instance;

/// Inits, the file that belongs to each, and the links that enable it.
const INITS: &[(&str, &str, &[&str])] = &[
    (
        "systemd",
        "etc/systemd/system/coracle.service",
        &["etc/systemd/system/multi-user.target.wants/coracle.service"],
    ),
    (
        "openrc",
        "etc/init.d/coracle",
        &["etc/runlevels/default/coracle"],
    ),
    ("runit", "etc/sv/coracle/run", &["etc/service/coracle"]),
    (
        "sysv",
        "etc/init.d/coracle",
        &[
            "etc/rc0.d/K50coracle",
            "etc/rc2.d/S50coracle",
            "etc/rc3.d/S50coracle",
            "etc/rc4.d/S50coracle",
            "etc/rc5.d/S50coracle",
            "etc/rc6.d/K50coracle",
        ],
    ),
];

/// A folder of this instance that stands for the root of a host.
fn root(coracle: &Instance, name: &str) -> PathBuf {
    let root = coracle.folder().join("hosts").join(name);
    std::fs::create_dir_all(&root).expect("a folder");
    root
}

fn install(coracle: &Instance, init: &str) -> PathBuf {
    let root = root(coracle, init);
    coracle.ok(&[
        "install",
        "--init",
        init,
        "--root",
        &root.display().to_string(),
    ]);
    let (_, file, _) = INITS
        .iter()
        .find(|(name, ..)| *name == init)
        .expect("a known init");
    root.join(file)
}

/// Every file and link below a folder, with what a link points to.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                left.push(path);
            } else {
                let target = std::fs::read_link(&path).unwrap_or_default();
                let name = path.strip_prefix(root).expect("a path below it");
                found.insert(name.display().to_string(), target.display().to_string());
            }
        }
    }
    found
}

#[test]
fn each_init_is_given_its_file_and_links_and_uninstall_takes_back_exactly_those() {
    with_units(&[], |coracle| {
        for (init, file, links) in INITS {
            let root = root(coracle, init);
            let foreign = root.join("etc/rc2.d/S01other");
            std::fs::create_dir_all(foreign.parent().expect("a folder")).expect("a folder");
            std::fs::write(&foreign, "another's\n").expect("a file");
            let before = tree(&root);
            // Twice is as good as once.
            install(coracle, init);
            let written = install(coracle, init);
            let after = tree(&root);
            let new: Vec<&str> = after
                .keys()
                .filter(|name| !before.contains_key(*name))
                .map(String::as_str)
                .collect();
            let mut expected: Vec<&str> = links.iter().copied().chain([*file]).collect();
            expected.sort_unstable();
            assert_eq!(new, expected, "{init}");
            let text = std::fs::read_to_string(&written).expect("the file");
            assert!(!text.contains('@'), "{init}: {text}");
            assert!(text.contains(&coracle.folder().join("state").display().to_string()));
            for link in *links {
                let target = Path::new(&after[*link]);
                let inside = match target.strip_prefix("/") {
                    Ok(absolute) => root.join(absolute),
                    Err(_) => root.join(link).parent().expect("a folder").join(target),
                };
                assert!(inside.exists(), "{init}: {link} -> {}", target.display());
            }
            let mode = written.metadata().expect("the file").permissions().mode() & 0o777;
            assert_eq!(mode, if *init == "systemd" { 0o644 } else { 0o755 });
            let place = root.display().to_string();
            coracle.ok(&["uninstall", "--init", init, "--root", &place]);
            assert_eq!(tree(&root), before, "{init}");
            let told = coracle.ok(&["uninstall", "--init", init, "--root", &place]);
            assert!(told.contains("was not installed"), "{told}");
        }
    });
}

#[test]
fn the_init_of_a_host_is_recognised_and_an_unknown_one_is_told_what_to_run() {
    with_units(&[], |coracle| {
        for (init, sign) in [
            ("systemd", "usr/lib/systemd/systemd"),
            ("openrc", "sbin/openrc-run"),
            ("runit", "usr/bin/runsvdir"),
            ("sysv", "etc/rc2.d/README"),
        ] {
            let root = root(coracle, &format!("has-{init}"));
            let sign = root.join(sign);
            std::fs::create_dir_all(sign.parent().expect("a folder")).expect("a folder");
            std::fs::write(&sign, "").expect("a file");
            if init == "sysv" {
                let refused = coracle.coracle(&["install", "--root", &root.display().to_string()]);
                assert_ne!(refused.status, 0, "scripts alone are no init: {refused:?}");
                std::fs::write(root.join("etc/inittab"), "").expect("a file");
            }
            let said = coracle.ok(&["install", "--root", &root.display().to_string()]);
            assert!(
                said.to_lowercase().contains(&format!("for {init}")),
                "{said}"
            );
            let (_, file, _) = INITS
                .iter()
                .find(|(name, ..)| *name == init)
                .expect("known");
            assert!(root.join(file).exists(), "{init}");
        }
        let bare = root(coracle, "bare").display().to_string();
        let refused = coracle.coracle(&["install", "--root", &bare]);
        assert_ne!(refused.status, 0);
        assert!(
            refused.stderr.contains("install --init own"),
            "{}",
            refused.stderr
        );
        let told = coracle.ok(&["install", "--init", "own"]);
        assert!(
            told.contains("start --enabled") && told.contains("daemon-exit"),
            "{told}"
        );
        assert!(tree(Path::new(&bare)).is_empty());
    });
}

#[test]
fn what_others_can_change_is_not_started_at_boot() {
    with_units(&[], |coracle| {
        let open = root(coracle, "open");
        for name in ["coracle", "coracled"] {
            std::fs::copy(coracle.dist().join(name), open.join(name)).expect("a copy");
        }
        let host = root(coracle, "host").display().to_string();
        let install = || {
            let mut command = Command::new(open.join("coracle"));
            command.args(["install", "--init", "systemd", "--root", &host]);
            command.output().expect("it runs")
        };
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).expect("a mode");
        let refused = install();
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{told}");
        assert!(told.contains("others than root can change"), "{told}");
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        std::os::unix::fs::chown(&open, Some(65534), None).expect("an owner");
        assert!(!install().status.success());
        assert!(tree(Path::new(&host)).is_empty());
        std::os::unix::fs::chown(&open, Some(0), None).expect("an owner");
        assert!(install().status.success());
    });
}

const SERVICE: &str = "[Service]\nExecStart=/usr/bin/sleep infinity\n";

/// A portable that runs, in an instance that is then gone as after a power cut: with its state, without its runtime directory.
fn with_a_portable_after_a_reboot(coracle: &Instance) {
    let image =
        Workshop::new(coracle).image("boat", "1", By::Trusted, &[("boat.service", SERVICE)]);
    coracle.ok(&["start", &image]);
    assert_eq!(coracle.property("boat.service", "ActiveState"), "active");
    coracle.stop();
    std::fs::remove_dir_all(coracle.folder().join("run")).expect("the runtime directory");
}

fn runs(coracle: &Instance) -> bool {
    coracle
        .coracle(&["--no-autostart", "is-active", "boat.service"])
        .status
        == 0
}

/// Starts what a script has for the start of the host, sees the portable back, and has it stopped again.
fn boots_and_halts(coracle: &Instance, run: impl Fn(&str) -> std::process::ExitStatus) {
    for _ in 0..2 {
        assert!(run("start").success());
        assert!(runs(coracle));
        let keeper = coracle.process("KeeperPID");
        assert!(run("stop").success());
        assert!(!manager::lives(&keeper.as_raw_pid().to_string()));
    }
}

#[test]
fn portables_come_back_by_the_script_of_a_sysv_init() {
    with_units(&[], |coracle| {
        with_a_portable_after_a_reboot(coracle);
        let script = install(coracle, "sysv");
        boots_and_halts(coracle, |verb| {
            bare(&script).arg(verb).status().expect("it runs")
        });
        coracle.ok(&["list-units"]);
    });
}

#[test]
fn portables_come_back_by_the_script_of_openrc() {
    with_units(&[], |coracle| {
        with_a_portable_after_a_reboot(coracle);
        let script = install(coracle, "openrc");
        // What openrc-run gives a script, as far as this one asks for it.
        let around = "ebegin() { :; }; eend() { return $1; }; need() { :; }; after() { :; }; . \"$0\"; depend; \"$1\"";
        boots_and_halts(coracle, |verb| {
            let mut shell = bare(Path::new("/bin/sh"));
            shell.arg("-c").arg(around).arg(&script).arg(verb);
            shell.status().expect("it runs")
        });
        coracle.ok(&["list-units"]);
    });
}

/// A program as an init runs it: without an environment.
fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

struct Supervised(Child);

impl Drop for Supervised {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().expect("its end");
    }
}

#[test]
fn portables_come_back_by_the_script_of_runit_which_ends_in_order_on_a_signal() {
    with_units(&[], |coracle| {
        with_a_portable_after_a_reboot(coracle);
        let script = install(coracle, "runit");
        let mut run = Supervised(bare(&script).spawn().expect("it runs"));
        waiting::eventually("the portable", || runs(coracle).then_some(()));
        let pid = Pid::from_raw(run.0.id() as i32).expect("a process id");
        // runit watches its own child: that has to be the keeper itself.
        assert_eq!(coracle.process("KeeperPID"), pid);
        let group = coracle.control_group();
        kill_process(pid, Signal::TERM).expect("it takes a signal");
        assert!(run.0.wait().expect("its end").success());
        assert!(manager::groups(&group).is_empty());
        coracle.ok(&["list-units"]);
    });
}

/// A control group that is marked as systemd marks what it delegates, with one below it for those who supervise.
struct Delegated(PathBuf);

impl Delegated {
    fn new(mark: &str) -> Delegated {
        let name = format!("coracle-test-{}-{mark}", std::process::id());
        let group = Delegated(stage::control_groups().join(name));
        std::fs::create_dir_all(group.0.join("supervisor")).expect("a control group");
        setxattr(&group.0, mark, b"1", XattrFlags::empty()).expect("a mark");
        group
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for group in [self.0.join("supervisor"), self.0.clone()] {
            std::fs::remove_dir(group).expect("nothing is left in it");
        }
    }
}

#[test]
fn groups_are_made_below_what_the_init_of_the_host_delegated() {
    for mark in ["trusted.delegate", "user.delegate"] {
        let delegated = Delegated::new(mark);
        with_units(&[("a.service", SERVICE)], |coracle| {
            let enter = "echo $$ > \"$0\" && exec \"$@\"";
            let mut inside = bare(Path::new("/bin/sh"));
            inside
                .args(["-c", enter])
                .arg(delegated.0.join("supervisor/cgroup.procs"))
                .arg(coracle.dist().join("coracled"));
            for (option, name) in [
                ("--runtime-dir", "run"),
                ("--state-dir", "state"),
                ("--config-dir", "config"),
            ] {
                inside.arg(option).arg(coracle.folder().join(name));
            }
            let mut run = Supervised(inside.spawn().expect("it runs"));
            waiting::eventually("an instance", || {
                let answer = coracle.coracle(&["--no-autostart", "list-units"]);
                (answer.status == 0).then_some(())
            });
            coracle.ok(&["start", "a"]);
            let place = delegated
                .0
                .strip_prefix(stage::control_groups())
                .expect("below it");
            let place = format!("/{}/coracle", place.display());
            assert!(coracle.control_group().starts_with(&place));
            let group = coracle.property("a.service", "ControlGroup");
            assert!(
                group.starts_with(&place) && group.ends_with("/a.service/1"),
                "{group}"
            );
            let pid = Pid::from_raw(run.0.id() as i32).expect("a process id");
            kill_process(pid, Signal::TERM).expect("it takes a signal");
            assert!(run.0.wait().expect("its end").success());
            // The next one is not there, and says so by its own place.
            let next = coracle.control_group();
            assert!(!next.starts_with(&place), "{next}");
        });
    }
}

#[test]
fn the_unit_for_systemd_says_what_it_runs_and_our_own_loader_reads_it() {
    with_units(&[], |coracle| {
        let unit = install(coracle, "systemd");
        let text = std::fs::read_to_string(&unit).expect("the unit");
        for line in [
            "Type=notify",
            "Delegate=yes",
            "DelegateSubgroup=supervisor",
            "KillMode=process",
            "WantedBy=multi-user.target",
        ] {
            assert!(text.contains(line), "{text}");
        }
        // No page is installed with it.
        assert!(!text.contains("man:"), "{text}");
        let verified = coracle.coracle(&["verify", &unit.display().to_string()]);
        assert!(!verified.stderr.contains("error"), "{}", verified.stderr);
        let program = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .and_then(|line| line.split(' ').next())
            .expect("a command");
        assert!(
            Path::new(program).is_absolute() && Path::new(program).exists(),
            "{program}"
        );
    });
}
