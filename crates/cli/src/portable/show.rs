//! What `status` says of a unit's portable: its image, who signed it, what protects it, what it was granted.

use anyhow::Result;
use delivery::digests::{Digests, Said};
use delivery::portables::{Portable, Trust, Version};
use delivery::store::Store;
use wire::methods::{ListUnits, Status};
use wire::{Client, ListUnitsRequest, NamesRequest, UnitStatus, UnitSummary};

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
    if !portable.profile.is_empty() {
        lines.push((
            "Profile",
            format!("{}, as the administrator chose", portable.profile),
        ));
    }
    if !portable.extensions.is_empty() {
        lines.push((
            "Extended by",
            super::extensions::in_words(&portable.extensions),
        ));
    }
    if portable.runtime {
        lines.push(("Attached", "until the next reboot".to_owned()));
    }
    if let Some(former) = &portable.trial {
        let then = if portable.is_withdrawn(former) {
            format!("is stopped where it does not, as {former} was withdrawn by its maker")
        } else {
            format!("{former} comes back where it does not")
        };
        let words = format!("it has not proven yet that it works, and {then}");
        lines.push(("On trial", words));
    }
    if portable.held {
        let words = format!("at this version, until `coracle unhold {}`", portable.name);
        lines.push(("Held", words));
    }
    let loosened = super::loosened::loosened(portable);
    if !loosened.is_empty() {
        lines.push((
            "Loosened",
            format!("by `coracle configure`: {}", loosened.join(" ")),
        ));
    }
    lines
}

/// What was revoked of a portable since it came in: its image, the certificate that signed it, or the one that issued that.
///
/// # Errors
/// When the list can't be read.
pub(crate) fn revoked(context: &Context, portable: &Portable) -> Result<Option<Said>> {
    let list = Digests::revoked(&context.directories.config);
    let version = portable.versions.get(&portable.current);
    let image = version.and_then(|version| version.image);
    let layers = portable.extensions.iter();
    let signers = portable.signers();
    let signers = signers.flat_map(|signer| signer.revoked_by().map(Some));
    let images = std::iter::once(image).chain(layers.map(|layer| layer.image));
    for digest in images.chain(signers).flatten() {
        if let Some(said) = list.get(&digest)? {
            return Ok(Some(said));
        }
    }
    Ok(None)
}

/// The line of the status screen about that.
pub(crate) fn revoked_in_words(portable: &Portable, said: &Said) -> String {
    let because = match said.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    format!(
        "YES ({}){because}; what runs goes on until `coracle stop {}`, and nothing of it starts any more",
        said.digest, portable.name
    )
}

/// Since when it is here, microseconds since the epoch: what the log says of its units before that is about one that was purged.
pub(crate) fn since_us(portable: &Portable) -> Option<u64> {
    let versions = portable.versions.values();
    versions.map(|version| version.installed_us).min()
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

/// Whether a unit is up: what is asked to start goes on as it is.
pub(crate) fn is_up(unit: &UnitStatus) -> bool {
    is_state_of_up(&unit.active)
}

fn is_state_of_up(active: &str) -> bool {
    matches!(active, "active" | "reloading")
}

/// Says so where units run from another root than the portable's current one, and with what they get it.
pub(crate) fn older(
    context: &Context,
    portable: &Portable,
    root: &str,
    units: &[&UnitStatus],
) -> Option<String> {
    let of_other = |unit: &&UnitStatus| {
        is_up(unit) && unit.image.as_ref().is_some_and(|image| image.path != root)
    };
    let unit = units.iter().copied().find(of_other)?;
    let path = &unit.image.as_ref()?.path;
    let is_it = |version: &Version| root_of(context, version).as_ref() == Some(path);
    let what = portable
        .versions
        .iter()
        .find(|(_, version)| is_it(version))
        .map_or("what was installed before", |(number, _)| number.as_str());
    let (name, current) = (&portable.name, &portable.current);
    Some(format!(
        "{name} {current} is installed, and {} still runs from {what}: `coracle restart {name}` changes that",
        unit.name
    ))
}

/// Where a version's files are; none where the store can't be opened.
pub(crate) fn root_of(context: &Context, version: &Version) -> Option<String> {
    if let Some(directory) = &version.directory {
        return Some(directory.display().to_string());
    }
    let store = Store::open(&context.directories.state).ok()?;
    Some(store.path(version.image.as_ref()?).display().to_string())
}

/// ` · http://127.0.0.1:8080/`, where one of the units listens on an internet address.
///
/// # Errors
/// When the manager can't be asked.
pub(crate) fn address(client: &mut Client, units: &[String]) -> Result<String> {
    let names: Vec<String> = units.iter().filter(|unit| listens(unit)).cloned().collect();
    if names.is_empty() {
        return Ok(String::new());
    }
    let listed = listed(client, names)?;
    let mut addresses = listed.iter().flat_map(|unit| &unit.listen);
    let found = addresses.find(|address| {
        let port = address
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>());
        port.is_some_and(|port| port.is_ok())
    });
    Ok(found
        .map(|address| format!(" · http://{address}/"))
        .unwrap_or_default())
}

fn listens(unit: &str) -> bool {
    unit.ends_with(".socket")
}

/// What is known of those of the units that are up. Most are not, and then the manager need not describe any.
///
/// # Errors
/// When the manager can't be asked.
pub(crate) fn up(client: &mut Client, units: &[String]) -> Result<Vec<UnitStatus>> {
    let mut listed = listed(client, units.to_vec())?;
    listed.retain(|unit| is_state_of_up(&unit.active));
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let names = listed.into_iter().map(|unit| unit.name).collect();
    let mut found = client.call(Status, &NamesRequest { names })?.units;
    found.retain(is_up);
    Ok(found)
}

fn listed(client: &mut Client, names: Vec<String>) -> Result<Vec<UnitSummary>> {
    let request = ListUnitsRequest {
        names,
        all: true,
        ..ListUnitsRequest::default()
    };
    Ok(client.call(ListUnits, &request)?.units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Globals;

    #[test]
    fn the_root_of_what_came_as_a_directory_is_that_directory() {
        let nowhere = || Some("/nonexistent".into());
        let context = Context::new(Globals {
            runtime_dir: nowhere(),
            state_dir: nowhere(),
            config_dir: nowhere(),
            unit_path: nowhere(),
            ..Globals::default()
        })
        .unwrap();
        let version = Version {
            image: None,
            directory: Some("/srv/boat".into()),
            root_hash: None,
            units: Vec::new(),
            installed_us: 0,
            healthy: false,
            taken_back: None,
            grants: None,
        };
        assert_eq!(root_of(&context, &version).as_deref(), Some("/srv/boat"));
    }
}
