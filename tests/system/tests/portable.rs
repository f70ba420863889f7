//! The road of a portable: what is refused changes nothing, what is started can be configured, and a purge leaves no trace.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use coracle_system_tests::images::{BOAT, By, Workshop, with_workshop};
use coracle_system_tests::refusal::refused;
use coracle_system_tests::waiting::eventually;
use coracle_system_tests::with_units;
use testkit::{HttpsServer, Picture};

/// A copy of an image with one byte flipped, or cut off, there.
fn damaged(image: &str, name: &str, change: impl FnOnce(&fs::File, u64)) -> String {
    let copy = Path::new(image).with_file_name(name);
    fs::copy(image, &copy).expect("a copy");
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(&copy)
        .expect("the copy");
    change(&file, file.metadata().expect("its length").len());
    copy.display().to_string()
}

fn flip(file: &fs::File, offset: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], offset)
        .expect("the byte flipped");
}

#[test]
fn an_image_that_nobody_vouches_for_is_refused_until_the_administrator_does() {
    with_workshop(|coracle, workshop| {
        let unsigned = workshop.image("boat", "1", By::Nobody, &[("boat.service", BOAT)]);
        refused(
            coracle,
            &[&unsigned],
            &["the image is not signed", "--trust-digest=sha256:"],
        );
        let unknown = workshop.image("boat", "1", By::Unknown, &[("boat.service", BOAT)]);
        refused(
            coracle,
            &[&unknown],
            &["\"Unknown Maker\"", "not trusted", "coracle trust add"],
        );
        let wrong = format!("--trust-digest=sha256:{}", "0".repeat(64));
        refused(coracle, &[&unknown, &wrong], &["not sha256:0000"]);
        let inspected = coracle.ok(&["inspect", &unknown]);
        let digest = inspected
            .split("sha256:")
            .nth(1)
            .and_then(|rest| rest.lines().next());
        let right = format!("--trust-digest=sha256:{}", digest.expect("a digest"));
        coracle.ok(&["start", &unknown, &right]);
        let status = coracle.ok(&["status", "boat"]);
        assert!(status.contains("allowed by its digest"), "{status}");
    });
}

#[test]
fn a_damaged_or_cut_image_is_refused_and_nobody_is_told_to_trust_it() {
    with_workshop(|coracle, workshop| {
        let image = workshop.image("boat", "1", By::Trusted, &[("boat.service", BOAT)]);
        // The root begins at the first mebibyte, the table of partitions in the second sector.
        let data = damaged(&image, "data.psi", |file, _| flip(file, (1 << 20) + 4096));
        let table = damaged(&image, "table.psi", |file, _| flip(file, 1024));
        let cut = damaged(&image, "cut.psi", |file, length| {
            file.set_len(length / 2).expect("a cut")
        });
        for image in [&data, &table, &cut] {
            refused(coracle, &[image], &[]);
            let said = coracle.coracle(&["start", image]).stderr;
            assert!(
                !said.contains("--trust-digest") && !said.contains("--insecure"),
                "{said}"
            );
        }
        let nonsense = damaged(&image, "nonsense.psi", |file, _| {
            file.set_len(0).expect("empty")
        });
        refused(coracle, &[&nonsense], &[]);
        refused(coracle, &["./not-there.psi"], &["./not-there.psi"]);
    });
}

#[test]
fn an_older_version_or_another_signer_is_refused() {
    with_workshop(|coracle, workshop| {
        let units = [("boat.service", BOAT)];
        let (old, new) = (
            workshop.image("boat", "1.9", By::Trusted, &units),
            workshop.image("boat", "1.10", By::Trusted, &units),
        );
        coracle.ok(&["start", &new]);
        refused(coracle, &[&old], &["1.9", "1.10", "--allow-downgrade"]);
        coracle.ok(&["purge", "boat"]);
        refused(coracle, &[&old], &["1.10", "--allow-downgrade"]);
        let other = workshop.image("boat", "2", By::Unknown, &units);
        coracle.ok(&[
            "trust",
            "add",
            &format!(
                "{}/workshop/unknown/signing.crt",
                coracle.folder().display()
            ),
        ]);
        refused(
            coracle,
            &[&other],
            &["until now", "\"Unknown Maker\"", "--accept-signer=sha256:"],
        );
        coracle.ok(&["purge", "--forget", "boat"]);
        coracle.ok(&["start", &old]);
        assert_eq!(coracle.property("boat.service", "ActiveState"), "active");
    });
}

