//! What one credential may do with one repository, and the token that says so.
//!
//! Tokens are kept per repository, credential and right, never per host: two namespaces may pull from one
//! registry as two different users.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::header::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::challenge::Challenge;
use super::credentials::{Credential, Entry};
use super::endpoint::Endpoint;
use super::error::{Answer, PullError};
use super::identity::{Grant, Identity, IdentityError};
use super::secret::Secret;
use super::token::{self, Token, TokenRequest, basic_value};
use super::transport::{NOTHING, Transport};
use super::ways::Way;
use crate::image::Repository;

/// What is to be done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Actions {
    Pull,
    PullAndPush,
}

/// What an [`Access`] is kept under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AccessKey {
    pub(super) repository: Repository,
    pub(super) endpoint: Endpoint,
    pub(super) actions: Actions,
    pub(super) credential: Option<Credential>,
}

/// One credential (or none) at one repository.
#[derive(Debug)]
pub(super) struct Access {
    key: AccessKey,
    way: Way,
    /// Where the credential came from, in words; none for anonymous access.
    label: Option<String>,
    /// Where there is no credential of our own: the one of the registry's cloud, which ends and is renewed.
    identity: Option<Arc<Identity>>,
    /// Held while a token is fetched, so that all requests that need it wait for the one.
    state: Mutex<State>,
    worked: AtomicBool,
    /// Whether it has gone along with a request.
    shown: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// Grows whenever the authorization changes: a request that failed with an older one just tries the new one.
    generation: u64,
    authorization: Authorization,
    /// What the identity gave last, or why it gave nothing.
    granted: Option<Result<Grant, Arc<IdentityError>>>,
}

#[derive(Debug)]
enum Authorization {
    /// The registry was not yet heard: it says by a challenge what it wants.
    Unknown,
    Basic(Secret),
    Bearer(Token, Challenge),
    /// A token that was given to us and cannot be renewed.
    Given(Secret),
}

/// What goes with a request.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) header: Option<HeaderValue>,
    /// What that is, in words.
    pub(super) shown: String,
    /// What must not be shown when an answer is quoted.
    pub(super) secrets: Vec<String>,
    generation: u64,
    /// Which credential of the identity it was made with.
    grant: Option<u64>,
    no_identity: Option<Arc<IdentityError>>,
}

impl Access {
    pub(super) fn new(
        key: AccessKey,
        way: Way,
        entry: Option<&Entry>,
        identity: Option<Arc<Identity>>,
    ) -> Self {
        let authorization = match &key.credential {
            Some(Credential::RegistryToken(token)) => Authorization::Given(token.clone()),
            _ => Authorization::Unknown,
        };
        let state = Mutex::new(State { generation: 0, authorization, granted: None });
        let label = entry.map(ToString::to_string).or_else(|| identity.as_ref().map(ToString::to_string));
        let (worked, shown) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { key, way, label, identity, state, worked, shown }
    }

