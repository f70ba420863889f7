//! HTTP clients that ask at a rate of their own, whatever the answers, and count what they are told.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::waiting::eventually;

/// A question that has no answer by then has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the clients were told: answers by version, and what went wrong.
#[derive(Debug, Default)]
struct Told {
    answers: BTreeMap<String, usize>,
    failures: Vec<String>,
}

/// Clients that ask until they are ended; each question is a connection of its own.
pub struct Load {
    told: Arc<Mutex<Told>>,
    ends: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    began: Instant,
}

fn connected(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The body of the answer.
fn read(mut stream: TcpStream) -> std::io::Result<String> {
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.strip_prefix("HTTP/1.1 200 OK\r\n");
    let body = body.and_then(|rest| rest.split_once("\r\n\r\n"));
    body.map(|(_, body)| body.to_owned())
        .ok_or_else(|| std::io::Error::other(format!("{answer:?}")))
}

/// Asks once.
///
/// # Errors
/// When there is no answer, or one that is none of HTTP's.
pub fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = connected(port)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: ferry\r\nConnection: close\r\n\r\n")?;
    read(stream)
}

/// A request that a server has taken, and whose end is still to be sent.
pub struct Pending(TcpStream);

impl Pending {
    /// Begins one.
    ///
    /// # Panics
    /// When no server takes it.
    #[must_use]
    pub fn begin(port: u16) -> Pending {
        const GOES_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut stream = connected(port).expect("a connection");
        stream
            .write_all(b"POST / HTTP/1.1\r\nHost: ferry\r\nContent-Length: 1\r\n\r\n")
            .expect("a request");
        let mut answer = [0; GOES_ON.len()];
        stream.read_exact(&mut answer).expect("a word to go on");
        assert_eq!(answer, GOES_ON);
        Pending(stream)
    }

    /// Sends the rest of it; who answered.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn end(mut self) -> String {
        self.0.write_all(b".").expect("the rest of it");
        read(self.0).expect("an answer")
    }
}

impl Load {
    /// So many clients, each of which asks once in so long.
    ///
    /// # Panics
    /// When a client does.
    #[must_use]
    pub fn begin(port: u16, clients: u32, pace: Duration) -> Load {
        let told = Arc::new(Mutex::new(Told::default()));
        let ends = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let client = |number: u32| {
            let (told, ends) = (Arc::clone(&told), Arc::clone(&ends));
            let mut next = began + pace * number / clients;
            std::thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    let early = next.saturating_duration_since(Instant::now());
                    std::thread::park_timeout(early);
                    // Late ones are made up for.
                    next += pace;
                    let answer = ask(port);
                    let mut told = told.lock().expect("no client panics");
                    match answer {
                        Ok(version) => *told.answers.entry(version).or_default() += 1,
                        Err(error) => told.failures.push(error.to_string()),
                    }
                }
            })
        };
        let clients = (0..clients).map(client).collect();
        Load {
            told,
            ends,
            clients,
            began,
        }
    }

    fn answers(&self, version: &str) -> usize {
        let told = self.told.lock().expect("no client panics");
        told.answers.get(version).copied().unwrap_or_default()
    }

    /// Until this version has answered some more questions.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn is_served_by(&self, version: &str) {
        let before = self.answers(version);
        eventually(&format!("answers of {version}"), || {
            (self.answers(version) > before + 100).then_some(())
        });
    }

    /// How many were answered, none having failed, and how many in a second.
    ///
    /// # Panics
    /// When one has failed.
    pub fn end(self) -> (usize, u128) {
        self.ends.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("no client panics");
        }
        let told = self.told.lock().expect("no client panics");
        assert!(told.failures.is_empty(), "{:?}", told.failures);
        let count: usize = told.answers.values().sum();
        let rate = count as u128 * 1000 / self.began.elapsed().as_millis().max(1);
        println!("{count} questions, {rate} a second: {:?}", told.answers);
        (count, rate)
    }
}
