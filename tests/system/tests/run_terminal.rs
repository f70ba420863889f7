//! `coracle run --pty` and `--shell`: a unit on a terminal of its own, at which somebody sits.

use std::io::{Read, Write};
use std::process::Command;

use coracle_system_tests::terminal::pair;
use coracle_system_tests::with_units;

/// What the terminal shows, and the exit status.
fn typed(mut command: Command, keys: &str) -> (String, Option<i32>) {
    let (mut ours, theirs) = pair();
    let end = || theirs.try_clone().expect("its other end");
    command.stdin(end()).stdout(end()).stderr(end());
    let mut child = command.spawn().expect("it starts");
    drop(command);
    drop(theirs);
    ours.write_all(keys.as_bytes()).expect("typed");
    let mut shown = Vec::new();
    // The other end hangs up with EIO.
    ours.read_to_end(&mut shown).ok();
    let status = child.wait().expect("it ends");
    (String::from_utf8_lossy(&shown).into_owned(), status.code())
}

#[test]
fn a_shell_is_a_unit_in_our_directory_with_a_terminal_of_its_own_and_ends_as_it_says() {
    with_units(&[], |coracle| {
        let mut command = coracle.command(&["run", "--shell", "--unit=desk"]);
        command
            .current_dir(coracle.folder())
            .env("SHELL", "/bin/sh")
            .env("TERM", "vt100");
        let keys = "echo IN:$PWD ON:$(tty) IS:$TERM OF:$(ps -o tty= -p $$)\nexit 7\n";
        let (shown, status) = typed(command, keys);
        assert_eq!(status, Some(7), "{shown}");
        let folder = coracle.folder().display();
        assert!(
            shown.contains(&format!("IN:{folder} ON:/dev/pts/")),
            "{shown}"
        );
        // It is the controlling one, too.
        let on = |word: &str| {
            shown
                .rsplit(word)
                .next()
                .and_then(|rest| rest.split_whitespace().next())
        };
        assert_eq!(on("ON:/dev/"), on("OF:"), "{shown}");
        assert!(shown.contains("IS:vt100"), "{shown}");
        let left = coracle.ok(&["list-units", "--all", "--json"]);
        assert!(!left.contains("desk.service"), "{left}");
    });
}

#[test]
fn what_is_on_no_terminal_gets_none() {
    with_units(&[], |coracle| {
        let refused = coracle.coracle(&["run", "--pty", "/bin/true"]);
        assert_eq!(refused.status, 1, "{}", refused.stderr);
        assert!(
            refused.stderr.contains("--pipe takes streams as they are"),
            "{}",
            refused.stderr
        );
        let piped = coracle.coracle(&["run", "--shell", "/bin/sh", "-c", "tty; pwd; exit 3"]);
        let here = std::env::current_dir().expect("a directory");
        assert_eq!(piped.stdout, format!("not a tty\n{}\n", here.display()));
        assert_eq!(piped.status, 3, "{}", piped.stderr);
    });
}
