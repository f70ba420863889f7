//! `io.systemd.UserDatabase`: users and groups as records, for libnss-systemd and userdbctl(1). Pure: a call in, an answer out.
//!
//! What is served are the users of services that have one for as long as they run: each is a group of the same name and number, too.
//! They are found by name or number; there is no listing.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

/// Bytes of one call: the longest has two names and the name of the service.
pub const CALL_BYTES_MAX: usize = 4096;
const INTERFACE: &str = "io.systemd.UserDatabase.";
/// Where somebody can't log in (nologin(8)).
const NO_SHELL: &str = "/usr/sbin/nologin";

/// Who is looked for: by name, by number, or by both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The name.
    pub name: Option<&'a str>,
    /// The number.
    pub number: Option<u32>,
}

/// Who was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name of user and group.
    pub name: String,
    /// The number of the user.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
}

#[derive(Debug, Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    method: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(default)]
    oneway: bool,
}

/// Fields of the three methods.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Parameters {
    service: String,
    uid: Option<u32>,
    user_name: Option<String>,
    gid: Option<u32>,
    group_name: Option<String>,
}

/// Answers a call, without its final NUL: the answer with its own, which is empty where none is wanted. None where it is no call, and the
/// connection is of no more use. `find` looks by a user's or, with `true`, by a group's name and number.
pub fn answer(
    call: &[u8],
    service: &str,
    find: impl Fn(Asked<'_>, bool) -> Option<Found>,
) -> Option<Vec<u8>> {
    let call: Call<'_> = serde_json::from_slice(call).ok()?;
    let parameters = call.parameters.map_or("{}", RawValue::get);
    let result = match serde_json::from_str(parameters) {
        Ok(parameters) => answer_to(&call.method, &parameters, service, find),
        Err(error) => Err((
            "org.varlink.service.InvalidParameter".to_owned(),
            json!({ "parameter": error.to_string() }),
        )),
    };
    if call.oneway {
        return Some(Vec::new());
    }
    let whole = match result {
        Ok(parameters) => json!({ "parameters": parameters }),
        Err((error, parameters)) => json!({ "error": error, "parameters": parameters }),
    };
    let mut bytes = serde_json::to_vec(&whole).ok()?;
    bytes.push(0);
    Some(bytes)
}

type Answer = Result<serde_json::Value, (String, serde_json::Value)>;

fn answer_to(
    method: &str,
    parameters: &Parameters,
    service: &str,
    find: impl Fn(Asked<'_>, bool) -> Option<Found>,
) -> Answer {
    let fail = |name: &str| Err((format!("{INTERFACE}{name}"), json!({})));
    let name = method.strip_prefix(INTERFACE);
    if matches!(
        name,
        Some("GetUserRecord" | "GetGroupRecord" | "GetMemberships")
    ) && parameters.service != service
    {
        return fail("BadService");
    }
    let (asked, is_group) = match name {
        Some("GetUserRecord") => {
            let name = parameters.user_name.as_deref();
            (
                Asked {
                    name,
                    number: parameters.uid,
                },
                false,
            )
        }
        Some("GetGroupRecord") => {
            let name = parameters.group_name.as_deref();
            (
                Asked {
                    name,
                    number: parameters.gid,
                },
                true,
            )
        }
        // The user is in its own group by that group's number, which is no membership.
        Some("GetMemberships") => return fail("NoRecordFound"),
        _ => {
            return Err((
                "org.varlink.service.MethodNotFound".to_owned(),
                json!({ "method": method }),
            ));
        }
    };
    if asked.name.is_none() && asked.number.is_none() {
        return fail("EnumerationNotSupported");
    }
    let by_name = Asked {
        number: None,
        ..asked
    };
    let Some(found) = find(if asked.name.is_some() { by_name } else { asked }, is_group) else {
        return fail("NoRecordFound");
    };
    let number = if is_group { found.gid } else { found.uid };
    if asked.number.is_some_and(|asked| asked != number) {
        return fail("ConflictingRecordFound");
    }
    let record = record(&found, is_group, service);
    Ok(json!({ "record": record, "incomplete": false }))
}

/// Records as systemd has them for its own dynamic users (systemd.io: JSON user records, JSON group records).
fn record(found: &Found, is_group: bool, service: &str) -> serde_json::Value {
    if is_group {
        json!({
            "groupName": found.name,
            "gid": found.gid,
            "description": "Dynamic Group",
            "disposition": "dynamic",
            "service": service,
        })
    } else {
        json!({
            "userName": found.name,
            "uid": found.uid,
            "gid": found.gid,
            "realName": "Dynamic User",
            "homeDirectory": "/",
            "shell": NO_SHELL,
            "locked": true,
            "disposition": "dynamic",
            "service": service,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(call: &str, expected: &str) {
        let find = |asked: Asked<'_>, _| {
            let is_it = asked.name.is_none_or(|name| name == "web")
                && asked.number.is_none_or(|number| number == 61_200);
            is_it.then(|| Found {
                name: "web".into(),
                uid: 61_200,
                gid: 61_200,
            })
        };
        let answer = answer(call.as_bytes(), "here", find).map(|bytes| {
            let text = String::from_utf8(bytes).expect("text");
            text.trim_end_matches('\0').to_owned()
        });
        assert_eq!(answer.as_deref().unwrap_or("closed"), expected, "{call}");
    }

    /// The same of a method of the interface, with these parameters beside the service.
    fn check_method(method: &str, parameters: &str, expected: &str) {
        let call = format!(
            r#"{{"method":"io.systemd.UserDatabase.{method}","parameters":{{"service":"here"{parameters}}}}}"#
        );
        check(&call, expected);
    }

    fn failure(name: &str) -> String {
        format!(r#"{{"error":"io.systemd.UserDatabase.{name}","parameters":{{}}}}"#)
    }

    const USER: &str = r#"{"parameters":{"incomplete":false,"record":{"disposition":"dynamic","gid":61200,"homeDirectory":"/","locked":true,"realName":"Dynamic User","service":"here","shell":"/usr/sbin/nologin","uid":61200,"userName":"web"}}}"#;
    const GROUP: &str = r#"{"parameters":{"incomplete":false,"record":{"description":"Dynamic Group","disposition":"dynamic","gid":61200,"groupName":"web","service":"here"}}}"#;

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        check_method("GetUserRecord", r#","userName":"web""#, USER);
        check_method("GetUserRecord", r#","uid":61200"#, USER);
        check_method("GetUserRecord", r#","uid":61200,"userName":"web""#, USER);
        check_method("GetGroupRecord", r#","groupName":"web""#, GROUP);
        check_method("GetGroupRecord", r#","gid":61200,"x":[1,2]"#, GROUP);
    }

    #[test]
    fn what_is_not_there_is_told_by_the_interfaces_own_errors() {
        check_method(
            "GetUserRecord",
            r#","userName":"other""#,
            &failure("NoRecordFound"),
        );
        check_method("GetUserRecord", r#","uid":0"#, &failure("NoRecordFound"));
        check_method(
            "GetUserRecord",
            r#","uid":1,"userName":"web""#,
            &failure("ConflictingRecordFound"),
        );
        check_method("GetUserRecord", "", &failure("EnumerationNotSupported"));
        check_method("GetMemberships", "", &failure("NoRecordFound"));
        check(
            r#"{"method":"io.systemd.UserDatabase.GetUserRecord","parameters":{"service":"there","uid":1}}"#,
            &failure("BadService"),
        );
        check(
            r#"{"method":"a.B"}"#,
            r#"{"error":"org.varlink.service.MethodNotFound","parameters":{"method":"a.B"}}"#,
        );
        check("{", "closed");
        check(r#"{"method":"a.B","oneway":true}"#, "");
    }
}
