//! Channel indexes: what is refused in them, and whose word a host goes by when a maker changes its key or another one comes.

use std::fs;
use std::path::Path;
use std::process::Command;

use coracle_system_tests::channel::{BAD, GOOD, Harbour, unit};
use coracle_system_tests::images::By;

/// The signer that a refusal says can be accepted.
fn acceptable(said: &str) -> String {
    let word = said.split("--accept-signer=").nth(1).expect("a hint");
    let end = word.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != ':');
    format!("--accept-signer={}", &word[..end.unwrap_or(word.len())])
}

#[test]
fn an_index_that_is_old_forked_foreign_or_nonsense_is_refused_and_what_runs_goes_on() {
    Harbour::open(|harbour| {
        let index = harbour.file("boat.channel");
        let old = fs::read(&index).expect("an index");
        harbour.publish("1.1", GOOD, By::Trusted, &[]);
        let new = fs::read(&index).expect("an index");
        harbour.upgraded(&["--check"]);
        let serve = |bytes: &[u8]| fs::write(&index, bytes).expect("another index");
        serve(&old);
        harbour.refused(
            &[],
            &["serial 1, and 2 was seen before", "boat stays as it is"],
        );
        // The same serial made twice.
        harbour.publish("1.1.1", GOOD, By::Trusted, &[]);
        harbour.refused(&[], &["two channel indexes with serial 2"]);
        // Somebody else's, and a changed one.
        let ship = String::from_utf8(new.clone())
            .expect("text")
            .replace("channel 1 boat", "channel 1 ship");
        serve(ship.as_bytes());
        harbour.refused(&[], &["was changed on its way"]);
        let changed = String::from_utf8(new.clone())
            .expect("text")
            .replace("\"1.1\"", "\"1.9\"");
        serve(changed.as_bytes());
        harbour.refused(&[], &["was changed on its way"]);
        for nonsense in [&b""[..], b"<html>not found</html>\n", &vec![b'x'; 2 << 20]] {
            serve(nonsense);
            harbour.refused(&[], &["boat.channel"]);
        }
        fs::remove_file(&index).expect("the index");
        harbour.refused(&[], &["404"]);
        serve(&new);
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 1.1");
    });
}

#[test]
fn files_that_are_not_what_the_index_says_are_refused_and_the_next_try_succeeds() {
    Harbour::open(|harbour| {
        // Whoever has the chunks needs no file of the whole.
        harbour.publish("1.1", GOOD, By::Trusted, &["--no-chunks", "--patches", "0"]);
        let file = harbour.file("boat_1.1.psi.zst");
        let good = fs::read(&file).expect("the image");
        let check = |bytes: &[u8], expected: &str| {
            fs::write(&file, bytes).expect("another file");
            harbour.refused(&[], &[expected]);
        };
        check(
            &good[..good.len() - 1],
            "files of several versions are mixed",
        );
        check(&[&good[..], b"x"].concat(), "larger than");
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        check(&flipped, "files of several versions are mixed");
        let other = fs::read(harbour.file("boat_1.0.psi.zst")).expect("the other version");
        check(&other, "boat_1.1.psi.zst");
        fs::write(&file, &good).expect("the image again");
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 1.1");
    });
}

