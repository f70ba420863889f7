//! The rows, put in the order of the directives' numbers while compiling: a missing or doubled row does not compile.

mod assertions;
mod backup;
mod cgroup_access;
mod cgroup_memory;
mod cgroup_shares;
mod conditions;
mod exec_files;
mod exec_process;
mod exec_protect;
mod exec_streams;
mod health;
mod install;
mod kill;
mod mount_slice;
mod replace;
mod service;
mod socket;
mod socket_options;
mod timer_path;
mod unit;

use model::Directive;

use crate::row::{FromImage, Row};

/// How many rows there are.
const COUNT: usize = Directive::COUNT;

/// The rows as they are written, one list per file.
const LISTS: &[&[Row]] = &[
    assertions::ROWS,
    backup::ROWS,
    cgroup_access::ROWS,
    cgroup_memory::ROWS,
    cgroup_shares::ROWS,
    conditions::ROWS,
    exec_files::ROWS,
    exec_process::ROWS,
    exec_protect::ROWS,
    exec_streams::ROWS,
    health::ROWS,
    install::ROWS,
    kill::ROWS,
    mount_slice::ROWS,
    replace::ROWS,
    service::ROWS,
    socket::ROWS,
    socket_options::ROWS,
    timer_path::ROWS,
    unit::ROWS,
];

/// Every directive's row; the place is the directive's number, so they are sorted by name, then by room.
pub static TABLE: [Row; COUNT] = in_order();

#[allow(clippy::indexing_slicing, clippy::panic)] // Evaluated while compiling: a failure is a build error.
const fn in_order() -> [Row; COUNT] {
    let mut rows = [Row::BASE; COUNT];
    let mut taken = 0;
    let mut list = 0;
    while list < LISTS.len() {
        let mut at = 0;
        while at < LISTS[list].len() {
            let row = LISTS[list][at];
            assert!(
                rows[row.directive.index()].name.is_empty(),
                "a directive has two rows"
            );
            rows[row.directive.index()] = row;
            taken += 1;
            at += 1;
        }
        list += 1;
    }
    assert!(taken == COUNT, "a directive has no row");
    rows
}

/// The row of a directive.
pub fn row(directive: Directive) -> &'static Row {
    static NONE: Row = Row::BASE;
    // Every directive has a row: `in_order` would not compile otherwise.
    TABLE.get(directive.index()).unwrap_or(&NONE)
}

/// The rows of a name, one per room that has it.
pub fn rows_named(name: &str) -> impl Iterator<Item = &'static Row> + use<'_> {
    Directive::named(name).map(row)
}

/// What an image's unit may do with a directive.
pub fn from_image(directive: Directive) -> FromImage {
    row(directive).from_image
}
