//! The HTTP client: its TLS roots, proxies and windows. The only place that builds one.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::error::Cause;
use super::settings::{ProxySettings, Settings};
use crate::network::ClientCertificate;

/// What a layer may have under way before someone reads it. Layers of one image share a connection: their windows
/// together must fit in its window, or one that waits to be read would starve those it waits for.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// Room for 32 layers at once.
const CONNECTION_WINDOW: u32 = 32 * STREAM_WINDOW;

/// Why no client could be made of the settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The extra authorities are no PEM certificates.
    #[error("the certificates of extra authorities are no PEM file")]
    Pem(#[source] Cause),
    /// A PEM file that holds no certificate at all.
    #[error("the file of extra authorities holds no certificate")]
    NoCertificate,
    /// One of them is damaged or of a kind that cannot be an authority.
    #[error("certificate {number} of the extra authorities cannot be used")]
    Certificate {
        /// Its place in the file, from 1.
        number: usize,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// A proxy's address is no URL. It is not shown, since it may hold a password.
    #[error("the address of the {scheme} proxy is no URL")]
    Proxy {
        /// `https` or `http`.
        scheme: &'static str,
    },
    /// The certificate that is to be shown to registries, or its key, cannot be used.
    #[error("the client certificate for registries cannot be used")]
    Identity(#[source] Cause),
    /// What is said of one host cannot be used.
    #[error("what is said of {address} cannot be used")]
    Host {
        /// The host.
        address: String,
        /// What is wrong with it.
        #[source]
        source: Box<SettingsError>,
    },
    /// More hosts are spoken to in ways of their own than is borne.
    #[error("more than {limit} hosts have certificates or settings of their own")]
    TooManyHosts {
        /// How many may.
        limit: usize,
    },
    /// The client could not be set up.
    #[error("no HTTP client could be set up")]
    Client(#[source] Cause),
}

/// What may be said of one host alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HostSettings {
    /// PEM certificates of authorities that are trusted besides the others.
    pub(super) authorities: Option<String>,
    pub(super) client: Option<ClientCertificate>,
    pub(super) skip_verify: bool,
    /// Longest wait for a connection, if it is another than usual.
    pub(super) connect_timeout: Option<Duration>,
}

/// Builds the client that all requests go through.
pub(crate) fn build(settings: &Settings) -> Result<reqwest::Client, SettingsError> {
    build_for(settings, &HostSettings::default())
}

/// Builds the client for one host.
pub(super) fn build_for(settings: &Settings, host: &HostSettings) -> Result<reqwest::Client, SettingsError> {
    let mut builder = builder(settings, host)?;
    for proxy in proxies(&settings.proxy)? {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|error| SettingsError::Client(Cause::of(&error)))
}

/// Builds a client for what is on this very node: no proxy can reach it.
pub(super) fn build_near(
    settings: &Settings,
    connect_timeout: Duration,
) -> Result<reqwest::Client, SettingsError> {
    let host = HostSettings { connect_timeout: Some(connect_timeout), ..HostSettings::default() };
    builder(settings, &host)?.build().map_err(|error| SettingsError::Client(Cause::of(&error)))
}

fn builder(settings: &Settings, host: &HostSettings) -> Result<reqwest::ClientBuilder, SettingsError> {
    Ok(reqwest::Client::builder()
        .user_agent(concat!("kubectl-clarity/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls(settings, host)?)
        // Redirects are followed one by one, so that credentials never go along to another host.
        .redirect(reqwest::redirect::Policy::none())
        // What is tried again, and how often, is said in one place: the transport.
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(host.connect_timeout.unwrap_or(settings.connect_timeout))
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(64 * 1024)
        // Without this the environment would be read.
        .no_proxy())
}

/// The public authorities, compiled in since an image from scratch has none, and those that were given.
fn tls(settings: &Settings, host: &HostSettings) -> Result<ClientConfig, SettingsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    let own = host.authorities.as_deref().map(str::as_bytes);
    for pem in settings.extra_roots.as_deref().into_iter().chain(own) {
        add_roots(&mut roots, pem)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::Client(Cause::of(&error)))?;
    let config = if host.skip_verify {
        config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    } else {
        config.with_root_certificates(roots)
    };
    let mut config = match host.client.as_ref().or(settings.client.as_ref()) {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let (certificates, key) = read_identity(identity)?;
            let shown = config.with_client_auth_cert(certificates, key);
            shown.map_err(|error| SettingsError::Identity(Cause::of(&error)))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn add_roots(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), SettingsError> {
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| SettingsError::Pem(Cause::of(&error)))?;
        count += 1;
        roots
            .add(certificate)
            .map_err(|error| SettingsError::Certificate { number: count, source: Cause::of(&error) })?;
    }
    if count == 0 { Err(SettingsError::NoCertificate) } else { Ok(()) }
}

/// Errors of the PEM reader name kinds of sections, and nothing of what is in them.
fn read_identity(
    identity: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), SettingsError> {
    let wrong = |error: rustls::pki_types::pem::Error| SettingsError::Identity(Cause::of(&error));
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&identity.certificates).collect();
    let certificates = certificates.map_err(wrong)?;
    if certificates.is_empty() {
        return Err(SettingsError::Identity(Cause::saying("its file holds no certificate")));
    }
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            SettingsError::Identity(Cause::saying("its file holds no private key"))
        }
        error => wrong(error),
    })?;
    Ok((certificates, key))
}

