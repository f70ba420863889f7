//! Images built from directories: reproducible, complete, refused for a reason; and what passes the gate afterwards.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use super::*;
use crate::inspect::inspect;

const RELEASE: (&str, &str) = ("usr/lib/os-release", "ID=hello\nVERSION_ID=1.0\n");
const UNIT: (&str, &str) = (
    "usr/lib/systemd/system/hello.service",
    "[Service]\nExecStart=/usr/bin/hello\nStateDirectory=hello\n",
);

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// What was built of a directory, in words, or the refusal.
fn check(directory: &Path, expected: &str) {
    let out = tempfile::tempdir().unwrap();
    let said = match build(directory, &out.path().join("x.psi"), &Options::default()) {
        Ok(built) => format!(
            "{} {} {}",
            built.name,
            built.version.unwrap_or("-".into()),
            built.units.join(" ")
        ),
        Err(error) => format!("refused: {error}").replace(&directory.display().to_string(), "DIR"),
    };
    assert_eq!(said, expected);
    let left: Vec<_> = out
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    let whole = if expected.starts_with("refused") {
        vec![]
    } else {
        vec!["x.psi"]
    };
    assert_eq!(left, whole, "the image is there whole or not at all");
}

#[test]
fn a_directory_with_a_name_and_a_unit_becomes_an_image() {
    check(
        directory(&[RELEASE, UNIT]).path(),
        "hello 1.0 hello.service",
    );
    let more = ("etc/systemd/system/hello-clean.timer", "[Timer]\n");
    check(
        directory(&[("etc/os-release", "ID=hello\n"), UNIT, more]).path(),
        "hello - hello-clean.timer hello.service",
    );
}

#[test]
fn what_is_missing_is_said_with_what_to_do() {
    let no_release = "refused: there is no usr/lib/os-release and no etc/os-release: write one with at least ID= and VERSION_ID=";
    check(directory(&[UNIT]).path(), no_release);
    let no_unit = "refused: no unit file hello.* or hello-* (.service, .socket, .target, .timer or .path) in usr/lib/systemd/system";
    check(
        directory(&[RELEASE, ("usr/lib/systemd/system/other.service", "")]).path(),
        no_unit,
    );
    let masked = directory(&[RELEASE, UNIT]);
    let above = masked.path().join("etc/systemd/system");
    fs::create_dir_all(&above).unwrap();
    symlink("/dev/null", above.join("hello.service")).unwrap();
    check(masked.path(), no_unit);
    let no_name = "refused: os-release names no portable: say ID=, or PORTABLE_ID= where ID= is the distribution's";
    check(
        directory(&[("usr/lib/os-release", "NAME=x\n"), UNIT]).path(),
        no_name,
    );
}

