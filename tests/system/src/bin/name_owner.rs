//! A service of Type=dbus: `name_owner NAME [before=FIFO] [until=FIFO]` takes a name on the bus of `DBUS_SYSTEM_BUS_ADDRESS` as soon as
//! somebody has written to the first file, has it until somebody writes to the second, and then rests without it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use bus::{Address, Event, Session};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let gate = |word: &str| arguments.iter().find_map(|one| one.strip_prefix(word));
    wait(gate("before="));
    let address = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").expect("the bus's address");
    let Some(Address::Path(path)) = bus::address(&address) else {
        panic!("{address} is no path");
    };
    let path = String::from_utf8(path).expect("a path of text");
    let mut stream = UnixStream::connect(path).expect("a bus");
    let mut session = Session::new(rustix::process::geteuid().as_raw());
    session.own(arguments.first().expect("a name"));
    let mut piece = [0; 4096];
    loop {
        stream.write_all(session.output()).expect("it is sent");
        session.sent(usize::MAX);
        let count = stream.read(&mut piece).expect("an answer");
        let events = session.receive(&piece[..count]).expect("of a bus");
        if events.contains(&Event::Owned) {
            break;
        }
        assert!(count > 0, "the bus is gone");
    }
    wait(gate("until="));
    if gate("until=").is_some() {
        drop(stream);
    }
    loop {
        std::thread::park();
    }
}

/// Until somebody writes.
fn wait(gate: Option<&str>) {
    if let Some(path) = gate {
        std::fs::read(path).expect("a gate");
    }
}
