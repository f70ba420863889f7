//! Where credentials are looked for by name: among the manager's own, and in the stores of its position.

use crate::environment::Variables;
use std::io;

/// Where the manager's own are, if nothing else is said.
const SYSTEM: &str = "/run/credentials/@system";
/// The same for those that are sealed.
const SYSTEM_SEALED: &str = "/run/credentials/@encrypted";

/// Root's stores in the order in which they are looked into, with whether what is in them is sealed (systemd.exec(5)).
const ROOTS: [(&str, bool); 8] = [
    ("/etc/credstore", false),
    ("/run/credstore", false),
    ("/usr/local/lib/credstore", false),
    ("/usr/lib/credstore", false),
    ("/run/credstore.encrypted", true),
    ("/etc/credstore.encrypted", true),
    ("/usr/local/lib/credstore.encrypted", true),
    ("/usr/lib/credstore.encrypted", true),
];

/// Directories, each with whether what is in it is sealed.
#[derive(Debug)]
pub(crate) struct Stores {
    pub(super) directories: Vec<(String, bool)>,
    are_roots: bool,
}

impl Stores {
    /// Of a keeper with these variables, which are those that the instance was started with: root's, or a user's own.
    pub(crate) fn of(keeper: &Variables) -> Stores {
        let uid = rustix::process::geteuid();
        if uid.is_root() {
            return Stores::of_root(keeper);
        }
        let uid = uid.as_raw();
        let home = || {
            let users = crate::users::Tables::read().ok()?;
            users.user(&uid.to_string()).map(|user| user.home)
        };
        Stores::of_user(keeper, uid, home)
    }

    fn of_root(keeper: &Variables) -> Stores {
        let own = owns(keeper).into_iter();
        let own = own
            .zip([SYSTEM, SYSTEM_SEALED])
            .map(|((own, is_sealed), usual)| (own.unwrap_or_else(|| usual.to_owned()), is_sealed));
        let roots = ROOTS.map(|(store, is_sealed)| (store.to_owned(), is_sealed));
        Stores {
            directories: own.chain(roots).collect(),
            are_roots: true,
        }
    }

    /// A user's are in the places of the XDG directories, and root's are not looked into (systemd.exec(5)).
    fn of_user(
        keeper: &Variables,
        uid: u32,
        home_of_table: impl FnOnce() -> Option<String>,
    ) -> Stores {
        let is_path = |path: &String| path.len() > 1 && path.starts_with('/');
        let home = keeper.directory("HOME");
        let home = home.or_else(|| home_of_table().filter(is_path));
        let below = |end: &str| home.as_ref().map(|home| format!("{home}/{end}"));
        let config = keeper.directory("XDG_CONFIG_HOME");
        let runtime = keeper.directory("XDG_RUNTIME_DIR");
        let places: Vec<String> = [
            config.or_else(|| below(".config")),
            Some(runtime.unwrap_or_else(|| format!("/run/user/{uid}"))),
            below(".local/lib"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let own = owns(keeper).into_iter();
        let own = own.filter_map(|(own, is_sealed)| Some((own?, is_sealed)));
        let plain = places
            .iter()
            .map(|place| (format!("{place}/credstore"), false));
        let sealed = places.iter();
        let sealed = sealed.map(|place| (format!("{place}/credstore.encrypted"), true));
        Stores {
            directories: own.chain(plain).chain(sealed).collect(),
            are_roots: false,
        }
    }

    #[cfg(test)]
    pub(super) fn from(directories: Vec<(String, bool)>, are_roots: bool) -> Stores {
        Stores {
            directories,
            are_roots,
        }
    }

    /// Does this error of a store mean that nothing is there? To a user a store that can't be read is none.
    pub(super) fn is_absent(&self, error: &io::Error) -> bool {
        match error.kind() {
            io::ErrorKind::NotFound => true,
            io::ErrorKind::PermissionDenied => !self.are_roots,
            _ => false,
        }
    }
}

/// The directories that the manager was handed, the second of sealed ones.
fn owns(keeper: &Variables) -> [(Option<String>, bool); 2] {
    [
        (keeper.directory("CREDENTIALS_DIRECTORY"), false),
        (keeper.directory("ENCRYPTED_CREDENTIALS_DIRECTORY"), true),
    ]
}

/// Where ConditionCredential= looks: what the manager was handed, and what the whole system was.
pub(crate) fn handed(keeper: &Variables) -> Vec<String> {
    let own = owns(keeper).into_iter().filter_map(|(own, _)| own);
    own.chain([SYSTEM.to_owned(), SYSTEM_SEALED.to_owned()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stores: &Stores) -> String {
        let tell = |(path, is_sealed): &(String, bool)| {
            format!("{path}{}", if *is_sealed { "!" } else { "" })
        };
        let all: Vec<String> = stores.directories.iter().map(tell).collect();
        all.join(" ")
    }

    #[test]
    fn a_users_stores_are_its_own_and_roots_are_the_systems() {
        let check = |lines: &str, home: Option<&str>, expected: &str| {
            let variables = Variables::from_bytes(lines.as_bytes());
            let stores = Stores::of_user(&variables, 7, || home.map(str::to_owned));
            assert_eq!(told(&stores), expected, "{lines:?}");
        };
        check(
            "HOME=/h\0CREDENTIALS_DIRECTORY=/c\0XDG_RUNTIME_DIR=/r\0",
            None,
            "/c /h/.config/credstore /r/credstore /h/.local/lib/credstore /h/.config/credstore.encrypted! /r/credstore.encrypted! /h/.local/lib/credstore.encrypted!",
        );
        check(
            "XDG_CONFIG_HOME=/x\0CREDENTIALS_DIRECTORY=relative",
            Some("/t"),
            "/x/credstore /run/user/7/credstore /t/.local/lib/credstore /x/credstore.encrypted! /run/user/7/credstore.encrypted! /t/.local/lib/credstore.encrypted!",
        );
        check(
            "",
            Some("/"),
            "/run/user/7/credstore /run/user/7/credstore.encrypted!",
        );
        let variables = Variables::from_bytes(b"ENCRYPTED_CREDENTIALS_DIRECTORY=/e");
        let roots = told(&Stores::of_root(&variables));
        assert!(
            roots.starts_with("/run/credentials/@system /e! /etc/credstore "),
            "{roots}"
        );
    }
}