#[test]
fn an_image_can_not_take_the_name_of_a_unit_that_the_host_has() {
    with_units(
        &[("boat.service", "[Service]\nExecStart=/bin/sleep infinity\n")],
        |coracle| {
            let workshop = Workshop::new(coracle);
            let image = workshop.image("boat", "1", By::Trusted, &[("boat.service", BOAT)]);
            refused(coracle, &[&image], &["boat.service"]);
            let foreign = workshop.image(
                "ship",
                "1",
                By::Trusted,
                &[("ship.service", BOAT), ("boat-2.service", BOAT)],
            );
            // A unit outside the portable's own prefix is not taken along.
            coracle.ok(&["start", &foreign]);
            assert_eq!(coracle.property("boat-2.service", "LoadState"), "not-found");
        },
    );
}

/// One zstd frame out of which a MiB comes, in runs of one byte; it states that or not (RFC 8878).
fn bomb(stated: bool) -> Vec<u8> {
    let mut bytes = b"\x28\xb5\x2f\xfd".to_vec();
    // A window of 128 KiB, as large as the runs.
    bytes.extend(if stated { [0x80, 0x38] } else { [0, 0x38] });
    if stated {
        bytes.extend((1_u32 << 20).to_le_bytes());
    }
    for number in 0..8 {
        let header = u32::from(number == 7) | 1 << 1 | (128 << 10) << 3;
        bytes.extend(&header.to_le_bytes()[..3]);
        bytes.push(0);
    }
    bytes
}

#[test]
fn a_server_that_can_not_be_trusted_or_has_nothing_changes_nothing() {
    with_workshop(|coracle, workshop| {
        let image = workshop.image("boat", "1", By::Trusted, &[("boat.service", BOAT)]);
        let folder = Path::new(&image).parent().expect("a folder").to_owned();
        let keys = coracle.folder().join("keys");
        fs::create_dir(&keys).expect("a folder");
        let server = HttpsServer::start(&folder, &keys, 0);
        let url = server.url("boat_1.psi");
        let ca = keys.join("ca.crt").display().to_string();
        refused(coracle, &[&url], &[&url]);
        refused(coracle, &[&server.url("none.psi"), "--ca", &ca], &["404"]);
        refused(
            coracle,
            &[&url, "--ca", &ca, "--max-size", "10K"],
            &["10240"],
        );
        for (name, stated) in [("stated.psi.zst", true), ("silent.psi.zst", false)] {
            fs::write(folder.join(name), bomb(stated)).expect("a bomb");
            let url = server.url(name);
            let words = ["--ca", &ca, "--max-size", "10K"];
            let expected = if stated {
                "1048576 bytes, and 10240 are allowed"
            } else {
                "more comes out than the limit allows (--max-size)"
            };
            refused(coracle, &[&[&*url][..], &words].concat(), &[expected]);
            let path = folder.join(name).display().to_string();
            refused(coracle, &[&path, "--max-size", "10K"], &[expected]);
        }
        refused(coracle, &["ftp://127.0.0.1/boat.psi"], &["http"]);
        coracle.ok(&["start", &url, "--ca", &ca]);
        let status = coracle.ok(&["status", "boat"]);
        assert!(status.contains(&format!("from {url}")), "{status}");
    });
}

#[test]
fn what_is_configured_stays_outside_the_image_and_over_versions() {
    with_workshop(|coracle, workshop| {
        let service = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/dash -c 'echo said $WORD; read secret < $CREDENTIALS_DIRECTORY/key; echo $secret; read file < /etc/greeting; echo $file'\n";
        let units = [("boat.service", service)];
        let greeting = coracle.folder().join("greeting");
        fs::write(&greeting, "from a file\n").expect("a file");
        let key = coracle.folder().join("key");
        fs::write(&key, "from a secret\n").expect("a secret");
        coracle.ok(&[
            "start",
            "--attach-only",
            &workshop.image("boat", "1", By::Trusted, &units),
        ]);
        coracle.ok(&[
            "configure",
            "boat",
            "--env=WORD=100% sure",
            &format!("--credential=key={}", key.display()),
            &format!("--bind-read-only={}:/etc/greeting", greeting.display()),
        ]);
        coracle.ok(&["start", "boat"]);
        let said = || {
            coracle.ok(&[
                "logs",
                "-u",
                "boat.service",
                "--cat",
                "-n",
                "3",
                "-g",
                "^said|^from",
            ])
        };
        // The log process writes beside the manager's answers.
        let is_said = |text: &str| eventually(text, || (said() == text).then_some(()));
        is_said("said 100% sure\nfrom a secret\nfrom a file\n");
        coracle.ok(&["configure", "boat", "--env=WORD=surer"]);
        coracle.ok(&["start", &workshop.image("boat", "2", By::Trusted, &units)]);
        coracle.ok(&["restart", "boat"]);
        is_said("said surer\nfrom a secret\nfrom a file\n");
        let refused = coracle.coracle(&["configure", "boat", "--set", "MemoryMaximum=1G"]);
        assert_eq!(refused.status, 1);
        assert!(refused.stderr.contains("MemoryMax"), "{}", refused.stderr);
        assert!(!coracle.ok(&["configure", "boat"]).contains("MemoryMaximum"));
    });
}

