//! Amazon ECR: the keys of a role, then a password for the registry.
//!
//! The crate `reqsign-aws-v4` only signs. Its providers of keys know no bounds, ask the environment by themselves, and lose
//! what a service says when it refuses.

mod keys;
mod words;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqsign_aws_v4::RequestSigner;
use reqsign_core::{Context, SignRequest as _};
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HOST, HeaderMap};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::error::IdentityError;
use super::home::EcrRegion;
use super::service::{Question, Services, Way};
use super::settings::{Variables, address};
use super::{Grant, life_until};
use crate::registry::credentials::Credential;
use crate::registry::patience::Setback;
use crate::registry::secret::Secret;

pub(super) use keys::{Keys, Source};

/// ECR Public has its API in this region only.
const PUBLIC_REGION: &str = "us-east-1";
/// What ECR is asked, as the SDKs do: that it is asked for no registry in particular.
const BODY: &[u8] = b"{}";

/// An API that gives passwords for registries.
#[derive(Clone, Debug)]
pub(super) struct Api {
    url: Url,
    region: String,
    /// The name that requests are signed for.
    service: &'static str,
    target: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    authorization_data: OneOrMany,
}

/// ECR gives a list, ECR Public one.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Authorization),
    Many(Vec<Authorization>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: String,
    /// Seconds since 1970.
    #[serde(default)]
    expires_at: f64,
}

impl Api {
    /// The API of a private registry's region.
    pub(super) fn private(region: &EcrRegion, variables: Variables<'_>) -> Result<Self, IdentityError> {
        Ok(Self {
            url: endpoint("AWS_ENDPOINT_URL_ECR", &region.api(), variables)?,
            region: region.region.clone(),
            service: "ecr",
            target: "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
        })
    }

    /// The API of ECR Public.
    pub(super) fn public(variables: Variables<'_>) -> Result<Self, IdentityError> {
        let default = format!("https://api.ecr-public.{PUBLIC_REGION}.amazonaws.com/");
        Ok(Self {
            url: endpoint("AWS_ENDPOINT_URL_ECR_PUBLIC", &default, variables)?,
            region: PUBLIC_REGION.to_owned(),
            service: "ecr-public",
            target: "SpencerFrontendService.GetAuthorizationToken",
        })
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }
}

/// The address that a service's own variable names, or that for all services, or its usual one.
fn endpoint(name: &'static str, default: &str, variables: Variables<'_>) -> Result<Url, IdentityError> {
    let (name, text) = [name, "AWS_ENDPOINT_URL"]
        .into_iter()
        .find_map(|name| Some((name, variables.get(name)?)))
        .unwrap_or_else(|| (name, default.to_owned()));
    address(name, &text)
}

/// A password for a registry from the keys of a source.
pub(super) async fn grant(
    services: &Services,
    source: &Source,
    api: &Api,
) -> Result<Grant, Setback<IdentityError>> {
    let keys = keys::fetch(services, source).await?;
    let who = source.to_string();
    let question = Question {
        service: "the ECR API",
        url: api.url.clone(),
        way: Way::Far,
        who: &who,
        secrets: keys.secrets(),
        words: words::of,
    };
    let broken = || question.protocol("what is no credential");
    // A second attempt, some seconds later, is signed as the first: a signature is good for minutes.
    let headers =
        sign(api, &keys).await.map_err(|()| question.protocol("keys that nothing can be signed with"))?;
    let answer: Answer = services
        .ask_json(&question, |client, url| client.post(url).headers(headers.clone()).body(BODY))
        .await?;
    let data = match answer.authorization_data {
        OneOrMany::One(data) => data,
        OneOrMany::Many(list) => list.into_iter().next().ok_or_else(broken)?,
    };
    let pair = STANDARD.decode(data.authorization_token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = pair.ok_or_else(broken)?;
    let (username, password) = pair.split_once(':').ok_or_else(broken)?;
    let credential = Credential::Basic { username: username.to_owned(), password: Secret::new(password) };
    let expires_at = Duration::try_from_secs_f64(data.expires_at).unwrap_or_default();
    Ok(Grant::new(credential, life_until(expires_at.as_secs())))
}

/// The headers of a request to an API, signed (Signature Version 4).
async fn sign(api: &Api, keys: &Keys) -> Result<HeaderMap, ()> {
    let request = http::Request::post(api.url.as_str())
        .header(CONTENT_TYPE, "application/x-amz-json-1.1")
        .header("x-amz-target", api.target)
        // Without it the crate signs that the body is not signed, which is for S3 alone.
        .header("x-amz-content-sha256", hex(&Sha256::digest(BODY)))
        .body(())
        .map_err(drop)?;
    let (mut parts, ()) = request.into_parts();
    let signer = RequestSigner::new(api.service, &api.region);
    let credential = keys.to_credential();
    signer.sign_request(&Context::new(), &mut parts, Some(&credential), None).await.map_err(drop)?;
    // The client says it by itself, and HTTP/2 has another way for it.
    parts.headers.remove(HOST);
    Ok(parts.headers)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
        }
        text
    })
}
