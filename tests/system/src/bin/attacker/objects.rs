//! Acts on memory, on objects of inter-process communication and on keys.

use crate::call::Arg::{Given, N, T};
use crate::call::{Errno, call};
use crate::{Act, Outcome};

pub(crate) const ACTS: &[Act] = &[
    ("attach", |given| attach(given, libc::SHM_RDONLY)),
    ("attach-execute", |given| attach(given, libc::SHM_EXEC)),
    ("clear", clear),
    ("exhaust-memory", exhaust_memory),
    ("find-session-key", |_| find_session_key()),
    ("pkey-protect-execute", |_| {
        protect_execute(libc::SYS_pkey_mprotect)
    }),
    ("plant-key", |_| plant_key()),
    ("plant-session-key", |_| plant(KEYRINGS[0])),
    ("protect-execute", |_| protect_execute(libc::SYS_mprotect)),
];

/// The keyring of a session, and the one that a user's sessions share (keyctl(2)).
const KEYRINGS: [i64; 2] = [-3, -5];
const KEY_NAME: &str = "coracle-attack";
/// Operations of keyctl(2), and a key's life in seconds.
const SEARCH: i64 = 10;
const SET_TIMEOUT: i64 = 15;
const LIFE: i64 = 60;

/// Maps the shared memory that a key is the name of.
fn attach(given: &[String], flags: i32) -> Outcome {
    let segment = call(libc::SYS_shmget, &[Given(0), N(0), N(0)], given)?;
    Ok(call(libc::SYS_shmat, &[N(segment), N(0), N(flags.into())], &[]).map(drop)?)
}

/// Makes memory executable that was writable before.
fn protect_execute(number: i64) -> Outcome {
    let memory = call(
        libc::SYS_mmap,
        &[N(0), N(4096), N(3), N(34), N(-1), N(0)],
        &[],
    )?;
    Ok(call(number, &[N(memory), N(4096), N(5), N(-1)], &[]).map(drop)?)
}

/// Uses so many megabytes.
fn exhaust_memory(given: &[String]) -> Outcome {
    let megabytes: usize = crate::argument(given, 0)?.parse().unwrap_or_default();
    let memory = vec![b'x'; megabytes << 20];
    crate::seen(std::hint::black_box(memory).last() == Some(&b'x'))
}

/// Leaves a key where the services that inherit a session look for one.
fn plant_key() -> Outcome {
    KEYRINGS.into_iter().try_for_each(plant)?;
    let key = session_key()?;
    Ok(call(libc::SYS_keyctl, &[N(SET_TIMEOUT), N(key), N(LIFE)], &[]).map(drop)?)
}

fn plant(keyring: i64) -> Outcome {
    let (kind, name) = (T("user"), T(KEY_NAME));
    let arguments = [kind, name, T("secret"), N(6), N(keyring)];
    Ok(call(libc::SYS_add_key, &arguments, &[]).map(drop)?)
}

/// Looks for a key that somebody left in this session.
fn find_session_key() -> Outcome {
    Ok(session_key().map(drop)?)
}

fn session_key() -> Result<i64, Errno> {
    let (kind, name) = (T("user"), T(KEY_NAME));
    let arguments = [N(SEARCH), N(KEYRINGS[0]), kind, name, N(0)];
    call(libc::SYS_keyctl, &arguments, &[])
}

/// Removes the objects that other acts leave: of a key, and of a name.
fn clear(given: &[String]) -> Outcome {
    let remove = N(libc::IPC_RMID.into());
    let get = |number, more: &[_]| call(number, &[&[Given(0)], more].concat(), given);
    let outcomes = [
        get(libc::SYS_shmget, &[N(0), N(0)])
            .and_then(|id| call(libc::SYS_shmctl, &[N(id), remove, N(0)], &[])),
        get(libc::SYS_msgget, &[N(0)])
            .and_then(|id| call(libc::SYS_msgctl, &[N(id), remove, N(0)], &[])),
        get(libc::SYS_semget, &[N(0), N(0)])
            .and_then(|id| call(libc::SYS_semctl, &[N(id), N(0), remove, N(0)], &[])),
        call(libc::SYS_mq_unlink, &[Given(1)], given),
    ];
    let mut failed = outcomes.into_iter().filter_map(Result::err);
    let failed = failed.find(|error| *error != Errno(libc::ENOENT));
    failed.map_or(Ok(()), |error| Err(error.into()))
}
