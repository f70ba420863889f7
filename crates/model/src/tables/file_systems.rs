//! Kinds of file systems: the kernel's numbers of them (`s_magic`; linux/magic.h), and the groups of `RestrictFileSystems=`. `@known` is all of them.

/// Numbers by name, sorted by name.
pub const MAGICS: &[(&str, &[u32])] = &[
    ("adfs", &[0xadf5]),
    ("affs", &[0xadff]),
    ("afs", &[0x6b414653, 0x5346414f]),
    ("anon_inodefs", &[0x9041934]),
    ("apparmorfs", &[0x5a3c69f0]),
    ("autofs", &[0x187]),
    ("balloon-kvm", &[0x13661366]),
    ("bcachefs", &[0xca451a4e]),
    ("bdev", &[0x62646576]),
    ("binder", &[0x6c6f6f70]),
    ("binfmt_misc", &[0x42494e4d]),
    ("bpf", &[0xcafe4a11]),
    ("btrfs", &[0x9123683e]),
    ("btrfs_test_fs", &[0x73727279]),
    ("ceph", &[0xc36400]),
    ("cgroup", &[0x27e0eb]),
    ("cgroup2", &[0x63677270]),
    ("cifs", &[0xff534d42, 0xfe534d42]),
    ("coda", &[0x73757245]),
    ("configfs", &[0x62656570]),
    ("cpuset", &[0x27e0eb]),
    ("cramfs", &[0x28cd3d45]),
    ("dax", &[0x64646178]),
    ("debugfs", &[0x64626720]),
    ("devmem", &[0x454d444d]),
    ("devpts", &[0x1cd1]),
    ("devtmpfs", &[0x1021994]),
    ("dmabuf", &[0x444d4142]),
    ("ecryptfs", &[0xf15f]),
    ("efivarfs", &[0xde5e81e4]),
    ("efs", &[0x414a53]),
    ("erofs", &[0xe0f5e1e2]),
    ("exfat", &[0x2011bab0]),
    ("ext2", &[0xef53]),
    ("ext3", &[0xef53]),
    ("ext4", &[0xef53]),
    ("f2fs", &[0xf2f52010]),
    ("failfs", &[0x4641494c]),
    ("fuse", &[0x65735546]),
    ("fuseblk", &[0x65735546]),
    ("fusectl", &[0x65735543]),
    ("gfs", &[0x1161970]),
    ("gfs2", &[0x1161970]),
    ("gmem", &[0x474d454d]),
    ("hostfs", &[0xc0ffee]),
    ("hpfs", &[0xf995e849]),
    ("hugetlbfs", &[0x958458f6]),
    ("iso9660", &[0x9660]),
    ("jffs2", &[0x72b6]),
    ("minix", &[0x137f, 0x138f, 0x2468, 0x2478, 0x4d5a]),
    ("mqueue", &[0x19800202]),
    ("msdos", &[0x4d44]),
    ("ncp", &[0x564c]),
    ("ncpfs", &[0x564c]),
    ("nfs", &[0x6969]),
    ("nfs4", &[0x6969]),
    ("nilfs2", &[0x3434]),
    ("nsfs", &[0x6e736673]),
    ("ntfs", &[0x5346544e]),
    ("ntfs3", &[0x7366746e]),
    ("nullfs", &[0x4e554c4c]),
    ("ocfs2", &[0x7461636f]),
    ("openpromfs", &[0x9fa1]),
    ("orangefs", &[0x20030529]),
    ("overlay", &[0x794c7630]),
    ("pidfs", &[0x50494446]),
    ("pipefs", &[0x50495045]),
    ("ppc-cmm", &[0xc7571590]),
    ("proc", &[0x9fa0]),
    ("pstore", &[0x6165676c]),
    ("pvfs2", &[0x20030529]),
    ("qnx4", &[0x2f]),
    ("qnx6", &[0x68191122]),
    ("ramfs", &[0x858458f6]),
    ("reiserfs", &[0x52654973]),
    ("resctrl", &[0x7655821]),
    ("rpc_pipefs", &[0x67596969]),
    ("secretmem", &[0x5345434d]),
    ("securityfs", &[0x73636673]),
    ("selinuxfs", &[0xf97cff8c]),
    ("shiftfs", &[0x6a656a62]),
    ("smackfs", &[0x43415d53]),
    ("smb3", &[0xff534d42]),
    ("smbfs", &[0x517b]),
    ("sockfs", &[0x534f434b]),
    ("squashfs", &[0x73717368]),
    ("sysfs", &[0x62656572]),
    ("tmpfs", &[0x1021994]),
    ("tracefs", &[0x74726163]),
    ("udf", &[0x15013346]),
    ("usbdevfs", &[0x9fa2]),
    ("v9fs", &[0x1021997]),
    ("vboxsf", &[0x786f4256]),
    ("vfat", &[0x4d44]),
    ("xenfs", &[0xabba1974]),
    ("xfs", &[0x58465342]),
    ("z3fold", &[0x33]),
    ("zonefs", &[0x5a4f4653]),
    ("zsmalloc", &[0x58295829]),
];

/// Groups by name, without the `@`.
pub const GROUPS: &[(&str, &[&str])] = &[
    ("anonymous", &["anon_inodefs", "pipefs", "sockfs"]),
    ("application", &["autofs", "fuse", "overlay"]),
    (
        "auxiliary-api",
        &[
            "binfmt_misc",
            "configfs",
            "efivarfs",
            "fusectl",
            "hugetlbfs",
            "rpc_pipefs",
            "securityfs",
        ],
    ),
    (
        "basic-api",
        &[
            "cgroup", "cgroup2", "devpts", "devtmpfs", "mqueue", "proc", "sysfs",
        ],
    ),
    (
        "common-block",
        &[
            "btrfs", "erofs", "exfat", "ext4", "f2fs", "iso9660", "ntfs3", "squashfs", "udf",
            "vfat", "xfs",
        ],
    ),
    ("historical-block", &["ext2", "ext3", "minix"]),
    (
        "network",
        &[
            "afs", "ceph", "cifs", "gfs", "gfs2", "ncp", "ncpfs", "nfs", "nfs4", "ocfs2",
            "orangefs", "pvfs2", "smb3", "smbfs",
        ],
    ),
    ("privileged-api", &["bpf", "debugfs", "pstore", "tracefs"]),
    ("security", &["apparmorfs", "selinuxfs", "smackfs"]),
    ("temporary", &["ramfs", "tmpfs"]),
];

/// The numbers of a kind; none where the name is unknown.
pub fn magics(name: &str) -> Option<&'static [u32]> {
    let at = MAGICS
        .binary_search_by_key(&name, |(known, _)| known)
        .ok()?;
    MAGICS.get(at).map(|(_, magics)| *magics)
}

/// The kinds of a group, by its name with the `@`.
pub fn group(name: &str) -> Option<Vec<&'static str>> {
    let name = name.strip_prefix('@')?;
    if name == "known" {
        return Some(MAGICS.iter().map(|(name, _)| *name).collect());
    }
    let found = GROUPS.iter().find(|(known, _)| *known == name)?;
    Some(found.1.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_groups_are_of_known_names() {
        assert!(MAGICS.is_sorted_by_key(|(name, _)| name));
        for (group, names) in GROUPS {
            for name in *names {
                assert!(magics(name).is_some(), "@{group} has {name}");
            }
        }
        assert_eq!(group("@known").map(|all| all.len()), Some(MAGICS.len()));
        assert_eq!((group("@none"), group("tmpfs")), (None, None));
    }
}
