//! What a service says of its main process and of who is heard, and what it says in vain.

use coracle_system_tests::with_units;
use testkit::Instance;

const SCRIPT: &str = r#"
import array, os, signal, socket, subprocess, sys
case, told = sys.argv[1], sys.argv[2]
def say(text, *fds):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(os.environ['NOTIFY_SOCKET'])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        s.sendmsg([text.encode()], rights)
def child_says(text):
    pid = os.fork()
    if not pid:
        say(text)
        os._exit(0)
    os.waitpid(pid, 0)
child = subprocess.Popen(['sleep', 'infinity']).pid
with open(told, 'w') as f:
    f.write(f'{os.getpid()} {child}')
held = os.pidfd_open(child)
other = os.pidfd_open(int(os.environ['VICTIM']))
number = os.fstat(held).st_ino
if case == 'descriptor':
    say(f'MAINPIDFD=1\nMAINPID={os.environ["VICTIM"]}', held)
elif case == 'foreign':
    say('MAINPIDFD=1', other)
elif case == 'two':
    say('MAINPIDFD=1', held, held)
elif case == 'none':
    say(f'MAINPIDFD=1\nMAINPID={child}')
elif case == 'file':
    say('MAINPIDFD=1', os.open('/dev/null', os.O_RDONLY))
elif case == 'number':
    say(f'MAINPID={child}\nMAINPIDFDID={number}')
elif case == 'reused':
    say(f'MAINPID={child}\nMAINPIDFDID={number + 1}')
elif case in ('open', 'closed', 'nobody'):
    say('STATUS=of the service')
    if case == 'closed':
        say('NOTIFYACCESS=main')
    child_says('STATUS=of a child')
    # A child may not let others in, either.
    child_says('NOTIFYACCESS=all')
    child_says('STATUS=of another child') if case == 'closed' else None
say('READY=1')
while True:
    signal.pause()
"#;

/// Starts the service for a case; its number and that of its child.
fn started(coracle: &Instance, case: &str, victim: u32) -> (String, String) {
    let script = coracle.folder().join("says.py");
    let told = coracle.folder().join(case);
    std::fs::write(&script, SCRIPT).expect("a script");
    let unit = format!(
        "[Service]\nType=notify\nNotifyAccess=all\nEnvironment=VICTIM={victim}\nExecStart=/usr/bin/python3 {} {case} {}\n",
        script.display(),
        told.display()
    );
    coracle.unit(&format!("{case}.service"), &unit);
    coracle.ok(&["daemon-reload"]);
    coracle.ok(&["start", case]);
    let told = std::fs::read_to_string(told).expect("it told");
    let (own, child) = told.split_once(' ').expect("two numbers");
    (own.to_owned(), child.to_owned())
}

#[test]
fn a_main_process_is_named_by_a_descriptor_or_by_a_number_that_the_kernel_vouches_for() {
    let mut victim = std::process::Command::new("sleep")
        .arg("infinity")
        .spawn()
        .expect("a process of the host");
    with_units(&[], |coracle| {
        for (case, is_child) in [
            ("descriptor", true),
            ("number", true),
            ("foreign", false),
            ("two", false),
            ("none", false),
            ("file", false),
            ("reused", false),
        ] {
            let (own, child) = started(coracle, case, victim.id());
            let expected = if is_child { child } else { own };
            let unit = format!("{case}.service");
            assert_eq!(coracle.property(&unit, "MainPID"), expected, "{case}");
            coracle.ok(&["stop", case]);
        }
        let log = coracle.ok(&["logs", "-u", "two.service", "--cat"]);
        let words = "MAINPIDFD=1 comes with one descriptor, not 2";
        assert!(log.contains(words), "{log}");
    });
    let alive = victim.try_wait().expect("its state").is_none();
    victim.kill().expect("it takes a signal");
    victim.wait().expect("it ends");
    assert!(alive, "a process of the host was ended");
}

#[test]
fn a_service_says_who_is_heard_and_that_outlives_the_manager() {
    with_units(&[], |coracle| {
        started(coracle, "open", 1);
        let status = |unit: &str| coracle.property(unit, "StatusText");
        assert_eq!(status("open.service"), "of a child");
        started(coracle, "closed", 1);
        assert_eq!(status("closed.service"), "of the service");
        coracle_system_tests::manager::kill(coracle.process("ManagerPID"));
        assert_eq!(status("closed.service"), "of the service");
        let record = std::fs::read_dir(coracle.folder().join("run/units")).into_iter();
        let texts = record.flatten().flatten();
        let texts = texts.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        assert!(
            texts
                .into_iter()
                .any(|text| text.contains("\"access\":\"main\""))
        );
    });
}
