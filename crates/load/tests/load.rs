//! Search path, drop-ins, templates, aliases, masks, side directories: a tree of texts in, loaded units out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't read its own samples must fail"
)]

use std::fmt::Write as _;
use std::path::PathBuf;

use coracle_load as load;
use load::{Loaded, Loader, MemoryTree, SearchPath};
use model::UnitName;

/// A tree from one text: `== PATH` starts a file, `== PATH -> TARGET` makes a link.
fn tree(text: &str) -> MemoryTree {
    let mut tree = MemoryTree::new();
    for part in text.split("== ").skip(1) {
        let (head, body) = part.split_once('\n').unwrap_or((part, ""));
        match head.split_once(" -> ") {
            Some((path, target)) => tree.symlink(path, target),
            None => tree.write(head, body),
        };
    }
    tree
}

fn loader(text: &str) -> Loader<MemoryTree> {
    Loader::new(
        SearchPath::new(["/etc/u", "/run/u", "/usr/u"].map(PathBuf::from)),
        tree(text),
    )
}

fn name(text: &str) -> UnitName {
    text.parse().unwrap()
}

/// The unit as text: its names, state, files, values with their last origin, diagnostics.
fn show(loaded: &Loaded) -> String {
    let names: Vec<_> = loaded.names.iter().map(UnitName::as_str).collect();
    let mut shown = format!(
        "{}: {} ({})\n",
        loaded.unit.name(),
        loaded.state,
        names.join(" ")
    );
    loaded
        .fragment
        .iter()
        .for_each(|path| writeln!(shown, "fragment {}", path.display()).unwrap());
    loaded
        .drop_ins
        .iter()
        .for_each(|path| writeln!(shown, "drop-in {}", path.display()).unwrap());
    for (directive, _) in loaded.unit.iter() {
        let origin = loaded
            .origins
            .of(directive)
            .last()
            .map(ToString::to_string)
            .unwrap_or_default();
        let lines = settings::print(&loaded.unit, directive).join(" | ");
        writeln!(shown, "{directive}{lines}  <- {origin}").unwrap();
    }
    loaded
        .diagnostics
        .iter()
        .for_each(|finding| writeln!(shown, "{finding}").unwrap());
    shown
}

#[track_caller]
fn check(text: &str, unit: &str, expected: &str) {
    assert_eq!(
        show(&loader(text).load(&name(unit))).trim_end(),
        expected.trim()
    );
}

#[test]
fn the_first_directory_that_has_the_name_wins() {
    check(
        "== /usr/u/a.service\n[Unit]\nDescription=usr\n== /etc/u/a.service\n[Unit]\nDescription=etc\n",
        "a.service",
        "
a.service: loaded (a.service)
fragment /etc/u/a.service
Description=etc  <- /etc/u/a.service:2",
    );
}

#[test]
fn a_unit_without_a_file_is_not_found_but_a_slice_is() {
    check("", "a.service", "a.service: not-found (a.service)");
    check("", "a.slice", "a.slice: loaded (a.slice)");
}

#[test]
fn an_empty_file_or_a_link_to_null_masks() {
    check(
        "== /etc/u/a.service -> /dev/null\n== /usr/u/a.service\n[Unit]\nDescription=usr\n",
        "a.service",
        "
a.service: masked (a.service)
fragment /etc/u/a.service",
    );
    check(
        "== /etc/u/a.service\n== /usr/u/a.service\n[Unit]\n",
        "a.service",
        "a.service: masked (a.service)\nfragment /etc/u/a.service",
    );
}

#[test]
fn drop_ins_apply_in_the_order_of_their_names_wherever_they_are() {
    check(
        "== /usr/u/a.service\n[Unit]\nDescription=main\n\
         == /usr/u/a.service.d/20.conf\n[Unit]\nDescription=usr 20\n\
         == /etc/u/a.service.d/10.conf\n[Unit]\nDescription=etc 10\n\
         == /etc/u/a.service.d/ignored.txt\n[Unit]\nDescription=no\n",
        "a.service",
        "
a.service: loaded (a.service)
fragment /usr/u/a.service
drop-in /etc/u/a.service.d/10.conf
drop-in /usr/u/a.service.d/20.conf
Description=usr 20  <- /usr/u/a.service.d/20.conf:2",
    );
}

#[test]
fn of_equally_named_drop_ins_the_stronger_directory_counts() {
    check(
        "== /usr/u/a-b.service\n[Unit]\nDescription=main\n\
         == /usr/u/service.d/1.conf\n[Unit]\nDescription=kind\n\
         == /etc/u/service.d/1.conf\n[Unit]\nDescription=kind in etc\n\
         == /usr/u/a-.service.d/1.conf\n[Unit]\nDescription=prefix\n\
         == /usr/u/a-.service.d/2.conf\n[Unit]\nDescription=prefix 2\n\
         == /usr/u/a-b.service.d/1.conf\n[Unit]\nDescription=own\n\
         == /etc/u/a-b.service.d/2.conf -> /dev/null\n\
         == /usr/u/service.d/3.conf\n[Unit]\nDescription=kind 3\n\
         == /run/u/a-b.service.d/3.conf\n",
        "a-b.service",
        "
a-b.service: loaded (a-b.service)
fragment /usr/u/a-b.service
drop-in /usr/u/a-b.service.d/1.conf
Description=own  <- /usr/u/a-b.service.d/1.conf:2",
    );
}

