//! Why there is no identity, in words for people.

use crate::registry::error::{Answer, Cause};

/// Why a cloud gave no credential for one of its registries.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A variable's value cannot be used.
    #[error("{name} {what}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What is wrong with it; begins with a verb.
        what: &'static str,
    },
    /// The pod was told to look nowhere.
    #[error("the pod has neither keys nor a role, and {name} keeps it from asking the instance")]
    Nowhere {
        /// The variable that says so.
        name: &'static str,
    },
    /// A file that a variable names cannot be read.
    #[error("cannot read {path}, which {name} names")]
    File {
        /// The file.
        path: String,
        /// The variable.
        name: &'static str,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// A service is not there, or not to be reached from here.
    #[error("cannot reach {service} at {host}")]
    Unreachable {
        /// What was asked, in words.
        service: &'static str,
        /// Where.
        host: String,
        /// The network's reason.
        #[source]
        source: Cause,
    },
    /// A service did not answer in time.
    #[error("{service} at {host} did not answer in time")]
    Silent {
        /// What was asked, in words.
        service: &'static str,
        /// Where.
        host: String,
    },
    /// A service said no; the words are its own.
    #[error("{service} at {host} gave nothing for {who}")]
    Refused {
        /// What was asked, in words.
        service: &'static str,
        /// Where.
        host: String,
        /// Who asked: the role, the client, the pod.
        who: String,
        /// What it answered.
        #[source]
        answer: Box<Answer>,
    },
    /// An answer that is none.
    #[error("{service} at {host} sent {what}")]
    Protocol {
        /// What was asked, in words.
        service: &'static str,
        /// Where.
        host: String,
        /// What came instead of an answer.
        what: &'static str,
    },
}

impl IdentityError {
    /// The error with all its causes on one line.
    #[must_use]
    pub fn in_words(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}
