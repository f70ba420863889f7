//! Portables that move to another host with what they have stored, and what they have stored put back.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use coracle_system_tests::images::{By, Small, Workshop, with_workshop};
use coracle_system_tests::manager;
use coracle_system_tests::waiting::{eventually, lines, state};
use testkit::{Instance, Ssh};

/// Fails, and says all of this.
#[track_caller]
fn refused(coracle: &Instance, words: &[&str], phrases: &[&str]) {
    coracle.coracle(words).refused(phrases);
}

/// Says what it had stored and stores something, in three directories.
const KEEPER: &str = "[Unit]\nDescription=%N\n[Service]\nType=exec\nStateDirectory=NAME\nCacheDirectory=NAME\nConfigurationDirectory=NAME\nMORE\n\
    ExecStart=/usr/bin/dash -c 'read -r word < /var/lib/NAME/word; echo found $word $GREETING; echo first > /var/lib/NAME/first; exec /usr/bin/sleep infinity'\n";

fn unit(name: &str, more: &str) -> String {
    KEEPER.replace("NAME", name).replace("MORE", more)
}

fn image(workshop: &Workshop<'_>, name: &str, more: &str) -> String {
    let file = format!("{name}.service");
    workshop.image(name, "1", By::Trusted, &[(&file, &unit(name, more))])
}

/// Where a dynamic user's files really are.
fn stored(name: &str) -> PathBuf {
    Path::new("/var/lib/private").join(name)
}

fn archive(coracle: &Instance, name: &str) -> String {
    coracle.folder().join(name).display().to_string()
}

/// What the service last said that it found.
fn found(coracle: &Instance, unit: &str, times: usize) -> String {
    let said = lines(coracle, unit, |lines| {
        lines.iter().filter(|line| line.contains("found")).count() >= times
    });
    let mut all = said.iter().filter(|line| line.contains("found"));
    all.next_back().cloned().unwrap_or_default()
}

/// Things that are easily lost.
fn fill(folder: &Path) {
    fs::write(folder.join("word"), "treasure\n").expect("a file");
    fs::hard_link(folder.join("word"), folder.join("again")).expect("a link");
    fs::create_dir(folder.join("inner")).expect("a directory");
    let sparse = File::create(folder.join("inner/sparse")).expect("a file");
    sparse.set_len(1 << 30).expect("a length");
    sparse.write_all_at(b"end", (1 << 30) - 3).expect("an end");
    std::os::unix::fs::symlink("/etc/shadow", folder.join("link")).expect("a link");
    let owner = folder.metadata().expect("the directory");
    for name in ["word", "inner", "inner/sparse", "link"] {
        let (user, group) = (Some(owner.uid()), Some(owner.gid()));
        std::os::unix::fs::lchown(folder.join(name), user, group).expect("an owner");
    }
    // A change of owner takes these away.
    fs::set_permissions(folder.join("inner"), fs::Permissions::from_mode(0o2750)).expect("a mode");
    fs::set_permissions(
        folder.join("inner/sparse"),
        fs::Permissions::from_mode(0o4640),
    )
    .expect("a mode");
}

