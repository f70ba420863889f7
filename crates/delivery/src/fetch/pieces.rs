//! Chunks of an image, by ranges of its pack: each is unpacked, looked at and put in its place as it comes.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use ureq::http::Uri;
use ureq::http::header::CONTENT_RANGE;

use super::exchange::{Asked, Exchange, header, is_trouble};
use super::{Error, Failed, Progress, Request, Tries, address};
use crate::chunks::list::Stretch;
use crate::chunks::{Chunk, List, pack};
use crate::digest::Digest;
use crate::registry::is_reference;

/// What is to come, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Pieces<'a> {
    /// The list of the image's chunks; the request's address is that of its pack.
    pub list: &'a List,
    /// The numbers of those that are to come, in order.
    pub wanted: &'a [usize],
    /// The image, as far as it is there: all that is not wanted and that wanted chunks refer to.
    pub target: &'a File,
}

/// Fetches pieces; returned is how many bytes came.
///
/// # Errors
/// See [`Error`]; the chunks that came stay, and are no more than what the list says.
pub fn fetch_pieces(
    request: &Request,
    pieces: &Pieces<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<u64, Error> {
    let resolved;
    let request = match is_reference(&request.url) {
        true => {
            resolved = super::registry::resolve(request)?.0;
            &resolved
        }
        false => request,
    };
    let url = address::parse(&request.url)?;
    let mut tries = Tries::begin(request);
    let exchange = Exchange::new(request, url, tries.until, 1)?;
    let stretches = pieces.list.stretches(pieces.wanted);
    let total_bytes = stretches.iter().map(Stretch::bytes).sum();
    let mut coming = Coming {
        pieces,
        exchange,
        bytes: 0,
        total_bytes,
        progress,
    };
    for stretch in stretches {
        // What came of a stretch before a cut is not asked for again.
        let mut next = stretch.chunks.start;
        while next < stretch.chunks.end {
            let before = next;
            let rest = coming.rest(&stretch, next);
            if let Some(failed) = coming.stretch(&rest, &mut next)? {
                tries.after(failed, before as u64, next as u64)?;
            }
        }
    }
    pieces.target.sync_data().map_err(Error::staging("write"))?;
    Ok(coming.bytes)
}

/// What is under way.
struct Coming<'a, 'b> {
    pieces: &'a Pieces<'a>,
    exchange: Exchange<'a>,
    bytes: u64,
    total_bytes: u64,
    progress: &'b mut dyn FnMut(Progress),
}

impl Coming<'_, '_> {
    /// A stretch from a chunk on.
    fn rest(&self, stretch: &Stretch, next: usize) -> Stretch {
        let begin = self.pieces.list.chunks().get(next);
        let begin = begin.map_or(stretch.packed.start, |chunk| chunk.packed_place);
        Stretch {
            chunks: next..stretch.chunks.end,
            packed: begin..stretch.packed.end,
        }
    }

    /// Asks for a stretch and takes what comes; `next` goes on with each chunk. Returned is why it ended early.
    fn stretch(&mut self, stretch: &Stretch, next: &mut usize) -> Result<Option<Failed>, Error> {
        let Range { start, end } = stretch.packed;
        let asked = Asked {
            bytes: self.bytes,
            range: Some(format!("bytes={start}-{}", end.saturating_sub(1))),
            validator: None,
        };
        let (url, response) = match self.exchange.answer(&asked)? {
            Ok(answer) => answer,
            Err(cause) => return Ok(Some(Failed::Cut(Some(cause)))),
        };
        match response.status().as_u16() {
            206 => {}
            // Many answer so that know no ranges: what would come is the whole pack.
            200 => {
                let url = self.exchange.told(&url);
                return Err(Error::NoRanges { url });
            }
            status if is_trouble(status) => {
                return Ok(Some(Failed::Trouble(self.exchange.status(&url, status))));
            }
            status => return Err(self.exchange.status(&url, status)),
        }
        let range = header(response.headers(), &CONTENT_RANGE);
        let total = self.pieces.list.pack_bytes();
        let expected = format!("bytes {start}-{}", end.saturating_sub(1));
        let is_this = range.and_then(|range| range.split_once('/'));
        let is_this = is_this.is_some_and(|(range, whole)| {
            range == expected && (whole == "*" || whole.parse() == Ok(total))
        });
        if !is_this {
            let what = "another part than was asked for, or of another file";
            return Err(self.exchange.lie(&url, what));
        }
        let body = response.into_body().into_with_config();
        let mut reader = body.limit(end - start + 1).reader();
        self.take(&mut reader, stretch, next, &url)
    }

    fn take(
        &mut self,
        reader: &mut dyn Read,
        stretch: &Stretch,
        next: &mut usize,
        url: &Uri,
    ) -> Result<Option<Failed>, Error> {
        let mut packed = Vec::new();
        for number in stretch.chunks.clone() {
            let list = self.pieces.list;
            let Some(chunk) = list.chunks().get(number) else {
                break;
            };
            packed.resize(chunk.packed_bytes as usize, 0);
            self.exchange.left(self.bytes)?;
            if let Err(cause) = reader.read_exact(&mut packed) {
                return Ok(Some(Failed::Cut(Some(cause))));
            }
            self.bytes += u64::from(chunk.packed_bytes);
            self.exchange.pace.spend(u64::from(chunk.packed_bytes));
            (self.progress)(Progress {
                bytes: self.bytes,
                total_bytes: Some(self.total_bytes),
            });
            if self.pieces.wanted.binary_search(&number).is_ok() {
                self.put(number, chunk, &packed, url)?;
            }
            *next = number + 1;
        }
        // The connection serves again only when the server has nothing more to say.
        match reader.read(&mut [0]) {
            Ok(0) | Err(_) => Ok(None),
            Ok(_) => Err(self.exchange.lie(url, "there is more than that")),
        }
    }

    fn put(&self, number: usize, chunk: &Chunk, packed: &[u8], url: &Uri) -> Result<(), Error> {
        let refused = |what: String| Error::Chunk {
            url: self.exchange.told(url),
            number,
            what,
        };
        let before = self.before(number).map_err(Error::staging("read"))?;
        let bytes = pack::unpack(packed, &before, chunk.bytes as usize)
            .map_err(|error| refused(error.to_string()))?;
        if Digest::of(&bytes) != chunk.digest {
            return Err(refused("its digest is another one".to_owned()));
        }
        let target = self.pieces.target;
        target
            .write_all_at(&bytes, chunk.place)
            .map_err(Error::staging("write"))
    }

    /// What a chunk is packed after.
    fn before(&self, number: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for chunk in self.pieces.list.before(number) {
            let start = bytes.len();
            bytes.resize(start + chunk.bytes as usize, 0);
            let place = bytes.get_mut(start..).unwrap_or_default();
            self.pieces.target.read_exact_at(place, chunk.place)?;
        }
        Ok(bytes)
    }
}
