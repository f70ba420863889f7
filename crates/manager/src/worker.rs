//! Processes of ours that do for the manager what may take long or go wrong, planned like every other process.

use crate::link::NewProcess;
use crate::manager::Manager;
use crate::start::report_pair;
use keeper::protocol::ChildKey;
use model::{Unit, key};
use plan::{Bindings, Passed};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use wire::Failure;

impl Manager {
    /// Has the keeper start a worker, whose standard input is this end of a socket to us.
    pub(crate) fn spawn_worker(
        &mut self,
        key: ChildKey,
        label: &str,
        plan: &[u8],
        input: OwnedFd,
    ) -> std::io::Result<()> {
        let (report, report_end) = report_pair(false)?;
        let plan = kernel::memory::sealed_file(c"plan", plan)?;
        self.link.spawn(NewProcess {
            key,
            role: 0,
            label: label.into(),
            new_pid_namespace: false,
            plan,
            cgroup: None,
            report: report_end,
            child: vec![Rc::new(input)],
            kept: report,
        });
        Ok(())
    }

    /// The plan of a worker that has a socket to us as its standard input.
    pub(crate) fn plan_worker(&self, worker: &Unit) -> Result<Vec<u8>, Failure> {
        let broken = |error: String| Failure::Internal {
            message: format!("the worker {} can't be planned: {error}", worker.name()),
        };
        let situation = plan::Situation {
            position: self.position(),
            runtime_dir: &self.directories.runtime.to_string_lossy(),
            // It has none.
            credentials_root: "",
            notify_socket: None,
            stub: false,
            may_take_over: &|_| true,
            quota_trouble: &|_, _| None,
            may_reduce: &|_| true,
        };
        let planned = plan::plan(worker, &self.facts, &situation)
            .map_err(|refusal| broken(refusal.to_string()))?;
        let commands = worker.value(&key::EXEC_START);
        let bindings = Bindings {
            descriptors: vec![Passed {
                role: plan::Role::Input,
                name: String::new(),
            }],
            command: commands.first(),
            ..Bindings::default()
        };
        planned
            .bind(&bindings)
            .map_err(|error| broken(error.to_string()))
    }
}
