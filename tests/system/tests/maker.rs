//! The verbs of those who make images, on the shipped files: keys, building, signing, looking, and whom to trust.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use coracle_system_tests::with_units;
use testkit::{Finished, Instance};

/// A directory that becomes an image: `hello` 1.0 with one unit.
fn root(coracle: &Instance) -> PathBuf {
    let root = coracle.folder().join("root");
    let units = root.join("usr/lib/systemd/system");
    fs::create_dir_all(&units).expect("a directory");
    fs::write(
        root.join("usr/lib/os-release"),
        "ID=hello\nVERSION_ID=1.0\n",
    )
    .expect("os-release");
    fs::write(
        units.join("hello.service"),
        "[Service]\nExecStart=/bin/true\n",
    )
    .expect("a unit");
    fs::create_dir_all(root.join("usr/bin")).expect("a directory");
    fs::copy("/bin/true", root.join("usr/bin/true")).expect("a program");
    std::os::unix::fs::symlink("usr/bin", root.join("bin")).expect("a link");
    root
}

/// Runs a command in the instance's own folder.
#[track_caller]
fn check(coracle: &Instance, arguments: &[&str], status: i32, words: &[&str]) -> Finished {
    let output = coracle
        .command(arguments)
        .current_dir(coracle.folder())
        .output()
        .expect("the command starts");
    let done = Finished {
        status: output.status.code().expect("an exit status"),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    assert_eq!(done.status, status, "{arguments:?}: {done:#?}");
    for word in words {
        let both = [done.stdout.as_str(), done.stderr.as_str()].concat();
        assert!(
            both.contains(word),
            "{arguments:?}: no {word:?} in {done:#?}"
        );
    }
    done
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn a_key_is_made_once_and_for_its_owner_alone() {
    with_units(&[], |coracle| {
        check(
            coracle,
            &["keygen", "k", "--name", "Example Maker"],
            0,
            &["\"Example Maker\" · sha256:"],
        );
        let key = coracle.folder().join("k/signing.key");
        let bytes = fs::read(&key).expect("the key");
        assert_eq!(mode(&key), 0o600);
        check(coracle, &["keygen", "k"], 1, &["never overwritten"]);
        assert_eq!(fs::read(&key).expect("the key"), bytes);
    });
}

#[test]
fn the_same_directory_gives_the_same_bytes_whether_signed_at_once_or_later() {
    with_units(&[], |coracle| {
        root(coracle);
        check(coracle, &["keygen", "k"], 0, &[]);
        check(
            coracle,
            &["build", "root", "-o", "a.psi"],
            0,
            &["hello 1.0", "not signed", "hello.service"],
        );
        check(coracle, &["build", "root"], 0, &["hello_1.0.psi"]);
        let read = |name: &str| fs::read(coracle.folder().join(name)).expect("an image");
        assert!(read("a.psi") == read("hello_1.0.psi"));
        check(
            coracle,
            &["build", "root", "-o", "b.psi", "--key", "k/signing.key"],
            0,
            &["signed by"],
        );
        check(
            coracle,
            &["sign", "a.psi", "--key", "k/signing.key"],
            0,
            &["a.psi signed by"],
        );
        assert!(read("a.psi") == read("b.psi"));
        let left: Vec<_> = fs::read_dir(coracle.folder())
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| name.as_encoded_bytes().starts_with(b"."))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn what_an_image_says_of_itself_is_told_as_a_claim() {
    with_units(&[], |coracle| {
        root(coracle);
        check(coracle, &["keygen", "k", "--name", "Example Maker"], 0, &[]);
        check(
            coracle,
            &["build", "root", "-o", "a.psi", "--key", "k/signing.key"],
            0,
            &[],
        );
        check(
            coracle,
            &["inspect", "a.psi"],
            0,
            &["hello 1.0", "hello.service", "Example Maker", "is a claim"],
        );
        let printed = check(coracle, &["inspect", "a.psi", "--json"], 0, &[]).stdout;
        let report: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        assert_eq!(report["contents"]["os_release"]["ID"], "hello");
        assert_eq!(report["intact"], true);
        let path = coracle.folder().join("a.psi");
        let mut bytes = fs::read(&path).expect("the image");
        // Behind the partition table, which takes a mebibyte at most: the first block of the file system.
        let place = bytes
            .windows(4)
            .position(|magic| magic == b"\xe2\xe1\xf5\xe0")
            .expect("erofs");
        bytes[place + 100] ^= 1;
        fs::write(&path, bytes).expect("the image");
        let report = check(coracle, &["inspect", "a.psi", "--json"], 0, &[]).stdout;
        assert!(report.contains("\"intact\": false"), "{report}");
        check(
            coracle,
            &["inspect", "root/usr/lib/os-release"],
            1,
            &["this is no image"],
        );
        check(
            coracle,
            &["inspect", "nowhere"],
            1,
            &["no portable \"nowhere\"", "Hint:"],
        );
    });
}

#[test]
fn what_can_not_be_built_is_refused_in_words_and_leaves_nothing() {
    with_units(&[], |coracle| {
        let root = root(coracle);
        fs::remove_file(root.join("usr/lib/os-release")).expect("it was there");
        check(
            coracle,
            &["build", "root", "-o", "a.psi"],
            1,
            &["what the portable is called", "--name"],
        );
        check(
            coracle,
            &["build", "nowhere", "-o", "a.psi"],
            1,
            &["cannot read nowhere"],
        );
        check(
            coracle,
            &["build", "root", "-o", "a.psi", "--key", "nokey"],
            1,
            &["nokey", "Hint: `coracle keygen"],
        );
        check(
            coracle,
            &["build"],
            1,
            &["nothing says what to build from", "Hint:"],
        );
        assert!(!coracle.folder().join("a.psi").exists());
    });
}

#[test]
fn an_image_without_the_program_that_its_unit_starts_is_not_built() {
    with_units(&[], |coracle| {
        let root = root(coracle);
        std::os::unix::fs::symlink("/usr/bin/gone", root.join("usr/bin/dangling")).expect("a link");
        let built = |lines: &str, status: i32, words: &[&str]| {
            let unit = root.join("usr/lib/systemd/system/hello.service");
            fs::write(unit, format!("[Service]\n{lines}\n")).expect("a unit");
            check(coracle, &["build", "root", "-o", "a.psi"], status, words);
            assert_eq!(
                coracle.folder().join("a.psi").exists(),
                status == 0,
                "{lines}"
            );
            drop(fs::remove_file(coracle.folder().join("a.psi")));
        };
        for (program, path) in [
            ("/usr/bin/nope --x", "/usr/bin/nope"),
            ("-/usr/bin/nope", "/usr/bin/nope"),
            ("/usr/bin/dangling", "/usr/bin/dangling"),
            ("/usr/bin", "/usr/bin"),
            ("nope", "nope"),
        ] {
            let words = [
                &format!("hello.service, line 3: ExecStart= starts {path}, ")[..],
                "--add",
            ];
            built(&format!("Type=oneshot\nExecStart={program}"), 1, &words);
        }
        for lines in [
            "ExecStart=/usr/bin/true",
            "ExecStart=/bin/true",
            "ExecStart=true",
            "ExecStart=/usr/bin/%p",
            "ExecStart=/usr/bin/nope\nExecStart=\nExecStart=/bin/true",
            "ExecStart=/opt/tool\nBindReadOnlyPaths=/srv/tool:/opt",
        ] {
            built(lines, 0, &[]);
        }
    });
}

#[test]
fn certificates_are_trusted_listed_and_trusted_no_longer() {
    with_units(&[], |coracle| {
        check(coracle, &["keygen", "k", "--name", "Example Maker"], 0, &[]);
        check(
            coracle,
            &["trust", "add", "k/signing.crt"],
            0,
            &["trusted: \"Example Maker\""],
        );
        check(
            coracle,
            &["trust", "add", "k/signing.key"],
            1,
            &["is a key", "k/signing.crt"],
        );
        check(
            coracle,
            &["trust", "list"],
            0,
            &["NAME", "Example Maker", "trust.d/"],
        );
        let printed = check(coracle, &["trust", "list", "--json"], 0, &[]).stdout;
        let listed: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        let fingerprint = listed[0]["fingerprint"]
            .as_str()
            .expect("a fingerprint")
            .to_owned();
        check(
            coracle,
            &["trust", "remove", "Nobody"],
            1,
            &["Nobody", "Hint: `coracle trust list`"],
        );
        check(
            coracle,
            &["trust", "remove", "Example Maker"],
            0,
            &["no longer trusted", &fingerprint],
        );
        assert_eq!(
            check(coracle, &["trust", "list", "--json"], 0, &[]).stdout,
            "[]\n"
        );
        check(coracle, &["trust", "add", "k/signing.crt"], 0, &[]);
        check(
            coracle,
            &["trust", "remove", &format!("sha256:{}", &fingerprint[..12])],
            0,
            &[],
        );
    });
}
