//! Images of everything that they are built from: container images, programs, directories with a psi.toml. What is built is started.

use std::fs;
use std::path::Path;
use std::process::Command;

use coracle_system_tests::images::{By, furnish, with_workshop};
use coracle_system_tests::waiting::eventually;
use testkit::{Finished, Instance};

fn run(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program)
        .args(arguments)
        .output()
        .expect(program);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(done.stdout).expect("a text")
}

fn digest(path: &Path) -> String {
    let said = run("sha256sum", &[&path.display().to_string()]);
    said.split(' ').next().expect("a digest").to_owned()
}

/// A container image of two layers, as an OCI layout's directory: a shell, and over it a file that replaces one and one that takes
/// another away.
fn container(folder: &Path) -> String {
    let layout = folder.join("layout");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a folder");
    let (lower, upper) = (folder.join("lower"), folder.join("upper"));
    furnish(&lower);
    fs::create_dir_all(upper.join("etc")).expect("a folder");
    fs::write(lower.join("etc/word"), "old").expect("a file");
    fs::write(lower.join("etc/gone"), "").expect("a file");
    fs::write(lower.join("etc/os-release"), "ID=debian\nVERSION_ID=13\n").expect("a file");
    fs::hard_link(lower.join("etc/word"), lower.join("etc/same")).expect("a link");
    fs::write(upper.join("etc/word"), "new").expect("a file");
    fs::write(upper.join("etc/.wh.gone"), "").expect("a file");
    let (mut ids, mut layers) = (Vec::new(), Vec::new());
    for tree in [&lower, &upper] {
        let archive = folder.join("layer.tar");
        let (to, from) = (archive.display().to_string(), tree.display().to_string());
        run("tar", &["-cf", &to, "-C", &from, "."]);
        ids.push(format!("sha256:{}", digest(&archive)));
        run("gzip", &["-f", &to]);
        layers.push(serde_json::json!({"digest": keep(&blobs, &folder.join("layer.tar.gz"))}));
    }
    let put = |text: String| {
        let path = folder.join("document");
        fs::write(&path, text).expect("a document");
        keep(&blobs, &path)
    };
    let script = "read word < /etc/word; read same < /etc/same; if [ -e /etc/gone ]; then gone=there; fi; \
                  echo \"$word $same $gone $WORD $PWD\"; read forever < /dev/zero";
    let config = put(serde_json::json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }, "os": "linux",
        "config": {
            "Entrypoint": ["dash", "-c"], "Cmd": [script], "WorkingDir": "/usr", "User": "1000", "StopSignal": "SIGINT",
            "Env": ["PATH=/usr/sbin:/usr/bin", "WORD=100% \"this\" $HOME"],
        },
        "rootfs": {"diff_ids": ids},
    }).to_string());
    let manifest =
        put(serde_json::json!({"config": {"digest": config}, "layers": layers}).to_string());
    let index = serde_json::json!({"manifests": [{
        "digest": manifest, "annotations": {"org.opencontainers.image.ref.name": "docker.io/library/sayer:3"},
    }]});
    fs::write(layout.join("index.json"), index.to_string()).expect("an index");
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .expect("a mark");
    layout.display().to_string()
}

fn keep(blobs: &Path, file: &Path) -> String {
    let name = digest(file);
    fs::rename(file, blobs.join(&name)).expect("a blob");
    format!("sha256:{name}")
}