#[test]
fn a_maker_changes_its_key_and_hosts_go_along_while_nobody_else_takes_over() {
    Harbour::open(|harbour| {
        let coracle = harbour.coracle;
        coracle.ok(&["configure", "boat", "--env", "WORD=kept"]);
        let former = harbour.workshop.key(By::Trusted);
        // Somebody else's index under the same name: not trusted, and trusted but not the maker.
        let index = harbour.file("boat.channel");
        let good = fs::read(&index).expect("the index");
        fs::remove_file(&index).expect("the index");
        harbour.publish("3.0", GOOD, By::Unknown, &[]);
        harbour.refused(
            &[],
            &["\"Unknown Maker\"", "not trusted", "coracle trust add"],
        );
        let certificate = Path::new(&harbour.workshop.key(By::Unknown)).with_extension("crt");
        let certificate = certificate.display().to_string();
        let trusted = coracle.ok(&["trust", "add", &certificate]);
        harbour.refused(
            &[],
            &[
                "does not follow by that one's word",
                "--accept-signer=sha256:",
            ],
        );
        let fingerprint = trusted.split("sha256:").nth(1).expect("a fingerprint");
        let fingerprint: String = fingerprint
            .chars()
            .take_while(char::is_ascii_hexdigit)
            .collect();
        coracle.ok(&["trust", "remove", &fingerprint]);
        for file in ["boat_3.0.psi", "boat_3.0.psi.zst"] {
            fs::remove_file(harbour.file(file)).expect("a file");
        }
        // The maker's own word.
        fs::write(&index, good).expect("the index");
        harbour.publish("1.1", GOOD, By::Unknown, &["--former-key", &former]);
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 1.1");
        assert!(
            coracle
                .property("boat.service", "Environment")
                .contains("WORD=kept")
        );
        harbour.publish("1.2", GOOD, By::Unknown, &[]);
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 1.2");
        assert!(coracle.ok(&["status", "boat"]).contains("Unknown Maker"));
        // Back over the change of keys, with what was chosen.
        coracle.ok(&["rollback", "boat", "1.0"]);
        assert_eq!(harbour.running().0, "boat 1.0");
        assert!(
            coracle
                .property("boat.service", "Environment")
                .contains("WORD=kept")
        );
        // The new key counts for this portable alone.
        let other = harbour.workshop.image(
            "ship",
            "1",
            By::Unknown,
            &[("ship.service", "[Service]\nExecStart=/usr/bin/sleep 1\n")],
        );
        let said = coracle.coracle(&["start", &other]);
        assert!(
            said.status == 1 && said.stderr.contains("not trusted"),
            "{}",
            said.stderr
        );
    });
}

#[test]
fn after_the_loss_of_a_key_a_new_maker_is_accepted_once_and_has_a_history_of_its_own() {
    Harbour::open(|harbour| {
        let index = harbour.file("boat.channel");
        let start_anew = || fs::remove_file(&index).expect("the index");
        harbour.publish("1.1", GOOD, By::Trusted, &["--floor", "1.1"]);
        harbour.upgraded(&[]);
        let of_former = fs::read(&index).expect("an index");
        start_anew();
        harbour.publish("2.0", GOOD, By::Unknown, &[]);
        let first = fs::read(&index).expect("an index");
        let certificate = Path::new(&harbour.workshop.key(By::Unknown)).with_extension("crt");
        harbour
            .coracle
            .ok(&["trust", "add", &certificate.display().to_string()]);
        let said = harbour.upgrade(&[]);
        assert_eq!(said.status, 1, "{}", said.stdout);
        let accept = acceptable(&said.stderr);
        let another = format!("--accept-signer=sha256:{}", "0".repeat(64));
        harbour.refused(&[&another], &["does not follow by that one's word"]);
        // To look at it only forgets nothing of the former maker's.
        harbour.upgraded(&["--check", &accept]);
        fs::write(&index, &of_former).expect("another index");
        assert_eq!(harbour.upgraded(&[]), "boat 1.1 is the newest\n");
        fs::write(&index, &first).expect("another index");
        harbour.upgraded(&[&accept]);
        assert_eq!(harbour.running().0, "boat 2.0");
        let status = harbour.coracle.ok(&["status", "boat"]);
        assert!(status.contains("Unknown Maker"), "{status}");
        // What was seen when it was accepted counts from then on.
        start_anew();
        harbour.publish("2.0.1", GOOD, By::Unknown, &[]);
        harbour.refused(&[], &["two channel indexes with serial 1"]);
        fs::write(&index, &first).expect("another index");
        harbour.publish("2.1", GOOD, By::Unknown, &["--floor", "2.1"]);
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 2.1");
        fs::write(&index, &first).expect("another index");
        harbour.refused(&[], &["serial 1, and 2 was seen before"]);
        fs::write(&index, &of_former).expect("another index");
        harbour.refused(&[], &["does not follow by that one's word"]);
    });
}

#[test]
fn a_new_maker_whose_version_does_not_work_leaves_the_former_one_in_place() {
    Harbour::open(|harbour| {
        fs::remove_file(harbour.file("boat.channel")).expect("the index");
        harbour.publish("2.0", BAD, By::Unknown, &[]);
        let certificate = Path::new(&harbour.workshop.key(By::Unknown)).with_extension("crt");
        harbour
            .coracle
            .ok(&["trust", "add", &certificate.display().to_string()]);
        let accept = acceptable(&harbour.upgrade(&[]).stderr);
        let said = harbour.upgrade(&[&accept, "--healthy-for", "60"]);
        assert_eq!(said.status, 1, "{}", said.stdout);
        assert_eq!(harbour.running().0, "boat 1.0");
        let status = harbour.coracle.ok(&["status", "boat"]);
        assert!(status.contains("Trusted Maker"), "{status}");
    });
}

