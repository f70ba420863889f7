//! What is found, and what is not.

#![allow(clippy::unwrap_used, reason = "a test")]

use super::*;
use model::text::Verbatim;
use std::fs;

/// Stores in folders, and what a unit with these lines gets from them: `name=value …`, or what is wrong.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new(files: &[(&str, &str)]) -> World {
        let folder = tempfile::tempdir_in("/var").unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        World { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn read(&self, lines: &[&str], said: &[(String, io::Result<Vec<u8>>)]) -> String {
        self.read_on(lines, said, false).0
    }

    /// The same on a machine that boots securely or not, and what is warned of.
    fn read_on(
        &self,
        lines: &[&str],
        said: &[(String, io::Result<Vec<u8>>)],
        boots_securely: bool,
    ) -> (String, Vec<String>) {
        let warnings = std::cell::RefCell::new(Vec::new());
        let mut unit = Unit::new("web.service".parse().unwrap());
        for line in lines {
            let (name, value) = line.split_once('=').unwrap();
            let value = value.replace("DIR", &self.path(""));
            settings::apply(&mut unit, "Service", name, &value, &Verbatim).unwrap();
        }
        let stores = [("first", false), ("second", false), ("sealed", true)];
        let stores = stores.map(|(name, is_sealed)| (self.path(name), is_sealed));
        let stores = Stores::from(stores.to_vec(), true);
        let sources = Sources {
            keeper: std::process::id(),
            state: self.folder.path(),
            now_us: 10,
            said,
            boots_securely: &|| boots_securely,
            warn: &|text| {
                warnings
                    .borrow_mut()
                    .push(text.replace(&self.path(""), "DIR"))
            },
        };
        let found = match read_from(&unit, &sources, &stores) {
            Ok(found) => found
                .iter()
                .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
                .collect::<Vec<_>>()
                .join(" "),
            Err(wrong) => {
                format!("{}: {}", wrong.directive, wrong.message).replace(&self.path(""), "DIR")
            }
        };
        (found, warnings.into_inner())
    }

    fn check(&self, lines: &[&str], expected: &str) {
        assert_eq!(self.read(lines, &[]), expected, "{lines:?}");
    }
}

fn sealed(name: &str, content: &str, end: Option<u64>) -> String {
    let bytes = credential::seal(content.as_bytes(), name, (1, end), None).unwrap();
    credential::to_text(&bytes)
}

#[test]
fn a_name_is_looked_for_in_the_stores_and_may_be_nowhere_a_path_may_not() {
    let world = World::new(&[
        ("first/key", "1"),
        ("second/key", "2"),
        ("second/late", "late"),
    ]);
    world.check(&["LoadCredential=key"], "key=1");
    world.check(&["LoadCredential=other:late"], "other=late");
    world.check(&["LoadCredential=none"], "");
    world.check(&["LoadCredential=a:key", "LoadCredential=a:late"], "a=late");
    let missing = "LoadCredential: DIRnone can't be read: No such file or directory (os error 2)";
    world.check(&["LoadCredential=key:DIRnone"], missing);
    world.check(&["LoadCredential=key:DIRnone", "SetCredential=key:x"], "");
}

#[test]
fn what_begins_alike_is_imported_and_renamed_and_the_first_of_a_name_stays() {
    let text = sealed("web.c", "c", None);
    let world = World::new(&[
        ("first/web.a", "a1"),
        ("second/web.a", "a2"),
        ("second/web.b", "b2"),
        ("second/.web.hidden", "no"),
        ("sealed/web.c", &text),
    ]);
    world.check(&["ImportCredential=web.*"], "web.a=a1 web.b=b2 web.c=c");
    world.check(&["ImportCredential=web.b"], "web.b=b2");
    world.check(
        &["ImportCredential=web.*:own-"],
        "own-a=a1 own-b=b2 own-c=c",
    );
    world.check(
        &["ImportCredential=web.a:x", "ImportCredential=web.b:x"],
        "x=a1",
    );
    world.check(
        &[
            "LoadCredential=web.b:DIRfirst/web.a",
            "ImportCredential=web.b",
        ],
        "web.b=a1",
    );
    world.check(&["ImportCredential=none*"], "");
}

#[test]
fn what_has_a_name_that_is_taken_is_not_looked_at_and_only_what_fits_counts() {
    let large = "x".repeat(600 << 10);
    let world = World::new(&[
        ("first/web.a", &large),
        ("second/web.a", &large),
        ("sealed/web.a", "broken"),
    ]);
    for line in ["ImportCredential=web.a", "ImportCredential=web.*"] {
        let found = world.read(&[line], &[]);
        assert!(found == format!("web.a={large}"), "{found:.200}");
    }
    for number in 0..2 * CREDENTIALS_MAX {
        fs::write(world.path(&format!("second/other.{number}")), "").unwrap();
    }
    fs::write(world.path("second/web.b"), "b").unwrap();
    world.check(&["ImportCredential=web.b*"], "web.b=b");
    let found = world.read(&["ImportCredential=other.*"], &[]);
    assert!(found.contains("be 1024"), "{found:.200}");
}

