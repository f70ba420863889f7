//! What is fed hostile bytes, and what must hold whatever they are. A target panics where a promise is broken.

use std::cmp::Ordering;
use std::path::Path;

use load::portable::{PortableName, UnitText, review};
use load::{SpecifierContext, load_text};
use model::{Facts, Position};

/// A target's name, which is also its corpus's folder, and its work.
pub const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("unit", unit),
    ("words", words),
    ("calendar", calendar),
    ("review", unit_of_an_image),
    ("notice", notice),
    ("bus", crate::bus::messages),
    ("udev", crate::bus::devices),
    ("btf", btf),
    ("gpt", gpt),
    ("mbr", mbr),
    ("superblock", superblock),
    ("luks", luks),
    ("policy", policy),
    ("verity", verity),
    ("tree", hash_tree),
    ("signature", signature),
    ("channel", channel),
    ("chunks", crate::chunks::chunks),
    ("patch", crate::chunks::patch),
    ("pkcs7", pkcs7),
    ("elf", elf),
    ("erofs", erofs),
    ("squashfs", squashfs),
    ("container", container),
    ("parcel", parcel),
    ("recipe", recipe),
    ("os_release", os_release),
    ("names", names),
    ("grants", grants),
    ("wire", wire_messages),
    ("remote", remote_frames),
    ("keeper", keeper_messages),
    ("executor", executor_messages),
    ("log", log),
    ("credential", sealed_credential),
];

/// A unit file: printing it gives the bytes back; what is loaded can be planned or is refused.
fn unit(bytes: &[u8]) {
    let document = syntax::parse("fuzz.service", bytes);
    if !document.is_cut() {
        assert_eq!(document.print(), bytes, "printing is not the same");
    }
    let context = SpecifierContext::default();
    for (name, is_service) in [("fuzz@a-b.service", true), ("fuzz.socket", false)] {
        let name = name.parse().expect("a name");
        let loaded = load_text(&name, Path::new("/etc/fuzz"), bytes, &context);
        let may_reduce = |_| true;
        let situation = plan::Situation {
            position: Position::Beside,
            runtime_dir: "/run/coracle",
            credentials_root: "/run/credentials",
            notify_socket: Some("/run/coracle/notify/fuzz"),
            stub: false,
            may_take_over: &|_| true,
            quota_trouble: &|_, _| None,
            may_reduce: &may_reduce,
        };
        let plan = if is_service {
            plan::plan(&loaded.unit, &Facts::default(), &situation)
        } else {
            plan::plan_sockets(&loaded.unit, &Facts::default(), &situation)
        };
        if let Ok(plan) = plan {
            assert_eq!(plan.steps().count(), plan.explain().len(), "a step is lost");
        }
    }
}

/// The kernel's description of its types: what is read of it is there, or missing.
fn btf(bytes: &[u8]) {
    if let Ok(layout) = plan::ebpf::btf::layout(bytes) {
        assert_ne!(layout.function, 0, "no type has this number");
    }
}

/// Quoting and splitting, escaping and unescaping are each other's reverse.
fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    use syntax::words::{Mode, quote, split};
    for mode in [
        Mode::STRICT,
        Mode::EXEC,
        Mode::NAMES,
        Mode::RELAXED,
        Mode::COLONS,
    ] {
        if let Ok(words) = split(text, mode) {
            assert!(words.len() <= text.len() + 1, "more words than characters");
        }
    }
    let (left, right) = text.split_at(text.floor_char_boundary(text.len() / 2));
    let there = model::version::compare(left, right);
    assert_eq!(there, model::version::compare(right, left).reverse());
    assert_eq!(model::version::compare(text, text), Ordering::Equal);
    // No argument of a program has a NUL, and so no word and no name.
    if bytes.contains(&0) {
        return;
    }
    let quoted = split(&quote(bytes), Mode::STRICT).expect("what was quoted is a word");
    assert!(
        matches!(&*quoted, [word] if word.value == bytes),
        "quoting loses something"
    );
    assert_eq!(
        load::escape::unescape(&load::escape::escape(text)).as_deref(),
        Some(text),
        "escaping loses something"
    );
    if let Some(escaped) = load::escape::escape_path(text) {
        let path = load::escape::unescape_path(&escaped).expect("what was escaped is a path");
        assert_eq!(load::escape::escape_path(&path).as_ref(), Some(&escaped));
    }
}

