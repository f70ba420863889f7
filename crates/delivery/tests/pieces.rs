//! Chunks by ranges, from servers on loopback that cut, lie, bomb and know no ranges.

// A failed call fails the test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coracle_delivery as delivery;
use delivery::chunks::{List, pack};
use delivery::digest::Digest;
use delivery::fetch::{Limits, Pieces, Request, Roots, fetch_pieces};

/// Bytes that no compression makes shorter.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// How one request is answered: its range, both ends included, and the pack go in; whether the connection may stay comes out.
type Answer = dyn Fn(usize, usize, &[u8], &mut dyn Write) -> bool + Send + Sync;

/// A server of one pack.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<(usize, usize)>>>,
    connections: Arc<Mutex<usize>>,
}

impl Server {
    fn start(pack: Vec<u8>, answer: Box<Answer>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (record, count) = (Arc::clone(&asked), Arc::clone(&connections));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                *count.lock().unwrap() += 1;
                while let Some((from, to)) = asked_range(stream.as_ref().unwrap()) {
                    record.lock().unwrap().push((from, to));
                    if !answer(from, to, &pack, &mut stream.as_ref().unwrap()) {
                        break;
                    }
                }
            }
        });
        Server {
            url: format!("http://127.0.0.1:{port}/x.pack"),
            asked,
            connections,
        }
    }
}

fn asked_range(stream: &TcpStream) -> Option<(usize, usize)> {
    let (mut reader, mut range) = (BufReader::new(stream), None);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.to_lowercase();
        if let Some(text) = line.strip_prefix("range: bytes=") {
            let (from, to) = text.trim().split_once('-').unwrap();
            range = Some((from.parse().unwrap(), to.parse().unwrap()));
        }
        if line == "\r\n" {
            return range;
        }
    }
}

/// A part with its place, of which `count` bytes are sent.
fn part(place: &str, part: &[u8], count: usize, out: &mut dyn Write) -> bool {
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {place}\r\nContent-Length: {}\r\n\r\n",
        part.len()
    );
    // Who does not like it hangs up.
    out.write_all(head.as_bytes()).ok();
    out.write_all(&part[..count]).is_ok() && count == part.len()
}

fn good(from: usize, to: usize, pack: &[u8], out: &mut dyn Write) -> bool {
    let place = format!("{from}-{to}/{}", pack.len());
    part(&place, &pack[from..=to], to + 1 - from, out)
}

/// An image, its list, its pack, and a target that lacks some chunks.
struct Case {
    image: Vec<u8>,
    list: List,
    pack: Vec<u8>,
    wanted: Vec<usize>,
    target: File,
}

impl Case {
    fn new() -> Case {
        let mut image = noise(1, 3_000_000);
        image.extend(b"words that are compressed ".repeat(30_000));
        let mut pack = Vec::new();
        let list = pack::write(&mut &image[..], &mut pack).unwrap().unwrap();
        let last = list.chunks().len() - 1;
        let wanted: Vec<usize> = (0..10).chain([20, 21, 40, last]).collect();
        let target = tempfile::tempfile().unwrap();
        target.write_all_at(&image, 0).unwrap();
        for number in &wanted {
            let chunk = list.chunks()[*number];
            let gone = vec![0xee; chunk.bytes as usize];
            target.write_all_at(&gone, chunk.place).unwrap();
        }
        Case {
            image,
            list,
            pack,
            wanted,
            target,
        }
    }

    fn fetch(&self, url: &str) -> Result<u64, String> {
        let limits = Limits {
            idle: Duration::from_secs(5),
            retries: 2,
            ..Limits::default()
        };
        let request = Request {
            url: url.to_owned(),
            roots: Roots::System,
            access: Default::default(),
            limits,
        };
        let pieces = Pieces {
            list: &self.list,
            wanted: &self.wanted,
            target: &self.target,
        };
        let came = fetch_pieces(&request, &pieces, &mut |_| {});
        came.map_err(|error| error.to_string().replace(url, "it"))
    }

    fn is_whole(&self) -> bool {
        let mut found = vec![0; self.image.len()];
        self.target.read_exact_at(&mut found, 0).unwrap();
        found == self.image
    }

    /// What a server is refused for; nothing but chunks that are right is in the target.
    fn refused(&self, answer: Box<Answer>, expected: &str) {
        self.refused_pack(self.pack.clone(), answer, expected);
    }

