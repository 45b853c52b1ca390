//! One question to a mirror: redirects, time limits, and errors in our words.

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, LOCATION};
use reqwest::{Response, StatusCode, Url};
use tokio::time::{Instant, timeout};

use super::Mirror;
use super::error::{MirrorError, shown};
use crate::registry::{
    Answer, Cause, ERROR_LIMIT, Pace, Patience, Setback, allows_plain, host_of, retry_after, tls_failure,
};

/// A mirror may redirect to a store, and that to another.
const REDIRECT_LIMIT: usize = 5;

/// The body of an answer, watched for being slow.
pub(super) struct Body {
    response: Response,
    pace: Pace,
    url: String,
}

impl Mirror {
    /// Reads a whole file, which has at most so many bytes.
    pub(super) async fn read(&self, url: &Url, limit: usize) -> Result<Bytes, MirrorError> {
        let mut patience = Patience::of(&self.settings);
        loop {
            match self.read_once(url, limit).await {
                Ok(bytes) => return Ok(bytes),
                Err(setback) => patience.wait_after(setback).await?,
            }
        }
    }

    async fn read_once(&self, url: &Url, limit: usize) -> Result<Bytes, Setback<MirrorError>> {
        let response = self.ask(url, &HeaderMap::new()).await?;
        if response.status() != StatusCode::OK {
            return Err(protocol(url, "it answers what was not asked"));
        }
        let too_large = || Setback::lasting(MirrorError::TooLarge { url: shown(url), limit: limit as u64 });
        let mut body = self.body(url, response);
        let mut bytes = BytesMut::new();
        while let Some(chunk) = self.chunk(&mut body).await? {
            if chunk.len() > limit.saturating_sub(bytes.len()) {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// Asks for a file. Gives an answer of 200, 206, 304 or 416; any other is an error.
    pub(super) async fn ask(&self, url: &Url, headers: &HeaderMap) -> Result<Response, Setback<MirrorError>> {
        let mut at = url.clone();
        for _ in 0..=REDIRECT_LIMIT {
            let mut request = self.client.get(at.clone()).headers(headers.clone());
            // What is counted and hashed is the file itself.
            request = request.header(ACCEPT_ENCODING, "identity");
            if let Some(login) = self.address.login_for(&at) {
                request = request.basic_auth(&login.username, Some(login.password.expose()));
            }
            let response = match timeout(self.settings.answer_timeout, request.send()).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(network(&shown(url), &error)),
                Err(_) => return Err(Setback::passing(MirrorError::Timeout { url: shown(url) })),
            };
            match response.status() {
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => at = self.redirected(&at, response.headers())?,
                StatusCode::OK | StatusCode::PARTIAL_CONTENT if is_packed(response.headers()) => {
                    return Err(protocol(url, "it is packed, which was not asked for"));
                }
                StatusCode::OK
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
                | StatusCode::RANGE_NOT_SATISFIABLE => return Ok(response),
                _ => return Err(self.refused(url, response).await),
            }
        }
        Err(protocol(url, "it redirects without end"))
    }

    /// Where a redirect leads: from TLS to TLS only, and into the clear only from there or where that was allowed.
    fn redirected(&self, from: &Url, headers: &HeaderMap) -> Result<Url, Setback<MirrorError>> {
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(to) = location.and_then(|location| from.join(location).ok()).filter(Url::has_host) else {
            return Err(protocol(from, "it redirects to no address"));
        };
        let is_plain_allowed =
            from.scheme() == "http" && allows_plain(&self.settings.plain_http, &host_of(&to));
        match to.scheme() {
            "https" => Ok(to),
            "http" if is_plain_allowed => Ok(to),
            "http" => {
                let (url, target) = (shown(from), shown(&to));
                Err(Setback::lasting(MirrorError::Downgrade { url, target }))
            }
            _ => Err(protocol(from, "it redirects to something that is not HTTP")),
        }
    }

    /// Turns an answer that is no success into an error.
    async fn refused(&self, url: &Url, mut response: Response) -> Setback<MirrorError> {
        let status = response.status();
        let wait = retry_after(response.headers());
        let mut body = BytesMut::new();
        let reading = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                body.extend_from_slice(&chunk[..chunk.len().min(ERROR_LIMIT - body.len())]);
                if body.len() == ERROR_LIMIT {
                    return;
                }
            }
        };
        // The status is worth more than the body; one that does not come is none.
        let _ = timeout(self.settings.answer_timeout, reading).await;
        let answer = Box::new(Answer::new(status.as_u16(), &body, &self.address.secrets()));
        let url = shown(url);
        match status.as_u16() {
            404 | 410 => Setback::lasting(MirrorError::NotFound { url, answer }),
            408 | 429 | 500 | 502 | 503 | 504 => Setback::after(MirrorError::Refused { url, answer }, wait),
            _ => Setback::lasting(MirrorError::Refused { url, answer }),
        }
    }

