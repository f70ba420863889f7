//! How an instance comes to be: started by the command, out of the caller's login session, and never against the caller's word.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_system_tests::{manager, with_units};
use rustix::process::{Pid, Signal, kill_process_group};
use testkit::Instance;

const FOREVER: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

fn of_process(pid: Pid, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{name}", pid.as_raw_pid()))
}

fn environment(pid: Pid) -> Vec<String> {
    let text = std::fs::read_to_string(of_process(pid, "environ")).expect("an environment");
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// 0 where the session's leader is outside of this PID namespace; `getsid` of rustix does not expect that.
fn session(stat: &Path) -> u32 {
    let text = std::fs::read_to_string(stat).expect("a process");
    let (_, after_name) = text.rsplit_once(") ").expect("a name in brackets");
    let field = after_name.split(' ').nth(3).expect("a sixth field");
    field.parse().expect("a number")
}

/// Keeper, manager and log process.
fn all_processes(coracle: &Instance) -> Vec<Pid> {
    let keeper = coracle.process("KeeperPID");
    let own = manager::children(keeper).into_iter();
    let own = own.filter(|(_, line)| line.starts_with("coracled "));
    let all: Vec<Pid> = std::iter::once(keeper)
        .chain(own.map(|(pid, _)| pid))
        .collect();
    assert_eq!(all.len(), 3);
    all
}

#[test]
fn an_instance_has_nothing_of_who_started_it() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        let folder = coracle.folder().to_owned();
        let mut command = coracle.command(&["start", "a"]);
        command
            .env("LEAKED", "1")
            .env("LD_PRELOAD", "/nonexistent.so")
            .current_dir(&folder)
            .stdin(std::fs::File::create_new(folder.join("of-the-caller")).expect("a file"));
        assert!(command.status().expect("it runs").success());
        for pid in all_processes(coracle) {
            let variables = environment(pid);
            assert!(
                variables
                    .iter()
                    .all(|one| one.starts_with("PATH=/usr/local/sbin:")
                        || one.starts_with("NOTIFY_SOCKET=")),
                "{variables:?}"
            );
            let directory = std::fs::read_link(of_process(pid, "cwd")).expect("a directory");
            assert_eq!(directory, PathBuf::from("/"));
            let own_session = session(&PathBuf::from("/proc/self/stat"));
            assert_ne!(
                session(&of_process(pid, "stat")),
                own_session,
                "it left the session"
            );
            let open = manager::descriptors(pid);
            assert!(
                !open.iter().any(|one| one.contains("of-the-caller")),
                "{open:?}"
            );
        }
        let main = coracle
            .property("a.service", "MainPID")
            .parse()
            .expect("a process id");
        let variables = environment(Pid::from_raw(main).expect("a process id"));
        assert!(
            !variables.iter().any(|one| one.contains("LEAKED")),
            "{variables:?}"
        );
    });
}

/// What a login is to the kernel: a session of its own, in a control group of its own. It ends with all that is in either.
/// What is below a folder and can be written to by others than its owner, but for links and sockets.
fn open_to_others(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let metadata = path.symlink_metadata().expect("its mode");
        let kind = metadata.file_type();
        if (kind.is_file() || kind.is_dir()) && metadata.permissions().mode() & 0o022 != 0 {
            found.push(path.clone());
        }
        if kind.is_dir() {
            open_to_others(&path, found);
        }
    }
}

#[test]
fn a_caller_without_a_mask_of_file_modes_opens_nothing_to_others() {
    with_units(&[], |coracle| {
        for folder in ["run", "state"] {
            fs::remove_dir(coracle.folder().join(folder)).expect("an empty folder");
        }
        let without_mask = |words: &[&str]| {
            let command = coracle.command(words);
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", "umask 0; exec \"$0\" \"$@\""]);
            let output = testkit::executed(shell, &command).output();
            let output = output.expect("a shell");
            assert!(output.status.success(), "{words:?}: {output:?}");
        };
        without_mask(&["list-units"]);
        without_mask(&["run", "--wait", "/bin/true"]);
        without_mask(&["set-environment", "A=b"]);
        let keys = coracle.folder().join("keys").display().to_string();
        without_mask(&["keygen", &keys]);
        without_mask(&["trust", "add", &format!("{keys}/signing.crt")]);
        let mut found = Vec::new();
        open_to_others(coracle.folder(), &mut found);
        assert_eq!(found, Vec::<PathBuf>::new());
    });
}

