//! OOMPolicy=: the kernel killed a process of a service for lack of memory.

use crate::config::OomPolicy;
use crate::engine::Engine;
use crate::id::UnitId;
use crate::service::stop::Time;
use crate::state::{Phase, Round, UnitResult};

impl Engine {
    pub(crate) fn out_of_memory(&mut self, id: UnitId) {
        let Some(phase) = self.run(id).map(|run| run.phase) else {
            return;
        };
        let kills = match self.service(id).oom {
            OomPolicy::Continue => return,
            OomPolicy::Stop => false,
            OomPolicy::Kill => true,
        };
        let result = UnitResult::OomKill;
        match phase {
            // What is on its last way has nothing stronger before it.
            Phase::StopKill(Round::Kill) | Phase::FinalKill(Round::Kill) => {
                if let Some(run) = self.run_mut(id) {
                    run.note(result);
                }
            }
            Phase::StopKill(_) => self.send_round(id, Time::Stop, Round::Kill, result),
            Phase::StopPost | Phase::FinalKill(_) => {
                self.kill_control(id);
                self.send_round(id, Time::Final, Round::Kill, result);
            }
            _ if kills => {
                self.kill_control(id);
                self.send_round(id, Time::Final, Round::Kill, result);
            }
            Phase::Condition | Phase::StartPre | Phase::Start | Phase::StartPost | Phase::Stop => {
                self.stop_signals(id, result)
            }
            Phase::Reload
            | Phase::ReloadSignal { .. }
            | Phase::ReloadNotify
            | Phase::ReloadPost
            | Phase::Running
            | Phase::Exited => {
                self.kill_control(id);
                self.stop_commands(id, result);
            }
        }
    }
}
