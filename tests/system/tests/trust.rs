//! Whom and what the administrator trusts: single images, certificates that can't vouch, and what was revoked.

use std::fs;
use std::process::Command;

use coracle_system_tests::images::{BOAT, By, Workshop, with_workshop};
use coracle_system_tests::refusal::refused;
use coracle_system_tests::waiting::eventually;
use testkit::Instance;

/// The digest of an image, as the shipped command tells it.
fn digest(coracle: &Instance, image: &str) -> String {
    let report = coracle.ok(&["inspect", image, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    format!("sha256:{}", report["digest"].as_str().expect("a digest"))
}

fn json(coracle: &Instance, words: &[&str]) -> serde_json::Value {
    serde_json::from_str(&coracle.ok(words)).expect("JSON")
}

/// It fails and says all of these.
#[track_caller]
fn fails(coracle: &Instance, words: &[&str], expected: &[&str]) {
    let done = coracle.coracle(words);
    assert_ne!(done.status, 0, "{words:?}: {done:#?}");
    for word in expected {
        assert!(done.stderr.contains(word), "{word:?} in {done:#?}");
    }
}

/// Runs openssl(1) in a directory, with these words.
fn openssl(folder: &std::path::Path, line: &str) {
    let done = Command::new("openssl")
        .args(line.split(' '))
        .current_dir(folder)
        .output();
    let done = done.expect("this test asks openssl, which must be installed (Debian: openssl)");
    assert!(done.status.success(), "{line}: {done:#?}");
}

#[test]
fn a_single_image_is_trusted_by_its_digest_until_it_is_no_longer() {
    with_workshop(|coracle, workshop| {
        let image = workshop.image("boat", "1", By::Unknown, &[("boat.service", BOAT)]);
        let digest = digest(coracle, &image);
        refused(coracle, &[&image], &["not trusted", "--trust-digest"]);
        coracle.ok(&["trust", "add", &digest, "--reason", "looked at it"]);
        let listed = coracle.ok(&["trust", "list"]);
        assert!(
            listed.contains(&digest) && listed.contains("looked at it"),
            "{listed}"
        );
        coracle.ok(&["start", &image]);
        let status = coracle.ok(&["status", "boat"]);
        assert!(status.contains("allowed by its digest"), "{status}");
        let listed = coracle.ok(&["list"]);
        assert!(listed.contains("by its digest"), "{listed}");
        assert_eq!(json(coracle, &["list", "--json"])[0]["trust"], "digest");
        coracle.ok(&["purge", "--forget", "boat"]);
        let said = coracle.ok(&["trust", "remove", &digest[..20]]);
        assert!(said.contains("no longer trusted"), "{said}");
        refused(coracle, &[&image], &["not trusted"]);
        // One that is signed by somebody trusted stays that, also where its digest is trusted.
        let signed = workshop.image("boat", "2", By::Trusted, &[("boat.service", BOAT)]);
        coracle.ok(&["trust", "add", &self::digest(coracle, &signed)]);
        coracle.ok(&["attach", &signed]);
        assert_eq!(json(coracle, &["list", "--json"])[0]["trust"], "signed");
        fails(
            coracle,
            &["trust", "add", "sha256:12"],
            &["sha256:12 is no digest", "Hint:"],
        );
    });
}

#[test]
fn a_revoked_image_neither_attaches_nor_starts_and_what_runs_is_told() {
    with_workshop(|coracle, workshop| {
        let units = [
            ("boat.service", format!("{BOAT}Restart=always\n")),
            ("boat-other.service", BOAT.to_owned()),
        ];
        let units: Vec<(&str, &str)> = units
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        let image = workshop.image("boat", "1", By::Trusted, &units);
        let digest = digest(coracle, &image);
        coracle.ok(&["start", &image]);
        coracle.ok(&["stop", "boat-other.service"]);
        let said = coracle.coracle(&["trust", "revoke", &digest, "--reason", "it leaks"]);
        assert_eq!(said.status, 0, "{said:#?}");
        assert!(
            said.stdout.contains(&digest) && said.stderr.contains("coracle stop boat"),
            "{said:#?}"
        );
        // What runs goes on, and is told.
        assert_eq!(coracle.property("boat.service", "ActiveState"), "active");
        let status = coracle.ok(&["status", "boat.service"]);
        assert!(
            status.contains("Revoked: YES") && status.contains("it leaks"),
            "{status}"
        );
        assert!(coracle.ok(&["list"]).contains("REVOKED"));
        assert_eq!(
            json(coracle, &["list", "--json"])[0]["revoked"],
            digest.as_str()
        );
        let listed = json(coracle, &["trust", "list", "--json"]);
        let lines = listed.as_array().expect("a list");
        assert!(
            lines
                .iter()
                .any(|line| line["kind"] == "revoked" && line["reason"] == "it leaks")
        );
        // Nothing of it starts: by the unit's name, by the portable's, by its file, or again after its death.
        let why = ["was revoked", "it leaks", "coracle trust restore"];
        fails(coracle, &["start", "boat-other.service"], &why);
        fails(coracle, &["restart", "boat.service"], &why);
        fails(coracle, &["start", "boat"], &why);
        fails(coracle, &["start", &image], &why);
        fails(coracle, &["attach", &image, "--insecure"], &why);
        let this_one = format!("--trust-digest={digest}");
        fails(coracle, &["attach", &image, &this_one], &why);
        fails(
            coracle,
            &["trust", "add", &digest],
            &["was revoked", "restore"],
        );
        assert_eq!(coracle.property("boat.service", "ActiveState"), "active");
        coracle.ok(&["kill", "--signal", "KILL", "boat.service"]);
        eventually("a restart is refused", || {
            (coracle.property("boat.service", "ActiveState") == "failed").then_some(())
        });
        coracle.ok(&["trust", "restore", &digest]);
        coracle.ok(&["reset-failed", "boat.service"]);
        coracle.ok(&["start", "boat"]);
        assert_eq!(coracle.property("boat.service", "ActiveState"), "active");
        assert!(!coracle.ok(&["status", "boat.service"]).contains("Revoked"));
    });
}

/// An image that was signed with a leaf of an authority, and where files of these names lie.
fn by_a_leaf<'a>(
    coracle: &'a Instance,
    workshop: &Workshop<'_>,
) -> (String, impl Fn(&str) -> String + use<'a>) {
    let folder = coracle.folder();
    for line in [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=Authority",
        "req -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.csr -subj /CN=Leaf",
        "x509 -req -in leaf.csr -CA ca.crt -CAkey ca.key -out leaf.crt -days 30 -CAcreateserial",
    ] {
        openssl(folder, line);
    }
    let path = move |name: &str| folder.join(name).display().to_string();
    let image = workshop.image("boat", "1", By::Nobody, &[("boat.service", BOAT)]);
    coracle.ok(&["sign", &image, "--key", &path("leaf.key")]);
    (image, path)
}

#[test]
fn a_revoked_certificate_takes_all_along_that_it_signed_or_issued() {
    with_workshop(|coracle, workshop| {
        let (image, path) = by_a_leaf(coracle, workshop);
        refused(coracle, &[&image], &["\"Leaf\"", "not trusted"]);
        coracle.ok(&["trust", "add", &path("ca.crt")]);
        coracle.ok(&["attach", &image]);
        // By the name of the one that is trusted: its issuer.
        coracle.ok(&["trust", "revoke", "Authority"]);
        fails(
            coracle,
            &["start", "boat.service"],
            &["certificate that vouches for it was revoked"],
        );
        fails(
            coracle,
            &["start", "boat"],
            &["\"Leaf\"", "was revoked", "restore"],
        );
        fails(coracle, &["attach", &image], &["not trusted"]);
        let listed = coracle.ok(&["trust", "list"]);
        assert!(listed.contains("no: revoked"), "{listed}");
        let lines = json(coracle, &["trust", "list", "--json"]);
        let lines = lines.as_array().expect("a list").iter();
        let revoked: Vec<String> = lines
            .filter(|line| line["kind"] == "revoked")
            .map(|line| line["fingerprint"].as_str().expect("digits").to_owned())
            .collect();
        coracle.ok(&["trust", "restore", &revoked[0]]);
        // By the file of the one that signed, which nobody trusts by itself.
        coracle.ok(&["trust", "revoke", &path("leaf.crt")]);
        fails(coracle, &["start", "boat.service"], &["was revoked"]);
        fails(
            coracle,
            &["attach", &image],
            &["\"Leaf\"", "was revoked", "restore"],
        );
        fails(
            coracle,
            &["trust", "revoke", "Nobody"],
            &["\"Nobody\" is no digest", "Hint:"],
        );
        fails(
            coracle,
            &["trust", "restore", "sha256:00112233"],
            &["nothing that begins", "Hint:"],
        );
    });
}

/// Whoever has a revoked key gets another certificate for it, or makes one of the old one: its signature can be written otherwise.
#[test]
fn a_revoked_certificate_takes_every_other_one_of_its_key_along() {
    with_workshop(|coracle, workshop| {
        let folder = coracle.folder();
        let openssl = |line: &str| openssl(folder, line);
        let ec = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&format!(
            "req -x509 {ec} -keyout ca.key -out ca.crt -subj /CN=Authority"
        ));
        openssl(&format!(
            "req {ec} -keyout leaf.key -out leaf.csr -subj /CN=Leaf"
        ));
        for name in ["leaf", "again"] {
            openssl(&format!(
                "x509 -req -in leaf.csr -CA ca.crt -CAkey ca.key -out {name}.crt -days 30 -CAcreateserial"
            ));
        }
        fs::copy(folder.join("leaf.key"), folder.join("again.key")).expect("a key");
        let path = |name: &str| folder.join(name).display().to_string();
        let image = |name: &str, key: &str| {
            let unit = format!("{name}.service");
            let image = workshop.image(name, "1", By::Nobody, &[(&unit, BOAT)]);
            coracle.ok(&["sign", &image, "--key", &path(key)]);
            image
        };
        let (boat, ship) = (image("boat", "again.key"), image("ship", "again.key"));
        coracle.ok(&["trust", "add", &path("ca.crt")]);
        coracle.ok(&["attach", &boat]);
        let said = coracle.coracle(&["trust", "revoke", &path("leaf.crt"), "--reason", "stolen"]);
        assert!(said.stderr.contains("coracle stop boat"), "{said:#?}");
        let why = ["was revoked", "stolen", "coracle trust restore"];
        fails(coracle, &["start", "boat.service"], &why);
        fails(coracle, &["start", "boat"], &why);
        fails(coracle, &["attach", &ship], &why);
        fails(coracle, &["attach", &ship, "--insecure"], &why);
        fails(
            coracle,
            &["trust", "add", &path("again.crt")],
            &["was revoked"],
        );
        let status = coracle.coracle(&["status", "boat.service"]).stdout;
        assert!(status.contains("Revoked: YES"), "{status}");
        let word = "coracle trust restore ";
        let refused = coracle.coracle(&["attach", &ship]).stderr;
        let (_, digest) = refused.split_once(word).expect("how it is taken back");
        let digest = digest.split('`').next().expect("a digest");
        coracle.ok(&["trust", "restore", digest]);
        coracle.ok(&["attach", &ship]);
        coracle.ok(&["start", "boat"]);
        // By the fingerprint of one that is trusted itself: its key is known.
        let ca = json(coracle, &["trust", "list", "--json"]);
        let mut lines = ca.as_array().expect("a list").iter();
        let ca = lines.find(|line| line["name"] == "Authority").expect("one");
        let fingerprint = format!("sha256:{}", ca["fingerprint"].as_str().expect("text"));
        coracle.ok(&["trust", "revoke", &fingerprint]);
        let lines = json(coracle, &["trust", "list", "--json"]);
        let lines = lines.as_array().expect("a list").iter();
        assert_eq!(lines.filter(|line| line["kind"] == "revoked").count(), 2);
        fails(coracle, &["start", "ship"], &["was revoked"]);
    });
}

