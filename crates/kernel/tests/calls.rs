//! The wrappers against the running kernel. No privilege is needed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

extern crate coracle_kernel as kernel;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use kernel::Errno;
use kernel::message::{Descriptors, ReceiveOptions, receive, send};
use kernel::process::TextList;
use kernel::spawn::{Child, Request, Stack};
use kernel::wait::Ending;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

fn pair(kind: SocketType) -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap()
}

/// Runs a shell command with these descriptors from 3 on.
fn shell(command: &str, descriptors: &[BorrowedFd<'_>]) -> kernel::Result<Child> {
    shell_below(command, descriptors, None)
}

/// The same with a copy of those alone that have a lower number.
fn shell_below(
    command: &str,
    descriptors: &[BorrowedFd<'_>],
    numbers_below: Option<RawFd>,
) -> kernel::Result<Child> {
    let program = std::fs::File::open("/bin/sh").unwrap();
    let command = std::ffi::CString::new(command).unwrap();
    let (mut arguments, mut environment) = ([core::ptr::null(); 4], [core::ptr::null(); 2]);
    let request = Request {
        program: program.as_fd(),
        arguments: TextList::new([c"sh", c"-c", &command].into_iter(), &mut arguments).unwrap(),
        environment: TextList::new([c"HELLO=there"].into_iter(), &mut environment).unwrap(),
        descriptors,
        first_descriptor: 3,
        cgroup: None,
        new_pid_namespace: false,
        open_files: Some((100, 200)),
        numbers_below,
    };
    kernel::spawn::spawn(&request, &mut Stack::new().unwrap(), &mut [0; 64])
}

fn output_of(command: &str) -> (String, Ending) {
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let child = shell(command, &[write_end.as_fd()]).unwrap();
    drop(write_end);
    let text = std::io::read_to_string(std::fs::File::from(read_end)).unwrap();
    (text, kernel::wait::wait(&child.pidfd).unwrap().ending)
}

#[test]
fn a_spawned_program_has_its_descriptors_environment_and_limits() {
    let (text, ending) = output_of("echo $HELLO $(ulimit -Sn) $(ulimit -Hn) >&3; exit 7");
    assert_eq!(
        (text.as_str(), ending),
        ("there 100 200\n", Ending::Exited(7))
    );
}

#[test]
fn a_child_has_the_descriptors_below_a_number_and_the_caller_keeps_all() {
    let high: Vec<OwnedFd> = (0..400)
        .map(|_| kernel::descriptor::duplicate_from(std::io::stderr(), 300).unwrap())
        .collect();
    // They would be inherited if they were copied.
    for one in &high {
        rustix::io::fcntl_setfd(one, rustix::io::FdFlags::empty()).unwrap();
    }
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let list = "echo $(ls /proc/self/fd | sort -n | tail -n1) $(ls /proc/self/fd | wc -l) >&3";
    let said = |given: &OwnedFd, below| {
        let child = shell_below(list, &[given.as_fd()], below).unwrap();
        assert_eq!(
            kernel::wait::wait(&child.pidfd).unwrap().ending,
            Ending::Exited(0)
        );
        let mut bytes = [0; 64];
        let count = rustix::io::read(&read_end, &mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..count]).unwrap().to_owned();
        let mut numbers = text
            .split_whitespace()
            .map(|word| word.parse::<i32>().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    };
    let below = Some(200);
    let (highest, count) = said(&write_end, below);
    assert!(highest < 200 && count < 200, "{highest} {count}");
    // What is to be given lies above: it has to be the whole table.
    let given = kernel::descriptor::duplicate_from(&write_end, 300).unwrap();
    let (highest, count) = said(&given, below);
    assert!(highest >= 300 && count > 400, "{highest} {count}");
    assert!(high.iter().all(|one| rustix::io::fcntl_getfd(one).is_ok()));
}

#[test]
fn descriptors_in_each_others_way_all_arrive() {
    // Thirty pipes take the numbers that the child is to see, the executable one of them, and all in reverse order.
    let pipes: Vec<_> = (0..30)
        .map(|_| pipe_with(PipeFlags::CLOEXEC).unwrap())
        .collect();
    let ends: Vec<BorrowedFd<'_>> = pipes
        .iter()
        .rev()
        .map(|(_, write_end)| write_end.as_fd())
        .collect();
    let commands: Vec<String> = (0..30)
        .map(|index| format!("echo {index} >/proc/self/fd/{}", index + 3))
        .collect();
    let child = shell(&commands.join(";"), &ends).unwrap();
    assert_eq!(
        kernel::wait::wait(&child.pidfd).unwrap().ending,
        Ending::Exited(0)
    );
    for (index, (read_end, _)) in pipes.iter().rev().enumerate() {
        let mut bytes = [0; 8];
        let count = rustix::io::read(read_end, &mut bytes).unwrap();
        assert_eq!(bytes[..count], *format!("{index}\n").as_bytes());
    }
}

#[test]
fn a_spawn_that_fails_says_why_and_leaves_no_child() {
    let file = kernel::memory::sealed_executable(c"text", b"no program").unwrap();
    let (mut arguments, mut environment) = ([core::ptr::null(); 2], [core::ptr::null(); 1]);
    let request = Request {
        program: file.as_fd(),
        arguments: kernel::spawn::lone_argument(c"text", &mut arguments).unwrap(),
        environment: TextList::new(core::iter::empty(), &mut environment).unwrap(),
        descriptors: &[],
        first_descriptor: 3,
        cgroup: None,
        new_pid_namespace: false,
        open_files: None,
        numbers_below: None,
    };
    let mut stack = Stack::new().unwrap();
    for _ in 0..100 {
        let failed = kernel::spawn::spawn(&request, &mut stack, &mut []);
        assert_eq!(failed.map(|child| child.pid).unwrap_err(), Errno::NOEXEC);
    }
}

#[test]
fn a_child_may_be_looked_at_before_it_is_reaped() {
    let child = shell("exit 3", &[]).unwrap();
    while !kernel::process::has_ended(&child.pidfd) {
        std::thread::yield_now();
    }
    for _ in 0..2 {
        assert_eq!(
            kernel::wait::peek(&child.pidfd).unwrap().unwrap().ending,
            Ending::Exited(3)
        );
    }
    assert_eq!(
        kernel::wait::reap(&child.pidfd).unwrap().unwrap().ending,
        Ending::Exited(3)
    );
    assert_eq!(kernel::wait::peek(&child.pidfd), Err(Errno::CHILD));
}

#[test]
fn messages_carry_descriptors_and_credentials_and_can_be_peeked() {
    let (left, right) = pair(SocketType::SEQPACKET);
    kernel::socket::set_pass_credentials(&right, true).unwrap();
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    send(&left, b"two pipes", &[read_end.as_fd(), write_end.as_fd()]).unwrap();
    let (mut buffer, mut descriptors) = ([0; 64], Descriptors::default());
    for peek in [true, false] {
        let received = receive(
            &right,
            &mut buffer,
            &mut descriptors,
            ReceiveOptions { peek, wait: false },
        )
        .unwrap();
        assert_eq!(&buffer[..received.bytes], b"two pipes");
        assert_eq!(received.credentials.unwrap().pid, std::process::id());
        assert_eq!(descriptors.len(), 2);
    }
    let (read_end, write_end) = (descriptors.take().unwrap(), descriptors.take().unwrap());
    rustix::io::write(write_end, b"x").unwrap();
    assert_eq!(rustix::io::read(read_end, &mut buffer), Ok(1));
    let nothing = receive(
        &right,
        &mut buffer,
        &mut descriptors,
        ReceiveOptions::default(),
    );
    assert_eq!(
        nothing.map(|received| received.bytes).unwrap_err(),
        Errno::AGAIN
    );
}

#[test]
fn a_message_that_does_not_fit_says_so() {
    let (left, right) = pair(SocketType::SEQPACKET);
    send(&left, &[1; 100], &[]).unwrap();
    let received = receive(
        &right,
        &mut [0; 10],
        &mut Descriptors::default(),
        ReceiveOptions::default(),
    )
    .unwrap();
    assert!(received.truncated && !received.control_truncated);
}

#[test]
fn as_many_descriptors_go_in_one_message_as_the_kernel_takes_and_none_leaks() {
    let (left, right) = pair(SocketType::DGRAM);
    let many = vec![left.as_fd(); kernel::message::DESCRIPTORS_MAX];
    send(&left, b"many", &many).unwrap();
    let mut descriptors = Descriptors::default();
    receive(
        &right,
        &mut [0; 10],
        &mut descriptors,
        ReceiveOptions::default(),
    )
    .unwrap();
    assert_eq!(descriptors.len(), kernel::message::DESCRIPTORS_MAX);
    let numbers: Vec<RawFd> = descriptors
        .as_slice()
        .iter()
        .map(AsRawFd::as_raw_fd)
        .collect();
    let socket = |number: &RawFd| std::fs::read_link(format!("/proc/self/fd/{number}")).ok();
    let ours = socket(&left.as_raw_fd());
    assert!(numbers.iter().all(|number| socket(number) == ours));
    drop(descriptors);
    assert!(
        numbers.iter().all(|number| socket(number) != ours),
        "all are closed"
    );
    let too_many = vec![left.as_fd(); kernel::message::DESCRIPTORS_MAX + 1];
    assert_eq!(send(&left, b"too many", &too_many), Err(Errno::MSGSIZE));
}

#[test]
fn only_a_sealed_file_is_mapped() {
    let file = kernel::memory::memory_file(c"open").unwrap();
    rustix::io::write(&file, b"text").unwrap();
    assert_eq!(kernel::memory::map_sealed(&file), Err(Errno::PERM));
    kernel::memory::seal(&file).unwrap();
    assert_eq!(kernel::memory::map_sealed(&file), Ok(b"text".as_slice()));
    assert_eq!(rustix::io::write(&file, b"more"), Err(Errno::PERM));
    let empty = kernel::memory::sealed_file(c"empty", b"").unwrap();
    assert_eq!(kernel::memory::map_sealed(&empty), Ok(b"".as_slice()));
}

#[test]
fn a_program_of_too_many_instructions_is_refused_before_the_kernel_sees_it() {
    assert_eq!(kernel::seccomp::install(&[0; 7], 0), Err(Errno::INVAL));
    assert_eq!(
        kernel::seccomp::install(&vec![0; (kernel::seccomp::INSTRUCTIONS_MAX + 1) * 8], 0),
        Err(Errno::INVAL)
    );
    assert!(kernel::seccomp::action_available(0x7fff_0000));
    assert!(!kernel::seccomp::action_available(0x1234_0000));
}

#[test]
fn sets_of_signals_hold_signals_only() {
    use kernel::signal::SignalSet;
    let set = SignalSet::EMPTY.with(1).with(64).with(0).with(65).with(-1);
    let held: Vec<i32> = (-2..70).filter(|signal| set.contains(*signal)).collect();
    assert_eq!(held, [1, 64]);
}

#[test]
fn a_process_with_threads_does_not_fork_alone() {
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || end.recv());
    let refused = kernel::process::fork_alone(0);
    assert!(matches!(refused, Err(Errno::INVAL)));
    drop(ended);
    assert!(other.join().unwrap().is_err());
}

#[test]
fn namespaces_are_left_by_their_own_bits_only() {
    assert_eq!(kernel::namespace::unshare(0x400), Err(Errno::INVAL));
}

#[test]
fn texts_that_do_not_fit_make_no_list() {
    let mut room = [core::ptr::null(); 2];
    assert!(TextList::new([c"a"].into_iter(), &mut room).is_some());
    assert!(TextList::new([c"a", c"b"].into_iter(), &mut room).is_none());
}

/// Each version is asked for as an older kernel would be: this one must take the shorter forms, and the thread must see no file.
#[test]
fn every_version_of_landlock_that_this_kernel_has_takes_the_files_away() {
    let newest = kernel::landlock::abi();
    assert!(newest > 0, "this test needs a kernel with Landlock");
    assert_eq!(kernel::landlock::deny_all(0), Err(kernel::Errno::NOSYS));
    for version in 1..=newest {
        // What a thread gives up, others keep.
        std::thread::spawn(move || {
            assert!(std::fs::read("/etc/passwd").is_ok());
            kernel::process::set_no_new_privileges().unwrap();
            kernel::landlock::deny_all(version).unwrap();
            assert!(std::fs::read("/etc/passwd").is_err(), "version {version}");
            assert!(std::fs::read_dir("/").is_err(), "version {version}");
            let listens = std::net::TcpListener::bind("127.0.0.1:0").is_ok();
            assert_eq!(listens, version < 4, "version {version}");
        })
        .join()
        .unwrap();
    }
    assert!(std::fs::read_dir("/").is_ok());
}

#[test]
fn the_id_that_is_none_is_refused_and_not_passed_over() {
    assert_eq!(kernel::credentials::set_user(u32::MAX), Err(Errno::INVAL));
    assert_eq!(kernel::credentials::set_group(u32::MAX), Err(Errno::INVAL));
}

/// Refuses these calls with EPERM in this thread, as managers of containers do.
fn refuse_calls(numbers: &[u32]) {
    const LOAD_NUMBER: (u16, u8, u8, u32) = (0x20, 0, 0, 0);
    const REFUSE: (u16, u8, u8, u32) = (0x06, 0, 0, 0x0005_0001);
    const ALLOW: (u16, u8, u8, u32) = (0x06, 0, 0, 0x7fff_0000);
    let mut program = vec![LOAD_NUMBER];
    for number in numbers {
        program.extend([(0x15, 0, 1, *number), REFUSE]);
    }
    program.push(ALLOW);
    let bytes: Vec<u8> = program
        .into_iter()
        .flat_map(|(code, yes, no, value)| {
            let [low, high] = code.to_ne_bytes();
            let mut instruction = vec![low, high, yes, no];
            instruction.extend(value.to_ne_bytes());
            instruction
        })
        .collect();
    kernel::process::set_no_new_privileges().unwrap();
    kernel::seccomp::install(&bytes, 0).unwrap();
}

#[test]
fn a_program_for_all_threads_is_refused_where_one_has_another() {
    let (installed, is_installed) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || {
        refuse_calls(&[]);
        installed.send(()).unwrap();
        ends.recv().unwrap_err();
    });
    is_installed.recv().unwrap();
    let allow_all: Vec<u8> = [0x06, 0, 0, 0, 0, 0, 0xff, 0x7f].into();
    kernel::process::set_no_new_privileges().unwrap();
    assert_eq!(
        kernel::seccomp::install(&allow_all, kernel::seccomp::ALL_THREADS),
        Err(Errno::SRCH)
    );
    drop(end);
    other.join().unwrap();
}

#[test]
fn a_program_that_ends_with_its_caller_is_killed_then() {
    use std::os::unix::process::ExitStatusExt as _;
    let start = || {
        let mut command = std::process::Command::new("/bin/sleep");
        kernel::session::end_with_caller(command.arg("1000"))
            .spawn()
            .unwrap()
    };
    let mut child = std::thread::spawn(start).join().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let mut lives = start();
    assert_eq!(lives.try_wait().unwrap(), None);
    lives.kill().unwrap();
    lives.wait().unwrap();
}

#[test]
fn keyrings_are_closed_where_every_way_to_them_is() {
    use linux_raw_sys::general::{__NR_add_key, __NR_keyctl, __NR_request_key};
    let facts_without = |numbers: &'static [u32]| {
        std::thread::spawn(move || {
            refuse_calls(numbers);
            let facts = kernel::probe::facts();
            (facts.keyring, facts.keyring_closed)
        })
        .join()
        .unwrap()
    };
    assert_eq!(facts_without(&[]), (true, false));
    assert_eq!(facts_without(&[__NR_keyctl]), (false, false));
    assert_eq!(
        facts_without(&[__NR_add_key, __NR_request_key, __NR_keyctl]),
        (false, true)
    );
}
