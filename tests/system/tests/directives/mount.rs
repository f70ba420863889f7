//! What mounts do. The name of a mount's unit says where it is, so the probe writes the file under it.

use coracle_system_tests::observations::{Files, Observation, units};

/// The lines of a mount at `$ROOM/$U`, whose unit the probe knows as `$M`.
macro_rules! mount {
    ($lines:literal) => {
        &[(
            "$U.lines",
            concat!("[Mount]\n", $lines, "LINE\nTimeoutSec=9s\n"),
        )]
    };
}

macro_rules! mounted {
    ($probe:expr) => {
        concat!(
            "M=$(coracle escape --path --suffix=mount $ROOM/$U); F=$CORACLE_CONFIG_DIR/units; cp $F/$U.lines $F/$M; coracle daemon-reload; ",
            $probe,
            "; coracle stop $M 2> /dev/null; rm $F/$M; coracle daemon-reload"
        )
    };
}

/// A mount whose commands tell how they are called.
const TELLS: Files = mount!("What=word\nType=tmpfs\nExecSearchPath=$ROOM/$U-bin:/usr/bin:/bin\n");
const MEMORY: Files = mount!("What=word\nType=tmpfs\n");
const NEEDS: Files = &[
    ("$U.lines", "[Mount]\nWhat=word\nType=tmpfs\n"),
    (
        "$U.service",
        "[Unit]\nLINE\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
    ),
];
const IS_NEEDED: &str =
    mounted!("coracle start $U; coracle is-active $M; coracle stop $U 2> /dev/null");
const TOLD: &str = mounted!(
    "mkdir -p $ROOM/$U-bin; for C in mount umount; do printf '#!/bin/sh\\necho %s \"$@\" >> $ROOM/$U-told\\nexec /bin/%s \"$@\"\\n' $C $C > $ROOM/$U-bin/$C; \
     chmod +x $ROOM/$U-bin/$C; done; coracle start $M; coracle stop $M; cat $ROOM/$U-told"
);

pub(crate) const MOUNT: &[Observation] = &[
    units(
        "What=other",
        mount!("Type=tmpfs\n"),
        mounted!("coracle start $M 2> /dev/null; findmnt -n -o SOURCE $ROOM/$U"),
        "other",
    ),
    units(
        "Where=/elsewhere",
        MEMORY,
        mounted!("coracle show -p LoadState --value $M"),
        "bad-setting",
    ),
    units(
        "Options=mode=0711",
        MEMORY,
        mounted!("coracle start $M; stat -c %a $ROOM/$U"),
        "711",
    ),
    units(
        "Type=ramfs",
        mount!("What=tmpfs\n"),
        mounted!("coracle start $M 2> /dev/null; findmnt -n -o FSTYPE $ROOM/$U"),
        "ramfs",
    ),
    units(
        "DirectoryMode=0710",
        mount!("What=/nonexistent\nType=ext4\n"),
        mounted!("coracle start $M 2> /dev/null; stat -c %a $ROOM/$U"),
        "710",
    ),
    units(
        "LazyUnmount=yes",
        MEMORY,
        mounted!(
            "coracle start $M; exec 3> $ROOM/$U/held; coracle stop $M 2> /dev/null; echo $?; exec 3>&-"
        ),
        "0",
    ),
    units(
        "ForceUnmount=yes",
        TELLS,
        TOLD,
        "mount word $ROOM/$U -t tmpfs\numount $ROOM/$U -c -f",
    ),
    units(
        "ReadWriteOnly=yes",
        TELLS,
        TOLD,
        "mount word $ROOM/$U -w -t tmpfs\numount $ROOM/$U -c",
    ),
    units(
        "SloppyOptions=yes",
        TELLS,
        TOLD,
        "mount word $ROOM/$U -s -t tmpfs\numount $ROOM/$U -c",
    ),
];

/// What lies at the place of an automount unit, whose unit the probe knows as `$A`, until somebody comes.
const LATER: Files = &[
    (
        "$U.lines",
        "[Mount]\nWhat=word\nType=tmpfs\nTimeoutSec=9s\n",
    ),
    ("$U.later", "[Automount]\nLINE\n"),
];
macro_rules! later {
    ($probe:literal) => {
        mounted!(concat!(
            "A=${M%.mount}.automount; cp $F/$U.later $F/$A; coracle daemon-reload; coracle start $A; ",
            $probe,
            "; coracle stop $A; rm $F/$A"
        ))
    };
}

pub(crate) const AUTOMOUNT: &[Observation] = &[
    units(
        "DirectoryMode=0710",
        LATER,
        later!("coracle stop $A; stat -c %a $ROOM/$U"),
        "710",
    ),
    units(
        "ExtraOptions=ignore",
        LATER,
        later!("findmnt -n -t autofs -o OPTIONS $ROOM/$U | grep -o ignore"),
        "ignore",
    ),
    units(
        "TimeoutIdleSec=1s",
        LATER,
        later!(
            "ls $ROOM/$U; timeout 4 sh -c 'until test \"$(coracle show -p SubState --value '$A')\" = waiting; do :; done'; coracle show -p SubState --value $A"
        ),
        "waiting",
    ),
];

/// What mounts are to other units.
pub(crate) const NEEDED: &[Observation] = &[
    units(
        "RequiresMountsFor=$ROOM/$U/inner",
        NEEDS,
        IS_NEEDED,
        "active",
    ),
    units("WantsMountsFor=$ROOM/$U/inner", NEEDS, IS_NEEDED, "active"),
];