#[test]
fn a_portable_moves_with_all_that_it_has_stored_and_all_that_was_set() {
    with_workshop(|coracle, workshop| {
        let image = image(workshop, "moveboat", "PrivateNetwork=no");
        coracle.ok(&["start", &image, "--grant", "network"]);
        coracle.ok(&["configure", "moveboat", "--env", "GREETING=hello"]);
        coracle.ok(&["hold", "moveboat"]);
        let drop_ins = coracle.folder().join("config/units/moveboat.service.d");
        fs::create_dir_all(&drop_ins).expect("a directory");
        fs::write(drop_ins.join("more.conf"), "[Service]\nNice=7\n").expect("a drop-in");
        fill(&stored("moveboat"));
        fs::write("/etc/moveboat/settings", "set\n").expect("a file");
        let pid = coracle.property("moveboat.service", "MainPID");
        let file = archive(coracle, "moveboat.tar.zst");
        let said = coracle.coracle(&["export", "moveboat", &file]).ok().stderr;
        assert!(said.contains("set-user-id"), "{said}");
        assert_eq!(coracle.property("moveboat.service", "MainPID"), pid);
        assert_eq!(
            coracle.property("moveboat.service", "FreezerState"),
            "running"
        );
        assert!(fs::metadata(&file).expect("the archive").len() < 64 << 20);
        assert_eq!(
            fs::metadata(&file).expect("the archive").mode() & 0o777,
            0o600
        );
        refused(
            coracle,
            &["import", &file],
            &["here already", "coracle restore"],
        );
        coracle.ok(&["purge", "moveboat", "--forget"]);
        fs::remove_dir_all(&drop_ins).expect("a directory");

        // Nobody here has agreed to anything.
        refused(
            coracle,
            &["import", &file],
            &["--env=GREETING=hello", "Nice=7", "--as-exported"],
        );
        refused(
            coracle,
            &["import", &file, "--without-settings"],
            &["asks for more than was granted", "network"],
        );
        assert!(!stored("moveboat").exists());
        coracle.ok(&["import", &file, "--as-exported", "--now"]);
        state(coracle, "moveboat.service", "active");
        assert!(found(coracle, "moveboat.service", 1).contains("treasure hello"));
        assert_eq!(coracle.property("moveboat.service", "Nice"), "7");
        assert!(coracle.ok(&["versions", "moveboat"]).contains("held"));
        let at = |name: &str| {
            stored("moveboat")
                .join(name)
                .symlink_metadata()
                .expect(name)
        };
        let owner = stored("moveboat").metadata().expect("the directory");
        for name in ["word", "inner", "inner/sparse", "link", "first"] {
            assert_eq!(
                (at(name).uid(), at(name).gid()),
                (owner.uid(), owner.gid()),
                "{name}"
            );
        }
        assert_eq!(at("word").ino(), at("again").ino());
        assert_eq!(at("inner").mode() & 0o7777, 0o2750);
        assert_eq!(at("inner/sparse").mode() & 0o7777, 0o640);
        assert_eq!(at("inner/sparse").len(), 1 << 30);
        assert!(
            at("inner/sparse").blocks() < 4096,
            "{} blocks",
            at("inner/sparse").blocks()
        );
        assert_eq!(
            fs::read_to_string("/etc/moveboat/settings").expect("a file"),
            "set\n"
        );
        coracle.ok(&["purge", "moveboat"]);
        assert!(!stored("moveboat").exists() && !Path::new("/etc/moveboat").exists());
        fs::remove_dir_all(&drop_ins).expect("what import wrote");
    });
}

#[test]
fn what_was_stored_comes_back_whole_or_stays_as_it_was() {
    with_workshop(|coracle, workshop| {
        let image = image(workshop, "backboat", "BackupMode=stop");
        coracle.ok(&["start", &image]);
        let word = stored("backboat").join("word");
        fs::write(&word, "old\n").expect("a file");
        let pid = coracle.property("backboat.service", "MainPID");
        let file = archive(coracle, "backboat.tar.zst");
        let said = coracle.coracle(&["backup", "backboat", &file]).ok().stderr;
        assert!(said.contains("services stopped"), "{said}");
        state(coracle, "backboat.service", "active");
        assert_ne!(coracle.property("backboat.service", "MainPID"), pid);
        fs::write(&word, "new\n").expect("a file");
        fs::write(stored("backboat").join("later"), "").expect("a file");
        coracle.ok(&["restore", "backboat", &file]);
        assert_eq!(fs::read_to_string(&word).expect("a file"), "old\n");
        assert!(!stored("backboat").join("later").exists());
        assert!(found(coracle, "backboat.service", 3).contains("old"));

        // What is no such archive, or is cut, changes nothing.
        fs::write(&word, "newer\n").expect("a file");
        let whole = fs::read(&file).expect("the archive");
        let broken = archive(coracle, "broken");
        for bytes in [
            &whole[..whole.len() / 2],
            &whole[..whole.len() - 2],
            b"text",
            b"",
        ] {
            fs::write(&broken, bytes).expect("a file");
            refused(
                coracle,
                &["restore", "backboat", &broken],
                &["is refused", "nothing was changed"],
            );
        }
        refused(
            coracle,
            &["import", &file],
            &["backup of what backboat has stored"],
        );
        assert_eq!(fs::read_to_string(&word).expect("a file"), "newer\n");
        let left = fs::read_dir("/var/lib/private")
            .expect("a directory")
            .flatten();
        let left = left.filter(|one| {
            one.file_name()
                .to_string_lossy()
                .starts_with(".coracle-backboat")
        });
        assert_eq!(left.count(), 0);
        coracle.ok(&["purge", "backboat"]);
        assert!(!stored("backboat").exists());
    });
}