#[test]
fn a_purge_leaves_no_trace_but_the_remembered_line() {
    with_workshop(|coracle, workshop| {
        let service = "[Service]\nType=exec\nExecStart=/usr/bin/dash -c 'echo state > $STATE_DIRECTORY/a; echo cache > $CACHE_DIRECTORY/b; echo log > $LOGS_DIRECTORY/c; echo run > $RUNTIME_DIRECTORY/d; exec /usr/bin/sleep infinity'\nStateDirectory=purgeboat\nCacheDirectory=purgeboat\nLogsDirectory=purgeboat\nRuntimeDirectory=purgeboat\nConfigurationDirectory=purgeboat\n";
        let socket = "[Socket]\nListenStream=/run/purgeboat/socket\nListenStream=127.0.0.1:18474\n";
        let image = workshop.image(
            "purgeboat",
            "1",
            By::Trusted,
            &[("purgeboat.service", service), ("purgeboat.socket", socket)],
        );
        let places = ["/etc", "/run", "/var/cache", "/var/lib", "/var/log", "/tmp"].map(Path::new);
        let own = |pictures: (&Picture, &Picture)| {
            let mut things = pictures.0.left_behind(pictures.1);
            things.retain(|thing| thing.contains("purgeboat"));
            things
        };
        let before = Picture::take(&places);
        coracle.ok(&["start", &image, "--grant=listen:127.0.0.1:18474"]);
        let during = own((&before, &Picture::take(&places)));
        for place in [
            "/var/lib/private/purgeboat",
            "/var/cache/private/purgeboat",
            "/var/log/private/purgeboat",
            "/etc/purgeboat",
            "/run/purgeboat",
        ] {
            assert!(
                during.iter().any(|thing| thing.contains(place)),
                "{place} is not there: {during:#?}"
            );
        }
        let said = coracle.ok(&["purge", "purgeboat"]);
        assert!(
            said.contains("removed /var/lib/private/purgeboat"),
            "{said}"
        );
        let left = own((&before, &Picture::take(&places)));
        let workshop = format!("{}/workshop", coracle.folder().display());
        let left: Vec<&String> = left
            .iter()
            .filter(|thing| !thing.contains(&workshop))
            .collect();
        assert!(left.is_empty(), "left behind: {left:#?}");
        let remembered = fs::read_to_string(coracle.folder().join("state/remembered"))
            .expect("the remembered line");
        assert_eq!(
            remembered
                .lines()
                .filter(|line| line.contains("purgeboat"))
                .count(),
            1
        );
        coracle.ok(&["purge", "--forget", "purgeboat"]);
        let remembered =
            fs::read_to_string(coracle.folder().join("state/remembered")).unwrap_or_default();
        assert!(!remembered.contains("purgeboat"), "{remembered}");
    });
}

#[test]
fn a_stop_that_comes_while_the_sandbox_is_being_made_is_heard() {
    with_workshop(|coracle, workshop| {
        let service =
            format!("[Unit]\nStartLimitIntervalSec=0\n{BOAT}Type=simple\nTimeoutStopSec=10\n");
        let units = [("boat.service", service.as_str())];
        let image = workshop.image("boat", "1", By::Trusted, &units);
        coracle.ok(&["start", "--grant=restarts", &image]);
        for round in 0..40 {
            coracle.ok(&["stop", "boat"]);
            assert_eq!(
                coracle.property("boat.service", "Result"),
                "success",
                "round {round}"
            );
            coracle.ok(&["start", "boat"]);
        }
    });
}

/// A directory of the host's with a file in it, gone with the value.
struct HostDirectory(PathBuf);

impl HostDirectory {
    fn new(path: &str) -> HostDirectory {
        fs::create_dir(path).expect("a directory of the host's");
        fs::write(Path::new(path).join("precious"), "").expect("a file of the host's");
        HostDirectory(path.into())
    }

    fn is_whole(&self) -> bool {
        self.0.join("precious").exists()
    }
}

impl Drop for HostDirectory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the directory can be removed");
    }
}

