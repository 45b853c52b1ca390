//! Tokens: asking the token service that a challenge names. Distribution's `spec/auth/token` and `spec/auth/oauth`.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, Url};
use serde::Deserialize;
use tokio::time::Instant;

use super::challenge::Challenge;
use super::credentials::Credential;
use super::endpoint::{allows_plain, host_of};
use super::error::{Answer, Part, PullError, TokenError, in_words};
use super::explanation::Exchange;
use super::identity::IdentityError;
use super::patience::{Patience, Setback};
use super::secret::Secret;
use super::transport::{
    ERROR_LIMIT, NOTHING, Place, Transport, address, answer_in_words, read_capped, setback_of_status,
};
use crate::image::Repository;

/// Tokens with many claims reach several KiB; nothing honest comes near this.
const ANSWER_LIMIT: usize = 256 * 1024;
/// What a token is good for if the service does not say (distribution's `spec/auth/token`, `expires_in`).
const USUAL_LIFE: u64 = 60;
/// Lives that are longer are not believed.
const LONGEST_LIFE: u64 = 24 * 3600;

/// A bearer token and the moment from which a new one is fetched.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) value: Secret,
    pub(super) renew_at: Instant,
}

/// What a token is asked for.
#[derive(Clone, Debug)]
pub(super) struct TokenRequest<'a> {
    pub(super) repository: &'a Repository,
    /// `pull` or `pull,push` of the repository; none asks for what the challenge names and nothing else.
    pub(super) actions: Option<&'static str>,
    pub(super) credential: Option<&'a Credential>,
    /// Where the credential came from, for messages.
    pub(super) label: Option<&'a str>,
    /// Why the registry's cloud gave no credential.
    pub(super) no_identity: Option<&'a Arc<IdentityError>>,
    /// The bearer challenge that is answered.
    pub(super) challenge: &'a Challenge,
    /// Whether the registry itself is spoken to without TLS.
    pub(super) in_the_clear: bool,
    /// Whether another place may be asked in the stead of this one.
    pub(super) is_mirror: bool,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// `user:password` as basic authentication sends it, without the scheme.
pub(super) fn basic_value(username: &str, password: &Secret) -> Secret {
    Secret::new(STANDARD.encode(format!("{username}:{}", password.expose())))
}

/// Asks for a token, as often as it takes.
pub(super) async fn fetch(transport: &Transport, request: &TokenRequest<'_>) -> Result<Token, PullError> {
    let realm = request.challenge.parameter("realm").and_then(|realm| Url::parse(realm).ok());
    let Some(realm) = realm.filter(Url::has_host) else {
        return Err(request.failed(request.repository.registry.clone(), TokenError::Realm));
    };
    let plain_http = &transport.settings().plain_http;
    if !(request.in_the_clear || may_be_asked(&realm, request.repository, plain_http)) || !is_http(&realm) {
        return Err(request.failed(host_of(&realm), TokenError::PlainHttp));
    }
    let mut patience = if request.is_mirror { Patience::none() } else { Patience::of(transport.settings()) };
    loop {
        match fetch_once(transport, request, &realm).await {
            Ok(token) => return Ok(token),
            Err(setback) => patience.wait_after(setback).await?,
        }
    }
}

/// A token for what everybody may read, from the service that a bearer challenge names. None if there is no such challenge.
pub(super) async fn fetch_anonymous(
    transport: &Transport,
    repository: &Repository,
    challenges: &[Challenge],
) -> Result<Option<Token>, PullError> {
    let Some(challenge) = challenges.iter().find(|challenge| challenge.scheme == "bearer") else {
        return Ok(None);
    };
    let request = TokenRequest {
        repository,
        actions: None,
        credential: None,
        label: None,
        no_identity: None,
        challenge,
        in_the_clear: false,
        is_mirror: false,
    };
    fetch(transport, &request).await.map(Some)
}

