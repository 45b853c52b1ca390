//! Layers as streams of bytes: verified to the last one, and picked up where the connection broke.

use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, StatusCode, Url};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::Registry;
use super::access::Access;
use super::credentials::Keyring;
use super::endpoint::host_of;
use super::error::{Cause, Part, PullError};
use super::manifest::Descriptor;
use super::pace::Pace;
use super::patience::Setback;
use super::settings::ForeignLayers;
use super::transport::{Payload, Place, Reply, Request};
use super::ways::{Accesses, Wanted, ways};
use crate::image::{Digest, Repository};

/// A connection that brought this much before it broke does not count as a failed attempt.
const PROGRESS: u64 = 64 * 1024;
/// How many addresses of a foreign layer are tried.
const FOREIGN_LIMIT: usize = 4;

/// The content of one blob, being downloaded.
///
/// The digest is known to be right only when the end is reached: what was read before must not be believed if
/// [`Blob::chunk`] fails.
pub struct Blob {
    registry: Registry,
    repository: Repository,
    descriptor: Descriptor,
    /// None if the repository has no address, or is blocked.
    accesses: Option<Accesses>,
    part: Part,
    hash: Sha256,
    delivered: u64,
    /// What was delivered when the connection last broke.
    delivered_at_break: u64,
    breaks: u32,
    state: State,
}

enum State {
    /// No connection: at the start, or after one broke.
    Closed,
    Open(Box<Connection>),
    Ended,
    Failed,
}

struct Connection {
    reply: Reply,
    /// Who gave it; none if it lies outside of the registry.
    access: Option<Arc<Access>>,
    /// Bytes that were delivered already and come once more, from a server that knows no ranges.
    surplus: u64,
    pace: Pace,
}

impl Registry {
    /// The content of a blob. Nothing is asked for until the first chunk is.
    #[must_use]
    pub fn blob(&self, repository: &Repository, descriptor: &Descriptor, keyring: &Keyring) -> Blob {
        Blob {
            registry: self.clone(),
            repository: repository.clone(),
            descriptor: descriptor.clone(),
            accesses: self.accesses(repository, keyring, Wanted::Blob).ok(),
            part: Part::layer(&descriptor.digest),
            hash: Sha256::new(),
            delivered: 0,
            delivered_at_break: 0,
            breaks: 0,
            state: State::Closed,
        }
    }
}

impl Blob {
    /// What is being read.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Goes on after bytes that came before, of which this is the hash. If they are all there are, nothing is asked for.
    pub(super) fn continue_from(&mut self, hash: Sha256, delivered: u64) {
        (self.hash, self.delivered, self.delivered_at_break) = (hash, delivered, delivered);
    }

