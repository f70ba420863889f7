//! Who stands for a text, and which keys came after which.

use super::*;
use std::time::Duration;

/// Keys and their certificates, made by openssl.
fn keys<const N: usize>() -> ([SigningKey; N], [TrustedCertificate; N]) {
    let folder = tempfile::tempdir().unwrap();
    let make = |number: usize| {
        let folder = folder.path().join(number.to_string());
        std::fs::create_dir(&folder).unwrap();
        let made = std::process::Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args([
                "-nodes",
                "-days",
                "30",
                "-keyout",
                "signing.key",
                "-out",
                "signing.crt",
            ])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-addext", "keyUsage=critical,digitalSignature"])
            .args(["-addext", "extendedKeyUsage=codeSigning"])
            .args(["-subj", &format!("/CN=Maker {number}")])
            .current_dir(&folder)
            .output()
            .expect("this test asks openssl, which must be installed (Debian: openssl)");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let key = SigningKey::load(&folder.join("signing.key"), None).unwrap();
        let certificate = std::fs::read(folder.join("signing.crt")).unwrap();
        (key, TrustedCertificate::parse(&certificate).unwrap())
    };
    let mut certificates = Vec::new();
    let keys = std::array::from_fn(|number| {
        let (key, certificate) = make(number);
        certificates.push(certificate);
        key
    });
    (keys, certificates.try_into().unwrap())
}

fn now() -> SystemTime {
    SystemTime::now()
}

fn check(signed: &Signed, trusted: &[TrustedCertificate]) -> Result<Statement, String> {
    let read = Signed::parse(signed.print().as_bytes()).unwrap();
    assert_eq!(&read, signed);
    read.verify(trusted, now()).map_err(|error| {
        let error: &dyn std::error::Error = &error;
        std::iter::successors(Some(error), |error| error.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ")
    })
}

#[test]
fn a_text_is_believed_from_who_is_trusted_and_as_it_was_signed_only() {
    let ([key, other], [certificate, stranger]) = keys();
    let signed = Signed::new("boat", "{\"serial\":1}".to_owned(), &key).unwrap();
    let statement = check(&signed, std::slice::from_ref(&certificate)).unwrap();
    assert_eq!(
        (statement.name.as_str(), statement.body.as_str()),
        ("boat", "{\"serial\":1}")
    );
    assert_eq!(&statement.signer, key.signer());
    assert_eq!(line(&statement, &key), Some(vec![]));
    assert_eq!(line(&statement, &other), None);
    let said = check(&signed, &[stranger]).unwrap_err();
    assert!(
        said.contains("\"Maker 0\"") && said.contains("not trusted"),
        "{said}"
    );
    for changed in [
        Signed {
            body: "{\"serial\":2}".to_owned(),
            ..signed.clone()
        },
        Signed {
            name: "ship".to_owned(),
            ..signed.clone()
        },
        Signed {
            signature: other.sign_content(b"x").unwrap(),
            ..signed.clone()
        },
    ] {
        check(&changed, std::slice::from_ref(&certificate)).unwrap_err();
    }
    let late = now() + Duration::from_secs(20 * 365 * 86_400);
    signed.verify(&[certificate], late).unwrap_err();
}

#[test]
fn a_key_that_comes_after_another_is_found_by_the_word_of_the_one_before() {
    let ([first, second, third], [trusted, of_second, of_third]) = keys();
    let old = Signed::new("boat", "1".to_owned(), &first).unwrap();
    let next = Signed::new("boat", "2".to_owned(), &second).unwrap();
    let next = next.continuing(&old).after(&first, &second).unwrap();
    let last = Signed::new("boat", "3".to_owned(), &third).unwrap();
    let last = last.continuing(&next).after(&second, &third).unwrap();
    let statement = check(&last, std::slice::from_ref(&trusted)).unwrap();
    assert_eq!(statement.signer, *third.signer());
    let both = vec![second.signer().clone(), third.signer().clone()];
    assert_eq!(line(&statement, &first), Some(both));
    assert_eq!(
        line(&statement, &second),
        Some(vec![third.signer().clone()])
    );
    // Who trusts a later key only needs nothing of the earlier ones.
    let statement = check(&last, std::slice::from_ref(&of_second)).unwrap();
    assert_eq!(
        line(&statement, &second),
        Some(vec![third.signer().clone()])
    );
    let statement = check(&last, &[of_third]).unwrap();
    assert_eq!(line(&statement, &third), Some(vec![]));
    assert_eq!(line(&statement, &first), None);
    // Without its word there is no way: not by the successor alone, nor by a word about another name.
    let alone = Signed {
        successors: last.successors[1..].to_vec(),
        ..last.clone()
    };
    check(&alone, std::slice::from_ref(&trusted)).unwrap_err();
    let ship = Signed::new("ship", "3".to_owned(), &third).unwrap();
    let ship = Signed {
        successors: last.successors.clone(),
        ..ship
    };
    check(&ship, &[trusted]).unwrap_err();
}

#[test]
fn a_word_over_a_body_is_none_over_a_successor() {
    let ([first, second], [trusted, _]) = keys();
    let certificate = Base64::encode_string(&second.certificate_der().unwrap());
    let tricked = first
        .sign_content(&body_content("boat", &format!("{certificate}\n")))
        .unwrap();
    let taken = Signed::new("boat", "2".to_owned(), &second).unwrap();
    let taken = Signed {
        successors: vec![(certificate, tricked)],
        ..taken
    };
    let said = check(&taken, &[trusted]).unwrap_err();
    assert!(said.contains("was changed"), "{said}");
}

#[test]
fn what_is_of_another_form_is_refused() {
    let ([key], _) = keys();
    let good = Signed::new("boat", "{}".to_owned(), &key).unwrap().print();
    let many = good.replace(
        "signature ",
        &("successor a YQ==\n".repeat(17) + "signature "),
    );
    for (text, expected) in [
        ("".to_owned(), "ends before"),
        ("<html>\n".to_owned(), "first line"),
        (good.replace("channel 1", "channel 2"), "first line"),
        (good.replace("boat", "../boat"), "name"),
        (good.replace("\n\n", "\n"), "empty line"),
        (good.replace("signature ", "sign "), "neither"),
        (
            good.replace("signature ", "successor x\nsignature "),
            "no signature",
        ),
        (many, "16 successors"),
        (good.clone() + &"x".repeat(STATEMENT_LIMIT_BYTES), "1 MiB"),
    ] {
        let said = Signed::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

/// Whom the line of a key leads on to; none where it does not lead to the signer.
fn line(statement: &Statement, from: &SigningKey) -> Option<Vec<Signer>> {
    let known = |signer: &Signer| signer.fingerprint == from.signer().fingerprint;
    let line = statement.line_from(&known)?;
    Some(line.iter().map(|handover| handover.to.clone()).collect())
}

#[test]
fn who_hands_over_to_the_key_of_another_maker_is_not_counted_among_that_ones_keys() {
    let ([maker, stranger], trusted) = keys();
    // The line is not under the signature: whoever is on the way can put it in.
    let signed = Signed::new("boat", "1".to_owned(), &maker).unwrap();
    let slipped = signed.after(&stranger, &maker).unwrap();
    let statement = check(&slipped, &trusted).unwrap();
    assert_eq!(statement.handovers.len(), 1);
    assert_eq!(line(&statement, &maker), Some(vec![]));
}
