//! Signatures by and for openssl, trust, and damage.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::sign::SigningKey;
use sha2::Digest as _;

const HASH: &str = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";

/// A directory with keys, certificates and signatures, made by openssl.
struct Workshop(tempfile::TempDir);

impl Workshop {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("hash"), HASH).unwrap();
        Self(dir)
    }

    fn openssl(&self, line: &str) {
        let output = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(self.0.path())
            .output();
        let output =
            output.expect("this test asks openssl, which must be installed (Debian: openssl)");
        assert!(
            output.status.success(),
            "openssl {line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// A self-signed certificate NAME.crt with NAME.key.
    fn key(&self, name: &str, kind: &str, more: &str) {
        let line = format!(
            "req -x509 -newkey {kind} -nodes -keyout {name}.key -out {name}.crt -subj /CN={name} {more}"
        );
        self.openssl(line.trim());
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn certificate(&self, name: &str) -> TrustedCertificate {
        TrustedCertificate::parse(&std::fs::read(self.path(&format!("{name}.crt"))).unwrap())
            .unwrap()
    }

    /// The JSON around a signature by openssl.
    fn signed_by_openssl(&self, name: &str, more: &str) -> String {
        self.openssl(format!("smime -sign -binary -in hash -inkey {name}.key -signer {name}.crt -outform der -out sig {more}").trim_end());
        let der = std::fs::read(self.path("sig")).unwrap();
        format!(
            r#"{{"rootHash":"{HASH}","signature":"{}"}}"#,
            Base64::encode_string(&der)
        )
    }

    fn signed_here(&self, name: &str) -> String {
        let key = SigningKey::load(&self.path(&format!("{name}.key")), None).unwrap();
        key.sign_root_hash(HASH.parse().unwrap()).unwrap()
    }
}

const P256: &str = "ec -pkeyopt ec_paramgen_curve:prime256v1";

/// Who signed, or the refusal, up to an ellipsis where dates follow.
fn check_at(json: &str, trusted: &[TrustedCertificate], now: SystemTime, expected: &str) {
    let said = match check(json, trusted, now) {
        Ok((hash, signer)) => {
            assert_eq!(hash.to_string(), HASH);
            signer.common_name
        }
        Err(error) => format!("refused: {error}"),
    };
    let said = said.split(" (").next().unwrap().to_owned();
    match expected.strip_suffix('…') {
        Some(beginning) => assert!(said.starts_with(beginning), "{said}"),
        None => assert_eq!(said, expected),
    }
}

fn check_now(json: &str, trusted: &[TrustedCertificate], expected: &str) {
    check_at(json, trusted, SystemTime::now(), expected);
}

#[test]
fn signatures_by_openssl_are_accepted_in_every_form_that_it_has() {
    let shop = Workshop::new();
    shop.key("rsa", "rsa:2048", "");
    shop.key("ecdsa", P256, "");
    for name in ["rsa", "ecdsa"] {
        let trusted = [shop.certificate(name)];
        for form in ["-noattr", "", "-nocerts -noattr"] {
            check_now(&shop.signed_by_openssl(name, form), &trusted, name);
        }
    }
    shop.openssl("cms -sign -binary -keyid -in hash -inkey rsa.key -signer rsa.crt -outform der -out sig -md sha256");
    let der = std::fs::read(shop.path("sig")).unwrap();
    let json = format!(
        r#"{{"rootHash":"{HASH}","signature":"{}"}}"#,
        Base64::encode_string(&der)
    );
    check_now(&json, &[shop.certificate("rsa")], "rsa");
}

#[test]
fn openssl_accepts_what_is_signed_here() {
    let shop = Workshop::new();
    shop.key("rsa", "rsa:2048", "");
    shop.key("ecdsa", P256, "");
    for name in ["rsa", "ecdsa"] {
        let json = shop.signed_here(name);
        assert_eq!(
            json,
            shop.signed_here(name),
            "the same key and hash give the same bytes"
        );
        let (_, der) = open(&json).unwrap();
        std::fs::write(shop.path("sig"), der).unwrap();
        for tool in ["cms", "smime"] {
            let verify = "-verify -binary -inform der -in sig -content hash -purpose any -out out";
            shop.openssl(&format!("{tool} {verify} -CAfile {name}.crt"));
        }
        check_now(&json, &[shop.certificate(name)], name);
    }
}

#[test]
fn a_foreign_signer_is_named_and_refused() {
    let shop = Workshop::new();
    shop.key("maker", P256, "");
    shop.key("other", P256, "");
    let json = shop.signed_here("maker");
    check_now(&json, &[], "refused: the image is signed by \"maker\"");
    check_now(
        &json,
        &[shop.certificate("other")],
        "refused: the image is signed by \"maker\"",
    );
    let bare = shop.signed_by_openssl("maker", "-nocerts -noattr");
    let unknown = "refused: the image is signed with a certificate that is neither trusted nor in the signature";
    check_now(&bare, &[shop.certificate("other")], unknown);
}

#[test]
fn an_impostor_with_the_signers_name_and_number_is_refused() {
    let shop = Workshop::new();
    shop.key("maker", P256, "-set_serial 7");
    std::fs::create_dir(shop.path("evil")).unwrap();
    shop.openssl(&format!(
        "req -x509 -newkey {P256} -nodes -keyout evil/maker.key -out evil/maker.crt -subj /CN=maker -set_serial 7"
    ));
    let evil = SigningKey::load(&shop.path("evil/maker.key"), None).unwrap();
    let json = evil.sign_root_hash(HASH.parse().unwrap()).unwrap();
    check_now(
        &json,
        &[shop.certificate("maker")],
        "refused: the signature is wrong: it was not made by \"maker\" over this root hash",
    );
}

#[test]
fn a_certificate_that_a_trusted_authority_issued_may_sign_and_one_that_another_issued_may_not() {
    let shop = Workshop::new();
    shop.key("authority", "rsa:2048", "");
    shop.key(
        "leaf-issuer",
        "rsa:2048",
        "-addext basicConstraints=critical,CA:FALSE",
    );
    for issuer in ["authority", "leaf-issuer"] {
        shop.openssl(&format!(
            "req -newkey {P256} -nodes -keyout maker.key -out maker.csr -subj /CN=maker"
        ));
        shop.openssl(&format!("x509 -req -in maker.csr -CA {issuer}.crt -CAkey {issuer}.key -out maker.crt -days 30 -CAcreateserial"));
        let expected = if issuer == "authority" {
            "maker"
        } else {
            "refused: the image is signed by \"maker\""
        };
        check_now(
            &shop.signed_here("maker"),
            &[shop.certificate(issuer)],
            expected,
        );
    }
}

#[test]
fn dates_and_usages_of_certificates_are_kept() {
    let shop = Workshop::new();
    shop.key("short", P256, "-days 1");
    let json = shop.signed_here("short");
    let trusted = [shop.certificate("short")];
    let day = Duration::from_secs(86_400);
    check_at(
        &json,
        &trusted,
        SystemTime::now() + 2 * day,
        "refused: the certificate of \"short\" expired: it was valid until 2…",
    );
    check_at(
        &json,
        &trusted,
        SystemTime::now() - day,
        "refused: the certificate of \"short\" is not valid before 2…",
    );

    shop.key(
        "server",
        P256,
        "-addext basicConstraints=CA:FALSE -addext extendedKeyUsage=serverAuth",
    );
    let said =
        TrustedCertificate::parse(&std::fs::read(shop.path("server.crt")).unwrap()).unwrap_err();
    assert_eq!(
        said.to_string(),
        "the certificate of \"server\" must not sign images: its extended key usage lacks codeSigning"
    );
    shop.key("weak", "rsa:1024", "");
    let said =
        TrustedCertificate::parse(&std::fs::read(shop.path("weak.crt")).unwrap()).unwrap_err();
    assert_eq!(
        said.to_string(),
        "the certificate of \"weak\" has no RSA key of 2048 to 4096 bits and no P-256 key"
    );
}

#[test]
fn what_an_authority_issued_vouches_only_within_its_dates_and_usages() {
    let shop = Workshop::new();
    shop.key("authority", "rsa:2048", "-days 400");
    let authority = shop.certificate("authority").signer().unwrap().fingerprint;
    let usages = [
        (
            "good",
            "keyUsage=digitalSignature\nextendedKeyUsage=codeSigning",
        ),
        ("plain", "basicConstraints=CA:FALSE"),
        ("usage", "keyUsage=keyEncipherment"),
        ("extended", "extendedKeyUsage=serverAuth"),
        ("strange", "1.2.3.4=critical,ASN1:NULL"),
    ];
    let day = Duration::from_secs(86_400);
    let check = |name: &str, at: SystemTime, expected: &str| {
        let json = shop.signed_by_openssl(name, "");
        check_at(&json, &[shop.certificate("authority")], at, expected);
        let said = super::check(&json, &[shop.certificate("authority")], at);
        if let Ok((_, signer)) = said {
            assert_eq!(signer.issuer.as_deref(), Some(authority.as_str()));
        }
    };
    for (name, extensions) in usages {
        std::fs::write(shop.path("ext"), extensions).unwrap();
        shop.openssl(&format!(
            "req -newkey {P256} -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        shop.openssl(&format!("x509 -req -in {name}.csr -CA authority.crt -CAkey authority.key -out {name}.crt -days 30 -CAcreateserial -extfile ext"));
    }
    let now = SystemTime::now();
    check("good", now, "good");
    check("plain", now, "plain");
    check(
        "good",
        now + 40 * day,
        "refused: the certificate of \"good\" expired: it was valid until 2…",
    );
    check(
        "good",
        now - 2 * day,
        "refused: the certificate of \"authority\" is not valid before 2…",
    );
    check(
        "good",
        now + 500 * day,
        "refused: the certificate of \"authority\" expired: it was valid until 2…",
    );
    check(
        "usage",
        now,
        "refused: the certificate of \"usage\" must not sign: its key usage lacks digitalSignature",
    );
    check(
        "extended",
        now,
        "refused: the certificate of \"extended\" must not sign images: its extended key usage lacks codeSigning",
    );
    check(
        "strange",
        now,
        "refused: the certificate of \"strange\" has a critical extension that is not understood here",
    );
}

#[test]
fn a_signature_over_another_root_hash_is_wrong() {
    let shop = Workshop::new();
    shop.key("maker", P256, "");
    let trusted = [shop.certificate("maker")];
    let other = shop.signed_here("maker").replacen("0011", "1100", 1);
    check_now(
        &other,
        &trusted,
        "refused: the signature is wrong: it was not made by \"maker\" over this root hash",
    );
    shop.openssl(
        "smime -sign -binary -in hash -inkey maker.key -signer maker.crt -outform der -out sig",
    );
    let with_attributes = shop
        .signed_by_openssl("maker", "")
        .replacen("0011", "1100", 1);
    check_now(
        &with_attributes,
        &trusted,
        "refused: the signature is damaged: its attributes are about something else than this root hash",
    );
}

#[test]
fn what_is_no_signature_is_refused_by_its_reason() {
    let json = "refused: the signature partition is not the JSON object that it should be";
    for text in ["", "[]", "{}", r#"{"rootHash":"12","signature":""}"#] {
        check_now(text, &[], json);
    }
    let with = |signature: &str| format!(r#"{{"rootHash":"{HASH}","signature":"{signature}"}}"#);
    check_now(
        &with("%"),
        &[],
        "refused: the signature is damaged: it is not Base64",
    );
    check_now(
        &with("AAAA"),
        &[],
        "refused: the signature is damaged: it is no PKCS#7 structure",
    );
    check_now(
        &with(&"A".repeat(90_000)),
        &[],
        "refused: the signature is damaged: it is larger than 64 KiB",
    );
}

#[test]
fn a_fingerprint_of_another_certificate_is_refused() {
    let shop = Workshop::new();
    shop.key("maker", P256, "");
    let trusted = [shop.certificate("maker")];
    let fingerprint = trusted[0].signer().unwrap().fingerprint;
    let json = shop
        .signed_here("maker")
        .replace(&fingerprint, &"0".repeat(64));
    check_now(
        &json,
        &trusted,
        "refused: the signature is damaged: its fingerprint is that of another certificate",
    );
}

/// A signature made once by openssl, for damaging it many times.
fn golden() -> (String, TrustedCertificate) {
    static ONCE: std::sync::OnceLock<(String, Vec<u8>)> = std::sync::OnceLock::new();
    let (json, certificate) = ONCE.get_or_init(|| {
        let shop = Workshop::new();
        shop.key("maker", P256, "");
        (
            shop.signed_here("maker"),
            std::fs::read(shop.path("maker.crt")).unwrap(),
        )
    });
    (
        json.clone(),
        TrustedCertificate::parse(certificate).unwrap(),
    )
}

proptest! {
    #[test]
    fn a_damaged_signature_never_panics_and_never_passes_as_another(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (json, trusted) = golden();
        let (_, mut der) = open(&json).unwrap();
        let at = at.index(der.len());
        der[at] ^= 1 << bit;
        let damaged = format!(r#"{{"rootHash":"{HASH}","signature":"{}"}}"#, Base64::encode_string(&der));
        if let Ok((_, signer)) = check(&damaged, std::slice::from_ref(&trusted), SystemTime::now()) {
            // A bit of the enclosed certificate may flip unseen: the trusted copy is what counts.
            prop_assert_eq!(signer, trusted.signer().unwrap());
        }
    }

    #[test]
    fn random_bytes_are_no_certificate(raw in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(TrustedCertificate::parse(&raw).is_err());
    }
}

#[test]
fn paths_of_missing_keys_are_named() {
    let Err(error) = SigningKey::load(Path::new("/nonexistent/signing.key"), None) else {
        panic!("there is no key")
    };
    assert_eq!(error.to_string(), "cannot read /nonexistent/signing.key");
}

/// What a revocation is about reaches the same certificate with the other signature, and every other one with its key.
#[test]
fn a_twin_of_a_certificate_and_another_of_its_key_are_its_kin() {
    let shop = Workshop::new();
    shop.key("ca", P256, "");
    shop.key("plain", "rsa:2048", "");
    shop.openssl("req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout maker.key -out maker.csr -subj /CN=maker");
    for name in ["maker", "again"] {
        shop.openssl(&format!("x509 -req -in maker.csr -CA ca.crt -CAkey ca.key -out {name}.crt -days 30 -CAcreateserial"));
    }
    let maker = shop.certificate("maker");
    let twin = certificate::twin(&maker.open().unwrap().certificate).unwrap();
    assert_ne!(twin, maker.der());
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        Base64::encode_string(&twin)
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect::<Vec<_>>()
            .join("\n")
    );
    std::fs::write(shop.path("twin.crt"), pem).unwrap();
    let trusted = [shop.certificate("ca")];
    let signed = |name: &str| {
        let [key, certificate] = ["key", "crt"].map(|end| shop.path(&format!("{name}.{end}")));
        std::fs::copy(shop.path("maker.key"), &key).ok();
        let key = SigningKey::load(&key, Some(&certificate)).unwrap();
        let json = key.sign_root_hash(HASH.parse().unwrap()).unwrap();
        check(&json, &trusted, SystemTime::now()).unwrap().1
    };
    let (twin, again) = (signed("twin"), signed("again"));
    let maker = maker.signer().unwrap();
    let ca = trusted[0].signer().unwrap();
    assert_ne!(twin.fingerprint, maker.fingerprint);
    assert!(twin.kin.contains(&maker.fingerprint), "{twin:?}");
    assert!(maker.kin.contains(&twin.fingerprint), "{maker:?}");
    for signer in [&twin, &again] {
        assert!(signer.kin.contains(&maker.key), "{signer:?}");
        assert!(signer.kin.contains(&ca.key), "{signer:?}");
    }
    assert!(!again.kin.contains(&maker.fingerprint));
    shop.openssl("pkey -in maker.key -pubout -outform der -out public");
    let public = sha2::Sha256::digest(std::fs::read(shop.path("public")).unwrap());
    assert_eq!(maker.key, crate::hex::encode(&public));
    let plain = shop.certificate("plain").signer().unwrap();
    assert_eq!(plain.kin, [plain.key]);
}
