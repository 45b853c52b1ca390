//! The keys of a role, from where the SDKs look for them: environment, web identity, container, instance.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::AUTHORIZATION;
use serde::Deserialize;

use super::{address, words};
use crate::registry::identity::error::IdentityError;
use crate::registry::identity::home::{aws_suffix, is_region};
use crate::registry::identity::service::{Question, Services, Way, no_words, read_token};
use crate::registry::identity::settings::Variables;
use crate::registry::patience::Setback;
use crate::registry::secret::Secret;

const URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
/// Where the instance answers. Its IPv6 address is for instances in networks without IPv4.
const INSTANCE: &str = "http://169.254.169.254/";
const INSTANCE_IPV6: &str = "http://[fd00:ec2::254]/";
/// How long a session with the instance's metadata lasts, in seconds: long enough to ask twice.
const SESSION_SECONDS: &str = "60";
/// An instance that drops the answer (its hop limit is one, a pod is two hops away) does so in silence.
const SESSION_TIME: Duration = Duration::from_secs(1);
/// An agent on the node asks a service itself.
const AGENT_TIME: Duration = Duration::from_secs(10);
const ROLES: &str = "latest/meta-data/iam/security-credentials/";
/// Longest name of a role that is asked for.
const ROLE_LIMIT: usize = 256;

/// What requests are signed with.
#[derive(Clone, Debug)]
pub(in crate::registry::identity) struct Keys {
    id: String,
    secret: Secret,
    token: Option<Secret>,
}

/// Where keys come from, in the order in which the SDKs look.
#[derive(Clone, Debug)]
pub(in crate::registry::identity) enum Source {
    /// Of the environment.
    Keys(Keys),
    /// IAM roles for service accounts.
    WebIdentity { role: String, session: String, file: String, sts: Url },
    /// EKS Pod Identity, or another agent of its kind.
    Container { url: Url, token: Option<Token> },
    /// The role of the node.
    Instance { url: Url },
}

/// What an agent is to be shown.
#[derive(Clone, Debug)]
pub(in crate::registry::identity) enum Token {
    Given(Secret),
    File(String),
}

impl Source {
    /// The first source that the environment names. The region is the one to ask STS in if it names none.
    pub(in crate::registry::identity) fn of(
        variables: Variables<'_>,
        region: &str,
    ) -> Result<Self, IdentityError> {
        if let (Some(id), Some(secret)) =
            (variables.get("AWS_ACCESS_KEY_ID"), variables.secret("AWS_SECRET_ACCESS_KEY"))
        {
            return Ok(Self::Keys(Keys { id, secret, token: variables.secret("AWS_SESSION_TOKEN") }));
        }
        if let (Some(role), Some(file)) =
            (variables.get("AWS_ROLE_ARN"), variables.get("AWS_WEB_IDENTITY_TOKEN_FILE"))
        {
            let session =
                variables.get("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "kubectl-clarity".to_owned());
            return Ok(Self::WebIdentity { role, session, file, sts: sts(variables, region)? });
        }
        if let Some(text) = variables.get(URI) {
            let url = address(URI, &text)?;
            if !may_be_asked(&url) {
                let what = "names a host that may not be asked in the clear";
                return Err(IdentityError::Variable { name: URI, what });
            }
            let file = variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(Token::File);
            let given = || variables.secret("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Token::Given);
            return Ok(Self::Container { url, token: file.or_else(given) });
        }
        if variables.is_true(DISABLED) {
            return Err(IdentityError::Nowhere { name: DISABLED });
        }
        let mode = variables.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
        let usual =
            if mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6")) { INSTANCE_IPV6 } else { INSTANCE };
        let url = variables.get(ENDPOINT);
        Ok(Self::Instance { url: address(ENDPOINT, url.as_deref().unwrap_or(usual))? })
    }
}

/// Where a role is asked for.
fn sts(variables: Variables<'_>, region: &str) -> Result<Url, IdentityError> {
    for name in ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"] {
        if let Some(text) = variables.get(name) {
            return address(name, &text);
        }
    }
    let given = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| variables.get(name));
    let region = given.as_deref().unwrap_or(region);
    if !is_region(region) {
        return Err(IdentityError::Variable { name: "AWS_REGION", what: "names no region" });
    }
    let suffix = aws_suffix(region);
    // The one of the old days, for all regions that had no other.
    let is_global = suffix == aws_suffix("us-east-1")
        && !region.starts_with("us-gov-")
        && variables.get("AWS_STS_REGIONAL_ENDPOINTS").is_some_and(|mode| mode == "legacy");
    let text =
        if is_global { format!("https://sts.{suffix}/") } else { format!("https://sts.{region}.{suffix}/") };
    address("AWS_REGION", &text)
}

