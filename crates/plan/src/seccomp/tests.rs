//! Verdicts, asked from the program that the kernel would run.

use std::rc::Rc;

use super::*;
use crate::seccomp::policy::CallFilter;

const NATIVE: Machine = Machine::X86_64;

fn filter(allow_list: bool, names: &str) -> Option<Rc<CallFilter>> {
    let listed = names
        .split_whitespace()
        .map(|name| (name.to_owned(), None))
        .collect();
    Some(Rc::new(CallFilter { allow_list, listed }))
}

/// Asks lines of `[MACHINE:]call(arguments)=verdict` of the program.
fn check(restrictions: &Restrictions, lines: &str) -> usize {
    let program = compile(restrictions, NATIVE).unwrap();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (question, expected) = line.rsplit_once('=').unwrap();
        let (machine, call) = match question.split_once(':') {
            Some(("x86", call)) => (Machine::X86, call),
            Some(("arm64", call)) => (Machine::Aarch64, call),
            Some(("x32", call)) => (Machine::X32, call),
            _ => (NATIVE, question),
        };
        let (name, arguments) = call.split_once('(').unwrap();
        let arguments: Vec<u64> = arguments
            .trim_end_matches(')')
            .split(',')
            .filter(|a| !a.trim().is_empty())
            .map(number)
            .collect();
        let id = name
            .parse()
            .ok()
            .or_else(|| machine.number(name))
            .unwrap_or_else(|| panic!("no call {name}"));
        let id = if machine == Machine::X32 {
            id | 0x4000_0000
        } else {
            id
        };
        let action = machine::run(&program, machine.token(), id, &arguments);
        assert_eq!(text(action), expected, "{line}");
    }
    program.len()
}

fn number(text: &str) -> u64 {
    let text = text.trim();
    match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(hex), _) => u64::from_str_radix(hex, 16).unwrap(),
        (_, Some(octal)) => u64::from_str_radix(octal, 8).unwrap(),
        _ => text.parse().unwrap(),
    }
}

fn text(action: u32) -> String {
    match action & 0xffff_0000 {
        0x7fff_0000 => "allow".into(),
        0x7ffc_0000 => "log".into(),
        0x8000_0000 => "kill".into(),
        0x0005_0000 => format!("errno {}", action & 0xffff),
        other => format!("{other:#x}"),
    }
}

#[test]
fn an_allow_list_allows_only_what_it_lists_and_unknown_numbers_do_not_exist() {
    let restrictions = Restrictions {
        filter: filter(true, "read write execve exit_group"),
        default_verdict: Some(Verdict::Errno(1)),
        ..Default::default()
    };
    check(
        &restrictions,
        "read()=allow
         write()=allow
         execve()=allow
         mount()=errno 1
         open()=errno 1
         100000()=errno 38
         x86:read()=allow
         x86:mount()=errno 1
         x32:read()=errno 38
         arm64:63()=kill",
    );
}

#[test]
fn every_known_call_of_every_machine_gets_its_own_verdict() {
    let names = "read write mount openat futex bpf execve clone3 epoll_wait getrandom";
    let restrictions = Restrictions {
        filter: filter(true, names),
        default_verdict: Some(Verdict::Errno(13)),
        ..Default::default()
    };
    let program = compile(&restrictions, NATIVE).unwrap();
    for &machine in NATIVE.family() {
        let allowed: Vec<u32> = names
            .split(' ')
            .filter_map(|name| machine.number(name))
            .collect();
        for id in machine.numbers() {
            let expected = if allowed.contains(&id) {
                "allow"
            } else {
                "errno 13"
            };
            assert_eq!(
                text(machine::run(&program, machine.token(), id, &[])),
                expected,
                "{machine:?} {id}"
            );
        }
    }
}

