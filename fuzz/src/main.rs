//! One target of [`targets::TARGETS`] under libFuzzer: which one, the variable `CORACLE_FUZZ_TARGET` says.

#![no_main]

mod bus;
mod chunks;
mod targets;

use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let wanted = std::env::var("CORACLE_FUZZ_TARGET").unwrap_or_default();
        let target = targets::TARGETS.iter().find(|(name, _)| *name == wanted);
        let Some((_, work)) = target else {
            panic!("CORACLE_FUZZ_TARGET={wanted:?} is none of the targets");
        };
        TARGET.set(*work).expect("set once");
    },
    |bytes: &[u8]| {
        if let Some(work) = TARGET.get() {
            work(bytes);
        }
    }
);