#[test]
fn what_images_do_not_hold_is_refused_by_its_path() {
    let dir = directory(&[RELEASE, UNIT]);
    let fifo = dir.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    check(
        dir.path(),
        "refused: DIR/pipe is a named pipe; images hold files, directories and symbolic links",
    );
    let dir = directory(&[RELEASE, UNIT]);
    rustix::fs::setxattr(
        dir.path().join("usr"),
        "user.x",
        b"1",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    check(dir.path(), "hello 1.0 hello.service");
    rustix::fs::setxattr(
        dir.path().join("usr"),
        "trusted.x",
        b"1",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    check(
        dir.path(),
        "refused: DIR/usr has the extended attribute trusted.x, which means something on this host only; images hold user.* and \
         security.capability: remove it with `setfattr -h -x trusted.x` (an access list with `setfacl -b`)",
    );
}

/// The image's bytes.
fn built(directory: &Path, key: Option<&SigningKey>) -> Vec<u8> {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("x.psi");
    build(
        directory,
        &path,
        &Options {
            key,
            epoch_s: 7,
            ..Options::default()
        },
    )
    .unwrap();
    fs::read(path).unwrap()
}

#[test]
fn the_same_files_give_the_same_bytes_whatever_their_times_owners_and_order() {
    let many: Vec<(String, String)> = (0..40)
        .map(|n| (format!("usr/share/{}", n * 7919 % 40), "x".repeat(n * 999)))
        .collect();
    let mut files: Vec<(&str, &str)> = many
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    files.extend([RELEASE, UNIT]);
    let first = directory(&files);
    files.reverse();
    let second = directory(&files);
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    fs::File::open(second.path().join("usr/share/3"))
        .unwrap()
        .set_modified(past)
        .unwrap();
    let keys = tempfile::tempdir().unwrap();
    crate::keygen::generate(keys.path(), "Maker").unwrap();
    let key = SigningKey::load(&keys.path().join("signing.key"), None).unwrap();
    assert!(built(first.path(), Some(&key)) == built(second.path(), Some(&key)));
    assert!(built(first.path(), None) != built(first.path(), Some(&key)));
}

#[test]
fn everything_that_something_is_mounted_on_is_there() {
    let dir = directory(&[RELEASE, UNIT]);
    let mut manifest = Manifest::of_directory(dir.path()).unwrap();
    let release = os_release(&manifest).unwrap();
    let units = units(&manifest, &release).unwrap();
    complete(&mut manifest, &units).unwrap();
    let paths: Vec<String> = manifest
        .iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert_eq!(
        paths.join(" "),
        "dev etc etc/hosts etc/localtime etc/machine-id etc/resolv.conf etc/ssl etc/ssl/certs proc run sys tmp usr usr/lib usr/lib/os-release usr/lib/systemd \
         usr/lib/systemd/system usr/lib/systemd/system/hello.service var var/lib var/lib/hello var/lib/private \
         var/lib/private/hello var/tmp"
    );
}

#[test]
fn an_image_tells_by_itself_what_it_is() {
    let dir = directory(&[RELEASE, UNIT]);
    fs::set_permissions(dir.path().join("usr"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("usr/lib", dir.path().join("lib")).unwrap();
    let keys = tempfile::tempdir().unwrap();
    let signer = crate::keygen::generate(keys.path(), "Maker").unwrap();
    let key = SigningKey::load(&keys.path().join("signing.key"), None).unwrap();
    let image = keys.path().join("hello.psi");
    let built = build(
        dir.path(),
        &image,
        &Options {
            key: Some(&key),
            epoch_s: 0,
            ..Options::default()
        },
    )
    .unwrap();
    let report = inspect(&File::open(&image).unwrap(), &Crew::of_processors()).unwrap();
    assert_eq!(
        (report.length, report.root_hash, report.intact),
        (built.length, Some(built.root_hash), true)
    );
    assert_eq!(
        (report.label.as_deref(), report.claimed_signer),
        (Some("hello_1.0"), Some(signer))
    );
    let contents = report.contents.unwrap();
    assert_eq!(contents.os_release.version(), Some("1.0"));
    assert_eq!(
        contents
            .units
            .iter()
            .map(|unit| unit.name.as_str())
            .collect::<Vec<_>>(),
        ["hello.service"]
    );
}

#[test]
fn an_unsigned_image_can_be_signed_later_and_is_then_the_one_that_was_built_signed() {
    let dir = directory(&[RELEASE, UNIT]);
    let keys = tempfile::tempdir().unwrap();
    crate::keygen::generate(keys.path(), "Maker").unwrap();
    let key = SigningKey::load(&keys.path().join("signing.key"), None).unwrap();
    let image = keys.path().join("hello.psi");
    build(
        dir.path(),
        &image,
        &Options {
            key: None,
            epoch_s: 7,
            ..Options::default()
        },
    )
    .unwrap();
    crate::sign::sign(&image, &image, &key).unwrap();
    assert!(fs::read(&image).unwrap() == built(dir.path(), Some(&key)));
    crate::sign::sign(&image, &image, &key).unwrap();
    assert!(fs::read(&image).unwrap() == built(dir.path(), Some(&key)));
}

#[test]
fn a_squashfs_is_made_by_choice_and_says_what_it_can_not_hold() {
    let dir = directory(&[RELEASE, UNIT, ("a", "x")]);
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("x.psi");
    let options = Options {
        format: Format::Squashfs,
        ..Options::default()
    };
    build(dir.path(), &path, &options).unwrap();
    let report = inspect(&File::open(&path).unwrap(), &Crew::of_processors()).unwrap();
    assert_eq!(
        report.file_system.map(crate::probe::FileSystem::name),
        Some("squashfs")
    );
    assert!(report.intact && report.contents.is_some());
    fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
    let refused = build(dir.path(), &path, &options).unwrap_err().to_string();
    assert_eq!(
        refused,
        "/a and /b are two names of one file, which the squashfs files made here can't hold: leave --format=squashfs away"
    );
}