    pub(super) fn body(&self, url: &Url, response: Response) -> Body {
        Body { response, pace: Pace::of(self.settings.slowest), url: shown(url) }
    }

    /// The next bytes; none at the end.
    pub(super) async fn chunk(&self, body: &mut Body) -> Result<Option<Bytes>, Setback<MirrorError>> {
        let began = Instant::now();
        let late = |url: &str| Setback::passing(MirrorError::Timeout { url: url.to_owned() });
        match timeout(self.settings.read_timeout, body.response.chunk()).await {
            Ok(Ok(Some(bytes))) if body.pace.is_too_slow(began.elapsed(), bytes.len()) => Err(late(&body.url)),
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(network(&body.url, &error)),
            Err(_) => Err(late(&body.url)),
        }
    }
}

pub(super) fn protocol(url: &Url, what: &'static str) -> Setback<MirrorError> {
    Setback::lasting(MirrorError::Protocol { url: shown(url), what })
}

fn is_packed(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Says in our words why the network failed, and whether that may pass.
fn network(url: &str, error: &reqwest::Error) -> Setback<MirrorError> {
    let url = url.to_owned();
    match tls_failure(error) {
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            return Setback::lasting(MirrorError::UnknownIssuer { url });
        }
        Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
            let source = Cause::saying("the server speaks plain HTTP");
            return Setback::lasting(MirrorError::Tls { url, source });
        }
        Some(failure) => {
            return Setback::lasting(MirrorError::Tls { url, source: Cause::of(failure) });
        }
        None => {}
    }
    let source = Cause::of(error);
    Setback::passing(if error.is_connect() {
        MirrorError::Connect { url, source }
    } else if error.is_timeout() {
        MirrorError::Timeout { url }
    } else {
        MirrorError::Broken { url, source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Settings;

    fn redirected(from: &str, to: &str) -> Result<String, MirrorError> {
        let settings = Settings { plain_http: vec!["plain.test".to_owned()], ..Settings::default() };
        let mirror = Mirror::new("https://a.test/osv", settings).expect("set up");
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, to.parse().expect("a header"));
        let from = Url::parse(from).expect("a URL");
        mirror.redirected(&from, &headers).map(Into::into).map_err(|setback| *setback.error)
    }

    #[test]
    fn redirects_never_lead_out_of_tls() {
        let from = "https://a.test/osv/x";
        assert_eq!(redirected(from, "/store/x?key=1").expect("relative"), "https://a.test/store/x?key=1");
        assert_eq!(redirected(from, "https://b.test/x").expect("elsewhere"), "https://b.test/x");
        for to in ["http://b.test/x", "http://plain.test/x", "http://a.test/osv/x"] {
            assert!(matches!(redirected(from, to), Err(MirrorError::Downgrade { .. })), "{to}");
        }
        assert!(redirected("http://plain.test/x", "http://plain.test:81/y").is_ok());
        assert!(redirected("http://plain.test/x", "https://b.test/y").is_ok());
        assert!(redirected("http://plain.test/x", "http://metadata.test/y").is_err());
        assert!(matches!(redirected(from, "file:///etc/passwd"), Err(MirrorError::Protocol { .. })));
    }
}
