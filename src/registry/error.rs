//! What can go wrong between asking for an image and having it, in words for people.
//!
//! Every error names the repository and, where another host is to blame, that host. Answers of registries are hostile
//! text: they are cut, stripped of control characters and of every secret that was sent.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use super::answer::Answer;
pub(super) use super::answer::{one_line, without};
use super::identity::IdentityError;
use super::manifest::ManifestError;
use crate::image::{Digest, Repository};

/// Why an image, or a part of it, could not be read from its registry (or sent to it).
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry knows us or not, but does not let us.
    #[error("{} refused {} for {repository}{}", repository.registry, Tried(tried), NoIdentity(no_identity))]
    Unauthorized {
        /// The repository.
        repository: Repository,
        /// Which credentials were shown, in words.
        tried: Vec<String>,
        /// Why the registry's cloud gave none.
        no_identity: Option<Arc<IdentityError>>,
        /// What it answered last.
        #[source]
        answer: Box<Answer>,
    },
    /// No credential is for this repository, and the registry wants one.
    #[error("no credential matches {repository}{}", NoIdentity(no_identity))]
    NoCredential {
        /// The repository.
        repository: Repository,
        /// Why the registry's cloud gave none.
        no_identity: Option<Arc<IdentityError>>,
        /// What the registry answered to the anonymous request.
        #[source]
        answer: Box<Answer>,
    },
    /// The registry asks for a way to authenticate that is unknown here.
    #[error("{} asks for an authentication that is not supported ({offered}) for {repository}", repository.registry)]
    UnknownChallenge {
        /// The repository.
        repository: Repository,
        /// The schemes that it offers.
        offered: String,
    },
    /// The registry's token service gave no token.
    #[error(
        "the token service {service} gave no token for {repository} and {}{}",
        Tried(tried),
        NoIdentity(no_identity)
    )]
    TokenService {
        /// The repository.
        repository: Repository,
        /// Host of the token service.
        service: String,
        /// Which credentials were shown to it, in words; empty if none.
        tried: Vec<String>,
        /// Why the registry's cloud gave none.
        no_identity: Option<Arc<IdentityError>>,
        /// Why not.
        #[source]
        source: Box<TokenError>,
    },
    /// The registry does not have it (any more).
    #[error("{part} is not in {repository}")]
    NotFound {
        /// The repository.
        repository: Repository,
        /// What was asked for.
        part: Part,
        /// What the registry answered.
        #[source]
        answer: Box<Answer>,
    },
    /// The registry asks for more patience than there is.
    #[error("{host} has had too many requests, the one for {repository} among them{}", Wait(*wait))]
    RateLimited {
        /// The host that said so.
        host: String,
        /// The repository.
        repository: Repository,
        /// How long it wants us to wait, if it said so.
        wait: Option<Duration>,
        /// What it answered.
        #[source]
        answer: Box<Answer>,
    },
    /// Any other answer that is no success.
    #[error("{host} turned down {part} of {repository}")]
    Refused {
        /// The host that said so.
        host: String,
        /// The repository.
        repository: Repository,
        /// What was asked for.
        part: Part,
        /// What it answered.
        #[source]
        answer: Box<Answer>,
    },
    /// An answer that breaks the protocol.
    #[error("{host} broke the protocol over {part} of {repository}: {what}")]
    Protocol {
        /// The host that did so.
        host: String,
        /// The repository.
        repository: Repository,
        /// What was asked for.
        part: Part,
        /// What is wrong with the answer.
        what: &'static str,
    },
    /// The content is not what its digest says.
    #[error("{part} of {repository} is damaged: what came has the digest {found}")]
    DigestMismatch {
        /// The repository.
        repository: Repository,
        /// What was read; names the expected digest.
        part: Part,
        /// The digest of what came.
        found: Digest,
    },
    /// The content is not as long as its descriptor says.
    #[error("{part} of {repository} is damaged: it should have {expected} bytes and has {found}")]
    SizeMismatch {
        /// The repository.
        repository: Repository,
        /// What was read.
        part: Part,
        /// Size by the descriptor.
        expected: u64,
        /// Bytes that came or were announced; at least that many.
        found: u64,
    },
    /// More than is read of such a thing.
    #[error("{part} of {repository} is larger than {limit} bytes")]
    TooLarge {
        /// The repository.
        repository: Repository,
        /// What was read.
        part: Part,
        /// The limit in bytes.
        limit: u64,
    },
    /// The manifest, index or config is none that describes a runnable image.
    #[error("cannot use {part} of {repository}")]
    Manifest {
        /// The repository.
        repository: Repository,
        /// What was read.
        part: Part,
        /// What is wrong with it.
        #[source]
        source: Box<ManifestError>,
    },
    /// The layer lies outside of the registry, at an address that the image names.
    #[error("{part} of {repository} lies outside of the registry, at {address}, which is not asked")]
    ForeignLayer {
        /// The repository.
        repository: Repository,
        /// The layer.
        part: Part,
        /// Host of the first address.
        address: String,
    },
    /// The host's certificate is not trusted: none of the known authorities signed it.
    #[error("the certificate of {host} for {repository} is signed by no known authority")]
    UnknownIssuer {
        /// The host.
        host: String,
        /// The repository.
        repository: Repository,
    },
    /// The host wants a certificate of the client, and was shown none, or one that it does not know.
    #[error("{host} takes only clients with a certificate that it knows, for {repository}")]
    ClientCertificate {
        /// The host.
        host: String,
        /// The repository.
        repository: Repository,
        /// What the TLS library says.
        #[source]
        source: Cause,
    },
    /// No encrypted connection came about for another reason.
    #[error("no TLS connection to {host} for {repository}")]
    Tls {
        /// The host.
        host: String,
        /// The repository.
        repository: Repository,
        /// What the TLS library says.
        #[source]
        source: Cause,
    },
    /// The host speaks plain HTTP where TLS was expected.
    #[error("{host} speaks plain HTTP, which is not allowed for {repository}")]
    PlainHttp {
        /// The host.
        host: String,
        /// The repository.
        repository: Repository,
    },
    /// The host could not be reached.
    #[error("cannot reach {host} for {repository}")]
    Connect {
        /// The host.
        host: String,
        /// The repository.
        repository: Repository,
        /// The network's reason.
        #[source]
        source: Cause,
    },
    /// The host did not answer in time.
    #[error("{host} did not send {part} of {repository} in time")]
    Timeout {
        /// The host.
        host: String,
        /// The repository.
        repository: Repository,
        /// What was asked for.
        part: Part,
    },
    /// The connection broke, more often than is put up with.
    #[error("the connection to {host} broke while it sent {part} of {repository}")]
    Broken {
        /// The host.
        host: String,
        /// The repository.
        repository: Repository,
        /// What was asked for.
        part: Part,
        /// The network's reason.
        #[source]
        source: Cause,
    },
    /// The person's own configuration forbids it.
    #[error("{repository} is blocked by the configuration of registries")]
    Blocked {
        /// The repository.
        repository: Repository,
    },
    /// Neither a mirror nor the registry gave it.
    #[error("no mirror gave it ({mirrors}), nor the registry itself")]
    AfterMirrors {
        /// What each mirror said, in a few words.
        mirrors: String,
        /// What the registry itself said.
        #[source]
        origin: Box<PullError>,
    },
    /// The name of the repository cannot be turned into an address.
    #[error("{repository} is not the address of a repository")]
    Address {
        /// The repository.
        repository: Repository,
    },
    /// The download was given up before its end by the one who read it, or it had failed before.
    #[error("the download of {part} of {repository} was stopped")]
    Stopped {
        /// The repository.
        repository: Repository,
        /// What was read.
        part: Part,
    },
}

