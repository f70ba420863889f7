//! Messages there and back, and the limits of the codec.

use coracle_wire as wire;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use std::io::Write;
use std::os::fd::AsFd;
use wire::frame::{Filled, FrameError, Inbox, send};
use wire::request::{Answered, Request, Response, write_call, write_failure, write_reply};
use wire::{Call, Failure, JobRequest, Method, methods};

/// Reads a call's text and prints what was understood.
fn check(call: &str) -> String {
    let request = match Request::read(call.as_bytes()) {
        Ok(request) => request,
        Err(failure) => return failure.to_string(),
    };
    match Call::read(&request.method, request.parameters) {
        Ok(call) => format!("{call:?}"),
        Err(failure) => failure.to_string(),
    }
}

#[test]
fn parameters_that_are_left_out_or_null_are_defaults() {
    let text = check(
        r#"{"method":"io.coracle.Manager.StartUnit","parameters":{"names":["a"],"mode":null}}"#,
    );
    assert_eq!(
        text,
        r#"StartUnit(JobRequest { names: ["a"], mode: "", wait: false, no_block: false, allow_unenforced: false, asked_us: None, replace: false, drain_us: None })"#
    );
}

#[test]
fn what_is_not_there_is_named() {
    assert_eq!(
        check(r#"{"method":"io.coracle.Manager.Dance"}"#),
        "there is no method io.coracle.Manager.Dance"
    );
    assert_eq!(
        check(r#"{"method":"org.example.Dance"}"#),
        "there is no interface org.example"
    );
    assert!(check("{").starts_with("wrong parameter"));
}

#[test]
fn a_call_written_is_the_call_read() {
    let mut bytes = Vec::new();
    let input = JobRequest {
        names: vec!["web.service".into()],
        wait: true,
        ..JobRequest::default()
    };
    write_call(&mut bytes, methods::StopUnit::NAME, &input, Answered::Once).unwrap();
    assert_eq!(bytes.pop(), Some(0));
    let text = check(std::str::from_utf8(&bytes).unwrap());
    assert!(
        text.starts_with("StopUnit(") && text.contains("wait: true"),
        "{text}"
    );
    for (answered, more, oneway) in [
        (Answered::Once, false, false),
        (Answered::More, true, false),
        (Answered::Never, false, true),
    ] {
        let mut bytes = Vec::new();
        write_call(&mut bytes, methods::StopUnit::NAME, &input, answered).unwrap();
        bytes.pop();
        let request = Request::read(&bytes).unwrap();
        assert_eq!((request.more, request.oneway), (more, oneway));
    }
}

#[test]
fn failures_keep_their_type_and_fields() {
    for failure in [
        Failure::NoSuchUnit {
            unit: "a.service".into(),
        },
        Failure::Unenforced {
            unit: "a.service".into(),
            directives: vec!["PrivateBPF".into(), "X".into()],
        },
        Failure::ExpectedMore {},
        Failure::Unknown {
            error: "x.y.Z".into(),
            parameters: r#"{"a":1}"#.into(),
        },
    ] {
        let mut bytes = Vec::new();
        write_failure(&mut bytes, &failure).unwrap();
        let response: Response<'_> = serde_json::from_slice(&bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(
            Failure::read(&response.error.unwrap(), response.parameters),
            failure
        );
        let inside: Failure =
            serde_json::from_str(&serde_json::to_string(&failure).unwrap()).unwrap();
        assert_eq!(inside, failure);
        // As a manager passes on what the one before it ran into.
        let (error, parameters) = failure.parts();
        let passed_on = Failure::of_parts(error, &parameters);
        let passed_on = serde_json::to_string(&passed_on).unwrap();
        assert_eq!(
            serde_json::from_str::<Failure>(&passed_on).unwrap(),
            failure
        );
    }
}

#[test]
fn the_description_names_every_method_and_type_it_uses() {
    let text = wire::service::describe(wire::INTERFACE)
        .unwrap()
        .description;
    for method in ["StartUnit", "StartTransient", "Monitor", "Describe"] {
        assert!(text.contains(&format!("method {method}(")), "{method}");
    }
    let types: Vec<&str> = text
        .lines()
        .filter_map(|l| l.strip_prefix("type "))
        .filter_map(|l| l.split(' ').next())
        .collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((_, kind)) = line.split_once(": ") else {
            continue;
        };
        let kind = kind
            .trim_end_matches([',', ')'])
            .trim_start_matches(['?', '[', ']'])
            .trim_start_matches("string]");
        let plain = ["int", "bool", "string", "object"].contains(&kind) || kind.contains("->");
        assert!(plain || types.contains(&kind), "{line}");
    }
}