    fn refused_pack(&self, pack: Vec<u8>, answer: Box<Answer>, expected: &str) {
        let server = Server::start(pack, answer);
        let said = self.fetch(&server.url).unwrap_err();
        assert!(said.contains(expected), "{said}");
        for number in &self.wanted {
            let chunk = self.list.chunks()[*number];
            let mut bytes = vec![0; chunk.bytes as usize];
            self.target.read_exact_at(&mut bytes, chunk.place).unwrap();
            let is_untouched = bytes.iter().all(|byte| *byte == 0xee);
            assert!(is_untouched || Digest::of(&bytes) == chunk.digest);
        }
    }
}

#[test]
fn chunks_come_by_ranges_over_one_connection() {
    let case = Case::new();
    let server = Server::start(case.pack.clone(), Box::new(good));
    let bytes = case.fetch(&server.url).unwrap();
    assert!(case.is_whole());
    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 4, "{asked:?}");
    let sum: usize = asked.iter().map(|(from, to)| to + 1 - from).sum();
    assert_eq!(sum as u64, bytes);
    assert_eq!(*server.connections.lock().unwrap(), 1);
}

#[test]
fn what_came_before_a_cut_does_not_come_again() {
    let case = Case::new();
    // More than a chunk, and less than the first range.
    let answer = |from: usize, to: usize, pack: &[u8], out: &mut dyn Write| {
        let place = format!("{from}-{to}/{}", pack.len());
        let part_of = &pack[from..=to];
        part(&place, part_of, part_of.len().min(140_000), out)
    };
    let server = Server::start(case.pack.clone(), Box::new(answer));
    let bytes = case.fetch(&server.url);
    let asked = server.asked.lock().unwrap().clone();
    bytes.unwrap();
    assert!(case.is_whole());
    assert!(asked.len() > 4, "{asked:?}");
    assert!(asked.is_sorted_by(|one, next| one.0 < next.0), "{asked:?}");
}

#[test]
fn a_server_without_ranges_is_told_from_one_that_lies() {
    let case = Case::new();
    case.refused(
        Box::new(|_, _, pack, out| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", pack.len());
            out.write_all(head.as_bytes()).ok();
            out.write_all(pack).ok();
            false
        }),
        "it gives out no parts of files",
    );
    let lies = "another part than was asked for, or of another file";
    for place in ["0-9/10", "5-1/7", "", "*/*", "0-18446744073709551615/*"] {
        case.refused(
            Box::new(move |_, _, pack, out| part(place, &pack[..10], 10, out)),
            lies,
        );
    }
    case.refused(
        Box::new(|from, to, pack, out| {
            let place = format!("{from}-{to}/{}", pack.len() + 1);
            part(&place, &pack[from..=to], to + 1 - from, out)
        }),
        lies,
    );
    case.refused(
        Box::new(|from, to, pack, out| {
            let place = format!("{from}-{to}/{}", pack.len());
            let more = [&pack[from..=to], b"more"].concat();
            part(&place, &more, more.len(), out)
        }),
        "there is more than that",
    );
    for status in ["404 Not Found", "416 Range Not Satisfiable", "503 Busy"] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        case.refused(
            Box::new(move |_, _, _, out| out.write_all(head.as_bytes()).is_ok()),
            &format!("answers with status {}", &status[..3]),
        );
    }
}

#[test]
fn a_pack_that_was_cut_damaged_or_made_to_do_harm_brings_nothing_wrong() {
    let case = Case::new();
    // Cut short: what is asked for ends early, each time.
    case.refused(
        Box::new(|from, to, pack, out| {
            let place = format!("{from}-{to}/{}", pack.len());
            part(&place, &pack[from..=to], 10.min(to + 1 - from), out)
        }),
        "was cut after",
    );
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut pack = case.pack.clone();
        change(&mut pack);
        pack
    };
    let refused = |pack: Vec<u8>| {
        case.refused_pack(pack, Box::new(good), "of it is not what the list says");
    };
    // A bit in the bytes of a chunk, chunks that changed places, zeros, another frame.
    refused(changed(&|pack| pack[1000] ^= 1));
    let chunks = case.list.chunks();
    let first = chunks[1].packed_place as usize;
    refused(changed(&|pack| pack.rotate_left(first)));
    refused(changed(&|pack| pack.fill(0)));
    // A frame that says itself that a gigabyte comes out of it.
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    assert!(bomb.len() < chunks[0].packed_bytes as usize);
    refused(changed(&|pack| pack[..bomb.len()].copy_from_slice(&bomb)));
}
