//! Dynamic users as records: found by name and number while they are there, by whoever asks, over the death of the manager.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use coracle_system_tests::{manager, with_units};
use rustix::process::Pid;
use serde_json::{Value, json};
use testkit::Instance;

const DIRECTORY: &str = "/run/systemd/userdb";
const UNIT: &str = "[Service]\nDynamicUser=yes\nUser=ctestuser\nExecStart=/bin/sleep infinity\n";

/// The instance's own socket: of many at once, the one that knows the user.
fn socket(name: &str) -> PathBuf {
    let entries = fs::read_dir(DIRECTORY).expect("the directory of sockets");
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    let knows = |path: &Path| ask(path, "GetUserRecord", json!({"userName": name}));
    paths
        .find(|path| knows(path)["parameters"]["record"].is_object())
        .expect("a socket that knows the user")
}

fn ask(path: &Path, method: &str, mut parameters: Value) -> Value {
    let service = path.file_name().expect("a name").to_string_lossy();
    if parameters["service"].is_null() {
        parameters["service"] = service.as_ref().into();
    }
    let call =
        json!({"method": format!("io.systemd.UserDatabase.{method}"), "parameters": parameters});
    say(path, format!("{call}\0").as_bytes())
}

/// Null where the other side hangs up, or is no more.
fn say(path: &Path, bytes: &[u8]) -> Value {
    let Ok(mut stream) = UnixStream::connect(path) else {
        return Value::Null;
    };
    stream.write_all(bytes).expect("it reads");
    let mut answer = Vec::new();
    match BufReader::new(stream).read_until(0, &mut answer) {
        Ok(0) | Err(_) => Value::Null,
        Ok(_) => serde_json::from_slice(
            answer
                .trim_ascii_end()
                .strip_suffix(&[0])
                .unwrap_or(&answer),
        )
        .expect("JSON"),
    }
}

/// How many answers come to so many calls, sent at once.
fn answers_to(path: &Path, calls: usize, uid: u64) -> usize {
    let service = path.file_name().expect("a name").to_string_lossy();
    let call = json!({
        "method": "io.systemd.UserDatabase.GetUserRecord",
        "parameters": {"uid": uid, "service": service},
    });
    let mut stream = UnixStream::connect(path).expect("somebody listens");
    let all = format!("{call}\0").repeat(calls);
    stream.write_all(all.as_bytes()).expect("it reads");
    stream.shutdown(Shutdown::Write).expect("half a close");
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).expect("an end");
    let answers = answers.split(|byte| *byte == 0);
    answers.filter(|answer| !answer.is_empty()).count()
}

/// The most memory that a process has had, in KiB.
fn peak(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid()));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number.expect("a number").parse().expect("a number")
}

/// Sends many calls as fast as they are taken, and, where it reads at all, gives how many answers came.
fn flood(path: &Path, calls: usize, reads: bool) -> usize {
    // Room between the words, so that much comes with every call.
    let call = format!("{{{}\"method\":\"x\"}}\0", " ".repeat(1000));
    let all = call.repeat(calls);
    let mut stream = UnixStream::connect(path).expect("somebody listens");
    let mut answers = BufReader::new(stream.try_clone().expect("the same connection"));
    let reader = std::thread::spawn(move || {
        let mut answer = Vec::new();
        let mut count = 0;
        while reads
            && answers
                .read_until(0, &mut answer)
                .is_ok_and(|read| read > 0)
        {
            answer.clear();
            count += 1;
        }
        count
    });
    let sent = stream
        .write_all(all.as_bytes())
        .and_then(|()| stream.shutdown(Shutdown::Write));
    // Who does not read, or too slowly, loses its connection.
    assert!(reads || sent.is_err(), "{sent:?}");
    reader.join().expect("it ends")
}

fn uid_of(coracle: &Instance) -> u64 {
    let pid = coracle.property("web.service", "MainPID");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let uid = line.and_then(|line| line.split_whitespace().next());
    uid.expect("a number").parse().expect("a number")
}

#[test]
fn a_dynamic_user_is_found_as_long_as_its_service_runs() {
    with_units(&[("web.service", UNIT)], |coracle| {
        coracle.ok(&["start", "web.service"]);
        let uid = uid_of(coracle);
        let path = socket("ctestuser");
        let check = || {
            for asked in [json!({"userName": "ctestuser"}), json!({"uid": uid})] {
                let record = ask(&path, "GetUserRecord", asked)["parameters"]["record"].clone();
                assert_eq!(
                    (&record["userName"], &record["uid"]),
                    (&json!("ctestuser"), &json!(uid))
                );
            }
            let group = ask(&path, "GetGroupRecord", json!({"gid": uid}));
            assert_eq!(group["parameters"]["record"]["groupName"], "ctestuser");
        };
        check();
        manager::kill(manager::of(coracle.process("KeeperPID")));
        check();
        let error = |answer: Value| answer["error"].as_str().unwrap_or_default().to_owned();
        let other = error(ask(&path, "GetUserRecord", json!({"userName": "root"})));
        assert_eq!(other, "io.systemd.UserDatabase.NoRecordFound");
        let service = error(ask(
            &path,
            "GetUserRecord",
            json!({"uid": uid, "service": "x"}),
        ));
        assert_eq!(service, "io.systemd.UserDatabase.BadService");
        let all = error(ask(&path, "GetUserRecord", json!({})));
        assert_eq!(all, "io.systemd.UserDatabase.EnumerationNotSupported");
        // What is no call, or too long for one, ends its own connection and nothing else.
        assert_eq!(say(&path, b"{\0"), Value::Null);
        assert_eq!(say(&path, &[b'x'; 100_000]), Value::Null);
        // All calls of one connection are answered, however many came at once, and although nothing comes after them.
        assert_eq!(answers_to(&path, 40, uid), 40);
        let silent: Vec<UnixStream> = (0..200)
            .map(|_| UnixStream::connect(&path).expect("somebody listens"))
            .collect();
        check();
        drop(silent);
        coracle.ok(&["stop", "web.service"]);
        let gone = error(ask(&path, "GetUserRecord", json!({"uid": uid})));
        assert_eq!(gone, "io.systemd.UserDatabase.NoRecordFound");
        coracle.ok(&["daemon-exit"]);
        assert!(!path.exists());
    });
}

#[test]
fn who_asks_faster_than_it_is_answered_waits_and_takes_no_memory() {
    const CALLS: usize = 12_000;
    let unit = UNIT.replace("ctestuser", "ctestflood");
    with_units(&[("web.service", &unit)], |coracle| {
        coracle.ok(&["start", "web.service"]);
        let path = socket("ctestflood");
        assert_eq!(flood(&path, 100, true), 100);
        let manager = coracle.process("ManagerPID");
        let before = peak(manager);
        std::thread::scope(|scope| {
            // One that does not read its answers loses its connection.
            let silent = scope.spawn(|| flood(&path, CALLS, false));
            let floods: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| flood(&path, CALLS, true)))
                .collect();
            for flood in floods {
                let answers = flood.join().expect("it ends");
                assert!((1..=CALLS).contains(&answers), "{answers} answers");
            }
            silent.join().expect("it ends");
        });
        let known = ask(&path, "GetUserRecord", json!({"userName": "ctestflood"}));
        assert_eq!(known["parameters"]["record"]["userName"], "ctestflood");
        assert_eq!(coracle.process("ManagerPID"), manager);
        let grown = peak(manager) - before;
        assert!(grown < 4 << 10, "{grown} KiB more");
    });
}
