//! Asking the services that give identities: who is asked by which way, how long, how often.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, RequestBuilder, Url};
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt as _;

use super::error::IdentityError;
use crate::registry::client::{self, SettingsError};
use crate::registry::endpoint::host_of;
use crate::registry::error::{Answer, Cause};
use crate::registry::patience::{Patience, Setback, retry_after};
use crate::registry::secret::Secret;
use crate::registry::settings::Settings;

/// Most of an answer that is read, in bytes: tokens of all clouds have a few thousand.
const ANSWER_LIMIT: usize = 64 * 1024;
/// Largest token file, in bytes.
const FILE_LIMIT: u64 = 64 * 1024;
/// What is on the node is there at once or not at all.
const NODE_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The services that give identities.
#[derive(Debug)]
pub(super) struct Services {
    /// By the proxies, as registries are asked.
    far: Client,
    /// No proxy can reach what is on the node.
    near: Client,
    settings: Settings,
}

/// By which way a service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As registries are.
    Far,
    /// On the node. If it is not there now it never will be.
    Near {
        /// Longest time for its answer.
        limit: Duration,
    },
    /// On the node, but it may not have started before the pod did.
    Starting {
        /// Longest time for its answer.
        limit: Duration,
    },
}

/// One question to a service.
pub(super) struct Question<'a> {
    /// What is asked, in words.
    pub(super) service: &'static str,
    pub(super) url: Url,
    pub(super) way: Way,
    /// On whose behalf, in words.
    pub(super) who: &'a str,
    /// What must not be shown when an answer is quoted.
    pub(super) secrets: Vec<Secret>,
    /// Reads the words of an answer that is no success, where they are in a shape of its own.
    pub(super) words: fn(&[u8]) -> Option<String>,
}

/// For services whose words need no reading of their own.
pub(super) fn no_words(_: &[u8]) -> Option<String> {
    None
}

impl Services {
    pub(super) fn new(settings: &Settings, client: &Client) -> Result<Self, SettingsError> {
        let near = client::build_near(settings, NODE_CONNECT_TIMEOUT)?;
        Ok(Self { far: client.clone(), near, settings: settings.clone() })
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Asks until there is an answer or no more point in it. The error says whether it may pass.
    pub(super) async fn ask(
        &self,
        question: &Question<'_>,
        request: impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<Bytes, Setback<IdentityError>> {
        let mut patience = Patience::of(&self.settings);
        loop {
            let setback = match self.ask_once(question, &request).await {
                Ok(bytes) => return Ok(bytes),
                Err(setback) => setback,
            };
            let is_final = setback.is_final();
            if let Err(error) = patience.wait_after(setback).await {
                return Err(if is_final { Setback::lasting(error) } else { Setback::passing(error) });
            }
        }
    }

    /// The same for an answer in JSON.
    pub(super) async fn ask_json<T: DeserializeOwned>(
        &self,
        question: &Question<'_>,
        request: impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<T, Setback<IdentityError>> {
        let bytes = self.ask(question, request).await?;
        // What serde says about it could quote a secret.
        serde_json::from_slice(&bytes).map_err(|_| question.protocol("what is no credential"))
    }

    async fn ask_once(
        &self,
        question: &Question<'_>,
        request: impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<Bytes, Setback<IdentityError>> {
        let (client, limit) = match question.way {
            Way::Far => (&self.far, self.settings.answer_timeout),
            Way::Near { limit } | Way::Starting { limit } => (&self.near, limit),
        };
        let asking = async {
            let mut response = request(client, question.url.clone()).send().await?;
            let mut body = Vec::new();
            let mut is_cut = false;
            while let Some(chunk) = response.chunk().await? {
                is_cut = chunk.len() > ANSWER_LIMIT - body.len();
                if is_cut {
                    break;
                }
                body.extend_from_slice(&chunk);
            }
            Ok((response.status(), response.headers().clone(), body, is_cut))
        };
        let (status, headers, body, is_cut) = match tokio::time::timeout(limit, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(question.network(&error)),
            Err(_) => return Err(question.silent()),
        };
        if is_cut {
            return Err(question.protocol("more than a credential has"));
        }
        if status.is_success() {
            return Ok(Bytes::from(body));
        }
        let said = (question.words)(&body).map_or(body, String::into_bytes);
        let secrets: Vec<String> = question.secrets.iter().map(|secret| secret.expose().to_owned()).collect();
        let answer = Box::new(Answer::new(status.as_u16(), &said, &secrets));
        let (service, host) = (question.service, host_of(&question.url));
        let error = IdentityError::Refused { service, host, who: question.who.to_owned(), answer };
        Err(match status.as_u16() {
            408 | 429 | 500 | 502..=504 => Setback::after(error, retry_after(&headers)),
            _ => Setback::lasting(error),
        })
    }
}

impl Question<'_> {
    pub(super) fn protocol(&self, what: &'static str) -> Setback<IdentityError> {
        let (service, host) = (self.service, host_of(&self.url));
        Setback::lasting(IdentityError::Protocol { service, host, what })
    }

    fn silent(&self) -> Setback<IdentityError> {
        let error = IdentityError::Silent { service: self.service, host: host_of(&self.url) };
        match self.way {
            Way::Near { .. } => Setback::lasting(error),
            Way::Far | Way::Starting { .. } => Setback::passing(error),
        }
    }

    fn network(&self, error: &reqwest::Error) -> Setback<IdentityError> {
        if client::tls_failure(error).is_none() && error.is_timeout() && !error.is_connect() {
            return self.silent();
        }
        let unreachable = IdentityError::Unreachable {
            service: self.service,
            host: host_of(&self.url),
            source: Cause::of(error),
        };
        let may_pass = match self.way {
            Way::Far => client::tls_failure(error).is_none(),
            Way::Near { .. } => !error.is_connect(),
            // Where nobody listens yet the node says so; where there is no such service nobody answers.
            Way::Starting { .. } => !error.is_connect() || is_refused(error),
        };
        if may_pass { Setback::passing(unreachable) } else { Setback::lasting(unreachable) }
    }
}

fn is_refused(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::ConnectionRefused) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Reads a token from a file that a variable names, anew each time, since such tokens are replaced before they end. What
/// stands around it is taken off.
pub(super) async fn read_token(name: &'static str, path: &str) -> Result<Secret, Setback<IdentityError>> {
    let failed = |source: Cause| {
        Setback::lasting(IdentityError::File { path: path.chars().take(300).collect(), name, source })
    };
    let reading = async {
        let file = tokio::fs::File::open(path).await?;
        let mut text = String::new();
        file.take(FILE_LIMIT + 1).read_to_string(&mut text).await?;
        Ok::<String, io::Error>(text)
    };
    let text = reading.await.map_err(|error| failed(Cause::of(&error)))?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(failed(Cause::saying("it is larger than a token")));
    }
    match text.trim() {
        "" => Err(failed(Cause::saying("it is empty"))),
        token => Ok(Secret::new(token)),
    }
}