#[test]
fn an_instance_outlives_the_login_that_started_it() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        let name = coracle.folder().file_name().expect("a name").to_owned();
        let login = PathBuf::from("/sys/fs/cgroup/unified").join(&name);
        std::fs::create_dir(&login).expect("a control group");
        let script = format!(
            "echo 0 > {}/cgroup.procs; \"$@\"; exec sleep 1000",
            login.display()
        );
        let inner = coracle.command(&["start", "a"]);
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", &script, "sh"]).process_group(0);
        let mut shell = testkit::executed(shell, &inner).spawn().expect("a shell");
        coracle_system_tests::waiting::eventually("a running service", || {
            let state = coracle.coracle(&["--no-autostart", "is-active", "a.service"]);
            (state.status == 0).then_some(())
        });
        let processes = all_processes(coracle);
        let group = Pid::from_raw(shell.id() as i32).expect("a process id");
        kill_process_group(group, Signal::KILL).expect("its processes are there");
        std::fs::write(login.join("cgroup.kill"), "1").expect("the group is killed");
        shell.wait().expect("its end");
        coracle_system_tests::waiting::eventually("the end of the login", || {
            std::fs::remove_dir(&login).ok()
        });
        assert_eq!(all_processes(coracle), processes);
        assert_eq!(coracle.property("a.service", "ActiveState"), "active");
    });
}

#[test]
fn what_is_started_lies_beside_the_command_whatever_the_path_says() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        let fake = coracle.folder().join("bin");
        std::fs::create_dir(&fake).expect("a folder");
        let text = format!("#!/bin/sh\ntouch {}/was-run\n", fake.display());
        for name in ["coracled", "coracle", "systemd-run"] {
            std::fs::write(fake.join(name), &text).expect("a program");
            std::fs::set_permissions(fake.join(name), std::fs::Permissions::from_mode(0o755))
                .expect("a mode");
        }
        let mut command = coracle.command(&["start", "a"]);
        command.env("PATH", &fake).current_dir(&fake);
        assert!(command.status().expect("it runs").success());
        assert!(!fake.join("was-run").exists());
        let program = std::fs::read_link(of_process(coracle.process("KeeperPID"), "exe"));
        assert!(program.expect("a program").ends_with("coracled"));
    });
}

#[test]
fn without_leave_nothing_is_started_and_the_message_says_how() {
    testkit::require_root();
    let coracle = Instance::new();
    for verb in [&["start", "a"][..], &["list-units"], &["run", "/bin/true"]] {
        let arguments: Vec<&str> = ["--no-autostart"].iter().chain(verb).copied().collect();
        let refused = coracle.coracle(&arguments);
        assert_ne!(refused.status, 0, "{verb:?}");
        assert!(
            refused.stderr.contains("no manager runs"),
            "{}",
            refused.stderr
        );
        assert!(
            refused.stderr.contains("--no-autostart"),
            "{}",
            refused.stderr
        );
    }
    let made = std::fs::read_dir(coracle.folder().join("run"))
        .expect("the folder")
        .count();
    assert_eq!(made, 0);
}

#[test]
fn only_who_starts_the_instance_for_its_own_sake_brings_what_runs_from_the_boot_on() {
    let target = "[Unit]\nWants=boot.service\n";
    let units = [
        ("default.target", target),
        ("boot.service", FOREVER),
        ("a.service", FOREVER),
    ];
    with_units(&units, |coracle| {
        let is_active = |unit: &str| coracle.coracle(&["is-active", unit]).status == 0;
        let api = coracle.folder().join("run/api");
        for (words, status) in [
            (&["stop", "a"][..], 0),
            (&["stop", "nobody"], 5),
            (&["kill", "a"], 0),
            (&["reset-failed"], 0),
            (&["daemon-reload"], 0),
            (&["list-jobs"], 0),
        ] {
            let done = coracle.coracle(words);
            assert_eq!(done.status, status, "{words:?}: {done:?}");
            assert!(
                done.stderr.contains("coracle does not run here"),
                "{done:?}"
            );
            assert!(!api.exists(), "{words:?}");
        }
        for words in [&["list-units"][..], &["status", "a"], &["start", "a"]] {
            let done = coracle.coracle(words);
            assert!(api.exists(), "{words:?}: {done:?}");
            assert!(!is_active("boot"), "{words:?}");
            coracle.ok(&["daemon-exit"]);
        }
        coracle.ok(&["start", "--enabled"]);
        // The target only wants it, and so does not wait for it.
        coracle_system_tests::waiting::eventually("the enabled service", || {
            is_active("boot").then_some(())
        });
        coracle.ok(&["daemon-exit"]);
        let mut direct = Command::new(coracle.dist().join("coracled"));
        for name in ["runtime", "state", "config"] {
            let folder = if name == "runtime" { "run" } else { name };
            let path = coracle.folder().join(folder);
            direct.arg(format!("--{name}-dir")).arg(path);
        }
        let mut direct = direct.spawn().expect("it starts");
        coracle_system_tests::waiting::eventually("the service of the boot", || {
            is_active("boot").then_some(())
        });
        coracle.ok(&["daemon-exit"]);
        direct.wait().expect("it ends");
    });
}

