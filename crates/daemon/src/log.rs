//! The log process: the journal's entry, with the keeper's channel as its source of streams.

use crate::arguments::Arguments;
use anyhow::Context;
use journal::process::{Options, SourceEvent, StreamSource, Trouble};
use keeper::client::{Channel, ChannelError};
use keeper::protocol::{Class, Command, Event};
use kernel::Errno;
use kernel::rustix::event::{PollFd, PollFlags, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// The keeper's channel as the journal wants it.
struct Source(Channel);

impl StreamSource for Source {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn receive(&mut self) -> io::Result<Option<SourceEvent>> {
        loop {
            let (event, descriptors) = match self.0.receive() {
                Ok(Some(received)) => received,
                Ok(None) => return Ok(None),
                Err(ChannelError::Closed) => return Ok(Some(SourceEvent::Stop)),
                Err(error) => return Err(io::Error::other(error)),
            };
            // Everything else is not for the log process.
            if let Event::Held {
                class: Class::Log,
                name,
            } = event
                && let Some(descriptor) = descriptors.take()
            {
                let name = String::from_utf8_lossy(name).into_owned();
                return Ok(Some(SourceEvent::Stream { name, descriptor }));
            }
        }
    }

    fn let_go(&mut self, name: &str) -> io::Result<()> {
        let command = Command::Drop {
            class: Class::Log,
            name: name.as_bytes(),
        };
        match self.0.send(&command, &[]).and_then(|()| self.push()) {
            // The end of the channel is told by `receive`; what is left is read first.
            Ok(()) | Err(ChannelError::Closed) => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn trouble(&mut self, trouble: &Trouble) {
        crate::complain(&format!("coracled log: {trouble}\n"));
    }
}

impl Source {
    /// Waits until all is sent: the keeper takes what we say, whatever it has to say to us.
    fn push(&mut self) -> Result<(), ChannelError> {
        while !self.0.flush()? {
            match poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

/// Is the log process, until the keeper ends it.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let channel = crate::arguments::channel()
        .context("the log process is started by the keeper, with its channel as descriptor 3")?;
    let options = Options::new(&arguments.directories.state, &arguments.directories.runtime);
    journal::process::run(&mut Source(Channel::new(channel)), &options)
        .context("the log process ends")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use kernel::message::{Descriptors, ReceiveOptions, receive, send};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn every_stream_that_ended_is_let_go_however_busy_the_keeper_is() {
        const STREAMS: usize = 2000;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        while send(&ours, b"earlier", &[]).is_ok() {}
        let mut source = Source(Channel::new(ours));
        let (tell_begun, begun) = std::sync::mpsc::channel();
        let keeper = std::thread::spawn(move || {
            let (mut buffer, mut descriptors) = ([0; 640], Descriptors::default());
            let (mut heard, options) = (
                0,
                ReceiveOptions {
                    peek: false,
                    wait: true,
                },
            );
            begun.recv().unwrap();
            kernel::rustix::io::ioctl_fionbio(&theirs, false).unwrap();
            while let Ok(received) = receive(&theirs, &mut buffer, &mut descriptors, options) {
                match buffer.get(..received.bytes).unwrap() {
                    [] => break,
                    bytes => heard += usize::from(Command::decode(bytes).is_ok()),
                }
            }
            heard
        });
        for stream in 0..STREAMS {
            tell_begun.send(()).unwrap();
            source.let_go(&format!("{stream}.service|1|")).unwrap();
        }
        drop(source);
        assert_eq!(keeper.join().unwrap(), STREAMS);
    }
}
