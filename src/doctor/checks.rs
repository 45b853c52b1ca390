//! What is made of what was seen. Pure.

use jiff::Timestamp;

use super::{AdvisoriesHere, Check, in_words, scope_in_flags, scope_in_words};
use crate::cluster::{ApiError, Refusal, Writers};
use crate::database::{STALE, days};
use crate::facts::{Facts, Version};
use crate::image::Reference;

/// The first version of Kubernetes whose Jobs label their pods as is needed here.
const OLDEST: Version = Version { major: 1, minor: 27 };
/// The first version in which images can be mounted, behind a gate.
const GATED: Version = Version { major: 1, minor: 33 };
/// The first version in which they can without.
const MOUNTS: Version = Version { major: 1, minor: 35 };
/// Names of nodes, namespaces and subjects in one line.
const NAMED: usize = 3;

const SERVER: &str = "API server";
const RIGHTS: &str = "rights";
const EVENTS: &str = "events";
const SECRETS: &str = "pull secrets";
const VOLUMES: &str = "image volumes";
const SECURITY: &str = "pod security";
const STATE: &str = "state namespace";
const WRITERS: &str = "who writes there";
const RUNNER: &str = "runner";
const IMAGE: &str = "scanner image";
const ADVISORIES: &str = "advisories";

fn some_of(items: &[String]) -> String {
    match items.len().saturating_sub(NAMED) {
        0 => items.join(", "),
        others => format!("{} and {others} more", items[..NAMED].join(", ")),
    }
}

pub(super) fn unreachable(error: &ApiError, server: &str) -> Check {
    let fix = match &error.refusal {
        Refusal::Unauthenticated(_) => "log in again; check with: kubectl auth whoami",
        Refusal::Unreachable(_) => "is the cluster up, and is it the one you mean? kubectl config get-contexts",
        _ => "see whether kubectl reaches it: kubectl version",
    };
    Check::fail(SERVER, format!("{server}: {}", in_words(error)), fix)
}

pub(super) fn server(version: &str, server: &str) -> Check {
    let said = format!("{version} at {server}");
    match Version::parse(version) {
        Some(number) if number < OLDEST => Check::fail(
            SERVER,
            format!("{said} is older than {OLDEST}"),
            format!("Kubernetes {OLDEST} or later is needed"),
        ),
        Some(_) => Check::ok(SERVER, said),
        None => Check::warning(SERVER, format!("{said}: not a known form of version"), "scan, and see"),
    }
}

pub(super) fn no_namespace(namespace: &str) -> Check {
    Check::fail(
        "namespace",
        format!("{namespace:?} is not there"),
        "name one that is: -n NAME; see which there are: kubectl get namespaces",
    )
}

/// `elsewhere` is where scanner pods run, if not beside the workloads.
pub(super) fn rights(missing: &[String], namespace: Option<&str>, elsewhere: Option<&str>) -> Check {
    let scope = scope_in_words(namespace);
    if missing.is_empty() {
        return Check::ok(RIGHTS, format!("all that a scan of {scope} needs"));
    }
    let purpose = match namespace {
        Some(namespace) => format!("scan -n {namespace}"),
        None => "scan-all".to_owned(),
    };
    let flag = elsewhere.map_or_else(String::new, |name| format!(" --job-namespace {name}"));
    // Each one is named: whoever gives them wants to know.
    let place =
        namespace.map_or_else(|| " in all namespaces".to_owned(), |name| format!(" in namespace {name:?}"));
    let missing: Vec<&str> =
        missing.iter().map(|right| right.strip_suffix(place.as_str()).unwrap_or(right)).collect();
    Check::fail(
        RIGHTS,
        format!("missing for a scan of {scope}: {}", missing.join(", ")),
        format!("an administrator gives them: kubectl clarity rbac {purpose}{flag} --for-user USER --apply"),
    )
}

/// Whether pull secrets may be read, as they must be to be copied to where scanner pods run.
pub(super) fn pull_secrets(may_be_read: bool, namespace: Option<&str>) -> Check {
    let scope = scope_in_words(namespace);
    if may_be_read {
        return Check::ok(SECRETS, format!("those of {scope} can be read and copied"));
    }
    Check::warning(
        SECRETS,
        format!("no right to get secrets in {scope}: private images are read without their credentials"),
        "let scanner pods run beside the workloads, without --job-namespace; or have the right given",
    )
}