/// Why a token service gave no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It said no; the words are its own.
    #[error(transparent)]
    Refused(#[from] Answer),
    /// The registry names no address of a token service.
    #[error("the registry names no usable address of it")]
    Realm,
    /// Credentials would have to travel in the clear.
    #[error("it speaks plain HTTP, and no credentials are sent that way")]
    PlainHttp,
    /// The answer is too long.
    #[error("its answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer holds no token.
    #[error("its answer holds no token")]
    NoToken,
}

/// What was being read or sent, in words: `layer sha256:…`. Shared, so that errors stay small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part(Arc<str>);

/// The innermost reason of a failed request. The layers above it say only that a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(String);

struct Tried<'a>(&'a [String]);

struct NoIdentity<'a>(&'a Option<Arc<IdentityError>>);

struct Wait(Option<Duration>);

impl PullError {
    /// What the registry itself said, whatever its mirrors did.
    #[must_use]
    pub fn at_origin(&self) -> &Self {
        match self {
            Self::AfterMirrors { origin, .. } => origin.at_origin(),
            other => other,
        }
    }

    /// Joins what mirrors said before. That something is not there stays what it is: it is asked for by many.
    pub(super) fn after_mirrors(mut self, mirrors: &[String]) -> Self {
        if mirrors.is_empty() {
            return self;
        }
        let words = mirrors.join("; ");
        if let Self::NotFound { answer, .. } = &mut self {
            answer.text = one_line(&format!("{} (mirrors: {words})", answer.text));
            return self;
        }
        Self::AfterMirrors { mirrors: words, origin: Box::new(self) }
    }

    /// Whether no connection came about at all.
    pub(super) fn is_no_connection(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::Tls { .. } | Self::UnknownIssuer { .. } | Self::PlainHttp { .. }
        )
    }

    /// Whether another credential might do better.
    pub(super) fn may_be_the_credential(&self) -> bool {
        match self {
            Self::Unauthorized { .. }
            | Self::NoCredential { .. }
            | Self::NotFound { .. }
            | Self::UnknownChallenge { .. } => true,
            Self::TokenService { source, .. } => {
                matches!(**source, TokenError::Refused(Answer { status: 400..500, .. }) | TokenError::NoToken)
            }
            _ => false,
        }
    }
}

impl Cause {
    /// The innermost error of a chain.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut innermost = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        Self(one_line(&innermost.to_string()))
    }

    /// A reason of our own.
    pub(crate) fn saying(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

impl Error for Cause {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Part {
    /// A manifest or index, by tag or digest.
    pub(super) fn manifest(name: &str) -> Self {
        Self(format!("manifest {name}").into())
    }

    /// An image configuration.
    pub(super) fn config(digest: &Digest) -> Self {
        Self(format!("config {digest}").into())
    }

    /// A layer.
    pub(super) fn layer(digest: &Digest) -> Self {
        Self(format!("layer {digest}").into())
    }

    /// A blob that is being sent.
    pub(super) fn upload(digest: &Digest) -> Self {
        Self(format!("upload of {digest}").into())
    }

    /// A token of a token service.
    pub(super) fn token() -> Self {
        Self("a token".into())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("an anonymous request"),
            [only] => write!(f, "the credentials of {only}"),
            several => write!(f, "the credentials of {}", several.join(", then of ")),
        }
    }
}

impl fmt::Display for NoIdentity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(error) => write!(f, "; and there is no cloud identity: {}", error.in_words()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(wait) => write!(f, ", and it asks to wait {} s", wait.as_secs()),
            None => Ok(()),
        }
    }
}

/// An error with its causes, as one sentence.
pub(crate) fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        next = cause.source();
    }
    words
}
