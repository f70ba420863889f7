//! The log process: the journal's entry, with the keeper's channel as its source of streams.

use crate::arguments::Arguments;
use anyhow::Context;
use journal::process::{Options, SourceEvent, StreamSource, Trouble};
use keeper::client::{Channel, ChannelError};
use keeper::protocol::{Class, Command, Event};
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
        match self.0.send(&command, &[]) {
            // The end of the channel is told by `receive`; what is left is read first.
            Ok(()) | Err(ChannelError::Closed) => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn trouble(&mut self, trouble: &Trouble) {
        crate::complain(&format!("coracled log: {trouble}\n"));
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
