//! Mounts: what the service sees, and what it fails to do that would work without them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines
)] // What tests share fails as tests do.

mod harness;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harness::roots::{SLAVE, at, below, inside};
use harness::{shell, text};
use kernel::Errno;
use kernel::mount::{NO_DEVICES, NO_EXEC, NO_SUID, READ_ONLY};
use kernel::namespace::MOUNT;
use plan::code::ListBuf;
use plan::step::{RootSource, What};
use plan::{List, Step};

fn mounts_of_the_host() -> String {
    std::fs::read_to_string("/proc/self/mountinfo").unwrap()
}

#[test]
fn a_new_root_leaves_no_mount_on_the_host_and_no_way_back() {
    let before = mounts_of_the_host();
    let outcome = inside(
        shell("ls -d /etc; cut -d' ' -f5 /proc/self/mountinfo | grep -cx /; cd ../../..; pwd"),
        0,
        &[],
    );
    assert_eq!(outcome.said(), "/etc\n1\n/");
    let masked = inside(
        shell("cut -d' ' -f5 /proc/self/mountinfo | grep -cx /; nsenter -m -t $$ ls -A /opt"),
        0,
        &[at(c"/opt", What::Inaccessible)],
    );
    assert_eq!(masked.said(), "1");
    assert_eq!(mounts_of_the_host(), before);
}

#[test]
fn a_read_only_root_with_a_writable_path_in_it() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let base = folder.path().to_str().unwrap();
    std::fs::create_dir(folder.path().join("open")).unwrap();
    let open = text(format!("{base}/open"));
    let command = format!(
        "touch {base}/closed 2>/dev/null || echo closed; touch {base}/open/file && echo open; mount -o remount,rw,bind / 2>/dev/null; touch /etc/x 2>/dev/null || echo etc"
    );
    let mut start = shell(&command);
    start.uid = 0;
    let steps = [
        at(&open, What::Again { made: false }),
        Step::BoundingSet { keep: 0 },
    ];
    assert_eq!(inside(start, READ_ONLY, &steps).said(), "closed\nopen\netc");
    assert!(folder.path().join("open/file").exists());
}

#[test]
fn a_path_becomes_read_only_with_all_below() {
    let folder = tempfile::tempdir().unwrap();
    let path = text(folder.path().to_str().unwrap());
    std::fs::create_dir(folder.path().join("below")).unwrap();
    let command = format!(
        "touch {0}/below/file || echo denied",
        path.to_str().unwrap()
    );
    let step = Step::Mount {
        at: &path,
        what: What::Again { made: false },
        set: READ_ONLY,
        clear: 0,
        missing_ok: false,
    };
    assert!(
        inside(shell(&command), 0, &[step])
            .said()
            .ends_with("denied")
    );
    assert_eq!(inside(shell(&command), 0, &[]).said(), "");
}

#[test]
fn inaccessible_paths_hide_files_and_directories_even_from_root() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("directory")).unwrap();
    std::fs::write(folder.path().join("directory/secret"), "secret").unwrap();
    std::fs::write(folder.path().join("file"), "secret").unwrap();
    let base = folder.path().to_str().unwrap();
    let (directory, file) = (
        text(format!("{base}/directory")),
        text(format!("{base}/file")),
    );
    let command = format!(
        "cat {base}/file; ls -A {base}/directory; stat -c %a {base}/file {base}/directory; touch {base}/directory/new || echo denied"
    );
    let (directory, file) = (
        at(&directory, What::Inaccessible),
        at(&file, What::Inaccessible),
    );
    for steps in [[directory, file], [file, directory]] {
        let outcome = inside(shell(&command), 0, &steps);
        assert!(
            outcome.said().starts_with("0\n0\n") && outcome.said().ends_with("denied"),
            "{}",
            outcome.output
        );
    }
    // What the masks come from is over no root, and nothing of the old one is left.
    let roots = "cut -d' ' -f5 /proc/self/mountinfo | grep -cx /";
    for steps in [&[directory][..], &[file], &[file, directory]] {
        assert_eq!(inside(shell(roots), 0, steps).said(), "1", "{steps:?}");
    }
}

