//! What can go wrong between a mirror and a file, in words for people.
//!
//! Addresses are shown without name, password and query: a mirror may redirect to one that is signed.

use reqwest::Url;

use crate::registry::{Answer, Cause, FileError, SettingsError};

/// Why a file of a mirror could not be had.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The address of the mirror cannot be used. It is not shown, since it may hold a password.
    #[error("the address of the mirror {what}")]
    Address {
        /// What is wrong with it.
        what: &'static str,
    },
    /// No client could be made of the settings.
    #[error(transparent)]
    Settings(SettingsError),
    /// What is no name of a file or folder.
    #[error("{name:?} is no name of a file on a mirror")]
    Name {
        /// The name, cut.
        name: String,
    },
    /// The mirror speaks plain HTTP, which was not allowed for it.
    #[error("the mirror {url} is spoken to in plain HTTP, which is not allowed")]
    PlainHttp {
        /// The address.
        url: String,
        /// Host and port, to allow it for.
        host: String,
    },
    /// A redirect leads out of TLS.
    #[error("{url} redirects to {target}, which is plain HTTP")]
    Downgrade {
        /// What was asked for.
        url: String,
        /// Where it leads.
        target: String,
    },
    /// The mirror does not have it.
    #[error("the mirror has no {url}")]
    NotFound {
        /// What was asked for.
        url: String,
        /// What the mirror answered.
        #[source]
        answer: Box<Answer>,
    },
    /// Any other answer that is no success.
    #[error("cannot get {url}")]
    Refused {
        /// What was asked for.
        url: String,
        /// What the mirror answered.
        #[source]
        answer: Box<Answer>,
    },
    /// An answer that breaks the protocol.
    #[error("the answer to {url} breaks the protocol: {what}")]
    Protocol {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// More than is taken of such a file.
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The content is not what the server itself says it is.
    #[error("{url} is damaged: what came is not what the server's checksum says")]
    Damaged {
        /// What was asked for.
        url: String,
    },
    /// The certificate of the server is not trusted: none of the known authorities signed it.
    #[error("the certificate for {url} is signed by no known authority")]
    UnknownIssuer {
        /// What was asked for.
        url: String,
    },
    /// No encrypted connection came about for another reason.
    #[error("no TLS connection for {url}")]
    Tls {
        /// What was asked for.
        url: String,
        /// What the TLS library says.
        #[source]
        source: Cause,
    },
    /// The server could not be reached.
    #[error("cannot connect for {url}")]
    Connect {
        /// What was asked for.
        url: String,
        /// The network's reason.
        #[source]
        source: Cause,
    },
    /// The server did not answer in time, or sent too slowly.
    #[error("{url} did not come in time")]
    Timeout {
        /// What was asked for.
        url: String,
    },
    /// The connection broke, more often than is put up with.
    #[error("the connection broke while {url} came")]
    Broken {
        /// What was asked for.
        url: String,
        /// The network's reason.
        #[source]
        source: Cause,
    },
    /// The file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl MirrorError {
    /// Whether the mirror said that there is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// An address without what must not be seen.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_name_password_and_query() {
        let url = Url::parse("https://user:hunter2@a.test/osv/x?signature=hunter2#y").expect("a URL");
        assert_eq!(shown(&url), "https://a.test/osv/x");
    }
}
