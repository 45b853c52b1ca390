//! Azure Container Registry: a token of Entra ID, which the registry exchanges for one of its own.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use serde::{Deserialize, Deserializer};

use super::error::IdentityError;
use super::home::AzureCloud;
use super::service::{Question, Services, Way, no_words, read_token};
use super::settings::{Variables, address};
use super::{Grant, life_until};
use crate::registry::credentials::Credential;
use crate::registry::endpoint::{allows_plain, host_of};
use crate::registry::patience::Setback;
use crate::registry::secret::Secret;

const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";
const INSTANCE_HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
const INSTANCE: &str = "http://169.254.169.254";
/// The instance asks a service itself.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// What a registry's token is good for if it does not say: it is documented to be three hours.
const USUAL_LIFE: Duration = Duration::from_hours(1);

/// Where a token of Entra ID comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Workload identity: the pod's own token is shown.
    Workload { client: String, tenant: String, file: String, url: Url },
    /// The managed identity of the node, or the one that a client id names.
    Managed { client: Option<String>, tenant: Option<String>, url: Url },
}

#[derive(Deserialize)]
struct EntraAnswer {
    #[serde(deserialize_with = "secret")]
    access_token: Secret,
}

#[derive(Deserialize)]
struct Exchanged {
    #[serde(deserialize_with = "secret")]
    refresh_token: Secret,
}

#[derive(Deserialize)]
struct Claims {
    exp: u64,
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}

impl Source {
    pub(super) fn of(variables: Variables<'_>, cloud: AzureCloud) -> Result<Self, IdentityError> {
        let client = variables.get("AZURE_CLIENT_ID");
        let tenant = variables.get("AZURE_TENANT_ID");
        if let (Some(client), Some(tenant), Some(file)) =
            (&client, &tenant, variables.get("AZURE_FEDERATED_TOKEN_FILE"))
        {
            let (client, tenant) = (client.clone(), tenant.clone());
            let host = variables.get(AUTHORITY).unwrap_or_else(|| cloud.authority().to_owned());
            // An id or a domain.
            if !tenant.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.') {
                return Err(IdentityError::Variable { name: "AZURE_TENANT_ID", what: "names no tenant" });
            }
            let url =
                address(AUTHORITY, &format!("{}/{tenant}/oauth2/v2.0/token", host.trim_end_matches('/')))?;
            return Ok(Self::Workload { client, tenant, file, url });
        }
        let host = variables.get(INSTANCE_HOST).unwrap_or_else(|| INSTANCE.to_owned());
        let url =
            address(INSTANCE_HOST, &format!("{}/metadata/identity/oauth2/token", host.trim_end_matches('/')))?;
        Ok(Self::Managed { client, tenant, url })
    }

    fn tenant(&self) -> Option<&str> {
        match self {
            Self::Workload { tenant, .. } => Some(tenant),
            Self::Managed { tenant, .. } => tenant.as_deref(),
        }
    }
}

/// A refresh token of the registry.
pub(super) async fn grant(
    services: &Services,
    source: &Source,
    cloud: AzureCloud,
    registry: &str,
) -> Result<Grant, Setback<IdentityError>> {
    let token = match source {
        Source::Workload { client, file, url, .. } => of_workload(services, client, file, url, cloud).await?,
        Source::Managed { client, url, .. } => of_instance(services, client.as_deref(), url, cloud).await?,
    };
    let scheme = if allows_plain(&services.settings().plain_http, registry) { "http" } else { "https" };
    let url = Url::parse(&format!("{scheme}://{registry}/oauth2/exchange"));
    let name = "AZURE_CLIENT_ID";
    let url =
        url.map_err(|_| Setback::lasting(IdentityError::Variable { name, what: "is for no registry" }))?;
    let who = source.to_string();
    let question = Question {
        service: "the registry",
        url,
        way: Way::Far,
        who: &who,
        secrets: vec![token.clone()],
        words: no_words,
    };
    let mut form =
        vec![("grant_type", "access_token"), ("service", registry), ("access_token", token.expose())];
    form.extend(source.tenant().map(|tenant| ("tenant", tenant)));
    let answer: Exchanged = services.ask_json(&question, |client, url| client.post(url).form(&form)).await?;
    let life = expiry(answer.refresh_token.expose()).map_or(USUAL_LIFE, life_until);
    Ok(Grant::new(Credential::IdentityToken(answer.refresh_token), life))
}