async fn fetch_once(transport: &Transport, request: &TokenRequest<'_>, realm: &Url) -> Result<Token, Setback> {
    let host = host_of(realm);
    let place = Place { host: &host, repository: request.repository, part: &Part::token() };
    let http = match request.credential {
        Some(Credential::IdentityToken(token)) => {
            let mut form = vec![
                ("grant_type", "refresh_token".to_owned()),
                ("client_id", "kubectl-clarity".to_owned()),
                ("refresh_token", token.expose().to_owned()),
                ("scope", request.scopes().join(" ")),
            ];
            form.extend(request.service().map(|service| ("service", service.to_owned())));
            transport.client(realm).post(realm.clone()).form(&form)
        }
        credential => {
            let http = transport.client(realm).request(Method::GET, request.url(realm));
            match credential {
                Some(Credential::Basic { username, password }) => {
                    http.basic_auth(username, Some(password.expose()))
                }
                _ => http,
            }
        }
    };
    let limit = transport.settings().answer_timeout;
    let sent = place.within(limit, http.send()).await;
    transport.recorder().note(
        || request.credential.map(Credential::secrets).unwrap_or_default(),
        || Exchange {
            request: request.in_words(realm),
            shown: request.label.unwrap_or(NOTHING).to_owned(),
            answer: sent.as_ref().map_or_else(|setback| in_words(&*setback.error), answer_in_words),
        },
    );
    let response = sent?;
    let status = response.status();
    let headers = response.headers().clone();
    if !status.is_success() {
        let body = read_capped(response, ERROR_LIMIT, limit, &place).await.unwrap_or_default();
        let secrets = request.credential.map(Credential::secrets).unwrap_or_default();
        let answer = Answer::new(status.as_u16(), &body.bytes, &secrets);
        return Err(setback_of_status(&headers, answer, |answer| request.refused(host.clone(), answer)));
    }
    let body = read_capped(response, ANSWER_LIMIT, limit, &place).await?;
    if body.cut {
        return Err(request.failed(host, TokenError::TooLarge { limit: ANSWER_LIMIT }).into());
    }
    let Some(token) = read_token(&body.bytes) else {
        return Err(request.failed(host, TokenError::NoToken).into());
    };
    Ok(token)
}

fn read_token(body: &[u8]) -> Option<Token> {
    let answer: TokenAnswer = serde_json::from_slice(body).ok()?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let value = given(answer.token).or(given(answer.access_token))?;
    // A new one is fetched after three quarters of its life: the rest is for the requests under way.
    let life = answer.expires_in.unwrap_or(USUAL_LIFE).min(LONGEST_LIFE);
    let renew_at = Instant::now() + Duration::from_secs(life) * 3 / 4;
    Some(Token { value: Secret::new(value), renew_at })
}

fn is_http(realm: &Url) -> bool {
    matches!(realm.scheme(), "https" | "http")
}

/// Credentials travel in the clear only where the registry itself is spoken to in the clear.
fn may_be_asked(realm: &Url, repository: &Repository, plain_http: &[String]) -> bool {
    match realm.scheme() {
        "https" => true,
        "http" => allows_plain(plain_http, &repository.registry) || allows_plain(plain_http, &host_of(realm)),
        _ => false,
    }
}

