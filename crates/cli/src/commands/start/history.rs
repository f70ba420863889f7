//! What was installed before under a name, and what that forbids.

use anyhow::Result;
use delivery::portables::{Allowed, Signer};

use super::Start;
use crate::context::Context;
use crate::portable::records;
use crate::terminal::{ask, can_ask, one_line};

impl Start {
    /// Versions only rise, and the signer stays, unless the administrator says otherwise. What is installed was allowed once and starts.
    pub(super) fn check_history(
        &self,
        context: &Context,
        (name, version): (&str, &str),
        signer: Option<&Signer>,
        is_installed: bool,
    ) -> Result<()> {
        use delivery::portables::Error;
        let known = records(context);
        let (install, choices) = (&self.install, &self.install.choices);
        let accepted = |signer: &Signer| install.accept_signer == Some(signer.fingerprint);
        let mut allowed = Allowed {
            downgrade: install.allow_downgrade || is_installed || choices.returns,
            withdrawn: install.allow_downgrade || is_installed,
            other_signer: signer.is_some_and(accepted) || choices.former_maker,
        };
        match known.check(name, version, signer, allowed) {
            Err(error @ Error::OtherSigner { .. }) if can_ask() => {
                if !ask(&format!(
                    "{} · trust the new signer for {name}?",
                    one_line(&error.to_string())
                ))? {
                    return Err(error.into());
                }
                allowed.other_signer = true;
                Ok(known.check(name, version, signer, allowed)?)
            }
            Err(error @ Error::OtherSigner { .. }) => {
                let next = after_other_signer(name, signer, known.get(name)?.is_some());
                Err(anyhow::Error::new(error).context(crate::failure::Hint::new(
                    format!("{name} {version} is not installed"),
                    next,
                )))
            }
            Err(error @ (Error::Downgrade { .. } | Error::BelowFloor { .. })) => {
                Err(anyhow::Error::new(error).context(crate::failure::Hint::new(
                    format!("{name} {version} is not installed"),
                    "--allow-downgrade installs the older version",
                )))
            }
            other => Ok(other?),
        }
    }
}

/// What leads on where somebody else signed than before. What was purged is only remembered, and can be forgotten.
fn after_other_signer(name: &str, signer: Option<&Signer>, is_here: bool) -> String {
    let fingerprint = signer.map(|signer| signer.fingerprint);
    match (fingerprint, is_here) {
        (Some(fingerprint), _) => {
            format!("if its maker has a new key, say --accept-signer={fingerprint}")
        }
        (None, true) => "ask its maker for a signed one".to_owned(),
        (None, false) => format!(
            "ask its maker for a signed one, or say `coracle purge --forget {name}` to forget who signed the one that was here"
        ),
    }
}
