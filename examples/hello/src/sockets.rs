//! The listening socket: handed over at start (LISTEN_FDS=, descriptor 3), or opened at HELLO_LISTEN=.

use std::env;
use std::io;
use std::net::TcpListener;

/// The first descriptor that is handed over, sd_listen_fds(3).
const FIRST_DESCRIPTOR: i32 = 3;

/// The listening socket.
pub(crate) fn listener() -> io::Result<TcpListener> {
    let own = std::process::id().to_string();
    let for_us = env::var("LISTEN_PID").is_ok_and(|pid| pid == own);
    match (for_us, env::var("LISTEN_FDS").as_deref()) {
        (true, Ok("1")) => Ok(kernel::descriptor::take_inherited(FIRST_DESCRIPTOR)?.into()),
        (true, Ok(count)) => Err(io::Error::other(format!(
            "{count} sockets were handed over, 1 was expected"
        ))),
        _ => match env::var("HELLO_LISTEN") {
            Ok(address) => TcpListener::bind(address),
            Err(_) => Err(io::Error::other(
                "no socket was handed over; for a try: HELLO_LISTEN=127.0.0.1:8080 hello",
            )),
        },
    }
}