#[test]
fn a_purge_keeps_what_the_host_had_before_whatever_was_granted() {
    let other = HostDirectory::new("/var/lib/test-of-coracle-other");
    let same = HostDirectory::new("/var/cache/test-of-coracle-taken");
    with_workshop(|coracle, workshop| {
        let service = format!(
            "{BOAT}StateDirectory=test-of-coracle-other\nCacheDirectory=test-of-coracle-taken\n"
        );
        let units = [("test-of-coracle-taken.service", service.as_str())];
        let image = workshop.image("test-of-coracle-taken", "1", By::Trusted, &units);
        refused(
            coracle,
            &[&image],
            &[
                "/var/lib/test-of-coracle-other",
                "/var/cache/test-of-coracle-taken",
            ],
        );
        for grant in [
            "--grant=path:/var/lib/test-of-coracle-other,path:/var/cache/test-of-coracle-taken",
            "--grant=superprivileged",
        ] {
            coracle.ok(&["start", "--attach-only", &image, grant]);
            let said = coracle.ok(&["purge", "--forget", "test-of-coracle-taken"]);
            assert!(other.is_whole() && same.is_whole(), "{said}");
        }
    });
}

#[test]
fn what_was_started_comes_back_at_boot_and_one_that_can_not_start_keeps_no_other_from_it() {
    with_workshop(|coracle, workshop| {
        for name in ["aboat", "bboat", "cboat"] {
            let unit = format!("{name}.service");
            let image = workshop.image(name, "1", By::Trusted, &[(&unit, BOAT)]);
            let only = if name == "cboat" {
                &["start", "--attach-only"][..]
            } else {
                &["start"][..]
            };
            coracle.ok(&[only, &[&image]].concat());
        }
        let status = coracle.ok(&["status", "aboat"]);
        let image = status
            .lines()
            .find_map(|line| line.trim().strip_prefix("Root: "))
            .and_then(|root| root.split(' ').next())
            .expect("the image in the store");
        coracle.stop();
        fs::remove_file(image).expect("an image that a disk lost");
        let boot = coracle.coracle(&["start", "--enabled"]);
        assert_eq!(boot.status, 1);
        assert!(
            boot.stderr.contains("aboat does not start"),
            "{}",
            boot.stderr
        );
        assert_eq!(coracle.property("bboat.service", "ActiveState"), "active");
        assert_eq!(coracle.property("cboat.service", "ActiveState"), "inactive");
        coracle.ok(&["start", "cboat"]);
        assert_eq!(coracle.ok(&["configure", "cboat"]), "at-boot: yes\n");
        coracle.ok(&["configure", "cboat", "--at-boot", "no"]);
        let said = coracle.coracle(&["start", "cboat"]).ok().stderr;
        assert!(said.contains("--at-boot yes"), "{said}");
    });
}

#[test]
fn at_boot_no_portable_waits_for_the_start_of_another_one_and_nothing_is_attached_again() {
    const ENDLESS: &str =
        "[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart=/usr/bin/sleep infinity\n";
    with_workshop(|coracle, workshop| {
        for (name, text) in [("aboat", ENDLESS), ("bboat", BOAT), ("cboat", BOAT)] {
            let unit = format!("{name}.service");
            let image = workshop.image(name, "1", By::Trusted, &[(&unit, text)]);
            coracle.ok(&["attach", "--enable", &image]);
        }
        let attached = || {
            let generation = fs::canonicalize(coracle.folder().join("state/attached"));
            let generation = generation.expect("what is attached");
            (fs::metadata(&generation).expect("it").ino(), generation)
        };
        coracle.stop();
        let before = attached();
        let mut boot = coracle.command(&["start", "--enabled"]);
        let boot = boot.stdout(Stdio::piped()).stderr(Stdio::piped());
        let boot = boot.spawn().expect("a boot");
        for unit in ["bboat.service", "cboat.service"] {
            eventually("a start beside one that does not end", || {
                (coracle.property(unit, "ActiveState") == "active").then_some(())
            });
        }
        assert_eq!(
            coracle.property("aboat.service", "ActiveState"),
            "activating"
        );
        coracle.ok(&["stop", "aboat"]);
        let boot = boot.wait_with_output().expect("its end");
        let said = String::from_utf8_lossy(&boot.stdout);
        assert_eq!(boot.status.code(), Some(1), "{boot:?}");
        assert!(said.contains("started bboat.service\n"), "{said}");
        assert!(said.contains("started cboat.service\n"), "{said}");
        assert!(!said.contains("aboat.service"), "{said}");
        assert_eq!(attached(), before);
    });
}

