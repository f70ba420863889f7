//! Clients: what a service is asked, over and over, and what of it was answered.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// So many ask at once.
const CLIENTS: usize = 4;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a service that does not say when it is ready may take until it answers.
const READY_MAX: Duration = Duration::from_secs(20);

/// What is asked, each time on a connection of its own.
#[derive(Clone, Copy)]
pub(super) enum Load {
    /// A page by `GET`, of this port and target, whose answer is 200.
    Page(u16, &'static str),
    /// What is sent to a port after each answer that has this in it; what is sent first may be nothing.
    Words(u16, &'static [(&'static str, &'static str)]),
    /// The same in bytes.
    Bytes(u16, &'static [(&'static [u8], &'static [u8])]),
    /// The address of a name.
    Name(&'static str),
    /// The time (RFC 5905).
    Time,
    /// A line of a shell, which succeeds.
    Command(&'static str),
}

/// What became of the questions.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) answered: u64,
    pub(super) failed: u64,
    /// Why the last one of these failed.
    pub(super) why: String,
}

impl Load {
    /// Asks until the first answer.
    pub(super) fn wait(self) -> Result<()> {
        let begin = Instant::now();
        loop {
            match self.ask() {
                Ok(()) => return Ok(()),
                Err(error) if begin.elapsed() > READY_MAX => return Err(error),
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    /// Asks for so long, several at once.
    pub(super) fn run(self, time: Duration) -> Count {
        let begin = Instant::now();
        let (answered, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        let why = std::sync::Mutex::new(String::new());
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    while begin.elapsed() < time {
                        match self.ask() {
                            Ok(()) => answered.fetch_add(1, Ordering::Relaxed),
                            Err(error) => {
                                if let Ok(mut why) = why.lock() {
                                    *why = format!("{error:#}");
                                }
                                failed.fetch_add(1, Ordering::Relaxed)
                            }
                        };
                    }
                });
            }
        });
        Count {
            answered: answered.into_inner(),
            failed: failed.into_inner(),
            why: why.into_inner().unwrap_or_default(),
        }
    }

    fn ask(self) -> Result<()> {
        match self {
            Load::Page(port, target) => page(port, target),
            Load::Words(port, turns) => {
                let turns = turns
                    .iter()
                    .map(|(say, hear)| (say.as_bytes(), hear.as_bytes()));
                talk(port, turns)
            }
            Load::Bytes(port, turns) => talk(port, turns.iter().copied()),
            Load::Name(name) => address(name),
            Load::Time => time(),
            Load::Command(line) => command(line),
        }
    }
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn page(port: u16, target: &str) -> Result<()> {
    let mut stream = connect(port)?;
    stream.write_all(
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = answer.get(..12).unwrap_or(&answer);
    if !head.ends_with(b" 200") {
        bail!("the answer begins with {:?}", String::from_utf8_lossy(head));
    }
    Ok(())
}

fn talk<'a>(port: u16, turns: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<()> {
    let mut stream = connect(port)?;
    let mut room = [0; 4096];
    for (say, hear) in turns {
        stream.write_all(say)?;
        let mut heard = Vec::new();
        while !heard.windows(hear.len()).any(|part| part == hear) {
            let count = stream.read(&mut room).with_context(|| {
                let said = String::from_utf8_lossy(say).into_owned();
                format!("after {said:?} came {:?}", String::from_utf8_lossy(&heard))
            })?;
            if count == 0 {
                bail!("it ends with {:?}", String::from_utf8_lossy(&heard));
            }
            heard.extend_from_slice(room.get(..count).unwrap_or_default());
        }
    }
    Ok(())
}

fn exchange(port: u16, question: &[u8]) -> Result<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(("127.0.0.1", port))?;
    socket.send(question)?;
    let mut room = vec![0; 4096];
    let count = socket.recv(&mut room)?;
    room.truncate(count);
    Ok(room)
}

/// Asks for an A record (RFC 1035).
fn address(name: &str) -> Result<()> {
    const PORT: u16 = 53;
    let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len())?);
        question.extend_from_slice(label.as_bytes());
    }
    question.extend_from_slice(&[0, 0, 1, 0, 1]);
    let answer = exchange(PORT, &question)?;
    let [_, _, _, flags, _, _, _, answers, ..] = answer.as_slice() else {
        bail!("an answer of {} bytes", answer.len());
    };
    if flags & 0xf != 0 || *answers == 0 {
        bail!("code {}, {answers} answers", flags & 0xf);
    }
    Ok(())
}

fn time() -> Result<()> {
    const PORT: u16 = 123;
    const CLIENT_4: u8 = 0x23;
    const SERVER: u8 = 4;
    let mut question = [0; 48];
    question[0] = CLIENT_4;
    let answer = exchange(PORT, &question)?;
    let [mode, stratum, ..] = answer.as_slice() else {
        bail!("an answer of {} bytes", answer.len());
    };
    if mode & 7 != SERVER || *stratum == 0 || *stratum > 15 {
        bail!("mode {}, stratum {stratum}", mode & 7);
    }
    Ok(())
}

fn command(line: &str) -> Result<()> {
    let output = Command::new("timeout")
        .args([&PATIENCE.as_secs().to_string(), "sh", "-c", line])
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// A server that what is asked may ask in turn: it answers everything with a page, as long as this process lives.
pub(super) fn origin(port: u16) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut heard, mut room) = (Vec::new(), [0; 4096]);
    while !heard.windows(4).any(|part| part == b"\r\n\r\n") {
        let count = stream.read(&mut room)?;
        if count == 0 {
            return Ok(());
        }
        heard.extend_from_slice(room.get(..count).unwrap_or_default());
    }
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nCache-Control: no-store\r\nConnection: close\r\n\r\nok\n",
    )?;
    Ok(())
}