fn folder(coracle: &Instance, name: &str) -> std::path::PathBuf {
    let folder = coracle.folder().join(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn says(coracle: &Instance, unit: &str, words: &str) {
    eventually(&format!("{unit} says {words:?}"), || {
        coracle.ok(&["logs", unit]).contains(words).then_some(())
    });
}

/// What a command that fails says.
fn failed(coracle: &Instance, words: &[&str]) -> String {
    let done = coracle.coracle(words);
    assert_ne!(done.status, 0, "{words:?}: {}", done.stdout);
    done.stderr
}

/// What the container image of these tests says.
const SAID: &str = "new old  100% \"this\" $HOME /usr";

/// Builds an image from perl, observed while it runs this script.
fn observed(coracle: &Instance, image: &str, script: &str) -> Finished {
    let words = [
        "build",
        "--program",
        "/usr/bin/perl",
        "--observe",
        "-o",
        image,
    ];
    coracle.coracle(&[&words[..], &["--", "-e", script]].concat())
}

#[test]
fn a_container_image_becomes_a_portable_that_starts() {
    with_workshop(|coracle, workshop| {
        let folder = folder(coracle, "oci");
        let layout = container(&folder);
        let image = workshop.built("sayer.psi", By::Trusted, &[&layout]);
        let inspected = coracle.ok(&["inspect", &image]);
        // The shell is looked for in the image, and a name with a tag is both.
        for words in [
            "Root: Erofs",
            "Portable: sayer 3",
            "Unit: sayer.service",
            "for nothing beyond",
        ] {
            assert!(inspected.contains(words), "{words} in {inspected}");
        }
        coracle.ok(&["start", &image]);
        says(coracle, "sayer", SAID);
        let shown = coracle.ok(&["cat", "sayer.service"]);
        assert!(
            shown.contains("KillSignal=SIGINT") && !shown.contains("User=1000"),
            "{shown}"
        );
        coracle.ok(&["purge", "sayer"]);
    });
}

#[test]
fn archives_of_it_compressed_or_not_give_the_same_image() {
    with_workshop(|coracle, workshop| {
        let folder = folder(coracle, "oci");
        let layout = container(&folder);
        let archive = folder.join("image.tar").display().to_string();
        run(
            "tar",
            &[
                "-cf",
                &archive,
                "-C",
                &layout,
                "index.json",
                "oci-layout",
                "blobs",
            ],
        );
        run("zstd", &["-q", "--keep", &archive]);
        let first = workshop.built("a.psi", By::Nobody, &[&layout]);
        for path in [archive.clone(), format!("{archive}.zst")] {
            let other = workshop.built("b.psi", By::Nobody, &[&path]);
            assert_eq!(
                digest(Path::new(&first)),
                digest(Path::new(&other)),
                "{path}"
            );
        }
    });
}

#[test]
fn a_container_image_that_was_changed_is_refused_and_nothing_is_left() {
    with_workshop(|coracle, _| {
        let folder = folder(coracle, "oci");
        let layout = container(&folder);
        let largest = fs::read_dir(format!("{layout}/blobs/sha256")).expect("blobs");
        let largest = largest.map(|entry| entry.expect("a blob").path());
        let largest = largest
            .max_by_key(|path| path.metadata().expect("a length").len())
            .expect("a blob");
        fs::write(&largest, "no layer").expect("a change");
        let out = self::folder(coracle, "out");
        let to = out.join("x.psi").display().to_string();
        let said = failed(coracle, &["build", &layout, "-o", &to]);
        assert!(
            said.contains("cannot take") && said.contains("layer 1"),
            "{said}"
        );
        assert_eq!(fs::read_dir(&out).expect("a folder").count(), 0);
        let said = failed(coracle, &["build", &layout, "-o", &to, "--max-size", "10K"]);
        assert!(said.contains("Error: "), "{said}");
    });
}

#[test]
fn a_recipe_says_all_and_what_travels_compressed_is_started() {
    with_workshop(|coracle, workshop| {
        let folder = folder(coracle, "project");
        furnish(&folder.join("root"));
        fs::write(folder.join("word"), "hello\n").expect("a file");
        let text = "[source]\ndirectory = 'root'\nexclude = ['/home']\n[image]\nname = 'boat'\nversion = '2'\noutput = 'boat.psi.zst'\n\
                    [files]\n'/usr/share/word' = 'word'\n[service]\ndescription = 'A boat'\ncommand = ['dash', '-c', 'read word < /usr/share/word; echo \"$word $NAME\"; read x < /dev/zero']\n\
                    environment = { NAME = 'you' }\nstate = ['boat']\n";
        fs::write(folder.join("psi.toml"), text).expect("a recipe");
        let project = folder.display().to_string();
        let key = workshop.key(By::Trusted);
        coracle.ok(&["build", &project, "--key", &key]);
        let image = folder.join("boat.psi.zst").display().to_string();
        assert_eq!(
            &fs::read(&image).expect("the image")[..4],
            b"\x28\xb5\x2f\xfd"
        );
        coracle.ok(&["start", &image]);
        says(coracle, "boat", "hello you");
        coracle.ok(&["purge", "boat"]);
        let unknown = text.replace("exclude", "exlude");
        fs::write(folder.join("psi.toml"), unknown).expect("a recipe");
        let said = failed(coracle, &["build", &project]);
        assert!(
            said.contains("psi.toml, line 3: unknown field `exlude`"),
            "{said}"
        );
    });
}

#[test]
fn a_compressed_image_that_is_damaged_is_refused() {
    with_workshop(|coracle, workshop| {
        let image = workshop.built("x.psi.zst", By::Trusted, &["--program", "/usr/bin/dash"]);
        let mut bytes = fs::read(&image).expect("the image");
        let middle = bytes.len() / 2;
        bytes.truncate(middle);
        fs::write(&image, bytes).expect("a cut");
        let said = failed(coracle, &["start", &image]);
        assert!(
            said.contains("can't be decompressed") && said.contains("fetch it again"),
            "{said}"
        );
    });
}

/// Builds the same in a folder, by a user with a mask; the image's digest comes back.
fn built_by(
    program: &Path,
    folder: &Path,
    user: &str,
    mask: &str,
    words: &str,
    name: &str,
) -> String {
    let script = format!(
        "umask {mask}; cd {} && exec {} -q build {words} --key key/signing.key -o out/{name}",
        folder.display(),
        program.display()
    );
    run(
        "setpriv",
        &[
            "--reuid",
            user,
            "--regid",
            user,
            "--clear-groups",
            "sh",
            "-c",
            &script,
        ],
    );
    digest(&folder.join("out").join(name))
}

#[test]
fn the_same_input_gives_the_same_bytes_wherever_whenever_and_by_whom_it_is_built() {
    with_workshop(|coracle, workshop| {
        let disk = folder(coracle, "disk");
        let memory = tempfile::tempdir_in("/dev/shm").expect("memory");
        let memory = memory.path().to_owned();
        let of = |path: &Path| rustix::fs::statfs(path).expect("a file system").f_type;
        assert_ne!(of(&disk), of(&memory), "two file systems");
        // Others have to be able to run it and to come there.
        let program = memory.join("coracle");
        fs::copy(coracle.dist().join("coracle"), &program).expect("the program");
        run("chmod", &["-R", "a+rX", &memory.display().to_string()]);
        run("chmod", &["a+x", &coracle.folder().display().to_string()]);
        let key = workshop.key(By::Trusted);
        let keys = Path::new(&key).parent().expect("a folder");
        container(&folder(coracle, "oci"));
        for folder in [&disk, &memory] {
            furnish(&folder.join("root"));
            fs::write(folder.join("root/usr/bin/two"), "x".repeat(9000)).expect("a file");
            fs::hard_link(
                folder.join("root/usr/bin/two"),
                folder.join("root/usr/bin/one"),
            )
            .expect("a link");
            fs::write(
                folder.join("psi.toml"),
                "[source]\ndirectory = 'root'\n[image]\nname = 'boat'\n[service]\ncommand = ['dash']\n",
            )
            .expect("a recipe");
            fs::create_dir(folder.join("out")).expect("a folder");
            let to = folder.display().to_string();
            run(
                "cp",
                &["-r", &keys.display().to_string(), &format!("{to}/key")],
            );
            run(
                "cp",
                &[
                    "-r",
                    &coracle.folder().join("oci/layout").display().to_string(),
                    &format!("{to}/layout"),
                ],
            );
            run("chmod", &["-R", "a+rX", &to]);
            run("chmod", &["0777", &format!("{to}/out")]);
        }
        // Another date of everything.
        run(
            "find",
            &[
                &memory.display().to_string(),
                "-exec",
                "touch",
                "-h",
                "-d",
                "2001-02-03",
                "{}",
                "+",
            ],
        );
        for (words, name) in [
            ("psi.toml", "directory.psi"),
            (
                "psi.toml --format squashfs --exclude /usr/bin/one",
                "squashfs.psi",
            ),
            ("psi.toml", "directory.psi.zst"),
            ("layout", "container.psi"),
            ("--program /usr/bin/dash", "program.psi"),
        ] {
            let first = built_by(&program, &disk, "0", "022", words, name);
            let second = built_by(&program, &memory, "65534", "077", words, name);
            assert_eq!(first, second, "{name}");
        }
    });
}

#[test]
fn what_a_program_opens_while_it_is_observed_comes_with_it() {
    with_workshop(|coracle, workshop| {
        // The library behind POSIX is loaded by name, the zone is a file that no header names, and the rest is not to be taken.
        let script = "use POSIX; open(F, '<', $_) for ('/usr/share/zoneinfo/Europe/Berlin', '/etc/shadow', '/proc/version', '/etc/passwd'); \
                      $| = 1; print POSIX::floor(7.5), -s '/usr/share/zoneinfo/Europe/Berlin' ? ' zone' : ' none', \"\\n\"; sleep 1000";
        let image = format!("{}/seen.psi", folder(coracle, "seen").display());
        let key = workshop.key(By::Trusted);
        let built = coracle.coracle(&[
            "build",
            "--program",
            "/usr/bin/perl",
            "--name",
            "seen",
            "--observe",
            "--observe-seconds",
            "3",
            "--key",
            &key,
            "-o",
            &image,
            "--",
            "-e",
            script,
        ]);
        assert_eq!(built.status, 0, "{}", built.stderr);
        for line in [
            "taken /usr/share/zoneinfo/Europe/Berlin (time zone)",
            "left /proc/version (of the kernel)",
            "left /etc/passwd (the image has its own)",
            "POSIX.so (library)",
        ] {
            assert!(built.stderr.contains(line), "{line} in {}", built.stderr);
        }
        // The sandbox is nobody's: what only root may read was not even opened.
        assert!(!built.stderr.contains("shadow"), "{}", built.stderr);
        coracle.ok(&["start", &image]);
        says(coracle, "seen", "7 zone");
        coracle.ok(&["purge", "seen"]);
    });
}

#[test]
fn a_program_that_is_observed_can_change_nothing_and_reach_no_one() {
    with_workshop(|coracle, _| {
        let folder = folder(coracle, "attack");
        run("chmod", &["0777", &folder.display().to_string()]);
        let target = folder.join("made");
        let script = format!(
            "open(F, '>', '{}') and print STDERR \"wrote\\n\"; open(F, '>', '/dev/shm/coracle-seen') and print STDERR \"shared\\n\"; \
             open(F, '<', '/etc/shadow') and print STDERR \"read\\n\"; kill(0, {}) and print STDERR \"signal\\n\"; \
             opendir(D, '/root') and print STDERR scalar(grep {{ !/^\\./ }} readdir D), \" in root\\n\"; \
             opendir(D, '/sys/class/net') and print STDERR \"tried\\n\"",
            target.display(),
            std::process::id()
        );
        let image = format!("{}/x.psi", folder.display());
        let built = observed(coracle, &image, &script);
        assert_eq!(built.status, 0, "{}", built.stderr);
        assert!(built.stderr.contains("tried"), "{}", built.stderr);
        for did in ["wrote", "shared", "read\n", "signal"] {
            assert!(!built.stderr.contains(did), "{did}: {}", built.stderr);
        }
        assert!(!target.exists());
    });
}

#[test]
fn a_program_that_is_observed_cannot_undo_its_sandbox() {
    with_workshop(|coracle, _| {
        let image = format!("{}/x.psi", folder(coracle, "undo").display());
        // As numbers: umount2, mount, unshare, fsopen, open_tree, ptrace; arguments that would be right for one with the privilege.
        let script = r#"
            $| = 1;
            my %number = `uname -m` =~ /x86/
                ? (umount => 166, mount => 165, unshare => 272, ptrace => 101, getsid => 124)
                : (umount => 39, mount => 40, unshare => 97, ptrace => 117, getsid => 156);
            my ($run, $root, $proc, $none, $fs) = ("/run", "/", "/proc", "none", "tmpfs");
            my ($params, $home, $tmp) = ("\0" x 120, "/home", "/tmp");
            for my $place ($run, $proc, $home, $tmp) {
                print "did umount $place\n" if syscall($number{umount}, $place, 2) == 0;
            }
            print "did remount\n" if syscall($number{mount}, $none, $root, $none, 0x1020, 0) == 0;
            print "did mount\n" if syscall($number{mount}, $none, $run, $fs, 0, 0) == 0;
            print "did unshare\n" if syscall($number{unshare}, 0x10000000) == 0;
            print "did open_tree\n" if syscall(428, -100, $root, 1) >= 0;
            print "did fsopen\n" if syscall(430, $fs, 0) >= 0;
            print "did io_uring\n" if syscall(425, 1, $params) >= 0;
            my $child = fork; if (!$child) { sleep; exit }
            print "did ptrace\n" if syscall($number{ptrace}, 16, $child, 0, 0) == 0;
            open(S, '<', '/proc/self/status'); for (<S>) {
                print "did keep $_" if /^Cap(Inh|Prm|Eff|Bnd|Amb):.*[1-9a-f]/; print "did gain\n" if /^NoNewPrivs:\s+0/; print "did skip\n" if /^Seccomp:\s+0/;
            }
            print "did stay in the session\n" if syscall($number{getsid}, 0) != $$;
            print "did see $_\n" for grep { $_ > 9 } map { m{/proc/(\d+)$} } glob('/proc/[0-9]*');
            print "\e[2Jclear\n"; print "tried\n";
        "#;
        let built = observed(coracle, &image, script);
        assert_eq!(built.status, 0, "{}", built.stderr);
        assert!(built.stderr.contains("observed: tried"), "{}", built.stderr);
        assert!(!built.stderr.contains("did "), "{}", built.stderr);
        assert!(!built.stderr.contains('\u{1b}'), "{:?}", built.stderr);
    });
}
