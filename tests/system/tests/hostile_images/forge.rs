//! Where images are forged: pieces of real ones, put together wrongly, and signed by somebody who is trusted where that is asked.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use coracle_system_tests::images::{By, Workshop};
use coracle_system_tests::own_images::{Shop, run};
use image::discoverable::{self, Purpose};
use image::gpt::{self, Planned};
use image::guid::Guid;
use image::source::Extent;
use image::verity::{self, Blocks, Superblock};
use testkit::{Instance, Picture};

/// What a good image says of itself.
pub const RELEASE: &str = "ID=boat\nVERSION_ID=1\n";
/// Its only unit.
pub const UNIT: &str = "[Service]\nExecStart=/bin/x\n";
/// Where that lies.
pub const UNITS: &str = "usr/lib/systemd/system";

pub struct Forge<'a> {
    pub coracle: &'a Instance,
    pub workshop: &'a Workshop<'a>,
    shop: Shop,
    good: Vec<u8>,
}

impl<'a> Forge<'a> {
    pub fn new(coracle: &'a Instance, workshop: &'a Workshop<'a>) -> Forge<'a> {
        let image = workshop.tree(RELEASE, By::Trusted, &[("boat.service", UNIT)], |root| {
            // Of more blocks than one, so that there is a hash tree.
            let more: Vec<u8> = (0..1 << 16).map(|place: u32| (place / 7) as u8).collect();
            fs::write(root.join("bin/more"), more).expect("a file");
        });
        let good = fs::read(image).expect("an image");
        Forge {
            coracle,
            workshop,
            shop: Shop::new(),
            good,
        }
    }

    /// An image that nothing is wrong with.
    pub fn good(&self) -> Disk {
        Disk(self.good.clone())
    }

    /// A path of the shop's.
    pub fn path(&self, name: &str) -> PathBuf {
        self.shop.path(name)
    }

    /// A file with these bytes; what was there under its name is gone.
    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        drop(fs::remove_file(&path));
        fs::write(&path, bytes).expect("a file");
        path.display().to_string()
    }

    /// The good image after a change, as what follows `attach`.
    pub fn changed(&self, change: impl FnOnce(&mut Disk)) -> Vec<String> {
        let mut disk = self.good();
        change(&mut disk);
        vec![self.file("forged.psi", &disk.0)]
    }

    /// An image that is signed by somebody who is trusted, around this file system.
    pub fn signed(&self, root: &[u8]) -> Disk {
        let whole = Extent {
            offset: 0,
            length: root.len() as u64,
        };
        let tree = verity::compute(root, whole, b"salt", Blocks::default()).expect("a tree");
        let superblock = Superblock {
            id: Guid::from_bytes([3; 16]),
            data_blocks: whole.length / verity::BLOCK_BYTES,
            salt: b"salt".to_vec(),
            blocks: Blocks::default(),
        };
        let hashes = [superblock.to_block(), tree.blocks].concat();
        let (root_id, verity_id) = tree.root.partition_ids();
        let disk = disk(&[
            (Purpose::Root, root_id, root),
            (Purpose::Verity, verity_id, &hashes),
        ]);
        self.sign(&disk, By::Trusted)
    }

    /// The same image, signed.
    pub fn sign(&self, disk: &Disk, by: By) -> Disk {
        let image = self.file("to-sign.psi", &disk.0);
        self.coracle
            .ok(&["sign", &image, "--key", &self.workshop.key(by)]);
        Disk(fs::read(image).expect("an image"))
    }

    /// What follows `attach` for a signed image around this file system.
    pub fn around(&self, root: &[u8]) -> Vec<String> {
        vec![self.file("forged.psi", &self.signed(root).0)]
    }

