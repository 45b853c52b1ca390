//! The identity that a process has in a cloud, as a credential for that cloud's registries.
//!
//! The kubelet has such identities by its credential providers and other tools by `k8schain`. Here they are asked for with
//! the variables and files that the clouds' webhooks put into a pod, and with the metadata services that its node has.
//!
//! ```text
//! host ── home ──> Home ── variables ──> Source ── service ──> Grant (a credential, until when it is good)
//!                                                               │
//!                                                  Identity (one for each registry: keeps it, renews it)
//! ```

mod aws;
mod azure;
mod error;
mod google;
mod home;
mod service;
mod settings;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::client::SettingsError;
use super::credentials::Credential;
use super::patience::Setback;
use super::settings::Settings;
use home::{AzureCloud, Home};
use service::Services;
use settings::Variables;

pub use error::IdentityError;
pub use settings::IdentitySettings;

/// A token that is said to have ended already is taken for this long: more likely a clock is wrong.
const SHORTEST_LIFE: Duration = Duration::from_mins(1);
/// The longest life that is believed.
const LONGEST_LIFE: Duration = Duration::from_hours(24);
/// A token is renewed so long before its end, or in the last quarter of a short life.
const MARGIN: Duration = Duration::from_mins(5);
/// After a failure that may pass it is not tried again at once: an image has many requests.
const PAUSE: Duration = Duration::from_secs(20);

/// A cloud with registries and identities of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon ECR, private and public.
    Aws,
    /// Artifact Registry and Container Registry.
    Google,
    /// Azure Container Registry.
    Azure,
}

/// Which identity is used for a registry, and what came of it. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityReport {
    /// The cloud that the registry belongs to.
    pub cloud: Cloud,
    /// Where the identity comes from, in words; none if the pod was not told of any.
    pub source: Option<String>,
    /// Whether there is a credential for the registry, or why not.
    pub outcome: Result<(), String>,
}

/// The identities of this process, one for each registry of a cloud that was asked for something.
#[derive(Debug)]
pub(super) struct Identities {
    /// None where identities are not wanted.
    services: Option<Arc<Services>>,
    known: Mutex<HashMap<String, Arc<Identity>>>,
}

/// The identity for one registry.
#[derive(Debug)]
pub(super) struct Identity {
    registry: String,
    cloud: Cloud,
    source: Result<Source, Arc<IdentityError>>,
    services: Arc<Services>,
    /// Held while a credential is fetched, so that all who need it wait for the one.
    state: tokio::sync::Mutex<State>,
}

#[derive(Debug)]
enum Source {
    Aws(aws::Source, aws::Api),
    Google(google::Source),
    Azure(azure::Source, AzureCloud),
}

#[derive(Debug)]
struct State {
    /// How many credentials there were.
    generation: u64,
    outcome: Option<Result<Grant, Failure>>,
}

/// A credential for a registry that ends.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) credential: Credential,
    /// Which one it is, from 1.
    pub(super) generation: u64,
    renew_at: Instant,
    ends_at: Instant,
}

#[derive(Clone, Debug)]
struct Failure {
    error: Arc<IdentityError>,
    /// When it may be tried again, if ever.
    again_at: Option<Instant>,
}

impl Identities {
    /// Services that are no nearer than registries are asked with the client for those.
    pub(super) fn new(settings: &Settings, client: &reqwest::Client) -> Result<Self, SettingsError> {
        let services = match settings.identity.variables() {
            Some(_) => Some(Arc::new(Services::new(settings, client)?)),
            None => None,
        };
        Ok(Self { services, known: Mutex::default() })
    }

    /// The identity for a registry (`host` or `host:port`), if it belongs to a cloud and identities are wanted.
    pub(super) fn of(&self, registry: &str) -> Option<Arc<Identity>> {
        let services = self.services.as_ref()?;
        let variables = services.settings().identity.variables()?;
        let home = Home::of(registry)?;
        // What is kept here is whole after each statement, so a panic elsewhere has left nothing half done.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = known.entry(registry.to_owned()).or_insert_with(|| {
            Arc::new(Identity {
                registry: registry.to_owned(),
                cloud: home.cloud(),
                source: Source::of(&home, variables).map_err(Arc::new),
                services: Arc::clone(services),
                state: tokio::sync::Mutex::new(State { generation: 0, outcome: None }),
            })
        });
        Some(Arc::clone(identity))
    }
}