#[test]
fn a_deny_list_denies_what_it_lists_with_the_number_given_for_each() {
    let mut denied = filter(false, "mount reboot").unwrap();
    Rc::make_mut(&mut denied)
        .listed
        .insert("ptrace".into(), Some(Verdict::Errno(13)));
    let restrictions = Restrictions {
        filter: Some(denied),
        ..Default::default()
    };
    check(
        &restrictions,
        "mount()=kill
         reboot()=kill
         ptrace()=errno 13
         read()=allow
         100000()=allow
         x86:mount()=kill",
    );
}

#[test]
fn only_the_native_machine_calls_when_it_is_the_only_one_listed() {
    let restrictions = Restrictions {
        machines: Some(vec![NATIVE]),
        ..Default::default()
    };
    check(
        &restrictions,
        "read()=allow
         x86:read()=kill
         x32:read()=kill
         arm64:63()=kill",
    );
}

#[test]
fn namespaces_are_seen_in_every_call_that_makes_them() {
    let restrictions = Restrictions {
        denied_namespaces: 0x1000_0000 | 0x4000_0000,
        ..Default::default()
    };
    check(
        &restrictions,
        "clone(0x11)=allow
         clone(0x10000011)=errno 1
         clone(0x40000000)=errno 1
         clone(0x20000)=allow
         clone3()=errno 38
         unshare(0x10000000)=errno 1
         unshare(0x20000)=allow
         setns(3, 0)=errno 1
         setns(3, 0x40000000)=errno 1
         setns(3, 0x20000)=allow",
    );
}

#[test]
fn sockets_only_of_the_families_listed_and_no_ring_around_it() {
    let only = Restrictions {
        addresses: Some(AddressRule::Only(vec![1, 2, 10])),
        ..Default::default()
    };
    check(
        &only,
        "socket(1)=allow
         socket(2)=allow
         socket(10)=allow
         socket(16)=errno 97
         socket(17)=errno 97
         socketpair(17)=allow
         io_uring_setup()=errno 1
         x86:socket(17)=errno 97
         x86:socketcall(1)=errno 97
         x86:socketcall(3)=allow",
    );
    let none = Restrictions {
        addresses: Some(AddressRule::Only(vec![])),
        ..Default::default()
    };
    check(&none, "socket(1)=errno 97");
    let except = Restrictions {
        addresses: Some(AddressRule::Except(vec![17, 16])),
        ..Default::default()
    };
    check(
        &except,
        "socket(17)=errno 97
         socket(16)=errno 97
         socket(2)=allow",
    );
}

#[test]
fn memory_is_writable_or_executable() {
    let restrictions = Restrictions {
        no_writable_code: true,
        ..Default::default()
    };
    check(
        &restrictions,
        "mmap(0, 4096, 7)=errno 1
         mmap(0, 4096, 6)=errno 1
         mmap(0, 4096, 5)=allow
         mmap(0, 4096, 3)=allow
         mprotect(0, 4096, 5)=errno 1
         mprotect(0, 4096, 4)=errno 1
         mprotect(0, 4096, 1)=allow
         pkey_mprotect(0, 4096, 4)=errno 1
         shmat(0, 0, 0o100000)=errno 1
         shmat(0, 0, 0)=allow
         x86:mmap2(0, 4096, 7)=errno 1",
    );
}

#[test]
fn no_file_gets_a_set_id_bit() {
    let restrictions = Restrictions {
        no_set_id: true,
        ..Default::default()
    };
    check(
        &restrictions,
        "chmod(0, 0o4755)=errno 1
         chmod(0, 0o2755)=errno 1
         chmod(0, 0o1755)=allow
         fchmod(3, 0o4755)=errno 1
         fchmodat(3, 0, 0o4755)=errno 1
         fchmodat2(3, 0, 0o4755)=errno 1
         mkdirat(3, 0, 0o2755)=errno 1
         mknod(0, 0o4644)=errno 1
         open(0, 0o101, 0o4755)=errno 1
         open(0, 0, 0o4755)=allow
         openat(3, 0, 0o100, 0o2755)=errno 1
         openat(3, 0, 0o100, 0o644)=allow
         openat(3, 0, 0o20200000, 0o4755)=errno 1
         openat2()=errno 38
         io_uring_setup()=errno 1",
    );
}

