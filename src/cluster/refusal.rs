//! What went wrong with a request to the API server, in words and by what can be done.

use std::fmt;

use kube::client::UpgradeConnectionError;

/// A request to the API server that did not succeed.
#[derive(Debug)]
pub struct ApiError {
    /// What was asked, for example `list pods in namespace "shop"`.
    pub action: String,
    /// Why it was not done.
    pub refusal: Refusal,
}

/// Why the API server did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The right is missing; the server's own sentence names user, verb, resource and namespace.
    Forbidden(String),
    /// A quota is used up.
    Quota(String),
    /// Admission (Pod Security, a webhook, a policy) said no.
    Admission(String),
    /// The credentials are not accepted.
    Unauthenticated(String),
    /// The object is not there.
    NotFound(String),
    /// An object of this name is there already.
    Conflict(String),
    /// The server cannot be reached.
    Unreachable(String),
    /// Anything else that the server or the connection said.
    Other(String),
}

impl ApiError {
    /// Puts a failed request in words.
    #[must_use]
    pub fn new(action: impl Into<String>, error: &kube::Error) -> Self {
        Self { action: action.into(), refusal: Refusal::of(error) }
    }

    /// Whether the right is missing, or nobody knows who asks.
    #[must_use]
    pub fn is_missing_right(&self) -> bool {
        matches!(self.refusal, Refusal::Forbidden(_) | Refusal::Unauthenticated(_))
    }

    /// Whether the server had trouble and did not refuse: the same request may succeed later, or have been carried
    /// out although its answer was lost.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self.refusal, Refusal::Unreachable(_) | Refusal::Other(_))
    }

    /// What a person can do about a missing right: how to see whether it is there.
    #[must_use]
    pub fn check(&self) -> Option<String> {
        let is_right = matches!(self.refusal, Refusal::Forbidden(_));
        is_right.then(|| format!("ask for the right, then check it: {}", can_i(&self.action)))
    }
}

impl Refusal {
    fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(status.code, &status.message, &status.reason),
            kube::Error::Service(_) | kube::Error::HyperError(_) => Self::of_transport(&causes(error)),
            // Client credentials are fetched by `kube` itself: exec plugins, token files, OIDC.
            kube::Error::Auth(_) => Self::Unauthenticated(causes(error)),
            // The answer to a request for a stream comes without its text.
            kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status)) => {
                Self::of_status(status.as_u16(), &format!("the server answered {status}: we cannot"), "")
            }
            other => Self::Other(causes(other)),
        }
    }

    /// Sorts a `Status` of the API server. Quota and admission share code 403 with missing rights; the server's
    /// text tells them apart (apiserver `admission.NewForbidden` against `responsewriters.Forbidden`).
    fn of_status(code: u16, message: &str, reason: &str) -> Self {
        let message = message.to_owned();
        match code {
            401 => Self::Unauthenticated(message),
            403 if message.contains("exceeded quota") || message.contains("failed quota") => {
                Self::Quota(message)
            }
            403 if message.contains(" cannot ") => Self::Forbidden(message),
            403 => Self::Admission(message),
            400 | 422
                if message.contains("admission webhook") || message.contains("ValidatingAdmissionPolicy") =>
            {
                Self::Admission(message)
            }
            404 => Self::NotFound(message),
            409 => Self::Conflict(message),
            _ if message.is_empty() => Self::Other(format!("the server answered {code} {reason}")),
            _ => Self::Other(message),
        }
    }

    fn of_transport(causes: &str) -> Self {
        let reached = causes.contains("certificate") || causes.contains("tls");
        if reached { Self::Other(causes.to_owned()) } else { Self::Unreachable(causes.to_owned()) }
    }

    /// The server's own text.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Forbidden(text)
            | Self::Quota(text)
            | Self::Admission(text)
            | Self::Unauthenticated(text)
            | Self::NotFound(text)
            | Self::Conflict(text)
            | Self::Unreachable(text)
            | Self::Other(text) => text,
        }
    }
}

/// The kubectl command that asks for the right to do this: `list pods in namespace "shop"`.
fn can_i(action: &str) -> String {
    let mut words = action.split_whitespace();
    let (verb, resource) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let resource = match resource.split_once('/') {
        // With a slash kubectl takes what follows for a name.
        Some((resource, subresource)) => format!("{resource} --subresource={subresource}"),
        None => resource.to_owned(),
    };
    let scope = match action.split('"').nth(1) {
        Some(namespace) => format!(" -n {namespace}"),
        None if action.contains("all namespaces") => " -A".to_owned(),
        None => String::new(),
    };
    format!("kubectl auth can-i {verb} {resource}{scope}")
}

/// An error and its causes as one sentence, each said once.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let this = error.to_string();
        if text.is_empty() {
            text = this;
        } else if !text.contains(&this) {
            text = format!("{text}: {this}");
        }
        next = error.source();
    }
    text
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, refusal } = self;
        match refusal {
            Refusal::Forbidden(_) => write!(f, "no right to {action}"),
            Refusal::Quota(_) => write!(f, "a quota does not let us {action}"),
            Refusal::Admission(_) => write!(f, "admission does not let us {action}"),
            Refusal::Unauthenticated(_) => {
                write!(f, "cannot {action}: the server does not accept our credentials")
            }
            Refusal::Unreachable(_) => write!(f, "cannot {action}: the server cannot be reached"),
            Refusal::NotFound(_) | Refusal::Conflict(_) | Refusal::Other(_) => write!(f, "cannot {action}"),
        }
    }
}

impl std::error::Error for ApiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.refusal)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_meanings_of_forbidden_are_told_apart() {
        let right = r#"pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "shop""#;
        let quota = r#"jobs.batch "c-1" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=1, limited: count/jobs.batch=1"#;
        let admission =
            r#"pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true"#;
        assert!(matches!(Refusal::of_status(403, right, "Forbidden"), Refusal::Forbidden(_)));
        assert!(matches!(Refusal::of_status(403, quota, "Forbidden"), Refusal::Quota(_)));
        assert!(matches!(Refusal::of_status(403, admission, "Forbidden"), Refusal::Admission(_)));
    }

    #[test]
    fn the_check_of_a_missing_right_is_a_command_that_can_be_pasted() {
        assert_eq!(can_i(r#"list pods in namespace "shop""#), "kubectl auth can-i list pods -n shop");
        let log = r#"get pods/log of pod clarity-1 in namespace "shop""#;
        assert_eq!(can_i(log), "kubectl auth can-i get pods --subresource=log -n shop");
        assert_eq!(can_i("list pods in all namespaces"), "kubectl auth can-i list pods -A");
        assert_eq!(can_i("list nodes"), "kubectl auth can-i list nodes");
    }

    #[test]
    fn a_webhook_that_denies_is_admission_whatever_its_code() {
        let denied = r#"admission webhook "policy.example.com" denied the request: no jobs on sundays"#;
        assert!(matches!(Refusal::of_status(400, denied, ""), Refusal::Admission(_)));
        assert!(matches!(Refusal::of_status(403, denied, ""), Refusal::Admission(_)));
    }
}
