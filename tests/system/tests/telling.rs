//! Units that fail are told of: by mail, by a webhook, by one line for all services, and never in circles.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use coracle_system_tests::waiting::{eventually, lines, state};
use coracle_system_tests::with_units;
use testkit::Instance;

const FAILS: &str = "[Unit]\nDescription=Bäcker\nOnFailure=coracle-notify@%n.service\n\
[Service]\nExecStart=/bin/sh -c 'printf \"cannot bind: \\\\033[2J\\\\377 in use\\\\nBcc: evil\\\\n\" >&2; exit 7'\n";

/// The instance's folder is below /tmp, where the sandbox would have a folder of its own.
const IN_TMP: &str = "[Service]\nPrivateTmp=no\nReadWritePaths=/tmp\n";

/// Writes the file that says who is told; its folder is the instance's own.
fn configure(coracle: &Instance, text: &str) {
    let folder = coracle.folder().join("config");
    let file = folder.join("notify.conf");
    std::fs::write(&file, text).expect("notify.conf");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let drop_in = folder.join("units/coracle-notify@.service.d");
    std::fs::create_dir_all(&drop_in).expect("a folder");
    std::fs::write(drop_in.join("tmp.conf"), IN_TMP).expect("a drop-in");
    coracle.ok(&["daemon-reload"]);
}

/// A program that takes mails as sendmail does, and keeps each in a file; the folder of those.
fn mailer(coracle: &Instance) -> (PathBuf, PathBuf) {
    let (program, mails) = (
        coracle.folder().join("sendmail"),
        coracle.folder().join("mails"),
    );
    std::fs::create_dir(&mails).expect("a folder");
    let text = format!(
        "#!/bin/sh\n[ \"$*\" = '-t -i' ] || exit 64\ngrep -E '^(NoNewPrivs|CapBnd|Seccomp):' /proc/self/status > {0}/status\n\
         touch /etc/coracle-test /root/coracle-test /usr/coracle-test 2> {0}/refused\ncat > {0}/$$.part && mv {0}/$$.part {0}/$$.mail\n",
        mails.display()
    );
    std::fs::write(&program, text).expect("a program");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    (program, mails)
}

/// The mails that came.
fn mails(folder: &PathBuf) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("a folder");
    files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "mail"))
        .map(|path| String::from_utf8(std::fs::read(path).expect("a mail")).expect("UTF-8"))
        .collect()
}

#[test]
fn a_failure_is_told_by_mail_with_the_last_lines_of_the_log() {
    with_units(&[("bad.service", FAILS)], |coracle| {
        let (program, folder) = mailer(coracle);
        let sendmail = program.display();
        configure(coracle, &format!("Mail=root\nSendmail={sendmail}\n"));
        coracle.ok(&["start", "bad"]);
        let mail = eventually("a mail", || mails(&folder).pop());
        let (headers, body) = mail.split_once("\n\n").expect("a body");
        let host = rustix::system::uname();
        let host = host.nodename().to_str().expect("a name");
        let subject =
            format!("\nSubject: bad.service on {host} is failed, result: exit-code (exited 7)\n");
        assert!(
            headers.starts_with("To: root\n") && headers.contains(&subject),
            "{mail}"
        );
        assert!(!headers.contains("Bcc"), "{mail}");
        for expected in [
            "It is described as: Bäcker\n",
            "MONITOR_UNIT=bad.service\n",
            "MONITOR_SERVICE_RESULT=exit-code\n",
            "MONITOR_EXIT_STATUS=7\n",
            "  cannot bind: \\u{1b}[2J\u{fffd} in use\n  Bcc: evil\n",
        ] {
            assert!(body.contains(expected), "{expected}: {mail}");
        }
        // A mailer may become another user, and that is all: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETGID and SETUID.
        let sandbox = std::fs::read_to_string(folder.join("status")).expect("its status");
        let fields: Vec<&str> = sandbox.split_whitespace().collect();
        let expected = [
            "CapBnd:",
            "00000000000000db",
            "NoNewPrivs:",
            "0",
            "Seccomp:",
            "2",
        ];
        assert_eq!(fields, expected);
        let refused = std::fs::read_to_string(folder.join("refused")).expect("what failed");
        assert_eq!(refused.lines().count(), 3, "{refused}");
        let teller = "coracle-notify@bad.service.service";
        state(coracle, teller, "inactive");
        assert_eq!(coracle.property(teller, "Result"), "success");
        let explained = coracle.ok(&["explain", "notify.conf"]);
        assert!(explained.contains("EveryService=yes"), "{explained}");
    });
}