#[test]
fn what_nobody_signed_follows_nobody_who_was_not_accepted() {
    Harbour::open(|harbour| {
        let coracle = harbour.coracle;
        coracle.ok(&["purge", "boat", "--forget"]);
        let text = unit("1.0", GOOD);
        let units = [("boat.service", text.as_str())];
        let unsigned = harbour.workshop.image("boat", "1.0", By::Nobody, &units);
        fs::copy(&unsigned, harbour.file("plain.psi")).expect("a copy");
        let url = harbour.server.url("plain.psi");
        coracle.ok(&["start", &url, "--insecure", "--ca", &harbour.ca]);
        harbour.publish("1.1", GOOD, By::Trusted, &[]);
        harbour.refused(&["--check"], &["--accept-signer=sha256:"]);
        harbour.refused(&[], &["--accept-signer=sha256:"]);
        let accept = acceptable(&harbour.upgrade(&[]).stderr);
        harbour.upgraded(&[&accept]);
        assert_eq!(harbour.running().0, "boat 1.1");
        harbour.publish("1.2", GOOD, By::Trusted, &[]);
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 1.2");
    });
}

#[test]
fn an_image_of_another_version_than_the_index_says_is_refused() {
    Harbour::open(|harbour| {
        harbour.publish("1.1", GOOD, By::Trusted, &[]);
        let index = harbour.file("boat.channel");
        let text = fs::read_to_string(&index).expect("an index");
        let (_, body) = text.split_once("\n\n").expect("a body");
        let body = body.replace("\"version\": \"1.1\"", "\"version\": \"1.9\"");
        let first = "coracle-channel 1 boat\n";
        let key = harbour.workshop.key(By::Trusted);
        let signed = Path::new(&key).with_file_name("signed");
        fs::write(&signed, format!("{first}{body}")).expect("what is to be signed");
        let made = Command::new("openssl")
            .args(["smime", "-sign", "-binary", "-noattr", "-outform", "PEM"])
            .args(["-md", "sha256", "-inkey", &key, "-signer"])
            .arg(Path::new(&key).with_extension("crt"))
            .arg("-in")
            .arg(&signed)
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "{made:?}");
        let pem = String::from_utf8(made.stdout).expect("text");
        let signature: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let lying = format!("{first}signature {signature}\n\n{body}");
        fs::write(&index, lying).expect("another index");
        harbour.refused(
            &[],
            &["is boat 1.1, and the channel index says 1.9", "boat_1.1"],
        );
        harbour.check_versions(&[("1.0", "current")]);
    });
}

#[test]
fn an_old_index_is_refused_also_after_a_purge() {
    Harbour::open(|harbour| {
        let index = harbour.web.join("boat.channel");
        let old = fs::read(&index).expect("an index");
        let kept = harbour.web.join("kept.psi");
        fs::copy(harbour.web.join("boat_1.0.psi"), &kept).expect("an image");
        harbour.publish("1.1", GOOD, By::Trusted, &["--floor", "1.1"]);
        harbour.upgraded(&["--check"]);
        let new = fs::read(&index).expect("an index");
        harbour.coracle.ok(&["purge", "boat"]);
        fs::write(&index, &old).expect("an index");
        let (url, ca) = (harbour.server.url("boat_1.1.psi"), harbour.ca.as_str());
        let withdrawn = harbour.server.url("kept.psi");
        let words = ["start", &withdrawn, "--ca", ca];
        let said = harbour.coracle.coracle(&words);
        assert!(
            said.stderr.contains("was withdrawn by its maker"),
            "{said:#?}"
        );
        harbour.coracle.ok(&["start", &url, "--ca", ca]);
        harbour.refused(&[], &["an old one is served again"]);
        fs::write(&index, &new).expect("an index");
        harbour.upgraded(&[]);
        harbour.coracle.ok(&["purge", "boat", "--forget"]);
        fs::write(&index, &old).expect("an index");
        harbour.coracle.ok(&["start", &withdrawn, "--ca", ca]);
        let seen = harbour.upgrade(&["--check"]).ok();
        assert!(!seen.stderr.contains("old one"), "{seen:#?}");
    });
}
