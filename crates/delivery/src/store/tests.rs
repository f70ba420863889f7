//! Images come in once, whole, and go when nobody needs them.

use super::*;

fn stored(content: &[u8]) -> (tempfile::TempDir, Store, Digest) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (staging, digest, bytes) = store.copy_in(&mut &content[..], 1 << 20).unwrap();
    assert_eq!(bytes, content.len() as u64);
    store.keep(staging, &digest).unwrap();
    (folder, store, digest)
}

fn collect(store: &Store, referenced: &[Digest]) -> Vec<Digest> {
    let collected = store.collect(|| Ok::<_, Error>(referenced.to_vec()));
    collected.unwrap()
}

#[test]
fn several_that_note_the_same_of_one_image_are_not_in_each_others_way() {
    let (_folder, store, digest) = stored(b"an image");
    let note = vec![b'n'; 100_000];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    store.put_note(&digest, &note).unwrap();
                }
            });
        }
    });
    assert_eq!(store.note(&digest).unwrap(), note);
}

#[test]
fn a_transfer_that_nobody_goes_on_with_is_collected() {
    let (_folder, store, digest) = stored(b"an image");
    let [fresh, old, busy] = ["https://a/", "https://b/", "https://c/"].map(|url| {
        let staging = store.stage(url).unwrap();
        staging.file.set_len(5).unwrap();
        staging
    });
    let long_ago = std::time::SystemTime::now() - ABANDONED_AFTER - Duration::from_secs(60);
    for staging in [&old, &busy] {
        staging.file.set_modified(long_ago).unwrap();
    }
    let [fresh, old] = [fresh, old].map(|staging| staging.path);
    collect(&store, &[digest]);
    assert!(fresh.exists() && !old.exists() && busy.path.exists());
    assert!(!old.with_extension("state").exists());
}

#[test]
fn what_was_recorded_while_somebody_collects_stays() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path()).unwrap();
    let (staging, digest, _) = store.copy_in(&mut &b"an image"[..], 1 << 20).unwrap();
    let mut until_recorded = Some(store.keep(staging, &digest).unwrap());
    let mut recorded = Vec::new();
    let collected = store.collect(|| {
        let before = recorded.clone();
        // It is recorded as soon as somebody has looked.
        if until_recorded.take().is_some() {
            recorded.push(digest);
        }
        Ok::<_, Error>(before)
    });
    assert_eq!(collected.unwrap(), []);
    store.scrub(&digest, &|_| ()).unwrap();
    assert_eq!(collect(&store, &[]), [digest]);
}

#[test]
fn holes_of_an_image_take_no_room_and_what_is_copied_is_the_same() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path()).unwrap();
    let mut content = vec![0; 64 << 20];
    content[..5].copy_from_slice(b"begin");
    content[40 << 20] = 7;
    let (staging, digest, bytes) = store.copy_in(&mut &content[..], 1 << 30).unwrap();
    assert_eq!((digest, bytes), (Digest::of(&content), 64 << 20));
    assert!(staging.file.metadata().unwrap().blocks() * 512 < 8 << 20);
    assert!(fs::read(&staging.path).unwrap() == content);
    store.discard(staging).unwrap();
}

#[test]
fn what_is_kept_is_found_by_its_digest() {
    let (_folder, store, digest) = stored(b"an image");
    let mut text = String::new();
    store
        .get(&digest)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "an image");
    assert_eq!(store.list().unwrap(), [digest]);
    store.scrub(&digest, &|_| ()).unwrap();
}

#[test]
fn a_stored_file_that_was_touched_is_refused() {
    let (_folder, store, digest) = stored(b"an image");
    fs::set_permissions(store.path(&digest), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(store.path(&digest), b"an imagE").unwrap();
    assert!(matches!(store.get(&digest), Err(Error::Changed { .. })));
}

#[test]
fn an_image_above_the_limit_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert!(matches!(
        store.copy_in(&mut &b"12345"[..], 4),
        Err(Error::TooLarge { limit_bytes: 4 })
    ));
    assert_eq!(
        entries(&store.directory.join("staging")).unwrap(),
        Vec::<PathBuf>::new()
    );
}

#[test]
fn two_commands_can_not_work_on_one_transfer() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let _first = store.stage("https://example/a").unwrap();
    assert!(matches!(
        store.stage("https://example/a"),
        Err(Error::Busy { .. })
    ));
    store.stage("https://example/b").unwrap();
}

#[test]
fn what_nobody_refers_to_is_collected_with_all_that_lies_beside_it() {
    let (_folder, store, digest) = stored(b"an image");
    store.put_note(&digest, b"proven").unwrap();
    assert_eq!(store.note(&digest).unwrap(), b"proven");
    assert_eq!(collect(&store, &[digest]), []);
    assert_eq!(collect(&store, &[]), [digest]);
    assert_eq!(
        entries(&store.directory).unwrap(),
        [store.directory.join("staging")]
    );
}

#[test]
fn what_a_command_is_about_to_refer_to_is_not_collected() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for _ in ["new to the store", "known to it"] {
        let (staging, digest, _) = store.copy_in(&mut &b"an image"[..], 1 << 20).unwrap();
        let held = store.keep(staging, &digest).unwrap();
        assert_eq!(collect(&store, &[]), []);
        drop(held);
    }
    assert_eq!(collect(&store, &[]).len(), 1);
}

#[test]
fn copies_of_commands_that_are_gone_are_collected_and_transfers_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let staged = || entries(&store.staging()).unwrap().len();
    let transfer = store.stage("https://example/a").unwrap();
    let (copy, ..) = store.copy_in(&mut &b"an image"[..], 1 << 20).unwrap();
    drop(transfer);
    collect(&store, &[]);
    assert_eq!(staged(), 4, "a file and its state for each");
    drop(copy);
    collect(&store, &[]);
    assert_eq!(staged(), 2, "those of the transfer");
}

#[test]
fn a_file_that_was_named_since_it_was_opened_is_no_staging_file_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let (path, named) = (folder.path().join("staged"), folder.path().join("named"));
    let file = open_staging(&path).unwrap();
    assert!(is_still(&file, &path).unwrap());
    fs::rename(&path, &named).unwrap();
    assert!(!is_still(&file, &path).unwrap());
    open_staging(&path).unwrap();
    assert!(!is_still(&file, &path).unwrap());
}

#[test]
fn a_power_cut_leaves_an_image_that_is_whole_or_none_and_the_next_try_keeps_it() {
    let keep = |state: &Path| {
        let store = Store::open(state)?;
        let (staging, digest, _) = store.copy_in(&mut &b"an image"[..], 1 << 20)?;
        store.keep(staging, &digest)
    };
    crate::files::power::at_each_step(
        || tempfile::tempdir().unwrap(),
        keep,
        |state, done| {
            let store = Store::open(state).unwrap();
            let digest = Digest::of(b"an image");
            assert!(store.scrub(&digest, &|_| ()).is_ok() || !done);
            keep(state).unwrap();
            // A copy of a command that is gone is nobody's.
            collect(&store, &[digest]);
            store.scrub(&digest, &|_| ()).unwrap();
            assert_eq!(
                entries(&store.directory.join("staging")).unwrap(),
                Vec::<PathBuf>::new()
            );
        },
    );
}
