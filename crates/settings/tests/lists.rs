//! What a later line does to what an earlier one said.

mod reading;

use model::{Directive, Expand, ParseError, key};
use reading::{Percent, check, check_with};

#[test]
fn lists_join_and_scalars_replace() {
    assert_eq!(
        check(
            key::AFTER.directive(),
            &["a.service", "b.service c.service"]
        ),
        "a.service b.service c.service"
    );
    assert_eq!(
        check(key::SERVICE_TYPE.directive(), &["simple", "notify"]),
        "notify"
    );
    assert_eq!(
        check(key::ENVIRONMENT.directive(), &["A=1 B=2", "A=3"]),
        "A=3 | B=2"
    );
    assert_eq!(
        check(
            key::RESTRICT_ADDRESS_FAMILIES.directive(),
            &["AF_INET AF_UNIX", "~AF_UNIX"]
        ),
        "AF_INET"
    );
    assert_eq!(
        check(key::RESTRICT_NAMESPACES.directive(), &["~user net", "~pid"]),
        "cgroup ipc mnt uts time"
    );
    assert_eq!(
        check(key::RESTRICT_NAMESPACES.directive(), &["net", "pid"]),
        "net pid"
    );
    assert_eq!(
        check(
            key::SYSTEM_CALL_FILTER.directive(),
            &["@system-service", "~@mount ptrace:EPERM"]
        ),
        "@system-service | ~@mount ptrace:EPERM"
    );
    assert_eq!(
        check(key::BIND_PATHS.directive(), &["/a:/b:norbind", "-/c"]),
        "/a:/b:norbind -/c"
    );
}

#[test]
fn sets_of_capabilities_join_and_begin_anew() {
    assert_eq!(
        check(
            key::CAPABILITY_BOUNDING_SET.directive(),
            &["CAP_CHOWN", "cap_kill"]
        ),
        "CAP_CHOWN CAP_KILL"
    );
    assert_eq!(
        check(
            key::CAPABILITY_BOUNDING_SET.directive(),
            &["CAP_CHOWN CAP_KILL", "~CAP_KILL"]
        ),
        "CAP_CHOWN"
    );
    assert_eq!(
        check(key::CAPABILITY_BOUNDING_SET.directive(), &["CAP_CHOWN", ""]),
        ""
    );
    // All capabilities are as if nothing had been said.
    assert_eq!(
        check(
            key::CAPABILITY_BOUNDING_SET.directive(),
            &["CAP_KILL", "~", "CAP_CHOWN"]
        ),
        "CAP_CHOWN"
    );
    assert_eq!(
        check(
            key::AMBIENT_CAPABILITIES.directive(),
            &["", "~CAP_CHOWN", "CAP_CHOWN", "CAP_KILL"]
        ),
        check(key::AMBIENT_CAPABILITIES.directive(), &["~"])
    );
}

/// A wrong item is left out, as loading does.
struct Lenient;

impl Expand for Lenient {
    fn expand(&self, part: &str) -> Result<String, ParseError> {
        Percent.expand(part)
    }

    fn wrong_item(&self, _: ParseError) -> Result<(), ParseError> {
        Ok(())
    }
}

#[test]
fn a_list_of_calls_is_one_though_no_word_of_it_is_known() {
    let calls = |directive: Directive, lines: &[&str]| check_with(&Lenient, directive, lines);
    let filter = |lines: &[&str]| calls(key::SYSTEM_CALL_FILTER.directive(), lines);
    assert_eq!(filter(&["@no-such"]), "@default");
    assert_eq!(
        filter(&["@no-such", "read @nor-this", "~@aio"]),
        "@default read | ~@aio"
    );
    assert_eq!(filter(&["@no-such", ""]), "");
    assert_eq!(filter(&["~@no-such"]), "");
    // What is not logged is nobody's loss.
    assert_eq!(calls(key::SYSTEM_CALL_LOG.directive(), &["@no-such"]), "");
}

#[test]
fn an_argument_of_a_reboot_is_one_that_the_kernel_takes_whole() {
    let directive = key::REBOOT_ARGUMENT.directive();
    let (longest, longer) = ("x".repeat(255), "x".repeat(256));
    assert_eq!(check(directive, &[&longest]), longest);
    let said = check(directive, &[&longer]);
    assert!(
        said.starts_with("error: ") && said.contains("255"),
        "{said}"
    );
}
