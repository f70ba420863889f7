//! Portables that reach for what the host has under names that they claim: by links, conditions, sockets and removals.

use std::fs;
use std::path::{Path, PathBuf};

use coracle_system_tests::images::{By, Workshop};
use coracle_system_tests::with_units;
use testkit::Instance;

const SLEEPS: &str =
    "[Service]\nType=exec\nExecStart=/usr/bin/dash -c 'exec /usr/bin/sleep infinity'\n";

/// Files of the host that go with the test.
struct OfHost(Vec<PathBuf>);

impl OfHost {
    /// Makes each of them with its directories; the first directory below `/run`, `/etc` or `/var/lib` is the host's, too.
    fn make(files: &[&str]) -> OfHost {
        for file in files {
            let folder = Path::new(file).parent().expect("a folder");
            fs::create_dir_all(folder).expect("a folder of the host");
            fs::write(file, "secret").expect("a file of the host");
        }
        OfHost(files.iter().map(PathBuf::from).collect())
    }

    #[track_caller]
    fn is_whole(&self) {
        for file in &self.0 {
            let found = fs::read_to_string(file);
            assert_eq!(found.expect("the host's file"), "secret");
        }
    }
}

impl Drop for OfHost {
    fn drop(&mut self) {
        for file in &self.0 {
            let bases = [
                "/run",
                "/run/private",
                "/etc",
                "/var/lib",
                "/var/lib/private",
            ]
            .map(Path::new);
            let top = file
                .ancestors()
                .find(|path| path.parent().is_some_and(|parent| bases.contains(&parent)));
            // What a failing test has lost can't go.
            match top.map(fs::remove_dir_all) {
                Some(Ok(()) | Err(_)) | None => {}
            }
        }
    }
}

#[test]
fn whether_a_unit_of_a_portable_starts_tells_nothing_of_what_its_links_lead_to() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let secret = coracle.folder().join("secret");
        fs::write(&secret, "secret").expect("a secret");
        let service = format!("{SLEEPS}StateDirectory=lookboat\n");
        let asks = |test: &str| format!("[Unit]\n{test}/var/lib/lookboat/x\n{SLEEPS}");
        let (exists, is_empty) = (
            asks("ConditionPathExists="),
            asks("ConditionFileNotEmpty=!"),
        );
        let image = workshop.image(
            "lookboat",
            "1",
            By::Trusted,
            &[
                ("lookboat.service", &service),
                ("lookboat-exists.service", &exists),
                ("lookboat-empty.service", &is_empty),
            ],
        );
        coracle.ok(&["start", &image]);
        let script = format!("ln -sf {} /var/lib/lookboat/x", secret.display());
        coracle.ok(&["shell", "lookboat.service", "--", "/bin/sh", "-c", &script]);
        coracle.ok(&["start", "lookboat-exists.service", "lookboat-empty.service"]);
        let state = |unit: &str| coracle.property(unit, "ActiveState");
        assert_eq!(state("lookboat-exists.service"), "inactive");
        assert_eq!(state("lookboat-empty.service"), "active");
        // What is there itself is seen.
        coracle.ok(&["stop", "lookboat-empty.service"]);
        let script = "rm /var/lib/lookboat/x; echo own > /var/lib/lookboat/x";
        coracle.ok(&["shell", "lookboat.service", "--", "/bin/sh", "-c", script]);
        coracle.ok(&["start", "lookboat-exists.service", "lookboat-empty.service"]);
        assert_eq!(state("lookboat-exists.service"), "active");
        assert_eq!(state("lookboat-empty.service"), "inactive");
        coracle.ok(&["purge", "lookboat"]);
    });
}

#[test]
fn a_socket_makes_no_directory_of_the_host_a_portables() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let image = workshop.image(
            "runboat",
            "1",
            By::Trusted,
            &[
                (
                    "runboat.socket",
                    "[Socket]\nListenStream=/run/runboat/sock\n",
                ),
                (
                    "runboat.service",
                    &format!("{SLEEPS}RuntimeDirectory=runboat\n"),
                ),
            ],
        );
        coracle.ok(&["attach", &image]);
        let host = OfHost::make(&["/run/runboat/secret"]);
        let refused = coracle.coracle(&["start", "runboat.service"]);
        assert_ne!(refused.status, 0, "{refused:?}");
        host.is_whole();
        assert!(!Path::new("/run/runboat").is_symlink());
        coracle.ok(&["stop", "runboat.service", "runboat.socket"]);
        drop(host);
        // Without it, the socket makes the directory, and the service has it.
        coracle.ok(&["start", "runboat.socket", "runboat.service"]);
        assert!(Path::new("/run/runboat").is_symlink());
        coracle.ok(&["purge", "runboat"]);
        assert!(!Path::new("/run/runboat").is_symlink());
    });
}

