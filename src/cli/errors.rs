//! Errors in words: what failed, why, and what the person can do. Made once, here.

use std::error::Error;
use std::io::Write as _;

use super::Exit;
use super::attach::{self, AttachError};
use super::database::LocalError;
use super::detach::{self, DetachError};
use super::explain_auth::SubjectError;
use super::image::ImageError;
use super::input::InputError;
use super::match_sbom::FileError;
use super::network::AuthorityError;
use super::rbac::RbacError;
use super::reports::ReportError;
use super::rules::RuleError;
use super::sbom::SbomError;
use super::scans::WhichError;
use super::schedule::{CreateError, EditError, ScheduleNameError};
use super::stop::StopError;
use crate::cache::CacheError;
use crate::cluster::{ApiError, ConnectError, DiscoverError, Refusal};
use crate::database::DatabaseError;
use crate::job::CleanUpError;
use crate::mirror::MirrorError;
use crate::network::TravelError;
use crate::records::RecordError;
use crate::registry::{FetchError, PullError};
use crate::report::ignore::IgnoreError;
use crate::report::text::sanitize;
use crate::runner::RunnerError;
use crate::sbom::ReadError;
use crate::scan::ScanError;
use crate::schedule::ScheduleError;

/// An error ready to be printed.
#[derive(Debug)]
pub(super) struct Explained {
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
    exit: Exit,
}

impl Explained {
    /// What failed, and the error that made it fail with all its causes.
    pub(super) fn new(message: impl Into<String>, cause: &(dyn Error + 'static)) -> Self {
        let mut explained =
            Self { message: message.into(), causes: Vec::new(), hints: Vec::new(), exit: Exit::Error };
        explained.add_causes(Some(cause));
        explained
    }

    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut explained =
            Self { message: error.to_string(), causes: Vec::new(), hints: Vec::new(), exit: Exit::Error };
        explained.add_causes(error.source());
        explained
    }