/// Trusts whatever a host shows, where a person has said so. The handshake itself is verified.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn proxies(settings: &ProxySettings) -> Result<Vec<reqwest::Proxy>, SettingsError> {
    let mut proxies = Vec::new();
    let except = || settings.except.as_deref().and_then(reqwest::NoProxy::from_string);
    if let Some(address) = &settings.https {
        let proxy = reqwest::Proxy::https(address.expose());
        proxies.push(proxy.map_err(|_| SettingsError::Proxy { scheme: "https" })?.no_proxy(except()));
    }
    if let Some(address) = &settings.http {
        let proxy = reqwest::Proxy::http(address.expose());
        proxies.push(proxy.map_err(|_| SettingsError::Proxy { scheme: "http" })?.no_proxy(except()));
    }
    Ok(proxies)
}

/// What the TLS library said about a failed connection, if it was TLS that failed.
pub(crate) fn tls_failure<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(failure) = error.downcast_ref::<rustls::Error>() {
            return Some(failure);
        }
        // An io::Error does not name what it wraps as its source.
        let wrapped: Option<&'a (dyn Error + Send + Sync + 'static)> =
            error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(failure) = wrapped.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(failure);
        }
        next = match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Secret;

    fn with_roots(pem: &[u8]) -> Result<reqwest::Client, SettingsError> {
        build(&Settings { extra_roots: Some(pem.to_vec()), ..Settings::default() })
    }

    #[test]
    fn extra_roots_that_are_no_certificates_are_refused() {
        assert!(matches!(with_roots(b"hello"), Err(SettingsError::NoCertificate)));
        let pem = b"-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        assert!(matches!(with_roots(pem), Err(SettingsError::Certificate { number: 1, .. })));
        let pem = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        assert!(matches!(with_roots(pem), Err(SettingsError::Pem(_))));
    }

    #[test]
    fn the_address_of_a_bad_proxy_is_not_shown() {
        let proxy =
            ProxySettings { https: Some(Secret::new("http://user:hunter2@[")), ..ProxySettings::default() };
        let error = build(&Settings { proxy, ..Settings::default() }).expect_err("no URL");
        assert_eq!(error.to_string(), "the address of the https proxy is no URL");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn a_tls_error_is_found_inside_io_errors() {
        let inner = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = io::Error::other(io::Error::other(inner.clone()));
        assert_eq!(tls_failure(&error), Some(&inner));
        assert_eq!(tls_failure(&io::Error::other("else")), None);
    }
}
