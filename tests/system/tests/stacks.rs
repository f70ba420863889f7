//! Roots of several layers (RootMStack=): what lies over what, who may change it, and that the host sees nothing of it.

use std::fs;

use coracle_system_tests::own_images::{Shop, WORD, run, see};
use coracle_system_tests::{manager, with_units};
use image::discoverable::Purpose;

#[test]
fn a_stack_of_mounts_is_a_root_whose_layers_are_not_changed() {
    let shop = Shop::new();
    let base = shop.tree("base", true, &[("word", "base"), ("lower", "seen")]);
    let base = shop.image("squashfs", &base, "base.part");
    fs::create_dir_all(shop.path("s.mstack/rw")).expect("a stack");
    // A disk, of which the root partition counts, and a directory over it: 10 is newer than 9.
    shop.disk(
        "s.mstack/layer@9.raw",
        &[(Purpose::Root, [1; 16], 0, &base)],
    );
    shop.tree("upper", false, &[("word", "upper")]);
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(shop.path(to), shop.path(name)).expect("a link");
    };
    link("upper", "s.mstack/layer@10");
    shop.tree("data", false, &[("kept", "data")]);
    link("data", "s.mstack/bind@srv-data");
    link("data", "s.mstack/robind@mnt");
    // What is hidden is nobody's.
    fs::write(shop.path("s.mstack/.note"), "").expect("a file");
    let stack = format!("RootMStack={}", shop.text("s.mstack"));
    const LOOK: &str =
        "for f in /word /lower /srv/data/kept /mnt/kept; do read -r w < $f; echo $w; done";
    with_units(&[], |coracle| {
        let look = |script: &str| see(coracle, &[&stack], script);
        assert_eq!(look(LOOK), "upper\nseen\ndata\ndata");
        let write = "for f in /new /lower /srv/data/new /mnt/new; do echo own > $f && echo open; done 2>/dev/null";
        assert_eq!(look(write), "open\nopen\nopen");
        assert_eq!(
            look("read -r w < /new; echo $w; read -r w < /lower; echo $w"),
            "own\nown"
        );
        let text = |name: &str| fs::read_to_string(shop.path(name)).unwrap_or_default();
        assert_eq!(text("s.mstack/rw/data/new"), "own\n");
        assert_eq!(text("data/new"), "own\n");
        assert!(!shop.path("upper/new").exists());
        // What a run may change goes with it, and leaves the stack what it was.
        let lines = [stack.as_str(), "RootEphemeral=yes"];
        assert_eq!(
            see(
                coracle,
                &lines,
                "echo x > /gone && read -r w < /lower; echo $w"
            ),
            "own"
        );
        assert!(!shop.path("s.mstack/rw/data/gone").exists());
    });
}

#[test]
fn a_stack_with_a_root_gives_it_its_usr_and_a_policy_holds_for_its_images() {
    let shop = Shop::new();
    let vendor = shop.tree(
        "vendor",
        true,
        &[("word", "vendor"), ("usr/share/x", "shared")],
    );
    fs::create_dir_all(shop.path("s.mstack/layer@v.raw.v")).expect("a stack");
    shop.image("erofs", &vendor, "s.mstack/layer@v.raw.v/layer@v_1.raw");
    let root = shop.tree("s.mstack/root", true, &[("word", "own")]);
    let stack = format!("RootMStack={}", shop.text("s.mstack"));
    with_units(&[], |coracle| {
        let script = "read -r w < /word; echo $w; read -r w < /usr/share/x; echo $w; echo new > /new && echo written; echo x > /usr/x || echo closed";
        let said = see(coracle, &[&stack], script);
        assert_eq!(said, "own\nshared\nwritten\nclosed");
        assert!(shop.path("s.mstack/root/new").exists());
        let said = see(coracle, &[&stack, "RootImagePolicy=root=verity"], WORD);
        assert!(said.contains("has no verity data"), "{said}");
        let two = shop.path("s.mstack/layer@v");
        fs::create_dir(&two).expect("a folder");
        let said = see(coracle, &[&stack], WORD);
        assert!(
            said.contains("another entry of the stack is for the same"),
            "{said}"
        );
        fs::remove_dir(&two).expect("no folder");
        std::os::unix::fs::chown(&root, Some(1000), None).expect("another owner");
        let said = see(coracle, &[&stack], WORD);
        assert!(
            said.contains("can be changed by others than root"),
            "{said}"
        );
    });
}