#[test]
fn what_lets_one_file_in_lets_in_nothing_of_a_revoked_maker() {
    with_workshop(|coracle, workshop| {
        let image = workshop.image("boat", "1", By::Unknown, &[("boat.service", BOAT)]);
        let certificate = workshop.key(By::Unknown).replace(".key", ".crt");
        let this_one = format!("--trust-digest={}", digest(coracle, &image));
        coracle.ok(&["trust", "revoke", &certificate, "--reason", "stolen"]);
        let why = [
            "\"Unknown Maker\"",
            "was revoked",
            "stolen",
            "coracle trust restore",
        ];
        for waiver in [this_one.as_str(), "--insecure"] {
            fails(coracle, &["attach", &image, waiver], &why);
        }
        coracle.ok(&["trust", "add", &digest(coracle, &image)]);
        fails(coracle, &["attach", &image], &why);
        let lines = json(coracle, &["trust", "list", "--json"]);
        let lines = lines.as_array().expect("a list");
        let revoked = lines.iter().find(|line| line["kind"] == "revoked");
        let fingerprint = revoked.expect("one")["fingerprint"].as_str().expect("text");
        coracle.ok(&["trust", "restore", fingerprint]);
        coracle.ok(&["attach", &image, &this_one]);
        coracle.ok(&["trust", "revoke", &certificate]);
        fails(coracle, &["start", "boat.service"], &["was revoked"]);
        fails(coracle, &["start", "boat"], &["was revoked"]);
    });
}

