//! A maker publishes versions: whole files beside an index that openssl can check, and nothing that a host would refuse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_system_tests::images::{BOAT, By, Workshop, with_workshop};
use testkit::Instance;

/// The index as its lines and its body.
fn index(directory: &Path) -> (String, String) {
    let text = fs::read_to_string(directory.join("boat.channel")).expect("an index");
    let (head, body) = text.split_once("\n\n").expect("a body");
    (head.to_owned(), body.to_owned())
}

fn publish(coracle: &Instance, key: &str, image: &str, directory: &Path, more: &[&str]) -> String {
    let directory = directory.display().to_string();
    let mut words = vec!["publish", image, &directory, "--key", key];
    words.extend(more);
    coracle.ok(&words)
}

fn refused(coracle: &Instance, words: &[&str], expected: &[&str]) {
    let said = coracle.coracle(words);
    assert_eq!(said.status, 1, "{words:?}: {}", said.stderr);
    said.refused(expected);
}

fn images(workshop: &Workshop, by: By) -> [String; 3] {
    ["1.0", "1.1", "1.2"]
        .map(|version| workshop.image("boat", version, by, &[("boat.service", BOAT)]))
}

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .filter(|name| name != "chunks")
        .collect();
    names.sort();
    names
}

#[test]
fn versions_lie_whole_beside_an_index_that_openssl_finds_signed() {
    with_workshop(|coracle, workshop| {
        let directory = coracle.folder().join("web");
        let key = workshop.key(By::Trusted);
        let [first, second, third] = images(workshop, By::Trusted);
        let said = publish(coracle, &key, &first, &directory, &[]);
        assert!(
            said.contains("boat 1.0 · 1 version · serial 1 · counts until"),
            "{said}"
        );
        publish(coracle, &key, &second, &directory, &[]);
        for (name, image) in [
            ("boat_1.0.psi", &first),
            ("boat_1.1.psi", &second),
            ("boat.psi", &second),
        ] {
            let same = fs::read(directory.join(name)).expect("the image")
                == fs::read(image).expect("the original");
            assert!(same, "{name} is another file");
        }
        let (head, body) = index(&directory);
        let signed = directory.with_file_name("signed");
        fs::write(
            &signed,
            format!("{}\n{body}", head.lines().next().expect("a line")),
        )
        .expect("what was signed");
        let signature = head
            .lines()
            .find_map(|line| line.strip_prefix("signature "));
        let pem = format!(
            "-----BEGIN CMS-----\n{}\n-----END CMS-----\n",
            folded(signature.expect("a signature"))
        );
        let signature = directory.with_file_name("signature");
        fs::write(&signature, pem).expect("the signature");
        let checked = Command::new("openssl")
            .args([
                "cms",
                "-verify",
                "-binary",
                "-inform",
                "PEM",
                "-purpose",
                "any",
                "-out",
                "/dev/null",
            ])
            .arg("-in")
            .arg(&signature)
            .arg("-content")
            .arg(&signed)
            .arg("-CAfile")
            .arg(Path::new(&key).with_extension("crt"))
            .output()
            .expect("openssl is installed");
        assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stderr)
        );
        // A third version with a floor takes the first one away, from the index and from the directory.
        let said = publish(
            coracle,
            &key,
            &third,
            &directory,
            &["--floor", "1.1", "--needs-kernel", "5.10"],
        );
        assert!(said.contains("boat 1.2 · 2 versions · serial 3"), "{said}");
        let (_, body) = index(&directory);
        for part in [
            "\"floor\": \"1.1\"",
            "\"kernel\": \"5.10\"",
            "boat_1.1.psi.zst",
            "\"architecture\": ",
        ] {
            assert!(body.contains(part), "{body}");
        }
        assert!(!body.contains("boat_1.0"), "{body}");
        let left = files(&directory);
        assert!(
            left.iter().all(|name| !name.starts_with("boat_1.0")),
            "{left:?}"
        );
    });
}

/// All files with what is in them.
/// How many keys hand over to the next in the index.
fn handovers(directory: &Path) -> usize {
    let (head, _) = index(directory);
    let lines = head.lines();
    lines.filter(|line| line.starts_with("successor ")).count()
}

fn contents(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| {
        let bytes = fs::read(directory.join(&name)).expect("a file");
        (name, bytes)
    };
    files(directory).into_iter().map(read).collect()
}

/// Base64 as PEM has it.
fn folded(text: &str) -> String {
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("letters"))
        .collect();
    lines.join("\n")
}

