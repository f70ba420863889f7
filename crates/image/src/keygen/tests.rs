//! Keys and certificates, as an independent implementation sees them.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::*;
use crate::sign::SigningKey;

fn openssl(arguments: &[&str], dir: &Path) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(dir)
        .output();
    let output = output.expect("this test asks openssl, which must be installed (Debian: openssl)");
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_certificate_that_can_not_be_written_leaves_no_key_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (key, certificate) = (dir.path().join("signing.key"), dir.path().join("away/crt"));
    let pair = || write_pair((&key, b"key"), (&certificate, b"certificate"));
    assert!(matches!(pair(), Err(KeygenError::Write { path, .. }) if path == certificate));
    assert!(!key.exists());
    std::fs::create_dir(dir.path().join("away")).unwrap();
    pair().unwrap();
    // What is there already stays.
    std::fs::remove_file(&certificate).unwrap();
    assert!(matches!(pair(), Err(KeygenError::Write { path, .. }) if path == key));
    assert!(key.exists() && !certificate.exists());
}

#[test]
fn a_key_is_private_and_its_certificate_is_what_openssl_expects() {
    let dir = tempfile::tempdir().unwrap();
    let signer = generate(dir.path(), "Example Maker, Inc. + Co").unwrap();
    assert_eq!(signer.common_name, "Example Maker, Inc. + Co");
    let mode = dir
        .path()
        .join("signing.key")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let text = openssl(
        &[
            "x509",
            "-in",
            "signing.crt",
            "-noout",
            "-text",
            "-nameopt",
            "multiline",
        ],
        dir.path(),
    );
    for expected in [
        "Example Maker, Inc. + Co",
        "Public-Key: (3072 bit)",
        "Digital Signature",
        "Code Signing",
        "CA:FALSE",
    ] {
        assert!(text.contains(expected), "{expected} is missing in {text}");
    }
    openssl(
        &[
            "verify",
            "-CAfile",
            "signing.crt",
            "-check_ss_sig",
            "signing.crt",
        ],
        dir.path(),
    );
    openssl(
        &["rsa", "-in", "signing.key", "-check", "-noout"],
        dir.path(),
    );
    assert_eq!(
        SigningKey::load(&dir.path().join("signing.key"), None)
            .unwrap()
            .signer(),
        &signer
    );
}

#[test]
fn a_key_that_is_there_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("signing.crt"), "precious").unwrap();
    let refusal = generate(dir.path(), "Maker").unwrap_err().to_string();
    assert!(
        refusal.ends_with("signing.crt exists; a signing key is never overwritten"),
        "{refusal}"
    );
    assert_eq!(
        std::fs::read(dir.path().join("signing.crt")).unwrap(),
        b"precious"
    );
    assert!(!dir.path().join("signing.key").exists());
}

#[test]
fn a_name_that_no_terminal_should_see_makes_no_key() {
    let dir = tempfile::tempdir().unwrap();
    assert!(generate(dir.path(), "evil\u{1b}[2J").is_err());
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}
