//! Credentials: sealed with the host's secret, said by sockets, in memory that is not swapped, and the service's alone.

use std::fs;
use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;

use coracle_system_tests::waiting::{eventually, lines};
use coracle_system_tests::{manager, with_units};
use testkit::Instance;

/// A oneshot that prints what it has.
fn prints(lines: &str) -> String {
    format!(
        "[Service]\nType=oneshot\n{lines}\nExecStart=/bin/sh -c 'cd $CREDENTIALS_DIRECTORY; for file in *; do echo \"$file: $(cat $file)\"; done; echo the-end'\n"
    )
}

#[track_caller]
fn printed(coracle: &Instance, unit: &str) -> Vec<String> {
    let has_end = |lines: &[String]| lines.iter().any(|line| line == "the-end");
    let all = lines(coracle, unit, has_end);
    let own = all.into_iter().filter(|line| line.contains(": "));
    own.filter(|line| !line.starts_with(unit)).collect()
}

#[test]
fn what_the_hosts_secret_sealed_is_opened_for_the_service_and_for_no_other_name() {
    with_units(&[], |coracle| {
        let path = |name: &str| coracle.folder().join(name).display().to_string();
        let file = path("plain");
        fs::write(&file, "a secret").expect("a file");
        coracle.ok(&["creds", "encrypt", "--name=word", &file, &path("word.cred")]);
        coracle.ok(&[
            "creds",
            "encrypt",
            "--name=word",
            "--timestamp=2020-01-01",
            "--not-after=2021-01-01",
            &file,
            &path("over.cred"),
        ]);
        let line = coracle.ok(&["creds", "encrypt", "--name=other", "-p", &file, "-"]);
        assert!(
            !fs::read_to_string(path("word.cred"))
                .expect("text")
                .contains("secret")
        );
        // In the instance's own state directory, unless the host has the reference's.
        let secret = coracle.folder().join("state/credential.secret");
        if let Ok(found) = secret.metadata() {
            assert_eq!(found.permissions().mode() & 0o777, 0o400);
        }
        let load = format!("LoadCredentialEncrypted=word:{}", path("word.cred"));
        coracle.unit("web.service", &prints(&format!("{load}\n{line}")));
        coracle.unit("wrong.service", &prints(&load.replace("=word:", "=wrong:")));
        coracle.unit(
            "over.service",
            &prints(&load.replace("word.cred", "over.cred")),
        );
        coracle.ok(&["start", "web.service"]);
        assert_eq!(
            printed(coracle, "web.service"),
            ["other: a secret", "word: a secret"]
        );
        for (unit, phrase) in [
            ("wrong.service", "for the name \"word\""),
            ("over.service", "its time is over"),
        ] {
            let done = coracle.coracle(&["start", unit]);
            assert!(
                done.status == 1 && done.stderr.contains(phrase),
                "{done:#?}"
            );
        }
        assert_eq!(
            coracle.ok(&["creds", "decrypt", "--name=word", &path("word.cred"), "-"]),
            "a secret"
        );
        let stranger = coracle.coracle(&["creds", "decrypt", &path("word.cred")]);
        assert!(
            stranger.status == 1 && stranger.stderr.contains("for the name"),
            "{stranger:#?}"
        );
    });
}

#[test]
fn a_socket_is_asked_by_name_and_holds_up_nobody_else() {
    let folder = tempfile::tempdir_in("/run").expect("a directory");
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    let unit = prints(&format!("LoadCredential=word:{}", path.display()));
    with_units(
        &[
            ("web.service", &unit),
            (
                "free.service",
                "[Service]\nType=oneshot\nExecStart=/bin/true\n",
            ),
        ],
        |coracle| {
            let mut start = coracle
                .command(&["start", "web.service"])
                .spawn()
                .expect("a process");
            let (mut connection, address) = listener.accept().expect("the manager asks");
            let name = address.as_abstract_name().expect("a name").to_vec();
            assert!(
                name.ends_with(b"/unit/web.service/word"),
                "{}",
                String::from_utf8_lossy(&name)
            );
            // Nobody else waits for the answer, and the next manager asks again.
            coracle.ok(&["start", "free.service"]);
            manager::kill(manager::of(coracle.process("KeeperPID")));
            coracle.ok(&["start", "free.service"]);
            drop(connection);
            (connection, _) = listener.accept().expect("the next manager asks");
            connection.write_all(b"from a ").expect("it reads");
            connection.write_all(b"socket").expect("it reads");
            drop(connection);
            assert!(start.wait().expect("a status").success());
            assert_eq!(printed(coracle, "web.service"), ["word: from a socket"]);
            // A stop does not wait for the answer either.
            let mut start = coracle
                .command(&["start", "web.service"])
                .spawn()
                .expect("a process");
            let _silent = listener.accept().expect("the manager asks");
            coracle.ok(&["stop", "web.service"]);
            assert!(!start.wait().expect("a status").success());
        },
    );
}

#[test]
fn credentials_are_in_memory_that_is_not_swapped_and_the_services_alone() {
    let looks = "SetCredential=word:a\nDynamicUser=yes\nExecStartPre=/bin/sh -c 'echo \"fs: $(grep \" $CREDENTIALS_DIRECTORY \" /proc/self/mountinfo | grep -c -e \"- ramfs\" -e noswap)\"; echo \"mode: $(stat -c %%a $CREDENTIALS_DIRECTORY $CREDENTIALS_DIRECTORY/word | xargs)\"; echo \"writable: $(touch $CREDENTIALS_DIRECTORY/new 2> /dev/null && echo yes)\"'";
    with_units(&[("web.service", &prints(looks))], |coracle| {
        coracle.ok(&["start", "web.service"]);
        assert_eq!(
            printed(coracle, "web.service"),
            ["fs: 1", "mode: 500 400", "writable: ", "word: a"]
        );
    });
}

