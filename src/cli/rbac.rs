//! `kubectl clarity rbac`: rights for scans, as YAML or applied.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::Exit;
use super::access::AccessArgs;
use super::errors::Explained;
use super::kept::{is_subdomain, label};
use super::ui;
use crate::cluster::{self, ApiError, Connection, Refusal};
use crate::report::text::wrap;
use crate::roles::{Purpose, Remarks, RoleObject, RoleSettings, Subject, apply, objects, remarks};

/// Columns of the comments.
const WIDTH: u16 = 78;
/// Longest name: bindings are named after their role and subject.
const MAX_NAME: usize = 100;

/// Flags of `rbac`.
#[derive(Debug, Args)]
pub(super) struct RbacArgs {
    /// What the rights are for
    #[arg(value_name = "PURPOSE")]
    purpose: Purpose,
    /// Namespace that is scanned or looked at; that of the context without it
    #[arg(short, long, value_name = "NAME", value_parser = label)]
    namespace: Option<String>,
    /// Namespace of the ConfigMaps with what was read and found [default: none for scan and scan-all, else the namespace]
    #[arg(long, value_name = "NAME", value_parser = label)]
    state_namespace: Option<String>,
    /// Namespace in which scanner pods run (scan --job-namespace): in those that are scanned nothing may be created then, and
    /// Secrets may be read
    #[arg(long, value_name = "NAME", value_parser = label)]
    job_namespace: Option<String>,
    /// Name of the roles, and of the ServiceAccount of a runner
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Apply the objects to the cluster, and say what has changed; without it they are printed
    #[arg(long)]
    apply: bool,
}

/// Who gets the rights. `--user` is kubectl's own flag, for who asks.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct SubjectArgs {
    /// User that gets the rights
    #[arg(id = "for-user", long = "for-user", value_name = "USER")]
    user: Option<String>,
    /// Group that gets the rights
    #[arg(id = "for-group", long = "for-group", value_name = "GROUP")]
    group: Option<String>,
    /// ServiceAccount that gets the rights
    #[arg(id = "for-service-account", long = "for-service-account", value_name = "NAMESPACE:NAME", value_parser = account)]
    service_account: Option<Subject>,
}

impl ValueEnum for Purpose {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Scan => "scan one namespace",
            Self::ScanAll => "scan all namespaces",
            Self::Runner => "a ServiceAccount for detached scans of one namespace",
            Self::RunnerAll => "the same for scans of all namespaces",
            Self::Viewer => "look at scans and their reports, and start none",
        };
        Some(PossibleValue::new(self.word()).help(help))
    }
}

/// Rights that cannot be given so.
#[derive(Debug, thiserror::Error)]
pub(super) enum RbacError {
    /// A runner has its own account.
    #[error("the rights of a runner are those of its own ServiceAccount")]
    OfRunner,
}

fn name(text: &str) -> Result<String, String> {
    let is_name = is_subdomain(text) && text.len() <= MAX_NAME;
    let wrong = || "expected a name of lower-case letters, digits, dashes and dots".to_owned();
    if is_name { Ok(text.to_owned()) } else { Err(wrong()) }
}

fn account(text: &str) -> Result<Subject, String> {
    let wrong = || "expected NAMESPACE:NAME".to_owned();
    let (namespace, name) = text.split_once(':').ok_or_else(wrong)?;
    let namespace = label(namespace).map_err(|_| wrong())?;
    if !is_subdomain(name) {
        return Err(wrong());
    }
    Ok(Subject::ServiceAccount { namespace, name: name.to_owned() })
}

impl SubjectArgs {
    fn complete(self) -> Option<Subject> {
        let Self { user, group, service_account } = self;
        user.map(Subject::User).or(group.map(Subject::Group)).or(service_account)
    }
}

/// Prints the objects, or applies them.
pub(super) async fn run(args: RbacArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let RbacArgs { purpose, namespace, state_namespace, job_namespace, name, subject, apply } = args;
    let subject = subject.complete();
    if subject.is_some() && purpose.is_of_runner() {
        return Err(RbacError::OfRunner.into());
    }
    // A cluster is not needed for printing where the namespace is said.
    let connection = match &namespace {
        Some(_) if !apply => None,
        _ => Some(cluster::connect(&access.complete()).await?),
    };
    let of_context = || connection.as_ref().map(|connection| connection.namespace.clone());
    let namespace = namespace.or_else(of_context).unwrap_or_else(|| "default".to_owned());
    let name = name.unwrap_or_else(|| purpose.default_name().to_owned());
    let settings = RoleSettings { name, namespace, state_namespace, job_namespace, subject };
    let (objects, remarks) = (objects(purpose, &settings), remarks(purpose, &settings));
    match connection.filter(|_| apply) {
        None => ui::data(None, &yaml(&objects, &remarks))?,
        Some(connection) => apply_all(&connection, &objects, &remarks).await?,
    }
    Ok(Exit::Passed)
}

/// The documents, with what there is to say before them.
fn yaml(objects: &[RoleObject], remarks: &Remarks) -> String {
    let Remarks { what, dangers, optional, next } = remarks;
    let mut comments = vec![wrap(what, 0, Some(WIDTH))];
    comments.extend(dangers.iter().chain(next).map(|words| wrap(words, 0, Some(WIDTH))));
    let left_out = optional.iter().map(|words| wrap(words, 2, Some(WIDTH)));
    comments.push(std::iter::once("What can be left out:\n".to_owned()).chain(left_out).collect());
    let comments = comments.join("\n");
    let mut lines: Vec<String> =
        comments.lines().map(|line| format!("# {line}").trim_end().to_owned()).collect();
    for object in objects {
        lines.push("---".to_owned());
        lines.push(object.to_yaml().trim_end().to_owned());
    }
    lines.join("\n") + "\n"
}

async fn apply_all(
    connection: &Connection,
    objects: &[RoleObject],
    remarks: &Remarks,
) -> Result<(), Explained> {
    for words in remarks.dangers.iter().chain(&remarks.next) {
        ui::say(&format!("note: {words}"));
    }
    for object in objects {
        let change = apply(&connection.client, object).await.map_err(explained)?;
        let place =
            object.namespace().map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
        ui::data(None, &format!("{} {}{place}: {change}\n", object.kind(), object.name()))?;
    }
    Ok(())
}

fn explained(error: ApiError) -> Explained {
    let hint = match &error.refusal {
        Refusal::NotFound(text) => {
            let namespace = text.strip_prefix("namespaces \"").and_then(|rest| rest.split('"').next());
            namespace.map(|namespace| format!("make it first: kubectl create namespace {namespace}"))
        }
        Refusal::Conflict(_) => {
            Some("somebody else has set it to something else; look at it, or take another --name".to_owned())
        }
        _ => None,
    };
    hint.into_iter().fold(error.into(), Explained::hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_end_a_comment_are_none() {
        for wrong in ["", "a\nb", "A", "a b", "-a", "a.b", &"a".repeat(64)] {
            assert!(label(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["", "a\nb", "A", "a/b", &"a".repeat(101)] {
            assert!(name(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["", "a", ":a", "a:", "a:b:c", "a.b:c"] {
            assert!(account(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn comments_and_documents_are_one_file() {
        let settings = RoleSettings {
            state_namespace: Some("clarity-system".to_owned()),
            ..RoleSettings::new(Purpose::Runner, "shop")
        };
        let text = yaml(&objects(Purpose::Runner, &settings), &remarks(Purpose::Runner, &settings));
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }
}
