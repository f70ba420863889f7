//! Programs of the kernel's eBPF machine at control groups (bpf(2)): loading, attaching, finding what is attached, reading counters.

use linux_raw_sys::general as sys;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::syscall::syscall;
use crate::{Errno, Result};

/// Commands, `enum bpf_cmd`.
const MAP_CREATE: usize = 0;
const MAP_LOOKUP_ELEM: usize = 1;
const PROG_LOAD: usize = 5;
const OBJ_PIN: usize = 6;
const OBJ_GET: usize = 7;
const PROG_ATTACH: usize = 8;
const PROG_DETACH: usize = 9;
const PROG_GET_NEXT_ID: usize = 11;
const PROG_GET_FD_BY_ID: usize = 13;
const MAP_GET_FD_BY_ID: usize = 14;
const OBJ_GET_INFO_BY_FD: usize = 15;
const PROG_QUERY: usize = 16;

/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY: u32 = 2;
/// `BPF_F_ALLOW_MULTI`: programs of groups above and below stand beside it, and all must let something through.
const ALLOW_MULTI: u32 = 2;
/// Bytes of a program's or map's name with the zero at its end, `BPF_OBJ_NAME_LEN`.
const NAME_BYTES: usize = 16;
/// Programs at one hook of one group; the kernel allows no more than this (`BPF_CGROUP_MAX_PROGS`).
pub const PROGRAMS_MAX: usize = 64;

/// The fields of `union bpf_attr` for each command, as far as they are used: the kernel takes those that are left out for zero.
#[repr(C)]
struct MapCreate {
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
    flags: u32,
    inner: u32,
    numa_node: u32,
    name: [u8; NAME_BYTES],
}

#[repr(C)]
struct MapElement {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgramLoad {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_bytes: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; NAME_BYTES],
    interface: u32,
    expected_attach: u32,
    types: u32,
    function_record_bytes: u32,
    functions: u64,
    function_count: u32,
    line_record_bytes: u32,
    lines: u64,
    line_count: u32,
    attached_type: u32,
}

#[repr(C)]
struct Object {
    path: u64,
    descriptor: u32,
    flags: u32,
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    hook: u32,
    flags: u32,
}

#[repr(C)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
}

#[repr(C)]
struct Info {
    descriptor: u32,
    bytes: u32,
    info: u64,
}

#[repr(C)]
struct Query {
    target: u32,
    hook: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

/// The beginning of `struct bpf_prog_info`, up to the name.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    machine_bytes: u32,
    code_bytes: u32,
    machine_code: u64,
    code: u64,
    load_time: u64,
    user: u32,
    maps: u32,
    map_ids: u64,
    name: [u8; NAME_BYTES],
}

/// Calls bpf(2) with the fields of one command.
///
/// # Safety
///
/// `fields` must be those of `command`, and every address in them valid for what the command reads or writes there.
unsafe fn bpf<T>(command: usize, fields: &mut T) -> Result<usize> {
    let address = core::ptr::from_mut(fields) as usize;
    // SAFETY: the kernel reads and writes no more than the size that it is told; the caller vouches for the addresses within.
    unsafe { syscall(sys::__NR_bpf, [command, address, size_of::<T>(), 0, 0, 0]) }
}