#[test]
fn what_lets_one_file_in_lets_in_nothing_that_a_revoked_authority_vouched_for() {
    with_workshop(|coracle, workshop| {
        let (image, path) = by_a_leaf(coracle, workshop);
        coracle.ok(&["trust", "add", &path("ca.crt")]);
        let this_one = format!("--trust-digest={}", digest(coracle, &image));
        let why = ["\"Leaf\"", "was revoked", "coracle trust restore"];
        for waiver in [this_one.as_str(), "--insecure"] {
            coracle.ok(&["attach", &image, waiver]);
            coracle.ok(&["trust", "revoke", "Authority"]);
            // What came in before does not start again, and nothing comes in after.
            fails(coracle, &["start", "boat.service"], &["was revoked"]);
            fails(coracle, &["start", "boat"], &why);
            fails(coracle, &["attach", &image, waiver], &why);
            coracle.ok(&["purge", "--forget", "boat"]);
            fails(coracle, &["attach", &image, waiver], &why);
            let lines = json(coracle, &["trust", "list", "--json"]);
            let mut lines = lines.as_array().expect("a list").iter();
            let revoked = lines.find(|line| line["kind"] == "revoked").expect("one");
            let fingerprint = revoked["fingerprint"].as_str().expect("text");
            coracle.ok(&["trust", "restore", fingerprint]);
        }
    });
}

