//! What other programs of the host tell: the message bus, and udev.

use ::bus::{Address, Session, address};

/// What users of the message bus make it send: read to an end, and the same whether it comes at once or byte by byte.
pub fn messages(bytes: &[u8]) {
    let heard = |mut pieces: std::slice::Chunks<'_, u8>| {
        let mut session = Session::new(0);
        session.watch("a.b");
        session.receive(b"OK 0\r\n").expect("it is let in");
        pieces.try_fold(Vec::new(), |mut events, piece| {
            events.extend(session.receive(piece).ok()?);
            Some(events)
        })
    };
    let at_once = heard(bytes.chunks(usize::MAX));
    assert_eq!(at_once, heard(bytes.chunks(1)));
    if let Some(Address::Path(path)) = address(&String::from_utf8_lossy(bytes)) {
        assert!(path.starts_with(b"/"));
    }
}

/// A message of udev's, and a file of its database.
pub fn devices(bytes: &[u8]) {
    manager::devices::udev::of_message(bytes);
    let text = String::from_utf8_lossy(bytes);
    manager::devices::udev::of_database("/devices/a", Some("a"), &text);
}
