//! Search path, drop-ins, templates, aliases, masks, side directories: a tree of texts in, loaded units out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't read its own samples must fail"
)]

mod trees;

use coracle_load as load;
use load::SearchPath;
use trees::{check, loader, name, show};

#[test]
fn the_first_directory_that_has_the_name_wins() {
    check(
        "== /usr/u/a.target\n[Unit]\nDescription=usr\n== /etc/u/a.target\n[Unit]\nDescription=etc\n",
        "a.target",
        "
a.target: loaded (a.target)
fragment /etc/u/a.target
Description=etc  <- /etc/u/a.target:2",
    );
}

#[test]
fn a_unit_without_a_file_is_not_found_but_a_slice_is() {
    check("", "a.target", "a.target: not-found (a.target)");
    check("", "a.slice", "a.slice: loaded (a.slice)");
}

#[test]
fn an_empty_file_or_a_link_to_null_masks() {
    check(
        "== /etc/u/a.target -> /dev/null\n== /usr/u/a.target\n[Unit]\nDescription=usr\n",
        "a.target",
        "
a.target: masked (a.target)
fragment /etc/u/a.target",
    );
    check(
        "== /etc/u/a.target\n== /usr/u/a.target\n[Unit]\n",
        "a.target",
        "a.target: masked (a.target)\nfragment /etc/u/a.target",
    );
}

#[test]
fn drop_ins_apply_in_the_order_of_their_names_wherever_they_are() {
    check(
        "== /usr/u/a.target\n[Unit]\nDescription=main\n\
         == /usr/u/a.target.d/20.conf\n[Unit]\nDescription=usr 20\n\
         == /etc/u/a.target.d/10.conf\n[Unit]\nDescription=etc 10\n\
         == /etc/u/a.target.d/ignored.txt\n[Unit]\nDescription=no\n",
        "a.target",
        "
a.target: loaded (a.target)
fragment /usr/u/a.target
drop-in /etc/u/a.target.d/10.conf
drop-in /usr/u/a.target.d/20.conf
Description=usr 20  <- /usr/u/a.target.d/20.conf:2",
    );
}

#[test]
fn of_equally_named_drop_ins_the_stronger_directory_counts() {
    check(
        "== /usr/u/a-b.target\n[Unit]\nDescription=main\n\
         == /usr/u/target.d/1.conf\n[Unit]\nDescription=kind\n\
         == /etc/u/target.d/1.conf\n[Unit]\nDescription=kind in etc\n\
         == /usr/u/a-.target.d/1.conf\n[Unit]\nDescription=prefix\n\
         == /usr/u/a-.target.d/2.conf\n[Unit]\nDescription=prefix 2\n\
         == /usr/u/a-b.target.d/1.conf\n[Unit]\nDescription=own\n\
         == /etc/u/a-b.target.d/2.conf -> /dev/null\n\
         == /usr/u/target.d/3.conf\n[Unit]\nDescription=kind 3\n\
         == /run/u/a-b.target.d/3.conf\n",
        "a-b.target",
        "
a-b.target: loaded (a-b.target)
fragment /usr/u/a-b.target
drop-in /usr/u/a-b.target.d/1.conf
Description=own  <- /usr/u/a-b.target.d/1.conf:2",
    );
}

#[test]
fn an_instance_reads_its_own_its_templates_and_their_prefixes_drop_ins() {
    check(
        "== /usr/u/a-b@.target\n[Unit]\nDescription=template %i\n\
         == /usr/u/a-b@x.target.d/1.conf\n[Unit]\n\
         == /usr/u/a-b@.target.d/2.conf\n[Unit]\n\
         == /usr/u/a-@x.target.d/3.conf\n[Unit]\n\
         == /usr/u/a-@.target.d/4.conf\n[Unit]\n\
         == /usr/u/target.d/5.conf\n[Unit]\n\
         == /usr/u/a-.target.d/no.conf\n[Unit]\n\
         == /usr/u/a-b@y.target.d/no.conf\n[Unit]\n",
        "a-b@x.target",
        "
a-b@x.target: loaded (a-b@x.target)
fragment /usr/u/a-b@.target
drop-in /usr/u/a-b@x.target.d/1.conf
drop-in /usr/u/a-b@.target.d/2.conf
drop-in /usr/u/a-@x.target.d/3.conf
drop-in /usr/u/a-@.target.d/4.conf
drop-in /usr/u/target.d/5.conf
Description=template x  <- /usr/u/a-b@.target:2",
    );
}

