//! What `status` says of a unit's portable: its image, who signed it, what protects it, what it was granted.

use anyhow::Result;
use delivery::portables::{Portable, Trust};
use wire::ListUnitsRequest;
use wire::methods::ListUnits;

use crate::context::Context;

/// Lines of the status screen: a name and a text.
pub(crate) fn lines(portable: &Portable) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        (
            "Portable",
            format!(
                "{} {} · from {}",
                portable.name, portable.current, portable.origin
            ),
        ),
        ("Signed", signed(portable)),
    ];
    if let Some(hash) = portable
        .versions
        .get(&portable.current)
        .and_then(|version| version.root_hash.as_ref())
    {
        lines.push(("Root hash", hash.clone()));
    }
    let grants: Vec<String> = portable.grants.iter().map(ToString::to_string).collect();
    lines.push((
        "Granted",
        if grants.is_empty() {
            "nothing beyond the default sandbox".to_owned()
        } else {
            grants.join(", ")
        },
    ));
    lines
}

fn signed(portable: &Portable) -> String {
    match (&portable.trust, &portable.signer) {
        (Trust::Signed, Some(signer)) => format!(
            "by \"{}\" · sha256:{}",
            signer.name,
            signer.fingerprint.hex()
        ),
        (Trust::Signed, None) => "by a signer that was not recorded".to_owned(),
        (Trust::Digest, _) => "no; this very file was allowed by its digest".to_owned(),
        (Trust::Insecure, _) => "NO; it was allowed with --insecure".to_owned(),
        (Trust::Directory, _) => "no; it is a directory that only root can change".to_owned(),
    }
}

/// ` · http://127.0.0.1:8080/`, where one of the units listens on an internet address.
///
/// # Errors
/// When the manager can't be asked.
pub(crate) fn address(context: &Context, units: &[String]) -> Result<String> {
    let request = ListUnitsRequest {
        names: units.to_vec(),
        all: true,
        ..ListUnitsRequest::default()
    };
    let reply = context.connect()?.call(ListUnits, &request)?;
    let found = reply
        .units
        .iter()
        .flat_map(|unit| &unit.listen)
        .find(|address| {
            address
                .rsplit_once(':')
                .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        });
    Ok(found
        .map(|address| format!(" · http://{address}/"))
        .unwrap_or_default())
}