#[test]
fn what_the_host_has_under_a_portables_names_is_not_cleaned_with_it() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let service = format!(
            "{SLEEPS}StateDirectory=cleanboat/pass cleanboat/private/x\nConfigurationDirectory=cleanboat/conf\n"
        );
        let units = [("cleanboat.service", service.as_str())];
        let image = workshop.image("cleanboat", "1", By::Trusted, &units);
        coracle.ok(&["attach", &image]);
        let host = OfHost::make(&[
            "/var/lib/cleanboat/pass",
            "/var/lib/cleanboat/private/x",
            "/etc/cleanboat/conf",
        ]);
        let cleaned = coracle.coracle(&["clean", "--what=all", "cleanboat.service"]);
        assert!(cleaned.status <= 1, "{cleaned:?}");
        host.is_whole();
    });
}

#[test]
fn a_version_that_is_attached_is_the_one_that_is_started_by_its_units_name() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let version = |number: &str| {
            let service = format!("{SLEEPS}Environment=VERSION={number}\n");
            workshop.image(
                "newboat",
                number,
                By::Trusted,
                &[("newboat.service", &service)],
            )
        };
        coracle.ok(&["start", &version("1")]);
        coracle.ok(&["stop", "newboat.service"]);
        coracle.ok(&["attach", &version("2")]);
        coracle.ok(&["start", "newboat.service"]);
        let environment = coracle.property("newboat.service", "Environment");
        assert!(environment.contains("VERSION=2"), "{environment}");
        coracle.ok(&["purge", "newboat"]);
    });
}

/// A portable with directories of every kind, and one that is the same user's at each start.
fn markboat(workshop: &Workshop<'_>, grant: &str) -> String {
    let service = format!(
        "{SLEEPS}{grant}StateDirectory=markboat/deep:markboat-link\nCacheDirectory=markboat\nConfigurationDirectory=markboat\n\
RuntimeDirectory=markboat\n"
    );
    let socket =
        "[Socket]\nListenStream=/run/markboat-aft/sock\n[Install]\nWantedBy=sockets.target\n";
    let units = [
        ("markboat.service", service.as_str()),
        ("markboat-aft.socket", socket),
        ("markboat-aft.service", SLEEPS),
    ];
    workshop.image("markboat", "1", By::Trusted, &units)
}

const MARKED: [&str; 5] = [
    "/etc/markboat",
    "/run/markboat-aft",
    "/var/cache/markboat",
    "/var/lib/markboat",
    "/var/lib/markboat-link",
];

fn present(paths: &[&'static str]) -> Vec<&'static str> {
    let there = paths
        .iter()
        .filter(|path| Path::new(path).symlink_metadata().is_ok());
    there.copied().collect()
}

#[test]
fn of_what_has_a_portables_names_that_is_purged_which_its_starts_have_made() {
    for is_fixed in [false, true] {
        assert_eq!(present(&MARKED), [""; 0]);
        with_units(&[], |coracle| what_nothing_started_made(coracle, is_fixed));
        with_units(&[], |coracle| what_starts_made(coracle, is_fixed));
    }
}

/// Installs it.
fn have_markboat(coracle: &Instance, options: &[&str], is_fixed: bool) {
    let lines = if is_fixed { "DynamicUser=no\n" } else { "" };
    let image = markboat(&Workshop::new(coracle), lines);
    let granted: &[&str] = if is_fixed {
        &["--grant=fixed-user"]
    } else {
        &[]
    };
    coracle.ok(&[&["start", &image], options, granted].concat());
}

fn what_nothing_started_made(coracle: &Instance, is_fixed: bool) {
    have_markboat(coracle, &["--attach-only"], is_fixed);
    let host = OfHost::make(&[
        "/etc/markboat/secret",
        "/run/markboat-aft/secret",
        "/run/private/markboat/secret",
        "/var/lib/markboat/secret",
        "/var/lib/private/markboat/secret",
    ]);
    let cleaned = coracle.coracle(&["clean", "--what=all", "markboat.service"]);
    assert!(cleaned.status <= 1, "{cleaned:?}");
    let purged = coracle.ok(&["purge", "markboat"]);
    host.is_whole();
    assert!(purged.contains("kept /etc/markboat"), "{purged}");
}

fn what_starts_made(coracle: &Instance, is_fixed: bool) {
    have_markboat(coracle, &[], is_fixed);
    coracle.ok(&["restart", "markboat.service", "markboat-aft.service"]);
    assert_eq!(present(&MARKED), MARKED);
    coracle.ok(&["stop", "markboat.service"]);
    coracle.ok(&["clean", "--what=cache", "markboat.service"]);
    let cache = ["/var/cache/markboat", "/var/cache/private/markboat"];
    assert_eq!(present(&cache), [""; 0]);
    fs::remove_dir_all("/etc/markboat").expect("the administrator removes it");
    let host = OfHost::make(&["/etc/markboat/secret"]);
    coracle.ok(&["purge", "markboat"]);
    host.is_whole();
    assert_eq!(present(&MARKED), ["/etc/markboat"]);
    assert_eq!(present(&["/var/lib/private/markboat"]), [""; 0]);
}
