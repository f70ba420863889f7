//! Directories of a service: made, given to its user, and never by way of a link that somebody left.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // What tests share fails as tests do.

mod harness;

use harness::{shell, text};
use kernel::Errno;
use kernel::wait::Ending;
use plan::Step;
use plan::code::ListBuf;
use plan::step::DirectoryClass;

#[test]
fn directories_are_made_with_owner_mode_and_links_and_given_to_the_next_user() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().to_str().unwrap();
    let (private, link) = (text(format!("{base}/private/web")), format!("{base}/web"));
    let links = ListBuf::from_iter([&link]);
    for uid in [61_234, 61_235] {
        let mut start = shell(&format!(
            "cd {base}; stat -c '%a %u' private private/web; readlink web; find private -uid {uid} | wc -l; mkdir -p web/deep; : > web/deep/file"
        ));
        (start.uid, start.gid) = (uid, uid);
        let step = Step::Directory {
            class: DirectoryClass::State,
            path: &private,
            mode: 0o750,
            owned: true,
            private: true,
            takes_over: true,
            links: links.list(),
            quota: plan::step::Quota::Unsaid,
        };
        let outcome = start.run(&[step]);
        let owned = if uid == 61_234 { 1 } else { 3 };
        assert_eq!(
            outcome.said(),
            format!("700 0\n750 {uid}\nprivate/web\n{owned}")
        );
    }
}

#[test]
fn a_directory_is_made_while_ends_of_others_remove_the_one_above_it() {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    /// That many runs end at the wrong moment of one start. Without a bound, who removes wins against who makes.
    const ENDS: u32 = 32;
    let folder = tempfile::tempdir().unwrap();
    let above = folder.path().join("private");
    let path = text(above.join("web").to_str().unwrap());
    let step = Step::Directory {
        class: DirectoryClass::Runtime,
        path: &path,
        mode: 0o755,
        owned: true,
        private: true,
        takes_over: false,
        links: plan::List::EMPTY,
        quota: plan::step::Quota::Unsaid,
    };
    let (done, ends, removed) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // Else it is not there, or not empty.
                if ends.load(Ordering::Relaxed) > 0 && std::fs::remove_dir(&above).is_ok() {
                    ends.fetch_sub(1, Ordering::Relaxed);
                    removed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let starts = (0..50).map(|_| {
            ends.store(ENDS, Ordering::Relaxed);
            let outcome = shell("true").run(&[step]);
            std::fs::remove_dir(above.join("web")).map_err(|error| format!("{outcome:?} {error}"))
        });
        let made: Result<(), String> = starts.collect();
        done.store(true, Ordering::Relaxed);
        made.unwrap();
    });
    assert!(removed.into_inner() > 0, "nothing was ever removed");
}

#[test]
fn a_public_directory_becomes_private_where_the_unit_may_take_it_over_and_else_stays_what_it_is() {
    for takes_over in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let public = folder.path().join("web");
        std::fs::create_dir(&public).unwrap();
        std::fs::write(public.join("file"), "precious").unwrap();
        let path = folder.path().join("private/web");
        let (private, link) = (text(path.to_str().unwrap()), public.to_str().unwrap());
        let links = ListBuf::from_iter([link]);
        let step = Step::Directory {
            class: DirectoryClass::State,
            path: &private,
            mode: 0o755,
            owned: true,
            private: true,
            takes_over,
            links: links.list(),
            quota: plan::step::Quota::Unsaid,
        };
        let outcome = shell(&format!("cat {link}/file")).run(&[step]);
        if takes_over {
            assert_eq!(outcome.said(), "precious");
        } else {
            outcome.failed_at("Directory", Errno::EXIST);
            assert!(!folder.path().join("private").exists());
        }
        assert_eq!(public.is_symlink(), takes_over);
        assert_eq!(path.join("file").exists(), takes_over);
    }
}