#[test]
fn a_missing_path_fails_unless_it_may_be_missing() {
    let step = |missing_ok| Step::Mount {
        at: c"/nonexistent",
        what: What::Inaccessible,
        set: 0,
        clear: 0,
        missing_ok,
    };
    inside(shell("true"), 0, &[step(false)]).failed_at("Mount", Errno::NOENT);
    inside(shell("true"), 0, &[step(true)]).said();
}

#[test]
fn an_empty_file_system_hides_what_was_there_and_binds_look_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("a/deep")).unwrap();
    std::fs::write(folder.path().join("a/deep/file"), "found").unwrap();
    std::fs::write(folder.path().join("other"), "hidden").unwrap();
    let base = folder.path().to_str().unwrap();
    let (top, deep, single) = (
        text(base),
        text(format!("{base}/a/deep")),
        text(format!("{base}/b/c/single")),
    );
    let source = text(format!("{base}/a/deep/file"));
    let options = ListBuf::from_iter(["size=4096", "nr_inodes=64"]);
    let steps = [
        at(
            &top,
            What::Tmpfs {
                mode: 0o755,
                options: options.list(),
            },
        ),
        at(
            &deep,
            What::Bind {
                source: &deep,
                recursive: true,
                source_missing_ok: false,
            },
        ),
        at(
            &single,
            What::Bind {
                source: &source,
                recursive: false,
                source_missing_ok: false,
            },
        ),
    ];
    let command = format!(
        "cd {base}; ls; cat a/deep/file b/c/single; dd if=/dev/zero of=big bs=8192 count=1 2>/dev/null || echo full"
    );
    assert_eq!(
        inside(shell(&command), 0, &steps).said(),
        "a\nb\nfoundfoundfull"
    );
    assert!(!folder.path().join("big").exists());
}

#[test]
fn a_bind_whose_source_may_be_missing_is_passed_over() {
    let bind = |source_missing_ok| {
        at(
            c"/mnt",
            What::Bind {
                source: c"/nonexistent",
                recursive: true,
                source_missing_ok,
            },
        )
    };
    inside(shell("true"), 0, &[bind(true)]).said();
    inside(shell("true"), 0, &[bind(false)]).failed_at("Mount", Errno::NOENT);
}

#[test]
fn links_inside_a_root_directory_do_not_lead_out_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["bin", "lib", "lib64", "usr", "dev", "proc", "data"] {
        std::fs::create_dir(root.join(name)).unwrap();
    }
    // A hostile image: a mount point that points to the host's /etc, by both kinds of path.
    std::os::unix::fs::symlink("/etc", root.join("absolute")).unwrap();
    std::os::unix::fs::symlink("../../../../../../etc", root.join("relative")).unwrap();
    std::fs::create_dir(root.join("etc")).unwrap();
    let path = text(root.to_str().unwrap());
    let usr = What::Bind {
        source: c"/usr",
        recursive: true,
        source_missing_ok: false,
    };
    let mounts = [
        at(
            c"/bin",
            What::Bind {
                source: c"/usr/bin",
                recursive: true,
                source_missing_ok: false,
            },
        ),
        at(
            c"/lib",
            What::Bind {
                source: c"/usr/lib",
                recursive: true,
                source_missing_ok: false,
            },
        ),
        at(
            c"/lib64",
            What::Bind {
                source: c"/usr/lib64",
                recursive: true,
                source_missing_ok: false,
            },
        ),
        at(c"/usr", usr),
        at(
            c"/absolute/x",
            What::Tmpfs {
                mode: 0o755,
                options: List::EMPTY,
            },
        ),
        at(
            c"/relative/y",
            What::Tmpfs {
                mode: 0o700,
                options: List::EMPTY,
            },
        ),
        at(
            c"/proc",
            What::Proc {
                hide: None,
                only_pids: false,
            },
        ),
        at(c"/dev", What::Devices { bound: false }),
    ];
    let outcome = below(
        shell("ls /etc; ls /home 2>/dev/null; echo x > /dev/null; ls -d /data"),
        RootSource::Directory { path: &path },
        0,
        &mounts,
    );
    assert_eq!(outcome.said(), "x\ny\n/data");
    assert!(!Path::new("/etc/x").exists() && !Path::new("/etc/y").exists());
}