#[test]
fn a_port_that_somebody_has_is_named_with_the_way_to_another_one() {
    with_units(&[], |coracle| {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("its address").to_string();
        let port = taken.local_addr().expect("its address").port();
        let workshop = Workshop::new(coracle);
        let socket = format!("[Socket]\nListenStream={address}\n");
        let units = [("portboat.service", BOAT), ("portboat.socket", &*socket)];
        let image = workshop.image("portboat", "1", By::Trusted, &units);
        let grant = format!("--grant=listen:127.0.0.1:{port}");
        let told = coracle.coracle(&["start", &grant, &image]);
        assert_eq!(told.status, 1, "{told:?}");
        let hint = "`coracle configure portboat --listen=ADDRESS`";
        // The C libraries have words of their own for what comes after "Address".
        for words in [&*address, "failed: Address", hint] {
            assert!(told.stderr.contains(words), "{words}: {told:?}");
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let other = free.local_addr().expect("its address");
        drop(free);
        coracle.ok(&["configure", "portboat", &format!("--listen={other}")]);
        coracle.ok(&["stop", "portboat"]);
        coracle.ok(&["start", "portboat"]);
        coracle.ok(&["purge", "portboat"]);
    });
}

#[test]
fn what_services_may_write_to_of_the_host_is_named_and_stays() {
    with_workshop(|coracle, workshop| {
        let shared = coracle.folder().join("shared");
        fs::create_dir(&shared).expect("a folder");
        let shared = shared.display();
        let unit = format!("{BOAT}BindPaths={shared}\n");
        let image = workshop.image("sharer", "1", By::Trusted, &[("sharer.service", &unit)]);
        coracle.ok(&["start", &format!("--grant=path:{shared}"), &image]);
        let refused = coracle.coracle(&["configure", "sharer", "--listen=127.0.0.1:1"]);
        assert_eq!(refused.status, 1, "{refused:?}");
        let why = "--listen=127.0.0.1:1 has no effect: sharer 1 has no socket unit";
        assert!(refused.stderr.contains(why), "{refused:?}");
        assert!(!coracle.ok(&["configure", "sharer"]).contains("listen"));
        let archive = coracle.folder().join("archive").display().to_string();
        let packed = coracle.coracle(&["export", "sharer", &archive]).ok().stderr;
        let left_out = format!("left out: {shared}, which is the host's");
        assert!(packed.contains(&left_out), "{packed}");
        let gone = coracle.ok(&["purge", "sharer"]);
        assert!(
            gone.contains(&format!("kept {shared}: it is the host's")),
            "{gone}"
        );
        assert!(coracle.folder().join("shared").exists());
    });
}

/// Waits until a process waits for a lock.
fn waits_for_a_lock(process: u32) {
    eventually("a command that waits for its turn", || {
        let locks = fs::read_to_string("/proc/locks").expect("the locks of the host");
        let waiter = |line: &str| {
            line.contains("-> FLOCK")
                && line
                    .split_whitespace()
                    .any(|word| word == process.to_string())
        };
        locks.lines().any(waiter).then_some(())
    });
}

#[test]
fn of_two_portables_that_want_one_directory_at_the_same_moment_one_is_started() {
    with_workshop(|coracle, workshop| {
        let service = format!("{BOAT}StateDirectory=shareboat-aft\n");
        let image = |name: &str| {
            let unit = format!("{name}.service");
            workshop.image(name, "1", By::Trusted, &[(&unit, &service)])
        };
        let (first, second) = (image("shareboat"), image("shareboat-aft"));
        // Held back between its decision and its turn.
        let place = coracle.folder().join("state/portables/shareboat-aft");
        fs::create_dir_all(&place).expect("the portable's directory");
        let held = fs::File::open(&place).expect("the portable's directory");
        held.lock().expect("the portable's lock");
        let mut late = coracle.command(&["start", &second]);
        let late = late.stdout(Stdio::null()).stderr(Stdio::piped());
        let late = late.spawn().expect("the command starts");
        waits_for_a_lock(late.id());
        coracle.ok(&["start", &first]);
        drop(held);
        let late = late.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&late.stderr);
        let words = "/var/lib/shareboat-aft is shareboat's meanwhile";
        assert!(
            late.status.code() == Some(1) && told.contains(words),
            "{told}"
        );
        let state = coracle.property("shareboat-aft.service", "LoadState");
        assert_eq!(state, "not-found");
        refused(coracle, &[&second], &["/var/lib/shareboat-aft"]);
        coracle.ok(&["purge", "shareboat"]);
        coracle.ok(&["start", &second]);
        coracle.ok(&["purge", "shareboat-aft"]);
    });
}
