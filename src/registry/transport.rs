//! Sending requests: authentication, redirects, retries, time limits, and errors in our words.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};

use super::access::{Access, Ticket, bearer};
use super::challenge::{self, Challenge};
use super::client::{self, SettingsError};
use super::endpoint::{allows_plain, host_of};
use super::error::{Answer, Part, PullError, in_words};
use super::explanation::{Exchange, Recorder};
use super::hosts::Hosts;
use super::listen;
use super::patience::{Patience, Setback, retry_after};
pub(super) use super::place::Place;
use super::settings::Settings;
use super::token::{self, Token};
use crate::image::Repository;

/// Most of an error's body that is read, in bytes.
pub(crate) const ERROR_LIMIT: usize = 8 * 1024;
/// Registries redirect once, to a store; a store perhaps once more.
const REDIRECT_LIMIT: usize = 5;
/// How often one request may be challenged: for a token, and for a token with more rights.
const CHALLENGE_ROUNDS: usize = 2;
/// Longest wait for a mirror to begin its answer: there is another place to ask.
const MIRROR_TIMEOUT: Duration = Duration::from_secs(15);
/// What was shown where nothing was.
pub(super) const NOTHING: &str = "nothing";
/// Slower uploads than this are given up, in bytes a second.
const SLOWEST_UPLOAD: u64 = 32 * 1024;

/// Everything that leaves for a registry passes through here.
#[derive(Debug)]
pub(super) struct Transport {
    client: reqwest::Client,
    hosts: Hosts,
    settings: Settings,
    recorder: Recorder,
}

/// One request to a registry.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload<'a>,
    pub(super) access: &'a Access,
    /// What it is about, for messages.
    pub(super) part: Part,
}

/// The body of a request.
#[derive(Clone)]
pub(super) enum Payload<'a> {
    None,
    Bytes(Bytes),
    /// A body of known size that can be made anew for a second attempt.
    Stream {
        size: u64,
        open: &'a (dyn Fn() -> reqwest::Body + Send + Sync),
    },
}

/// A successful answer and who gave it: after a redirect that is another host than the registry.
pub(super) struct Reply {
    pub(super) response: Response,
    pub(super) host: String,
}

/// An answer that was read whole.
pub(super) struct Small {
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

/// What another host than the registry has let us in with.
struct Visit {
    at: Url,
    token: Token,
}

/// A body of which no more than a limit was read.
#[derive(Default)]
pub(super) struct Capped {
    pub(super) bytes: Bytes,
    /// There was more.
    pub(super) cut: bool,
}

impl Transport {
    pub(super) fn new(settings: Settings, recorder: Recorder) -> Result<Self, SettingsError> {
        let (client, hosts) = (client::build(&settings)?, Hosts::of(&settings)?);
        Ok(Self { client, hosts, settings, recorder })
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The client for whatever nothing special is said of.
    pub(super) fn general_client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The client for an address: some hosts have certificates of their own.
    pub(super) fn client(&self, url: &Url) -> &reqwest::Client {
        self.hosts.client(url).unwrap_or(&self.client)
    }

    /// How often a reading request is tried. A mirror is passed over at once.
    fn patience(&self, access: &Access) -> Patience {
        if access.way().is_mirror { Patience::none() } else { Patience::of(&self.settings) }
    }

    /// Sends a request until it succeeds or there is no more point in it. Only reading requests are repeated.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<Reply, PullError> {
        let reads = reads(&request.method);
        let mut patience = if reads { self.patience(request.access) } else { Patience::none() };
        loop {
            match self.attempt(request).await {
                Ok(reply) => {
                    request.access.note_success();
                    return Ok(reply);
                }
                Err(setback) => patience.wait_after(setback).await?,
            }
        }
    }

    /// Sends a reading request and reads the whole answer, which has at most so many bytes.
    pub(super) async fn read(&self, request: &Request<'_>, limit: usize) -> Result<Small, PullError> {
        let mut patience = self.patience(request.access);
        loop {
            match self.read_once(request, limit).await {
                Ok(small) => {
                    request.access.note_success();
                    return Ok(small);
                }
                Err(setback) => patience.wait_after(setback).await?,
            }
        }
    }

