//! Why an image was not read, in words and by what may help.

use crate::image::Digest;
use crate::registry::{PullError, in_words};
use crate::sbom::cyclonedx;
use crate::tree::ReadError;
use crate::wire::FailureKind;
use crate::worker::mount::MountError;

/// Why an image was not read.
#[derive(Debug, thiserror::Error)]
pub(in crate::worker) enum ImageError {
    /// The registry did not give it.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// Neither the running digest nor the tag is there.
    #[error("neither the digest that runs nor the tag is in the registry any more")]
    Gone(#[source] PullError),
    /// Only another image than the one that was asked for is to be had.
    #[error("{0}")]
    Another(String),
    /// The kubelet's mount is not there, or cannot be read.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A layer is damaged.
    #[error("layer {layer} is damaged")]
    Layer {
        layer: Digest,
        #[source]
        source: ReadError,
    },
    /// A file is too large for the memory there is.
    #[error("a file needs {0} bytes of memory")]
    NeedsMemory(u64),
    /// Its documents cannot be written.
    #[error("cannot write the SBOM")]
    Sbom(#[source] cyclonedx::WriteError),
    /// A defect of the scanner.
    #[error("the scanner itself failed on this image: {0}")]
    Internal(String),
}

impl ImageError {
    /// What may help.
    pub(in crate::worker) fn kind(&self) -> FailureKind {
        match self {
            Self::Pull(error) => pull_kind(error),
            Self::Gone(_) | Self::Another(_) => FailureKind::Gone,
            Self::Mount(error) => error.kind(),
            Self::Layer { .. } => FailureKind::Damaged,
            Self::NeedsMemory(bytes) => FailureKind::NeedsMemory(*bytes),
            Self::Sbom(_) | Self::Internal(_) => FailureKind::Other,
        }
    }

    /// The error with its causes as one sentence.
    pub(in crate::worker) fn in_words(&self) -> String {
        let words = in_words(self);
        match self {
            Self::Pull(
                PullError::NoCredential { no_identity: Some(_), .. }
                | PullError::Unauthorized { no_identity: Some(_), .. }
                | PullError::TokenService { no_identity: Some(_), .. },
            ) => words + "; an account that has one is named by --service-account NAME",
            _ => words,
        }
    }
}

fn pull_kind(error: &PullError) -> FailureKind {
    match error {
        PullError::Unauthorized { .. }
        | PullError::NoCredential { .. }
        | PullError::UnknownChallenge { .. }
        | PullError::ClientCertificate { .. }
        | PullError::TokenService { .. } => FailureKind::Unauthorized,
        PullError::NotFound { .. } => FailureKind::Gone,
        PullError::Manifest { .. } | PullError::ForeignLayer { .. } | PullError::Address { .. } => {
            FailureKind::Unsupported
        }
        PullError::DigestMismatch { .. } | PullError::SizeMismatch { .. } | PullError::TooLarge { .. } => {
            FailureKind::Damaged
        }
        PullError::UnknownIssuer { .. } => FailureKind::UnknownIssuer,
        PullError::RateLimited { .. }
        | PullError::Refused { .. }
        | PullError::Protocol { .. }
        | PullError::Tls { .. }
        | PullError::PlainHttp { .. }
        | PullError::Connect { .. }
        | PullError::Timeout { .. }
        | PullError::Broken { .. } => FailureKind::Unreachable,
        PullError::Stopped { .. } | PullError::Blocked { .. } => FailureKind::Other,
        PullError::AfterMirrors { origin, .. } => pull_kind(origin),
    }
}