#[test]
fn an_image_comes_in_as_a_detached_tree_of_the_parents_namespace() {
    use kernel::rustix::mount::{OpenTreeFlags, open_tree};
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(kernel::rustix::fs::CWD, c"/usr", flags).unwrap();
    let mut start = shell("true");
    start.program = "/bin/ls";
    start.arguments = vec!["ls".into(), "-A".into(), "/".into()];
    start.passed.push((plan::frame::Role::Image, tree));
    let mut steps = vec![
        Step::CloneImage { index: 0 },
        Step::Unshare {
            kinds: MOUNT,
            told: 0,
        },
        Step::Propagation { flag: SLAVE },
    ];
    steps.extend([
        Step::Root {
            from: RootSource::Image,
            set: READ_ONLY,
        },
        Step::EnterRoot { shared: true },
    ]);
    // What is the host's /usr is the root of the service.
    let expected = std::process::Command::new("ls")
        .args(["-A", "/usr"])
        .output()
        .unwrap()
        .stdout;
    assert_eq!(
        start.run(&steps).said(),
        String::from_utf8(expected).unwrap().trim_end()
    );
}

#[test]
fn private_devices_are_the_pseudo_devices_and_no_disk() {
    let step = Step::Mount {
        at: c"/dev",
        what: What::Devices { bound: false },
        set: READ_ONLY,
        clear: 0,
        missing_ok: false,
    };
    let command = "ls /dev | tr '\\n' ' '; echo; head -c4 /dev/zero | wc -c; echo gone > /dev/null; stat -c %a /dev/null /dev/ptmx /dev/shm; \
                   touch /dev/shm/x && echo shm; touch /dev/x 2>/dev/null || echo closed; ls -l /dev/pts/ptmx | cut -c1-10";
    let outcome = inside(shell(command), 0, &[step]);
    let devices =
        "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(
        outcome.said(),
        format!("{devices} \n4\n666\n777\n1777\nshm\nclosed\ncrw-rw-rw-")
    );
}

#[test]
fn devices_can_be_bound_where_nodes_can_not_be_made() {
    let step = Step::Mount {
        at: c"/dev",
        what: What::Devices { bound: true },
        set: READ_ONLY,
        clear: 0,
        missing_ok: false,
    };
    assert_eq!(
        inside(
            shell("head -c4 /dev/zero | wc -c; echo gone > /dev/null; ls /dev/vda"),
            0,
            &[step]
        )
        .output
        .lines()
        .next(),
        Some("4")
    );
}

#[test]
fn a_private_tmp_is_empty_shared_by_one_start_and_out_of_reach_for_others() {
    let folder = "/tmp/coracle-private-30313233343536373839616263646566";
    let steps = [
        at(c"/tmp", What::PrivateTmp { parent: c"/tmp" }),
        at(
            c"/var/tmp",
            What::PrivateTmp {
                parent: c"/var/tmp",
            },
        ),
    ];
    assert_eq!(
        inside(
            shell("ls -A /tmp /var/tmp; touch /tmp/first; stat -c %a /tmp"),
            0,
            &steps
        )
        .said(),
        "/tmp:\n\n/var/tmp:\n1777"
    );
    assert_eq!(inside(shell("ls /tmp"), 0, &steps).said(), "first");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(folder).unwrap().mode() & 0o7777, 0o700);
    for parent in ["/tmp", "/var/tmp"] {
        std::fs::remove_dir_all(folder.replacen("/tmp", parent, 1)).unwrap();
    }
}

