//! What passes the gate and what does not.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::*;
use crate::build::{Options, build};
use crate::dissect::dissect;
use crate::sign::SigningKey;

/// An image of one unit, signed or not, with its maker's certificate.
struct Case {
    dir: tempfile::TempDir,
    image: PathBuf,
    certificate: TrustedCertificate,
}

/// The maker's key and certificate, made once for all tests.
fn keys() -> &'static Path {
    static ONCE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = ONCE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        crate::keygen::generate(dir.path(), "Maker").unwrap();
        dir
    });
    dir.path()
}

impl Case {
    fn new(signed: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root/usr/lib/systemd/system");
        fs::create_dir_all(&root).unwrap();
        fs::write(
            root.join("hello.service"),
            "[Service]\nExecStart=/bin/true\n",
        )
        .unwrap();
        fs::write(
            dir.path().join("root/usr/lib/os-release"),
            "ID=hello\nVERSION_ID=1\n",
        )
        .unwrap();
        // Noise, which does not compress: several blocks of data, and so a tree.
        let noise: Vec<u8> = (0..5000u32)
            .flat_map(|n| Sha256::digest(n.to_le_bytes()))
            .collect();
        fs::write(dir.path().join("root/noise"), noise).unwrap();
        let keys = keys();
        let key = SigningKey::load(&keys.join("signing.key"), None).unwrap();
        let image = dir.path().join("hello.psi");
        let options = Options {
            key: signed.then_some(&key),
            epoch_s: 0,
            ..Options::default()
        };
        build(&dir.path().join("root"), &image, &options).unwrap();
        let certificate =
            TrustedCertificate::parse(&fs::read(keys.join("signing.crt")).unwrap()).unwrap();
        Self {
            dir,
            image,
            certificate,
        }
    }

    fn file(&self) -> File {
        File::options()
            .read(true)
            .write(true)
            .open(&self.image)
            .unwrap()
    }

    fn trusted(&self) -> Trust {
        Trust::Certificates(vec![self.certificate.clone()])
    }

    fn verify(&self, trust: &Trust) -> Result<Verified<Layout>, VerifyError> {
        let file = self.file();
        let layout = dissect(&FileSource::new(&file).unwrap()).unwrap();
        verify(&file, &layout, trust)
    }

    /// What is said under a trust.
    fn check(&self, trust: &Trust, expected: &str) {
        let said = match self.verify(trust) {
            Ok(verified) => match &verified.record().assurance {
                Assurance::Signed(signer) => format!("signed by {}", signer.common_name),
                other => format!("{other:?}"),
            },
            Err(error) => format!("refused: {error}"),
        };
        assert!(said.starts_with(expected), "{said}");
    }

    fn flip(&self, offset: u64) {
        let file = self.file();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
    }
}

#[test]
fn a_trusted_signature_over_sound_data_passes() {
    let case = Case::new(true);
    case.check(&case.trusted(), "signed by Maker");
    case.check(
        &Trust::Certificates(vec![]),
        "refused: the image is signed by \"Maker\"",
    );
    Case::new(false).check(&case.trusted(), "refused: the image is not signed");
}

#[test]
fn a_changed_byte_in_data_or_tree_is_found_whatever_is_trusted() {
    let case = Case::new(true);
    let layout = case.verify(&case.trusted()).unwrap().get().clone();
    for offset in [
        layout.root.offset + 100,
        layout.root.offset + 50_000,
        layout.verity.unwrap().offset + 5000,
    ] {
        let case = Case::new(true);
        case.flip(offset);
        for trust in [case.trusted(), Trust::Insecure] {
            case.check(&trust, "refused: ");
        }
    }
}

#[test]
fn a_digest_and_a_waiver_stand_in_for_a_signature() {
    let case = Case::new(false);
    let digest = digest(&fs::read(&case.image).unwrap()).unwrap();
    case.check(&Trust::Digest(digest.clone()), "Digest");
    case.check(
        &Trust::Digest("0".repeat(64)),
        &format!("refused: the image is sha256:{digest}, not sha256:000"),
    );
    case.check(&Trust::Insecure, "Insecure");
}

#[test]
fn a_record_is_about_one_unchanged_file() {
    let case = Case::new(true);
    let record = case.verify(&case.trusted()).unwrap().record().clone();
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(
        serde_json::from_str::<Record>(&text).unwrap(),
        record,
        "a record survives the store"
    );
    record.clone().confirm(&case.file()).unwrap();

    let stored = case.dir.path().join("stored.psi");
    fs::rename(&case.image, &stored).unwrap();
    let file = File::options()
        .append(true)
        .read(true)
        .open(&stored)
        .unwrap();
    let moved = record.moved_to(&file).unwrap();
    moved.clone().confirm(&file).unwrap();

    fs::set_permissions(&stored, fs::Permissions::from_mode(0o666)).unwrap();
    let said = moved.clone().confirm(&file).unwrap_err().to_string();
    assert_eq!(
        said,
        "the image can be changed by others than its owner, or belongs to another user"
    );
    fs::set_permissions(&stored, fs::Permissions::from_mode(0o644)).unwrap();

    (&file).write_all(b"x").unwrap();
    for said in [
        moved.clone().confirm(&file).unwrap_err(),
        moved.moved_to(&file).unwrap_err(),
    ] {
        assert_eq!(
            said.to_string(),
            "the image was changed or replaced after it was verified"
        );
    }
}

#[test]
fn a_signature_taken_from_another_image_is_refused() {
    let mine = Case::new(true);
    let file = mine.file();
    let layout = dissect(&FileSource::new(&file).unwrap()).unwrap();
    let mut stolen = layout.claim().clone();
    stolen.root_hash = Some(RootHash([0; 32]));
    let said = verify(&file, &Unverified::new(stolen), &mine.trusted())
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with("the signature is over root hash "),
        "{said}"
    );
}

/// Every place where a flipped bit must be noticed: the table, the data, the tree, the signature.
fn covered(layout: &Layout, bytes: u64) -> Vec<u64> {
    let verity = layout.verity.unwrap();
    let signature = layout.signature.as_ref().unwrap().len() as u64;
    let signature_at = verity.offset + verity.length;
    let places = [
        0..1024 + 3 * 128,
        layout.root.offset..layout.root.offset + layout.root.length,
    ];
    let more = [
        verity.offset + 4096..signature_at,
        signature_at..signature_at + signature,
    ];
    let all = places.into_iter().chain(more).flatten();
    // A prime stride: a few hundred places, in every region.
    all.step_by(509).filter(|at| *at < bytes).collect()
}

#[test]
fn no_flipped_bit_lets_other_data_pass() {
    let case = Case::new(true);
    let genuine = case.verify(&case.trusted()).unwrap();
    let bytes = fs::metadata(&case.image).unwrap().len();
    let mut refused = 0;
    for at in covered(genuine.get(), bytes) {
        case.flip(at);
        let file = case.file();
        let layout = dissect(&FileSource::new(&file).unwrap());
        match layout
            .ok()
            .and_then(|layout| verify(&file, &layout, &case.trusted()).ok())
        {
            // Bits that mean nothing: of the protective MBR, of the enclosed certificate.
            Some(verified) => assert_eq!(verified.get().root, genuine.get().root, "byte {at}"),
            None => refused += 1,
        }
        case.flip(at);
    }
    assert!(refused > 200, "only {refused} changes were noticed");
    assert!(
        case.verify(&case.trusted()).is_ok(),
        "and all of them were undone"
    );
}