async fn of_workload(
    services: &Services,
    client: &str,
    file: &str,
    url: &Url,
    cloud: AzureCloud,
) -> Result<Secret, Setback<IdentityError>> {
    if url.scheme() == "http" && !allows_plain(&services.settings().plain_http, &host_of(url)) {
        let (name, what) = (AUTHORITY, "speaks plain HTTP, and no token is sent that way");
        return Err(Setback::lasting(IdentityError::Variable { name, what }));
    }
    let assertion = read_token("AZURE_FEDERATED_TOKEN_FILE", file).await?;
    let who = format!("the client {client}");
    let question = Question {
        service: "Entra ID",
        url: url.clone(),
        way: Way::Far,
        who: &who,
        secrets: vec![assertion.clone()],
        words: no_words,
    };
    let scope = format!("{}/.default", cloud.audience());
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("scope", &scope),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion.expose()),
    ];
    let answer: EntraAnswer = services.ask_json(&question, |client, url| client.post(url).form(&form)).await?;
    Ok(answer.access_token)
}

async fn of_instance(
    services: &Services,
    client: Option<&str>,
    url: &Url,
    cloud: AzureCloud,
) -> Result<Secret, Setback<IdentityError>> {
    let mut url = url.clone();
    url.query_pairs_mut().append_pair("api-version", "2018-02-01").append_pair("resource", cloud.audience());
    if let Some(client) = client {
        url.query_pairs_mut().append_pair("client_id", client);
    }
    let who = client.map_or_else(|| "this node".to_owned(), |client| format!("the client {client}"));
    let question = Question {
        service: "the instance metadata service",
        url,
        way: Way::Near { limit: ANSWER_TIME },
        who: &who,
        secrets: Vec::new(),
        words: no_words,
    };
    let ask = |client: &reqwest::Client, url| client.get(url).header("Metadata", "true");
    Ok(services.ask_json::<EntraAnswer>(&question, ask).await?.access_token)
}

/// When a JSON web token ends, in seconds since 1970. It is not verified: whoever gave it may say so.
fn expiry(token: &str) -> Option<u64> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    Some(serde_json::from_slice::<Claims>(&claims).ok()?.exp)
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload { client, file, .. } => {
                write!(f, "the workload identity of client {client} by the token in {file}")
            }
            Self::Managed { client: Some(client), url, .. } => {
                write!(f, "the managed identity of client {client} by {}", host_of(url))
            }
            Self::Managed { client: None, url, .. } => {
                write!(f, "the managed identity of the node by {}", host_of(url))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::identity::IdentitySettings;

    fn source(variables: &[(&str, &str)], cloud: AzureCloud) -> Result<Source, IdentityError> {
        let settings = IdentitySettings::from_variables(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        Source::of(settings.variables().expect("wanted"), cloud)
    }

    const WORKLOAD: [(&str, &str); 3] =
        [("AZURE_CLIENT_ID", "c-1"), ("AZURE_TENANT_ID", "t-1"), ("AZURE_FEDERATED_TOKEN_FILE", "/token")];

    #[test]
    fn the_token_comes_from_the_authority_of_the_registrys_cloud_unless_the_pod_is_told_otherwise() {
        let url = |extra: &[(&str, &str)], cloud| match source(&[&WORKLOAD, extra].concat(), cloud) {
            Ok(Source::Workload { url, .. }) => url.to_string(),
            other => format!("{other:?}"),
        };
        let public = "https://login.microsoftonline.com/t-1/oauth2/v2.0/token";
        assert_eq!(url(&[], AzureCloud::Public), public);
        assert_eq!(url(&[], AzureCloud::China), "https://login.chinacloudapi.cn/t-1/oauth2/v2.0/token");
        let given = (AUTHORITY, "https://login.test/");
        assert_eq!(url(&[given], AzureCloud::Public), "https://login.test/t-1/oauth2/v2.0/token");
    }

    #[test]
    fn without_a_token_file_the_identity_is_a_managed_one() {
        let words =
            |variables: &[(&str, &str)]| source(variables, AzureCloud::Public).expect("one").to_string();
        assert_eq!(words(&WORKLOAD), "the workload identity of client c-1 by the token in /token");
        assert_eq!(words(&WORKLOAD[..2]), "the managed identity of client c-1 by 169.254.169.254");
        assert_eq!(words(&[]), "the managed identity of the node by 169.254.169.254");
    }

    #[test]
    fn a_tenant_is_no_path() {
        let wrong = [WORKLOAD[0], ("AZURE_TENANT_ID", "../x"), WORKLOAD[2]];
        assert!(source(&wrong, AzureCloud::Public).is_err());
    }

    #[test]
    fn the_end_of_a_web_token_is_read() {
        let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(r#"{"exp":1800000000,"sub":"x"}"#));
        assert_eq!(expiry(&token), Some(1_800_000_000));
        assert_eq!(expiry("opaque"), None);
    }
}
