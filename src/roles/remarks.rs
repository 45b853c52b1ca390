//! What whoever gives rights should know of them, in words. Pure.

use super::{Purpose, RoleSettings};

/// What the rights are, what they amount to, and which can be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remarks {
    /// What one may do with them.
    pub what: String,
    /// What else they make possible.
    pub dangers: Vec<String>,
    /// Which can be left out, and what is lost then.
    pub optional: Vec<String>,
    /// What is to be done beside.
    pub next: Vec<String>,
}

/// What there is to say of these rights.
#[must_use]
pub fn remarks(purpose: Purpose, settings: &RoleSettings) -> Remarks {
    let what = match purpose {
        Purpose::Scan => format!("scan namespace {:?}: scan, plan, status, attach, stop", settings.namespace),
        Purpose::ScanAll => "scan all namespaces: scan -A, plan -A, status, attach, stop".to_owned(),
        Purpose::Runner => {
            format!("run as a runner and scan namespace {:?}: scan --detach, and schedules", settings.namespace)
        }
        Purpose::RunnerAll => {
            "run as a runner and scan all namespaces: scan -A --detach, and schedules".to_owned()
        }
        Purpose::Viewer => format!(
            "look at scans of namespace {:?} and what they have found: status, report --shared, schedule list; nothing can be changed",
            settings.namespace
        ),
    };
    Remarks {
        what: format!("Rights to {what}."),
        dangers: dangers(purpose, settings),
        optional: optional(purpose, settings),
        next: next(purpose, settings),
    }
}

fn dangers(purpose: Purpose, settings: &RoleSettings) -> Vec<String> {
    let namespace = &settings.namespace;
    let mut dangers = Vec::new();
    if let Some(jobs) = settings.elsewhere(purpose).filter(|_| purpose != Purpose::Viewer) {
        let all = if purpose.is_everywhere() {
            "all Secrets of the cluster, those of kube-system too: this is as much as an administrator has"
                .to_owned()
        } else {
            format!("all Secrets of namespace {namespace:?}")
        };
        dangers.push(format!(
            "Pull secrets are read to be copied, and there is no right to read only these: it reaches {all}."
        ));
        dangers.push(format!(
            "Who may create pods or Jobs in namespace {jobs:?}, or read its Secrets, reaches the copies of pull secrets while pods \
             that need them run."
        ));
        if purpose.is_of_runner() {
            dangers.push(format!(
                "Who may create pods or Jobs in namespace {:?} may run them as this ServiceAccount, and so has its rights.",
                if purpose.is_everywhere() { settings.state(purpose).unwrap_or(namespace) } else { namespace }
            ));
        }
    } else {
        dangers.push(of_jobs(purpose, settings));
    }
    if let Some(state) = settings.state(purpose) {
        dangers.push(if purpose == Purpose::Viewer {
            format!("All ConfigMaps in namespace {state:?} can be read, not only those of scans.")
        } else {
            format!(
                "Who can write ConfigMaps in namespace {state:?} decides what others see: lists of packages and reports \
                 are kept there, and taken for what was read."
            )
        });
    }
    dangers
}

/// What the rights make possible where pods run beside the workloads, or where only is looked.
fn of_jobs(purpose: Purpose, settings: &RoleSettings) -> String {
    let namespace = &settings.namespace;
    match purpose {
        Purpose::Scan => {
            "Who may create Jobs in a namespace reaches its Secrets and ServiceAccounts: a Job may mount the ones and run \
             as the others. Kubernetes has no smaller right."
                .to_owned()
        }
        Purpose::ScanAll => {
            "Who may create Jobs in all namespaces reaches all their Secrets and ServiceAccounts, those of kube-system too: \
             this is as much as an administrator has."
                .to_owned()
        }
        Purpose::Runner => format!(
            "Who may create pods or Jobs in namespace {namespace:?} may run them as this ServiceAccount, and so has its \
             rights; it reaches the Secrets and ServiceAccounts of the namespace, as they do already."
        ),
        Purpose::RunnerAll => format!(
            "This ServiceAccount reaches the Secrets and ServiceAccounts of all namespaces, and who may create pods or \
             Jobs in namespace {:?} may run them as it. A runner for all namespaces must live in a namespace that \
             tenants cannot write to.",
            settings.state(purpose).unwrap_or(namespace)
        ),
        Purpose::Viewer => {
            format!("The logs of all pods in namespace {namespace:?} can be read, not only those of scans.")
        }
    }
}

fn optional(purpose: Purpose, settings: &RoleSettings) -> Vec<String> {
    if purpose == Purpose::Viewer {
        return vec!["cronjobs: only for schedules".to_owned()];
    }
    let mut optional = vec![
        "events: without them a refused or unschedulable pod is reported late and in fewer words".to_owned(),
    ];
    if purpose.is_of_runner() {
        optional.push("delete on cronjobs: only for a schedule of one run, which removes itself".to_owned());
    } else {
        optional.push(
            "patch on jobs: without it who follows a scan is not told that it was stopped, and may start a pod once more"
                .to_owned(),
        );
    }
    if settings.elsewhere(purpose).is_some() {
        optional
            .push("get on secrets: without it private images are read without their credentials".to_owned());
        optional.push(
            "delete on secrets: without it a Job that holds copies is not kept for a look at it (--keep-jobs)"
                .to_owned(),
        );
    }
    if purpose.is_everywhere() {
        optional.push(
            "nodes: without them images for several platforms are read for that of the scanner, and nodes that cannot \
             mount are tried"
                .to_owned(),
        );
        optional.push("namespaces: without them Pod Security is tried instead of known".to_owned());
    }
    optional
}

fn next(purpose: Purpose, settings: &RoleSettings) -> Vec<String> {
    let mut next = Vec::new();
    if settings.subject(purpose).is_none() {
        next.push("Nobody is given these rights yet: name somebody, or bind the roles yourself.".to_owned());
    }
    if settings.state_namespace.is_none() {
        match purpose {
            Purpose::Scan | Purpose::ScanAll => next.push(
                "What is read is not shared with others: for that name the namespace with the ConfigMaps \
                 (--state-namespace)."
                    .to_owned(),
            ),
            Purpose::Runner | Purpose::RunnerAll | Purpose::Viewer => next.push(format!(
                "Records are in namespace {:?}, as none is named with --state-namespace: scans take clarity-system \
                 where that can be read.",
                settings.namespace
            )),
        }
    }
    next
}