#[test]
fn a_private_directory_becomes_public_where_the_unit_may_take_it_over_and_no_other_link_is_touched()
{
    let cases = [
        ("web", "private/web", "private/web", true, "precious"),
        ("web", "private/web", "private/web", false, ""),
        (
            "a/web",
            "private/a/web",
            "../private/a/web",
            true,
            "precious",
        ),
        ("web", "private/other", "private/other", true, ""),
        ("web", "elsewhere", "elsewhere", true, ""),
    ];
    for (name, kept, link, takes_over, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let (public, kept) = (folder.path().join(name), folder.path().join(kept));
        std::fs::create_dir_all(&kept).unwrap();
        std::fs::create_dir_all(public.parent().unwrap()).unwrap();
        std::fs::write(kept.join("file"), "precious").unwrap();
        std::os::unix::fs::symlink(link, &public).unwrap();
        let none = ListBuf::default();
        let path = text(public.to_str().unwrap());
        let step = Step::Directory {
            class: DirectoryClass::State,
            path: &path,
            mode: 0o755,
            owned: true,
            private: false,
            takes_over,
            links: none.list(),
            quota: plan::step::Quota::Unsaid,
        };
        let outcome = shell(&format!("cat {}/file", public.display())).run(&[step]);
        if expected.is_empty() {
            outcome.failed_at(
                "Directory",
                if takes_over {
                    Errno::NOTDIR
                } else {
                    Errno::EXIST
                },
            );
            assert!(public.is_symlink() && kept.join("file").exists());
        } else {
            assert_eq!(outcome.said(), expected);
            assert!(!public.is_symlink() && !kept.exists() && !kept.is_symlink());
        }
    }
}

#[test]
fn a_directory_never_follows_a_link_that_the_service_left() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().to_str().unwrap();
    std::os::unix::fs::symlink("/etc", folder.path().join("web")).unwrap();
    let path = text(format!("{base}/web"));
    let step = Step::Directory {
        class: DirectoryClass::Logs,
        path: &path,
        mode: 0o755,
        owned: true,
        private: false,
        takes_over: false,
        links: plan::List::EMPTY,
        quota: plan::step::Quota::Unsaid,
    };
    let outcome = shell("true").run(&[step]);
    outcome.failed_at("Directory", Errno::NOTDIR);
    assert_eq!(outcome.ending, Ending::Exited(240));
}

#[test]
fn a_link_in_the_services_own_directory_is_not_followed_on_the_way_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().to_str().unwrap();
    let own = folder.path().join("web");
    std::fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(61_234), Some(61_234)).unwrap();
    std::os::unix::fs::symlink("/etc", own.join("trap")).unwrap();
    let path = text(format!("{base}/web/trap/sub"));
    let step = Step::Directory {
        class: DirectoryClass::State,
        path: &path,
        mode: 0o755,
        owned: true,
        private: false,
        takes_over: false,
        links: plan::List::EMPTY,
        quota: plan::step::Quota::Unsaid,
    };
    shell("true")
        .run(&[step])
        .failed_at("Directory", Errno::NOTDIR);
    assert!(!std::path::Path::new("/etc/sub").exists());
}

#[test]
fn a_second_name_for_a_strangers_file_is_not_given_to_the_next_user() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let (own, secret) = (folder.path().join("web"), folder.path().join("secret"));
    std::fs::create_dir(&own).unwrap();
    std::fs::write(&secret, "of root").unwrap();
    std::fs::hard_link(&secret, own.join("second")).unwrap();
    std::fs::write(own.join("first"), "").unwrap();
    std::os::unix::fs::chown(&own, Some(61_233), Some(61_233)).unwrap();
    let path = text(own.to_str().unwrap());
    let mut start = shell("true");
    (start.uid, start.gid) = (61_234, 61_234);
    let step = Step::Directory {
        class: DirectoryClass::State,
        path: &path,
        mode: 0o755,
        owned: true,
        private: false,
        takes_over: false,
        links: plan::List::EMPTY,
        quota: plan::step::Quota::Unsaid,
    };
    start.run(&[step]).said();
    assert_eq!(std::fs::metadata(&secret).unwrap().uid(), 0);
    assert_eq!(std::fs::metadata(own.join("first")).unwrap().uid(), 61_234);
}