    /// Where the repository is asked.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.way.endpoint
    }

    /// The place, and what is known of it.
    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.key.repository
    }

    /// Whether the registry has let this credential in before.
    pub(super) fn has_worked(&self) -> bool {
        self.worked.load(Ordering::Relaxed)
    }

    /// Where the credential came from, if it was shown to anybody.
    pub(super) fn was_shown(&self) -> Option<&str> {
        self.label.as_deref().filter(|_| self.shown.load(Ordering::Relaxed))
    }

    /// What must not be shown when somebody is quoted to whom the credential is known.
    pub(super) fn secrets(&self) -> Vec<String> {
        self.key.credential.as_ref().map(Credential::secrets).unwrap_or_default()
    }

    pub(super) fn note_success(&self) {
        self.worked.store(true, Ordering::Relaxed);
    }

    /// What to send along; renews a token that is about to end.
    pub(super) async fn ticket(&self, transport: &Transport) -> Result<Ticket, PullError> {
        let mut state = self.state.lock().await;
        self.take_granted(&mut state).await;
        let outdated = match &state.authorization {
            Authorization::Bearer(token, challenge) if token.renew_at <= Instant::now() => {
                Some(challenge.clone())
            }
            _ => None,
        };
        if let Some(challenge) = outdated {
            self.renew(&mut state, transport, challenge).await?;
        }
        let credential = self.credential(&state);
        let mut secrets = credential.map(Credential::secrets).unwrap_or_default();
        let label = || self.label.clone().unwrap_or_else(|| NOTHING.to_owned());
        let (header, shown) = match &state.authorization {
            Authorization::Unknown => (None, NOTHING.to_owned()),
            Authorization::Basic(value) => (header("Basic", value), label()),
            Authorization::Bearer(Token { value, .. }, _) => {
                secrets.push(value.expose().to_owned());
                (bearer(value), "its token".to_owned())
            }
            Authorization::Given(value) => (bearer(value), label()),
        };
        if header.is_some() && credential.is_some() {
            self.shown.store(true, Ordering::Relaxed);
        }
        let grant = state.grant().map(|grant| grant.generation);
        let no_identity = state.no_identity().cloned();
        Ok(Ticket { header, shown, secrets, generation: state.generation, grant, no_identity })
    }

    /// Gives up what an identity gave, once it was refused; false if nothing new is to be had.
    pub(super) async fn discard(&self, ticket: &Ticket) -> bool {
        let (Some(identity), Some(grant)) = (&self.identity, ticket.grant) else { return false };
        let mut state = self.state.lock().await;
        identity.discard(grant).await;
        if state.generation == ticket.generation {
            state.authorization = Authorization::Unknown;
            state.generation += 1;
        }
        true
    }

    /// Asks the identity, which knows whether it has something new.
    async fn take_granted(&self, state: &mut State) {
        let Some(identity) = &self.identity else { return };
        let granted = identity.grant().await;
        let is_new = match (&granted, state.grant()) {
            (Ok(new), Some(old)) => new.generation != old.generation,
            _ => true,
        };
        if is_new
            && let (Ok(grant), Authorization::Basic(_)) = (&granted, &state.authorization)
            && let Credential::Basic { username, password } = &grant.credential
        {
            state.authorization = Authorization::Basic(basic_value(username, password));
            state.generation += 1;
        }
        if granted.is_err() && matches!(state.authorization, Authorization::Basic(_)) {
            state.authorization = Authorization::Unknown;
            state.generation += 1;
        }
        state.granted = Some(granted);
    }

    fn credential<'a>(&'a self, state: &'a State) -> Option<&'a Credential> {
        self.key.credential.as_ref().or_else(|| state.grant().map(|grant| &grant.credential))
    }

    /// Answers the challenges of a 401; false if there is nothing (new) to answer with.
    pub(super) async fn answer(
        &self,
        transport: &Transport,
        challenges: &[Challenge],
        ticket: &Ticket,
    ) -> Result<bool, PullError> {
        let mut state = self.state.lock().await;
        if state.generation != ticket.generation {
            return Ok(true);
        }
        let named = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let basic = match (self.credential(&state), named("basic")) {
            (Some(Credential::Basic { username, password }), Some(_)) => Some(basic_value(username, password)),
            _ => None,
        };
        let given = matches!(state.authorization, Authorization::Given(_));
        if let Some(challenge) = named("bearer").filter(|_| !given) {
            match self.renew(&mut state, transport, challenge.clone()).await {
                Err(error) if basic.is_none() => return Err(error),
                Err(_) => {}
                Ok(()) => return Ok(true),
            }
        }
        match basic {
            // The same password a second time would only bring the account nearer to being locked.
            Some(_) if matches!(state.authorization, Authorization::Basic(_)) => Ok(false),
            Some(value) => {
                state.authorization = Authorization::Basic(value);
                state.generation += 1;
                Ok(true)
            }
            None if named("bearer").is_none() && named("basic").is_none() && !challenges.is_empty() => {
                Err(self.unknown(challenges))
            }
            None => Ok(false),
        }
    }

    /// What to say when the registry does not let us.
    pub(super) fn refused(&self, ticket: &Ticket, answer: Answer) -> PullError {
        let (repository, answer) = (self.key.repository.clone(), Box::new(answer));
        let no_identity = ticket.no_identity.clone();
        match self.label.as_ref().filter(|_| no_identity.is_none()) {
            Some(label) => {
                PullError::Unauthorized { repository, tried: vec![label.clone()], no_identity, answer }
            }
            None => PullError::NoCredential { repository, no_identity, answer },
        }
    }

    async fn renew(
        &self,
        state: &mut State,
        transport: &Transport,
        challenge: Challenge,
    ) -> Result<(), PullError> {
        let actions = match self.key.actions {
            Actions::Pull => "pull",
            Actions::PullAndPush => "pull,push",
        };
        let credential = self.credential(state);
        let repository = &self.key.repository;
        let request = TokenRequest {
            repository,
            actions: Some(actions),
            credential,
            label: self.label.as_deref().filter(|_| credential.is_some()),
            no_identity: state.no_identity(),
            challenge: &challenge,
            in_the_clear: self.way.endpoint.base().scheme() == "http",
            is_mirror: self.way.is_mirror,
        };
        self.shown.store(credential.is_some(), Ordering::Relaxed);
        let token = token::fetch(transport, &request).await?;
        state.authorization = Authorization::Bearer(token, challenge);
        state.generation += 1;
        Ok(())
    }

    fn unknown(&self, challenges: &[Challenge]) -> PullError {
        // Schemes are tokens of RFC 9110: letters, digits and a few signs, so they are safe to show.
        let offered: Vec<String> =
            challenges.iter().take(4).map(|challenge| challenge.scheme.chars().take(32).collect()).collect();
        PullError::UnknownChallenge { repository: self.key.repository.clone(), offered: offered.join(", ") }
    }
}

impl State {
    fn grant(&self) -> Option<&Grant> {
        self.granted.as_ref()?.as_ref().ok()
    }

    fn no_identity(&self) -> Option<&Arc<IdentityError>> {
        self.granted.as_ref()?.as_ref().err()
    }
}

/// The header for a bearer token, if it can be sent.
pub(super) fn bearer(token: &Secret) -> Option<HeaderValue> {
    header("Bearer", token)
}

fn header(scheme: &str, value: &Secret) -> Option<HeaderValue> {
    // A token with a line break in it cannot be sent; the registry then says that it wants one.
    let mut header = HeaderValue::from_str(&format!("{scheme} {}", value.expose())).ok()?;
    header.set_sensitive(true);
    Some(header)
}