#[test]
fn a_store_that_a_user_may_not_read_is_none_and_roots_must_be_readable() {
    let check = |kind: io::ErrorKind, roots: bool, users: bool| {
        for (are_roots, expected) in [(true, roots), (false, users)] {
            let stores = Stores::from(Vec::new(), are_roots);
            assert_eq!(stores.is_absent(&kind.into()), expected, "{kind}");
        }
    };
    check(io::ErrorKind::NotFound, true, true);
    check(io::ErrorKind::PermissionDenied, false, true);
    check(io::ErrorKind::InvalidInput, false, false);
}

#[test]
fn a_directory_is_loaded_with_all_that_is_in_it_but_links() {
    let world = World::new(&[
        ("tree/b", "b"),
        ("tree/a/x", "x"),
        ("tree/.hidden", "no"),
        ("host", "host"),
    ]);
    std::os::unix::fs::symlink(world.path("host"), world.path("tree/link")).unwrap();
    world.check(&["LoadCredential=key:DIRtree"], "key_a_x=x key_b=b");
    fs::write(world.path("tree/large"), vec![b'x'; 1 << 20]).unwrap();
    let found = world.read(&["LoadCredential=key:DIRtree"], &[]);
    assert!(found.contains("1 MiB together"), "{found:.200}");
}

#[test]
fn what_is_sealed_is_opened_for_its_name_and_in_its_time() {
    let (text, over) = (sealed("key", "secret", None), sealed("key", "old", Some(9)));
    let world = World::new(&[("file", &text), ("over", &over), ("sealed/key", &text)]);
    world.check(&["LoadCredentialEncrypted=key:DIRfile"], "key=secret");
    world.check(&["LoadCredentialEncrypted=key"], "key=secret");
    world.check(&["LoadCredential=key"], "");
    let other = "LoadCredentialEncrypted: DIRfile can't be read: it was sealed for the name \"key\", and not for \"other\"";
    world.check(&["LoadCredentialEncrypted=other:DIRfile"], other);
    let late = "LoadCredentialEncrypted: DIRover can't be read: its time is over";
    world.check(&["LoadCredentialEncrypted=key:DIRover"], late);
    let line = format!("SetCredentialEncrypted=key:{}", text.replace('\n', ""));
    world.check(&[&line], "key=secret");
    world.check(
        &[&line, "LoadCredential=key:DIRover"],
        &format!("key={over}"),
    );
    let plain =
        "SetCredentialEncrypted: key can't be read: it is no sealed credential: it is no base64";
    world.check(&["SetCredentialEncrypted=key:!"], plain);
}

#[test]
fn the_null_key_is_warned_of_where_the_host_has_a_secret_and_refused_where_only_what_is_signed_starts()
 {
    let text = sealed("key", "forged", None);
    let world = World::new(&[("file", &text), ("sealed/key", &text)]);
    let set = format!("SetCredentialEncrypted=key:{}", text.replace('\n', ""));
    let lines = [
        ("LoadCredentialEncrypted=key:DIRfile", "DIRfile"),
        ("LoadCredentialEncrypted=key", "DIRsealed/key"),
        ("ImportCredential=key", "DIRsealed/key"),
        (set.as_str(), "key"),
    ];
    let on = |line, boots_securely| world.read_on(&[line], &[], boots_securely);
    let has_reference = fs::exists("/var/lib/systemd/credential.secret").unwrap();
    for (line, what) in lines {
        if !has_reference {
            assert_eq!(on(line, false), ("key=forged".into(), Vec::new()));
        }
        let (found, _) = on(line, true);
        assert!(
            found.contains(&format!(
                "{what} can't be read: it is sealed with the null key"
            )),
            "{found}"
        );
    }
    credential::HostSecret::read_or_make(world.folder.path()).unwrap();
    for (line, what) in lines {
        let (found, warnings) = on(line, false);
        assert_eq!(found, "key=forged");
        let warned = warnings
            .iter()
            .all(|text| text.starts_with(&format!("{what} is sealed with the null key")));
        assert!(warned && warnings.len() == 1, "{warnings:?}");
    }
}

#[test]
fn what_a_socket_said_takes_the_place_of_a_file() {
    let world = World::new(&[]);
    let said = [("key".to_owned(), Ok(b"word".to_vec()))];
    assert_eq!(
        world.read(&["LoadCredential=key:/run/socket"], &said),
        "key=word"
    );
    let refused = [(
        "key".to_owned(),
        Err(io::ErrorKind::ConnectionRefused.into()),
    )];
    let found = world.read(&["LoadCredential=key:/run/socket"], &refused);
    assert!(found.contains("/run/socket can't be read"), "{found}");
}
