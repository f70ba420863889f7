//! How large an image says that it is, held against what is allowed and what there is room for.

use std::fs::File;

use anyhow::{Context as _, Result};

use crate::failure::hint;

/// Refuses what says itself that it is larger than allowed, or than there is room for where a staging file is.
///
/// # Errors
/// When it is.
pub(super) fn check_room(
    staging: &File,
    stated: Option<u64>,
    limit_bytes: u64,
    origin: &str,
) -> Result<()> {
    let room = rustix::fs::fstatvfs(staging).context("cannot see how much room the store has")?;
    let room_bytes = room.f_bavail.saturating_mul(room.f_frsize);
    check_stated(stated, (limit_bytes, room_bytes), origin)
}

/// Refuses what says itself that it is too large. What says nothing, or lies, ends at the limit.
///
/// # Errors
/// When it does.
pub(super) fn check_stated(
    stated: Option<u64>,
    (limit, room): (u64, u64),
    origin: &str,
) -> Result<()> {
    let stated = stated.unwrap_or_default();
    if stated > limit {
        return Err(hint(
            format!("{origin} is an image of {stated} bytes, and {limit} are allowed"),
            "`--max-size` allows more: ask its maker whether it is meant to be that large",
        ));
    }
    if stated > room {
        return Err(hint(
            format!("{origin} is an image of {stated} bytes, and the store has room for {room}"),
            "`coracle purge` frees the room of portables that are not needed any more",
        ));
    }
    Ok(())
}