#[test]
fn an_instance_reads_its_own_its_templates_and_their_prefixes_drop_ins() {
    check(
        "== /usr/u/a-b@.service\n[Unit]\nDescription=template %i\n\
         == /usr/u/a-b@x.service.d/1.conf\n[Unit]\n\
         == /usr/u/a-b@.service.d/2.conf\n[Unit]\n\
         == /usr/u/a-@x.service.d/3.conf\n[Unit]\n\
         == /usr/u/a-@.service.d/4.conf\n[Unit]\n\
         == /usr/u/service.d/5.conf\n[Unit]\n\
         == /usr/u/a-.service.d/no.conf\n[Unit]\n\
         == /usr/u/a-b@y.service.d/no.conf\n[Unit]\n",
        "a-b@x.service",
        "
a-b@x.service: loaded (a-b@x.service)
fragment /usr/u/a-b@.service
drop-in /usr/u/a-b@x.service.d/1.conf
drop-in /usr/u/a-b@.service.d/2.conf
drop-in /usr/u/a-@x.service.d/3.conf
drop-in /usr/u/a-@.service.d/4.conf
drop-in /usr/u/service.d/5.conf
Description=template x  <- /usr/u/a-b@.service:2",
    );
}

#[test]
fn a_file_for_the_instance_comes_before_the_template() {
    check(
        "== /usr/u/a@.service\n[Unit]\nDescription=template\n== /usr/u/a@x.service\n[Unit]\nDescription=instance\n",
        "a@x.service",
        "
a@x.service: loaded (a@x.service)
fragment /usr/u/a@x.service
Description=instance  <- /usr/u/a@x.service:2",
    );
}

#[test]
fn an_alias_leads_to_the_unit_and_brings_its_drop_ins() {
    check(
        "== /usr/u/dm.service\n[Unit]\nDescription=main\n\
         == /etc/u/display.service -> /usr/u/dm.service\n\
         == /etc/u/display.service.d/1.conf\n[Unit]\nDescription=by alias\n",
        "display.service",
        "
dm.service: loaded (display.service dm.service)
fragment /usr/u/dm.service
drop-in /etc/u/display.service.d/1.conf
Description=by alias  <- /etc/u/display.service.d/1.conf:2",
    );
}

#[test]
fn a_relative_alias_and_an_alias_of_an_alias_are_followed() {
    let text = "== /usr/u/a.service\n[Unit]\nDescription=a\n== /usr/u/b.service -> a.service\n== /etc/u/c.service -> ../../usr/u/b.service\n";
    check(
        text,
        "c.service",
        "
a.service: loaded (a.service b.service c.service)
fragment /usr/u/a.service
Description=a  <- /usr/u/a.service:2",
    );
}

#[test]
fn aliases_of_templates_carry_the_instance() {
    check(
        "== /usr/u/a@.service\n[Unit]\nDescription=%i of %p\n== /usr/u/b@.service -> a@.service\n",
        "b@x.service",
        "
a@x.service: loaded (a@x.service b@x.service)
fragment /usr/u/a@.service
Description=x of a  <- /usr/u/a@.service:2",
    );
    check(
        "== /usr/u/getty@.service\n[Unit]\nDescription=%i\n== /etc/u/login@tty1.service -> /usr/u/getty@.service\n",
        "login@tty1.service",
        "
getty@tty1.service: loaded (getty@tty1.service login@tty1.service)
fragment /usr/u/getty@.service
Description=tty1  <- /usr/u/getty@.service:2",
    );
}

#[test]
fn a_link_out_of_the_unit_directories_is_the_units_file() {
    check(
        "== /srv/x/a.service\n[Unit]\nDescription=%y\n== /etc/u/a.service -> /srv/x/a.service\n",
        "a.service",
        "
a.service: loaded (a.service)
fragment /srv/x/a.service
Description=/srv/x/a.service  <- /srv/x/a.service:2",
    );
}

