//! Addresses of VM sockets (vsock(7)), which rustix lacks.

use rustix::net::addr::{SocketAddrArg, SocketAddrOpaque};
use rustix::net::{AddressFamily, SocketAddrAny};

const BYTES: usize = 16;

/// An address of a VM socket, as the kernel has it: `struct sockaddr_vm`.
#[repr(C, align(4))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineAddress {
    family: u16,
    reserved: u16,
    /// The port.
    pub port: u32,
    /// The context id; `u32::MAX` is any.
    pub cid: u32,
    rest: [u8; 4],
}

impl MachineAddress {
    /// An address to bind.
    #[must_use]
    pub const fn new(cid: u32, port: u32) -> Self {
        Self {
            family: AddressFamily::VSOCK.as_raw(),
            reserved: 0,
            port,
            cid,
            rest: [0; 4],
        }
    }

    /// The address that a socket of this family has, or its peer; none where it is of another family.
    #[must_use]
    pub fn of(address: &SocketAddrAny) -> Option<Self> {
        let fits = address.addr_len() as usize >= BYTES;
        if address.address_family() != AddressFamily::VSOCK || !fits {
            return None;
        }
        // SAFETY: the address has at least as many bytes as are read, any of which are a valid value; it need not be aligned.
        Some(unsafe { address.as_ptr().cast::<Self>().read_unaligned() })
    }
}

// SAFETY: the pointer and the length that are handed on are those of the whole address, which outlives the call.
unsafe impl SocketAddrArg for MachineAddress {
    unsafe fn with_sockaddr<R>(&self, f: impl FnOnce(*const SocketAddrOpaque, u32) -> R) -> R {
        f(core::ptr::from_ref(self).cast(), BYTES as u32)
    }
}
