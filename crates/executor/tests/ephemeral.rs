//! A root that goes with the run: what its commands share while they run beside each other.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // What tests share fails as tests do.

mod harness;
mod service;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use kernel::namespace::MOUNT;
use kernel::rustix::fs::{CWD, XattrFlags, getxattr, setxattr};
use kernel::rustix::mount::{OpenTreeFlags, UnmountFlags, mount_bind, open_tree, unmount};
use plan::Step;
use plan::step::{RootSource, What};
use service::Service;

/// A root with the host's programs, and a named pipe at which commands wait for each other.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir_in("/var").unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["usr", "etc", "pipes"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    for name in ["bin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), root.path().join(name)).unwrap();
    }
    root
}

#[test]
fn commands_of_a_run_that_overlap_share_one_root_and_nothing_of_it_stays() {
    let (root, pipes) = (root(), tempfile::tempdir_in("/var").unwrap());
    for name in ["ready", "go"] {
        let path = pipes.path().join(name);
        assert!(
            std::process::Command::new("mkfifo")
                .arg(path)
                .status()
                .unwrap()
                .success()
        );
    }
    let service = Service::new(&format!(
        "RootDirectory={}\nRootEphemeral=yes\nBindReadOnlyPaths=/usr\nBindPaths={}:/pipes",
        root.path().display(),
        pipes.path().display()
    ));
    let (main, reload) = std::thread::scope(|scope| {
        let main = scope.spawn(|| {
            service.run_beside(
                "stat -c %d /; echo main > /etc/main; echo x > /pipes/ready; read x < /pipes/go; cat /etc/reload",
            )
        });
        let reload = service.run_beside(
            "read x < /pipes/ready; stat -c %d /; cat /etc/main; echo reload > /etc/reload; echo x > /pipes/go",
        );
        (main.join().unwrap(), reload)
    });
    let (main, reload) = (main.said().to_owned(), reload.said().to_owned());
    let device = main.lines().next().unwrap().to_owned();
    assert_eq!(main, format!("{device}\nreload"));
    assert_eq!(reload, format!("{device}\nmain"));
    // A later one, too.
    let later = service.run_beside("stat -c %d /; cat /etc/main /etc/reload");
    assert_eq!(later.said(), format!("{device}\nmain\nreload"));
    assert_eq!(fs::read_dir(root.path().join("etc")).unwrap().count(), 0);
    let [_, room] = service.private_tmp();
    let layers = Path::new(&room).join("layers");
    assert_eq!(
        fs::read_to_string(layers.join("etc/main")).unwrap(),
        "main\n"
    );
    // Of what a command mounts in its root the others see nothing.
    assert_eq!(fs::read_dir(layers.join("usr")).unwrap().count(), 0);
    unmount(&layers, UnmountFlags::DETACH).unwrap();
    fs::remove_dir_all(&room).unwrap();
}

/// Runs a command over an image, in layers whose room is below `path`.
fn over_image(path: &std::ffi::CStr, command: &str) -> harness::Outcome {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, c"/usr", clone).unwrap();
    let mut start = harness::shell(command);
    start.program = "/bin/dash";
    start.passed.push((plan::frame::Role::Image, tree));
    start.run(&[
        Step::CloneImage { index: 0 },
        Step::RootRoom {
            parent: path,
            directory: None,
        },
        Step::Unshare {
            kinds: MOUNT,
            told: 0,
        },
        Step::Propagation {
            flag: harness::roots::SLAVE,
        },
        Step::Root {
            from: RootSource::Image,
            set: 0,
        },
        harness::roots::at(
            c"/usr",
            What::Bind {
                source: c"/usr",
                recursive: false,
                source_missing_ok: false,
            },
        ),
        harness::roots::at(
            c"/lib64",
            What::Bind {
                source: c"/lib64",
                recursive: false,
                source_missing_ok: false,
            },
        ),
        Step::EnterRoot { shared: true },
    ])
}

