//! Processes on record that the keeper does not have. A new keeper where one was killed: what that one had started lives on if an outer
//! init took it, and is watched again; what only that one held is lost, and said to be. And the same keeper, where the manager before us
//! had no time to ask it to watch what a service had named as its main process.

use crate::cgroup::member;
use crate::manager::Manager;
use engine::{Incarnation, Input, ProcessKey, Role, State};
use keeper::protocol::Exit;
use model::UnitKind;
use model::sorted::Set;
use std::rc::Rc;

/// A process on record that this keeper does not have.
struct Missing {
    process: ProcessKey,
    role: Role,
    pid: Option<u32>,
    group: String,
}

impl Manager {
    /// Finds processes that this keeper does not have. Their control groups are the proof: a number alone may be another's by now.
    pub(crate) fn adopt_survivors(&mut self) {
        let keeper_is_new = self.keeper.restarts == 0;
        for missing in self.missing() {
            match missing.pid {
                Some(pid) => self.adopt_survivor(&missing, pid, keeper_is_new),
                // It was asked for, and nobody knows whether it came to be: it is asked for again, so it must not be there twice.
                None if keeper_is_new => self.kill_group(&missing.group),
                None => {}
            }
        }
    }

    fn missing(&self) -> Vec<Missing> {
        let mut found = Vec::new();
        for entry in self.units.values() {
            for run in &entry.runs {
                let lost = run
                    .processes
                    .iter()
                    .filter(|process| process.ended.is_none() && process.pidfd.is_none());
                found.extend(lost.filter_map(|process| {
                    Some(Missing {
                        process: ProcessKey {
                            unit: entry.id,
                            incarnation: Incarnation(run.incarnation),
                            serial: process.serial,
                        },
                        role: process.role,
                        pid: process.pid,
                        group: run.cgroup.clone()?,
                    })
                }));
            }
        }
        found
    }

    fn adopt_survivor(&mut self, missing: &Missing, pid: u32, keeper_is_new: bool) {
        let Some(pidfd) = member(pid, &missing.group) else {
            if self.may_hand_over(missing.process) {
                self.ended(missing.process, Exit::Unknown);
            }
            return;
        };
        let Some(key) = self.child_key(missing.process) else {
            return;
        };
        let own = pidfd.try_clone().ok();
        let role = crate::run::role_number(missing.role);
        self.link.watch(key, role, pid, pidfd);
        let process = missing.process;
        if let Some(known) = self
            .run_mut(process.unit, process.incarnation)
            .and_then(|run| run.process(process.serial))
        {
            known.pidfd = own;
        }
        self.inputs.push_back(Input::Alive { process });
        if keeper_is_new {
            let text = "its keeper was killed, it lives on; its exit status will not be known";
            self.log_about(process.unit, text);
        }
    }

    fn kill_group(&self, group: &str) {
        if let Some(cgroups) = &self.cgroups
            && cgroups.is_populated(group)
            && !cgroups.kill(group)
        {
            self.log(&format!("the control group {group} can't be killed"));
        }
    }

    /// Numbers of dynamic users whose locks went with a keeper are locked again, before another instance takes one.
    pub(crate) fn lock_users_again(&mut self, held: &Set<String>) {
        let users: Vec<_> = self
            .units
            .values()
            .flat_map(|entry| &entry.runs)
            .filter_map(|run| run.user.clone())
            .filter(|user| user.dynamic)
            .collect();
        for user in users {
            let name = crate::identity::lock_name(user.uid);
            if held.contains(&name) {
                continue;
            }
            match crate::dynamic_user::lock_again(user.uid, &user.name) {
                Ok(Some(lock)) => {
                    self.link
                        .hold(keeper::protocol::Class::Other, &name, Rc::new(lock))
                }
                Ok(None) => self.log(&format!(
                    "the number {} of the dynamic user {} was taken while no keeper held it",
                    user.uid, user.name
                )),
                Err(errno) => self.log(&format!("user {} can't be locked: {errno}", user.uid)),
            }
        }
    }

    /// Socket units whose sockets went with a keeper do not listen any more.
    pub(crate) fn fail_lost_sockets(&mut self) {
        let lost: Vec<Input> = self
            .units
            .values()
            .filter(|entry| entry.name.kind() == UnitKind::Socket)
            .filter(|entry| entry.sockets.is_empty())
            .filter_map(|entry| match self.engine.state(entry.id)? {
                State::Socket(run) if run.phase.has_sockets() => Some(Input::SocketsFailed {
                    unit: entry.id,
                    incarnation: self.engine.snapshot(entry.id)?.incarnation,
                }),
                _ => None,
            })
            .collect();
        self.inputs.extend(lost);
    }
}
