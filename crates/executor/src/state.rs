//! What steps leave for later steps.

use core::ffi::CStr;

use kernel::{AsFd, BorrowedFd, Errno, OwnedFd, Result};
use plan::frame::{FIRST_DESCRIPTOR, Frame, MAX_DESCRIPTORS, REPORT_DESCRIPTOR, Role};

use crate::ahead::Ahead;
use crate::head::Head;
use crate::made::Made;
use crate::steps::{Holder, Masks, Opened, Project};

/// The lowest number for descriptors that are in the way of those that the service gets (3, 4, …).
pub(crate) const ASIDE: i32 = FIRST_DESCRIPTOR + MAX_DESCRIPTORS as i32;

/// Places for images beside the root's, which has the first.
const MAX_IMAGES: usize = 33;

/// The executor between two steps.
pub(crate) struct State<'a> {
    /// The plan.
    pub(crate) frame: Frame<'a>,
    /// Where failures, sockets and the payload are told; closed by exec.
    pub(crate) report: OwnedFd,
    /// The passed descriptors, by their place among the roles.
    pub(crate) passed: [Option<OwnedFd>; MAX_DESCRIPTORS],
    /// Files that were opened for the service: in the places after those of the passed descriptors.
    pub(crate) opened: Opened,
    /// The project of the last directory that has one.
    pub(crate) project: Option<Project>,
    /// The clone of the image's tree.
    pub(crate) image: Option<OwnedFd>,
    /// Those of the other images, by their places.
    pub(crate) images: [Option<OwnedFd>; MAX_IMAGES],
    /// The user namespace that is joined.
    pub(crate) user_namespace: Option<OwnedFd>,
    /// Who holds the service's own user namespace until it is entered.
    pub(crate) holder: Option<Holder>,
    /// A file system of type bpf that was begun in it.
    pub(crate) bpf: Option<OwnedFd>,
    /// The tree that becomes the root.
    pub(crate) root: Option<OwnedFd>,
    /// Where the content of the root comes from, on the host; none: it is the root itself.
    pub(crate) origin: Option<OwnedFd>,
    /// A clone of the layers that the run's root is.
    pub(crate) layers: Option<OwnedFd>,
    /// The root's origin is layers of our own, attached below it.
    pub(crate) is_layered: bool,
    /// The content of the root is the host's, where services may have left links.
    pub(crate) is_host: bool,
    /// Extensions lie over the root's /usr, /opt or /etc.
    pub(crate) is_extended: bool,
    /// The mounts that are the service's own.
    pub(crate) made: Made,
    /// What was made ahead for this start and is not in use yet.
    pub(crate) ahead: Ahead,
    /// The network namespace was made ahead.
    pub(crate) network_is_made: bool,
    /// An empty file and an empty directory that no one may enter.
    pub(crate) masks: Option<Masks>,
    /// The host's root, seen from before the new one.
    pub(crate) host: Option<OwnedFd>,
    /// The kernel's proc(5) of the host.
    pub(crate) proc: Option<OwnedFd>,
    /// The service's terminal.
    pub(crate) terminal: Option<OwnedFd>,
    /// The program that was found.
    pub(crate) program: Option<&'a CStr>,
    /// What it begins with, where that was read before a filter.
    pub(crate) head: Option<Head>,
    /// The directive that asks for what is being done, where that is another than the step's.
    pub(crate) blamed: Option<plan::DirectiveNumber>,
    /// The process is at its end without exec, with this status.
    pub(crate) finished: Option<i32>,
}

impl<'a> State<'a> {
    /// Takes the inherited descriptors and closes all that the plan doesn't know.
    pub(crate) fn new(frame: Frame<'a>, report: BorrowedFd<'_>) -> Result<Self> {
        if frame.roles.len() > MAX_DESCRIPTORS {
            return Err(Errno::PROTO);
        }
        let count = i32::try_from(frame.roles.len()).map_err(|_| Errno::PROTO)?;
        let mut passed = [const { None }; MAX_DESCRIPTORS];
        for (slot, number) in passed
            .iter_mut()
            .zip(FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + count)
        {
            *slot = Some(kernel::descriptor::take_inherited(number)?);
        }
        let first_stranger = u32::try_from(FIRST_DESCRIPTOR + count).map_err(|_| Errno::PROTO)?;
        kernel::descriptor::close_range(first_stranger, u32::MAX)?;
        let report = kernel::descriptor::duplicate_from(report, ASIDE.max(REPORT_DESCRIPTOR))?;
        Ok(Self {
            frame,
            report,
            passed,
            opened: Opened::default(),
            project: None,
            image: None,
            images: [const { None }; MAX_IMAGES],
            user_namespace: None,
            holder: None,
            bpf: None,
            root: None,
            origin: None,
            layers: None,
            is_layered: false,
            is_host: false,
            is_extended: false,
            made: Made::new(),
            ahead: Ahead::new(),
            network_is_made: false,
            masks: None,
            host: None,
            proc: None,
            terminal: None,
            program: None,
            head: None,
            blamed: None,
            finished: None,
        })
    }

    /// Takes the descriptor of a role.
    pub(crate) fn take(&mut self, role: Role) -> Result<OwnedFd> {
        let place = self.place(role)?;
        let slot = self.passed.get_mut(place);
        slot.and_then(Option::take).ok_or(Errno::BADF)
    }

    /// Takes the next descriptor of a role that has several.
    pub(crate) fn take_next(&mut self, role: Role) -> Result<OwnedFd> {
        let mut passed = self.frame.roles.iter().zip(&mut self.passed);
        let next = passed.find(|(byte, slot)| **byte == role.tag() && slot.is_some());
        next.and_then(|(_, slot)| slot.take()).ok_or(Errno::BADF)
    }

    /// The tree of an image.
    pub(crate) fn image(&self, index: u32) -> Result<BorrowedFd<'_>> {
        let slot = usize::try_from(index).ok();
        let tree = slot.and_then(|slot| self.images.get(slot)?.as_ref());
        tree.map(AsFd::as_fd).ok_or(Errno::BADF)
    }

    /// The descriptor of a role.
    pub(crate) fn get(&self, role: Role) -> Result<BorrowedFd<'_>> {
        let slot = self.passed.get(self.place(role)?);
        let passed = slot.and_then(Option::as_ref);
        passed.map(AsFd::as_fd).ok_or(Errno::BADF)
    }

    fn place(&self, role: Role) -> Result<usize> {
        let mut roles = self.frame.roles.iter();
        roles
            .position(|&byte| byte == role.tag())
            .ok_or(Errno::BADF)
    }

    /// The new root, before it is entered.
    pub(crate) fn root(&self) -> Result<BorrowedFd<'_>> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF)
    }
}