#[test]
fn one_line_is_for_all_services_and_nothing_is_told_of_what_tells() {
    let own = "[Unit]\nOnFailure=other.service\n[Service]\nExecStart=/bin/false\n";
    let units = [
        ("bad.service", "[Service]\nExecStart=/bin/false\n"),
        ("own.service", own),
        (
            "other.service",
            "[Service]\nType=oneshot\nExecStart=/bin/true\n",
        ),
    ];
    with_units(&units, |coracle| {
        let told_by = |unit: &str| coracle.property(unit, "OnFailure");
        // A mailer that fails: its unit fails, too, and that is the end of it.
        configure(
            coracle,
            "EveryService=yes\nMail=root\nSendmail=/bin/false\n",
        );
        let teller = "coracle-notify@bad.service.service";
        assert_eq!(told_by("bad.service"), teller);
        assert_eq!(told_by("own.service"), "other.service");
        assert_eq!(told_by(teller), "");
        coracle.ok(&["start", "bad"]);
        state(coracle, teller, "failed");
        let said = lines(coracle, teller, |lines| {
            lines.iter().any(|line| line.contains("no mail tells"))
        });
        assert!(
            said.iter().any(|line| line.contains("did not take it")),
            "{said:?}"
        );
        let again = coracle.ok(&["list-units", "--all", "--json"]);
        assert!(!again.contains("coracle-notify@coracle-notify"), "{again}");
        configure(coracle, "Mail=root\n");
        assert_eq!(told_by("bad.service"), "");
    });
}

#[test]
fn nobody_is_flooded() {
    with_units(&[("bad.service", FAILS)], |coracle| {
        let (program, folder) = mailer(coracle);
        configure(
            coracle,
            &format!("Mail=root\nSendmail={}\n", program.display()),
        );
        let teller = "coracle-notify@bad.service.service";
        let mut told = 0;
        for _ in 0..7 {
            coracle.ok(&["start", "bad"]);
            state(coracle, "bad.service", "failed");
            coracle.ok(&["reset-failed", "bad"]);
            let came = eventually("a mail, or an end of them", || {
                let (count, now) = (
                    mails(&folder).len(),
                    coracle.property(teller, "ActiveState"),
                );
                (count > told && now == "inactive" || now == "failed").then_some(count)
            });
            told = came;
        }
        assert_eq!(told, 5);
        assert_eq!(coracle.property(teller, "Result"), "start-limit-hit");
    });
}

/// A webhook that answers once; the address with a token, and what it was told.
fn webhook(answer: Option<&'static str>) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
        let mut length = 0;
        for line in reader.by_ref().lines() {
            let line = line.expect("a line").to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        match answer {
            Some(answer) => stream.write_all(answer.as_bytes()).expect("it listens"),
            // Until the other side gives up.
            None => drop(reader.read_to_end(&mut Vec::new())),
        }
        String::from_utf8(body).expect("JSON")
    });
    (format!("http://{address}/hook?token=geheim"), server)
}

#[test]
fn a_failure_is_told_to_a_webhook_whose_address_stays_secret() {
    for (answer, result, words) in [
        (
            Some("HTTP/1.1 204 No Content\r\n\r\n"),
            "success",
            "told of bad.service by webhook",
        ),
        (
            Some(
                "HTTP/1.1 308 Moved\r\nLocation: gopher://127.0.0.1/geheim\r\nContent-Length: 0\r\n\r\n",
            ),
            "exit-code",
            "answers with a redirect (status 308), which is not followed",
        ),
        (None, "exit-code", "does not answer"),
    ] {
        with_units(&[("bad.service", FAILS)], |coracle| {
            let (url, server) = webhook(answer);
            configure(coracle, &format!("Webhook={url}\nLines=2\n"));
            coracle.ok(&["start", "bad"]);
            let told: serde_json::Value =
                serde_json::from_str(&server.join().expect("a message")).expect("JSON");
            assert_eq!(told["unit"], "bad.service");
            assert_eq!(told["active_state"], "failed");
            assert_eq!(told["result"], "exit-code");
            assert_eq!(told["exit_status"], "7");
            assert_eq!(told["monitor"]["MONITOR_UNIT"], "bad.service");
            assert_eq!(told["log"].as_array().map(Vec::len), Some(2));
            let teller = "coracle-notify@bad.service.service";
            let said = lines(coracle, teller, |lines| {
                lines.iter().any(|line| line.contains(words))
            });
            assert!(!said.join("\n").contains("geheim"), "{said:?}");
            let end = if result == "success" {
                "inactive"
            } else {
                "failed"
            };
            state(coracle, teller, end);
            assert_eq!(coracle.property(teller, "Result"), result);
        });
    }
}

#[test]
fn a_file_that_names_nobody_is_an_error_that_says_what_to_do() {
    with_units(&[("bad.service", FAILS)], |coracle| {
        configure(coracle, "Wehook=http://127.0.0.1/geheim\n");
        let tried = coracle.coracle(&["notify-about", "bad"]);
        let said = tried.stderr;
        assert_eq!(tried.status, 1, "{said}");
        assert!(
            said.contains("line 1: there is no Wehook=") && said.contains("names nobody"),
            "{said}"
        );
        assert!(!said.contains("geheim"), "{said}");
        let teller = "coracle-notify@bad.service.service";
        let tried = coracle.coracle(&["notify-about", teller]);
        assert_eq!(tried.status, 0, "{}", tried.stderr);
    });
}
