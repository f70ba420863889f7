//! Network interfaces, as far as a private network needs them.

use linux_raw_sys::general as sys;
use rustix::fd::AsRawFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::Result;
use crate::syscall::syscall;

const SIOCGIFFLAGS: usize = 0x8913;
const SIOCSIFFLAGS: usize = 0x8914;
const IFF_UP: u16 = 1;

/// `struct ifreq` with its union read as flags: 40 bytes on 64-bit machines.
#[repr(C, align(8))]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<Request>() == 40);

/// Switches an interface of this network namespace on. The kernel gives `lo` its addresses then.
pub fn bring_up(name: &core::ffi::CStr) -> Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let mut request = Request {
        name: [0; 16],
        flags: 0,
        rest: [0; 22],
    };
    let name = name.to_bytes_with_nul();
    request
        .name
        .get_mut(..name.len())
        .ok_or(crate::Errno::NAMETOOLONG)?
        .copy_from_slice(name);
    let number = socket.as_raw_fd() as usize;
    let address = core::ptr::from_mut(&mut request) as usize;
    // SAFETY: reads a name from an ifreq and writes its flags.
    unsafe { syscall(sys::__NR_ioctl, [number, SIOCGIFFLAGS, address, 0, 0, 0]) }?;
    request.flags |= IFF_UP;
    // SAFETY: reads an ifreq.
    unsafe {
        syscall(
            sys::__NR_ioctl,
            [
                number,
                SIOCSIFFLAGS,
                core::ptr::from_ref(&request) as usize,
                0,
                0,
                0,
            ],
        )
    }
    .map(drop)
}
