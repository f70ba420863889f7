//! How files are cut into chunks: found out once for all hosts, by a thread beside the session that asks, which hears its host and signals meanwhile.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Result, bail};
use delivery::chunks::local::own_list;
use rustix::pipe::{PipeFlags, pipe_with};
use wire::remote::{FRAME_MAX_BYTES, Frame};

use super::line::{Outbox, non_blocking, read};

/// How one file is cut, once a host has asked.
#[derive(Debug)]
pub(crate) struct Cut {
    path: PathBuf,
    list: OnceLock<Vec<u8>>,
}

impl Cut {
    pub(crate) fn new(path: PathBuf) -> Cut {
        let list = OnceLock::new();
        Cut { path, list }
    }

    /// Empty where the list is too long for a frame, or the file can't be read: it is sent whole then, and that tells why.
    fn list(&self) -> &[u8] {
        self.list.get_or_init(|| {
            let list = File::open(&self.path).and_then(|mut file| own_list(&mut file));
            let printed = list.map(|list| list.print()).unwrap_or_default();
            match printed.len() < FRAME_MAX_BYTES - size_of::<u32>() {
                true => printed,
                false => Vec::new(),
            }
        })
    }
}

/// Answers that are under way.
pub(super) struct Cutting {
    /// A byte for each that is sent.
    sent: OwnedFd,
    /// How many are not.
    left: usize,
}

impl Cutting {
    /// Sends how each of these files is cut, by its number, as soon as that is known.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn begin(
        cuts: Vec<(u32, Arc<Cut>)>,
        outbox: &Arc<Mutex<Outbox>>,
    ) -> Result<Cutting> {
        let (sent, tells) = pipe_with(PipeFlags::CLOEXEC)?;
        let (left, outbox) = (cuts.len(), Arc::clone(outbox));
        let run = move || {
            for (number, cut) in cuts {
                let frame = Frame::Parts(number, cut.list().to_vec());
                let mut outbox = outbox.lock().unwrap_or_else(PoisonError::into_inner);
                // Where nobody takes it, the end of what comes tells the session why.
                outbox.send(&frame).ok();
                drop(outbox);
                // The session is over, and nobody wants the others.
                if rustix::io::write(&tells, &[0]).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().spawn(run)?;
        let sent = non_blocking(sent)?;
        Ok(Cutting { sent, left })
    }

    /// What can be read when the next one is sent; none: all are.
    pub(super) fn pending(&self) -> Option<&OwnedFd> {
        (self.left > 0).then_some(&self.sent)
    }

    /// Takes note of those that were sent.
    ///
    /// # Errors
    /// When the thread has ended before: the host would wait for ever.
    pub(super) fn hear(&mut self) -> Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        let mut is_open = true;
        let sent = read(&self.sent, &mut is_open).unwrap_or_default();
        self.left = self.left.saturating_sub(sent.len());
        if !is_open && self.left > 0 {
            bail!("the thread that finds out how files are cut ended before it had");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};
    use wire::remote::Inbox;

    use super::*;

    #[test]
    fn all_that_were_asked_for_are_sent_and_each_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        std::fs::write(&path, vec![7; 300_000]).unwrap();
        let cuts = [path, folder.path().join("gone")].map(|path| Arc::new(Cut::new(path)));
        let (host, ours) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let outbox = Arc::new(Mutex::new(Outbox::new(ours).unwrap()));
        let all = (3..).zip(cuts.iter().cloned()).collect();
        let mut cutting = Cutting::begin(all, &outbox).unwrap();
        while let Some(pipe) = cutting.pending() {
            poll(&mut [PollFd::new(pipe, PollFlags::IN)], None).unwrap();
            cutting.hear().unwrap();
        }
        let mut inbox = Inbox::default();
        inbox.push(&read(&host, &mut true).unwrap());
        let list = cuts[0].list().to_vec();
        assert!(!list.is_empty());
        let mut next = || inbox.next_frame().unwrap();
        assert_eq!(next(), Some(Frame::Parts(3, list)));
        assert_eq!(next(), Some(Frame::Parts(4, Vec::new())));
        assert_eq!(next(), None);
    }
}
