//! Who a run's processes are: User=, Group= and DynamicUser= looked up in the host's tables.

use crate::dynamic_user;
use crate::manager::Manager;
use crate::run::RunUser;
use crate::users::Tables;
use engine::UnitId;
use keeper::protocol::Class;
use model::key;
use std::rc::Rc;
use wire::Failure;

/// How the names of dynamic users' locks begin.
pub(crate) const LOCK: &str = "user|";

/// The name under which the keeper holds a dynamic user's lock.
pub(crate) fn lock_name(uid: u32) -> String {
    format!("{LOCK}{uid}")
}

impl Manager {
    /// The user of a unit's next run; `None` where it says nothing and runs as the manager.
    pub(crate) fn resolve_user(&mut self, id: UnitId) -> Result<Option<RunUser>, Failure> {
        let Some(entry) = self.units.get(&id) else {
            return Ok(None);
        };
        let (unit, name) = (Rc::clone(&entry.unit), entry.name.clone());
        let (user, group) = (unit.get(&key::USER), unit.get(&key::GROUP));
        let supplementary = unit.get(&key::SUPPLEMENTARY_GROUPS);
        let dynamic = unit.value(&key::DYNAMIC_USER);
        if user.is_none() && group.is_none() && supplementary.is_none() && !dynamic {
            return Ok(None);
        }
        let tables = self.later.tables.current();
        let tables = tables.map_err(|error| self.internal(id, "read the user tables", &error))?;
        let refused = |directive: &str, message: String| Failure::Refused {
            unit: name.to_string(),
            directive: directive.into(),
            message,
        };
        let login = user.map_or_else(
            || dynamic_user::name_for(name.prefix(), &tables),
            |account| account.as_str().to_owned(),
        );
        let mut found = if dynamic && !tables.has_user(&login) {
            self.dynamic_user(id, &login, &tables)?
        } else {
            let asked = user.map_or("root", |account| account.as_str());
            let known = tables.user(asked).ok_or_else(|| {
                refused(
                    "User",
                    format!("names a user that this host does not have: {asked}"),
                )
            })?;
            let groups = tables.groups_of(&known.name, known.gid);
            RunUser {
                name: known.name,
                uid: known.uid,
                gid: known.gid,
                groups,
                home: known.home,
                shell: known.shell,
                group: String::new(),
                dynamic: false,
            }
        };
        if let Some(group) = group
            && !(found.dynamic && group.as_str() == login)
        {
            let asked = group.as_str();
            found.gid = tables.group(asked).ok_or_else(|| {
                refused(
                    "Group",
                    format!("names a group that this host does not have: {asked}"),
                )
            })?;
        }
        if !(found.dynamic && found.gid == found.uid) {
            found.group = tables.group_name(found.gid).unwrap_or_default();
        }
        for group in supplementary.iter().flat_map(|groups| groups.iter()) {
            let asked = group.as_str();
            found.groups.push(tables.group(asked).ok_or_else(|| {
                refused(
                    "SupplementaryGroups",
                    format!("names a group that this host does not have: {asked}"),
                )
            })?);
        }
        model::order::sort(&mut found.groups);
        found.groups.dedup();
        Ok(Some(found))
    }

    fn dynamic_user(
        &mut self,
        id: UnitId,
        login: &str,
        tables: &Tables,
    ) -> Result<RunUser, Failure> {
        // An earlier run of the unit that still lives has the number already.
        let earlier = self.units.get(&id).and_then(|entry| {
            entry
                .runs
                .iter()
                .filter_map(|run| run.user.clone())
                .find(|user| user.dynamic && user.name == login)
        });
        if let Some(user) = earlier {
            return Ok(user);
        }
        let unit = self.name_of(id);
        let refused = |message| Failure::Refused {
            unit,
            directive: "DynamicUser".into(),
            message,
        };
        if tables.has_group(login) {
            return Err(refused(format!(
                "{login} is a group of this host, and no user of it: give User= a name of its own"
            )));
        }
        self.serve_users();
        // Started again at once: the number is locked still.
        let mut leaving = self.later.leaving_users.iter();
        let kept = leaving.position(|user| user.name == login);
        let uid = match kept.map(|place| self.later.leaving_users.remove(place).uid) {
            Some(uid) => uid,
            None => {
                let taken = dynamic_user::take(login, tables)
                    .map_err(|error| refused(error.to_string()))?;
                self.link
                    .hold(Class::Other, &lock_name(taken.uid), Rc::new(taken.lock));
                taken.uid
            }
        };
        Ok(RunUser {
            name: login.into(),
            uid,
            gid: uid,
            groups: vec![uid],
            home: "/".into(),
            shell: "/usr/sbin/nologin".into(),
            group: login.into(),
            dynamic: true,
        })
    }

    /// A dynamic user's number is to be given back, unless another run has it.
    pub(crate) fn give_user_back(&mut self, id: UnitId, user: &RunUser) {
        let still = self.units.get(&id).is_some_and(|entry| {
            entry
                .runs
                .iter()
                .any(|run| run.user.as_ref().is_some_and(|other| other.uid == user.uid))
        });
        if user.dynamic && !still {
            self.later.leaving_users.push(user.clone());
        }
    }

    /// Gives back the numbers that no run of this round took again, when nobody waits for it any more. The lock's file goes first.
    pub(crate) fn release_users(&mut self) {
        for user in std::mem::take(&mut self.later.leaving_users) {
            dynamic_user::give_back(user.uid);
            self.link.drop_held(Class::Other, &lock_name(user.uid));
        }
    }
}