#[test]
fn what_the_instance_was_handed_is_found_by_services_and_conditions() {
    with_units(&[], |coracle| {
        let path = |name: &str| coracle.folder().join(name);
        for folder in ["handed", "sealed"] {
            fs::create_dir(path(folder)).expect("a directory");
        }
        fs::write(path("handed/word"), "from outside").expect("a credential");
        let plain = path("plain").display().to_string();
        fs::write(&plain, "opened").expect("a file");
        let sealed = path("sealed/other").display().to_string();
        coracle.ok(&["creds", "encrypt", "--name=other", &plain, &sealed]);
        for name in ["word", "other", "absent"] {
            let unit = prints("LoadCredential=word\nImportCredential=oth*");
            let unit = format!("[Unit]\nConditionCredential={name}\n{unit}");
            coracle.unit(&format!("has-{name}.service"), &unit);
        }
        let mut direct = Command::new(coracle.dist().join("coracled"));
        for (name, folder) in [("runtime", "run"), ("state", "state"), ("config", "config")] {
            direct.arg(format!("--{name}-dir")).arg(path(folder));
        }
        direct.env("CREDENTIALS_DIRECTORY", path("handed"));
        direct.env("ENCRYPTED_CREDENTIALS_DIRECTORY", path("sealed"));
        let mut direct = direct.spawn().expect("it starts");
        eventually("its socket", || path("run/api").exists().then_some(()));
        for unit in ["has-word.service", "has-other.service"] {
            coracle.ok(&["start", unit]);
            let found = printed(coracle, unit);
            assert_eq!(found, ["other: opened", "word: from outside"], "{unit}");
        }
        coracle.ok(&["start", "has-absent.service"]);
        assert_eq!(
            coracle.property("has-absent.service", "ConditionResult"),
            "no"
        );
        coracle.ok(&["daemon-exit"]);
        direct.wait().expect("it ends");
    });
}

#[test]
fn more_starts_than_there_may_be_threads_wait_for_sockets_one_after_another() {
    const STARTS: usize = 70;
    const AT_ONCE: usize = 64;
    let folder = tempfile::tempdir_in("/run").expect("a directory");
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    let unit = format!(
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nLoadCredential=word:{}\nExecStart=/bin/sh -c 'read word < $CREDENTIALS_DIRECTORY/word; test $word = right'\n",
        path.display()
    );
    with_units(&[("web@.service", &unit)], |coracle| {
        let names: Vec<String> = (0..STARTS).map(|n| format!("web@{n}.service")).collect();
        let mut words = vec!["start"];
        words.extend(names.iter().map(String::as_str));
        let mut start = coracle.command(&words).spawn().expect("a process");
        let accept = || listener.accept().expect("the manager asks").0;
        let mut held: Vec<_> = (0..AT_ONCE).map(|_| accept()).collect();
        let asked =
            |coracle: &Instance, unit: &str| coracle.property(unit, "ActiveState") == "activating";
        assert!(names.iter().all(|unit| asked(coracle, unit)));
        for _ in AT_ONCE..STARTS {
            let mut first = held.remove(0);
            first.write_all(b"right\n").expect("it reads");
            drop(first);
            held.push(accept());
        }
        for mut connection in held {
            connection.write_all(b"right\n").expect("it reads");
        }
        assert!(start.wait().expect("a status").success());
        for unit in &names {
            assert_eq!(coracle.property(unit, "ActiveState"), "active", "{unit}");
        }
    });
}

#[test]
fn what_ours_sealed_before_the_references_secret_came_is_opened_after_it() {
    testkit::require_root();
    let coracle = Instance::new();
    fs::write(coracle.folder().join("plain"), "a secret").expect("a file");
    // A host of its own: another instance's secret stands for the reference's, which has the same form.
    let script = "
        mount -t tmpfs tmpfs /var/lib
        mkdir /var/lib/systemd
        creds() { \"$1\" creds \"$2\" --name=word \"$3\" \"$4\"; }
        creds \"$0\" encrypt plain ours
        CORACLE_STATE_DIR=$PWD/other \"$0\" creds setup
        cp other/credential.secret /var/lib/systemd
        chmod 400 /var/lib/systemd/credential.secret
        touch -d 2020-01-01 /var/lib/systemd/credential.secret
        creds \"$0\" encrypt plain theirs
        creds \"$0\" decrypt ours -
        creds \"$0\" decrypt theirs -
        touch -d 2010-01-01 state/credential.secret
        creds \"$0\" encrypt plain again
    ";
    let words = coracle.command(&[]);
    let mut host = Command::new("unshare");
    host.args(["--mount", "sh", "-e", "-c", script])
        .arg(words.get_program())
        .current_dir(coracle.folder());
    testkit::surround(&mut host, &words);
    let done = host.output().expect("unshare is installed");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    assert_eq!(
        String::from_utf8_lossy(&done.stdout),
        "a secreta secret",
        "{said}"
    );
    let ours = coracle.folder().join("state/credential.secret");
    let (ours, theirs) = (
        ours.display().to_string(),
        "/var/lib/systemd/credential.secret",
    );
    let expected = [
        format!("sealed with {theirs}"),
        format!("opened with {ours}"),
        format!("opened with {theirs}"),
        format!("sealed with {ours}"),
    ];
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.contains(" with "))
        .collect();
    let fits = lines
        .iter()
        .zip(&expected)
        .all(|(line, end)| line.ends_with(end.as_str()));
    assert!(lines.len() == expected.len() && fits, "{said}");
    coracle.stop();
}