#[test]
fn what_hosts_would_refuse_is_not_published() {
    with_workshop(|coracle, workshop| {
        let directory = coracle.folder().join("web");
        let web = directory.display().to_string();
        let (key, other) = (workshop.key(By::Trusted), workshop.key(By::Unknown));
        let units = [("boat.service", BOAT)];
        let unsigned = workshop.image("boat", "0.9", By::Nobody, &units);
        refused(
            coracle,
            &["publish", &unsigned, &web, "--key", &key],
            &["is not signed", "coracle sign"],
        );
        let [first, second, third] = images(workshop, By::Trusted);
        refused(
            coracle,
            &["publish", &first, &web, "--key", &other],
            &[
                "\"Trusted Maker\"",
                "\"Unknown Maker\"",
                "hosts would refuse",
            ],
        );
        let damaged = PathBuf::from(&first).with_file_name("damaged.psi");
        let mut bytes = fs::read(&first).expect("the image");
        bytes[(1 << 20) + 4096] ^= 1;
        fs::write(&damaged, bytes).expect("a damaged image");
        refused(
            coracle,
            &[
                "publish",
                &damaged.display().to_string(),
                &web,
                "--key",
                &key,
            ],
            &["is damaged"],
        );
        assert!(
            !directory.exists(),
            "nothing that is refused makes a directory"
        );
        publish(coracle, &key, &second, &directory, &["--floor", "1.1"]);
        let before = contents(&directory);
        refused(
            coracle,
            &["publish", &first, &web, "--key", &key],
            &["1.0 is below the floor, 1.1"],
        );
        refused(
            coracle,
            &["publish", &second, &web, "--key", &key, "--floor", "1.0"],
            &["floor only rises"],
        );
        let again = workshop.image(
            "boat",
            "1.1",
            By::Trusted,
            &[("boat.service", BOAT), ("boat-two.service", BOAT)],
        );
        refused(
            coracle,
            &["publish", &again, &web, "--key", &key],
            &["1.1 was published before"],
        );
        let after = contents(&directory);
        assert!(after == before, "a served file was changed");
        publish(coracle, &key, &third, &directory, &[]);
        let between = workshop.image("boat", "1.1.5", By::Trusted, &units);
        let kept = contents(&directory);
        refused(
            coracle,
            &["publish", &between, &web, "--key", &key, "--keep", "1"],
            &["is older than the 1 versions"],
        );
        assert!(contents(&directory) == kept, "a served file was changed");
    });
}

#[test]
fn a_key_hands_over_to_the_next_and_nobody_else_goes_on_from_its_index() {
    with_workshop(|coracle, workshop| {
        let directory = coracle.folder().join("web");
        let web = directory.display().to_string();
        let (key, next) = (workshop.key(By::Trusted), workshop.key(By::Unknown));
        let [first, _, _] = images(workshop, By::Trusted);
        publish(coracle, &key, &first, &directory, &[]);
        let [_, second, third] = images(workshop, By::Unknown);
        refused(
            coracle,
            &["publish", &second, &web, "--key", &next],
            &["cannot go on from", "not trusted", "--former-key"],
        );
        publish(coracle, &next, &second, &directory, &["--former-key", &key]);
        assert_eq!(handovers(&directory), 1);
        // From then on the new key alone will do, and the word of the old one stays.
        publish(coracle, &next, &third, &directory, &[]);
        assert_eq!(handovers(&directory), 1);
    });
}

#[test]
fn what_is_served_stays_when_the_index_is_renewed_and_everybody_may_read_it() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    with_workshop(|coracle, workshop| {
        let directory = coracle.folder().join("web");
        let key = workshop.key(By::Trusted);
        let [image, ..] = images(workshop, By::Trusted);
        // Under a mask that would keep the web server out.
        let place = directory.display().to_string();
        let mut command = Command::new("sh");
        command.args(["-c", "umask 077; exec \"$@\"", "sh"]);
        let inner = coracle.command(&["publish", &image, &place, "--key", &key]);
        let done = testkit::executed(command, &inner).status();
        assert!(done.expect("a shell").success());
        let found = || {
            let names = ["boat_1.0.psi", "boat_1.0.psi.zst"];
            names.map(|name| fs::metadata(directory.join(name)).expect("it is served"))
        };
        let before = found();
        for one in &before {
            assert_eq!(one.permissions().mode() & 0o777, 0o644);
        }
        publish(coracle, &key, &image, &directory, &[]);
        assert_eq!(found().map(|one| one.ino()), before.map(|one| one.ino()));
        // A copy that was damaged is made anew.
        fs::write(directory.join("boat_1.0.psi.zst"), "damaged").expect("a file");
        publish(coracle, &key, &image, &directory, &[]);
        assert!(found()[1].len() > 100);
    });
}
