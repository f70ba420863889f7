//! The service's own lines in the tables of a bundle's users and groups.

use super::Bindings;
use crate::names::{Table, is_name};

/// The line of this start's user or group; empty where it has no name.
pub(super) fn line(table: Table, bindings: &Bindings<'_>) -> Vec<u8> {
    let Some(user) = &bindings.user else {
        return Vec::new();
    };
    let (uid, gid) = (bindings.uid, bindings.gid);
    let (name, line) = match table {
        Table::Users => {
            let (name, home, shell) = (&user.name, &user.home, &user.shell);
            (name, format!("{name}:x:{uid}:{gid}::{home}:{shell}"))
        }
        Table::Groups => (&user.group, format!("{}:x:{gid}:", user.group)),
    };
    // Where a path has a colon, the line is not whole, and the executor leaves it out.
    if is_name(name.as_bytes()) {
        line.into_bytes()
    } else {
        Vec::new()
    }
}
