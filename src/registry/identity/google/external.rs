//! Workload identity federation: a token of another issuer, from a file, is exchanged for one of Google's (RFC 8693), and
//! that perhaps for one of a service account. The file that says so is made by `gcloud iam workload-identity-pools
//! create-cred-config` (AIP-4117).

use std::time::{Duration, SystemTime};

use reqwest::Url;
use serde::Deserialize;

use crate::registry::endpoint::{allows_plain, host_of};
use crate::registry::identity::error::IdentityError;
use crate::registry::identity::service::{Question, Services, Way, no_words, read_token};
use crate::registry::patience::Setback;
use crate::registry::secret::Secret;

pub(super) const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

#[derive(Deserialize)]
struct Configuration {
    #[serde(rename = "type")]
    kind: String,
    audience: String,
    subject_token_type: String,
    token_url: String,
    credential_source: CredentialSource,
    service_account_impersonation_url: Option<String>,
}

/// Where the other issuer's token is. Sources other than files, such as commands, are not known here.
#[derive(Deserialize)]
struct CredentialSource {
    file: String,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    subject_token_field_name: Option<String>,
}

#[derive(Deserialize)]
struct Exchanged {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: String,
    expire_time: jiff::Timestamp,
}

fn wrong(what: &'static str) -> Setback<IdentityError> {
    Setback::lasting(IdentityError::Variable { name: VARIABLE, what })
}

/// An access token and how long it is good.
pub(super) async fn fetch(
    services: &Services,
    file: &str,
) -> Result<(Secret, Duration), Setback<IdentityError>> {
    let text = read_token(VARIABLE, file).await?;
    let configuration: Configuration = serde_json::from_str(text.expose())
        .map_err(|_| wrong("names no configuration of an external account with a token file"))?;
    if configuration.kind != "external_account" {
        return Err(wrong("names credentials of another type than external_account"));
    }
    let subject = subject(&configuration.credential_source).await?;
    let question = question(services, &configuration, &configuration.token_url, vec![subject.clone()])?;
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", &configuration.audience),
        ("scope", SCOPE),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token_type", &configuration.subject_token_type),
        ("subject_token", subject.expose()),
    ];
    let answer: Exchanged = services.ask_json(&question, |client, url| client.post(url).form(&form)).await?;
    let token = Secret::new(answer.access_token);
    match &configuration.service_account_impersonation_url {
        Some(url) => impersonate(services, &configuration, url, token).await,
        None => Ok((token, Duration::from_secs(answer.expires_in))),
    }
}

/// The token of the service account that the external one may act as.
async fn impersonate(
    services: &Services,
    configuration: &Configuration,
    url: &str,
    token: Secret,
) -> Result<(Secret, Duration), Setback<IdentityError>> {
    let question = question(services, configuration, url, vec![token.clone()])?;
    let wanted = serde_json::json!({ "scope": [SCOPE] });
    let ask = |client: &reqwest::Client, url| client.post(url).bearer_auth(token.expose()).json(&wanted);
    let answer: Impersonated = services.ask_json(&question, ask).await?;
    let end = SystemTime::from(answer.expire_time);
    let life = end.duration_since(SystemTime::now()).unwrap_or_default();
    Ok((Secret::new(answer.access_token), life.max(super::super::SHORTEST_LIFE)))
}

fn question<'a>(
    services: &Services,
    configuration: &'a Configuration,
    url: &str,
    secrets: Vec<Secret>,
) -> Result<Question<'a>, Setback<IdentityError>> {
    let url = Url::parse(url).ok().filter(Url::has_host);
    let may_be_asked = |url: &Url| {
        url.scheme() == "https"
            || (url.scheme() == "http" && allows_plain(&services.settings().plain_http, &host_of(url)))
    };
    let url = url.filter(may_be_asked).ok_or_else(|| wrong("names an address that is not asked over TLS"))?;
    let (service, who) = ("Google's token service", configuration.audience.as_str());
    Ok(Question { service, url, way: Way::Far, who, secrets, words: no_words })
}

/// The other issuer's token: the whole file, or a field of it.
async fn subject(source: &CredentialSource) -> Result<Secret, Setback<IdentityError>> {
    let text = read_token(VARIABLE, &source.file).await?;
    let Some(format) = source.format.as_ref().filter(|format| format.kind == "json") else {
        return Ok(text);
    };
    let field = format.subject_token_field_name.as_deref().unwrap_or_default();
    let json: serde_json::Value =
        serde_json::from_str(text.expose()).map_err(|_| wrong("names a token file that is no JSON"))?;
    let token = json.get(field).and_then(serde_json::Value::as_str);
    token.map(Secret::new).ok_or_else(|| wrong("names a token file without the field of the token"))
}