#[test]
fn files_stay_in_their_project_and_nobody_changes_what_it_may_hold() {
    let restrictions = Restrictions {
        no_other_project: true,
        ..Default::default()
    };
    check(
        &restrictions,
        "ioctl(3, 0x401c5820)=errno 1
         ioctl(3, 0x40086602)=errno 1
         ioctl(3, 0x40046602)=errno 1
         ioctl(3, 0x801c581f)=allow
         file_setattr()=errno 1
         quotactl()=errno 1
         quotactl_fd()=errno 1
         x86:quotactl()=errno 1",
    );
}

#[test]
fn realtime_scheduling_is_denied_also_with_the_reset_flag() {
    let restrictions = Restrictions {
        no_realtime: true,
        ..Default::default()
    };
    check(
        &restrictions,
        "sched_setscheduler(0, 1)=errno 1
         sched_setscheduler(0, 2)=errno 1
         sched_setscheduler(0, 6)=errno 1
         sched_setscheduler(0, 0x40000001)=errno 1
         sched_setscheduler(0, 0)=allow
         sched_setscheduler(0, 0x40000003)=allow
         sched_setattr()=errno 1",
    );
}

#[test]
fn the_personality_is_locked_to_one() {
    let restrictions = Restrictions {
        locked_personality: Some(0),
        ..Default::default()
    };
    check(
        &restrictions,
        "personality(0)=allow
         personality(0xffffffff)=allow
         personality(8)=errno 1
         personality(0x0040000)=errno 1",
    );
}

#[test]
fn directives_add_up_and_the_stricter_one_wins() {
    let restrictions = Restrictions {
        filter: filter(true, "socket clone setns init_module read"),
        default_verdict: Some(Verdict::Errno(1)),
        addresses: Some(AddressRule::Only(vec![1])),
        denied_namespaces: 0x7e02_0080,
        denied_calls: vec!["init_module"],
        logged: Some(Logged {
            inverted: false,
            calls: vec!["read".into()],
        }),
        machines: Some(vec![NATIVE]),
        ..Default::default()
    };
    let instructions = check(
        &restrictions,
        "socket(1)=allow
         socket(2)=errno 97
         clone(0x11)=allow
         clone(0x20000)=errno 1
         clone3()=errno 1
         init_module()=errno 1
         read()=log
         write()=errno 1
         x86:read()=kill",
    );
    assert!(instructions < 80, "{instructions} instructions");
}

#[test]
fn a_turned_round_list_of_logged_calls_logs_all_others() {
    let restrictions = Restrictions {
        logged: Some(Logged {
            inverted: true,
            calls: vec!["read".into()],
        }),
        ..Default::default()
    };
    check(
        &restrictions,
        "read()=allow
         write()=log",
    );
}

#[test]
fn far_jumps_arrive() {
    // Every second call: as many ranges as there can be, for two machines.
    let names: Vec<&str> = syscalls::x86_64::Sysno::iter()
        .filter(|call| (*call as u32).is_multiple_of(2))
        .map(|call| call.name())
        .collect();
    let restrictions = Restrictions {
        filter: filter(true, &names.join(" ")),
        default_verdict: Some(Verdict::Errno(1)),
        no_set_id: true,
        no_realtime: true,
        addresses: Some(AddressRule::Only((0..40).collect())),
        ..Default::default()
    };
    let program = compile(&restrictions, NATIVE).unwrap();
    assert!(program.len() < 4096, "{}", program.len());
    for id in NATIVE.numbers() {
        let action = text(machine::run(&program, NATIVE.token(), id, &[0; 6]));
        let call = syscalls::x86_64::Sysno::new(id as usize).unwrap();
        let expected = match call.name() {
            name if !names.contains(&name) => "errno 1",
            "openat2" => "errno 38",
            "sched_setattr" | "io_uring_setup" => "errno 1",
            _ => "allow",
        };
        assert_eq!(action, expected, "{call:?}");
    }
}
