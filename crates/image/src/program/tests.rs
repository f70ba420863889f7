//! Images built from programs of this host.

use std::fs::File;

use super::*;
use crate::inspect::inspect;

/// A unit file in a directory.
fn unit(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, "[Service]\nExecStart=/usr/bin/true\n").unwrap();
    path
}

#[test]
fn a_program_comes_with_its_loader_and_its_libraries() {
    // Every host that runs these tests has a dynamic shell.
    let mut libraries = libraries::Collector::new(None).unwrap();
    libraries
        .collect(Path::new("/bin/sh"), Path::new("usr/bin/sh"))
        .unwrap();
    let names: Vec<String> = libraries
        .found()
        .map(|library| {
            library
                .place
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert!(
        names.iter().any(|name| name.starts_with("ld-")),
        "{names:?}"
    );
    assert!(
        names.iter().any(|name| name.starts_with("libc.")),
        "{names:?}"
    );
    assert!(
        libraries
            .found()
            .all(|library| library.place.starts_with("usr")),
        "one tree below /usr"
    );
}

#[test]
fn an_image_of_a_program_has_a_name_users_and_units() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program {
        program: "/bin/sh".into(),
        version: Some("2.1".into()),
        units: vec![
            unit(dir.path(), "shell@.service"),
            unit(dir.path(), "shell.socket"),
        ],
        ..Program::default()
    };
    let image = dir.path().join("shell.psi");
    let built = build_program(&program, &image, &Options::default()).unwrap();
    assert_eq!(
        (built.name.as_str(), built.version.as_deref()),
        ("shell", Some("2.1"))
    );
    assert_eq!(built.units, ["shell.socket", "shell@.service"]);
    let again = dir.path().join("again.psi");
    build_program(&program, &again, &Options::default()).unwrap();
    assert!(
        fs::read(&image).unwrap() == fs::read(again).unwrap(),
        "the same program gives the same bytes"
    );
    assert!(inspect(&File::open(image).unwrap()).unwrap().intact);
}

/// The refusal of a program.
fn refusal(program: &Program) -> String {
    let out = tempfile::tempdir().unwrap();
    build_program(program, &out.path().join("x.psi"), &Options::default())
        .unwrap_err()
        .to_string()
}

#[test]
fn what_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program {
        program: "/bin/sh".into(),
        ..Program::default()
    };
    assert_eq!(
        refusal(&program),
        "no unit file was given; an image needs at least one"
    );
    let program = Program {
        program: unit(dir.path(), "x.service"),
        ..Program::default()
    };
    assert_eq!(
        refusal(&program),
        format!(
            "cannot collect the libraries of {}/x.service",
            dir.path().display()
        )
    );
    let named = Program {
        program: "/bin/sh".into(),
        name: Some("../evil".into()),
        units: vec![unit(dir.path(), "x.service")],
        ..Program::default()
    };
    assert_eq!(
        refusal(&named),
        "os-release: ID=../evil can't name a portable: letters, digits and . _ - are allowed"
    );
}

#[test]
fn programs_of_an_unpacked_package_keep_their_places() {
    let at = |program: &str, sysroot: Option<&str>| {
        place(Path::new(program), sysroot.map(Path::new)).unwrap()
    };
    assert_eq!(at("/usr/sbin/nginx", None), Path::new("usr/sbin/nginx"));
    assert_eq!(at("/bin/sh", None), Path::new("usr/bin/sh"));
    assert_eq!(
        at("/srv/p/usr/sbin/nginx", Some("/srv/p")),
        Path::new("usr/sbin/nginx")
    );
    assert_eq!(
        at("/home/me/target/hello", None),
        Path::new("usr/bin/hello")
    );
}
