//! Attaching: the units of an admitted, consented portable become ordinary unit files with a drop-in that holds their sandbox.

use anyhow::Result;
use delivery::attached::UnitText;
use delivery::grants::Grants;
use delivery::portables::Portable;
use load::portable::{PortableName, Review, as_drop_in, as_unit_text, restrict};
use model::{Unit, UnitKind, key};

use super::admit::{Admitted, Root};
use super::{configure, extensions, record};
use crate::context::Context;
use crate::failure::WithHint;

/// The drop-ins of a portable, in the order they apply: where its files are, its sandbox, what comes with the
/// network, what the administrator set.
const ROOT_DROP_IN: &str = "10-root.conf";
const PROFILE_DROP_IN: &str = "20-profile.conf";
const NETWORK_DROP_IN: &str = "30-network.conf";
const SETTINGS_DROP_IN: &str = "50-configure.conf";

/// Writes the units of a portable below the state directory; all or none of them after a crash.
///
/// # Errors
/// When a name is taken or a file can't be written.
pub(crate) fn attach(
    context: &Context,
    name: &PortableName,
    admitted: &Admitted,
    review: &Review,
    portable: &Portable,
    root: &str,
) -> Result<()> {
    let profile = record::profile(&portable.profile)?;
    let mut granted: Vec<String> = granted(&portable.grants);
    granted.extend(profile.implied().iter().map(|grant| (*grant).to_owned()));
    let mut units = Vec::new();
    for (file, loaded) in admitted.contents.units.iter().zip(&review.units) {
        let restricted = restrict(name, &loaded.unit, &profile, &granted);
        let mut drop_ins = Vec::new();
        if loaded.unit.kind() == UnitKind::Service {
            let over = extensions::lines(context, name.as_str(), &portable.extensions);
            drop_ins.push((ROOT_DROP_IN.to_owned(), root_lines(admitted, root) + &over));
        }
        drop_ins.push((
            PROFILE_DROP_IN.to_owned(),
            as_drop_in(&loaded.unit, &restricted)?,
        ));
        if has_network(&restricted) {
            let lines = network_lines(context, &admitted.contents.host_places, &loaded.unit);
            drop_ins.push((NETWORK_DROP_IN.to_owned(), lines));
        }
        let settings = configure::drop_in(portable, loaded.unit.kind());
        if !settings.is_empty() {
            drop_ins.push((SETTINGS_DROP_IN.to_owned(), settings));
        }
        units.push(UnitText {
            name: file.name.clone(),
            text: format!(
                "# {}, as it was read.\n{}",
                file.name,
                as_unit_text(&loaded.unit)?
            ),
            drop_ins,
        });
    }
    let state = &context.directories.state;
    let attached = delivery::attached::attach(state, name.as_str(), &units);
    if let Err(delivery::attached::Error::Taken { owner, .. }) = &attached {
        let next = format!(
            "one name has one unit: `coracle detach {owner}` takes that portable's away, and `coracle attach {name} UNIT…` attaches only some of this one's"
        );
        return attached.or_hint(|| format!("{name} is not attached"), &next);
    }
    Ok(attached?)
}

fn has_network(unit: &Unit) -> bool {
    unit.kind() == UnitKind::Service && !unit.value(&key::PRIVATE_NETWORK)
}

/// Where the manager keeps the host's own, and where a service finds it.
const HOST_FILES: [(&str, &str); 4] = [
    ("resolv.conf", "etc/resolv.conf"),
    ("hosts", "etc/hosts"),
    ("localtime", "etc/localtime"),
    ("certificates", CERTIFICATES),
];
const CERTIFICATES: &str = "etc/ssl/certs";

/// The variable by which programs that look elsewhere (OpenSSL's own default is a directory of its build) find the bundle.
const BUNDLE_VARIABLE: &str = "SSL_CERT_FILE";

/// Whoever has the host's network asks the host's name servers, knows its names and trusts whom it trusts. The manager keeps these files
/// current (its `host_files` module), in places that are not replaced: a mount of the host's own would stay what it was.
fn network_lines(context: &Context, places: &[String], unit: &Unit) -> String {
    let kept = context.directories.runtime.join("network");
    let mut lines =
        "# What comes with the network, where the image has room for it.\n[Service]\n".to_owned();
    let has_place = |place: &str| places.iter().any(|one| one == place);
    for (name, place) in HOST_FILES.iter().filter(|(_, place)| has_place(place)) {
        let source = kept.join(name).display().to_string().replace('%', "%%");
        lines.push_str(&format!("BindReadOnlyPaths={source}:/{place}\n"));
    }
    let own = unit.value(&key::ENVIRONMENT).0;
    let names_bundle = own.iter().any(|one| one.name.starts_with("SSL_CERT_"));
    if has_place(CERTIFICATES) && !names_bundle {
        lines.push_str(&format!(
            "Environment={BUNDLE_VARIABLE}=/{CERTIFICATES}/ca-certificates.crt\n"
        ));
    }
    lines
}

fn granted(grants: &Grants) -> Vec<String> {
    grants.iter().map(ToString::to_string).collect()
}

fn root_lines(admitted: &Admitted, root: &str) -> String {
    let directive = match admitted.root {
        Root::Image { .. } => "RootImage",
        Root::Directory(_) => "RootDirectory",
    };
    format!(
        "# Where the portable's files are.\n[Service]\n{directive}={}\n",
        root.replace('%', "%%")
    )
}
