//! An archive that came: a worker has taken it apart into a file without a name, and nothing of it is anywhere else yet.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Seek as _, SeekFrom};
use std::os::fd::AsFd;

use anyhow::{Result, anyhow};
use delivery::digest::Digest;
use delivery::store::Store;
use image::parcel::Contents;
use image::source::Extent;
use image::worker::{WorkerError, Workers};

use super::manifest::{Kind, Manifest};
use super::pack::file_name;
use super::room;
use super::sink::unnamed;
use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::portable::fetch;
use crate::terminal::one_line;

/// What may come out of an archive where nothing else is said: what a worker may write at most.
pub(crate) const SIZE_MAX_BYTES: u64 = 60 << 30;

/// What came.
pub(crate) struct Arrived {
    pub(crate) pool: File,
    pub(crate) contents: Contents,
    pub(crate) manifest: Manifest,
}

impl Arrived {
    /// Reads an archive from a file or, with `-`, from standard input.
    ///
    /// # Errors
    /// When it can't be read, is damaged or cut, is of another kind than is wanted, or more comes out than the limit or the room allows.
    pub(crate) fn open(
        context: &Context,
        word: &str,
        limit: Option<&str>,
        wanted: Kind,
    ) -> Result<Arrived> {
        let limit_bytes = limit.map_or(Ok(SIZE_MAX_BYTES), fetch::bytes)?;
        // Makes the directory, too.
        Store::open(&context.directories.state)?;
        let pool = unnamed(&context.directories.state)?;
        let mut from = open(word)?;
        let what = if word == "-" { "what came" } else { word };
        let refused = |listing: Result<Extent, WorkerError>| {
            listing.or_hint(
                || format!("{what} is refused"),
                "nothing was changed; `coracle export` and `coracle backup` write archives: write it again, or bring it again",
            )
        };
        let checked = |listing: Extent, is_pool_written: bool| -> Result<(Contents, Manifest)> {
            let contents = Contents::read(&pool, listing)?;
            let manifest = Manifest::read(&contents.manifest)?;
            check_kind(&manifest, wanted)?;
            room::check(context, (&contents, &manifest), wanted, is_pool_written)?;
            Ok((contents, manifest))
        };
        let workers = Workers::default();
        if from.metadata()?.is_file() {
            // Standard input may be read from somewhere else than its start.
            let begin = from.stream_position()?;
            let listing = refused(workers.measure_parcel(&from, &pool, limit_bytes))?;
            checked(listing, false)?;
            pool.set_len(0)?;
            from.seek(SeekFrom::Start(begin))?;
        }
        // What came by a pipe can only be measured now, and a file may be another one by now.
        let listing = refused(workers.parcel(&from, &pool, limit_bytes))?;
        let (contents, manifest) = checked(listing, true)?;
        Ok(Arrived {
            pool,
            contents,
            manifest,
        })
    }

    /// How large a file of the archive is.
    pub(crate) fn size(&self, digest: &Digest) -> Result<u64> {
        Ok(self.place(digest)?.length)
    }

    /// A file of the archive by its digest, to be read from its start.
    pub(crate) fn file(&self, digest: &Digest) -> Result<impl Read + '_> {
        let place = self.place(digest)?;
        (&self.pool).seek(SeekFrom::Start(place.offset))?;
        Ok((&self.pool).take(place.length))
    }

    fn place(&self, digest: &Digest) -> Result<&Extent> {
        let place = self.contents.files.get(&file_name(digest));
        place.ok_or_else(|| anyhow!("the archive does not have {digest}"))
    }
}

/// Refuses another kind of archive; what was stored is in both.
fn check_kind(manifest: &Manifest, wanted: Kind) -> Result<()> {
    let name = one_line(&manifest.name);
    match (wanted, manifest.kind) {
        (Kind::Export, Kind::Backup) => Err(hint(
            format!("this is a backup of what {name} has stored, without its image"),
            format!("start it here first, then `coracle restore {name} FILE`"),
        )),
        _ => Ok(()),
    }
}

fn open(word: &str) -> Result<File> {
    if word != "-" {
        let opened = File::open(word);
        return opened.or_hint(
            || format!("cannot open {word}"),
            "name an archive that `coracle export` or `coracle backup` wrote, or - for standard input",
        );
    }
    let input = io::stdin();
    if input.is_terminal() {
        return Err(hint(
            "no archive comes from a terminal",
            "send one, as in `coracle export NAME - | ssh HOST coracle import -`, or name a file",
        ));
    }
    Ok(input.as_fd().try_clone_to_owned()?.into())
}