#[test]
fn another_maker_gets_neither_the_settings_nor_the_profile_of_the_former_one() {
    with_workshop(|coracle, workshop| {
        let units = [("boat.service", BOAT)];
        let first = workshop.image("boat", "1", By::Trusted, &units);
        let same = workshop.image("boat", "2", By::Trusted, &units);
        let other = workshop.image("boat", "3", By::Unknown, &units);
        coracle.ok(&["attach", &first, "--profile", "trusted"]);
        coracle.ok(&["configure", "boat", "--env", "SECRET=it's hidden"]);
        let said = coracle.coracle(&["start", &same, "--attach-only"]);
        assert!(
            said.status == 0 && !said.stderr.contains("another maker"),
            "{said:#?}"
        );
        assert_eq!(json(coracle, &["list", "--json"])[0]["profile"], "trusted");
        assert!(coracle.ok(&["configure", "boat"]).contains("SECRET"));
        let certificate = workshop.key(By::Unknown).replace(".key", ".crt");
        coracle.ok(&["trust", "add", &certificate]);
        let refused = coracle.coracle(&["start", &other, "--attach-only"]).stderr;
        let accept = refused
            .split_whitespace()
            .find(|word| word.starts_with("--accept-signer="));
        let accept = accept
            .expect("how it is accepted")
            .trim_end_matches(['`', '.', ',']);
        let said = coracle.coracle(&["start", &other, "--attach-only", accept]);
        assert_eq!(said.status, 0, "{said:#?}");
        for word in [
            "another maker",
            "--profile trusted",
            r"coracle configure boat --env='SECRET=it'\''s hidden'",
        ] {
            assert!(said.stderr.contains(word), "{word}: {said:#?}");
        }
        assert_ne!(json(coracle, &["list", "--json"])[0]["profile"], "trusted");
        assert!(!coracle.ok(&["configure", "boat"]).contains("SECRET"));
    });
}

#[test]
fn a_certificate_that_has_expired_vouches_for_nothing_and_the_dates_are_told() {
    with_workshop(|coracle, workshop| {
        let folder = coracle.folder();
        let openssl = |line: &str| openssl(folder, line);
        openssl("req -newkey rsa:2048 -nodes -keyout old.key -out old.csr -subj /CN=Old");
        openssl("x509 -req -in old.csr -signkey old.key -days -1 -out old.crt");
        openssl(
            "req -x509 -newkey rsa:2048 -nodes -keyout web.key -out web.crt -subj /CN=Web -addext basicConstraints=CA:FALSE -addext extendedKeyUsage=serverAuth",
        );
        openssl(
            "req -x509 -newkey rsa:2048 -nodes -keyout use.key -out use.crt -subj /CN=Use -addext basicConstraints=CA:FALSE -addext keyUsage=keyEncipherment",
        );
        let path = |name: &str| folder.join(name).display().to_string();
        let image = workshop.image("boat", "1", By::Nobody, &[("boat.service", BOAT)]);
        coracle.ok(&["sign", &image, "--key", &path("old.key")]);
        let said = coracle.coracle(&["trust", "add", &path("old.crt")]);
        assert!(
            said.status == 0 && said.stderr.contains("\"Old\" expired"),
            "{said:#?}"
        );
        refused(
            coracle,
            &[&image],
            &[
                "the certificate of \"Old\" expired: it was valid until 2",
                "clock says 2",
                "ask its maker",
            ],
        );
        let listed = coracle.ok(&["trust", "list"]);
        assert!(listed.contains("not now; until 2"), "{listed}");
        fails(
            coracle,
            &["trust", "add", &path("web.crt")],
            &["lacks codeSigning"],
        );
        fails(
            coracle,
            &["trust", "add", &path("use.crt")],
            &["lacks digitalSignature"],
        );
        // What was installed while it was valid starts at every boot: only what comes in is measured by the dates.
        let good = workshop.image("ship", "1", By::Trusted, &[("ship.service", BOAT)]);
        coracle.ok(&["attach", &good]);
        fs::remove_dir_all(folder.join("config/trust.d")).ok();
        coracle.ok(&["start", "ship"]);
    });
}
