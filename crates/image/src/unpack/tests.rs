//! Container images as makers write them, and as attackers do.

use std::fmt::Write as _;
use std::io::{Read as _, Seek, Write as _};

use sha2::{Digest, Sha256};

use super::*;

/// A path, its kind and what it holds: `f` a file, `7` a contiguous one, `d` a directory, `l` a symbolic link, `h` a hard link, `c` a device.
type One<'a> = (&'a str, char, &'a str);

/// A layer, by hand: the library's own writer refuses what attackers write.
fn layer(entries: &[One<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_ustar();
        let name = &mut header.as_mut_bytes()[..path.len()];
        name.copy_from_slice(path.as_bytes());
        header.set_mode(0o4755);
        let is_file = matches!(kind, 'f' | '7');
        header.set_uid(if is_file && content.starts_with("of ") {
            7
        } else {
            0
        });
        header.set_gid(0);
        header.set_mtime(12345);
        header.set_size(if is_file { content.len() as u64 } else { 0 });
        header.set_entry_type(match kind {
            'f' => tar::EntryType::Regular,
            '7' => tar::EntryType::Continuous,
            'd' => tar::EntryType::Directory,
            'l' => tar::EntryType::Symlink,
            'h' => tar::EntryType::Link,
            'c' => tar::EntryType::Char,
            _ => tar::EntryType::Fifo,
        });
        if matches!(kind, 'l' | 'h') {
            header.as_mut_bytes()[157..157 + content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_cksum();
        bytes.extend(header.as_bytes());
        if is_file {
            bytes.extend(content.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// A layer with sparse files of another user's, in GNU's form: a hole, then content.
fn sparse(files: &[(&str, u64, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, hole, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_path(path).unwrap();
        header.set_mode(0o6755);
        header.set_uid(7);
        header.set_gid(7);
        header.set_entry_type(tar::EntryType::GNUSparse);
        let length = content.len() as u64;
        header.set_size(length);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.set_real_size(hole + length);
        gnu.sparse[0].set_offset(*hole);
        gnu.sparse[0].set_length(length);
        header.set_cksum();
        bytes.extend(header.as_bytes());
        bytes.extend(content.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn digest(bytes: &[u8]) -> String {
    crate::hex::encode(&Sha256::digest(bytes))
}

#[derive(Clone, Copy, PartialEq)]
enum Pack {
    None,
    Gzip,
    Zstd,
}

fn pack(bytes: &[u8], how: Pack) -> Vec<u8> {
    match how {
        Pack::None => bytes.to_vec(),
        Pack::Gzip => {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            to.write_all(bytes).unwrap();
            to.finish().unwrap()
        }
        Pack::Zstd => zstd::encode_all(bytes, 1).unwrap(),
    }
}

/// The files of an OCI layout with these layers.
fn layout(layers: &[Vec<u8>], how: Pack) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![(
        "oci-layout".to_owned(),
        br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
    )];
    let mut blob = |bytes: Vec<u8>| {
        let name = digest(&bytes);
        files.push((format!("blobs/sha256/{name}"), bytes));
        format!("sha256:{name}")
    };
    let ids: Vec<String> = layers
        .iter()
        .map(|bytes| format!("sha256:{}", digest(bytes)))
        .collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": ["/bin/run"], "Env": ["A=b"], "User": null},
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    let config = blob(config.to_string().into_bytes());
    let layers: Vec<serde_json::Value> = layers
        .iter()
        .map(|bytes| serde_json::json!({"digest": blob(pack(bytes, how)), "size": 1}))
        .collect();
    let manifest = serde_json::json!({"config": {"digest": config}, "layers": layers});
    let manifest = blob(manifest.to_string().into_bytes());
    let index = serde_json::json!({"manifests": [{
        "digest": manifest, "platform": {"architecture": "amd64", "os": "linux"},
        "annotations": {"org.opencontainers.image.ref.name": "latest"},
    }]});
    files.push(("index.json".into(), index.to_string().into_bytes()));
    files
}

/// The files of what `docker save` writes.
fn saved(layers: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
    let ids: Vec<String> = layers
        .iter()
        .map(|bytes| format!("sha256:{}", digest(bytes)))
        .collect();
    let config =
        serde_json::json!({"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": ids}});
    let config = config.to_string().into_bytes();
    let name = format!("{}.json", digest(&config));
    let mut files = vec![(name.clone(), config)];
    let mut names = Vec::new();
    for (index, bytes) in layers.iter().enumerate() {
        names.push(format!("{index}/layer.tar"));
        files.push((format!("{index}/layer.tar"), bytes.clone()));
    }
    let manifest = serde_json::json!([{"Config": name, "RepoTags": ["hello:1"], "Layers": names}]);
    files.push(("manifest.json".into(), manifest.to_string().into_bytes()));
    files
}

fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut to = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        to.append_data(&mut header, path, &**bytes).unwrap();
    }
    to.into_inner().unwrap()
}

fn order() -> Order {
    Order {
        limit_bytes: 1 << 20,
        reference: None,
        plain: false,
        architecture: "amd64".into(),
    }
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

/// What comes out, a line for each path, or the refusal.
fn said(from: &File, order: &Order) -> String {
    let mut pool = tempfile::tempfile().unwrap();
    let listing = match unpack_from(from, &pool, order) {
        Ok(listing) => listing,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            return format!("refused: {error}{}", cause.unwrap_or_default());
        }
    };
    let mut read = |extent: Extent| {
        pool.seek(io::SeekFrom::Start(extent.offset)).unwrap();
        let mut bytes = Vec::new();
        (&pool).take(extent.length).read_to_end(&mut bytes).unwrap();
        bytes
    };
    let listing: Listing = serde_json::from_slice(&read(listing)).unwrap();
    let mut text = String::new();
    for (path, listed) in &listing.entries {
        let path = path.display();
        match &listed.kind {
            Kind::Directory => writeln!(text, "{path}/").unwrap(),
            Kind::Link { target } => writeln!(text, "{path} -> {target}").unwrap(),
            Kind::File { content, number } => {
                let content = String::from_utf8(read(*content)).unwrap();
                writeln!(text, "{path} {:o} #{number} {content}", listed.mode).unwrap();
            }
        }
    }
    text
}

fn check(layers: &[&[One<'_>]], expected: &str) {
    let layers: Vec<Vec<u8>> = layers.iter().map(|entries| layer(entries)).collect();
    let expected: String = expected
        .lines()
        .map(|line| line.trim().to_owned() + "\n")
        .collect();
    let words = |text: String| text.trim_end().to_owned();
    for how in [Pack::None, Pack::Gzip, Pack::Zstd] {
        let whole = archive(&layout(&layers, how));
        assert_eq!(words(said(&file(&whole), &order())), expected.trim_end());
        let packed = pack(&whole, how);
        assert_eq!(words(said(&file(&packed), &order())), expected.trim_end());
    }
    let whole = archive(&saved(&layers));
    assert_eq!(words(said(&file(&whole), &order())), expected.trim_end());
    let directory = tempfile::tempdir().unwrap();
    for (path, bytes) in layout(&layers, Pack::Gzip) {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let directory = File::open(directory.path()).unwrap();
    assert_eq!(words(said(&directory, &order())), expected.trim_end());
}

#[test]
fn a_layer_lies_over_those_below_it() {
    check(
        &[
            &[
                ("./", 'd', ""),
                ("etc/", 'd', ""),
                ("etc/a", 'f', "one"),
                ("etc/b", 'f', "two"),
                ("x/y/z", 'f', "deep"),
            ],
            &[
                ("etc/a", 'f', "new"),
                ("etc/.wh.b", 'f', ""),
                ("l", 'l', "etc/a"),
            ],
        ],
        "etc/
         etc/a 4755 #4 new
         l -> etc/a
         x/
         x/y/
         x/y/z 4755 #3 deep",
    );
}

#[test]
fn an_opaque_directory_hides_what_is_below_it_whatever_the_order() {
    check(
        &[
            &[
                ("d/", 'd', ""),
                ("d/old", 'f', "1"),
                ("d/e/f", 'f', "2"),
                ("dd", 'f', "3"),
            ],
            &[
                ("d/", 'd', ""),
                ("d/new", 'f', "4"),
                ("d/.wh..wh..opq", 'f', ""),
            ],
        ],
        "d/
         d/new 4755 #4 4
         dd 4755 #3 3",
    );
}

#[test]
fn what_is_replaced_goes_with_all_below_it() {
    check(
        &[
            &[("a/b/c", 'f', "1"), ("k", 'f', "2")],
            &[("a", 'l', "k"), ("k/", 'd', "")],
        ],
        "a -> k
         k/",
    );
}

#[test]
fn names_of_one_file_stay_that_and_what_was_another_users_does_not_run_as_root() {
    check(
        &[
            &[
                ("a", 'f', "same"),
                ("b", 'h', "a"),
                ("s", 'f', "of another"),
                ("t", '7', "of another"),
                ("u", '7', "root's"),
            ],
            &[("c", 'h', "./a"), (".wh.a", 'f', "")],
        ],
        "b 4755 #1 same
         c 4755 #1 same
         s 755 #2 of another
         t 755 #3 of another
         u 4755 #4 root's",
    );
}

#[test]
fn what_leads_out_is_refused() {
    for (path, kind, content, what) in [
        (
            "../x",
            'f',
            "",
            "../x in layer 1 leads out of the image, or is no path",
        ),
        (
            "a/../../x",
            'f',
            "",
            "a/../../x in layer 1 leads out of the image, or is no path",
        ),
        (
            "/etc/x",
            'f',
            "",
            "/etc/x in layer 1 leads out of the image, or is no path",
        ),
        (
            "h",
            'h',
            "../../etc/passwd",
            "h in layer 1 is a hard link that leads out of the image",
        ),
        (
            "h",
            'h',
            "/etc/passwd",
            "h in layer 1 is a hard link that leads out of the image",
        ),
        (
            "h",
            'h',
            "nothing",
            "h in layer 1 is a hard link to nothing",
        ),
        (
            "null",
            'c',
            "",
            "null in layer 1 is a device node; images hold files, directories and links",
        ),
        (
            "pipe",
            'p',
            "",
            "pipe in layer 1 is a named pipe; images hold files, directories and links",
        ),
        (
            ".wh...",
            'f',
            "",
            ".wh... in layer 1 takes nothing away that has a name",
        ),
    ] {
        check(&[&[(path, kind, content)]], &format!("refused: {what}"));
    }
    check(
        &[&[("out", 'l', "/etc"), ("out/passwd", 'f', "x")]],
        "refused: out/passwd in layer 1 lies below out, which is no directory: a link there could lead anywhere",
    );
    check(
        &[&[("out", 'l', "/etc")], &[("out/passwd", 'f', "x")]],
        "refused: out/passwd in layer 2 lies below out, which is no directory: a link there could lead anywhere",
    );
}

#[test]
fn a_bomb_is_ended_at_the_limit() {
    let bomb = layer(&[("zeros", 'f', &"0".repeat(3 << 20))]);
    for how in [Pack::Gzip, Pack::Zstd] {
        let whole = archive(&layout(std::slice::from_ref(&bomb), how));
        assert!(whole.len() < 100_000);
        let said = said(&file(&whole), &order());
        assert!(
            said.contains("more comes out than the limit allows (--max-size)"),
            "{said}"
        );
    }
    let packed = pack(&archive(&layout(&[bomb], Pack::None)), Pack::Zstd);
    let said = said(&file(&packed), &order());
    assert!(
        said.contains("more comes out than the limit allows (--max-size)"),
        "{said}"
    );
}

#[test]
fn holes_of_a_sparse_file_count_and_it_runs_as_nobody_else() {
    let plain = Order {
        plain: true,
        ..order()
    };
    let of = |files: &[(&str, u64, &str)]| {
        let bytes = sparse(files);
        assert!(bytes.len() < 8192);
        let alone = said(&file(&bytes), &plain);
        let in_image = said(&file(&archive(&layout(&[bytes], Pack::Gzip))), &order());
        assert_eq!(
            alone.starts_with("refused"),
            in_image.starts_with("refused")
        );
        alone
    };
    assert_eq!(of(&[("a", 3, "end")]), "a 755 #1 \0\0\0end\n");
    for files in [
        &[("a", 3 << 30, "")][..],
        &[("a", 3 << 30, "end")],
        &[("a", 600 << 10, ""), ("b", 600 << 10, "")],
    ] {
        assert_eq!(
            of(files),
            "refused: cannot read layer 1: more comes out than the limit allows (--max-size)"
        );
    }
    // The limit is 1 MiB for all that comes out: three blocks of the archive, and the hole.
    assert!(of(&[("a", (1 << 20) - 1536, "")]).starts_with("a 755 "));
    assert!(of(&[("a", (1 << 20) - 1535, "")]).starts_with("refused"));
}

#[test]
fn a_sparse_file_in_another_form_is_no_file_of_other_content() {
    let mut to = tar::Builder::new(Vec::new());
    to.append_pax_extensions([("GNU.sparse.major", &b"1"[..])])
        .unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(2);
    header.set_mode(0o644);
    to.append_data(&mut header, "a", &b"1\n"[..]).unwrap();
    let plain = Order {
        plain: true,
        ..order()
    };
    let said = said(&file(&to.into_inner().unwrap()), &plain);
    assert!(
        said.starts_with("refused: a in layer 1 is a sparse file in a form that is not known here"),
        "{said}"
    );
}

/// A layout whose index names, below its own, an index each of these times with these names.
fn nested(names: &[Option<&str>], is_empty: bool) -> Vec<(String, Vec<u8>)> {
    let mut files = layout(&[layer(&[("a", 'f', "one")])], Pack::None);
    let (_, inner) = files.pop().unwrap();
    let inner = if is_empty {
        br#"{"manifests":[]}"#.to_vec()
    } else {
        String::from_utf8(inner)
            .unwrap()
            .replace("org.opencontainers.image.ref.name", "other")
            .into_bytes()
    };
    let digest = digest(&inner);
    files.push((format!("blobs/sha256/{digest}"), inner));
    let named = names.iter().map(|name| {
        let mut one = serde_json::json!({
            "digest": format!("sha256:{digest}"), "mediaType": "application/vnd.oci.image.index.v1+json",
        });
        if let Some(name) = name {
            one["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": name});
        }
        one
    });
    let index = serde_json::json!({"manifests": named.collect::<Vec<_>>()});
    files.push(("index.json".into(), index.to_string().into_bytes()));
    files
}

#[test]
fn an_index_is_read_once_and_all_of_them_are_counted() {
    let often = file(&archive(&nested(&[None; 5000], false)));
    assert_eq!(said(&often, &order()), "a 4755 #1 one\n");
    let two = file(&archive(&nested(&[Some("1"), Some("2")], false)));
    let second = Order {
        reference: Some("2".into()),
        ..order()
    };
    assert_eq!(said(&two, &second), "a 4755 #1 one\n");
    let names: Vec<String> = (0..65).map(|number| number.to_string()).collect();
    let names: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).collect();
    let most = file(&archive(&nested(&names[..64], true)));
    assert_eq!(
        said(&most, &order()),
        "refused: it has no image for this machine (linux/amd64)"
    );
    let more = file(&archive(&nested(&names, true)));
    assert_eq!(
        said(&more, &order()),
        "refused: it has more than 64 indexes"
    );
}

#[test]
fn what_was_changed_is_refused() {
    let whole = layout(&[layer(&[("a", 'f', "one")])], Pack::None);
    for (index, (path, bytes)) in whole.iter().enumerate() {
        if !path.starts_with("blobs") {
            continue;
        }
        let mut changed = whole.clone();
        let mut other = bytes.clone();
        other[20] ^= 1;
        changed[index].1 = other;
        let said = said(&file(&archive(&changed)), &order());
        assert!(said.starts_with("refused: "), "{path}: {said}");
        let mut missing = whole.clone();
        missing.remove(index);
        let said = self::said(&file(&archive(&missing)), &order());
        assert!(
            said.starts_with("refused: ") && said.ends_with("is named and not there"),
            "{said}"
        );
    }
}

#[test]
fn what_is_no_image_or_another_machines_is_said() {
    assert!(said(&file(b"hello"), &order()).starts_with("refused: "));
    let empty = said(&file(&archive(&[])), &order());
    assert!(
        empty.starts_with("refused: it is no container image"),
        "{empty}"
    );
    let whole = file(&archive(&layout(&[layer(&[])], Pack::None)));
    let other = Order {
        architecture: "riscv64".into(),
        ..order()
    };
    assert_eq!(
        said(&whole, &other),
        "refused: it has no image for this machine (linux/riscv64)"
    );
    let named = |reference: &str| Order {
        reference: Some(reference.into()),
        ..order()
    };
    assert_eq!(
        said(&whole, &named("2")),
        "refused: it has no image 2: it has latest"
    );
    assert_eq!(said(&whole, &named("latest")), "");
}

#[test]
fn an_archive_of_a_roots_files_is_one_layer() {
    let bytes = layer(&[("./etc/", 'd', ""), ("./etc/a", 'f', "one")]);
    let plain = Order {
        plain: true,
        ..order()
    };
    assert_eq!(said(&file(&bytes), &plain), "etc/\netc/a 4755 #1 one\n");
    assert_eq!(
        said(&file(&pack(&bytes, Pack::Gzip)), &plain),
        "etc/\netc/a 4755 #1 one\n"
    );
    let bytes = layer(&[("./dev/null", 'c', "")]);
    let refused =
        "refused: ./dev/null in layer 1 is a device node; images hold files, directories and links";
    assert_eq!(said(&file(&bytes), &plain), refused);
}