    async fn read_once(&self, request: &Request<'_>, limit: usize) -> Result<Small, Setback> {
        let Reply { response, host } = self.attempt(request).await?;
        let repository = request.access.repository();
        let place = Place { host: &host, repository, part: &request.part };
        let headers = response.headers().clone();
        let body = read_capped(response, limit, self.settings.answer_timeout, &place).await?;
        if body.cut {
            let (repository, part) = (repository.clone(), request.part.clone());
            return Err(PullError::TooLarge { repository, part, limit: limit as u64 }.into());
        }
        Ok(Small { headers, bytes: body.bytes })
    }

    /// Asks another host than the registry for content that everybody may have. No credentials, no redirects.
    pub(super) async fn fetch_foreign(
        &self,
        url: &Url,
        headers: HeaderMap,
        repository: &Repository,
        part: &Part,
    ) -> Result<Reply, Setback> {
        let host = host_of(url);
        let place = Place { host: &host, repository, part };
        let sent =
            self.client(url).get(url.clone()).headers(headers).header(ACCEPT_ENCODING, "identity").send();
        let response = place.within(self.settings.answer_timeout, sent).await?;
        if response.status().is_success() {
            return Ok(Reply { response, host });
        }
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = read_capped(response, ERROR_LIMIT, self.settings.answer_timeout, &place).await;
        let answer = Answer::new(status, &body.unwrap_or_default().bytes, &[]);
        Err(setback_of_status(&headers, answer, |answer| place.refused(answer)))
    }

    async fn attempt(&self, request: &Request<'_>) -> Result<Reply, Setback> {
        let mut url = request.url.clone();
        let mut redirects = 0;
        let mut answered: Vec<Vec<Challenge>> = Vec::new();
        // The token of a host that was redirected to.
        let mut visit: Option<Visit> = None;
        // What an identity gave may have been withdrawn, or have ended before its time.
        let mut is_renewed = false;
        loop {
            let at_home = request.access.endpoint().is_origin_of(&url);
            let ticket = if at_home { Some(request.access.ticket(self).await?) } else { None };
            let visitor = visit.as_ref().filter(|visit| !at_home && visit.at.origin() == url.origin());
            let header = match (&ticket, visitor) {
                (Some(ticket), _) => ticket.header.clone(),
                (None, visitor) => visitor.and_then(|visit| bearer(&visit.token.value)),
            };
            let host = host_of(&url);
            let place = Place { host: &host, repository: request.access.repository(), part: &request.part };
            let exchanged = self.exchange(request, &url, header, &place).await;
            let secrets = || ticket.as_ref().map_or_else(|| request.access.secrets(), |t| t.secrets.clone());
            let shown = match (&ticket, visitor) {
                (Some(ticket), _) => ticket.shown.as_str(),
                (None, Some(_)) => "an anonymous token",
                (None, None) => NOTHING,
            };
            self.recorder.note(secrets, || Exchange {
                request: format!("{} {}", request.method, address(&url)),
                shown: shown.to_owned(),
                answer: exchanged.as_ref().map_or_else(|setback| in_words(&*setback.error), answer_in_words),
            });
            let response = exchanged?;
            let status = response.status();
            if status.is_success() {
                return Ok(Reply { response, host });
            }
            if status.is_redirection() && reads(&request.method) {
                redirects += 1;
                if redirects > REDIRECT_LIMIT {
                    return Err(place.protocol("it redirects without end").into());
                }
                url = self.redirected(&url, response.headers(), &place)?;
                continue;
            }
            if status == StatusCode::UNAUTHORIZED {
                let headers = response.headers().get_all(WWW_AUTHENTICATE);
                let challenges = challenge::parse(headers.iter().map(HeaderValue::as_bytes));
                let known = essence(&challenges);
                if let Some(ticket) = &ticket
                    && answered.len() < CHALLENGE_ROUNDS
                    && !answered.contains(&known)
                {
                    answered.push(known);
                    match request.access.answer(self, &challenges, ticket).await {
                        Ok(true) => continue,
                        Ok(false) => {}
                        Err(error) => {
                            let may_help = !is_renewed && error.may_be_the_credential();
                            if may_help && request.access.discard(ticket).await {
                                is_renewed = true;
                                answered.clear();
                                continue;
                            }
                            return Err(error.into());
                        }
                    }
                }
                // Credentials are for the registry alone, but everybody may have a token for what everybody may read.
                if ticket.is_none()
                    && visit.is_none()
                    && let Some(token) = token::fetch_anonymous(self, place.repository, &challenges).await?
                {
                    visit = Some(Visit { at: url.clone(), token });
                    continue;
                }
            }
            if let (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(ticket)) = (status, &ticket)
                && !is_renewed
                && request.access.discard(ticket).await
            {
                is_renewed = true;
                answered.clear();
                continue;
            }
            return Err(self.setback(request, ticket.as_ref(), response, &place).await);
        }
    }

