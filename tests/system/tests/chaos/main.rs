//! A world of services that serve, crash, fork, hang, ignore signals, flood the log and report, while manager, log process and image
//! workers are killed at moments that a seed says. Each service keeps a ledger, and so does everybody who asked something of one; at the
//! end all ledgers must be what Coracle recorded: nothing is lost, nothing is double, nothing is left.

mod load;
mod verdict;
mod world;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coracle_system_tests::moments::Moments;
use coracle_system_tests::{manager, waiting, with_units};
use rustix::process::Pid;
use world::World;

/// Kills in one run of the tests; `CORACLE_KILLS` asks for more.
const KILLS: u64 = 300;

/// The longest time between two kills, in microseconds: a manager dies anywhere from before its first answer to well after it.
const LIFE_US: u64 = 60_000;

/// The longest time from the first sight of a worker to its kill, in microseconds.
const WORKER_US: u64 = 40_000;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// Says how to have a failure again.
struct Replay {
    seed: u64,
    kills: u64,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Replay { seed, kills } = self;
            println!("Again with: cargo xtask chaos --kills {kills} --seed {seed}");
        }
    }
}

/// Kills one after the other, until enough died or something went wrong.
fn kill_again_and_again(keeper: Pid, replay: &Replay, goes_well: impl Fn() -> bool) {
    let mut moments = Moments::of(replay.seed, 0);
    for _ in 0..replay.kills {
        let victim = moments.below(10);
        let life = Duration::from_micros(moments.below(LIFE_US));
        let more = moments.below(WORKER_US);
        if !goes_well() {
            return;
        }
        match victim {
            0 => kill_worker(keeper, life, Duration::from_micros(more), &goes_well),
            1 | 2 => kill_supervised(keeper, "log", life),
            _ => kill_supervised(keeper, "manager", life),
        }
    }
}

fn kill_supervised(keeper: Pid, word: &str, life: Duration) {
    let victim = manager::supervised(keeper, word);
    std::thread::sleep(life);
    manager::kill(victim);
}

/// The innermost worker that is there some time after one was seen.
fn kill_worker(keeper: Pid, life: Duration, more: Duration, goes_well: impl Fn() -> bool) {
    std::thread::sleep(life);
    let mut more = more;
    let worker = waiting::eventually("an image worker", || {
        if !goes_well() {
            return Some(None);
        }
        manager::workers(keeper).first()?;
        std::thread::sleep(more);
        // On a fast machine it has done its work by then.
        more /= 2;
        manager::workers(keeper).pop().map(Some)
    });
    worker.into_iter().for_each(manager::kill);
}

#[test]
fn nothing_is_lost_whoever_is_killed_again_and_again() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let clock = now.map_or(1, |now| u64::from(now.subsec_nanos()));
    let replay = Replay {
        seed: number("CORACLE_SEED").unwrap_or(clock),
        kills: number("CORACLE_KILLS").unwrap_or(KILLS),
    };
    with_units(&[], |coracle| {
        let world = World::new(coracle, replay.seed);
        let keeper = coracle.process("KeeperPID");
        let before = manager::descriptors(keeper);
        let stop = AtomicBool::new(false);
        let account = std::thread::scope(|scope| {
            let actors = load::ACTORS.map(|actor| {
                let (world, stop) = (&world, &stop);
                scope.spawn(move || actor.act(world, stop))
            });
            kill_again_and_again(keeper, &replay, || {
                actors.iter().all(|actor| !actor.is_finished())
            });
            stop.store(true, Ordering::Relaxed);
            actors.map(|actor| actor.join().expect("an actor is well"))
        });
        println!("seed {}, kills {}: {account:?}", replay.seed, replay.kills);
        verdict::check(&world, &account);
        verdict::check_nothing_is_left(coracle, keeper, &before);
    });
}
