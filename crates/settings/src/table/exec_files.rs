//! Rows: what a service sees of the file system, and its own directories.

use model::key;

use crate::row::{FromImage, Row, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "BindLogSockets",
        directive: key::BIND_LOG_SOCKETS.directive(),
        value: &TRISTATE,
        default_text: "no",
        summary: said("Shows the host's log sockets inside the service's root directory."),
        since: said("257"),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "BindPaths",
        directive: key::BIND_PATHS.directive(),
        value: &BIND_MOUNTS,
        summary: said("Shows files and directories of the host inside, writable."),
        since: said("233"),
        bus: said("a(ssbt)"),
        ..Row::ASKS
    },
    Row {
        name: "BindReadOnlyPaths",
        directive: key::BIND_READ_ONLY_PATHS.directive(),
        value: &BIND_MOUNTS,
        summary: said("Shows files and directories of the host inside, read-only."),
        since: said("233"),
        bus: said("a(ssbt)"),
        ..Row::ASKS
    },
    Row {
        name: "CacheDirectory",
        directive: key::CACHE_DIRECTORY.directive(),
        value: &DIRECTORIES,
        summary: said("Makes directories below /var/cache that belong to the service."),
        since: said("211"),
        bus: said("as"),
        ..Row::FREE
    },
    Row {
        name: "CacheDirectoryAccounting",
        directive: key::CACHE_DIRECTORY_ACCOUNTING.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Counts what the cache directories hold."),
        since: said("258"),
        bus: said("b"),
        may_reduce: true,
        ..Row::FREE
    },
    Row {
        name: "CacheDirectoryMode",
        directive: key::CACHE_DIRECTORY_MODE.directive(),
        value: &FILE_MODE,
        default_text: "0755",
        summary: said("Sets the permissions of the cache directories."),
        since: said("234"),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "CacheDirectoryQuota",
        directive: key::CACHE_DIRECTORY_QUOTA.directive(),
        value: &QUOTA,
        default_text: "off",
        summary: said("Bounds what the cache directories hold."),
        since: said("258"),
        bus: said("(tus)"),
        may_reduce: true,
        ..Row::RESTRICTS
    },
    Row {
        name: "ConfigurationDirectory",
        directive: key::CONFIGURATION_DIRECTORY.directive(),
        value: &DIRECTORIES,
        summary: said("Makes directories below /etc for the service's configuration."),
        since: said("211"),
        bus: said("as"),
        ..Row::FREE
    },
    Row {
        name: "ConfigurationDirectoryMode",
        directive: key::CONFIGURATION_DIRECTORY_MODE.directive(),
        value: &FILE_MODE,
        default_text: "0755",
        summary: said("Sets the permissions of the configuration directories."),
        since: said("234"),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "ExecPaths",
        directive: key::EXEC_PATHS.directive(),
        value: &PATH_RULES,
        summary: said("Lists paths below which programs may be executed after all."),
        since: said("248"),
        bus: said("as"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ExtensionDirectories",
        directive: key::EXTENSION_DIRECTORIES.directive(),
        value: &PATH_RULES,
        summary: said("Lays directories over the service's /usr and /opt."),
        since: said("251"),
        bus: said("as"),
        ..Row::NEVER
    },
    Row {
        name: "ExtensionImagePolicy",
        directive: key::EXTENSION_IMAGE_POLICY.directive(),
        value: &IMAGE_POLICY,
        summary: said("Says how extension images must be protected."),
        since: said("254"),
        from_image: FromImage::Never,
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ExtensionImages",
        directive: key::EXTENSION_IMAGES.directive(),
        value: &EXTENSION_IMAGES,
        summary: said("Lays disk images over the service's /usr and /opt."),
        since: said("248"),
        bus: said("a(sba(ss))"),
        ..Row::NEVER
    },
    Row {
        name: "InaccessibleDirectories",
        directive: key::INACCESSIBLE_DIRECTORIES.directive(),
        value: &PATH_RULES,
        summary: said("Is the old name of InaccessiblePaths=."),
        stands_for: &(&[key::INACCESSIBLE_PATHS.directive()] as &[_]),
        ..Row::RESTRICTS
    },
    Row {
        name: "InaccessiblePaths",
        directive: key::INACCESSIBLE_PATHS.directive(),
        value: &PATH_RULES,
        summary: said("Makes files and directories inaccessible."),
        since: said("231"),
        bus: said("as"),
        ..Row::RESTRICTS
    },
    Row {
        name: "IPCNamespacePath",
        directive: key::IPC_NAMESPACE_PATH.directive(),
        value: &PLAIN_PATH,
        summary: said("Joins the IPC namespace of a file."),
        since: said("248"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "LogsDirectory",
        directive: key::LOGS_DIRECTORY.directive(),
        value: &DIRECTORIES,
        summary: said("Makes directories below /var/log that belong to the service."),
        since: said("211"),
        bus: said("as"),
        ..Row::FREE
    },
    Row {
        name: "LogsDirectoryAccounting",
        directive: key::LOGS_DIRECTORY_ACCOUNTING.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Counts what the log directories hold."),
        since: said("258"),
        bus: said("b"),
        may_reduce: true,
        ..Row::FREE
    },
    Row {
        name: "LogsDirectoryMode",
        directive: key::LOGS_DIRECTORY_MODE.directive(),
        value: &FILE_MODE,
        default_text: "0755",
        summary: said("Sets the permissions of the log directories."),
        since: said("234"),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "LogsDirectoryQuota",
        directive: key::LOGS_DIRECTORY_QUOTA.directive(),
        value: &QUOTA,
        default_text: "off",
        summary: said("Bounds what the log directories hold."),
        since: said("258"),
        bus: said("(tus)"),
        may_reduce: true,
        ..Row::RESTRICTS
    },
    Row {
        name: "MountImagePolicy",
        directive: key::MOUNT_IMAGE_POLICY.directive(),
        value: &IMAGE_POLICY,
        summary: said("Says how the images of MountImages= must be protected."),
        since: said("254"),
        from_image: FromImage::Never,
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "MountImages",
        directive: key::MOUNT_IMAGES.directive(),
        value: &MOUNT_IMAGES,
        summary: said("Mounts disk images inside the service's tree."),
        since: said("247"),
        bus: said("a(ssba(ss))"),
        ..Row::NEVER
    },
    Row {
        name: "NetworkNamespacePath",
        directive: key::NETWORK_NAMESPACE_PATH.directive(),
        value: &PLAIN_PATH,
        summary: said("Joins the network namespace of a file."),
        since: said("242"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "NoExecPaths",
        directive: key::NO_EXEC_PATHS.directive(),
        value: &PATH_RULES,
        summary: said("Lists paths below which no program can be executed."),
        since: said("248"),
        bus: said("as"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ReadOnlyDirectories",
        directive: key::READ_ONLY_DIRECTORIES.directive(),
        value: &PATH_RULES,
        summary: said("Is the old name of ReadOnlyPaths=."),
        stands_for: &(&[key::READ_ONLY_PATHS.directive()] as &[_]),
        ..Row::RESTRICTS
    },
    Row {
        name: "ReadOnlyPaths",
        directive: key::READ_ONLY_PATHS.directive(),
        value: &PATH_RULES,
        summary: said("Makes files and directories read-only."),
        since: said("231"),
        bus: said("as"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ReadWriteDirectories",
        directive: key::READ_WRITE_DIRECTORIES.directive(),
        value: &PATH_RULES,
        summary: said("Is the old name of ReadWritePaths=."),
        stands_for: &(&[key::READ_WRITE_PATHS.directive()] as &[_]),
        ..Row::ASKS
    },
    Row {
        name: "ReadWritePaths",
        directive: key::READ_WRITE_PATHS.directive(),
        value: &PATH_RULES,
        summary: said("Leaves files and directories writable where the rest is read-only."),
        since: said("231"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "RootDirectory",
        directive: key::ROOT_DIRECTORY.directive(),
        value: &FILE_PATH,
        summary: said("Makes a directory of the host the root of the service's tree."),
        weight: 200,
        from_image: FromImage::Never,
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "RootEphemeral",
        directive: key::ROOT_EPHEMERAL.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Runs the service on a throw-away copy of its root."),
        since: said("254"),
        from_image: FromImage::Never,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "RootHash",
        directive: key::ROOT_HASH.directive(),
        value: &TEXT,
        summary: said("Names the root hash that the service's image must have."),
        since: said("246"),
        from_image: FromImage::Never,
        bus: said("ay"),
        ..Row::RESTRICTS
    },
    Row {
        name: "RootHashSignature",
        directive: key::ROOT_HASH_SIGNATURE.directive(),
        value: &TEXT,
        summary: said("Names the signature over the root hash."),
        since: said("246"),
        from_image: FromImage::Never,
        bus: said("ay"),
        ..Row::RESTRICTS
    },
    Row {
        name: "RootImage",
        directive: key::ROOT_IMAGE.directive(),
        value: &PLAIN_PATH,
        summary: said("Makes the root partition of a disk image the root of the service's tree."),
        since: said("233"),
        weight: 200,
        from_image: FromImage::Never,
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "RootImageOptions",
        directive: key::ROOT_IMAGE_OPTIONS.directive(),
        value: &MOUNT_OPTIONS,
        summary: said("Sets mount options for the partitions of the root image."),
        since: said("247"),
        bus: said("a(ss)"),
        ..Row::NEVER
    },
    Row {
        name: "RootImagePolicy",
        directive: key::ROOT_IMAGE_POLICY.directive(),
        value: &IMAGE_POLICY,
        summary: said("Says which partitions of the root image are used, and protected how."),
        since: said("254"),
        from_image: FromImage::Never,
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "RootMStack",
        directive: key::ROOT_MSTACK.directive(),
        value: &PLAIN_PATH,
        summary: said("Makes a stack of mounts the root of the service's tree."),
        since: said("260"),
        from_image: FromImage::Never,
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "RootVerity",
        directive: key::ROOT_VERITY.directive(),
        value: &PLAIN_PATH,
        summary: said("Names the file with the integrity data of the root image."),
        since: said("246"),
        from_image: FromImage::Never,
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "RuntimeDirectory",
        directive: key::RUNTIME_DIRECTORY.directive(),
        value: &DIRECTORIES,
        summary: said("Makes directories below /run that belong to the service."),
        since: said("211"),
        bus: said("as"),
        ..Row::FREE
    },
    Row {
        name: "RuntimeDirectoryMode",
        directive: key::RUNTIME_DIRECTORY_MODE.directive(),
        value: &FILE_MODE,
        default_text: "0755",
        summary: said("Sets the permissions of the runtime directories."),
        since: said("234"),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "RuntimeDirectoryPreserve",
        directive: key::RUNTIME_DIRECTORY_PRESERVE.directive(),
        value: &DIRECTORY_PRESERVE,
        default_text: "no",
        summary: said("Says whether the runtime directories outlive a stop."),
        since: said("235"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "StateDirectory",
        directive: key::STATE_DIRECTORY.directive(),
        value: &DIRECTORIES,
        summary: said("Makes directories below /var/lib that belong to the service."),
        since: said("211"),
        bus: said("as"),
        ..Row::FREE
    },
    Row {
        name: "StateDirectoryAccounting",
        directive: key::STATE_DIRECTORY_ACCOUNTING.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Counts what the state directories hold."),
        since: said("258"),
        bus: said("b"),
        may_reduce: true,
        ..Row::FREE
    },
    Row {
        name: "StateDirectoryMode",
        directive: key::STATE_DIRECTORY_MODE.directive(),
        value: &FILE_MODE,
        default_text: "0755",
        summary: said("Sets the permissions of the state directories."),
        since: said("234"),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "StateDirectoryQuota",
        directive: key::STATE_DIRECTORY_QUOTA.directive(),
        value: &QUOTA,
        default_text: "off",
        summary: said("Bounds what the state directories hold."),
        since: said("258"),
        bus: said("(tus)"),
        may_reduce: true,
        ..Row::RESTRICTS
    },
    Row {
        name: "TemporaryFileSystem",
        directive: key::TEMPORARY_FILE_SYSTEM.directive(),
        value: &TEMPORARY_FILE_SYSTEMS,
        summary: said("Mounts an empty file system in memory inside."),
        since: said("238"),
        bus: said("a(ss)"),
        ..Row::RESTRICTS
    },
    Row {
        name: "TimeoutCleanSec",
        directive: key::TIMEOUT_CLEAN_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "infinity",
        summary: said("Bounds how long removing the service's directories takes."),
        since: said("244"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "UserNamespacePath",
        directive: key::USER_NAMESPACE_PATH.directive(),
        value: &PLAIN_PATH,
        summary: said("Joins the user namespace of a file."),
        since: said("259"),
        bus: said("s"),
        ..Row::NEVER
    },
];
