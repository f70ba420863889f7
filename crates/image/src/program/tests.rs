//! Programs of this host, with what they need.

use super::*;

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
