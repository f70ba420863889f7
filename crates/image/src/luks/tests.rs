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

/// Writes the sums of both copies anew, as an attacker would.
fn summed(mut image: Vec<u8>) -> Vec<u8> {
    for copy in image.chunks_mut(SMALLEST_BYTES as usize).take(2) {
        copy[CHECKSUM].fill(0);
        let sum = Sha256::digest(&*copy);
        copy[CHECKSUM.start..][..32].copy_from_slice(&sum);
    }
    image
}

/// Puts bytes into both copies.
fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    for copy in image.chunks_mut(SMALLEST_BYTES as usize).take(2) {
        copy[at..][..bytes.len()].copy_from_slice(bytes);
    }
}

/// The image with this of its text replaced, in both copies.
fn with(image: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut image = image.to_vec();
    let room = &mut image[BINARY_BYTES as usize..SMALLEST_BYTES as usize];
    let text = String::from_utf8(room.to_vec()).unwrap();
    let text = text.trim_end_matches('\0');
    assert!(text.contains(from), "{text}");
    let mut text = text.replace(from, to).into_bytes();
    text.resize(room.len(), 0);
    put(&mut image, BINARY_BYTES as usize, &text);
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
    for bytes in [0_u64, 1, 8192, 24 << 10, 3 << 20, 8 << 20, u64::MAX] {
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
        put(&mut image, 4096, b"[");
        image
    });
    let said = told(&text);
    assert!(
        said.starts_with("the JSON text of its LUKS header is damaged"),
        "{said}"
    );
}

#[test]
fn of_two_headers_that_differ_neither_is_opened() {
    let image = formatted();
    let differ = "its two LUKS headers differ: let cryptsetup repair it first";
    let damaged = |what: &str| format!("its LUKS header is damaged: {what}");
    let check = |change: &dyn Fn(&mut [u8]), expected: &str, why: &str| {
        let mut image = image.clone();
        change(&mut image[SMALLEST_BYTES as usize..]);
        assert_eq!(told(&summed(image)), expected, "{why}");
    };
    check(&|_| {}, "aes-xts-plain64", "as it was made");
    // cryptsetup takes the one with the higher number, which encrypts nothing.
    let plain = with(&image, "aes-xts-plain64", "cipher_null-ecb");
    let newer = |second: &mut [u8]| {
        second[BINARY_BYTES as usize..SMALLEST_BYTES as usize]
            .copy_from_slice(&plain[BINARY_BYTES as usize..SMALLEST_BYTES as usize]);
        second[SEQUENCE][7] += 10;
    };
    check(&newer, differ, "newer, with another text");
    check(&|second| second[SEQUENCE][7] += 1, differ, "newer");
    check(&|second| second[SEQUENCE][7] -= 1, differ, "older");
    check(&|second| second[5000] ^= 1, differ, "another text");
    check(&|second| second[..6].fill(0), differ, "none");
    check(
        &|second| second[..6].copy_from_slice(b"LUKS\xba\xbe"),
        differ,
        "the name of the first",
    );
    let length = (32_u64 << 10).to_be_bytes();
    check(
        &|second| second[8..16].copy_from_slice(&length),
        &damaged("its checksum is wrong"),
        "longer",
    );
    check(
        &|second| second[256..264].fill(0),
        &damaged("it is not where it says that it is"),
        "it says that it is the first",
    );
    let mut torn = image.clone();
    torn[SMALLEST_BYTES as usize + 5000] ^= 1;
    assert_eq!(told(&torn), damaged("its checksum is wrong"));
    // Where cryptsetup can't use the text of the first one, it must find no other header in it.
    let mut hidden = image.clone();
    put(&mut hidden, SMALLEST_BYTES as usize - 8, b"SKUL");
    assert_eq!(told(&summed(hidden)), damaged("something follows its text"));
}
