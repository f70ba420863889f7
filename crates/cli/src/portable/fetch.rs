//! Fetching: a worker of its own talks to the network; this side shows how far it is.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use delivery::digest::Digest;
use delivery::fetch::{Access, Limits, Progress, Proxy, Request, Roots, registry_address};
use delivery::policy::{Policy, size};
use delivery::registry::{Reference, is_reference};
use delivery::store::{Staging, Store};
use indicatif::{ProgressBar, ProgressStyle};

use crate::context::Context;
use crate::failure::{Hint, WithHint, hint};
use crate::portable::admit::IMAGE_MAX_BYTES;
use crate::terminal::{Paint, one_line};
use crate::workers;

/// Options about the network.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct FetchOptions {
    /// Trust only the servers that this certificate file vouches for, not the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Largest image, such as 500M
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<String>,
    /// Longest time for the whole transfer, in seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) max_time: Option<u64>,
    /// The certificates that `--ca` named when the portable came, in PEM.
    #[arg(skip)]
    pub(crate) kept_roots: Option<String>,
}

impl FetchOptions {
    /// The largest image, as it travels and as it is.
    ///
    /// # Errors
    /// When what was said is no size.
    pub(crate) fn size_max_bytes(&self) -> Result<u64> {
        self.max_size.as_deref().map_or(Ok(IMAGE_MAX_BYTES), bytes)
    }

    /// The only certificates that servers are trusted by, in PEM, where there are such: the named ones, else the kept ones.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(crate) fn own_roots(&self) -> Result<Option<String>> {
        let Some(path) = &self.ca else {
            return Ok(self.kept_roots.clone());
        };
        let shown = path.display();
        let pem = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        let pem = String::from_utf8(pem).with_context(|| format!("{shown} is not PEM"))?;
        Ok(Some(pem))
    }

    /// The address by which a policy judges another one: in registries, that of their interface.
    fn judged(&self, url: &str) -> Result<String> {
        match is_reference(url) {
            true => Ok(registry_address(url, self.own_roots()?.is_some())?),
            false => Ok(url.to_owned()),
        }
    }

    /// What a worker is asked for, by the ways that the policy says.
    pub(super) fn request(&self, policy: &Policy, url: &str) -> Result<Request> {
        let roots = self.own_roots()?;
        let roots = roots.map_or(Roots::System, |pem| Roots::Only(pem.into_bytes()));
        let mut limits = Limits {
            size_max_bytes: self.size_max_bytes()?,
            ..Limits::default()
        };
        if let Some(seconds) = self.max_time {
            limits.total = Duration::from_secs(seconds);
        }
        Ok(Request {
            url: url.to_owned(),
            roots,
            limits,
            access: access(policy, &self.judged(url)?)?,
        })
    }
}

fn access(policy: &Policy, url: &str) -> Result<Access> {
    let unread = |who| move || format!("{url} is not asked, as what {who} asks for can't be read");
    let next = "`coracle explain delivery.toml` says how credentials are kept";
    let credential = policy.credential(url).or_hint(unread("it"), next)?;
    let login = policy.proxy_login().or_hint(unread("the proxy"), next)?;
    let proxy = policy.proxy.as_ref().map(|proxy| Proxy {
        address: proxy.0.clone(),
        none_for: policy.no_proxy.clone(),
        login,
    });
    Ok(Access {
        credential,
        proxy,
        allowed: policy.allowed(),
        rate_bytes: policy.rate_limit.map(|rate| rate.0),
    })
}

/// What a worker is asked for about an address, where the policy allows it.
///
/// # Errors
/// When it does not, or what the address asks for can't be read.
pub(crate) fn request_for(context: &Context, options: &FetchOptions, url: &str) -> Result<Request> {
    let policy = policy(context)?;
    addresses(&policy, url, options)?;
    options.request(&policy, url)
}

/// What the administrator allows and wants of fetching.
///
/// # Errors
/// When the file is not understood: nothing is fetched then.
pub(crate) fn policy(context: &Context) -> Result<Policy> {
    Policy::read(&context.directories.config).or_hint(
        || "nothing is fetched, as it is not known what is allowed".to_owned(),
        "`coracle explain delivery.toml` says what may stand there",
    )
}

/// Where an address may be fetched, in order.
///
/// # Errors
/// When it is not among the sources that are allowed.
pub(super) fn addresses(policy: &Policy, url: &str, options: &FetchOptions) -> Result<Vec<String>> {
    if is_reference(url) {
        let own = options.judged(url)?;
        let all = addresses(policy, &own, options)?;
        let reference = Reference::parse(url)?;
        return all
            .iter()
            .map(|one| match *one == own {
                true => Ok(url.to_owned()),
                false => at_mirror(&reference, one),
            })
            .collect();
    }
    policy.addresses(url).or_hint(
        || "it is not fetched".to_owned(),
        "`sources` in this host's delivery.toml lists what its administrator allows",
    )
}