    /// The next bytes; none once everything has come and was found to have the right size and digest.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, PullError> {
        let result = self.advance().await;
        match &result {
            Ok(None) => self.state = State::Ended,
            Err(_) => self.state = State::Failed,
            Ok(Some(_)) => {}
        }
        result
    }

    /// The same as a stream that ends with its first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, PullError>> + Send {
        futures::stream::try_unfold(self, |mut blob| async move {
            Ok(blob.chunk().await?.map(|bytes| (bytes, blob)))
        })
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, PullError> {
        loop {
            let setback = match &mut self.state {
                State::Ended => return Ok(None),
                State::Failed => {
                    return Err(PullError::Stopped {
                        repository: self.repository.clone(),
                        part: self.part.clone(),
                    });
                }
                // A range that begins at the end is one that no server can send.
                State::Closed if self.delivered == self.descriptor.size && self.delivered > 0 => {
                    return self.verify();
                }
                State::Closed => {
                    self.state = State::Open(Box::new(self.open().await?));
                    continue;
                }
                State::Open(connection) => {
                    let place =
                        Place { host: &connection.reply.host, repository: &self.repository, part: &self.part };
                    let timeout = self.registry.transport().settings().read_timeout;
                    let began = Instant::now();
                    match tokio::time::timeout(timeout, connection.reply.response.chunk()).await {
                        Ok(Ok(Some(bytes))) => {
                            if connection.pace.is_too_slow(began.elapsed(), bytes.len()) {
                                Setback::passing(place.timeout())
                            } else if let Some(fresh) = connection.without_surplus(bytes) {
                                return self.deliver(fresh).map(Some);
                            } else {
                                continue;
                            }
                        }
                        Ok(Ok(None)) if self.delivered == self.descriptor.size => return self.verify(),
                        Ok(Ok(None)) => {
                            Setback::passing(place.broken(Cause::saying("it ended before its time")))
                        }
                        Ok(Err(error)) => place.network(&error),
                        Err(_) => Setback::passing(place.timeout()),
                    }
                }
            };
            self.pause_after_break(setback).await?;
        }
    }

    /// Hashes and counts what is handed out.
    fn deliver(&mut self, bytes: Bytes) -> Result<Bytes, PullError> {
        let delivered = self.delivered.saturating_add(bytes.len() as u64);
        if delivered > self.descriptor.size {
            return Err(self.wrong_size(delivered));
        }
        self.hash.update(&bytes);
        self.delivered = delivered;
        Ok(bytes)
    }

    fn verify(&self) -> Result<Option<Bytes>, PullError> {
        let found = Digest::from_hash(&self.hash.clone().finalize().into());
        if found == self.descriptor.digest {
            return Ok(None);
        }
        Err(PullError::DigestMismatch { repository: self.repository.clone(), part: self.part.clone(), found })
    }

    /// Lets some time pass after a break, unless there were too many without progress in between.
    async fn pause_after_break(&mut self, setback: Setback) -> Result<(), PullError> {
        let before = std::mem::replace(&mut self.state, State::Closed);
        if let State::Open(connection) = before
            && let Some(access) = connection.access
        {
            self.registry.rest(&access);
        }
        if setback.is_final() {
            return Err(*setback.error);
        }
        if self.delivered.saturating_sub(self.delivered_at_break) >= PROGRESS {
            self.breaks = 0;
        }
        self.delivered_at_break = self.delivered;
        self.breaks += 1;
        let settings = self.registry.transport().settings();
        if self.breaks > settings.resumes {
            return Err(*setback.error);
        }
        tokio::time::sleep(settings.backoff.saturating_mul(self.breaks)).await;
        Ok(())
    }

    /// Connects from the registry on (an address that it redirected to before may have run out), with each credential.
    async fn open(&self) -> Result<Connection, PullError> {
        let Some(accesses) = &self.accesses else {
            let wrong = || PullError::Address { repository: self.repository.clone() };
            let ways = ways(&self.repository, self.registry.transport().settings());
            return Err(ways.err().unwrap_or_else(wrong));
        };
        let mut candidates = accesses.candidates(&self.registry);
        while let Some(access) = candidates.next() {
            let asked = self.ask_registry(&access).await;
            let connected = asked.and_then(|reply| self.connection(reply, Some(Arc::clone(&access))));
            if let Some(done) = candidates.settle(&access, connected) {
                return done;
            }
        }
        let refused = candidates.into_error();
        if self.descriptor.urls.is_empty() || !matches!(refused, PullError::NotFound { .. }) {
            return Err(refused);
        }
        self.connection(self.ask_elsewhere().await?, None)
    }

    async fn ask_registry(&self, access: &Access) -> Result<Reply, PullError> {
        let request = Request {
            method: Method::GET,
            url: access.endpoint().blob(&self.descriptor.digest),
            headers: self.range(),
            payload: Payload::None,
            access,
            part: self.part.clone(),
        };
        self.registry.transport().send(&request).await
    }

    /// Asks the addresses that the descriptor names, where that is allowed.
    async fn ask_elsewhere(&self) -> Result<Reply, PullError> {
        let urls = self.descriptor.urls.iter().take(FOREIGN_LIMIT);
        let urls: Vec<Url> =
            urls.filter_map(|url| Url::parse(url).ok()).filter(|url| url.scheme() == "https").collect();
        let transport = self.registry.transport();
        let mut last = None;
        if transport.settings().foreign_layers == ForeignLayers::Fetched {
            for url in &urls {
                match transport.fetch_foreign(url, self.range(), &self.repository, &self.part).await {
                    Ok(reply) => return Ok(reply),
                    Err(setback) => last = Some(*setback.error),
                }
            }
        }
        Err(last.unwrap_or_else(|| PullError::ForeignLayer {
            repository: self.repository.clone(),
            part: self.part.clone(),
            address: urls.first().map_or_else(|| "no HTTPS address".to_owned(), host_of),
        }))
    }

    fn range(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.delivered > 0
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", self.delivered))
        {
            headers.insert(RANGE, range);
        }
        headers
    }

    /// Checks where the answer begins and how long it says it is.
    fn connection(&self, reply: Reply, access: Option<Arc<Access>>) -> Result<Connection, PullError> {
        let headers = reply.response.headers();
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(number);
        let begins_at = match reply.response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
                range.and_then(|range| number(range.trim().strip_prefix("bytes ")?.split('-').next()?))
            }
            _ => Some(0),
        };
        let Some(begins_at) = begins_at.filter(|&at| at <= self.delivered) else {
            let place = Place { host: &reply.host, repository: &self.repository, part: &self.part };
            return Err(place.protocol("it sends another range than was asked for"));
        };
        if let Some(length) = length
            && begins_at.saturating_add(length) != self.descriptor.size
        {
            return Err(self.wrong_size(begins_at.saturating_add(length)));
        }
        let pace = Pace::of(self.registry.transport().settings().slowest);
        Ok(Connection { reply, access, surplus: self.delivered - begins_at, pace })
    }

    fn wrong_size(&self, found: u64) -> PullError {
        let (repository, part) = (self.repository.clone(), self.part.clone());
        PullError::SizeMismatch { repository, part, expected: self.descriptor.size, found }
    }
}

impl Connection {
    /// What is new in a chunk; none if all of it was delivered before.
    fn without_surplus(&mut self, mut bytes: Bytes) -> Option<Bytes> {
        let old = usize::try_from(self.surplus).unwrap_or(usize::MAX).min(bytes.len());
        self.surplus -= old as u64;
        let fresh = bytes.split_off(old);
        (!fresh.is_empty()).then_some(fresh)
    }
}
