//! The Discoverable Partitions Specification: which partition type means what, for which processor.

use crate::guid::Guid;

/// Processors that images are made for, and the three partition types of each.
struct Row {
    /// As `ConditionArchitecture=` spells it.
    architecture: &'static str,
    /// As Rust spells it.
    rust: &'static str,
    root: Guid,
    verity: Guid,
    signature: Guid,
}

/// One row per processor: another is another row.
const ROWS: &[Row] = &[
    Row {
        architecture: "x86-64",
        rust: "x86_64",
        root: Guid::from_u128(0x4f68bce3_e8cd_4db1_96e7_fbcaf984b709),
        verity: Guid::from_u128(0x2c7357ed_ebd2_46d9_aec1_23d437ec2bf5),
        signature: Guid::from_u128(0x41092b05_9fc8_4523_994f_2def0408b176),
    },
    Row {
        architecture: "arm64",
        rust: "aarch64",
        root: Guid::from_u128(0xb921b045_1df0_41c3_af44_4c6f280d3fae),
        verity: Guid::from_u128(0xdf3300ce_d69f_4c92_978c_9bfb0f38d820),
        signature: Guid::from_u128(0x6db69de6_29f4_4758_a7a5_962190f00ce3),
    },
    Row {
        architecture: "riscv64",
        rust: "riscv64",
        root: Guid::from_u128(0x72ec70a6_cf74_40e6_bd49_4bda08e8f224),
        verity: Guid::from_u128(0xb6ed5582_440b_4209_b8da_5ff7c419ea3d),
        signature: Guid::from_u128(0xefe0f087_ea8d_4469_821a_4c2a96a8386a),
    },
];

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The root file system.
    Root,
    /// Its verity data.
    Verity,
    /// Its signature.
    Signature,
}

/// What a partition type means: purpose and processor (as `ConditionArchitecture=` spells it).
#[must_use]
pub fn purpose(kind: Guid) -> Option<(Purpose, &'static str)> {
    ROWS.iter().find_map(|row| match kind {
        kind if kind == row.root => Some((Purpose::Root, row.architecture)),
        kind if kind == row.verity => Some((Purpose::Verity, row.architecture)),
        kind if kind == row.signature => Some((Purpose::Signature, row.architecture)),
        _ => None,
    })
}

/// The partition type of a purpose on a processor.
#[must_use]
pub fn kind(purpose: Purpose, architecture: &str) -> Option<Guid> {
    let row = ROWS.iter().find(|row| row.architecture == architecture)?;
    Some(match purpose {
        Purpose::Root => row.root,
        Purpose::Verity => row.verity,
        Purpose::Signature => row.signature,
    })
}

/// The processor that this program runs on; `None` where it has no row.
#[must_use]
pub fn native() -> Option<&'static str> {
    ROWS.iter()
        .find(|row| row.rust == std::env::consts::ARCH)
        .map(|row| row.architecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_again_under_its_own_processor() {
        for row in ROWS {
            for purpose_of in [Purpose::Root, Purpose::Verity, Purpose::Signature] {
                let kind = kind(purpose_of, row.architecture).unwrap();
                assert_eq!(purpose(kind), Some((purpose_of, row.architecture)));
            }
        }
        assert_eq!(purpose(Guid::NIL), None);
        assert!(
            native().is_some(),
            "images are built and tested on processors that have a row"
        );
    }
}
