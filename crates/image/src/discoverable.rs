//! The Discoverable Partitions Specification: which partition type means what, for which processor.

use model::value::Designator;
use serde::{Deserialize, Serialize};

use crate::guid::Guid;

/// Processors that images are made for, and the partition types of each: root, its verity data, its signature, and the same of /usr.
struct Row {
    /// As `ConditionArchitecture=` spells it.
    architecture: &'static str,
    kinds: [Guid; 6],
}

/// What the six types of a row are for.
const PURPOSES: [Purpose; 6] = [
    Purpose::Root,
    Purpose::Verity,
    Purpose::Signature,
    Purpose::Usr,
    Purpose::UsrVerity,
    Purpose::UsrSignature,
];

const fn row(architecture: &'static str, kinds: [u128; 6]) -> Row {
    let [a, b, c, d, e, f] = kinds;
    Row {
        architecture,
        kinds: [
            Guid::from_u128(a),
            Guid::from_u128(b),
            Guid::from_u128(c),
            Guid::from_u128(d),
            Guid::from_u128(e),
            Guid::from_u128(f),
        ],
    }
}

/// One row per processor: another is another row.
const ROWS: &[Row] = &[
    row(
        "x86-64",
        [
            0x4f68bce3_e8cd_4db1_96e7_fbcaf984b709,
            0x2c7357ed_ebd2_46d9_aec1_23d437ec2bf5,
            0x41092b05_9fc8_4523_994f_2def0408b176,
            0x8484680c_9521_48c6_9c11_b0720656f69e,
            0x77ff5f63_e7b6_4633_acf4_1565b864c0e6,
            0xe7bb33fb_06cf_4e81_8273_e543b413e2e2,
        ],
    ),
    row(
        "x86",
        [
            0x44479540_f297_41b2_9af7_d131d5f0458a,
            0xd13c5d3b_b5d1_422a_b29f_9454fdc89d76,
            0x5996fc05_109c_48de_808b_23fa0830b676,
            0x75250d76_8cc6_458e_bd66_bd47cc81a812,
            0x8f461b0d_14ee_4e81_9aa9_049b6fb97abd,
            0x974a71c0_de41_43c3_be5d_5c5ccd1ad2c0,
        ],
    ),
    row(
        "arm64",
        [
            0xb921b045_1df0_41c3_af44_4c6f280d3fae,
            0xdf3300ce_d69f_4c92_978c_9bfb0f38d820,
            0x6db69de6_29f4_4758_a7a5_962190f00ce3,
            0xb0e01050_ee5f_4390_949a_9101b17104e9,
            0x6e11a4e7_fbca_4ded_b9e9_e1a512bb664e,
            0xc23ce4ff_44bd_4b00_b2d4_b41b3419e02a,
        ],
    ),
    row(
        "arm",
        [
            0x69dad710_2ce4_4e3c_b16c_21a1d49abed3,
            0x7386cdf2_203c_47a9_a498_f2ecce45a2d6,
            0x42b0455f_eb11_491d_98d3_56145ba9d037,
            0x7d0359a3_02b3_4f0a_865c_654403e70625,
            0xc215d751_7bcd_4649_be90_6627490a4c05,
            0xd7ff812f_37d1_4902_a810_d76ba57b975a,
        ],
    ),
    row(
        "riscv64",
        [
            0x72ec70a6_cf74_40e6_bd49_4bda08e8f224,
            0xb6ed5582_440b_4209_b8da_5ff7c419ea3d,
            0xefe0f087_ea8d_4469_821a_4c2a96a8386a,
            0xbeaec34b_8442_439b_a40b_984381ed097d,
            0x8f1056be_9b05_47c4_81d6_be53128e5b54,
            0xd2f9000a_7a18_453f_b5cd_4d32f77a7b32,
        ],
    ),
    row(
        "riscv32",
        [
            0x60d5a7fe_8e7d_435c_b714_3dd8162144e1,
            0xae0253be_1167_4007_ac68_43926c14c5de,
            0x3a112a75_8729_4380_b4cf_764d79934448,
            0xb933fb22_5c3f_4f91_af90_e2bb0fa50702,
            0xcb1ee4e3_8cd0_4136_a0a4_aa61a32e8730,
            0xc3836a13_3137_45ba_b583_b16c50fe5eb4,
        ],
    ),
    row(
        "loongarch64",
        [
            0x77055800_792c_4f94_b39a_98c91b762bb6,
            0xf3393b22_e9af_4613_a948_9d3bfbd0c535,
            0x5afb67eb_ecc8_4f85_ae8e_ac1e7c50e7d0,
            0xe611c702_575c_4cbe_9a46_434fa0bf7e3f,
            0xf46b2c26_59ae_48f0_9106_c50ed47f673d,
            0xb024f315_d330_444c_8461_44bbde524e99,
        ],
    ),
];

/// Types that are the same for every processor.
const COMMON: &[(Purpose, Guid)] = &[
    (
        Purpose::Home,
        Guid::from_u128(0x933ac7e1_2eb4_4f13_b844_0e14e2aef915),
    ),
    (
        Purpose::Srv,
        Guid::from_u128(0x3b8f8425_20e0_4f3b_907f_1a25a76f98e8),
    ),
    (
        Purpose::Var,
        Guid::from_u128(0x4d21b016_b534_45c2_a9fb_5c16e091fd2d),
    ),
    (
        Purpose::Tmp,
        Guid::from_u128(0x7ec6f557_3bc5_4aca_b293_16ef5df639d1),
    ),
    (
        Purpose::Swap,
        Guid::from_u128(0x0657fd6d_a4ab_43c4_84e5_0933c84b4f4f),
    ),
    (
        Purpose::Esp,
        Guid::from_u128(0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b),
    ),
    (
        Purpose::Xbootldr,
        Guid::from_u128(0xbc13c2ff_59e6_4262_a352_b275fd6f7172),
    ),
    (
        Purpose::Generic,
        Guid::from_u128(0x0fc63daf_8483_4772_8e79_3d69d8477de4),
    ),
];

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The root file system.
    Root,
    /// Its verity data.
    Verity,
    /// Its signature.
    Signature,
    /// `/usr`.
    Usr,
    /// Its verity data.
    UsrVerity,
    /// Its signature.
    UsrSignature,
    /// `/home`.
    Home,
    /// `/srv`.
    Srv,
    /// `/var`.
    Var,
    /// `/var/tmp`.
    Tmp,
    /// Swap.
    Swap,
    /// The EFI system partition.
    Esp,
    /// The extended boot loader partition.
    Xbootldr,
    /// Some file system of Linux.
    Generic,
}

