//! Threads that hash beside the one that reads: a processor hashes more slowly than it reads.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

use sha2::{Digest, Sha256};

/// Threads at most, with the one that reads: more of them would wait for memory.
const THREADS_MAX: usize = 4;

/// What a thread that hashes needs of a stack.
const STACK_BYTES: usize = 128 << 10;

/// Pieces that one thread has: the one that it hashes, and the next.
const PIECES_EACH: usize = 2;

/// Bytes of a SHA-256.
const HASH_BYTES: usize = 32;

/// Data whose blocks are hashed, and the hashes.
struct Piece {
    number: usize,
    data: Vec<u8>,
    salted: Sha256,
    block_bytes: usize,
    hashes: Vec<u8>,
}

impl Piece {
    fn hash(&mut self) {
        self.hashes.clear();
        for block in self.data.chunks_exact(self.block_bytes) {
            let hash = self.salted.clone().chain_update(block).finalize();
            self.hashes.extend(hash);
        }
    }
}

/// The threads. They end with it.
#[derive(Debug)]
pub struct Crew {
    hands: Vec<SyncSender<Piece>>,
    /// Whoever holds it has all of them to itself.
    done: Mutex<Receiver<Piece>>,
}

impl Default for Crew {
    /// Nobody: whoever reads hashes.
    fn default() -> Self {
        Self::of(0)
    }
}

impl Crew {
    /// A thread for each processor that this process may use, less its own. Where there is no room for threads, there are fewer.
    pub(crate) fn of_processors() -> Self {
        let processors = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count());
        let threads = usize::try_from(processors).unwrap_or(1).min(THREADS_MAX);
        Self::of(threads.saturating_sub(1))
    }

    /// So many threads, or as many as there is room for. They have begun when it returns: beginning takes system calls that a worker may not make
    /// any more once it is confined.
    fn of(count: usize) -> Self {
        let (back, done) = channel();
        let hand = |_| {
            let (to, pieces) = sync_channel::<Piece>(PIECES_EACH - 1);
            let (begun, has_begun) = channel();
            let back = back.clone();
            let work = move || {
                begun.send(()).ok()?;
                for mut piece in pieces {
                    piece.hash();
                    back.send(piece).ok()?;
                }
                Some(())
            };
            Builder::new().stack_size(STACK_BYTES).spawn(work).ok()?;
            has_begun.recv().ok()?;
            Some(to)
        };
        Self {
            hands: (0..count).map_while(hand).collect(),
            done: Mutex::new(done),
        }
    }

    /// The hashes of all blocks of `length` bytes, a piece of which is read at a time.
    ///
    /// # Errors
    /// What `read` says, which gets a piece's offset.
    pub(crate) fn hash(
        &self,
        length: u64,
        piece_bytes: usize,
        (salted, block_bytes): (&Sha256, usize),
        read: &mut dyn FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<Vec<u8>> {
        let count = length.div_ceil(piece_bytes as u64);
        let count = usize::try_from(count).map_err(|_| io::ErrorKind::InvalidInput)?;
        let piece_hashes = piece_bytes / block_bytes * HASH_BYTES;
        let mut round = Round {
            hands: &self.hands,
            done: self.done.lock().unwrap_or_else(PoisonError::into_inner),
            spare: Vec::new(),
            out: 0,
            hashes: vec![0; count * piece_hashes],
            piece_hashes,
        };
        for number in 0..count {
            let offset = number as u64 * piece_bytes as u64;
            let mut piece = round.spare().unwrap_or_else(|| Piece {
                number,
                data: Vec::new(),
                salted: salted.clone(),
                block_bytes,
                hashes: Vec::with_capacity(piece_hashes),
            });
            let bytes = (length - offset).min(piece_bytes as u64);
            piece.number = number;
            piece.data.resize(bytes as usize, 0);
            read(&mut piece.data, offset)?;
            round.give(piece);
        }
        round.end(length, block_bytes)
    }
}

/// One run of data on its way through the hands. Whatever ends it, none of its pieces is out afterwards.
struct Round<'crew> {
    hands: &'crew [SyncSender<Piece>],
    done: MutexGuard<'crew, Receiver<Piece>>,
    spare: Vec<Piece>,
    out: usize,
    hashes: Vec<u8>,
    piece_hashes: usize,
}

impl Round<'_> {
    /// A piece that is done with, where there is one.
    fn spare(&mut self) -> Option<Piece> {
        while let Ok(piece) = self.done.try_recv() {
            self.out -= 1;
            self.keep(piece);
        }
        self.spare.pop()
    }

    /// Has a piece hashed by whoever is free, by this thread where nobody is.
    fn give(&mut self, mut piece: Piece) {
        for hand in self.hands {
            match hand.try_send(piece) {
                Ok(()) => {
                    self.out += 1;
                    return;
                }
                Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) => piece = back,
            }
        }
        piece.hash();
        self.keep(piece);
    }

    fn keep(&mut self, piece: Piece) {
        let at = piece.number * self.piece_hashes;
        let place = self.hashes.get_mut(at..at + piece.hashes.len());
        if let Some(place) = place {
            place.copy_from_slice(&piece.hashes);
        }
        self.spare.push(piece);
    }

    fn end(mut self, length: u64, block_bytes: usize) -> io::Result<Vec<u8>> {
        while self.out > 0 {
            let piece = self.done.recv();
            let piece = piece.map_err(|_| io::Error::other("a thread that hashes has ended"))?;
            self.out -= 1;
            self.keep(piece);
        }
        let mut hashes = std::mem::take(&mut self.hashes);
        hashes.truncate((length / block_bytes as u64) as usize * HASH_BYTES);
        Ok(hashes)
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        while self.out > 0 && self.done.recv().is_ok() {
            self.out -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 512;

    fn data(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at / 3 % 251) as u8).collect()
    }

    fn hashed(crew: &Crew, data: &[u8], piece_bytes: usize) -> io::Result<Vec<u8>> {
        let mut read = |buffer: &mut [u8], offset: u64| {
            let rest = data.get(offset as usize..).unwrap_or_default();
            let bytes = rest
                .get(..buffer.len())
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(bytes);
            Ok(())
        };
        let salted = Sha256::new_with_prefix("salt");
        let length = data.len().next_multiple_of(BLOCK) as u64;
        crew.hash(length, piece_bytes, (&salted, BLOCK), &mut read)
    }

    #[test]
    fn the_hashes_are_those_of_the_blocks_in_their_order_whoever_hashes() {
        for blocks in [1, 7, 8, 9, 200] {
            let data = data(blocks * BLOCK);
            let expected: Vec<u8> = data
                .chunks(BLOCK)
                .flat_map(|block| {
                    Sha256::new_with_prefix("salt")
                        .chain_update(block)
                        .finalize()
                })
                .collect();
            for hands in 0..THREADS_MAX {
                let crew = Crew::of(hands);
                for _ in 0..20 {
                    assert_eq!(hashed(&crew, &data, 8 * BLOCK).unwrap(), expected);
                }
            }
        }
    }

    #[test]
    fn what_was_not_read_is_in_nobodys_way_later() {
        let crew = Crew::of(2);
        // Ends within its last block, when much of it is out.
        let short = data(100 * BLOCK - 1);
        hashed(&crew, &short, 4 * BLOCK).unwrap_err();
        let whole = data(100 * BLOCK);
        let alone = hashed(&Crew::of(0), &whole, 4 * BLOCK).unwrap();
        assert_eq!(hashed(&crew, &whole, 4 * BLOCK).unwrap(), alone);
    }
}