    async fn exchange(
        &self,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<HeaderValue>,
        place: &Place<'_>,
    ) -> Result<Response, Setback> {
        let mut limit = self.settings.answer_timeout;
        if request.access.way().is_mirror {
            limit = limit.min(MIRROR_TIMEOUT);
        }
        let mut http =
            self.client(url).request(request.method.clone(), url.clone()).headers(request.headers.clone());
        let own = self.hosts.headers(url);
        let is_told = own.contains_key(AUTHORIZATION);
        http = http.headers(own);
        // Content is hashed as it comes, so nothing may be packed on the way.
        http = http.header(ACCEPT_ENCODING, "identity");
        if let Some(header) = authorization.filter(|_| !is_told) {
            http = http.header(AUTHORIZATION, header);
        }
        let size = match &request.payload {
            Payload::None => 0,
            Payload::Bytes(bytes) => bytes.len() as u64,
            Payload::Stream { size, .. } => *size,
        };
        http = match &request.payload {
            Payload::None => http,
            Payload::Bytes(bytes) => http.body(bytes.clone()),
            Payload::Stream { size, open } => http.header(reqwest::header::CONTENT_LENGTH, *size).body(open()),
        };
        limit = limit.saturating_add(Duration::from_secs(size / SLOWEST_UPLOAD));
        match place.within(limit, http.send()).await {
            Err(broken) if self.may_lack_certificate(&broken, url) => {
                match listen::alert_of(&self.settings, url).await {
                    Some(alert) => Err(place.after_alert(broken, alert)),
                    None => Err(broken),
                }
            }
            sent => sent,
        }
    }

    /// Whether a connection may have broken because a certificate of ours was wanted.
    fn may_lack_certificate(&self, broken: &Setback, url: &Url) -> bool {
        matches!(*broken.error, PullError::Broken { .. })
            && url.scheme() == "https"
            && self.settings.client.is_none()
            && self.settings.proxy.https.is_none()
            && self.hosts.client(url).is_none()
    }

    /// Where a redirect leads: over TLS, or in the clear where that was allowed.
    fn redirected(&self, from: &Url, headers: &HeaderMap, place: &Place<'_>) -> Result<Url, Setback> {
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(to) = location.and_then(|location| from.join(location).ok()).filter(Url::has_host) else {
            return Err(place.protocol("it redirects to no address").into());
        };
        let plain = || from.scheme() == "http" || allows_plain(&self.settings.plain_http, &host_of(&to));
        match to.scheme() {
            "https" => Ok(to),
            "http" if plain() => Ok(to),
            "http" => {
                let repository = place.repository.clone();
                Err(PullError::PlainHttp { host: host_of(&to), repository }.into())
            }
            _ => Err(place.protocol("it redirects to something that is not HTTP").into()),
        }
    }

    /// Turns an answer that is no success into an error.
    async fn setback(
        &self,
        request: &Request<'_>,
        ticket: Option<&Ticket>,
        response: Response,
        place: &Place<'_>,
    ) -> Setback {
        let status = response.status();
        let headers = response.headers().clone();
        // The status is worth more than the body; a body that breaks off is none.
        let body = read_capped(response, ERROR_LIMIT, self.settings.answer_timeout, place).await;
        let secrets = ticket.map_or(&[][..], |ticket| ticket.secrets.as_slice());
        let answer = Answer::new(status.as_u16(), &body.unwrap_or_default().bytes, secrets);
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if let Some(ticket) = ticket => {
                Setback::from(request.access.refused(ticket, answer))
            }
            StatusCode::NOT_FOUND if ticket.is_some() && reads(&request.method) => {
                Setback::from(PullError::NotFound {
                    repository: place.repository.clone(),
                    part: request.part.clone(),
                    answer: Box::new(answer),
                })
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let wait = retry_after(&headers);
                let error = PullError::RateLimited {
                    host: place.host.to_owned(),
                    repository: place.repository.clone(),
                    wait,
                    answer: Box::new(answer),
                };
                Setback::after(error, wait)
            }
            _ => setback_of_status(&headers, answer, |answer| place.refused(answer)),
        }
    }
}

