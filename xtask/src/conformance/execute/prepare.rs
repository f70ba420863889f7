//! What systemd's test program does before it runs a unit, in the container, where all of it goes with the container.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Result, bail};

use super::super::systemd::ask;
use super::table::Case;

/// What a test needs, as a shell does it.
const NEEDS: &[(&str, &str)] = &[
    (
        "test_exec_bindpaths",
        "for kind in bind bindreadonly; do mkdir -p /tmp/test-exec-${kind}paths \"/tmp/test-exec-${kind}paths source\" \
         \"/tmp/test-exec-${kind}paths destination\" /tmp/test-exec-${kind}paths:source /tmp/test-exec-${kind}paths:destination; done",
    ),
    (
        "test_exec_credentials",
        "mkdir -p /run/credstore; printf foo > /run/credstore/test-execute.load-credential",
    ),
    (
        "test_exec_workingdirectory",
        "mkdir -p /tmp/test-exec_workingdirectory",
    ),
    ("test_exec_privatetmp", "touch /tmp/test-exec_privatetmp"),
    (
        "test_exec_environmentfile",
        "variables > /tmp/test-exec_environmentfile.conf",
    ),
    (
        "test_exec_execsearchpath_environment_files",
        "variables > /tmp/test-exec_execsearchpath_environmentfile.conf; \
         { variables; echo PATH=/usr; } > /tmp/test-exec_execsearchpath_environmentfile-set.conf",
    ),
    (
        "test_exec_mount_apivfs",
        "mkdir -p /tmp/test-exec-mount-apivfs-no/root",
    ),
    (
        "test_exec_privatenetwork",
        "ip link show dummy-test-exec > /dev/null 2>&1 || ip link add dummy-test-exec type bridge",
    ),
    (
        "test_exec_networknamespacepath",
        "ip link show dummy-test-exec > /dev/null 2>&1 || ip link add dummy-test-exec type bridge; \
         test -e /run/netns/test-execute-netns || { ip netns add test-execute-netns; \
         ip netns exec test-execute-netns ip link add dummy-test-ns type bridge; }",
    ),
];

/// A file of variables with comments and a line that is none.
const VARIABLES: &str = r#"
variables() { cat <<'END'
# one comment
; another
not a variable
VAR1='word1 word2'
VAR2=word3
VAR3='$word 5 6'
VAR4='new
line'
VAR5=password\with\backslashes
END
}
"#;

/// What the units leave.
const LEFT: &str = "rm -rf /tmp/* /run/credstore /var/lib/test-* /var/lib/private/test-* /run/test-* /run/private/test-*; \
     ip netns delete test-execute-netns 2> /dev/null || true; ip link delete dummy-test-exec 2> /dev/null || true";

/// Makes ready for one case.
pub(super) fn make_ready(case: &Case) -> Result<()> {
    if case.file == "exec-execsearchpath.service" {
        return shell(if case.expected == "0" {
            "mkdir -p /tmp/test-exec_execsearchpath; cp /bin/ls /tmp/test-exec_execsearchpath/ls_temp"
        } else {
            "rm /tmp/test-exec_execsearchpath/ls_temp"
        });
    }
    match NEEDS.iter().find(|(test, _)| *test == case.test) {
        Some((_, script)) => shell(script),
        None => Ok(()),
    }
}

/// Removes what cases have left.
pub(super) fn clean() -> Result<()> {
    shell(LEFT)
}

/// The one unit that is incomplete without a drop-in: what it runs, and what that needs, in a root without a kernel's file systems.
pub(super) fn drop_ins(units: &Path) -> Result<()> {
    let mut bound: Vec<String> = Vec::new();
    for program in ["/usr/bin/touch", "/usr/bin/test"] {
        bound.push(program.to_owned());
        let libraries = ask("ldd", &[program])?.stdout;
        let words = libraries.split_whitespace();
        bound.extend(
            words
                .filter(|word| word.starts_with('/'))
                .map(str::to_owned),
        );
    }
    let folder = units.join("exec-mount-apivfs-no.service.d");
    fs::create_dir_all(&folder)?;
    fs::write(
        folder.join("bind.conf"),
        format!(
            "[Service]\nExecStart=touch /made\nExecStart=test -f /made\nBindReadOnlyPaths={}\n",
            bound.join(" ")
        ),
    )?;
    Ok(())
}

/// What the units call and the tree has not: rev(1), from the package bsdextrautils.
pub(super) fn programs() -> Result<()> {
    let path = Path::new("/usr/local/bin/rev");
    fs::write(
        path,
        "#!/usr/bin/python3\nimport sys\nfor line in sys.stdin:\n    print(line.rstrip('\\n')[::-1])\n",
    )?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// What PassEnvironment= passes on is what the manager itself was started with.
pub(super) const MANAGER_VARIABLES: &[(&str, &str)] = &[
    ("VAR1", "word1 word2"),
    ("VAR2", "word3"),
    ("VAR3", "$word 5 6"),
    ("VAR4", "new\nline"),
    ("VAR5", "passwordwithbackslashes"),
];

/// The same variables for systemd, which reads them at its start.
pub(super) fn manager_environment() -> Result<()> {
    let folder = Path::new("/run/systemd/system.conf.d");
    fs::create_dir_all(folder)?;
    let quoted =
        |(name, value): &(&str, &str)| format!("\"{name}={}\"", value.replace('\n', "\\n"));
    let all: Vec<String> = MANAGER_VARIABLES.iter().map(quoted).collect();
    fs::write(
        folder.join("environment.conf"),
        format!("[Manager]\nManagerEnvironment={}\n", all.join(" ")),
    )?;
    Ok(())
}

fn shell(script: &str) -> Result<()> {
    let said = ask("sh", &["-e", "-c", &format!("{VARIABLES}{script}")])?;
    if !said.is_success {
        bail!("cannot prepare with `{script}`: {}", said.stderr);
    }
    Ok(())
}