#[test]
fn what_one_stack_changes_no_other_one_changes_at_the_same_time() {
    let shop = Shop::new();
    fs::create_dir_all(shop.path("s.mstack/rw")).expect("a stack");
    shop.tree("s.mstack/layer@1", true, &[("word", "base")]);
    fs::create_dir_all(shop.path("t.mstack.v")).expect("versions");
    std::os::unix::fs::symlink(shop.path("s.mstack"), shop.path("t.mstack.v/t_1.mstack"))
        .expect("a link");
    let [stack, versions] =
        ["s.mstack", "t.mstack.v"].map(|name| format!("RootMStack={}", shop.text(name)));
    let unit = format!(
        "[Service]\n{stack}\nType=exec\nExecStart=/usr/bin/dash -c 'read x < /wait'\nBindReadOnlyPaths={}:/wait\n",
        shop.text("wait")
    );
    run("mkfifo", &[&shop.text("wait")]);
    let newest = unit.replace(&stack, &versions);
    let units = [
        ("holder.service", unit.as_str()),
        ("newest.service", newest.as_str()),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "holder"]);
        // The same one is shared.
        assert_eq!(see(coracle, &[&stack], WORD), "base");
        let others = [
            vec![stack.as_str(), "RootImagePolicy=root=verity"],
            vec![versions.as_str()],
        ];
        for lines in &others {
            let said = see(coracle, lines, WORD);
            assert!(
                said.contains("the changes of another stack that is up go to"),
                "{said}"
            );
        }
        coracle.ok(&["stop", "holder"]);
        assert_eq!(see(coracle, &[&versions], WORD), "base");
        // A run that follows another one has the directory in its turn, and keeps it when the manager is another one.
        coracle.ok(&["start", "newest"]);
        coracle.ok(&["restart", "newest"]);
        manager::kill(coracle.process("ManagerPID"));
        let said = see(coracle, &[&stack], WORD);
        assert!(said.contains("the changes of another stack"), "{said}");
        coracle.ok(&["stop", "newest"]);
        assert_eq!(see(coracle, &[&stack], WORD), "base");
    });
}

/// A file system in memory whose mounts are shared; gone with the value.
struct Shared(std::path::PathBuf);

impl Shared {
    fn at(path: std::path::PathBuf) -> Shared {
        fs::create_dir(&path).expect("a folder");
        let text = path.display().to_string();
        run("mount", &["-t", "tmpfs", "-o", "mode=755", "tmpfs", &text]);
        run("mount", &["--make-shared", &text]);
        Shared(path)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        run("umount", &["-R", "-l", &self.0.display().to_string()]);
    }
}

#[test]
fn what_is_mounted_in_a_root_is_not_mounted_on_the_host() {
    let shop = Shop::new();
    let _shared = Shared::at(shop.path("m"));
    shop.tree("m/web.v/web_1", true, &[("word", "directory")]);
    shop.tree("m/s.mstack/layer@1", true, &[("word", "stack")]);
    shop.tree("m/s.mstack/bind@mnt", false, &[("word", "bound")]);
    shop.tree("m/u.mstack/layer@1", true, &[("word", "usr")]);
    shop.tree("m/u.mstack/root", true, &[("word", "root")]);
    let mounted = || {
        let table = testkit::mount_table();
        let own = table.lines().filter(|line| line.contains(&shop.text("m")));
        own.map(str::to_owned).collect::<Vec<String>>()
    };
    let before = mounted();
    assert!(
        before.len() == 1 && before.concat().contains(" shared:"),
        "{before:?}"
    );
    with_units(&[], |coracle| {
        let roots = [
            (
                format!("RootDirectory={}", shop.text("m/web.v")),
                "directory",
            ),
            (
                format!("RootDirectory={}", shop.text("m/web.v/web_1")),
                "directory",
            ),
            (format!("RootMStack={}", shop.text("m/s.mstack")), "stack"),
            (format!("RootMStack={}", shop.text("m/u.mstack")), "root"),
        ];
        for (root, word) in roots {
            let lines = [root.as_str(), "PrivateTmp=yes", "ProtectSystem=strict"];
            assert_eq!(see(coracle, &lines, WORD), word, "{root}");
            assert_eq!(mounted(), before, "{root}");
        }
    });
    assert_eq!(mounted(), before);
}