/// An address without its query, which may hold a signature.
pub(super) fn address(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), host_of(url), url.path())
}

/// A status, and the challenges or the place that come with it.
pub(super) fn answer_in_words(response: &Response) -> String {
    let headers = response.headers();
    let mut words = Answer::new(response.status().as_u16(), b"", &[]).to_string();
    for challenge in challenge::parse(headers.get_all(WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes)) {
        words = format!("{words}; {challenge}");
    }
    let to = headers.get(LOCATION).and_then(|value| response.url().join(value.to_str().ok()?).ok());
    if let Some(to) = to.filter(|_| response.status().is_redirection()) {
        words = format!("{words}; go to {}", host_of(&to));
    }
    words
}

/// Whether a status is likely to pass: 429 and what gateways and overloaded servers say.
pub(super) fn setback_of_status(
    headers: &HeaderMap,
    answer: Answer,
    error: impl FnOnce(Answer) -> PullError,
) -> Setback {
    match answer.status {
        408 | 429 | 500 | 502 | 503 | 504 => Setback::after(error(answer), retry_after(headers)),
        _ => Setback::from(error(answer)),
    }
}

/// Reads a body up to a limit and within a time; what is over the limit is left on the wire.
pub(super) async fn read_capped(
    mut response: Response,
    limit: usize,
    time: Duration,
    place: &Place<'_>,
) -> Result<Capped, Setback> {
    let reading = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            let room = limit - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                return Ok(Capped { bytes: body.freeze(), cut: true });
            }
        }
        Ok(Capped { bytes: body.freeze(), cut: false })
    };
    match tokio::time::timeout(time, reading).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => Err(place.network(&error)),
        Err(_) => Err(Setback::passing(place.timeout())),
    }
}

/// Requests that change nothing may be repeated and redirected.
fn reads(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// What makes two challenges the same: not the `error` that some servers add to the second one.
fn essence(challenges: &[Challenge]) -> Vec<Challenge> {
    let kept = |(name, _): &(String, String)| matches!(name.as_str(), "realm" | "service" | "scope");
    let reduce = |challenge: &Challenge| Challenge {
        scheme: challenge.scheme.clone(),
        parameters: challenge.parameters.iter().filter(|&parameter| kept(parameter)).cloned().collect(),
    };
    challenges.iter().map(reduce).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirected(from: &str, to: &str, plain_http: &[&str]) -> Result<Url, Setback> {
        let plain_http = plain_http.iter().map(|&host| host.to_owned()).collect();
        let transport = Transport::new(Settings { plain_http, ..Settings::default() }, Recorder::default())
            .expect("set up");
        let repository = Repository { registry: "a.test".to_owned(), path: "a".to_owned() };
        let place = Place { host: "a.test", repository: &repository, part: &Part::token() };
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, to.parse().expect("a header"));
        transport.redirected(&Url::parse(from).expect("a URL"), &headers, &place)
    }

    #[test]
    fn redirects_into_the_clear_are_followed_only_where_that_was_allowed() {
        let from = "https://a.test/v2/a/blobs/x";
        let refused = redirected(from, "http://metadata.test/token", &[]).expect_err("in the clear");
        assert!(refused.is_final());
        assert!(matches!(*refused.error, PullError::PlainHttp { host, .. } if host == "metadata.test"));
        assert!(redirected(from, "http://store.test/x", &["store.test"]).is_ok());
        assert!(redirected("http://a.test/v2/", "http://store.test/x", &[]).is_ok());
        let relative = redirected(from, "../../signed?key=1", &[]).expect("relative");
        assert_eq!(relative.as_str(), "https://a.test/v2/signed?key=1");
    }

    #[test]
    fn the_error_that_some_servers_add_makes_no_new_challenge() {
        let one = challenge::parse([br#"Bearer realm="r",scope="s""#.as_slice()]);
        let two = challenge::parse([br#"Bearer realm="r",scope="s",error="invalid_token""#.as_slice()]);
        assert_eq!(essence(&one), essence(&two));
    }
}
