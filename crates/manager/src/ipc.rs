//! RemoveIPC=: the IPC objects of a user and a group that no run has any more.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;

use kernel::ipc::{Kind, remove};
use kernel::rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen,
};
use kernel::{OwnedFd, Result};

use crate::entry::Entry;
use crate::manager::Manager;
use crate::planning::Prepared;
use crate::run::Run;
use model::{Unit, key};

/// Whose objects go; root's never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Owner {
    fn has(self, uid: u32, gid: u32) -> bool {
        uid != 0 && (self.uid == Some(uid) || self.gid == Some(gid))
    }
}

/// Whether the unit's objects go with its last process; a dynamic user's number is given to others, so its objects always go.
fn is_asked(unit: &Unit) -> bool {
    unit.value(&key::REMOVE_IPC) || unit.value(&key::DYNAMIC_USER)
}

/// Whether the unit's processes could leave objects nowhere but in namespaces and mounts of their own, which are gone with them: a user that
/// nobody else has, and both kinds of objects out of the host's reach. A plan that gave up a restriction has not got that far.
fn is_enclosed(entry: &Entry) -> bool {
    let unit = &entry.unit;
    let asked = [&key::DYNAMIC_USER, &key::PRIVATE_IPC, &key::PRIVATE_DEVICES];
    let holds = |prepared: &Rc<Prepared>| prepared.plan.reductions().is_empty();
    asked.iter().all(|key| unit.value(key))
        && unit.get(&key::USER).is_none()
        && entry.prepared.as_ref().is_some_and(holds)
}

impl Manager {
    /// Removes what the users of a run that is over have left, unless another run of any unit is theirs too.
    pub(crate) fn remove_ipc(&self, entry: &Entry, run: &Run) {
        let unit = &entry.unit;
        let is_alone = self.joined_units(entry.id).is_empty();
        let is_asked = is_asked(unit) && !(is_alone && is_enclosed(entry));
        let Some(user) = run.user.as_ref().filter(|_| is_asked) else {
            return;
        };
        let mut others = self
            .units
            .values()
            .flat_map(|entry| entry.runs.iter())
            .filter_map(|run| run.user.as_ref());
        let owner = Owner {
            uid: (user.uid != 0 && others.clone().all(|other| other.uid != user.uid))
                .then_some(user.uid),
            gid: (user.gid != 0 && others.all(|other| other.gid != user.gid)).then_some(user.gid),
        };
        if owner.uid.is_none() && owner.gid.is_none() {
            return;
        }
        let tables = [
            ("msg", Kind::Queue),
            ("sem", Kind::Semaphores),
            ("shm", Kind::Memory),
        ];
        for (table, kind) in tables {
            let table = fs::read_to_string(Path::new("/proc/sysvipc").join(table));
            for id in objects(&table.unwrap_or_default(), owner) {
                // Gone already is as good.
                match remove(kind, id) {
                    Ok(()) | Err(_) => {}
                }
            }
        }
        // Queues and memory of POSIX: their names have no slash, so what is deeper is none of them.
        let mounted = queues();
        let queues = mounted.as_ref().map_or("/dev/mqueue".to_owned(), |mount| {
            format!("/proc/self/fd/{}", mount.as_raw_fd())
        });
        remove_files(Path::new(&queues), owner);
        remove_files(Path::new("/dev/shm"), owner);
    }
}

/// The file system of the queues, mounted nowhere: hosts without a place for it have queues all the same. Before Linux 5.2 nothing is
/// mounted so.
fn queues() -> Result<OwnedFd> {
    let context = fsopen(c"mqueue", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::empty();
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// The numbers of the objects in a table of /proc/sysvipc that one owns or has made: an object can be given away.
fn objects(table: &str, owner: Owner) -> Vec<i32> {
    let mut lines = table.lines();
    let header: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let column = |name: &str| header.iter().position(|title| *title == name);
    let columns = [
        (column("uid"), column("gid")),
        (column("cuid"), column("cgid")),
    ];
    let number = |fields: &[&str], column: Option<usize>| -> Option<u32> {
        fields.get(column?)?.parse().ok()
    };
    let is_theirs = |fields: &[&str]| {
        columns.iter().any(|(uid, gid)| {
            number(fields, *uid)
                .zip(number(fields, *gid))
                .is_some_and(|(uid, gid)| owner.has(uid, gid))
        })
    };
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| is_theirs(fields))
        .filter_map(|fields| fields.get(1)?.parse().ok())
        .collect()
}

fn remove_files(place: &Path, owner: Owner) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_theirs = entry
            .metadata()
            .is_ok_and(|data| owner.has(data.uid(), data.gid()));
        if is_theirs {
            // A directory is no IPC object and stays.
            match fs::remove_file(entry.path()) {
                Ok(()) | Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime
         1          7   666           0          0     0     0  1000  1000  1000  1000          0          0          0
         2          8   666           0          0     0     0     0     0     0     0          0          0          0
         3          9   666           0          0     0     0  2000  2000  1000  1000          0          0          0
         4         10   666           0          0     0     0  3000  1000  3000  3000          0          0          0
";

    #[test]
    fn objects_of_the_user_the_group_and_those_given_away_are_found_and_roots_are_not() {
        let found = |uid, gid| objects(TABLE, Owner { uid, gid });
        assert_eq!(found(Some(1000), None), [7, 9]);
        assert_eq!(found(None, Some(1000)), [7, 9, 10]);
        assert_eq!(found(Some(2000), Some(2000)), [9]);
        assert_eq!(found(Some(0), Some(0)), [0; 0]);
        assert_eq!(
            objects(
                "",
                Owner {
                    uid: Some(1),
                    gid: None
                }
            ),
            [0; 0]
        );
    }
}
