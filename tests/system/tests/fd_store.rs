//! FDSTORE=1: descriptors that services store outlive their runs and the manager, and nobody waits for what they are.

use coracle_system_tests::{manager, waiting, with_units};
use testkit::Instance;

/// Says what it was given. What comes first stores the two ends of a pipe, of which one has a word, under two names.
const STORES: &str = r#"[Service]
Type=notify
FileDescriptorStoreMax=2
ExecStart=/usr/bin/python3 SCRIPT
"#;

const SCRIPT: &str = r#"
import array, os, signal, socket
def say(text, *fds):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(os.environ['NOTIFY_SOCKET'])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        s.sendmsg([text.encode()], rights)
names = os.environ.get('LISTEN_FDNAMES', '')
if names:
    r = 3 + names.split(':').index('out')
    os.set_blocking(r, False)
    try:
        print(names, os.environ['LISTEN_FDS'], os.read(r, 9).decode(), flush=True)
    except BlockingIOError:
        print(names, os.environ['LISTEN_FDS'], 'nothing', flush=True)
    os.write(3 + names.split(':').index('in'), b'again')
else:
    r, w = os.pipe()
    os.write(w, b'first')
    say('FDSTORE=1\nFDNAME=out', r)
    # The same once more is not stored twice, and there is no room for a third.
    say('FDSTORE=1\nFDNAME=twice', r)
    say('FDSTORE=1\nFDNAME=in', w)
    say('FDSTORE=1\nFDNAME=more', os.open('/dev/null', os.O_RDONLY))
    print('stored', flush=True)
say('READY=1')
while True:
    signal.pause()
"#;

fn units(coracle: &Instance, more: &str) {
    let script = coracle.folder().join("stores.py");
    std::fs::write(&script, SCRIPT).expect("a script");
    let text = STORES.replace("SCRIPT", &script.display().to_string());
    coracle.unit("stores.service", &format!("{text}{more}"));
    coracle.ok(&["daemon-reload"]);
}

/// Waits until the service said this.
fn said(coracle: &Instance, line: &str, times: usize) {
    waiting::lines(coracle, "stores.service", |lines| {
        lines.iter().filter(|one| *one == line).count() == times
    });
}

fn count(coracle: &Instance, expected: &str) {
    waiting::eventually(&format!("{expected} stored"), || {
        (coracle.property("stores.service", "NFileDescriptorStore") == expected).then_some(())
    });
}

#[test]
fn what_is_stored_comes_back_after_a_restart_a_crash_a_reload_and_the_managers_death() {
    with_units(&[], |coracle| {
        units(coracle, "Restart=on-failure\nRestartSec=0\n");
        coracle.ok(&["start", "stores.service"]);
        said(coracle, "stored", 1);
        count(coracle, "2");
        coracle.ok(&["restart", "stores.service"]);
        said(coracle, "out:in 2 first", 1);
        coracle.ok(&["kill", "--signal=KILL", "stores.service"]);
        said(coracle, "out:in 2 again", 1);
        manager::kill(coracle.process("ManagerPID"));
        coracle.ok(&["daemon-reload"]);
        count(coracle, "2");
        coracle.ok(&["restart", "stores.service"]);
        said(coracle, "out:in 2 again", 2);
        // Without a next start they are not kept.
        coracle.ok(&["stop", "stores.service"]);
        count(coracle, "0");
        coracle.ok(&["start", "stores.service"]);
        said(coracle, "stored", 2);
    });
}

#[test]
fn what_is_kept_over_a_stop_goes_when_it_is_cleaned() {
    with_units(&[], |coracle| {
        units(coracle, "FileDescriptorStorePreserve=yes\n");
        coracle.ok(&["start", "stores.service"]);
        count(coracle, "2");
        coracle.ok(&["stop", "stores.service"]);
        count(coracle, "2");
        coracle.ok(&["clean", "--what=fdstore", "stores.service"]);
        count(coracle, "0");
        coracle.ok(&["start", "stores.service"]);
        said(coracle, "stored", 2);
        coracle.ok(&["stop", "stores.service"]);
        coracle.ok(&["clean", "--what=fdstore", "stores.service"]);
    });
}

/// Stores much more than there is room for, again and again: files of one inode, of which none is the same as another.
const GREEDY: &str = r#"
import array, os, signal, socket
fds = [os.open('/dev/null', os.O_RDONLY) for _ in range(253)]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.connect(os.environ['NOTIFY_SOCKET'])
    for _ in range(20):
        s.sendmsg([b'FDSTORE=1'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))])
    s.send(b'READY=1')
signal.pause()
"#;

#[test]
fn who_stores_more_than_there_is_room_for_is_told_once() {
    with_units(&[], |coracle| {
        units(coracle, "");
        let script = coracle.folder().join("stores.py");
        std::fs::write(&script, GREEDY).expect("a script");
        let text = STORES.replace("SCRIPT", &script.display().to_string());
        let text = text.replace("StoreMax=2", "StoreMax=100");
        coracle.unit("stores.service", &text);
        coracle.ok(&["daemon-reload"]);
        let vain = |lines: &[String]| {
            let vain = lines.iter().filter(|line| line.contains("not all kept"));
            vain.count()
        };
        for _ in 0..3 {
            coracle.ok(&["restart", "stores.service"]);
            count(coracle, "100");
        }
        let lines = waiting::lines(coracle, "stores.service", |lines| vain(lines) >= 3);
        assert_eq!(vain(&lines), 3, "{lines:?}");
    });
}