impl Purpose {
    /// Its name in words about an image.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Root => "root",
            Purpose::Verity => "verity",
            Purpose::Signature => "verity signature",
            Purpose::Usr => "/usr",
            Purpose::UsrVerity => "/usr verity",
            Purpose::UsrSignature => "/usr verity signature",
            Purpose::Home => "home",
            Purpose::Srv => "srv",
            Purpose::Var => "var",
            Purpose::Tmp => "tmp",
            Purpose::Swap => "swap",
            Purpose::Esp => "EFI system",
            Purpose::Xbootldr => "boot loader",
            Purpose::Generic => "Linux",
        }
    }

    /// The same with the word "partition".
    #[must_use]
    pub fn partition(self) -> &'static str {
        match self {
            Purpose::Root => "root partition",
            Purpose::Usr => "/usr partition",
            Purpose::Home => "home partition",
            Purpose::Srv => "srv partition",
            Purpose::Var => "var partition",
            Purpose::Tmp => "tmp partition",
            Purpose::Verity => "verity partition",
            Purpose::Signature => "verity signature partition",
            Purpose::UsrVerity => "/usr verity partition",
            Purpose::UsrSignature => "/usr verity signature partition",
            _ => "partition",
        }
    }

    /// The same for what may be a whole image.
    #[must_use]
    pub fn partition_in_words(self) -> &'static str {
        match self {
            Purpose::Root => "root file system",
            Purpose::Esp => "EFI system partition",
            Purpose::Xbootldr => "boot loader partition",
            Purpose::Swap => "swap partition",
            _ => self.partition(),
        }
    }

    /// Whether an image may have several of them, of which the newest counts.
    #[must_use]
    pub fn has_versions(self) -> bool {
        PURPOSES.contains(&self)
    }

    /// As image policies call it; a generic partition has no name there.
    #[must_use]
    pub fn designator(self) -> Option<Designator> {
        Some(match self {
            Purpose::Root => Designator::Root,
            Purpose::Verity => Designator::RootVerity,
            Purpose::Signature => Designator::RootVeritySig,
            Purpose::Usr => Designator::Usr,
            Purpose::UsrVerity => Designator::UsrVerity,
            Purpose::UsrSignature => Designator::UsrVeritySig,
            Purpose::Home => Designator::Home,
            Purpose::Srv => Designator::Srv,
            Purpose::Var => Designator::Var,
            Purpose::Tmp => Designator::Tmp,
            Purpose::Swap => Designator::Swap,
            Purpose::Esp => Designator::Esp,
            Purpose::Xbootldr => Designator::Xbootldr,
            Purpose::Generic => return None,
        })
    }
}

/// What a partition type means: purpose, and the processor (as `ConditionArchitecture=` spells it) where it is for one.
#[must_use]
pub fn purpose(kind: Guid) -> Option<(Purpose, Option<&'static str>)> {
    let common = COMMON.iter().find(|(_, known)| *known == kind);
    if let Some((purpose, _)) = common {
        return Some((*purpose, None));
    }
    ROWS.iter().find_map(|row| {
        let place = row.kinds.iter().position(|known| *known == kind)?;
        Some((*PURPOSES.get(place)?, Some(row.architecture)))
    })
}

/// The partition type of a purpose on a processor.
#[must_use]
pub fn kind(purpose: Purpose, architecture: &str) -> Option<Guid> {
    if let Some((_, kind)) = COMMON.iter().find(|(known, _)| *known == purpose) {
        return Some(*kind);
    }
    let row = ROWS.iter().find(|row| row.architecture == architecture)?;
    let place = PURPOSES.iter().position(|known| *known == purpose)?;
    row.kinds.get(place).copied()
}

/// The processor that this program runs on; `None` where it has no row.
#[must_use]
pub fn native() -> Option<&'static str> {
    let own = model::facts::native();
    ROWS.iter()
        .map(|row| row.architecture)
        .find(|architecture| *architecture == own)
}

/// The other processor whose programs this one runs as well, where there is one; its partitions count where there are none of its own.
#[must_use]
pub fn secondary() -> Option<&'static str> {
    match native()? {
        "x86-64" => Some("x86"),
        "arm64" => Some("arm"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_again_under_its_own_processor() {
        let mut seen = Vec::new();
        for row in ROWS {
            for purpose_of in PURPOSES {
                let kind = kind(purpose_of, row.architecture).unwrap();
                assert_eq!(purpose(kind), Some((purpose_of, Some(row.architecture))));
                assert!(!seen.contains(&kind), "{kind:?} stands twice");
                seen.push(kind);
            }
        }
        for (purpose_of, kind) in COMMON {
            assert_eq!(purpose(*kind), Some((*purpose_of, None)));
            assert!(!seen.contains(kind));
        }
        assert_eq!(purpose(Guid::NIL), None);
        assert!(
            native().is_some(),
            "images are built and tested on processors that have a row"
        );
    }
}
