//! By which ways servers are reached: trust, proxy, patience and connections.

use std::sync::Arc;
use std::time::Duration;

use ureq::http::Uri;
use ureq::tls::{
    Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsConfigBuilder,
};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Proxy as UreqProxy, ProxyProtocol};

use super::host::Host;
use super::resolver::HostResolver;
use super::{Error, Proxy, Request, Roots};
use crate::credential::{Identity, Login};
use crate::place::Origin;

/// Largest head of an answer, in bytes.
const HEAD_MAX_BYTES: usize = 64 * 1024;

/// Where a redirect may lead on this machine.
const LOOPBACK: &[&str] = &["127.0.0.1", "[::1]"];

/// What all agents of a transfer have in common.
pub(super) struct Ways<'a> {
    request: &'a Request,
    /// What is asked first.
    own: Option<Origin>,
    certificates: Arc<Vec<Certificate<'static>>>,
    idle_connections: usize,
}

impl<'a> Ways<'a> {
    pub(super) fn of(
        request: &'a Request,
        url: &Uri,
        idle_connections: usize,
    ) -> Result<Ways<'a>, Error> {
        Ok(Ways {
            request,
            own: Origin::of_uri(url),
            certificates: roots(&request.roots, url)?,
            idle_connections,
        })
    }

    /// One that says who it is by a certificate, or one that does not.
    pub(super) fn agent(&self, identity: Option<&Identity>) -> Result<Agent, Error> {
        let identity = identity.map(client_certificate).transpose()?;
        let tls = builder(Arc::clone(&self.certificates)).client_cert(identity);
        let access = &self.request.access;
        let proxy = access.proxy.as_ref().map(|proxy| self.proxy(proxy));
        let proxy = proxy.transpose()?;
        let idle: Option<Duration> = Some(self.request.limits.idle);
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .proxy(proxy)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(HEAD_MAX_BYTES)
            // For a whole file none: a redirect asks on a connection of its own, as a server that closes without saying so would cut it,
            // and the try would begin anew from the first address.
            .max_idle_connections(self.idle_connections)
            .max_idle_connections_per_host(self.idle_connections)
            .timeout_resolve(idle)
            .timeout_connect(idle)
            .timeout_recv_response(idle)
            .timeout_per_read(idle)
            .timeout_per_write(idle)
            .user_agent(concat!("coracle/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Agent::with_parts(
            config,
            DefaultConnector::default(),
            HostResolver::new(),
        ))
    }

    /// The proxy's own loopback is another one than ours, and a credential for ours would be told to it in clear text. Loopback has many
    /// spellings: whom a credential is for is left out as it is spelled.
    fn proxy(&self, proxy: &Proxy) -> Result<UreqProxy, Error> {
        let wrong = || Error::Address {
            url: proxy.address.chars().take(200).collect(),
            reason: "it is no address of a proxy",
        };
        let origin = Origin::of(&proxy.address).ok_or_else(wrong)?;
        let builder = UreqProxy::builder(ProxyProtocol::Http);
        let builder = builder.host(&origin.host).port(origin.port);
        let builder = match &proxy.login {
            Some(Login::Password { user, password }) => {
                builder.username(user).password(password.reveal())
            }
            Some(Login::Token(_)) | None => builder,
        };
        let known = self.request.access.credential.as_ref();
        let known = known.map(|credential| &credential.origin);
        let own = self.own.iter().chain(known);
        let own = own.filter(|origin| origin.is_loopback());
        let own = own.map(|origin| origin.host.as_str());
        let others = proxy.none_for.iter().map(String::as_str);
        let direct = own.chain(LOOPBACK.iter().copied()).chain(others);
        let builder = direct.fold(builder, |builder, host| builder.no_proxy(host));
        builder.build().map_err(|_| wrong())
    }
}

fn client_certificate(identity: &Identity) -> Result<ClientCert, Error> {
    let reason = |reason| Error::Identity { reason };
    let chain: Vec<Certificate<'static>> = ureq::tls::parse_pem(identity.chain.as_bytes())
        .filter_map(certificate)
        .collect();
    if chain.is_empty() {
        return Err(reason("there is no certificate in PEM"));
    }
    let key = PrivateKey::from_pem(identity.key.reveal().as_bytes());
    let key = key.map_err(|_| reason("there is no key in PEM"))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

/// How servers are trusted.
pub(super) fn tls(roots_of: &Roots, url: &Uri) -> Result<TlsConfig, Error> {
    Ok(builder(roots(roots_of, url)?).build())
}

fn builder(certificates: Arc<Vec<Certificate<'static>>>) -> TlsConfigBuilder {
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(certificates))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
}

fn roots(roots: &Roots, url: &Uri) -> Result<Arc<Vec<Certificate<'static>>>, Error> {
    let (pem, reason) = match roots {
        Roots::Only(pem) => (pem.as_slice(), "the given file has none"),
        Roots::System => (
            Host::get().bundle.as_slice(),
            "this system has no bundle of them (Debian: ca-certificates)",
        ),
    };
    let certificates: Vec<Certificate<'static>> =
        ureq::tls::parse_pem(pem).filter_map(certificate).collect();
    if certificates.is_empty() && url.scheme_str() == Some("https") {
        return Err(Error::Roots { reason });
    }
    Ok(Arc::new(certificates))
}

/// Bundles have parts that no one can read; the others count.
fn certificate(item: Result<PemItem<'static>, ureq::Error>) -> Option<Certificate<'static>> {
    match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    }
}