#[test]
fn a_service_that_does_not_start_with_what_came_has_what_it_had() {
    with_workshop(|coracle, workshop| {
        let more = "ExecStartPre=/usr/bin/dash -c 'test ! -e /var/lib/sickboat/poison'";
        coracle.ok(&["start", &image(workshop, "sickboat", more)]);
        let poison = stored("sickboat").join("poison");
        fs::write(&poison, "").expect("a file");
        let file = archive(coracle, "sickboat.tar.zst");
        coracle.ok(&["backup", "sickboat", &file]);
        fs::remove_file(&poison).expect("a file");
        fs::write(stored("sickboat").join("word"), "well\n").expect("a file");
        refused(
            coracle,
            &["restore", "sickboat", &file],
            &["what it had stored before is back"],
        );
        state(coracle, "sickboat.service", "active");
        assert!(!poison.exists());
        assert!(found(coracle, "sickboat.service", 2).contains("well"));
        coracle.ok(&["purge", "sickboat"]);
        assert!(!stored("sickboat").exists());
    });
}

#[test]
fn a_service_makes_its_state_whole_before_it_is_copied() {
    with_workshop(|coracle, workshop| {
        let more = "BackupMode=live\nBackupCommand=/usr/bin/dash -c 'echo dumped > /var/lib/dumpboat/dump'";
        coracle.ok(&["start", &image(workshop, "dumpboat", more)]);
        let file = archive(coracle, "dumpboat.tar.zst");
        let said = coracle.coracle(&["backup", "dumpboat", &file]).ok().stderr;
        assert!(said.contains("services live"), "{said}");
        let dump = stored("dumpboat").join("dump");
        let owner = stored("dumpboat").metadata().expect("the directory").uid();
        assert_eq!(dump.metadata().expect("the dump").uid(), owner);
        fs::remove_file(&dump).expect("a file");
        coracle.ok(&["restore", "dumpboat", &file]);
        assert_eq!(fs::read_to_string(&dump).expect("a file"), "dumped\n");
        coracle.ok(&["purge", "dumpboat"]);

        let more = "BackupCommand=/usr/bin/dash -c 'exit 7'";
        coracle.ok(&["start", &image(workshop, "failboat", more)]);
        let file = archive(coracle, "failboat.tar.zst");
        refused(
            coracle,
            &["backup", "failboat", &file],
            &["BackupCommand=", "nothing was copied"],
        );
        assert!(!Path::new(&file).exists());
        coracle.ok(&["purge", "failboat"]);
    });
}