#[test]
fn aliases_in_a_circle_are_an_error() {
    check(
        "== /etc/u/a.service -> b.service\n== /etc/u/b.service -> a.service\n",
        "a.service",
        "
a.service: error (a.service)
a.service: error: the links that make a.service another name lead in a circle",
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
        "== /usr/u/x.target\n[Unit]\nWants=z.service\n\
         == /etc/u/x.target.wants/a.service -> /usr/u/a.service\n\
         == /usr/u/x.target.wants/b.service -> /usr/u/b.service\n\
         == /etc/u/x.target.wants/b.service -> /dev/null\n\
         == /usr/u/x.target.requires/c.service -> ../c.service\n\
         == /usr/u/x.target.upholds/d.service -> ../d.service\n",
        "x.target",
        "
x.target: loaded (x.target)
fragment /usr/u/x.target
Requires=c.service  <- /usr/u/x.target.requires/c.service
Upholds=d.service  <- /usr/u/x.target.upholds/d.service
Wants=z.service a.service  <- /etc/u/x.target.wants/a.service",
    );
}

#[test]
fn a_template_in_an_instances_wants_directory_means_the_same_instance() {
    check(
        "== /usr/u/x@.target\n[Unit]\n== /etc/u/x@.target.wants/a@.service -> /usr/u/a@.service\n",
        "x@i.target",
        "
x@i.target: loaded (x@i.target)
fragment /usr/u/x@.target
Wants=a@i.service  <- /etc/u/x@.target.wants/a@.service",
    );
}

#[test]
fn unknown_names_and_sections_warn_with_what_was_meant_and_stop_nothing() {
    check(
        "== /etc/u/a.service\n[Service]\nExecSart=/bin/true\nDescription=here\nX-Mine=1\n[X-Mine]\nA=1\n[Servce]\nB=2\n[Socket]\nC=3\n[Unit]\nDescription=ok\n",
        "a.service",
        "
a.service: loaded (a.service)
fragment /etc/u/a.service
Description=ok  <- /etc/u/a.service:12
/etc/u/a.service:2:1: warning: [Service] has no ExecSart=; the line is ignored (did you mean ExecStart=?)
/etc/u/a.service:3:1: warning: [Service] has no Description=; the line is ignored (it belongs in [Unit])
/etc/u/a.service:7:2: warning: a .service unit has no section [Servce]; it is ignored (did you mean [Service]?)
/etc/u/a.service:9:2: warning: a .service unit has no section [Socket]; it is ignored",
    );
}

#[test]
fn an_open_header_in_the_main_file_is_an_error_and_in_a_drop_in_costs_its_rest() {
    check(
        "== /etc/u/a.service\n[Unit]\nDescription=a\n[Serv\n",
        "a.service",
        "
a.service: error (a.service)
fragment /etc/u/a.service
Description=a  <- /etc/u/a.service:2
/etc/u/a.service:3:1: error: the section header has no “]” at its end; the rest of the file is not read",
    );
    check(
        "== /etc/u/a.service\n[Unit]\nDescription=a\n== /etc/u/a.service.d/1.conf\n[Unit\nDescription=b\n",
        "a.service",
        "
a.service: loaded (a.service)
fragment /etc/u/a.service
drop-in /etc/u/a.service.d/1.conf
Description=a  <- /etc/u/a.service:2
/etc/u/a.service.d/1.conf:1:1: error: the section header has no “]” at its end; the rest of the file is not read",
    );
}

#[test]
fn a_dangling_drop_in_is_said_and_passed_over() {
    check(
        "== /etc/u/a.service\n[Unit]\nDescription=a\n== /etc/u/a.service.d/1.conf -> /gone\n",
        "a.service",
        "
a.service: loaded (a.service)
fragment /etc/u/a.service
Description=a  <- /etc/u/a.service:2
/etc/u/a.service.d/1.conf: warning: the link leads to no file",
    );
}

#[test]
fn too_many_drop_ins_are_cut_off_with_a_word() {
    let mut text = "== /etc/u/a.service\n[Unit]\n".to_owned();
    (0..300).for_each(|number| {
        write!(text, "== /etc/u/a.service.d/{number:03}.conf\n[Unit]\n").unwrap()
    });
    let loaded = loader(&text).load(&name("a.service"));
    assert_eq!(loaded.drop_ins.len(), 256);
    let last = loaded.diagnostics.last().unwrap().to_string();
    assert_eq!(
        last,
        "/etc/u/a.service.d/256.conf: warning: the unit has more than 256 drop-ins; this and later ones are not read"
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
            "/etc/coracle/units",
            "/run/coracle/units.d",
            "/var/lib/coracle/attached"
        ]
    );
    let init = SearchPath::init(
        "/etc/coracle".as_ref(),
        "/run/coracle".as_ref(),
        "/var/lib/coracle".as_ref(),
    );
    assert_eq!(init.directories().len(), 16);
    assert_eq!(SearchPath::parse("/a:/b", &own).directories().len(), 2);
    assert_eq!(SearchPath::parse("/a:", &own).directories().len(), 4);
    let user = SearchPath::user(own, "/home/me".as_ref(), "/run/user/7".as_ref());
    assert!(user.contains("/home/me/.config/systemd/user".as_ref()));
    assert!(user.contains("/run/user/7/systemd/transient".as_ref()));
}
