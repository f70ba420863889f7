//! Golden vectors computed by veritysetup 2.6.1 (Debian's cryptsetup-bin), and damage.

use std::io;

use proptest::prelude::*;

use super::*;
use crate::hex;

/// Data whose every block repeats its own number, as many blocks as asked for, without holding them.
struct Numbered {
    blocks: u64,
}

impl Source for Numbered {
    fn length(&self) -> u64 {
        self.blocks * BLOCK_BYTES
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        for (at, eight) in buffer.chunks_mut(8).enumerate() {
            eight.copy_from_slice(&((offset + at as u64 * 8) / BLOCK_BYTES).to_le_bytes());
        }
        Ok(())
    }
}

const SALT: [u8; 8] = [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77];

fn superblock_of(data_blocks: u64) -> Superblock {
    let id = "01234567-89ab-cdef-0123-456789abcdef".parse().unwrap();
    Superblock {
        id,
        blocks: Blocks::default(),
        data_blocks,
        salt: SALT.to_vec(),
    }
}

/// Root hash, and SHA-256 of the whole hash file, against what `veritysetup format` printed and wrote.
fn check(blocks: u64, root: &str, file_digest: &str) {
    let source = Numbered { blocks };
    let tree = compute(
        &source,
        Extent {
            offset: 0,
            length: source.length(),
        },
        &SALT,
        Blocks::default(),
    )
    .unwrap();
    assert_eq!(tree.root.to_string(), root);
    assert_eq!(
        tree.blocks.len() as u64,
        Blocks::default().tree_bytes(blocks)
    );
    let file = Sha256::new()
        .chain_update(superblock_of(blocks).to_block())
        .chain_update(&tree.blocks)
        .finalize();
    assert_eq!(hex::encode(&file), file_digest);
    check_stored(source, &tree);
}

/// Numbered blocks with what veritysetup writes behind them.
struct Stored {
    data: Numbered,
    hashes: Vec<u8>,
}

impl Source for Stored {
    fn length(&self) -> u64 {
        self.data.length() + self.hashes.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match offset.checked_sub(self.data.length()) {
            None => self.data.read_at(buffer, offset),
            Some(place) => self.hashes.read_at(buffer, place),
        }
    }
}

/// What is compared piece by piece with the stored tree gives the same, and no byte of that may be another one.
fn check_stored(data: Numbered, tree: &HashTree) {
    let extent = Extent {
        offset: 0,
        length: data.length(),
    };
    let mut hashes = superblock_of(data.blocks).to_block();
    hashes.extend(&tree.blocks);
    let verity = Extent {
        offset: extent.length,
        length: hashes.len() as u64,
    };
    let mut stored = Stored { data, hashes };
    let found = |stored: &Stored| root_hash(stored, extent, stored, verity);
    assert_eq!(found(&stored).unwrap(), tree.root);
    let last = stored.hashes.len() - 1;
    let first = BLOCK_BYTES as usize;
    for at in [first, last] {
        let Some(byte) = stored.hashes.get_mut(at).filter(|_| at >= first) else {
            continue;
        };
        *byte ^= 1;
        assert!(
            matches!(found(&stored), Err(VerityError::StoredTree)),
            "{at}"
        );
        stored.hashes[at] ^= 1;
    }
}

#[test]
fn trees_of_every_height_are_those_of_veritysetup() {
    check(
        1,
        "23a19f0549353c5af0804c2ffbe69945d7192267dc7c8f3e956313b5f6cd66ac",
        "dc5859b2a5d5b91d009a2094873fa16555c612c571247f53573a56363141a543",
    );
    check(
        2,
        "3dfa81b2b6f66355ade8a5c03225a3988f429c5db38b9575236ca45bf6e0bf47",
        "835c4b51eeb3840fd94f995474bd99033575468eb798c912147d914da2c46104",
    );
    check(
        128,
        "b80a3b6c170806a6523916c065cf1b2e264d40711b6c59f06936826d32ad8cc8",
        "923d32a3ac02e3b99cdb22facbf61eb4084c948305f82e49eb9563e005669520",
    );
    check(
        129,
        "ad56c28001a1d1589d484811e4c6cb38ef5c6d9b1e71db5e9ed019d72b22a1ac",
        "d2fee39fca3619124020a6cb3b5664b7020ed75314727d946bf4345bb5732748",
    );
    check(
        16385,
        "10f1b7dfa3a5cdd7e45398abac3cc85e6a4ae5ee529eb95b9f246e2ce72e45e4",
        "5a6b8b6ebcb33f5f4f361fd630ccc46419c61f97d62660d52eb04c1fb8e0f465",
    );
}

const BLOCKS: u64 = 200;
const DATA: Extent = Extent {
    offset: 0,
    length: BLOCKS * BLOCK_BYTES,
};
const VERITY: Extent = Extent {
    offset: DATA.length,
    length: 4 * BLOCK_BYTES,
};

/// Data, superblock, tree; and the root hash.
fn image() -> (Vec<u8>, RootHash) {
    let mut bytes = vec![0; DATA.length as usize];
    Numbered { blocks: BLOCKS }.read_at(&mut bytes, 0).unwrap();
    let tree = compute(&bytes, DATA, &SALT, Blocks::default()).unwrap();
    bytes.extend(superblock_of(BLOCKS).to_block());
    bytes.extend(tree.blocks);
    (bytes, tree.root)
}

