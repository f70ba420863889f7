//! Random times without a source of chance: what is drawn depends on the engine's seed and on what it is drawn for, so that an engine
//! that was restored draws the same.

use crate::engine::Engine;
use crate::id::{Micros, UnitId};

/// What a random time is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Jitter {
    /// RuntimeRandomizedExtraSec=
    Runtime,
    /// RestartRandomizedDelaySec=
    Restart,
}

impl Engine {
    /// A time from nothing to `most`, for the current run of a unit.
    pub(crate) fn jitter(&self, id: UnitId, jitter: Jitter, most: Micros) -> Micros {
        if most.0 == 0 || most.is_infinite() {
            return Micros(0);
        }
        let run = self.unit(id).incarnation.0;
        let start = mix(self.seed ^ mix(run.wrapping_add(jitter as u64 + 1)));
        let drawn = (self.name(id).bytes()).fold(start, |sum, byte| mix(sum ^ u64::from(byte)));
        // The high half of a product: every microsecond alike.
        let part = (u128::from(drawn) * (u128::from(most.0) + 1)) >> 64;
        Micros(u64::try_from(part).unwrap_or(most.0))
    }
}

/// The finish of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ServiceType, UnitConfig};
    use crate::input::Input;

    #[test]
    fn times_are_spread_over_the_whole_span_and_drawn_again_alike() {
        let drawn: Vec<u64> = (0..1000)
            .map(|seed| {
                let draw = || {
                    let mut engine = Engine::with_seed(seed);
                    let config = UnitConfig::service("web.service", ServiceType::Simple);
                    drop(engine.step(Micros(0), Input::Configure(Box::new(config))));
                    let id = engine.id("web.service").unwrap();
                    engine.jitter(id, Jitter::Restart, Micros(9)).0
                };
                assert_eq!(draw(), draw());
                draw()
            })
            .collect();
        for number in 0..10 {
            let count = drawn.iter().filter(|&&one| one == number).count();
            assert!((50..200).contains(&count), "{number}: {count} of 1000");
        }
    }
}