pub(super) fn events(lacking: &[&str]) -> Check {
    if lacking.is_empty() {
        return Check::ok(EVENTS, "can be read: what keeps a pod from starting is said at once");
    }
    Check::warning(
        EVENTS,
        format!(
            "no right to {} events: a refused or unschedulable pod is reported late",
            lacking.join(" and ")
        ),
        "the roles of kubectl clarity rbac scan have it",
    )
}

pub(super) fn image_volumes(facts: &Facts) -> Check {
    let upgrade = format!(
        "images are streamed from their registries instead; to mount them: Kubernetes {MOUNTS}, containerd 2.1 or CRI-O 1.31"
    );
    if let Some(server) = facts.server.filter(|server| *server < GATED) {
        return Check::warning(VOLUMES, format!("Kubernetes {server} mounts no images"), upgrade);
    }
    if facts.nodes.is_empty() {
        return Check::warning(
            VOLUMES,
            "no right to list nodes: it is tried whether they mount images",
            "nothing has to be done; a ClusterRole with list on nodes saves what is tried in vain",
        );
    }
    let able = facts.nodes.values().filter(|node| node.closed.is_none()).count();
    let all = facts.nodes.len();
    let closed: Vec<String> = facts
        .nodes
        .iter()
        .filter_map(|(name, node)| Some(format!("{name}: {}", node.closed.as_ref()?)))
        .collect();
    if able == 0 {
        return Check::warning(VOLUMES, format!("no node takes them: {}", some_of(&closed)), upgrade);
    }
    if let Some(server) = facts.server.filter(|server| *server < MOUNTS) {
        return Check::warning(
            VOLUMES,
            format!("Kubernetes {server} has them behind the feature gate ImageVolume; it is tried"),
            "switch the gate on, or let images be streamed, as is done without it",
        );
    }
    if able < all {
        return Check::warning(
            VOLUMES,
            format!("{able} of {all} nodes take them; {}", some_of(&closed)),
            "images of the other nodes are streamed from their registries",
        );
    }
    let rootless = facts.nodes.values().filter(|node| node.without_user_namespaces.is_some()).count();
    if rootless > 0 {
        return Check::warning(
            VOLUMES,
            format!("{all} of {all} nodes take them, {rootless} without user namespaces"),
            "there the scanner runs as user 65532, and folders closed to it are streamed",
        );
    }
    Check::ok(VOLUMES, format!("{all} of {all} nodes take them"))
}

pub(super) fn pod_security(facts: &Facts, namespace: Option<&str>) -> Check {
    if facts.namespaces.is_empty() {
        let verb = if namespace.is_some() { "get" } else { "list" };
        return Check::warning(
            SECURITY,
            format!("no right to {verb} namespaces: it is tried what is admitted"),
            format!(
                "nothing has to be done; a ClusterRole with {verb} on namespaces saves what is tried in vain"
            ),
        );
    }
    let refusing: Vec<String> = facts
        .namespaces
        .keys()
        .filter(|name| facts.refuses_root_of_namespace(name).is_some())
        .cloned()
        .collect();
    if !refusing.is_empty() {
        return Check::warning(
            SECURITY,
            format!(
                "\"restricted\" of before {MOUNTS} in {}: the scanner runs as user 65532 there",
                some_of(&refusing)
            ),
            "folders closed to that user are streamed; or enforce a later version of the policy",
        );
    }
    let restricted = facts.namespaces.values().filter(|policy| policy.is_restricted).count();
    let detail = match (namespace, restricted) {
        (Some(_), 0) => "\"restricted\" is not enforced; the scanner would pass it".to_owned(),
        (Some(_), _) => "\"restricted\" is enforced, and the scanner passes it".to_owned(),
        (None, count) => {
            format!(
                "{count} of {} namespaces enforce \"restricted\"; the scanner passes it",
                facts.namespaces.len()
            )
        }
    };
    Check::ok(SECURITY, detail)
}

pub(super) fn no_state(usual: &str, namespace: Option<&str>) -> Check {
    let detail = format!("none: what is read is kept on this machine alone, as there is no readable {usual}");
    if namespace.is_some() {
        return Check::ok(STATE, detail);
    }
    Check::warning(
        STATE,
        detail,
        format!("detached scans of all namespaces need one: kubectl create namespace {usual}"),
    )
}