#[test]
fn frames_arrive_whole_with_their_descriptors_and_a_limit() {
    let (here, there) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let mut inbox = Inbox::new(100);
    send(&here, b"{}\0{\"a\"", &[here.as_fd()], SendFlags::empty()).unwrap();
    assert_eq!(
        inbox.fill(&there, RecvFlags::DONTWAIT).unwrap(),
        Filled::Some
    );
    assert_eq!(inbox.frame().unwrap(), Some(&b"{}"[..]));
    assert_eq!(inbox.frame().unwrap(), None);
    assert_eq!(inbox.take_descriptors().len(), 1);
    send(&here, b":1}\0", &[], SendFlags::empty()).unwrap();
    inbox.fill(&there, RecvFlags::DONTWAIT).unwrap();
    assert_eq!(inbox.frame().unwrap(), Some(&b"{\"a\":1}"[..]));
    assert_eq!(
        inbox.fill(&there, RecvFlags::DONTWAIT).unwrap(),
        Filled::WouldBlock
    );
    let mut writer = std::os::unix::net::UnixStream::from(here);
    writer.write_all(&[b'x'; 200]).unwrap();
    inbox.fill(&there, RecvFlags::DONTWAIT).unwrap();
    assert!(matches!(
        inbox.frame(),
        Err(FrameError::TooLong { limit: 100 })
    ));
    drop(writer);
    assert_eq!(
        inbox.fill(&there, RecvFlags::DONTWAIT).unwrap(),
        Filled::End
    );
}

#[test]
fn replies_say_whether_more_follow() {
    let mut bytes = Vec::new();
    write_reply(&mut bytes, &wire::Done {}, true).unwrap();
    assert_eq!(bytes, b"{\"parameters\":{},\"continues\":true}\0");
}

/// The borrowed list is the list of the interface: what one writes the other reads, and both write the same.
#[test]
fn the_list_of_units_is_the_same_message_borrowed_and_not() {
    use wire::listing::{Each, Listed, UnitLine, UnitLines};
    let summary = wire::UnitSummary {
        name: "a.service".into(),
        description: "says \"hé\" \u{1b}[31m\n".into(),
        load: "loaded".into(),
        active: "active".into(),
        sub: "running".into(),
        job: Some(wire::JobSummary {
            id: 7,
            kind: "stop".into(),
            ..wire::JobSummary::default()
        }),
        main_pid: Some(12),
        listen: vec!["/run/x".into()],
        triggers: vec!["b.service".into()],
    };
    let units = vec![summary, wire::UnitSummary::default()];
    let text = serde_json::to_string(&wire::ListUnitsReply { units }).unwrap();
    let lines: UnitLines<'_> = serde_json::from_str(&text).unwrap();
    let name = lines.units.first().map(|line| &line.name);
    assert!(matches!(
        name,
        Some(std::borrow::Cow::Borrowed("a.service"))
    ));
    let each = Each(|| lines.units.iter());
    let again = serde_json::to_string(&Listed { units: each }).unwrap();
    assert_eq!(again, text);
    let empty: UnitLine<'_> = serde_json::from_str("{}").unwrap();
    assert_eq!((&*empty.name, empty.main_pid), ("", None));
}