fn at_mirror(reference: &Reference, manifest: &str) -> Result<String> {
    let mirror = reference.at_mirror(manifest).ok_or_else(|| {
        hint(
            format!("{manifest} can't be a mirror's of {}", reference.address()),
            "in delivery.toml a registry's mirror is https://HOST/v2/NAME/, or http://127.0.0.1:PORT/v2/NAME/ on this machine",
        )
    })?;
    Ok(mirror.address())
}

/// A number with K, M, G or T, to the base of 1024, as unit files have it.
///
/// # Errors
/// When it is none.
pub(crate) fn bytes(text: &str) -> Result<u64> {
    size(text).ok_or_else(|| {
        hint(
            format!("{text:?} is no size"),
            "sizes are numbers with K, M, G or T, such as 500M",
        )
    })
}

/// Fetches an address into the store's staging area, from a mirror where one has it; what is there from an earlier try goes on.
///
/// # Errors
/// When the server can't be reached or trusted, or a limit is passed.
pub(crate) fn fetch(
    context: &Context,
    store: &Store,
    url: &str,
    options: &FetchOptions,
) -> Result<(Staging, Digest, u64)> {
    let policy = policy(context)?;
    let all = addresses(&policy, url, options)?;
    let (own, mirrors) = all.split_last().context("an address has an address")?;
    for mirror in mirrors {
        match fetch_from(context, (store, url), &options.request(&policy, mirror)?) {
            Err(error) => tell_mirror(context, mirror, &error),
            came => return came,
        }
    }
    fetch_from(context, (store, url), &options.request(&policy, own)?)
}

/// The same from nowhere else than from the address itself.
///
/// # Errors
/// As [`fetch`].
pub(crate) fn fetch_itself(
    context: &Context,
    store: &Store,
    url: &str,
    options: &FetchOptions,
) -> Result<(Staging, Digest, u64)> {
    let policy = policy(context)?;
    addresses(&policy, url, options)?;
    fetch_from(context, (store, url), &options.request(&policy, url)?)
}

/// Tells that a mirror is passed over.
pub(super) fn tell_mirror(context: &Context, mirror: &str, error: &anyhow::Error) {
    context.narrate(&format!(
        "{} the mirror {} is passed over: {}",
        Paint::Yellow.on("warning:"),
        one_line(mirror),
        one_line(&format!("{error:#}"))
    ));
}

fn fetch_from(
    context: &Context,
    (store, key): (&Store, &str),
    request: &Request,
) -> Result<(Staging, Digest, u64)> {
    let url = &request.url;
    let staging = store.stage(key)?;
    let bar = bar(context, url);
    let fetched = workers::fetch::run(
        request,
        &staging,
        &mut |progress| show(&bar, progress),
        &mut |reason| tell_reduced(context, reason),
    );
    bar.finish_and_clear();
    let error = match fetched {
        Ok(fetched) => return Ok((staging, fetched.digest, fetched.bytes)),
        Err(error) => error,
    };
    let next = if staging.file.metadata()?.len() == 0 {
        store.discard(staging)?;
        "check the address and the server; `--ca FILE` names the certificate of a private one, and `coracle explain credential.for` says how it is told who asks"
    } else {
        "run the same command again: a transfer that was cut goes on where it ended"
    };
    Err(error.context(Hint::new(format!("cannot fetch {url}"), next)))
}

/// Tells what this kernel can't take from a worker.
pub(crate) fn tell_reduced(context: &Context, reason: &str) {
    context.narrate(&format!(
        "{} {}",
        Paint::Yellow.on("reduced:"),
        one_line(reason)
    ));
}

/// A bar on a terminal, nothing elsewhere (indicatif hides it by itself).
pub(super) fn bar(context: &Context, url: &str) -> ProgressBar {
    if context.globals.quiet || context.globals.json {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("{msg} {bytes} {bytes_per_sec}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(crate::terminal::plain(url));
    bar
}

pub(super) fn show(bar: &ProgressBar, progress: Progress) {
    if let Some(total) = progress.total_bytes {
        if bar.length().is_none() {
            let style = ProgressStyle::with_template(
                "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            );
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        bar.set_length(total);
    }
    bar.set_position(progress.bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_on_this_machine_is_judged_as_it_is_asked() {
        let judged = |scheme: &str, roots: Option<&str>| {
            let text = format!("sources = [\"{scheme}://127.0.0.1:5000/\"]\n");
            let policy = Policy::parse(std::path::Path::new("/x"), &text).unwrap();
            let options = FetchOptions {
                kept_roots: roots.map(str::to_owned),
                ..FetchOptions::default()
            };
            addresses(&policy, "oci://127.0.0.1:5000/boats/dock", &options).is_ok()
        };
        assert!(judged("http", None) && !judged("https", None));
        assert!(judged("https", Some("PEM")) && !judged("http", Some("PEM")));
    }

    #[test]
    fn sizes_take_units_to_the_base_of_1024() {
        assert_eq!(bytes("500").unwrap(), 500);
        assert_eq!(bytes("2K").unwrap(), 2048);
        assert_eq!(bytes("3g").unwrap(), 3 << 30);
        assert!(bytes("5X").is_err() && bytes("").is_err() && bytes("é").is_err());
        assert!(
            bytes("16777216T").is_err(),
            "2^64 is beyond what can be counted"
        );
    }
}