#[test]
fn a_hidden_proc_shows_only_own_processes() {
    let proc = What::Proc {
        hide: Some(c"invisible"),
        only_pids: true,
    };
    let step = Step::Mount {
        at: c"/proc",
        what: proc,
        set: 0,
        clear: 0,
        missing_ok: false,
    };
    let mut start = shell(
        "ls /proc | grep -c '^1$'; ls /proc/meminfo /proc/sys 2>/dev/null | wc -l; ls -d /proc/self",
    );
    (start.uid, start.gid) = (61_234, 61_234);
    let outcome = inside(
        start,
        0,
        &[
            step,
            Step::Groups,
            Step::User {
                keep_capabilities: false,
            },
        ],
    );
    assert_eq!(outcome.said(), "0\n0\n/proc/self");
}

#[test]
fn credentials_are_files_that_only_the_user_reads_and_no_one_writes() {
    let set = READ_ONLY | NO_SUID | NO_DEVICES | NO_EXEC;
    let directory = c"/run/credentials/web.service";
    let step = Step::Mount {
        at: directory,
        what: What::Credentials,
        set,
        clear: 0,
        missing_ok: false,
    };
    let tmpfs = at(
        c"/run",
        What::Tmpfs {
            mode: 0o755,
            options: List::EMPTY,
        },
    );
    let mut start = shell(
        "cd /run/credentials/web.service; stat -c '%n %a %u' . *; cat password token; touch new 2>/dev/null || echo closed",
    );
    (start.uid, start.gid) = (61_234, 61_234);
    start.credentials = vec![
        (c"password", b"hunter2\n".to_vec()),
        (c"token", b"\0binary".to_vec()),
    ];
    let outcome = inside(
        start,
        0,
        &[
            tmpfs,
            step,
            Step::Groups,
            Step::User {
                keep_capabilities: false,
            },
        ],
    );
    assert_eq!(
        outcome.said(),
        ". 500 61234\npassword 400 61234\ntoken 400 61234\nhunter2\n\0binaryclosed"
    );
    assert!(!Path::new("/run/credentials/web.service").exists());
}

#[test]
fn mount_points_that_a_read_only_image_lacks_are_laid_over_it() {
    use kernel::mount::{Reach, set_attributes};
    use kernel::rustix::mount::{OpenTreeFlags, open_tree};
    let folder = tempfile::tempdir().unwrap();
    for name in ["usr", "lib", "lib64", "bin", "var/lib", "srv/full"] {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let image = || {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(kernel::rustix::fs::CWD, folder.path(), flags).unwrap();
        set_attributes(&tree, READ_ONLY, 0, Reach::Mount).unwrap();
        (plan::frame::Role::Image, tree)
    };
    let bind = |at, source| Step::Mount {
        at,
        what: What::Bind {
            source,
            recursive: true,
            source_missing_ok: false,
        },
        set: 0,
        clear: 0,
        missing_ok: false,
    };
    let base = [
        bind(c"/bin", c"/usr/bin"),
        bind(c"/lib", c"/usr/lib"),
        bind(c"/lib64", c"/usr/lib64"),
        Step::CloneImage { index: 0 },
    ];
    let state = folder.path().join("srv");
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o750)).unwrap();
    let state = text(state.to_str().unwrap());
    let run = |at, script| {
        let mut start = shell(script);
        start.passed.push(image());
        below(
            start,
            RootSource::Image,
            READ_ONLY,
            &[&base[..], &[bind(at, &state)]].concat(),
        )
    };
    assert_eq!(
        run(
            c"/var/lib/hello",
            "ls -R /var; touch /var/lib/hello/x && echo written"
        )
        .said(),
        "/var:\nlib\n\n/var/lib:\nhello\n\n/var/lib/hello:\nfull\n\n/var/lib/hello/full:\nwritten"
    );
    // What the image has there stays, and nothing of it can be written.
    assert_eq!(
        run(
            c"/srv/new/other",
            "ls /srv; ls /srv/new/other; stat -c %a /srv; test -w /srv/full || test -w /srv/new || echo closed"
        )
        .said(),
        "full\nnew\nx\nfull\nx\n750\nclosed"
    );
}
