//! What a person is told of a scan that goes on.

use super::Update;
use super::coordinate::Coordination;
use crate::job::{self, GroupEnd, Problem, Progress, User};
use crate::plan::{Place, Read, Reader, Target};
use crate::wire::{Failure, FailureKind};

/// A pod that is about to be made.
pub(super) fn pod(place: &Place, images: usize, user: User) -> String {
    let images = if images == 1 { "1 image".to_owned() } else { format!("{images} images") };
    let way = match &place.reader {
        Reader::Mount { node: Some(node) } => format!("mounted on {node}, read as {user}"),
        Reader::Mount { node: None } => format!("mounted on any node, read as {user}"),
        Reader::Stream => "streamed from the registry".to_owned(),
    };
    format!("namespace {}: {images} {way}", place.namespace)
}

/// Why no way leads to an image, and which flag would open one.
pub(super) fn no_route(target: &Target, read: Read) -> String {
    let obstacles: Vec<&str> = target.obstacles.iter().map(String::as_str).collect();
    let hint = if read == Read::Volume { " (--read auto would stream it)" } else { "" };
    format!("it cannot be mounted: {}{hint}", obstacles.join("; "))
}

/// What a person can do about a problem that the whole scan has.
pub(super) fn advice(with: &Coordination<'_>, end: &GroupEnd) -> Vec<String> {
    let mut advice = Vec::new();
    match &end.problem {
        Some(Problem::Refused(error) | Problem::Watch(error) | Problem::Log(error)) => {
            return error.check().into_iter().collect();
        }
        Some(Problem::NoSecret(error)) => {
            advice.push("pods that run beside the workloads are given no copies: without --job-namespace");
            let advice = advice.into_iter().map(ToOwned::to_owned);
            return error.check().into_iter().chain(advice).collect();
        }
        Some(Problem::ScannerImage(_)) => advice.push(
            "put the scanner's image where the nodes can pull it, `kubectl clarity image push REF`, and name it, \
             `kubectl clarity scan --scanner-image REF` (with --scanner-pull-secret NAME if it needs a credential); \
             `kubectl clarity image save FILE` writes it to a file",
        ),
        Some(Problem::NoPod(_)) if with.config.parallelism > 1 => advice.push(
            "where a quota has room for one scanner pod only: --parallelism 1",
        ),
        // It could be started only if it were another image's.
        Some(Problem::Setup(text)) if text.contains(job::SCANNER) => advice.push(
            "--scanner-image names an image without the scanner; `kubectl clarity image push REF` makes one with it",
        ),
        _ => {}
    }
    let is_issuer = |image: &job::ImageEnd| {
        matches!(image, job::ImageEnd::Failed(Failure { kind: FailureKind::UnknownIssuer, .. }))
    };
    if end.images.iter().any(is_issuer) {
        advice.push("give the authority of the registry's certificate: --registry-ca FILE");
    }
    if end.images.iter().any(|image| image_failed(image).is_some_and(is_unreached)) {
        advice.push(
            "if pods reach registries by a proxy: --registry-proxy URL; if a mirror has the images: --registry-config PATH",
        );
    }
    let is_about_client =
        |failure: &Failure| failure.reason.contains(" takes only clients with a certificate that it knows");
    if end.images.iter().any(|image| image_failed(image).is_some_and(is_about_client)) {
        advice.push("give pods a certificate for it, by a Secret of type kubernetes.io/tls: --registry-client-secret NAME");
    }
    let plain = end.images.iter().filter_map(image_failed).find_map(plain_host);
    let plain = plain.map(|host| format!("if that is meant: --plain-http-registry {host}"));
    advice.into_iter().map(ToOwned::to_owned).chain(plain).collect()
}

/// The registry of the first image that a pod asked for in vain, of those that its images are from.
pub(super) fn unreached<'a>(end: &GroupEnd, registries: &'a [String]) -> Option<&'a str> {
    let images = end.images.iter().zip(registries);
    let mut unreached = images.filter(|(image, _)| image_failed(image).is_some_and(is_unreached));
    unreached.next().map(|(_, registry)| registry.as_str())
}

fn image_failed(image: &job::ImageEnd) -> Option<&Failure> {
    match image {
        job::ImageEnd::Failed(failure) => Some(failure),
        _ => None,
    }
}

/// No connection, no address, or no answer: in the words of the registry module, which are all that a pod says.
fn is_unreached(failure: &Failure) -> bool {
    let says = |words: &str| failure.reason.contains(words);
    failure.kind == FailureKind::Unreachable
        && (says("cannot reach ") || (says(" did not send ") && says(" in time")))
}

/// The host that speaks plain HTTP where that was not allowed.
fn plain_host(failure: &Failure) -> Option<&str> {
    let (before, _) = failure.reason.split_once(" speaks plain HTTP, which is not allowed")?;
    before.rsplit(' ').next()
}

pub(super) fn note(notes: &mut Vec<String>, on: &impl Fn(Update), new: Vec<String>) {
    for note in new {
        if !notes.contains(&note) {
            on(Update::Note(note.clone()));
            notes.push(note);
        }
    }
}

pub(super) fn say(on: &impl Fn(Update), targets: &[Target], place: &Place, images: &[usize], event: Progress) {
    let image = |number: usize| images.get(number).copied();
    match event {
        Progress::Created => on(Update::Pod { namespace: place.namespace.clone(), stage: "job created" }),
        Progress::Running => on(Update::Pod { namespace: place.namespace.clone(), stage: "scanner runs" }),
        Progress::Finished { .. } => {}
        Progress::Detail(text) => on(Update::Detail(text)),
        Progress::Waiting(text) => {
            on(Update::Waiting { job: format!("scanner pod in namespace {}", place.namespace), text });
        }
        Progress::Reading { image: number, read, total } => {
            let Some(target) = image(number) else { return };
            on(Update::Reading { image: targets[target].reference.to_string(), target, read, total });
        }
    }
}