impl Source {
    fn of(home: &Home, variables: Variables<'_>) -> Result<Self, IdentityError> {
        let of_aws = |api: aws::Api| Ok(Self::Aws(aws::Source::of(variables, api.region())?, api));
        match home {
            Home::Ecr(region) => of_aws(aws::Api::private(region, variables)?),
            Home::EcrPublic => of_aws(aws::Api::public(variables)?),
            Home::Google => google::Source::of(variables).map(Self::Google),
            Home::Acr(cloud) => Ok(Self::Azure(azure::Source::of(variables, *cloud)?, *cloud)),
        }
    }
}

impl Identity {
    /// The credential, fetched or renewed if need be; or why there is none.
    pub(super) async fn grant(&self) -> Result<Grant, Arc<IdentityError>> {
        let source = self.source.as_ref().map_err(Arc::clone)?;
        let mut state = self.state.lock().await;
        let now = Instant::now();
        let old = match &state.outcome {
            Some(Ok(grant)) if now < grant.renew_at => return Ok(grant.clone()),
            Some(Ok(grant)) => Some(grant.clone()).filter(|grant| now < grant.ends_at),
            Some(Err(failure)) if failure.again_at.is_none_or(|again_at| now < again_at) => {
                return Err(Arc::clone(&failure.error));
            }
            Some(Err(_)) | None => None,
        };
        match (self.fetch(source).await, old) {
            (Ok(grant), _) => {
                state.generation += 1;
                let grant = Grant { generation: state.generation, ..grant };
                state.outcome = Some(Ok(grant.clone()));
                Ok(grant)
            }
            // What is still good is used to its end.
            (Err(_), Some(old)) => {
                let grant = Grant { renew_at: Instant::now() + PAUSE, ..old };
                state.outcome = Some(Ok(grant.clone()));
                Ok(grant)
            }
            (Err(setback), None) => {
                let again_at = (!setback.is_final()).then(|| Instant::now() + PAUSE);
                let error = Arc::new(*setback.error);
                state.outcome = Some(Err(Failure { error: Arc::clone(&error), again_at }));
                Err(error)
            }
        }
    }

    /// Forgets a credential that the registry does not take, unless there is a newer one.
    pub(super) async fn discard(&self, generation: u64) {
        let mut state = self.state.lock().await;
        if state.generation == generation && matches!(state.outcome, Some(Ok(_))) {
            state.outcome = None;
        }
    }

    /// What it is and what comes of asking for it.
    pub(super) async fn report(&self) -> IdentityReport {
        let outcome = self.grant().await.map(drop).map_err(|error| error.in_words());
        let source = self.source.as_ref().ok().map(ToString::to_string);
        IdentityReport { cloud: self.cloud, source, outcome }
    }

    async fn fetch(&self, source: &Source) -> Result<Grant, Setback<IdentityError>> {
        match source {
            Source::Aws(source, api) => aws::grant(&self.services, source, api).await,
            Source::Google(source) => google::grant(&self.services, source).await,
            Source::Azure(source, cloud) => azure::grant(&self.services, source, *cloud, &self.registry).await,
        }
    }
}

impl Grant {
    fn new(credential: Credential, life: Duration) -> Self {
        let life = life.min(LONGEST_LIFE);
        let now = Instant::now();
        let renew_at = now + life.saturating_sub(MARGIN).max(life * 3 / 4);
        Self { credential, generation: 0, renew_at, ends_at: now + life }
    }
}

/// What is left until a time in seconds since 1970.
fn life_until(end: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(end).saturating_sub(now).max(SHORTEST_LIFE)
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Ok(source) => write!(f, "the cloud identity ({source})"),
            Err(_) => f.write_str("the cloud identity"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aws(source, _) => source.fmt(f),
            Self::Google(source) => source.fmt(f),
            Self::Azure(source, _) => source.fmt(f),
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws => "AWS",
            Self::Google => "Google Cloud",
            Self::Azure => "Azure",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Secret;

    #[test]
    fn a_token_is_renewed_shortly_before_its_end() {
        let renewed_after = |life: Duration| {
            let grant = Grant::new(Credential::IdentityToken(Secret::new("t")), life);
            (grant.renew_at - (grant.ends_at - life.min(LONGEST_LIFE))).as_secs()
        };
        assert_eq!(renewed_after(Duration::from_hours(12)), 12 * 3600 - 300);
        assert_eq!(renewed_after(Duration::from_secs(400)), 300);
        assert_eq!(renewed_after(Duration::MAX), 24 * 3600 - 300);
        assert_eq!(renewed_after(Duration::ZERO), 0);
    }

    #[test]
    fn an_end_in_the_past_is_put_down_to_a_wrong_clock() {
        assert_eq!(life_until(1_420_070_400), SHORTEST_LIFE);
        assert_eq!(life_until(u64::MAX).min(LONGEST_LIFE), LONGEST_LIFE);
    }
}