impl TokenRequest<'_> {
    fn service(&self) -> Option<&str> {
        self.challenge.parameter("service").filter(|service| !service.is_empty())
    }

    /// The scope that is needed, and those of the challenge that ask for something else.
    fn scopes(&self) -> Vec<String> {
        let resource = format!("repository:{}:", self.repository.path);
        let mut scopes: Vec<String> =
            self.actions.iter().map(|actions| format!("{resource}{actions}")).collect();
        let asked = self.challenge.parameter("scope").unwrap_or_default();
        // Challenges name the same repository again, with actions in any order.
        let is_other = |scope: &&str| self.actions.is_none() || !scope.starts_with(&resource);
        let others = asked.split_whitespace().filter(is_other).take(8);
        scopes.extend(others.map(ToOwned::to_owned));
        scopes
    }

    fn url(&self, realm: &Url) -> Url {
        let mut url = realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = self.service() {
                query.append_pair("service", service);
            }
            for scope in self.scopes() {
                query.append_pair("scope", &scope);
            }
        }
        url
    }

    /// What is asked of the service, without its query.
    fn in_words(&self, realm: &Url) -> String {
        let method = match self.credential {
            Some(Credential::IdentityToken(_)) => Method::POST,
            _ => Method::GET,
        };
        format!("{method} {} for a token ({})", address(realm), self.scopes().join(" "))
    }

    /// A service that turns away nobody in particular says that a credential is needed.
    fn refused(&self, service: String, answer: Answer) -> PullError {
        if self.credential.is_none() && matches!(answer.status, 401 | 403) {
            let (repository, answer) = (self.repository.clone(), Box::new(answer));
            return PullError::NoCredential { repository, no_identity: self.no_identity.cloned(), answer };
        }
        self.failed(service, TokenError::Refused(answer))
    }

    fn failed(&self, service: String, error: TokenError) -> PullError {
        let tried = self.label.map(ToOwned::to_owned).into_iter().collect();
        let (repository, no_identity) = (self.repository.clone(), self.no_identity.cloned());
        PullError::TokenService { repository, service, tried, no_identity, source: Box::new(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::challenge;

    fn url(header: &str) -> String {
        let challenge = challenge::parse([header.as_bytes()]).remove(0);
        let repository = Repository { registry: "a.test".to_owned(), path: "shop/cart".to_owned() };
        let request = TokenRequest {
            repository: &repository,
            actions: Some("pull"),
            credential: None,
            label: None,
            no_identity: None,
            challenge: &challenge,
            in_the_clear: false,
            is_mirror: false,
        };
        let realm = Url::parse("https://auth.test/token?x=1").expect("a URL");
        request.url(&realm).to_string()
    }

    #[test]
    fn the_service_is_asked_for_the_scope_that_is_needed() {
        assert_eq!(
            url(r#"Bearer service="my registry",scope="repository:shop/cart:pull""#),
            "https://auth.test/token?x=1&service=my+registry&scope=repository%3Ashop%2Fcart%3Apull"
        );
        assert_eq!(
            url(r#"Bearer realm="x""#),
            "https://auth.test/token?x=1&scope=repository%3Ashop%2Fcart%3Apull"
        );
        assert_eq!(
            url(r#"Bearer scope="repository:shop/cart:push,pull repository:base:pull""#),
            "https://auth.test/token?x=1&scope=repository%3Ashop%2Fcart%3Apull&scope=repository%3Abase%3Apull"
        );
    }

    #[test]
    fn either_name_of_the_token_is_read_and_an_empty_one_is_none() {
        let value = |body: &str| read_token(body.as_bytes()).map(|token| token.value.expose().to_owned());
        assert_eq!(value(r#"{"token":"t"}"#).as_deref(), Some("t"));
        assert_eq!(value(r#"{"token":"","access_token":"a","expires_in":300}"#).as_deref(), Some("a"));
        assert_eq!(value(r#"{"token":""}"#), None);
        assert_eq!(value("<html>"), None);
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let token = read_token(br#"{"token":"t","expires_in":100}"#).expect("a token");
        let left = token.renew_at - Instant::now();
        assert!(left <= Duration::from_secs(75) && left > Duration::from_secs(70), "{left:?}");
    }

    #[test]
    fn plain_token_services_are_asked_only_for_plain_registries() {
        let repository = Repository { registry: "a.test:5000".to_owned(), path: "a".to_owned() };
        let realm = Url::parse("http://auth.test/token").expect("a URL");
        let allowed = |plain: &[&str]| {
            let plain: Vec<String> = plain.iter().map(|&text| text.to_owned()).collect();
            may_be_asked(&realm, &repository, &plain)
        };
        assert!(allowed(&["a.test:5000"]) && allowed(&["auth.test"]));
        assert!(!allowed(&[]) && !allowed(&["b.test"]));
    }
}