#[test]
fn commands_on_an_image_share_its_layers_and_the_image_is_mounted_nowhere_else() {
    let parent = tempfile::tempdir_in("/var").unwrap();
    let path = harness::text(parent.path().to_str().unwrap());
    let run = |command| over_image(&path, command);
    let device = run("stat -c %d /; echo one > /one").said().to_owned();
    assert_eq!(
        run("stat -c %d /; cat /one").said(),
        format!("{device}\none")
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let below = mounts
        .lines()
        .filter(|line| line.contains(parent.path().to_str().unwrap()));
    let below: Vec<&str> = below.collect();
    assert!(
        below.len() == 1 && below[0].contains(" overlay "),
        "{below:?}"
    );
    let room = fs::read_dir(parent.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert!(!room.path().join("lower").exists());
    let layers = room.path().join("layers");
    let _attached = Attached(layers.clone());
    unmount(&layers, UnmountFlags::DETACH).unwrap();
    // A command was killed while the image was attached there: that is not what the next one may write to. It laid no layers yet, whose
    // directory of work no other ones may have.
    let work = room.path().join("work");
    fs::remove_dir_all(&work).unwrap();
    fs::create_dir(&work).unwrap();
    fs::create_dir(room.path().join("lower")).unwrap();
    let image = tempfile::tempdir_in("/var").unwrap();
    for name in ["usr", "lib64"] {
        fs::create_dir(image.path().join(name)).unwrap();
    }
    mount_bind(image.path(), &layers).unwrap();
    run("echo two > /two").said();
    assert!(!image.path().join("two").exists());
    assert!(!room.path().join("lower").exists() && !room.path().join("copy").exists());
    assert_eq!(run("cat /two").said(), "two");
    unmount(&layers, UnmountFlags::DETACH).unwrap();
    // Nor is the image below them any more.
    assert_eq!(
        unmount(&layers, UnmountFlags::DETACH),
        Err(kernel::Errno::INVAL)
    );
}

/// A place at which nothing stays attached, also where a test fails.
struct Attached(std::path::PathBuf);

impl Drop for Attached {
    fn drop(&mut self) {
        while unmount(&self.0, UnmountFlags::DETACH).is_ok() {}
    }
}

/// Layers over a directory, as deep as the kernel takes them; gone with the value.
struct Layers(tempfile::TempDir, u32);

impl Layers {
    fn over(lower: &Path, depth: u32) -> (Self, std::path::PathBuf) {
        use kernel::rustix::mount::{MountFlags, mount};
        let folder = tempfile::tempdir_in("/var").unwrap();
        let mut top = lower.to_owned();
        for level in 0..depth {
            let [at, empty] =
                ["at", "empty"].map(|name| folder.path().join(format!("{level}-{name}")));
            fs::create_dir(&at).unwrap();
            fs::create_dir(&empty).unwrap();
            let options = format!("lowerdir={}:{}", empty.display(), top.display());
            let options = harness::text(&options);
            mount(
                "overlay",
                &at,
                "overlay",
                MountFlags::empty(),
                options.as_c_str(),
            )
            .unwrap();
            top = at;
        }
        (Self(folder, depth), top)
    }
}

impl Drop for Layers {
    fn drop(&mut self) {
        for level in (0..self.1).rev() {
            let at = self.0.path().join(format!("{level}-at"));
            unmount(at, UnmountFlags::DETACH).unwrap();
        }
    }
}

#[test]
fn over_as_many_layers_as_the_kernel_takes_the_root_of_a_run_is_a_copy_that_its_commands_share() {
    let root = root();
    fs::write(root.path().join("etc/before"), "as it was\n").unwrap();
    fs::hard_link(root.path().join("etc/before"), root.path().join("etc/also")).unwrap();
    // CAP_CHOWN, of which a change of the owner leaves nothing.
    let mut able = [0; 20];
    able[..5].copy_from_slice(&[1, 0, 0, 2, 1]);
    let file = root.path().join("etc/able");
    fs::write(&file, "").unwrap();
    std::os::unix::fs::chown(&file, Some(1), Some(1)).unwrap();
    setxattr(&file, "security.capability", &able, XattrFlags::empty()).unwrap();
    let (_layers, top) = Layers::over(root.path(), 2);
    let service = Service::new(&format!(
        "RootDirectory={}\nRootEphemeral=yes\nBindReadOnlyPaths=/usr",
        top.display(),
    ));
    let first = service.run_beside("cat /etc/before; echo changed > /etc/also; cat /etc/before");
    assert_eq!(first.said(), "as it was\nchanged");
    // What may not be written to below the layers may be written to in the copy, and the next command sees it.
    let next = service
        .run_beside("cat /etc/before; echo more > /more; read options < /more; echo $options");
    assert_eq!(next.said(), "changed\nmore");
    assert_eq!(
        fs::read_to_string(root.path().join("etc/before")).unwrap(),
        "as it was\n"
    );
    assert!(!root.path().join("more").exists());
    let [_, room] = service.private_tmp();
    assert_eq!(
        fs::read_to_string(Path::new(&room).join("copy/more")).unwrap(),
        "more\n"
    );
    let (copy, mut kept) = (Path::new(&room).join("copy/etc/able"), [0; 20]);
    assert_eq!(
        getxattr(&copy, "security.capability", &mut kept),
        Ok(able.len())
    );
    assert_eq!((kept, fs::metadata(&copy).unwrap().uid()), (able, 1));
    fs::remove_dir_all(&room).unwrap();
}

#[test]
fn a_copy_that_was_begun_is_no_root() {
    let root = root();
    let (_layers, top) = Layers::over(root.path(), 2);
    let service = Service::new(&format!(
        "RootDirectory={}\nRootEphemeral=yes\nBindReadOnlyPaths=/usr",
        top.display(),
    ));
    let [_, room] = service.private_tmp();
    fs::create_dir_all(Path::new(&room).join("part")).unwrap();
    let refused = service.run_beside("echo started");
    refused.failed_at("RootRoom", kernel::Errno::EXIST);
    fs::remove_dir_all(&room).unwrap();
}