#[test]
fn archives_go_to_other_hosts_and_come_from_them() {
    with_workshop(|coracle, workshop| {
        coracle.ok(&["start", &image(workshop, "farboat", "")]);
        let word = stored("farboat").join("word");
        fs::write(&word, "here\n").expect("a file");
        let ssh = Ssh::new();
        let host = ssh.host(coracle);
        let file = archive(coracle, "far");
        let to = File::create(&file).expect("a file");
        let mut backup = ssh.command(coracle, &["-H", &host.name, "export", "farboat", "-"]);
        assert!(backup.stdout(to).status().expect("ssh").success());
        fs::write(&word, "gone\n").expect("a file");
        let restored = ssh.coracle(coracle, &["-H", &host.name, "restore", "farboat", &file]);
        assert_eq!(restored.status, 0, "{}", restored.stderr);
        assert_eq!(fs::read_to_string(&word).expect("a file"), "here\n");
        coracle.ok(&["purge", "farboat"]);
        let mut import = ssh.command(
            coracle,
            &["-H", &host.name, "import", "-", "--as-exported", "--now"],
        );
        let from = File::open(&file).expect("the archive");
        let import = import
            .stdin(from)
            .stderr(Stdio::piped())
            .output()
            .expect("ssh");
        assert!(
            import.status.success(),
            "{}",
            String::from_utf8_lossy(&import.stderr)
        );
        assert!(found(coracle, "farboat.service", 1).contains("here"));
        coracle.ok(&["purge", "farboat"]);
    });
}

/// So much that a backup is at it for a while.
fn fill_much(name: &str) {
    let mut number = 1_u64;
    let random = std::iter::repeat_with(|| {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        number.to_be_bytes()
    });
    let bytes: Vec<u8> = random.take(8 << 20).flatten().collect();
    for copy in 0..4 {
        fs::write(stored(name).join(format!("much-{copy}")), &bytes).expect("a file");
    }
}

#[test]
fn services_go_on_when_who_froze_them_is_killed() {
    with_workshop(|coracle, workshop| {
        coracle.ok(&["start", &image(workshop, "coldboat", "")]);
        fill_much("coldboat");
        let freezer = || coracle.property("coldboat.service", "FreezerState");
        let begin = || {
            let file = archive(coracle, "cold.tar.zst");
            let mut backup = coracle.command(&["backup", "coldboat", &file]);
            let backup = backup.stderr(Stdio::piped()).spawn().expect("coracle");
            eventually("the services to be frozen", || {
                (freezer() == "frozen").then_some(())
            });
            backup
        };
        let go_on = || {
            eventually("the services to go on", || {
                (freezer() == "running").then_some(())
            })
        };
        // SIGKILL lets nothing be cleaned up by who gets it.
        let mut backup = begin();
        backup.kill().expect("it is there");
        backup.wait().expect("it ends");
        go_on();
        // Where the manager goes, so does its word for the frozen; a copy that they were awake in is none.
        let backup = begin();
        manager::kill(manager::of(coracle.process("KeeperPID")));
        go_on();
        let said = backup.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&said.stderr);
        assert!(!said.status.success(), "{text}");
        assert!(text.contains("not of one moment"), "{text}");
        // What an administrator has frozen is not thawed by a backup.
        coracle.ok(&["freeze", "coldboat.service"]);
        let file = archive(coracle, "cold.tar.zst");
        coracle.ok(&["backup", "coldboat", &file]);
        assert_eq!(freezer(), "frozen");
        coracle.ok(&["thaw", "coldboat.service"]);
        coracle.ok(&["purge", "coldboat"]);
    });
}

#[test]
fn what_there_is_no_room_for_is_refused_before_it_is_written() {
    with_workshop(|coracle, workshop| {
        coracle.ok(&["start", &image(workshop, "fatboat", "")]);
        fs::write(stored("fatboat").join("fat"), vec![7; 3 << 20]).expect("a file");
        let file = archive(coracle, "fat.tar.zst");
        coracle.ok(&["export", "fatboat", &file]);
        coracle.ok(&["purge", "fatboat", "--forget"]);
        let small = Small::at(coracle.folder().join("state"));
        refused(
            coracle,
            &["import", &file, "--as-exported"],
            &[
                "there is no room for it",
                "bytes (",
                "are needed, and ",
                "are free",
                "nothing was written",
            ],
        );
        drop(small);
        assert!(!stored("fatboat").exists());
        coracle.ok(&["import", &file, "--as-exported"]);
        assert_eq!(
            fs::read(stored("fatboat").join("fat"))
                .expect("a file")
                .len(),
            3 << 20
        );
        coracle.ok(&["purge", "fatboat"]);
    });
}