/// Clocks that are moved once.
struct Moved {
    at_s: i64,
    offsets: [i64; 2],
}

impl model::calendar::Zone for Moved {
    fn offset_at(&self, unix_s: i64) -> i64 {
        self.offsets[usize::from(unix_s >= self.at_s)]
    }
}

/// A calendar expression, after bytes that say how clocks are moved, and when: its normal form is read as the same, and each moment is
/// later than the one before.
fn calendar(bytes: &[u8]) {
    let Some((head, text)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let Ok(calendar) = model::calendar::Calendar::parse(text) else {
        return;
    };
    let normal = calendar.to_string();
    let again = model::calendar::Calendar::parse(&normal);
    assert_eq!(again.as_ref(), Ok(&calendar), "{normal} is another one");
    let [a, b, c, d, e, f, g, h] = head.map(i64::from);
    let at_s = a << 24 | b << 16 | c << 8 | d;
    // Up to a day in either direction, as no clock goes further.
    let zone = Moved {
        at_s,
        offsets: [(e - 128) * 600 + f, (g - 128) * 600 + h],
    };
    let mut after_us = u64::try_from(at_s - 86_400).unwrap_or(0) * 1_000_000;
    for _ in 0..4 {
        let Some(next_us) = calendar.next_elapse(after_us, &zone) else {
            break;
        };
        assert!(next_us > after_us, "{normal} goes back");
        after_us = next_us;
    }
}

/// The units of an image: whatever they say is a request, a refusal or harmless.
fn unit_of_an_image(bytes: &[u8]) {
    let portable = PortableName::new("fuzz").expect("a name");
    let units = [UnitText {
        name: "fuzz.service",
        bytes,
    }];
    let review = review(&portable, &units, &SpecifierContext::default());
    let granted: Vec<String> = review.grants().into_iter().map(str::to_owned).collect();
    assert!(
        review.beyond(&granted).is_empty(),
        "what was granted is asked again"
    );
}

fn notice(bytes: &[u8]) {
    manager::notice::Message::read(bytes);
}

/// A header of what is encrypted, and its text alone: what is let through is encrypted in truth, and lies where it may.
fn luks(bytes: &[u8]) {
    const HEADER: u64 = 16 << 10;
    // What follows the headers is not read.
    let whole = image::source::Extent {
        offset: 0,
        length: 32 << 20,
    };
    let both = image::luks::read(bytes, whole);
    if both.is_ok() {
        let length = usize::from(bytes[13]) << 16 | usize::from(bytes[14]) << 8;
        let of = |copy: &[u8]| [copy[16..24].to_vec(), copy[4096..length].to_vec()];
        assert_eq!(of(bytes), of(&bytes[length..]), "cryptsetup takes another");
    }
    let found = [both, image::luks::read_text(bytes, HEADER, 32 << 20)];
    for header in found.into_iter().flatten() {
        assert!(!header.cipher.contains("null"), "nothing is encrypted");
        assert!(header.cipher.is_ascii(), "no cipher has such a name");
    }
}

/// A partition table, and the layout that is found by it: as it is, and with the check sums that it ought to have.
fn gpt(bytes: &[u8]) {
    let mut repaired = bytes.to_vec();
    repair(&mut repaired);
    for bytes in [bytes, &repaired] {
        image::gpt::read(bytes).ok();
        image::dissect::dissect(bytes).ok();
        survey(bytes);
    }
}

/// What is found lies in the image, and nothing is found twice.
fn survey(bytes: &[u8]) {
    let Ok(disk) = image::dissect::survey(bytes) else {
        return;
    };
    let parts = &disk.claim().parts;
    for (place, part) in parts.iter().enumerate() {
        let end = part.extent.end().expect("an end");
        assert!(end <= bytes.len() as u64, "a partition leaves the image");
        let rest = parts.get(place + 1..).unwrap_or_default();
        assert!(rest.iter().all(|other| other.purpose != part.purpose));
    }
}

/// A table of the older kind, with the two bytes by which it is known.
fn mbr(bytes: &[u8]) {
    let mut disk = bytes.to_vec();
    disk.resize(disk.len().max(4096), 0);
    if let Some(sign) = disk.get_mut(510..512) {
        sign.copy_from_slice(&[0x55, 0xaa]);
    }
    if let Ok(Some(entries)) = image::mbr::read(&disk) {
        for entry in entries {
            let end = entry.extent.end().expect("an end");
            assert!(end <= disk.len() as u64, "an entry leaves the disk");
        }
    }
    survey(&disk);
}

/// The beginnings of file systems: what is given is cut in pieces that lie where superblocks are.
fn superblock(bytes: &[u8]) {
    const PLACES: [usize; 7] = [0, 1024, 4080, 0x4000, 0x8000, 0xfff0, 0x1_0000];
    const PIECE_BYTES: usize = 256;
    let mut disk = vec![0; 0x1_1000];
    for (place, piece) in PLACES.into_iter().zip(bytes.chunks(PIECE_BYTES)) {
        let room = disk.get_mut(place..place + piece.len()).expect("room");
        room.copy_from_slice(piece);
    }
    survey(&disk);
    disk.truncate(bytes.len());
    survey(&disk);
}

/// A policy for images: what is read prints as it was, and what it comes to is told of every partition.
fn policy(bytes: &[u8]) {
    use model::value::{Designator, ImagePolicy};
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(policy) =
        <ImagePolicy as model::text::TextForm>::parse_with(text, &model::text::Verbatim)
    else {
        return;
    };
    assert_eq!(policy.0, text);
    // Of a partition that can't be protected as the policy wants it nothing may be allowed: then no image is used.
    for designator in Designator::ALL {
        std::hint::black_box(policy.allows(designator));
    }
}

/// Where the header is, and in it its size, its own check sum, and number, size and check sum of the entries (UEFI 2.10, 5.3.2).
const HEADER: usize = 512;
const HEADER_BYTES: usize = 12;
const HEADER_SUM: usize = 16;
const ENTRIES: usize = 80;
const ENTRY_BYTES: usize = 84;
const ENTRIES_SUM: usize = 88;

fn repair(bytes: &mut [u8]) {
    let Some(header) = bytes.get(HEADER..HEADER + 92) else {
        return;
    };
    let number = |at: usize| {
        let four = header.get(at..).and_then(<[u8]>::first_chunk);
        four.map_or(0, |four| u32::from_le_bytes(*four)) as usize
    };
    let (size, entries) = (
        number(HEADER_BYTES),
        number(ENTRIES).saturating_mul(number(ENTRY_BYTES)),
    );
    let mut put = |at: usize, sum: u32| {
        if let Some(field) = bytes.get_mut(HEADER + at..HEADER + at + 4) {
            field.copy_from_slice(&sum.to_le_bytes());
        }
        bytes.to_vec()
    };
    let all = put(HEADER_SUM, 0);
    let of = |all: &[u8], from: usize, length: usize| {
        all.get(from..from.saturating_add(length)).map_or(0, crc32)
    };
    let all = put(ENTRIES_SUM, of(&all, HEADER + 512, entries));
    put(HEADER_SUM, of(&all, HEADER, size));
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

fn verity(bytes: &[u8]) {
    image::verity::Superblock::parse(bytes).ok();
}

/// A channel index: what is read of it is printed and read as the same, and nobody stands for it whom nobody trusts.
fn channel(bytes: &[u8]) {
    if let Ok(signed) = image::statement::Signed::parse(bytes) {
        let again = image::statement::Signed::parse(signed.print().as_bytes());
        assert_eq!(
            again.ok().as_ref(),
            Some(&signed),
            "printing is not the same"
        );
        let stands = signed.verify(&[], std::time::UNIX_EPOCH);
        assert!(stands.is_err(), "somebody stands for it");
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(index) = delivery::channel::Index::parse(text) {
        let again = delivery::channel::Index::parse(&index.print());
        assert_eq!(again.as_ref(), Ok(&index), "printing is not the same");
        for part in index
            .versions
            .iter()
            .flat_map(delivery::channel::Release::parts)
        {
            let file = Path::new(&part.file);
            assert_eq!(
                file.file_name(),
                Some(file.as_os_str()),
                "it leads elsewhere"
            );
        }
    }
}

/// A hash tree before its data: what is proven of them is their root hash, and of no others.
fn hash_tree(bytes: &[u8]) {
    use image::source::Extent;
    use image::verity::{RootHash, Superblock, root_hash, verify};
    let Some(Ok(superblock)) = bytes.first_chunk::<512>().map(|raw| Superblock::parse(raw)) else {
        return;
    };
    let blocks = superblock.blocks;
    let Some(covered) = superblock.data_blocks.checked_mul(blocks.data_bytes) else {
        return;
    };
    // The data are what is at the end, as long as the superblock says; a superblock that says more than there is lies.
    let length = bytes.len() as u64;
    let data = Extent {
        offset: length.saturating_sub(covered),
        length: covered.min(length),
    };
    let tree = Extent {
        offset: 0,
        length: data.offset,
    };
    if let Ok(root) = root_hash(bytes, data, bytes, tree) {
        verify(bytes, data, tree, root).expect("its own root hash");
        assert!(verify(bytes, data, tree, RootHash([0; 32])).is_err());
        // One bit of the data is another root hash, which the stored tree is not that of.
        let mut other = bytes.to_vec();
        if let Some(last) = other.last_mut().filter(|_| covered > 0) {
            *last ^= 1;
            let other = other.as_slice();
            assert!(root_hash(other, data, other, tree).ok() != Some(root));
        }
    }
}

/// A signature, in the text around it: nobody is trusted, so that nobody is believed.
fn pkcs7(bytes: &[u8]) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let all = three.iter().enumerate().fold(0_u32, |all, (place, byte)| {
            all | u32::from(*byte) << (16 - 8 * place)
        });
        for place in 0..4 {
            let letter = char::from(LETTERS[(all >> (18 - 6 * place) & 63) as usize]);
            text.push(if place <= three.len() { letter } else { '=' });
        }
    }
    let hash = "0".repeat(64);
    let text = format!(r#"{{"rootHash":"{hash}","signature":"{text}"}}"#);
    image::signature::claims(&text).ok();
    assert!(image::signature::check(&text, &[], std::time::UNIX_EPOCH).is_err());
}

fn signature(bytes: &[u8]) {
    image::signature::TrustedCertificate::parse(bytes).ok();
    if let Ok(text) = std::str::from_utf8(bytes) {
        image::signature::claims(text).ok();
        image::signature::check(text, &[], std::time::UNIX_EPOCH).ok();
    }
}

/// A file system that is read without mounting it.
fn erofs(bytes: &[u8]) {
    image::erofs::read_bytes(bytes);
}

/// The same of the kind that is compressed; a library reads it.
fn squashfs(bytes: &[u8]) {
    image::squashfs::read_bytes(bytes);
}

/// An archive with a container image, in memory.
fn container(bytes: &[u8]) {
    image::unpack::unpack_bytes(bytes).expect("memory");
}

/// An archive by which a portable moves, in memory.
fn parcel(bytes: &[u8]) {
    image::parcel::read_bytes(bytes).expect("memory");
}

/// A `psi.toml`: what is refused is refused with a line that is there.
fn recipe(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Err(error) = image::recipe::PsiToml::parse(Path::new("psi.toml"), text) {
        assert!(error.line <= text.matches('\n').count() + 1, "no such line");
    }
}

fn elf(bytes: &[u8]) {
    image::elf::read(bytes).ok();
    std::hint::black_box(plan::interpreter::Interpreter::of(bytes));
}

fn os_release(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        image::os_release::OsRelease::parse(text).ok();
    }
}

/// A bundle's users and groups: once they are whole, they stay so, and the service's name has its number alone.
fn names(bytes: &[u8]) {
    use plan::names::{Names, Table};
    for (table, own) in [
        (Table::Users, &b"web:x:62001:62001::/:/bin/sh"[..]),
        (Table::Groups, &b"web:x:62001:"[..]),
    ] {
        let bundle = bytes;
        let names = Names { table, bundle, own };
        let text: Vec<u8> = names
            .lines()
            .flat_map(|line| [line, b"\n"].concat())
            .collect();
        let bundle = &text;
        let whole = Names { table, bundle, own };
        assert!(whole.is_complete(), "something is missing still");
        assert!(whole.lines().eq(names.lines()), "whole lines were lost");
        let mut of_service = names.lines().filter(|line| line.starts_with(b"web:"));
        let has_number = |line: &[u8]| {
            let field = line.split(|&byte| byte == b':').nth(2);
            let text = field.and_then(|field| std::str::from_utf8(field).ok());
            text.and_then(|text| text.parse().ok()) == Some(62001_u32)
        };
        assert!(
            of_service.all(has_number),
            "another number for the service's name"
        );
    }
}

/// What a file of grants says can be said again.
fn grants(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(grants) = delivery::grants::Grants::from_file(text) {
        for grant in grants.iter() {
            let again = delivery::grants::Grants::from_file(&grant.to_string());
            assert!(again.is_ok(), "{grant} can't be said again");
        }
    }
    delivery::grants::Grants::from_list(text).ok();
}

/// A request of a stranger's to the manager.
fn wire_messages(bytes: &[u8]) {
    if let Ok(request) = wire::request::Request::read(bytes) {
        wire::Call::read(&request.method, request.parameters).ok();
    }
    wire::user_database::answer(bytes, "fuzz", |_, _| None);
}

/// What comes from another host: a frame that was read is sent and read as the same.
fn remote_frames(bytes: &[u8]) {
    let mut inbox = wire::remote::Inbox::default();
    inbox.push(bytes);
    inbox.greeting().ok();
    while let Ok(Some(frame)) = inbox.next_frame() {
        let mut again = wire::remote::Inbox::default();
        again.push(&frame.encode());
        assert_eq!(again.next_frame(), Ok(Some(frame)), "sent as another one");
    }
}

fn keeper_messages(bytes: &[u8]) {
    keeper::protocol::Command::decode(bytes).ok();
    keeper::protocol::Event::decode(bytes).ok();
    keeper::protocol::Header::decode(bytes).ok();
}

/// What the executor is told, and what it reports.
fn executor_messages(bytes: &[u8]) {
    if let Ok(frame) = plan::Frame::decode(bytes) {
        for step in frame.steps() {
            if step.is_err() {
                break;
            }
        }
        frame.credentials().for_each(drop);
        frame.group_list().for_each(drop);
    }
    std::hint::black_box(plan::report::Report::decode(bytes));
    if let Ok(text) = std::str::from_utf8(bytes) {
        std::hint::black_box(plan::report::Epitaph::read(text));
    }
}

/// A sealed credential: no bytes are authentic by chance, those that somebody sealed with the null key may hold anything, and what is
/// sealed is opened to the same.
fn sealed_credential(bytes: &[u8]) {
    let secret = || Err(credential::SecretError::None);
    assert!(credential::open(bytes, &[], 0, secret).is_err());
    if let Ok(sealed) = credential::from_text(bytes) {
        credential::open(&sealed, &[], 0, secret).ok();
        assert_eq!(
            credential::from_text(credential::to_text(&sealed).as_bytes()).ok(),
            Some(sealed)
        );
    }
    let Ok((begin, end, name, content)) = credential::read_inside(bytes) else {
        return;
    };
    let name = name.unwrap_or_default();
    if let Ok(sealed) = credential::seal(content, &name, (begin, end), None) {
        let opened = credential::open(&sealed, &[&name], begin, secret).expect("it was sealed");
        assert_eq!((&**opened.content, opened.not_after_us), (content, end));
    }
}

/// A log file: what is decoded is encoded to the same, and damage anywhere ends no reader.
fn log(bytes: &[u8]) {
    if let Some(payload) = journal::format::batch::Payload::decode(bytes) {
        let again = journal::format::batch::Payload::decode(&payload.encode());
        assert_eq!(again.as_ref(), Some(&payload), "encoding loses something");
    }
    let Ok(file) = rustix::fs::memfd_create(c"log", rustix::fs::MemfdFlags::CLOEXEC) else {
        return;
    };
    let mut file = std::fs::File::from(file);
    let half = bytes.len() / 2;
    let (first, second) = bytes.split_at(half);
    let text = [&journal::format::frame::seal(first), second].concat();
    if std::io::Write::write_all(&mut file, &text).is_ok() {
        let length = text.len() as u64;
        let read = journal::format::frame::read_at(&file, 0).expect("it can be read");
        assert_eq!(read.map(|frame| frame.payload).as_deref(), Some(first));
        journal::format::frame::read_before(&file, length, 0).expect("it can be read");
        journal::format::frame::behind_damage(&file, 1).expect("it can be read");
        journal::format::frame::before_damage(&file, length, 0).expect("it can be read");
    }
}
