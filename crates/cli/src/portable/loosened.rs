//! What `configure` gives a portable beyond what the default sandbox and the grants allow.

use delivery::portables::Portable;
use load::portable::{PortableName, UnitText, covers, review};

/// The settings that loosen the sandbox, judged as if the image had said them and nobody had consented.
pub(crate) fn loosened(portable: &Portable) -> Vec<String> {
    let set = portable.settings.get(super::configure::LIMIT);
    let loosens = |setting: &&String| {
        PortableName::new(&portable.name).is_ok_and(|name| asks(portable, &name, setting))
    };
    set.into_iter().flatten().filter(loosens).cloned().collect()
}

fn asks(portable: &Portable, name: &PortableName, setting: &str) -> bool {
    let (file, text) = (
        format!("{name}.service"),
        format!("[Service]\nExecStart=/x\n{setting}\n"),
    );
    let unit = UnitText {
        name: &file,
        bytes: text.as_bytes(),
    };
    let found = review(name, &[unit], &crate::check::specifiers());
    let is_granted = |asked: &str| {
        let mut grants = portable.grants.iter();
        grants.any(|grant| covers(&grant.to_string(), asked))
    };
    let mut requests = found.requests.iter();
    !found.refusals.is_empty() || requests.any(|request| !is_granted(&request.grant))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &[&str], grants: &[&str], expected: &[&str]) {
        let record = serde_json::json!({
            "name": "hello", "current": "1", "versions": {}, "signer": null, "trust": "insecure", "origin": "", "grants": grants,
            "settings": {"set": set}
        });
        let portable = serde_json::from_value(record).unwrap();
        assert_eq!(loosened(&portable), expected);
    }

    #[test]
    fn what_is_beyond_the_default_sandbox_is_told_and_what_narrows_it_is_not() {
        check(
            &[
                "PrivateNetwork=no",
                "ProtectSystem=no",
                "NoNewPrivileges=no",
            ],
            &[],
            &[
                "PrivateNetwork=no",
                "ProtectSystem=no",
                "NoNewPrivileges=no",
            ],
        );
        check(&["PrivateNetwork=no"], &["network"], &[]);
        check(
            &["MemoryMax=10M", "ProtectHome=yes", "CPUWeight=50"],
            &[],
            &[],
        );
    }
}
