//! Puts a root file system, its verity data and its signature into one image file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::discoverable::{self, Purpose};
use crate::gpt::{self, Plan, Planned, WriteError};
use crate::guid::Guid;
use crate::source::{Extent, Source};
use crate::verity::{BLOCK_BYTES, RootHash};

/// What an image is made of besides its root file system.
pub(crate) struct Parts {
    /// The label of all partitions: `NAME_VERSION`.
    pub(crate) label: String,
    /// The root hash of the root file system.
    pub(crate) root_hash: RootHash,
    /// Superblock and hash tree.
    pub(crate) verity: Vec<u8>,
    /// The text of the signature partition.
    pub(crate) signature: Option<String>,
}

/// Why an image was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteImageError {
    /// There is no partition type for this processor.
    #[error("the Discoverable Partitions Specification is not known here for this processor")]
    Processor,
    /// The partitions do not fit a table.
    #[error(transparent)]
    Layout(#[from] WriteError),
    /// The file can't be written.
    #[error("cannot write {path}")]
    Write {
        /// The image's path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Parts {
    /// Writes the image beside `output`, syncs it and renames it. Returns its length in bytes.
    pub(crate) fn write<S: Source + ?Sized>(
        &self,
        source: &S,
        root: Extent,
        output: &Path,
    ) -> Result<u64, WriteImageError> {
        let plan = self.plan(root.length)?;
        let error = |source| WriteImageError::Write {
            path: output.into(),
            source,
        };
        let beside = beside(output).ok_or_else(|| error(io::ErrorKind::InvalidFilename.into()))?;
        let written = self
            .write_beside(&plan, source, root, &beside)
            .and_then(|()| fs::rename(&beside, output));
        if let Err(failure) = written {
            // What is half-written is worth nothing, and the first failure is the one to tell.
            drop(fs::remove_file(&beside));
            return Err(error(failure));
        }
        Ok(plan.length())
    }

    fn plan(&self, root_bytes: u64) -> Result<Plan, WriteImageError> {
        let (root_id, verity_id) = self.root_hash.partition_ids();
        let part = |purpose, id, length| {
            let kind = discoverable::native()
                .and_then(|architecture| discoverable::kind(purpose, architecture));
            let kind = kind.ok_or(WriteImageError::Processor)?;
            Ok::<_, WriteImageError>(Planned {
                kind,
                id,
                flags: gpt::FLAG_READ_ONLY,
                label: self.label.clone(),
                length,
            })
        };
        let mut planned = vec![
            part(Purpose::Root, root_id, root_bytes)?,
            part(Purpose::Verity, verity_id, self.verity.len() as u64)?,
        ];
        if let Some(signature) = &self.signature {
            let length = (signature.len() as u64).next_multiple_of(BLOCK_BYTES);
            planned.push(part(
                Purpose::Signature,
                self.derived_id("signature"),
                length,
            )?);
        }
        Ok(gpt::plan(self.derived_id("disk"), &planned)?)
    }

    /// An identifier that depends on the content alone (a version 8 UUID, RFC 9562).
    fn derived_id(&self, purpose: &str) -> Guid {
        let digest = Sha256::new()
            .chain_update(purpose)
            .chain_update(self.root_hash.0)
            .finalize();
        crate::build::uuid(Guid::from_bytes(
            digest.first_chunk().copied().unwrap_or_default(),
        ))
    }

    fn write_beside<S: Source + ?Sized>(
        &self,
        plan: &Plan,
        source: &S,
        root: Extent,
        path: &Path,
    ) -> io::Result<()> {
        let mut file = Placed {
            file: io::BufWriter::new(File::create_new(path)?),
            position: 0,
        };
        file.put(0, &plan.head)?;
        let extents: Vec<Extent> = plan
            .table
            .partitions
            .iter()
            .map(|partition| partition.extent)
            .collect();
        let signature = self.signature.as_deref().unwrap_or_default().as_bytes();
        for (index, extent) in extents.iter().enumerate() {
            match index {
                0 => file.copy(extent.offset, source, root)?,
                1 => file.put(extent.offset, &self.verity)?,
                _ => file.put(extent.offset, signature)?,
            }
        }
        file.put(plan.tail_offset, &plan.tail)?;
        file.file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()
    }
}

/// A new file, written from its start to its end.
struct Placed {
    file: io::BufWriter<File>,
    position: u64,
}

impl Placed {
    /// Writes at an offset that is not behind, with zeros up to it.
    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let gap = offset
            .checked_sub(self.position)
            .ok_or(io::ErrorKind::InvalidInput)?;
        io::copy(&mut io::Read::take(io::repeat(0), gap), &mut self.file)?;
        self.file.write_all(bytes)?;
        self.position = offset + bytes.len() as u64;
        Ok(())
    }

    fn copy<S: Source + ?Sized>(
        &mut self,
        offset: u64,
        source: &S,
        from: Extent,
    ) -> io::Result<()> {
        const PIECE_BYTES: u64 = 1 << 20;
        let mut done = 0;
        while done < from.length {
            let length = PIECE_BYTES.min(from.length - done);
            let piece = source.read_extent(
                Extent {
                    offset: from.offset + done,
                    length,
                },
                PIECE_BYTES,
            )?;
            self.put(offset + done, &piece)?;
            done += length;
        }
        Ok(())
    }
}

/// A hidden name in the same directory, of this process.
fn beside(output: &Path) -> Option<PathBuf> {
    let name = output.file_name()?.to_string_lossy();
    Some(output.with_file_name(format!(".{name}.{}", std::process::id())))
}
