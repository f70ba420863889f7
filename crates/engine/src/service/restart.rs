//! A run is over: is there another one, and when.

use crate::cause::Cause;
use crate::config::{JobMode, Restart, ServiceConfig, ServiceType};
use crate::engine::Engine;
use crate::id::{Micros, UnitId};
use crate::input::JobKind;
use crate::jitter::Jitter;
use crate::service::health::HealthFailure;
use crate::state::{State, UnitResult};

impl Engine {
    /// The end of a run: released, and either down or waiting for the restart.
    pub(crate) fn service_down(&mut self, id: UnitId, result: UnitResult, may_restart: bool) {
        let service = self.service(id);
        if service.table.is_some() && self.unit(id).in_table {
            return self.stays_in(id);
        }
        let Some(run) = self.run_mut(id) else { return };
        run.note(result);
        run.control = None;
        let (result, asked, was) = (run.result, run.stop_asked, run.sub());
        if self.go_back(id, result) {
            return;
        }
        self.unit_mut(id).last_result = result;
        self.release(id);
        let clean = matches!(result, UnitResult::Success | UnitResult::ExecCondition);
        let down = if clean {
            State::Dead
        } else {
            State::Failed { result, was }
        };
        if !may_restart || asked || !self.wants_restart(id, &service, result) {
            return self.change(id, down);
        }
        if !service.restart_direct {
            self.change_before_restart(id, down);
        }
        let delay = restart_delay(&service, self.unit(id).restarts + 1);
        let jitter = self.jitter(id, Jitter::Restart, service.restart_jitter);
        let until = self.now.after(delay).after(jitter);
        self.change(
            id,
            State::AutoRestart {
                result,
                until: Some(until),
            },
        );
    }

    fn wants_restart(&self, id: UnitId, service: &ServiceConfig, result: UnitResult) -> bool {
        let heals = (service.health.as_ref())
            .is_some_and(|health| health.on_failure == HealthFailure::Restart);
        if heals && result == UnitResult::Unhealthy {
            return true;
        }
        let status = self.unit(id).main_status;
        if status.is_some_and(|status| service.restart_prevent.has(status)) {
            return false;
        }
        use UnitResult::{CoreDump, ExecCondition, ExitCode, Signal, Success, Watchdog};
        if status.is_some_and(|status| service.restart_force.has(status)) {
            // A oneshot that did its work has nothing to do again (systemd.service(5)).
            return service.service_type != ServiceType::Oneshot || result != Success;
        }
        match service.restart {
            Restart::No => false,
            Restart::Always => result != ExecCondition,
            Restart::OnSuccess => result == Success,
            Restart::OnFailure => !matches!(result, Success | ExecCondition),
            Restart::OnAbnormal => !matches!(result, Success | ExitCode | ExecCondition),
            Restart::OnWatchdog => result == Watchdog,
            Restart::OnAbort => matches!(result, Signal | CoreDump),
        }
    }

    /// RestartSec= is over, or somebody who starts the unit does not wait for it.
    pub(crate) fn restart_due(&mut self, id: UnitId) {
        let State::AutoRestart { result, .. } = self.unit(id).state else {
            return;
        };
        if self
            .unit(id)
            .job
            .as_ref()
            .is_some_and(|job| job.kind == JobKind::Stop)
        {
            return;
        }
        let name = self.name(id);
        let unit = self.unit_mut(id);
        unit.restarts = unit.restarts.saturating_add(1);
        let count = unit.restarts;
        let cause = unit.cause.and(Cause::AutoRestart { unit: name, count });
        self.cause = cause.clone();
        self.change(
            id,
            State::AutoRestart {
                result,
                until: None,
            },
        );
        if let Err(refusal) = self.request(id, JobKind::Restart, JobMode::Replace, &cause, true) {
            self.log(id, refusal.to_string());
            self.leave_auto_restart(id);
        }
    }

    /// The automatic restart does not happen: the unit is down as its last run left it.
    pub(crate) fn leave_auto_restart(&mut self, id: UnitId) {
        let was = self.unit(id).state.sub();
        let result = self.unit(id).last_result;
        let state = if result == UnitResult::Success {
            State::Dead
        } else {
            State::Failed { result, was }
        };
        self.change(id, state);
    }
}

/// RestartSec=, growing over RestartSteps= to RestartMaxDelaySec=; `next` counts the restarts from 1.
fn restart_delay(service: &ServiceConfig, next: u32) -> Micros {
    let (most, steps) = (service.restart_max_delay, service.restart_steps);
    let first = service.restart_delay.min(most);
    if next <= 1 || steps == 0 || first.0 == 0 || most.is_infinite() || first >= most {
        return first;
    }
    if next > steps {
        return most;
    }
    let growth = raised(root(most.0 as f64 / first.0 as f64, steps), next - 1);
    Micros((first.0 as f64 * growth).round() as u64)
}

/// The root of a number from 1 on, by halving: the C library's way to powers that are no whole numbers is eight kilobytes of tables.
fn root(number: f64, degree: u32) -> f64 {
    let (mut low, mut high) = (1.0, number);
    // More halvings than a float has bits, and bits of an exponent.
    for _ in 0..128 {
        let middle = low + (high - low) / 2.0;
        if raised(middle, degree) < number {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// A whole power, by squaring.
fn raised(mut base: f64, mut exponent: u32) -> f64 {
    let mut power = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            power *= base;
        }
        base *= base;
        exponent /= 2;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServiceType;

    #[test]
    fn the_delay_grows_by_steps_to_the_greatest() {
        let mut service = ServiceConfig::new(ServiceType::Simple);
        service.restart_delay = Micros::seconds(1);
        service.restart_steps = 3;
        service.restart_max_delay = Micros::seconds(8);
        let delays: Vec<String> = (1..=5)
            .map(|next| restart_delay(&service, next).to_string())
            .collect();
        assert_eq!(delays.join(" "), "1.000s 2.000s 4.000s 8.000s 8.000s");
    }

    #[test]
    fn it_grows_as_powers_do() {
        let cases = [
            (1, 2, 1),
            (20_000, 7, 5),
            (999_999, 99_999, 63),
            (3, 1_000_000, 1000),
        ];
        for (first, factor, steps) in cases {
            let mut service = ServiceConfig::new(ServiceType::Simple);
            service.restart_delay = Micros(first);
            service.restart_steps = steps;
            service.restart_max_delay = Micros(first * factor);
            for next in 2..=steps {
                let part = f64::from(next - 1) / f64::from(steps);
                let expected = first as f64 * (factor as f64).powf(part);
                let found = restart_delay(&service, next).0 as f64;
                assert!(
                    (found - expected).abs() <= 1.0 + expected * 1e-9,
                    "{found}, {expected}"
                );
            }
        }
    }
}