#[test]
fn commands_at_the_same_moment_start_one_instance() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        let keepers: Vec<Pid> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| coracle.process("KeeperPID")))
                .collect();
            all.into_iter()
                .map(|one| one.join().expect("it answers"))
                .collect()
        });
        assert!(
            keepers.iter().all(|keeper| *keeper == keepers[0]),
            "{keepers:?}"
        );
    });
}

#[test]
fn a_second_instance_for_the_same_directory_refuses_and_touches_nothing() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        coracle.ok(&["start", "a"]);
        let before = (
            coracle.process("ManagerPID"),
            coracle.property("a.service", "MainPID"),
        );
        let program = coracle.command(&[]).get_program().to_owned();
        let mut second =
            std::process::Command::new(PathBuf::from(program).with_file_name("coracled"));
        for (option, name) in [
            ("--runtime-dir", "run"),
            ("--state-dir", "state"),
            ("--config-dir", "config"),
        ] {
            second.arg(option).arg(coracle.folder().join(name));
        }
        let ended = second.output().expect("it ends");
        assert_eq!(ended.status.code(), Some(3), "{ended:?}");
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(told.contains("another instance runs for"), "{told}");
        let after = (
            coracle.process("ManagerPID"),
            coracle.property("a.service", "MainPID"),
        );
        assert_eq!(after, before);
    });
}

/// What an instance says that finds its state directory taken.
fn refusal_of_a_second(coracle: &Instance, runtime: &Path) -> (Option<i32>, String) {
    let mut second = Command::new(coracle.dist().join("coracled"));
    second.arg("--runtime-dir").arg(runtime);
    for name in ["state", "config"] {
        second.arg(format!("--{name}-dir"));
        second.arg(coracle.folder().join(name));
    }
    let ended = second.output().expect("it ends");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    (ended.status.code(), told)
}

#[test]
fn a_state_directory_is_one_instances_for_as_long_as_its_keeper_lives() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        coracle.ok(&["start", "a"]);
        let own = coracle.folder().join("run").display().to_string();
        let state = coracle.folder().join("state").display().to_string();
        let other = coracle.folder().join("other");
        let refused = || {
            let (status, told) = refusal_of_a_second(coracle, &other);
            assert_eq!(status, Some(3), "{told}");
            for named in [&own, &state, &other.display().to_string()] {
                assert!(told.contains(named), "{named}: {told}");
            }
        };
        refused();
        manager::kill(coracle.process("ManagerPID"));
        refused();
        coracle.ok(&["daemon-reexec"]);
        refused();
        let other = other.display().to_string();
        let elsewhere = ["--runtime-dir", &other, "start", "a"];
        let told = coracle.coracle(&elsewhere);
        assert_eq!(told.status, 1, "{told:?}");
        for named in [&own, &state, &other] {
            assert!(told.stderr.contains(named), "{named}: {told:?}");
        }
        coracle.ok(&["daemon-exit"]);
        coracle.ok(&elsewhere);
        coracle.ok(&["--runtime-dir", &other, "daemon-exit"]);
    });
}

#[test]
fn a_directory_that_the_running_manager_does_not_have_is_refused() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        coracle.ok(&["start", "a"]);
        let foreign = coracle.folder().join("foreign");
        let foreign = foreign.to_str().expect("a name");
        for (option, name) in [("--state-dir", "state"), ("--config-dir", "config")] {
            let told = coracle.coracle(&[option, foreign, "list-units"]);
            assert_eq!((told.status, &*told.stdout), (1, ""), "{told:?}");
            let own = coracle.folder().join(name).display().to_string();
            for named in [option, foreign, &own] {
                assert!(told.stderr.contains(named), "{named}: {told:?}");
            }
        }
        let told = coracle.coracle(&["--unit-path", foreign, "is-active", "a"]);
        assert_eq!((told.status, &*told.stdout), (0, "active\n"), "{told:?}");
        assert!(
            told.stderr.contains("--unit-path has no effect"),
            "{told:?}"
        );
        coracle.ok(&["daemon-exit"]);
        for _ in 0..2 {
            let told = coracle.coracle(&["--unit-path", foreign, "start", "a"]);
            assert!(!told.stderr.contains("--unit-path"), "{told:?}");
        }
    });
}