#[test]
fn a_dependency_on_a_template_is_one_on_the_instance_of_the_units_own_name() {
    let text = "== /usr/u/keys.service\n[Unit]\nBefore=a.service shell@.service\n\
         [Service]\nExecStart=/bin/true\n[Install]\nWantedBy=shell@.service\n\
         == /usr/u/log@.service\n[Unit]\nBefore=shell@.service\n[Service]\nExecStart=/bin/true\n";
    for (unit, expected) in [
        ("keys.service", "Before=a.service shell@keys.service"),
        ("keys.service", "WantedBy=shell@.service"),
        ("log@x.service", "Before=shell@x.service"),
    ] {
        let shown = show(&loader(text).load(&name(unit)));
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn a_file_for_the_instance_comes_before_the_template() {
    check(
        "== /usr/u/a@.target\n[Unit]\nDescription=template\n== /usr/u/a@x.target\n[Unit]\nDescription=instance\n",
        "a@x.target",
        "
a@x.target: loaded (a@x.target)
fragment /usr/u/a@x.target
Description=instance  <- /usr/u/a@x.target:2",
    );
}

#[test]
fn an_alias_leads_to_the_unit_and_brings_its_drop_ins() {
    check(
        "== /usr/u/dm.target\n[Unit]\nDescription=main\n\
         == /etc/u/display.target -> /usr/u/dm.target\n\
         == /etc/u/display.target.d/1.conf\n[Unit]\nDescription=by alias\n",
        "display.target",
        "
dm.target: loaded (display.target dm.target)
fragment /usr/u/dm.target
drop-in /etc/u/display.target.d/1.conf
Description=by alias  <- /etc/u/display.target.d/1.conf:2",
    );
}

#[test]
fn a_relative_alias_and_an_alias_of_an_alias_are_followed() {
    let text = "== /usr/u/a.target\n[Unit]\nDescription=a\n== /usr/u/b.target -> a.target\n== /etc/u/c.target -> ../../usr/u/b.target\n";
    check(
        text,
        "c.target",
        "
a.target: loaded (a.target b.target c.target)
fragment /usr/u/a.target
Description=a  <- /usr/u/a.target:2",
    );
}

#[test]
fn aliases_of_templates_carry_the_instance() {
    check(
        "== /usr/u/a@.target\n[Unit]\nDescription=%i of %p\n== /usr/u/b@.target -> a@.target\n",
        "b@x.target",
        "
a@x.target: loaded (a@x.target b@x.target)
fragment /usr/u/a@.target
Description=x of a  <- /usr/u/a@.target:2",
    );
    check(
        "== /usr/u/getty@.target\n[Unit]\nDescription=%i\n== /etc/u/login@tty1.target -> /usr/u/getty@.target\n",
        "login@tty1.target",
        "
getty@tty1.target: loaded (getty@tty1.target login@tty1.target)
fragment /usr/u/getty@.target
Description=tty1  <- /usr/u/getty@.target:2",
    );
}

#[test]
fn a_link_out_of_the_unit_directories_is_the_units_file() {
    check(
        "== /srv/x/a.target\n[Unit]\nDescription=%y\n== /etc/u/a.target -> /srv/x/a.target\n",
        "a.target",
        "
a.target: loaded (a.target)
fragment /srv/x/a.target
Description=/srv/x/a.target  <- /srv/x/a.target:2",
    );
}

#[test]
fn aliases_in_a_circle_are_an_error() {
    check(
        "== /etc/u/a.target -> b.target\n== /etc/u/b.target -> a.target\n",
        "a.target",
        "
a.target: error (a.target)
a.target: error: the links that make a.target another name lead in a circle",
    );
}

#[test]
fn aliases_between_kinds_or_to_templates_are_refused() {
    let loader = loader(
        "== /usr/u/a.service\n[Unit]\n== /usr/u/t@.service\n[Unit]\n== /etc/u/a.socket -> /usr/u/a.service\n\
         == /etc/u/p.service -> /usr/u/t@.service\n== /etc/u/q@.service -> /usr/u/a.service\n== /etc/u/r@x.service -> /usr/u/t@y.service\n",
    );
    let shown: Vec<_> = loader
        .diagnostics()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        shown,
        [
            "/etc/u/a.socket: warning: a.socket can't be another name for a.service: the two are of different kinds",
            "/etc/u/p.service: warning: p.service can't be another name for t@.service: a unit that is no instance can't be another name for a template",
            "/etc/u/q@.service: warning: q@.service can't be another name for a.service: a template can only be another name for a template",
            "/etc/u/r@x.service: warning: r@x.service can't be another name for t@y.service: the two are different instances",
        ]
    );
}

#[test]
fn wants_requires_and_upholds_directories_are_relations() {
    check(
        "== /usr/u/x.target\n[Unit]\nWants=z.target\n\
         == /etc/u/x.target.wants/a.target -> /usr/u/a.target\n\
         == /usr/u/x.target.wants/b.target -> /usr/u/b.target\n\
         == /etc/u/x.target.wants/b.target -> /dev/null\n\
         == /usr/u/x.target.requires/c.target -> ../c.target\n\
         == /usr/u/x.target.upholds/d.target -> ../d.target\n",
        "x.target",
        "
x.target: loaded (x.target)
fragment /usr/u/x.target
Requires=c.target  <- /usr/u/x.target.requires/c.target
Upholds=d.target  <- /usr/u/x.target.upholds/d.target
Wants=z.target a.target  <- /etc/u/x.target.wants/a.target",
    );
}

#[test]
fn a_template_in_an_instances_wants_directory_means_the_same_instance() {
    check(
        "== /usr/u/x@.target\n[Unit]\n== /etc/u/x@.target.wants/a@.target -> /usr/u/a@.target\n",
        "x@i.target",
        "
x@i.target: loaded (x@i.target)
fragment /usr/u/x@.target
Wants=a@i.target  <- /etc/u/x@.target.wants/a@.target",
    );
}

#[test]
fn the_search_path_is_own_then_the_references_and_can_be_given() {
    let own = SearchPath::own(
        "/etc/coracle".as_ref(),
        "/run/coracle".as_ref(),
        "/var/lib/coracle".as_ref(),
    );
    let shown: Vec<_> = own
        .directories()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(
        shown,
        [
            "/run/coracle/generator.early",
            "/etc/coracle/units",
            "/run/coracle/units.d",
            "/var/lib/coracle/attached",
            "/run/coracle/generator",
            "/run/coracle/generator.late",
        ]
    );
    let init = SearchPath::init(
        "/etc/coracle".as_ref(),
        "/run/coracle".as_ref(),
        "/var/lib/coracle".as_ref(),
    );
    assert_eq!(init.directories().len(), 21);
    let at = |path: &str| {
        let mut all = init.directories().iter();
        all.position(|known| known == std::path::Path::new(path))
            .unwrap()
    };
    assert!(at("/etc/systemd/system") < at("/run/coracle/generator"));
    assert!(at("/run/coracle/generator") < at("/usr/lib/systemd/system"));
    assert!(at("/usr/lib/systemd/system") < at("/run/coracle/generator.late"));
    assert_eq!(SearchPath::parse("/a:/b", &own).directories().len(), 2);
    assert_eq!(SearchPath::parse("/a:", &own).directories().len(), 7);
    let user = SearchPath::user(own, "/home/me".as_ref(), "/run/user/7".as_ref());
    assert!(user.contains("/home/me/.config/systemd/user".as_ref()));
    assert!(user.contains("/run/user/7/systemd/transient".as_ref()));
}

#[test]
fn sockets_keep_the_order_of_their_lines_and_an_empty_one_takes_all_back() {
    let listens = |text: &str| {
        let loaded = loader(text).load(&name("a.socket"));
        let all = loaded.unit.listens();
        all.iter()
            .map(|one| format!("{}{}", one.directive(), one.address()))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let unit = "== /etc/u/a.socket\n[Socket]\nListenFIFO=/p\nListenDatagram=53\nListenStream=80\nListenDatagram=54\n";
    assert_eq!(
        listens(unit),
        "ListenFIFO=/p ListenDatagram=53 ListenStream=80 ListenDatagram=54"
    );
    let drop_in = "== /etc/u/a.socket.d/1.conf\n[Socket]\nListenStream=\nListenStream=81\n";
    assert_eq!(listens(&format!("{unit}{drop_in}")), "ListenStream=81");
}

#[test]
fn a_pid_file_is_below_run_also_by_its_old_name() {
    for (written, meant) in [
        ("a.pid", "/run/a.pid"),
        ("a/b.pid", "/run/a/b.pid"),
        ("/var/run/a.pid", "/run/a.pid"),
        ("/srv/a.pid", "/srv/a.pid"),
    ] {
        check(
            &format!(
                "== /etc/u/a.service\n[Service]\nType=forking\nPIDFile={written}\nExecStart=/bin/true"
            ),
            "a.service",
            &format!(
                "
a.service: loaded (a.service)
fragment /etc/u/a.service
ExecStart=/bin/true  <- /etc/u/a.service:4
PIDFile={meant}  <- /etc/u/a.service:3
Type=forking  <- /etc/u/a.service:2"
            ),
        );
    }
}