/// Keys travel in the clear only on the node itself (the SDKs' rule for containers).
fn may_be_asked(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_local = address.is_ok_and(|address| address.is_loopback());
    url.scheme() == "https"
        || is_local
        || matches!(host, "localhost" | "169.254.170.2" | "169.254.170.23" | "[fd00:ec2::23]")
}

#[derive(Deserialize)]
struct StsAnswer {
    #[serde(rename = "AssumeRoleWithWebIdentityResult")]
    result: StsResult,
}

#[derive(Deserialize)]
struct StsResult {
    #[serde(rename = "Credentials")]
    credentials: Answer,
}

/// Keys as all services give them; STS alone names the token otherwise.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    #[serde(alias = "SessionToken")]
    token: String,
}

/// Fetches keys. They are used at once and for one request, so that their end is of no concern.
pub(super) async fn fetch(services: &Services, source: &Source) -> Result<Keys, Setback<IdentityError>> {
    match source {
        Source::Keys(keys) => Ok(keys.clone()),
        Source::WebIdentity { role, session, file, sts } => {
            let token = read_token("AWS_WEB_IDENTITY_TOKEN_FILE", file).await?;
            let question = Question {
                service: "the security token service",
                url: sts.clone(),
                way: Way::Far,
                who: role,
                secrets: vec![token.clone()],
                words: words::of,
            };
            let form = [
                ("Action", "AssumeRoleWithWebIdentity"),
                ("Version", "2011-06-15"),
                ("RoleArn", role),
                ("RoleSessionName", session),
                ("WebIdentityToken", token.expose()),
            ];
            let bytes = services.ask(&question, |client, url| client.post(url).form(&form)).await?;
            let answer = std::str::from_utf8(&bytes).ok().and_then(|text| quick_xml::de::from_str(text).ok());
            let answer: StsAnswer = answer.ok_or_else(|| question.protocol("what is no credential"))?;
            Ok(answer.result.credentials.into())
        }
        Source::Container { url, token } => {
            let token = match token {
                Some(Token::File(path)) => {
                    Some(read_token("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path).await?)
                }
                Some(Token::Given(token)) => Some(token.clone()),
                None => None,
            };
            let question = Question {
                service: "the pod identity agent",
                url: url.clone(),
                way: Way::Starting { limit: AGENT_TIME },
                who: "this pod",
                secrets: token.iter().cloned().collect(),
                words: words::of,
            };
            let ask = |client: &reqwest::Client, url| {
                let request = client.get(url);
                match &token {
                    Some(token) => request.header(AUTHORIZATION, token.expose()),
                    None => request,
                }
            };
            Ok(services.ask_json::<Answer>(&question, ask).await?.into())
        }
        Source::Instance { url } => of_instance(services, url).await,
    }
}

/// The keys of the node's role, by the second version of its metadata service.
async fn of_instance(services: &Services, base: &Url) -> Result<Keys, Setback<IdentityError>> {
    let mut question = Question {
        service: "the instance metadata service",
        url: join(base, "latest/api/token"),
        way: Way::Near { limit: SESSION_TIME },
        who: "this node",
        secrets: Vec::new(),
        words: no_words,
    };
    let session = services
        .ask(&question, |client, url| {
            client.put(url).header("x-aws-ec2-metadata-token-ttl-seconds", SESSION_SECONDS)
        })
        .await?;
    let session = Secret::new(line(&session).ok_or_else(|| question.protocol("no session"))?);
    question.secrets = vec![session.clone()];
    question.way = Way::Near { limit: AGENT_TIME };
    let ask =
        |client: &reqwest::Client, url| client.get(url).header("x-aws-ec2-metadata-token", session.expose());
    question.url = join(base, ROLES);
    let role = line(&services.ask(&question, ask).await?);
    let is_role = |role: &String| {
        role.len() <= ROLE_LIMIT && role.chars().all(|c| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c))
    };
    let role = role.filter(is_role).ok_or_else(|| question.protocol("no name of a role"))?;
    question.url = join(base, &format!("{ROLES}{role}"));
    Ok(services.ask_json::<Answer>(&question, ask).await?.into())
}

/// A path below the base, which may have one of its own.
fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// The first line of an answer.
fn line(bytes: &Bytes) -> Option<String> {
    let line = std::str::from_utf8(bytes).ok()?.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

impl Keys {
    pub(super) fn secrets(&self) -> Vec<Secret> {
        std::iter::once(self.secret.clone()).chain(self.token.clone()).collect()
    }

    /// As the crate that signs wants them. Its `Debug` shows the ends of each.
    pub(super) fn to_credential(&self) -> reqsign_aws_v4::Credential {
        reqsign_aws_v4::Credential {
            access_key_id: self.id.clone(),
            secret_access_key: self.secret.expose().to_owned(),
            session_token: self.token.as_ref().map(|token| token.expose().to_owned()),
            expires_in: None,
        }
    }
}

impl From<Answer> for Keys {
    fn from(answer: Answer) -> Self {
        Self {
            id: answer.access_key_id,
            secret: Secret::new(answer.secret_access_key),
            token: (!answer.token.is_empty()).then(|| Secret::new(answer.token)),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(_) => f.write_str("the AWS keys in the environment"),
            Self::WebIdentity { role, file, .. } => write!(f, "the role {role} by the token in {file}"),
            Self::Container { url, .. } => {
                write!(f, "the pod identity agent at {}", crate::registry::endpoint::host_of(url))
            }
            Self::Instance { url } => {
                write!(f, "the role of the node by {}", crate::registry::endpoint::host_of(url))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::identity::IdentitySettings;

    fn source(variables: &[(&str, &str)]) -> Result<Source, IdentityError> {
        let settings = IdentitySettings::from_variables(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        Source::of(settings.variables().expect("wanted"), "eu-west-1")
    }

    fn sts(variables: &[(&str, &str)]) -> String {
        let role = [("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t")];
        match source(&[&role, variables].concat()) {
            Ok(Source::WebIdentity { sts, .. }) => sts.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn sources_are_looked_for_in_the_order_of_the_sdks() {
        let all = [
            ("AWS_ACCESS_KEY_ID", "AKIA"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        let words = |from: usize| match source(&all[from..]) {
            Ok(source) => source.to_string(),
            Err(error) => error.in_words(),
        };
        assert_eq!(words(0), "the AWS keys in the environment");
        assert_eq!(words(2), "the role arn:aws:iam::1:role/r by the token in /token");
        assert_eq!(words(4), "the pod identity agent at 169.254.170.23");
        assert_eq!(
            words(5),
            "the pod has neither keys nor a role, and AWS_EC2_METADATA_DISABLED keeps it from asking the instance"
        );
        assert_eq!(words(6), "the role of the node by 169.254.169.254");
        assert!(!format!("{:?}", source(&all)).contains("hunter2"));
    }

    #[test]
    fn a_role_is_asked_for_in_the_region_of_the_pod() {
        assert_eq!(sts(&[("AWS_REGION", "us-gov-west-1")]), "https://sts.us-gov-west-1.amazonaws.com/");
        assert_eq!(sts(&[("AWS_DEFAULT_REGION", "cn-north-1")]), "https://sts.cn-north-1.amazonaws.com.cn/");
        assert_eq!(sts(&[]), "https://sts.eu-west-1.amazonaws.com/");
        let legacy = ("AWS_STS_REGIONAL_ENDPOINTS", "legacy");
        assert_eq!(sts(&[legacy]), "https://sts.amazonaws.com/");
        assert_eq!(sts(&[legacy, ("AWS_REGION", "cn-north-1")]), "https://sts.cn-north-1.amazonaws.com.cn/");
        assert_eq!(sts(&[("AWS_ENDPOINT_URL_STS", "http://sts.test:1")]), "http://sts.test:1/");
        assert!(sts(&[("AWS_REGION", "evil.test/")]).contains("AWS_REGION"));
    }

    #[test]
    fn keys_travel_in_the_clear_only_on_the_node() {
        for (address, allowed) in [
            ("https://agent.test/keys", true),
            ("http://127.0.0.1:80/keys", true),
            ("http://[::1]/keys", true),
            ("http://localhost/keys", true),
            ("http://169.254.170.2/keys", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://169.254.170.24/keys", false),
            ("http://agent.test/keys", false),
            ("http://localhost.evil.test/keys", false),
            ("http://10.0.0.1/keys", false),
            ("ftp://127.0.0.1/keys", false),
        ] {
            let source = source(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", address)]);
            assert_eq!(source.is_ok(), allowed, "{address}");
        }
    }
}