fn owned(number: usize) -> Result<OwnedFd> {
    let number = i32::try_from(number).map_err(|_| Errno::BADF)?;
    // SAFETY: the call just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Borrowed, as an owned one would be closed before the call that its number is for.
fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

/// A name as the kernel takes it, cut where it is too long.
fn name(text: &str) -> [u8; NAME_BYTES] {
    let mut name = [0; NAME_BYTES];
    for (place, byte) in name.iter_mut().zip(text.bytes().take(NAME_BYTES - 1)) {
        *place = byte;
    }
    name
}

/// Makes an array with one value of so many bytes, all zero. Needs CAP_BPF (EPERM).
pub fn make_array(called: &str, value_bytes: u32) -> Result<OwnedFd> {
    let mut fields = MapCreate {
        kind: ARRAY,
        key_bytes: 4,
        value_bytes,
        entries: 1,
        flags: 0,
        inner: 0,
        numa_node: 0,
        name: name(called),
    };
    // SAFETY: the fields of this command hold no address.
    owned(unsafe { bpf(MAP_CREATE, &mut fields) }?)
}

/// Reads the value of an array with one.
pub fn read_array<const BYTES: usize>(map: impl AsFd) -> Result<[u8; BYTES]> {
    let map = map.as_fd();
    // What the kernel writes is as long as the map says, not as we say.
    if map_value_bytes(map)? as usize != BYTES {
        return Err(Errno::INVAL);
    }
    let key = 0_u32;
    let mut value = [0; BYTES];
    let mut fields = MapElement {
        map: number(map),
        padding: 0,
        key: core::ptr::from_ref(&key) as u64,
        value: value.as_mut_ptr() as u64,
        flags: 0,
    };
    // SAFETY: the key has 4 bytes and the value as many as the map's values, which was just asked.
    unsafe { bpf(MAP_LOOKUP_ELEM, &mut fields) }?;
    Ok(value)
}

/// Bytes of each value of a map whose keys have 4.
fn map_value_bytes(map: BorrowedFd<'_>) -> Result<u32> {
    /// The beginning of `struct bpf_map_info`.
    #[repr(C)]
    #[derive(Default)]
    struct MapInfo {
        kind: u32,
        id: u32,
        key_bytes: u32,
        value_bytes: u32,
    }
    let mut info = MapInfo::default();
    let mut fields = Info {
        descriptor: number(map),
        bytes: size_of::<MapInfo>() as u32,
        info: core::ptr::from_mut(&mut info) as u64,
    };
    // SAFETY: the kernel writes no more than `bytes` to `info`.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut fields) }?;
    if info.kind == ARRAY && info.key_bytes == 4 {
        Ok(info.value_bytes)
    } else {
        Err(Errno::INVAL)
    }
}

/// Loads a program of so many instructions of 8 bytes for a hook, by the numbers of `enum bpf_prog_type` and `enum bpf_attach_type`. What
/// the kernel's verifier does not accept is EINVAL or EACCES. Needs CAP_BPF, and CAP_NET_ADMIN for all kinds but packets' (EPERM).
pub fn load(called: &str, kind: u32, hook: u32, code: &[[u8; 8]]) -> Result<OwnedFd> {
    load_before(called, kind, hook, 0, code)
}

/// The same of a program that stands before a function of the kernel's, by the number of its type in `/sys/kernel/btf/vmlinux`. Needs CAP_PERFMON,
/// too (EPERM), for what it reads.
pub fn load_before(
    called: &str,
    kind: u32,
    hook: u32,
    function: u32,
    code: &[[u8; 8]],
) -> Result<OwnedFd> {
    const LICENSE: &core::ffi::CStr = c"Dual MIT/GPL";
    let mut fields = ProgramLoad {
        kind,
        instructions: u32::try_from(code.len()).map_err(|_| Errno::TOOBIG)?,
        code: code.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        log_level: 0,
        log_bytes: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: name(called),
        interface: 0,
        expected_attach: hook,
        types: 0,
        function_record_bytes: 0,
        functions: 0,
        function_count: 0,
        line_record_bytes: 0,
        lines: 0,
        line_count: 0,
        attached_type: function,
    };
    // SAFETY: the code has as many instructions as is said, and the license ends with a zero.
    owned(unsafe { bpf(PROG_LOAD, &mut fields) }?)
}

/// Gives a program a path in a file system of type bpf, by which it stays loaded.
pub fn pin(program: impl AsFd, path: &core::ffi::CStr) -> Result<()> {
    let mut fields = Object {
        path: path.as_ptr() as u64,
        descriptor: number(program.as_fd()),
        flags: 0,
    };
    // SAFETY: the path ends with a zero.
    unsafe { bpf(OBJ_PIN, &mut fields) }.map(drop)
}

/// Opens a program that is pinned in a file system of type bpf.
pub fn pinned(path: &core::ffi::CStr) -> Result<OwnedFd> {
    let mut fields = Object {
        path: path.as_ptr() as u64,
        descriptor: 0,
        flags: 0,
    };
    // SAFETY: the path ends with a zero.
    owned(unsafe { bpf(OBJ_GET, &mut fields) }?)
}

/// Attaches a program to a control group, beside those that are there. It stays until it is detached or the group is removed. EPERM
/// also where a group above allows none beside its own.
pub fn attach(group: impl AsFd, program: impl AsFd, hook: u32) -> Result<()> {
    let mut fields = Attach {
        target: number(group.as_fd()),
        program: number(program.as_fd()),
        hook,
        flags: ALLOW_MULTI,
    };
    // SAFETY: the fields of this command hold no address.
    unsafe { bpf(PROG_ATTACH, &mut fields) }.map(drop)
}

/// Detaches a program from a control group.
pub fn detach(group: impl AsFd, program: impl AsFd, hook: u32) -> Result<()> {
    let mut fields = Attach {
        target: number(group.as_fd()),
        program: number(program.as_fd()),
        hook,
        flags: 0,
    };
    // SAFETY: the fields of this command hold no address.
    unsafe { bpf(PROG_DETACH, &mut fields) }.map(drop)
}

/// The ids of the programs at a hook of a control group, in the order in which they run; how many of `ids` they fill.
pub fn attached(group: impl AsFd, hook: u32, ids: &mut [u32; PROGRAMS_MAX]) -> Result<usize> {
    let mut fields = Query {
        target: number(group.as_fd()),
        hook,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: PROGRAMS_MAX as u32,
        padding: 0,
    };
    // SAFETY: there is room for as many ids as is said.
    unsafe { bpf(PROG_QUERY, &mut fields) }?;
    Ok(fields.count as usize)
}

/// The smallest id of a program that is larger than `after`; none where there is no such program. For the administrator alone (EPERM).
pub fn next_program(after: u32) -> Result<Option<u32>> {
    let mut fields = ById {
        id: after,
        next: 0,
        flags: 0,
    };
    // SAFETY: the fields are this command's, and have no address.
    match unsafe { bpf(PROG_GET_NEXT_ID, &mut fields) } {
        Ok(_) => Ok(Some(fields.next)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A program that is loaded.
pub fn by_id(id: u32) -> Result<OwnedFd> {
    let mut fields = ById {
        id,
        next: 0,
        flags: 0,
    };
    // SAFETY: the fields of this command hold no address.
    owned(unsafe { bpf(PROG_GET_FD_BY_ID, &mut fields) }?)
}

/// What is known of a program that is loaded.
#[derive(Debug)]
pub struct Description {
    /// Its number, which no other has while it is loaded.
    pub id: u32,
    /// Its name, with zeros after it.
    pub name: [u8; NAME_BYTES],
    /// The first map that it uses.
    pub map: Option<OwnedFd>,
}

/// Describes a program.
pub fn describe(program: impl AsFd) -> Result<Description> {
    let mut map = 0_u32;
    let mut info = ProgramInfo {
        maps: 1,
        map_ids: core::ptr::from_mut(&mut map) as u64,
        ..ProgramInfo::default()
    };
    let mut fields = Info {
        descriptor: number(program.as_fd()),
        bytes: size_of::<ProgramInfo>() as u32,
        info: core::ptr::from_mut(&mut info) as u64,
    };
    // SAFETY: the kernel writes no more than `bytes` to `info`, and one id to `map`, for which alone there is said to be room.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut fields) }?;
    let map = match info.maps {
        0 => None,
        _ => Some(map_by_id(map)?),
    };
    Ok(Description {
        id: info.id,
        name: info.name,
        map,
    })
}

fn map_by_id(id: u32) -> Result<OwnedFd> {
    let mut fields = ById {
        id,
        next: 0,
        flags: 0,
    };
    // SAFETY: the fields of this command hold no address.
    owned(unsafe { bpf(MAP_GET_FD_BY_ID, &mut fields) }?)
}
