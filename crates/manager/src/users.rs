//! Users and groups by name, from the host's own tables: never the C library's look-up, which a static program lacks.

use std::io;
use std::path::Path;
use std::rc::Rc;

/// Bytes of a table that is read: some hundred thousand users.
const TABLE_BYTES_MAX: u64 = 16 << 20;

/// What the user table says of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
    pub(crate) shell: String,
}

/// Both tables as they are now.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    passwd: String,
    group: String,
}

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// The tables as they were read last: hosts start services more often than they change their users.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    tables: Rc<Tables>,
    /// Which files were read; none where they may change without that it shows.
    files: Option<[Identity; 2]>,
}

/// Device, number, length, and when it changed last: a file of which that is the same is the same.
type Identity = (u64, u64, i64, i64, i64);

impl Kept {
    /// The tables as they are now.
    pub(crate) fn current(&mut self) -> io::Result<Rc<Tables>> {
        let files = identity(PASSWD)
            .zip(identity(GROUP))
            .map(|(passwd, group)| [passwd, group]);
        if files.is_none() || files != self.files {
            self.tables = Rc::new(Tables::read()?);
            self.files = files.filter(|files| files.iter().all(is_settled));
        }
        Ok(Rc::clone(&self.tables))
    }
}

fn identity(path: &str) -> Option<Identity> {
    let found = rustix::fs::stat(path).ok()?;
    Some((
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_ctime,
        i64::try_from(found.st_ctime_nsec).ok()?,
    ))
}

/// Whether a further change would show: times have the grain of the kernel's clock, some milliseconds, and some file systems' of seconds.
fn is_settled((_, _, _, changed_s, _): &Identity) -> bool {
    const GRAIN_S: i64 = 2;
    let now_s = i64::try_from(crate::clock::realtime_us() / 1_000_000).unwrap_or(i64::MAX);
    changed_s.saturating_add(GRAIN_S) < now_s
}

impl Tables {
    /// Reads the host's tables. A host without them has only root.
    pub(crate) fn read() -> io::Result<Self> {
        Ok(Self {
            passwd: read_table(Path::new(PASSWD))?,
            group: read_table(Path::new(GROUP))?,
        })
    }

    /// A user by name or number. A number without an entry is a user without a name.
    pub(crate) fn user(&self, name_or_uid: &str) -> Option<User> {
        let number = name_or_uid.parse::<u32>().ok();
        let entry = self
            .passwd
            .lines()
            .filter_map(user)
            .find(|user| user.name == name_or_uid || Some(user.uid) == number);
        entry.or_else(|| match (name_or_uid, number) {
            ("root", _) | (_, Some(0)) => Some(bare("root", 0)),
            (_, Some(uid)) => Some(bare(name_or_uid, uid)),
            _ => None,
        })
    }

    /// A group's number by name or number.
    pub(crate) fn group(&self, name_or_gid: &str) -> Option<u32> {
        let named = self.group.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name_or_gid)).then(|| fields.nth(1)?.parse().ok())?
        });
        named.or_else(|| {
            if name_or_gid == "root" {
                Some(0)
            } else {
                name_or_gid.parse().ok()
            }
        })
    }

    /// The name of a group's number.
    pub(crate) fn group_name(&self, gid: u32) -> Option<String> {
        let named = self.group.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
        });
        named.or_else(|| (gid == 0).then(|| "root".to_owned()))
    }

    /// The groups that list a user as a member, and its own.
    pub(crate) fn groups_of(&self, name: &str, gid: u32) -> Vec<u32> {
        let mut groups = vec![gid];
        for line in self.group.lines() {
            let mut fields = line.split(':').skip(2);
            let (Some(Ok(gid)), Some(members)) = (fields.next().map(str::parse), fields.next())
            else {
                continue;
            };
            if members.split(',').any(|member| member == name) {
                groups.push(gid);
            }
        }
        model::order::sort(&mut groups);
        groups.dedup();
        groups
    }

    /// Is this number any user's or group's?
    pub(crate) fn has_number(&self, number: u32) -> bool {
        self.passwd
            .lines()
            .filter_map(user)
            .any(|user| user.uid == number || user.gid == number)
            || self
                .group
                .lines()
                .any(|line| line.split(':').nth(2).and_then(|gid| gid.parse().ok()) == Some(number))
    }

    /// Has the group table an entry of this name?
    pub(crate) fn has_group(&self, name: &str) -> bool {
        self.group
            .lines()
            .any(|line| line.split(':').next() == Some(name))
    }

    /// Has the user table an entry of this name or number?
    pub(crate) fn has_user(&self, name_or_uid: &str) -> bool {
        let number = name_or_uid.parse::<u32>().ok();
        self.passwd
            .lines()
            .filter_map(user)
            .any(|user| user.name == name_or_uid || Some(user.uid) == number)
    }
}

fn bare(name: &str, uid: u32) -> User {
    let home = if uid == 0 { "/root" } else { "/" };
    User {
        name: name.into(),
        uid,
        gid: uid,
        home: home.into(),
        shell: "/bin/sh".into(),
    }
}

fn user(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields
        .next()
        .filter(|name| !name.is_empty() && !name.starts_with('#'))?;
    let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    let (home, shell) = (fields.nth(1)?, fields.next().unwrap_or_default());
    Some(User {
        name: name.into(),
        uid,
        gid,
        home: home.into(),
        shell: shell.into(),
    })
}

fn read_table(path: &Path) -> io::Result<String> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Ok(metadata) if metadata.len() > TABLE_BYTES_MAX => {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        other => other?,
    };
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Tables {
        Tables {
            passwd: "root:x:0:0:root:/root:/bin/bash\nwww:x:33:33:www:/var/www:/usr/sbin/nologin\n#x\nbroken\n".into(),
            group: "root:x:0:\nwww:x:33:\nssl:x:110:www,mail\nmail:x:8:\n".into(),
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_table_is_read(passwd in "([a-z0-9:#\n]{0,12}(:x:|\n)?\\PC{0,4}){0,20}", group in "([a-z0-9:,\n]{0,12}(:x:|\n)?\\PC{0,4}){0,20}", name in "[a-z0-9]{0,4}") {
            let tables = Tables { passwd, group };
            if let Some(user) = tables.user(&name) {
                assert!(user.name == name || name.parse() == Ok(user.uid));
                assert!(tables.groups_of(&name, user.gid).contains(&user.gid));
            }
            tables.group(&name);
            tables.has_user(&name);
            tables.has_group(&name);
        }
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        assert_eq!(tables().user("www").unwrap().home, "/var/www");
        assert_eq!(tables().user("33").unwrap().name, "www");
        assert_eq!(tables().user("4000").unwrap().gid, 4000);
        assert_eq!(tables().user("nobody-here"), None);
        assert_eq!(Tables::default().user("root").unwrap().uid, 0);
    }

    #[test]
    fn groups_are_found_by_name_number_and_member() {
        assert_eq!(tables().group("ssl"), Some(110));
        assert_eq!(tables().group("77"), Some(77));
        assert_eq!(tables().group("none"), None);
        assert_eq!(tables().group_name(110).as_deref(), Some("ssl"));
        assert_eq!(tables().group_name(7), None);
        assert_eq!(Tables::default().group_name(0).as_deref(), Some("root"));
        assert_eq!(tables().groups_of("www", 33), [33, 110]);
        assert!(tables().has_number(8) && !tables().has_number(9));
        assert!(tables().has_group("mail") && !tables().has_group("8"));
        assert!(tables().has_user("33") && !tables().has_user("mail"));
    }
}
