//! Headers that cryptsetup made, and the same with one thing changed: each is read as it is, or refused in words.

use std::process::Command;

use super::*;

/// A whole encrypted image of `cryptsetup luksFormat`.
fn formatted() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (image, key) = (folder.path().join("image"), folder.path().join("key"));
    std::fs::write(&key, "secret").unwrap();
    std::fs::File::create(&image)
        .unwrap()
        .set_len(18 << 20)
        .unwrap();
    let status = Command::new("cryptsetup")
        .args(["luksFormat", "-q", "--type", "luks2", "--pbkdf", "pbkdf2"])
        .args(["--pbkdf-force-iterations", "1000", "--key-file"])
        .args([&key, &image])
        .status()
        .expect("cryptsetup of Debian's package cryptsetup-bin");
    assert!(status.success());
    std::fs::read(image).unwrap()
}

fn told(image: &[u8]) -> String {
    let whole = Extent {
        offset: 0,
        length: image.len() as u64,
    };
    match look(image, whole) {
        Ok(Encryption::Luks2(header)) if header.has_integrity => {
            format!("{} with integrity", header.cipher)
        }
        Ok(Encryption::Luks2(header)) => header.cipher,
        Ok(Encryption::Refused(why)) => why,
        Err(error) => format!("cannot be read: {error}"),
    }
}

/// Writes the sum anew, as an attacker would.
fn summed(mut image: Vec<u8>) -> Vec<u8> {
    let length = u64::from_be_bytes(image[8..16].try_into().unwrap()) as usize;
    image[CHECKSUM].fill(0);
    let sum = Sha256::digest(&image[..length]);
    image[CHECKSUM.start..][..32].copy_from_slice(&sum);
    image
}

/// The image with this of its text replaced.
fn with(image: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut image = image.to_vec();
    let room = &mut image[BINARY_BYTES as usize..SMALLEST_BYTES as usize];
    let text = String::from_utf8(room.to_vec()).unwrap();
    let text = text.trim_end_matches('\0');
    assert!(text.contains(from), "{text}");
    let text = text.replace(from, to);
    room.fill(0);
    room[..text.len()].copy_from_slice(text.as_bytes());
    summed(image)
}

#[test]
fn a_header_is_as_it_should_be_or_refused_for_a_reason() {
    let image = formatted();
    assert_eq!(told(&image), "aes-xts-plain64");
    let check = |from: &str, to: &str, expected: &str| {
        assert_eq!(told(&with(&image, from, to)), expected, "{from} -> {to}");
    };
    check("", "", "aes-xts-plain64");
    let tag = r#""integrity":{"type":"hmac(sha256)","journal_encryption":"none","journal_integrity":"none"},"sector_size""#;
    check(r#""sector_size""#, tag, "aes-xts-plain64 with integrity");
    let tag = tag.replace("hmac(sha256)", "none");
    check(r#""sector_size""#, &tag, "aes-xts-plain64");
    let none = "which protects nothing or is none";
    for cipher in ["cipher_null-ecb", "capi:ecb(cipher_null)-x", "a b-c", "aes"] {
        let to = format!(r#""sector_size":512,"encryption":"{cipher}""#);
        let said = told(&with(
            &with(&image, r#""sector_size":4096"#, r#""other":1"#),
            r#""iv_tweak":"0","encryption":"aes-xts-plain64""#,
            &to,
        ));
        assert!(said.contains(none), "{cipher}: {said}");
    }
    let impossible = |what: &str| format!("its LUKS header says what can't be: {what}");
    let outside = impossible("its data lies where none may be, or is none");
    for offset in ["0", "4096", "18874368", "18446744073709551615"] {
        check(
            r#""offset":"16777216""#,
            &format!(r#""offset":"{offset}""#),
            &outside,
        );
    }
    check(
        r#""size":"dynamic""#,
        r#""size":"18446744073709551615""#,
        &outside,
    );
    check(r#""size":"dynamic""#, r#""size":"0""#, &outside);
    let number = impossible("a number that is none");
    check(r#""size":"dynamic""#, r#""size":"+1""#, &number);
    let key = impossible("a key lies where none may be");
    check(r#""offset":"32768""#, r#""offset":"0""#, &key);
    check(
        r#""size":"258048""#,
        r#""size":"18446744073709551615""#,
        &key,
    );
    check(
        r#""keyslots_size":"16744448""#,
        r#""keyslots_size":"18446744073709551615""#,
        &impossible("its keys lie outside"),
    );
    check(
        r#""json_size":"12288""#,
        r#""json_size":"99999""#,
        &impossible("the length of its own text"),
    );
    check(
        r#""sector_size":4096"#,
        r#""sector_size":3"#,
        &impossible("the length of its sectors"),
    );
    check(
        r#""type":"crypt""#,
        r#""type":"linear""#,
        &impossible("its data is not encrypted"),
    );
    check(
        r#""iterations":1000,"salt""#,
        r#""memory":4194304,"salt""#,
        "its key slot \"0\" takes 4096 MiB of memory to be opened, and 1024 is the most",
    );
    check(
        r#""config":{"#,
        r#""config":{"requirements":{"mandatory":["online-reencrypt-v2"]},"#,
        "it is marked with \"online-reencrypt-v2\", with which it is not opened: finish what cryptsetup began",
    );
}

#[test]
fn a_binary_part_that_lies_is_refused() {
    let image = formatted();
    let damaged = |what: &str| format!("its LUKS header is damaged: {what}");
    let check = |at: usize, bytes: &[u8], expected: &str| {
        let mut image = image.clone();
        image[at..][..bytes.len()].copy_from_slice(bytes);
        assert_eq!(told(&image), expected, "at {at}");
    };
    check(5000, b"x", &damaged("its checksum is wrong"));
    check(0, b"SKUL", &damaged("it does not begin with its name"));
    check(
        6,
        &[0, 1],
        "it is LUKS version 1, of which only 2 is opened: see cryptsetup-convert(8)",
    );
    let length = damaged("it has no length that headers have");
    for bytes in [0_u64, 1, 8192, 24 << 10, 8 << 20, u64::MAX] {
        check(8, &bytes.to_be_bytes(), &length);
    }
    check(
        8,
        &(4_u64 << 20).to_be_bytes(),
        &damaged("its checksum is wrong"),
    );
    check(72, b"md5\0", &damaged("its checksum is not by SHA-256"));
    check(
        256,
        &[0, 0, 0, 0, 0, 0, 0x40, 0],
        &damaged("it is not where it says that it is"),
    );
    assert_eq!(
        told(&image[..20_000]),
        damaged("it is longer than where it is")
    );
    assert_eq!(told(&image[..100]), damaged("it is cut short"));
    let text = summed({
        let mut image = image.clone();
        image[4096] = b'[';
        image
    });
    let said = told(&text);
    assert!(
        said.starts_with("the JSON text of its LUKS header is damaged"),
        "{said}"
    );
}
