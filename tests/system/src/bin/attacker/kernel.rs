//! Acts on what all of the machine shares: its clock, its name, its network, its terminals.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::call::Arg::{B, N, T, W};
use crate::call::{BUFFER_BYTES, Buffer, Errno, call, through_the_32_bit_door};
use crate::{Act, Outcome, Refusal, argument, seen};

pub(crate) const ACTS: &[Act] = &[
    ("bpf-map-by-token", |_| map_by_token()),
    ("bpf-program-by-token", |_| program_by_token()),
    ("bind", |given| {
        Ok(TcpListener::bind(argument(given, 0)?).map(drop)?)
    }),
    ("connect", |given| connect(argument(given, 0)?)),
    ("connect-abstract", |given| {
        connect_abstract(argument(given, 0)?)
    }),
    ("free-socket", |_| free_socket()),
    ("hear", |given| hear(argument(given, 0)?)),
    ("send", |given| {
        let address = argument(given, 0)?;
        let any = if address.starts_with('[') {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        };
        let socket = UdpSocket::bind(any)?;
        Ok(socket.send_to(b"x", argument(given, 0)?).map(drop)?)
    }),
    ("i386-call", |_| Ok(through_the_32_bit_door().map(drop)?)),
    ("push-input", |_| push_input()),
    ("set-clock", |_| set_clock()),
    ("set-domain-name", |_| {
        set_name(
            libc::SYS_setdomainname,
            rustix::system::uname().domainname().to_bytes(),
        )
    }),
    ("set-host-name", |_| {
        set_name(
            libc::SYS_sethostname,
            rustix::system::uname().nodename().to_bytes(),
        )
    }),
];

/// How long a connection on this machine may take, which the kernel makes at once: what is dropped on its way is never answered.
const ANSWER_MAX: Duration = Duration::from_millis(100);

fn connect(address: &str) -> Outcome {
    let address = address.parse();
    let address = address.map_err(|error| Refusal::NotTried(format!("{error}")))?;
    match TcpStream::connect_timeout(&address, ANSWER_MAX) {
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Err(Refusal::Empty),
        other => Ok(other.map(drop)?),
    }
}

/// Sends itself a packet, which is there when the sending is over, unless somebody stopped it.
fn hear(address: &str) -> Outcome {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    socket.send_to(b"x", socket.local_addr()?)?;
    match socket.recv(&mut [0]) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err(Refusal::Empty),
        other => Ok(other.map(drop)?),
    }
}

/// `BPF_F_TOKEN_FD`.
const WITH_TOKEN: u32 = 1 << 16;

/// A token of the service's own file system of type bpf (bpf(2)).
fn token() -> Result<u32, Refusal> {
    const TOKEN_CREATE: i64 = 36;
    let folder = std::fs::File::open("/sys/fs/bpf")?;
    let words = [0, folder.as_raw_fd().cast_unsigned()];
    Ok(call(libc::SYS_bpf, &[N(TOKEN_CREATE), W(&words), N(8)], &[])? as u32)
}

/// Makes an array with what a token allows.
fn map_by_token() -> Outcome {
    const ARRAY: u32 = 2;
    let mut words = [0; 20];
    words[..5].copy_from_slice(&[ARRAY, 4, 4, 1, WITH_TOKEN]);
    words[19] = token()?;
    Ok(call(libc::SYS_bpf, &[N(0), W(&words), N(80)], &[]).map(drop)?)
}

/// Loads a filter of sockets with what a token allows; without instructions it goes no further than that.
fn program_by_token() -> Outcome {
    const PROG_LOAD: i64 = 5;
    let mut words = [0; 38];
    words[..2].copy_from_slice(&[1, 1]);
    words[11] = WITH_TOKEN;
    words[36] = token()?;
    match call(libc::SYS_bpf, &[N(PROG_LOAD), W(&words), N(152)], &[]) {
        Err(Errno(libc::EFAULT)) => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// A socket that no interface owns.
fn free_socket() -> Outcome {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let owner = Buffer::new([0; BUFFER_BYTES]);
    let socket = N(socket.as_raw_fd().into());
    let [level, option] = [libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX].map(|number| N(number.into()));
    let question = [socket, level, option, B(&owner), W(&[4])];
    call(libc::SYS_getsockopt, &question, &[])?;
    seen(owner.get().starts_with(&[0; 4]))
}

fn connect_abstract(name: &str) -> Outcome {
    let address = SocketAddr::from_abstract_name(name)?;
    Ok(UnixStream::connect_addr(&address).map(drop)?)
}

/// Sets the clock to what it is.
fn set_clock() -> Outcome {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_err(|error| Refusal::NotTried(error.to_string()))?;
    let seconds = now.as_secs();
    let words = [seconds as u32, (seconds >> 32) as u32, now.subsec_nanos()];
    Ok(call(libc::SYS_clock_settime, &[N(0), W(&words)], &[]).map(drop)?)
}

/// Gives the machine the name that it has.
fn set_name(number: i64, name: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(name);
    Ok(call(number, &[T(&text), N(name.len() as i64)], &[]).map(drop)?)
}

/// Types into a terminal that is not its own.
fn push_input() -> Outcome {
    let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
    let error = |error: rustix::io::Errno| Refusal::By(Errno(error.raw_os_error()));
    let master = rustix::pty::openpt(flags).map_err(error)?;
    rustix::pty::unlockpt(&master).map_err(error)?;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&master, flags).map_err(error)?;
    let terminal = N(terminal.as_raw_fd().into());
    let push = N(libc::TIOCSTI as i64);
    Ok(call(libc::SYS_ioctl, &[terminal, push, T("x")], &[]).map(drop)?)
}
