//! What admission made of a pod: webhooks inject containers, rewrite images, drop fields.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, EnvVar, ImageVolumeSource, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::{CONFIG_CONTAINER, CONTAINER};

/// A change after which nothing that the pod says may be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distrust {
    /// What was changed, in words.
    pub text: String,
    /// Whether image volumes themselves were taken away: no other user helps against that.
    pub is_of_volumes: bool,
}

/// The pod that a Job was to have.
fn template(job: &Job) -> Option<&PodSpec> {
    job.spec.as_ref()?.template.spec.as_ref()
}

fn images(pod: &PodSpec) -> impl Iterator<Item = (&str, &ImageVolumeSource)> {
    pod.volumes.iter().flatten().filter_map(|volume| Some((volume.name.as_str(), volume.image.as_ref()?)))
}

fn find<'a>(pod: &'a PodSpec, name: &str) -> Option<&'a Container> {
    pod.containers.iter().find(|container| container.name == name)
}

/// Whether a pod (or the template that the API server has stored) no longer is what a mount has to be.
pub(in crate::job) fn distrust(desired: &Job, actual: &PodSpec) -> Option<Distrust> {
    let desired = template(desired)?;
    let of_volumes = |text: String| Some(Distrust { text, is_of_volumes: true });
    for (name, image) in images(desired) {
        let reference = image.reference.as_deref().unwrap_or_default();
        let is_same =
            images(actual).any(|(other, image)| other == name && image.reference.as_deref() == Some(reference));
        if !is_same {
            return of_volumes(format!(
                "the volume with the image {reference} was taken out of the scanner pod"
            ));
        }
    }
    let mounts = |pod: &PodSpec| {
        let mounts =
            find(pod, CONTAINER).into_iter().flat_map(|scanner| scanner.volume_mounts.iter().flatten());
        mounts.map(|mount| (mount.name.clone(), mount.mount_path.clone())).collect::<Vec<_>>()
    };
    let mounted = mounts(actual);
    let is_image = |name: &String| images(desired).any(|(image, _)| image == name);
    if let Some((_, path)) = mounts(desired).iter().find(|mount| is_image(&mount.0) && !mounted.contains(mount))
    {
        return of_volumes(format!("the mount {path} was taken out of the scanner's container"));
    }
    let lost_namespace = desired.host_users == Some(false) && actual.host_users != Some(false);
    lost_namespace.then(|| Distrust {
        text: "the scanner pod was put out of its user namespace".to_owned(),
        is_of_volumes: false,
    })
}

/// What admission changed in a pod, in words.
///
/// Only what bears on the scan is compared; defaults and what the service account adds are no changes.
pub(in crate::job) fn alterations(desired: &Job, actual: &PodSpec) -> Vec<String> {
    let Some(desired) = template(desired) else { return Vec::new() };
    let mut notes = Vec::new();
    for extra in actual.containers.iter().filter(|extra| find(desired, &extra.name).is_none()) {
        notes.push(format!("admission added the container {:?} to the scanner pod", extra.name));
    }
    for extra in actual.init_containers.iter().flatten() {
        notes.push(format!("admission added the init container {:?} to the scanner pod", extra.name));
    }
    let (Some(before), Some(after)) = (find(desired, CONTAINER), find(actual, CONTAINER)) else {
        notes.push("admission removed the scanner's container".to_owned());
        return notes;
    };
    of_scanner(before, after, &mut notes);
    if after.security_context.is_none() && actual.security_context.is_none() {
        notes.push("admission removed the scanner's security context".to_owned());
    }
    if desired.automount_service_account_token != actual.automount_service_account_token {
        notes.push("admission gave the scanner pod a token of the API, which it does not need".to_owned());
    }
    for (name, image) in images(desired) {
        let after = images(actual)
            .find(|(other, _)| *other == name)
            .and_then(|(_, image)| image.pull_policy.as_deref());
        if let Some(policy) = after.filter(|policy| image.pull_policy.as_deref() != Some(policy)) {
            let reference = image.reference.as_deref().unwrap_or_default();
            notes.push(format!(
                "admission changed the pull policy of {reference} to {policy}: the node may pull it anew"
            ));
        }
    }
    for container in [CONTAINER, CONFIG_CONTAINER] {
        let (Some(before), Some(after)) = (find(desired, container), find(actual, container)) else { continue };
        let mounted = after.volume_mounts.iter().flatten().map(|mount| &mount.name).collect::<Vec<_>>();
        for mount in before.volume_mounts.iter().flatten().filter(|mount| !mounted.contains(&&mount.name)) {
            notes.push(format!("admission removed the mount {}", mount.mount_path));
        }
    }
    notes
}

fn of_scanner(before: &Container, after: &Container, notes: &mut Vec<String>) {
    if before.image != after.image {
        let image = after.image.as_deref().unwrap_or_default();
        notes.push(format!("admission changed the scanner's image to {image:?}"));
    }
    if before.command != after.command || !is_told_the_same(before, after) {
        notes.push("admission changed what the scanner is told to do".to_owned());
    }
    if before.image_pull_policy != after.image_pull_policy {
        let policy = after.image_pull_policy.as_deref().unwrap_or_default();
        notes.push(format!("admission changed the scanner's pull policy to {policy}"));
    }
    let memory = |c: &Container| c.resources.as_ref()?.limits.as_ref()?.get("memory").cloned();
    if let Some(limit) = memory(after).filter(|limit| bytes(memory(before).as_ref()) > bytes(Some(limit))) {
        notes.push(format!("admission lowered the scanner's memory limit to {}", limit.0));
    }
}

/// Whether all variables that were set are still set to the same; added ones do no harm.
fn is_told_the_same(before: &Container, after: &Container) -> bool {
    let variables: Vec<&EnvVar> = after.env.iter().flatten().collect();
    before.env.iter().flatten().all(|variable| variables.contains(&variable))
}

/// Bytes of a memory quantity; none where it is not written in plain bytes, `Ki`, `Mi` or `Gi`.
fn bytes(quantity: Option<&Quantity>) -> Option<u64> {
    let text = quantity?.0.as_str();
    let unit = |suffix: &str, shift: u32| text.strip_suffix(suffix)?.parse::<u64>().ok()?.checked_shl(shift);
    unit("Gi", 30).or_else(|| unit("Mi", 20)).or_else(|| unit("Ki", 10)).or_else(|| text.parse().ok())
}