#[test]
fn sound_data_verify_and_a_changed_bit_anywhere_does_not() {
    let (bytes, root) = image();
    verify(&bytes, DATA, VERITY, root).unwrap();
    let starts_of = |offset: u64, block: u64| (offset + block * BLOCK_BYTES) as usize;
    for at in [
        0,
        starts_of(0, 199) + 4095,
        starts_of(VERITY.offset, 1),
        starts_of(VERITY.offset, 3) + 100,
    ] {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        assert!(verify(&changed, DATA, VERITY, root).is_err(), "byte {at}");
    }
}

#[test]
fn blocks_of_other_sizes_hash_as_veritysetup_has_them() {
    for (data_bytes, hash_bytes, root, file_digest) in [
        (
            512,
            1024,
            "d9c3646257767ac5db9b14989c955b8819fdab63c23b4978e5366b90a05533cb",
            "960f10b3e1a54d8808a36420eac67da99342cbc4c14e13b3c4984d4fb7cba4ad",
        ),
        (
            1024,
            512,
            "3731ef47301cb46a454a60811645d94335cbb279686f559bf0ff17b3287fa538",
            "a19f1cf2fcce3ee126cee4943509e143db872e39261c1fcf16dc548f45531cea",
        ),
    ] {
        let blocks = Blocks {
            data_bytes,
            hash_bytes,
        };
        let mut bytes = vec![0; DATA.length as usize];
        Numbered { blocks: BLOCKS }.read_at(&mut bytes, 0).unwrap();
        let tree = compute(&bytes, DATA, &SALT, blocks).unwrap();
        assert_eq!(tree.root.to_string(), root);
        let superblock = Superblock {
            blocks,
            ..superblock_of(DATA.length / data_bytes)
        };
        let hashes = [superblock.to_block(), tree.blocks].concat();
        assert_eq!(hex::encode(&Sha256::digest(&hashes)), file_digest);
        let verity = Extent {
            offset: DATA.length,
            length: hashes.len() as u64,
        };
        bytes.extend(hashes);
        verify(&bytes, DATA, verity, tree.root).unwrap();
        for at in [0, DATA.length as usize - 1, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(verify(&changed, DATA, verity, tree.root).is_err(), "{at}");
        }
        let short = Extent {
            length: verity.length - 1,
            ..verity
        };
        assert!(verify(&bytes, DATA, short, tree.root).is_err());
    }
}

/// What is said of an image whose superblock was edited.
fn refusal(edit: impl FnOnce(&mut [u8])) -> String {
    let (mut bytes, root) = image();
    edit(&mut bytes[DATA.length as usize..]);
    verify(&bytes, DATA, VERITY, root).unwrap_err().to_string()
}

#[test]
fn foreign_parameters_are_refused_by_name() {
    assert_eq!(
        refusal(|b| b[0] = 0),
        "the verity partition has no dm-verity superblock of version 1"
    );
    assert_eq!(
        refusal(|b| b[8] = 2),
        "the verity partition has no dm-verity superblock of version 1"
    );
    assert_eq!(
        refusal(|b| b[32..38].copy_from_slice(b"sha512")),
        "unsupported dm-verity hash algorithm (sha256 is supported)"
    );
    assert_eq!(
        refusal(|b| b[65] = 3),
        "unsupported dm-verity block size (512 to 4096 are supported)"
    );
    assert_eq!(refusal(|b| b[81] = 2), "unsupported dm-verity salt length");
    assert_eq!(
        refusal(|b| b[72] = 199),
        "the hash tree covers 815104 bytes, the root partition has 819200"
    );
    let mut short = VERITY;
    short.length -= BLOCK_BYTES;
    let (bytes, root) = image();
    let said = verify(&bytes, DATA, short, root).unwrap_err().to_string();
    assert_eq!(said, "the verity partition is too small for its hash tree");
}

#[test]
fn the_partition_identifiers_are_the_halves_of_the_root_hash() {
    let hash: RootHash = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"
        .parse()
        .unwrap();
    let (root, verity) = hash.partition_ids();
    assert_eq!(root.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
    assert_eq!(verity.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
    assert_eq!(RootHash::from_partition_ids(root, verity), hash);
}

proptest! {
    #[test]
    fn a_superblock_of_random_bytes_never_panics(raw in prop::collection::vec(any::<u8>(), 0..600)) {
        drop(Superblock::parse(&raw));
        let mut named = b"verity\0\0\x01\0\0\0\x01\0\0\0".to_vec();
        named.extend(&raw);
        drop(Superblock::parse(&named));
    }

    #[test]
    fn a_superblock_is_read_as_it_was_written(blocks in any::<u64>(), salt in prop::collection::vec(any::<u8>(), 0..256)) {
        let superblock = Superblock { id: Guid::NIL, blocks: Blocks::default(), data_blocks: blocks, salt };
        prop_assert_eq!(Superblock::parse(&superblock.to_block()).unwrap(), superblock);
    }
}

/// Data of any size that nobody may read.
struct Unread;

impl Source for Unread {
    fn length(&self) -> u64 {
        u64::MAX
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        Err(io::Error::other("read"))
    }
}

#[test]
fn as_many_blocks_are_hashed_whatever_their_size_and_no_more() {
    let said = |length, data_bytes| {
        let blocks = Blocks {
            data_bytes,
            ..Blocks::default()
        };
        let data = Extent { offset: 0, length };
        match compute(&Unread, data, &SALT, blocks) {
            Err(VerityError::Read(_)) => "hashed".to_owned(),
            other => other.unwrap_err().to_string(),
        }
    };
    for (block, limit) in [(4096, 64 << 30), (1024, 16 << 30), (512, 8u64 << 30)] {
        assert_eq!(said(limit, block), "hashed");
        let present = limit + block;
        assert_eq!(
            said(present, block),
            format!(
                "the root partition has {present} bytes; in blocks of {block} bytes no more than {limit} are hashed"
            )
        );
    }
}