pub(super) fn state(state: &str, is_there: bool, lacking: &[&str]) -> Check {
    if !is_there {
        return Check::fail(
            STATE,
            format!("{state:?} is not there"),
            format!("kubectl create namespace {state}"),
        );
    }
    if lacking.is_empty() {
        return Check::ok(
            STATE,
            format!("{state:?}: you may keep there what is read, and read what others keep"),
        );
    }
    Check::warning(
        STATE,
        format!("{state:?}: no right to {} configmaps", lacking.join(", ")),
        format!(
            "an administrator gives it: kubectl clarity rbac scan --state-namespace {state} --for-user USER --apply"
        ),
    )
}

pub(super) fn writers(state: &str, writers: Result<&Writers, &ApiError>) -> Check {
    let look = format!("kubectl get rolebindings -n {state} -o wide");
    let writers = match writers {
        Ok(writers) => writers,
        Err(error) => {
            return Check::warning(WRITERS, format!("not known: {error}"), format!("who may, looks: {look}"));
        }
    };
    let unknown = match writers.unknown {
        0 => String::new(),
        count => format!("; {count} bindings could not be looked into"),
    };
    if writers.others.is_empty() && writers.unknown == 0 {
        let detail =
            "by bindings there nobody but roles of clarity; those of the whole cluster were not looked at";
        return Check::ok(WRITERS, detail);
    }
    let named = if writers.others.is_empty() { "nobody is known".to_owned() } else { some_of(&writers.others) };
    Check::warning(
        WRITERS,
        format!("{named} beside roles of clarity{unknown}: they decide what others see as read and found"),
        format!("if that is not meant, take it from them: {look}"),
    )
}

pub(super) fn runner(name: &str, home: &str, scope: Option<&str>, is_there: Option<bool>) -> Check {
    let purpose = match scope {
        Some(namespace) => format!("runner -n {namespace}"),
        None => format!("runner-all --state-namespace {home}"),
    };
    match is_there {
        Some(true) => Check::ok(
            RUNNER,
            format!("ServiceAccount {name} is in {home:?}, for scan {} --detach", scope_in_flags(scope)),
        ),
        Some(false) => Check::ok(
            RUNNER,
            format!(
                "none in {home:?}: detached scans start their pods at once; to have one: kubectl clarity rbac {purpose} --apply"
            ),
        ),
        None => Check::warning(
            RUNNER,
            format!("not known: no right to get serviceaccounts in namespace {home:?}"),
            "where there is one, name it: scan --detach --runner NAME",
        ),
    }
}

pub(super) fn scanner_image(reference: &str) -> Check {
    let Ok(parsed) = reference.parse::<Reference>() else {
        return Check::fail(
            IMAGE,
            format!("{reference:?} is no reference of an image"),
            "name another: --scanner-image REF",
        );
    };
    let is_moving = parsed.digest.is_none() && parsed.tag.as_deref().is_none_or(|tag| tag == "latest");
    if is_moving {
        return Check::warning(
            IMAGE,
            format!("{reference} may be another one tomorrow, and nodes keep what they have pulled"),
            "name a version or a digest: --scanner-image REF",
        );
    }
    Check::ok(IMAGE, format!("{reference}; whether nodes can pull it is seen by the first scan"))
}

pub(super) fn advisories(here: &AdvisoriesHere, now: Timestamp) -> Check {
    let update = "kubectl clarity db update";
    let status = match here {
        Ok(status) => status,
        Err(why) => return Check::fail(ADVISORIES, why.clone(), "name a folder: --db DIR"),
    };
    let damaged: Vec<String> =
        status.iter().filter(|one| one.header.is_err()).map(|one| one.name.clone()).collect();
    if !damaged.is_empty() {
        return Check::fail(ADVISORIES, format!("cannot be used: {}", some_of(&damaged)), update);
    }
    let oldest = status.iter().filter_map(|one| one.installed.as_of).min();
    let count = status.len();
    match oldest {
        _ if count == 0 => Check::warning(
            ADVISORIES,
            "none on this machine; the first scan fetches what it needs",
            format!("fetch them before: {update}"),
        ),
        None => Check::ok(ADVISORIES, format!("{count} indexes, which do not tell their age")),
        Some(oldest) => {
            let age = now.duration_since(oldest);
            let is_stale = std::time::Duration::try_from(age).is_ok_and(|age| age > STALE);
            let said = format!("{count} indexes, the oldest as of {} ago", days(age));
            if is_stale { Check::warning(ADVISORIES, said, update) } else { Check::ok(ADVISORIES, said) }
        }
    }
}