    fn add_causes(&mut self, mut next: Option<&(dyn Error + 'static)>) {
        while let Some(cause) = next {
            let text = cause.to_string();
            let said =
                self.message.contains(&text) || self.causes.iter().any(|earlier| earlier.contains(&text));
            if !said {
                self.causes.push(text);
            }
            next = cause.source();
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The arguments make no sense.
    pub(super) fn of_usage(self) -> Self {
        Self { exit: Exit::Usage, ..self }
    }

    /// What helps against what a registry or the way to it said.
    fn hint_of_registry(self, error: Option<&PullError>) -> Self {
        match error.map(PullError::at_origin) {
            Some(PullError::UnknownIssuer { .. }) => self.hint(AUTHORITY),
            Some(PullError::ClientCertificate { .. }) => self.hint(CLIENT_CERTIFICATE),
            Some(PullError::Connect { .. } | PullError::Timeout { .. }) => self.hint(UNREACHED),
            Some(
                PullError::Unauthorized { .. }
                | PullError::NoCredential { .. }
                | PullError::TokenService { .. },
            ) => self.hint("log in with `docker login`"),
            Some(PullError::PlainHttp { host, .. }) => {
                self.hint(format!("if that is meant: --plain-http-registry {host}"))
            }
            _ => self,
        }
    }

    /// What failed and why, in one line.
    pub(super) fn in_words(&self) -> String {
        let words: Vec<&str> = std::iter::once(&self.message).chain(&self.causes).map(String::as_str).collect();
        words.join(": ")
    }

    /// Prints it on stderr and gives the exit code.
    pub(super) fn print(&self) -> Exit {
        let mut lines = vec![format!("error: {}", sanitize(&self.message))];
        lines.extend(self.causes.iter().map(|cause| format!("  cause: {}", sanitize(cause))));
        lines.extend(self.hints.iter().map(|hint| format!("  hint:  {}", sanitize(hint))));
        lines.push(String::new());
        // With stderr gone there is nobody to tell.
        let _ = std::io::stderr().write_all(lines.join("\n").as_bytes());
        self.exit
    }
}

/// What to try about a refusal of the API server.
fn api_hint(error: &ApiError) -> Option<String> {
    match &error.refusal {
        Refusal::Forbidden(_) => error.check(),
        Refusal::Escalation(_) => Some(
            "let somebody do it who has them, or who may bind and escalate roles, as cluster admins may"
                .to_owned(),
        ),
        Refusal::Unauthenticated(_) => Some("log in again; check with: kubectl auth whoami".to_owned()),
        Refusal::Unreachable(_) => {
            Some("is the cluster up, and is it the one you mean? kubectl config get-contexts".to_owned())
        }
        Refusal::Other(text) if text.contains("certificate") => {
            Some("give the authority of its certificate: --certificate-authority FILE".to_owned())
        }
        _ => None,
    }
}

impl From<ConnectError> for Explained {
    fn from(error: ConnectError) -> Self {
        let explained = Self::of(&error);
        match &error {
            ConnectError::NoKubeconfig(_) => explained
                .hint("name one with --kubeconfig FILE or in KUBECONFIG; in a pod its service account serves"),
            ConnectError::Kubeconfig { .. } => explained.hint("see what is in it: kubectl config view"),
            _ => explained,
        }
    }
}

impl From<ApiError> for Explained {
    fn from(error: ApiError) -> Self {
        api_hint(&error).into_iter().fold(Self::of(&error), Self::hint)
    }
}

impl From<CleanUpError> for Explained {
    fn from(error: CleanUpError) -> Self {
        match error {
            CleanUpError::Api(error) => error.into(),
            CleanUpError::Left(_) => Self::of(&error).hint("it ends by itself; or again: kubectl clarity stop"),
        }
    }
}

impl From<RunnerError> for Explained {
    fn from(error: RunnerError) -> Self {
        match error {
            RunnerError::Api(error) => error.into(),
            RunnerError::NoUid | RunnerError::Left { .. } => Self::of(&error),
        }
    }
}

impl From<RbacError> for Explained {
    fn from(error: RbacError) -> Self {
        Self::of(&error).hint("name that with --name NAME")
    }
}

impl From<DetachError> for Explained {
    fn from(error: DetachError) -> Self {
        Self::of(&error).hint(detach::hint(&error))
    }
}

impl From<ScheduleError> for Explained {
    fn from(error: ScheduleError) -> Self {
        Self::of(&error)
    }
}

impl From<ScheduleNameError> for Explained {
    fn from(error: ScheduleNameError) -> Self {
        let explained = Self::of(&error);
        match &error {
            ScheduleNameError::Unknown { .. } => {
                explained.hint("see which there are: kubectl clarity schedule list")
            }
            ScheduleNameError::Several { .. } => explained.hint("name one: -n NAMESPACE"),
        }
    }
}

impl From<CreateError> for Explained {
    fn from(error: CreateError) -> Self {
        let CreateError::Exists { name, namespace } = &error;
        let change = format!("change it: kubectl clarity schedule edit {name} -n {namespace}");
        Self::of(&error).hint(change)
    }
}

impl From<EditError> for Explained {
    fn from(error: EditError) -> Self {
        Self::of(&error)
    }
}

impl From<LocalError> for Explained {
    fn from(error: LocalError) -> Self {
        Self::of(&error).hint("a registry or a mirror serves: --db-source REF|URL")
    }
}

impl From<AuthorityError> for Explained {
    fn from(error: AuthorityError) -> Self {
        let explained = Self::of(&error);
        match &error {
            AuthorityError::Missing { namespace, .. } => {
                explained.hint(format!("see which there are: kubectl get configmaps -n {namespace}"))
            }
            AuthorityError::Key { .. } => explained.hint("name one: configmap:[NAMESPACE/]NAME/KEY"),
            AuthorityError::Offline(_) => explained,
        }
    }
}

impl From<TravelError> for Explained {
    fn from(error: TravelError) -> Self {
        let explained = Self::of(&error);
        match &error {
            TravelError::Identity(_) => explained.hint(
                "put both into a Secret in the namespaces of the pods, kubectl create secret tls NAME --cert FILE \
                 --key FILE, and name that: --registry-client-secret NAME",
            ),
            TravelError::Header { .. } => {
                explained.hint("take it out for scans: what pods show to registries is in pull secrets")
            }
            TravelError::TooLarge(_) => explained.hint(
                "leave out the registries that no image is from, and certificates of authorities that none needs",
            ),
        }
    }
}

impl From<AttachError> for Explained {
    fn from(error: AttachError) -> Self {
        let exit = if matches!(error, AttachError::Left(_)) { Exit::Interrupted } else { Exit::Error };
        let explained = Self { exit, ..Self::of(&error) };
        attach::hint(&error).into_iter().fold(explained, Self::hint)
    }
}

impl From<RecordError> for Explained {
    fn from(error: RecordError) -> Self {
        ReportError::from(error).into()
    }
}

impl From<WhichError> for Explained {
    fn from(error: WhichError) -> Self {
        Self::of(&error).hint("see which there are: kubectl clarity status")
    }
}

impl From<StopError> for Explained {
    fn from(error: StopError) -> Self {
        let explained = Self::of(&error);
        match &error {
            StopError::Which(_) => explained.hint("name one, or stop them all: kubectl clarity stop --all"),
            StopError::OfAnother { .. } => explained.hint("if it is meant: --yes"),
        }
    }
}

impl From<CacheError> for Explained {
    fn from(error: CacheError) -> Self {
        let explained = Self::of(&error);
        match &error {
            CacheError::Api(api) => api_hint(api).into_iter().fold(explained, Self::hint),
            CacheError::Open { .. } | CacheError::Read { .. } | CacheError::Write { .. } => explained,
        }
    }
}

impl From<ImageError> for Explained {
    fn from(error: ImageError) -> Self {
        let explained = Self::of(&error);
        match pull_error(&error).map(PullError::at_origin) {
            Some(
                PullError::Unauthorized { .. }
                | PullError::NoCredential { .. }
                | PullError::TokenService { .. },
            ) => explained.hint("log in with `docker login`, or give --username NAME --password-stdin"),
            other => explained.hint_of_registry(other),
        }
    }
}

impl From<DatabaseError> for Explained {
    fn from(error: DatabaseError) -> Self {
        let explained = Self::of(&error);
        match &error {
            DatabaseError::TooOld { .. } => {
                explained.hint("kubectl clarity db update, or a greater --max-db-age")
            }
            DatabaseError::Unknown(_) => explained.hint("see what there is: kubectl clarity db status"),
            DatabaseError::Write { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                explained.hint("make room, or choose another folder: --db DIR")
            }
            DatabaseError::Registry(error) | DatabaseError::Fetch(FetchError::Pull(error)) => {
                explained.hint_of_registry(Some(error))
            }
            DatabaseError::Mirror(MirrorError::UnknownIssuer { .. }) => explained.hint(AUTHORITY),
            DatabaseError::Mirror(MirrorError::PlainHttp { host, .. }) => {
                explained.hint(format!("if that is meant: --plain-http-registry {host}"))
            }
            _ => explained.hint_of_registry(pull_error(&error)),
        }
    }
}

impl From<RuleError> for Explained {
    fn from(error: RuleError) -> Self {
        let explained = Self::of(&error);
        match &error {
            RuleError::Ignore { source: IgnoreError::Form(_) | IgnoreError::Rule { .. }, .. } => {
                explained.hint(IGNORE_FORM)
            }
            _ => explained,
        }
    }
}

impl From<SbomError> for Explained {
    fn from(error: SbomError) -> Self {
        let explained = Self::of(&error);
        match &error {
            SbomError::Several { .. } => explained.hint("choose one: -c CONTAINER"),
            SbomError::Unread { target, namespace, .. } => {
                let namespace = namespace.as_ref().map(|name| format!(" -n {name}")).unwrap_or_default();
                explained.hint(format!(
                    "let a pod read it: kubectl clarity sbom {target}{namespace}, without --no-pods"
                ))
            }
            SbomError::Unknown(_) => explained.hint("see what was read: kubectl clarity cache list"),
            SbomError::NotRead { .. } => explained.hint("see what was tried with -v 1"),
            SbomError::NoContainer { .. } | SbomError::LeftOut { .. } | SbomError::Cache(_) => explained,
        }
    }
}

impl From<SubjectError> for Explained {
    fn from(error: SubjectError) -> Self {
        let explained = Self::of(&error).of_usage();
        match error {
            SubjectError::OfImage => explained.hint("name a pod, or leave --container out"),
            SubjectError::OfRunning => explained.hint("name an image, or leave --pull-secret out"),
            SubjectError::Unknown(_) => {
                explained.hint("for example cart-0, deploy/cart, registry.example.com/shop/cart:1.0")
            }
            SubjectError::NoContainer { .. } => Self { exit: Exit::Error, ..explained },
        }
    }
}

impl From<FileError> for Explained {
    fn from(error: FileError) -> Self {
        let explained = Self::of(&error);
        match &error {
            FileError::Input(InputError::Directory(path)) => {
                explained.hint(format!("name the files in it: {}/*.json", path.display()))
            }
            FileError::Input(InputError::Open { .. }) => explained,
            FileError::Document { source, .. } => match source {
                ReadError::Form(_) | ReadError::Format | ReadError::Version { .. } => {
                    explained.hint(WRITE_JSON_1).hint(WRITE_JSON_2)
                }
                ReadError::Empty => explained.hint("did the tool that should have written it end well?"),
                ReadError::Syntax(_) | ReadError::Json { .. } => {
                    explained.hint("it may be cut off or changed: write it once more")
                }
                ReadError::TooLarge | ReadError::TooMany { .. } => {
                    explained.hint("write one document for each image, without the list of files")
                }
            },
        }
    }
}

impl From<ReportError> for Explained {
    fn from(error: ReportError) -> Self {
        let explained = Self::of(&error);
        match &error {
            ReportError::Record(RecordError::None(_)) => {
                explained.hint("a scan leaves one: kubectl clarity scan")
            }
            ReportError::Record(
                RecordError::Unknown { .. } | RecordError::Ambiguous { .. } | RecordError::Damaged { .. },
            ) => explained.hint("see which there are: kubectl clarity report --list"),
            ReportError::Before(_) => explained
                .hint("name both: kubectl clarity diff BEFORE AFTER")
                .hint("see which there are: kubectl clarity report --list"),
            ReportError::Document { .. } => explained
                .hint("a report in a file is written by: kubectl clarity scan -o json --output-file FILE"),
            ReportError::Input(_) | ReportError::Record(_) => explained,
        }
    }
}

/// The shortest ignore file.
const IGNORE_FORM: &str = "an ignore file reads: {version: 1, ignore: [{id: CVE-2005-2541, reason: why}]}";

/// How to come by documents that are read.
const WRITE_JSON_1: &str = "with Syft: syft IMAGE -o cyclonedx-json, or -o spdx-json";
const WRITE_JSON_2: &str = "with Trivy: trivy image --format cyclonedx IMAGE, or --format spdx-json";

/// Against a certificate that nobody known has signed.
const AUTHORITY: &str = "give the authority of its certificate: --registry-ca FILE";

/// Against a registry that wants to know who is asking by a certificate.
const CLIENT_CERTIFICATE: &str =
    "name certificate and key in a hosts.toml, client = [[\"FILE\", \"FILE\"]]: --registry-config PATH";

/// Against a registry that does not answer.
const UNREACHED: &str = "if a proxy leads there: HTTPS_PROXY; if a mirror has it: --registry-config PATH";

/// What the registry or the way to it said, somewhere among the causes.
fn pull_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a PullError> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<PullError>() {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

impl Explained {
    /// A scan that gave no report. `server` is the address that was talked to.
    pub(super) fn of_scan(error: &ScanError, server: &str) -> Self {
        let explained = Self::of(error);
        match error {
            ScanError::Discover(DiscoverError::Api(api)) => {
                let explained = match api.refusal {
                    Refusal::Unreachable(_) => explained.hint(format!("the server's address is {server}")),
                    _ => explained,
                };
                match api_hint(api) {
                    Some(hint) => explained.hint(hint),
                    None => explained,
                }
            }
            ScanError::Discover(DiscoverError::NoNamespace(_)) => {
                explained.hint("see which there are: kubectl get namespaces")
            }
            ScanError::Discover(DiscoverError::NoPods(_)) => {
                explained.hint("choose another namespace with -n NAME, or all with -A")
            }
            ScanError::Discover(DiscoverError::NoTarget { namespace, .. }) => {
                explained.hint(format!("see what runs there: kubectl get pods -n {namespace}"))
            }
            ScanError::Start(api) => api_hint(api).into_iter().fold(explained, Self::hint),
            ScanError::TooLarge(..) => explained
                .hint("scan less at once, or with a runner: kubectl clarity scan --detach --runner NAME"),
            ScanError::Advisories(_) | ScanError::Random(_) | ScanError::Internal(_) => explained,
            ScanError::Interrupted { .. } | ScanError::Stopped { .. } => {
                Self { exit: Exit::Interrupted, ..explained }
            }
            ScanError::NotRemoved { scan, namespaces, source } => {
                let explained = Self { exit: Exit::Interrupted, ..explained };
                let explained = match source {
                    CleanUpError::Api(api) => api_hint(api).into_iter().fold(explained, Self::hint),
                    CleanUpError::Left(_) => explained,
                };
                namespaces.iter().fold(explained, |explained, namespace| {
                    explained
                        .hint(format!("kubectl delete jobs -n {namespace} -l kubectl-clarity.io/scan={scan}"))
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_repeats_its_effect_is_said_once() {
        let inner = std::io::Error::other("connection refused");
        let error = Explained::new("cannot connect: connection refused", &inner);
        assert!(error.causes.is_empty());
    }
}
