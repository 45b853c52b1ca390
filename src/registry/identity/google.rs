//! Google's registries: an access token of the metadata server, which on GKE knows the pod's own identity, or one that is
//! given for a token of another issuer.

mod external;

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::Grant;
use super::error::IdentityError;
use super::service::{Question, Services, Way, no_words};
use super::settings::Variables;
use crate::registry::credentials::Credential;
use crate::registry::endpoint::host_of;
use crate::registry::patience::Setback;
use crate::registry::secret::Secret;

/// By address: its name is known in Google's networks only, and a pod may ask others for names.
const METADATA: &str = "169.254.169.254";
const TOKEN: &str = "computeMetadata/v1/instance/service-accounts/default/token";
/// The server of GKE asks a service itself.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Who a password is shown by when it is an access token.
const USERNAME: &str = "oauth2accesstoken";

/// Where an access token comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// The metadata server.
    Metadata(Url),
    /// Workload identity federation, as a file of `GOOGLE_APPLICATION_CREDENTIALS` tells it.
    External(String),
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: u64,
}

impl Source {
    pub(super) fn of(variables: Variables<'_>) -> Result<Self, IdentityError> {
        if let Some(file) = variables.get(external::VARIABLE) {
            return Ok(Self::External(file));
        }
        let given = ["GCE_METADATA_HOST", "GCE_METADATA_IP"]
            .into_iter()
            .find_map(|name| Some((name, variables.get(name)?)));
        let (name, host) = given.unwrap_or_else(|| ("GCE_METADATA_HOST", METADATA.to_owned()));
        let url = Url::parse(&format!("http://{host}/{TOKEN}")).ok();
        // Nothing but a host with or without a port.
        let url = url.filter(|url| host_of(url).eq_ignore_ascii_case(&host) || host.ends_with(":80"));
        url.map(Self::Metadata).ok_or(IdentityError::Variable { name, what: "names no host" })
    }
}

/// An access token as a password.
pub(super) async fn grant(services: &Services, source: &Source) -> Result<Grant, Setback<IdentityError>> {
    let (token, life) = match source {
        Source::Metadata(url) => of_metadata(services, url).await?,
        Source::External(file) => external::fetch(services, file).await?,
    };
    let credential = Credential::Basic { username: USERNAME.to_owned(), password: token };
    Ok(Grant::new(credential, life))
}

async fn of_metadata(services: &Services, url: &Url) -> Result<(Secret, Duration), Setback<IdentityError>> {
    let question = Question {
        service: "the metadata server",
        url: url.clone(),
        way: Way::Starting { limit: ANSWER_TIME },
        who: "this pod",
        secrets: Vec::new(),
        words: no_words,
    };
    let ask = |client: &reqwest::Client, url| client.get(url).header("Metadata-Flavor", "Google");
    let answer: Answer = services.ask_json(&question, ask).await?;
    Ok((Secret::new(answer.access_token), Duration::from_secs(answer.expires_in)))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata(url) => {
                write!(f, "the account that the metadata server at {} knows", host_of(url))
            }
            Self::External(file) => write!(f, "the external account of {file}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::identity::IdentitySettings;

    fn source(host: Option<&str>) -> Result<Source, IdentityError> {
        let settings = IdentitySettings::from_variables(|name| {
            host.filter(|_| name == "GCE_METADATA_HOST").map(ToOwned::to_owned)
        });
        Source::of(settings.variables().expect("wanted"))
    }

    #[test]
    fn the_metadata_server_is_asked_at_its_address_or_where_the_pod_is_told() {
        let words = |host| source(host).expect("a host").to_string();
        assert_eq!(words(None), "the account that the metadata server at 169.254.169.254 knows");
        assert_eq!(words(Some("127.0.0.1:988")), "the account that the metadata server at 127.0.0.1:988 knows");
        assert!(source(Some("a.test:80")).is_ok());
        for wrong in ["a.test/path?", "user@a.test", "http://a.test", " ["] {
            assert!(source(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
