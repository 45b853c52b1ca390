//! Who is asked for what, and what to say when that goes wrong.

use std::time::Duration;

use reqwest::Response;

use super::client::tls_failure;
use super::error::{Answer, Cause, Part, PullError};
use super::patience::Setback;
use crate::image::Repository;

/// Who is asked for what: the words that every error needs.
pub(super) struct Place<'a> {
    pub(super) host: &'a str,
    pub(super) repository: &'a Repository,
    pub(super) part: &'a Part,
}

impl Place<'_> {
    /// Waits for an answer's head within a time limit.
    pub(super) async fn within(
        &self,
        limit: Duration,
        sent: impl Future<Output = Result<Response, reqwest::Error>>,
    ) -> Result<Response, Setback> {
        match tokio::time::timeout(limit, sent).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.network(&error)),
            Err(_) => Err(Setback::passing(self.timeout())),
        }
    }

    /// Says in our words why the network failed, and whether that may pass.
    pub(super) fn network(&self, error: &reqwest::Error) -> Setback {
        let (host, repository) = (self.host.to_owned(), self.repository.clone());
        match tls_failure(error) {
            Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
                return Setback::from(PullError::UnknownIssuer { host, repository });
            }
            Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
                return Setback::from(PullError::PlainHttp { host, repository });
            }
            Some(rustls::Error::AlertReceived(_)) | None if is_about_client(&Cause::of(error)) => {
                let source = Cause::of(error);
                return Setback::from(PullError::ClientCertificate { host, repository, source });
            }
            Some(failure) => {
                return Setback::from(PullError::Tls { host, repository, source: Cause::of(failure) });
            }
            None => {}
        }
        let source = Cause::of(error);
        // All that the client says of a proxy's answer; the text is fixed by tests against a real one.
        let said = source.to_string();
        if said.contains("tunnel error: proxy authorization required") {
            let source = Cause::saying(
                "the proxy wants a user and a password, or others (407 Proxy Authentication Required)",
            );
            return Setback::from(PullError::Connect { host, repository, source });
        }
        if said.contains("tunnel error: unsuccessful") {
            let source = Cause::saying("the proxy does not let it through");
            return Setback::from(PullError::Connect { host, repository, source });
        }
        let error = if error.is_connect() {
            PullError::Connect { host, repository, source }
        } else if error.is_timeout() {
            self.timeout()
        } else {
            self.broken(source)
        };
        Setback::passing(error)
    }

    pub(super) fn timeout(&self) -> PullError {
        let (host, repository) = (self.host.to_owned(), self.repository.clone());
        PullError::Timeout { host, repository, part: self.part.clone() }
    }

    pub(super) fn broken(&self, source: Cause) -> PullError {
        let (host, repository) = (self.host.to_owned(), self.repository.clone());
        PullError::Broken { host, repository, part: self.part.clone(), source }
    }

    pub(super) fn protocol(&self, what: &'static str) -> PullError {
        let (host, repository) = (self.host.to_owned(), self.repository.clone());
        PullError::Protocol { host, repository, part: self.part.clone(), what }
    }

    pub(super) fn refused(&self, answer: Answer) -> PullError {
        let (host, repository) = (self.host.to_owned(), self.repository.clone());
        PullError::Refused { host, repository, part: self.part.clone(), answer: Box::new(answer) }
    }
}

/// Whether a server hung up over the client's certificate. By TLS 1.3 that comes with the first answer, where HTTP/2 keeps
/// only the words of it.
fn is_about_client(cause: &Cause) -> bool {
    let said = cause.to_string();
    let alerts =
        ["CertificateRequired", "BadCertificate", "UnknownCA", "CertificateUnknown", "UnsupportedCertificate"];
    said.split_once("received fatal alert: ").is_some_and(|(_, alert)| alerts.contains(&alert.trim()))
}