    /// A tree as that of the good image, after a change.
    pub fn tree(&self, change: impl FnOnce(&Path)) -> PathBuf {
        let root = self.path("tree");
        drop(fs::remove_dir_all(&root));
        fs::create_dir_all(root.join(UNITS)).expect("a folder");
        for folder in ["etc", "bin"] {
            fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        fs::write(root.join("usr/lib/os-release"), RELEASE).expect("a file");
        fs::write(root.join(UNITS).join("boat.service"), UNIT).expect("a file");
        fs::write(root.join("bin/x"), "").expect("a file");
        change(&root);
        root
    }

    /// A signed image of a tree, by a tool that packs whatever it finds.
    pub fn packed(&self, change: impl FnOnce(&Path)) -> Vec<String> {
        self.around(&self.system("erofs", &self.tree(change)))
    }

    /// The bytes of a file system.
    pub fn system(&self, kind: &str, tree: &Path) -> Vec<u8> {
        let file = self.path("system").display().to_string();
        let tree = tree.display().to_string();
        drop(fs::remove_file(&file));
        match kind {
            "squashfs" => run(
                "mksquashfs",
                &[
                    &tree,
                    &file,
                    "-quiet",
                    "-no-progress",
                    "-noappend",
                    "-noI",
                    "-noD",
                    "-noF",
                    "-noX",
                    "-all-root",
                ],
            ),
            "erofs" => run("mkfs.erofs", &["--quiet", "--all-root", &file, &tree]),
            other => panic!("nobody makes {other}"),
        }
        let mut bytes = fs::read(&file).expect("a file system");
        bytes.resize(
            bytes.len().next_multiple_of(verity::BLOCK_BYTES as usize),
            0,
        );
        bytes
    }

    /// Nothing on the machine names the instance's images or the shop's.
    pub fn left_nothing(&self) {
        let picture = Picture::take(&[]);
        for folder in [
            self.shop.path(""),
            self.coracle.folder().join("state/store"),
        ] {
            let left = picture.naming(&folder);
            assert!(left.is_empty(), "{left:?}");
        }
        let store = self.coracle.folder().join("state/store");
        for folder in [store.join("staging"), store] {
            let files = fs::read_dir(folder).expect("a folder").flatten();
            let left: Vec<PathBuf> = files
                .map(|entry| entry.path())
                .filter(|path| path.is_file())
                .collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

/// A disk with these partitions.
pub fn disk(parts: &[(Purpose, Guid, &[u8])]) -> Disk {
    let native = discoverable::native().expect("a processor of the specification");
    let kinds: Vec<(Guid, Guid, &[u8])> = parts
        .iter()
        .map(|(purpose, id, bytes)| {
            (
                discoverable::kind(*purpose, native).expect("a type"),
                *id,
                *bytes,
            )
        })
        .collect();
    of_kinds(&kinds)
}

/// The same by the partitions' types.
pub fn of_kinds(parts: &[(Guid, Guid, &[u8])]) -> Disk {
    labelled(parts, &[])
}

/// The same with labels, where there are some.
pub fn labelled(parts: &[(Guid, Guid, &[u8])], labels: &[&str]) -> Disk {
    let planned: Vec<Planned> = parts
        .iter()
        .enumerate()
        .map(|(place, (kind, id, bytes))| Planned {
            kind: *kind,
            id: *id,
            flags: 0,
            label: labels.get(place).copied().unwrap_or_default().to_owned(),
            length: bytes.len() as u64,
        })
        .collect();
    let plan = gpt::plan(Guid::from_bytes([7; 16]), &planned).expect("a plan");
    let mut bytes = plan.head.clone();
    for (partition, (.., content)) in plan.table.partitions.iter().zip(parts) {
        bytes.resize(partition.extent.offset as usize, 0);
        bytes.extend(*content);
    }
    bytes.resize(plan.tail_offset as usize, 0);
    bytes.extend(&plan.tail);
    Disk(bytes)
}

/// Where header and entries are, and fields of both (UEFI 2.10, 5.3).
const SECTOR: usize = 512;
const ENTRIES: usize = 2 * SECTOR;
const ENTRY_BYTES: usize = 128;
const ENTRY_COUNT: usize = 128;
pub const HEADER_SIZE: usize = 12;
const HEADER_SUM: usize = 16;
pub const HEADER_OWN: usize = 24;
pub const HEADER_ENTRIES: usize = 72;
pub const HEADER_COUNT: usize = 80;
pub const HEADER_ENTRY_BYTES: usize = 84;
const HEADER_ENTRIES_SUM: usize = 88;
pub const ENTRY_ID: usize = 16;
pub const ENTRY_FIRST: usize = 32;
pub const ENTRY_LAST: usize = 40;
pub const ENTRY_FLAGS: usize = 48;
pub const ENTRY_LABEL: usize = 56;

/// An image's bytes.
#[derive(Clone)]
pub struct Disk(pub Vec<u8>);

impl Disk {
    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes a field of the header, which stays consistent.
    pub fn header(&mut self, at: usize, bytes: &[u8]) {
        self.put(SECTOR + at, bytes);
        self.seal();
    }

    /// Writes a field of an entry, counted from zero; the table stays consistent.
    pub fn entry(&mut self, number: usize, at: usize, bytes: &[u8]) {
        self.put(ENTRIES + number * ENTRY_BYTES + at, bytes);
        self.seal();
    }

    /// A number of an entry.
    pub fn number(&self, number: usize, at: usize) -> u64 {
        let start = ENTRIES + number * ENTRY_BYTES + at;
        u64::from_le_bytes(self.0[start..start + 8].try_into().expect("eight"))
    }

    pub fn raw_entry(&self, number: usize) -> Vec<u8> {
        let start = ENTRIES + number * ENTRY_BYTES;
        self.0[start..start + ENTRY_BYTES].to_vec()
    }

    /// Where a partition begins, in bytes.
    pub fn start(&self, number: usize) -> usize {
        self.number(number, ENTRY_FIRST) as usize * SECTOR
    }

    /// The bytes of a partition.
    pub fn part(&self, number: usize) -> &[u8] {
        let end = (self.number(number, ENTRY_LAST) as usize + 1) * SECTOR;
        &self.0[self.start(number)..end]
    }

    /// Writes into a partition.
    pub fn within(&mut self, number: usize, at: usize, bytes: &[u8]) {
        let start = self.start(number);
        self.put(start + at, bytes);
    }

    /// The check sums that the table ought to have.
    fn seal(&mut self) {
        let entries = ENTRY_COUNT * ENTRY_BYTES;
        let sum = crc32(&self.0[ENTRIES..ENTRIES + entries]);
        self.put(SECTOR + HEADER_ENTRIES_SUM, &sum.to_le_bytes());
        self.put(SECTOR + HEADER_SUM, &[0; 4]);
        let sum = crc32(&self.0[SECTOR..SECTOR + 92]);
        self.put(SECTOR + HEADER_SUM, &sum.to_le_bytes());
    }

    /// The table at the end says that the first partition is one sector shorter, and is consistent.
    pub fn shorten_backup(&mut self) {
        let (entries, _) = self.backup();
        self.0[entries + ENTRY_LAST] -= 1;
        self.seal_backup();
    }

    /// The table at the end says what that at the beginning says.
    pub fn mirror(&mut self) {
        let (entries, _) = self.backup();
        let first = self.0[ENTRIES..ENTRIES + ENTRY_COUNT * ENTRY_BYTES].to_vec();
        self.put(entries, &first);
        self.seal_backup();
    }

    /// Where the entries and the header at the end are.
    fn backup(&self) -> (usize, usize) {
        let header = self.0.len() - SECTOR;
        (header - ENTRY_COUNT * ENTRY_BYTES, header)
    }

    fn seal_backup(&mut self) {
        let (entries, header) = self.backup();
        let sum = crc32(&self.0[entries..header]);
        self.put(header + HEADER_ENTRIES_SUM, &sum.to_le_bytes());
        self.put(header + HEADER_SUM, &[0; 4]);
        let sum = crc32(&self.0[header..header + 92]);
        self.put(header + HEADER_SUM, &sum.to_le_bytes());
    }
}

pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

/// Where a run of bytes is, which must be there.
pub fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    let found = bytes
        .windows(wanted.len())
        .position(|window| window == wanted);
    found.unwrap_or_else(|| panic!("no {:?}", String::from_utf8_lossy(wanted)))
}

/// A file of this length that has nothing in it but what it begins with.
pub fn sparse(path: &Path, first: &[u8], length: u64) {
    let file = fs::File::create(path).expect("a file");
    file.set_len(length).expect("a length");
    file.write_all_at(first, 0).expect("a beginning");
}
