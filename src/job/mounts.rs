//! What a cluster says of the images that it is to mount into a scanner pod.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use tokio::time::Instant;

use super::follow::ImageEnd;
use super::problem::Problem;

/// How long after the first image that cannot be mounted others are listened for: the pod's status names only the last of
/// them, its events all, and these take their time.
const SETTLE: Duration = Duration::from_millis(600);

/// The images of one pod that are mounted; none for a pod that streams.
pub(super) struct Mounts {
    /// By number of the image.
    references: Vec<String>,
    has_node: bool,
    may_pull: bool,
    is_root_of_namespace: bool,
    /// Those that cannot be mounted, and why.
    failed: BTreeMap<usize, String>,
    /// Something cannot be mounted, and which image that is, was not said.
    unnamed: Option<String>,
    since: Option<Instant>,
}

impl Mounts {
    /// What a Job asks for.
    pub(super) fn of(desired: &Job) -> Self {
        let pod = desired.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let volumes = pod.into_iter().flat_map(|pod| pod.volumes.iter().flatten());
        let images: Vec<_> = volumes.filter_map(|volume| volume.image.as_ref()).collect();
        Self {
            references: images.iter().filter_map(|image| image.reference.clone()).collect(),
            may_pull: images.iter().any(|image| image.pull_policy.as_deref() != Some("Never")),
            has_node: pod.is_some_and(|pod| pod.affinity.is_some()),
            is_root_of_namespace: pod.is_some_and(|pod| pod.host_users == Some(false)),
            failed: BTreeMap::new(),
            unnamed: None,
            since: None,
        }
    }

    /// Whether the pod is bound to a node.
    pub(super) fn has_node(&self) -> bool {
        self.has_node
    }

    /// Until when a pod is waited for that has so much time. One that streams, or for which a node pulls, takes what it takes.
    pub(super) fn start_ends(&self, time: Duration) -> Option<Instant> {
        (!self.references.is_empty() && !self.may_pull).then(|| Instant::now() + time)
    }

    /// Takes in that the container cannot start; false if that is not for the want of an image to mount.
    pub(super) fn hear_stuck(&mut self, problem: &Problem) -> bool {
        let (Problem::ScannerImage(text) | Problem::Setup(text)) = problem else { return false };
        if self.references.is_empty() {
            return false;
        }
        // The scanner's own image is never asked for with this policy.
        let is_of_volume = text.starts_with("ErrImageNeverPull") || text.contains("ImageVolumeMountFailed");
        if !self.hear(text) && is_of_volume {
            self.unnamed.get_or_insert_with(|| text.clone());
            self.since.get_or_insert_with(Instant::now);
        }
        self.since.is_some()
    }

    /// Takes in a warning of the pod's events; a problem if it tells that nothing will ever be mounted.
    pub(super) fn hear_event(&mut self, reason: &str, message: &str) -> Option<Problem> {
        // A Secret that a person has named, and that pods cannot do without.
        let is_of_network =
            ["client", "proxy"].iter().any(|name| message.contains(&format!("volume \"{name}\"")));
        let is_missing = message.contains("not found") || message.contains("non-existent secret key");
        if reason == "FailedMount" && is_of_network && is_missing {
            return Some(Problem::Setup(message.to_owned()));
        }
        if self.references.is_empty() {
            return None;
        }
        let is_of_image = message.contains("volume \"image-") || message.contains("no volume plugin matched");
        match reason {
            "FailedMount" if is_of_image => Some(Problem::NoImageVolumes(message.to_owned())),
            "FailedCreatePodSandBox" if self.is_root_of_namespace => Some(Problem::Sandbox(message.to_owned())),
            "Failed" | "ErrImageNeverPull" | "InspectFailed" => {
                self.hear(message);
                None
            }
            _ => None,
        }
    }

    /// Takes in that the container runs: what could not be mounted at first was in the end.
    pub(super) fn have_started(&mut self) {
        self.failed.clear();
        (self.unnamed, self.since) = (None, None);
    }

    /// Notes the images that a text names; whether there are any.
    fn hear(&mut self, text: &str) -> bool {
        let named = self.references.iter().enumerate().filter(|(_, reference)| names(text, reference));
        let named: Vec<usize> = named.map(|(number, _)| number).collect();
        for number in &named {
            self.failed.entry(*number).or_insert_with(|| text.to_owned());
        }
        if !named.is_empty() {
            self.since.get_or_insert_with(Instant::now);
        }
        !named.is_empty()
    }

    /// When all that cannot be mounted should have been named, if anything was.
    pub(super) fn settled_at(&self) -> Option<Instant> {
        Some(self.since? + SETTLE)
    }

    /// The problem, if there is one.
    pub(super) fn problem(&self) -> Option<Problem> {
        self.since?;
        let why = self.failed.values().next().or(self.unnamed.as_ref())?;
        Some(Problem::NotMounted { named: self.failed.len(), why: why.clone() })
    }

    /// Tells those images apart that the pod fell over.
    pub(super) fn name_failed(self, problem: Option<&Problem>, images: &mut [ImageEnd]) {
        if matches!(problem, Some(Problem::NotMounted { .. })) {
            for (number, why) in self.failed {
                if let Some(end) = images.get_mut(number) {
                    *end = ImageEnd::NotMounted(why);
                }
            }
        }
    }
}

/// Whether a text names a reference, and not a longer one that begins with it.
fn names(text: &str, reference: &str) -> bool {
    text.match_indices(reference).any(|(at, _)| {
        let next = text[at + reference.len()..].chars().next();
        next.is_none_or(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '@')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(references: &[&str], is_root_of_namespace: bool) -> Mounts {
        Mounts {
            references: references.iter().map(ToString::to_string).collect(),
            has_node: true,
            may_pull: false,
            is_root_of_namespace,
            failed: BTreeMap::new(),
            unnamed: None,
            since: None,
        }
    }

    fn never_pull(reference: &str) -> String {
        format!("Container image \"{reference}\" is not present with pull policy of Never")
    }

    #[test]
    fn all_images_that_events_name_are_taken_out_at_once() {
        let mut mounts = mounts(&["r.test/a@sha256:1", "r.test/b@sha256:2", "r.test/c@sha256:3"], false);
        assert!(mounts.hear_stuck(&Problem::ScannerImage(format!(
            "ErrImageNeverPull: {}",
            never_pull("r.test/c@sha256:3")
        ))));
        assert!(mounts.hear_event("ErrImageNeverPull", &never_pull("r.test/a@sha256:1")).is_none());
        assert!(matches!(mounts.problem(), Some(Problem::NotMounted { named: 2, .. })));
        let mut ends = [ImageEnd::NotReached, ImageEnd::NotReached, ImageEnd::NotReached];
        let problem = mounts.problem();
        mounts.name_failed(problem.as_ref(), &mut ends);
        assert!(matches!(ends, [ImageEnd::NotMounted(_), ImageEnd::NotReached, ImageEnd::NotMounted(_)]));
    }

    #[test]
    fn an_image_that_is_not_named_is_still_noticed() {
        let mut mounts = mounts(&["r.test/a@sha256:1"], false);
        assert!(mounts.hear_stuck(&Problem::ScannerImage("ErrImageNeverPull: ".to_owned())));
        assert!(matches!(mounts.problem(), Some(Problem::NotMounted { named: 0, .. })));
    }

    #[test]
    fn a_mount_that_comes_about_after_all_is_no_problem() {
        let mut mounts = mounts(&["sha256:1"], false);
        assert!(mounts.hear_stuck(&Problem::Setup("CreateContainerError: sha256:1 not found".to_owned())));
        mounts.have_started();
        assert!(mounts.problem().is_none() && mounts.settled_at().is_none());
    }

    #[test]
    fn the_scanners_own_image_is_no_matter_of_mounts() {
        let text = "ImagePullBackOff: Back-off pulling image \"r.test/scanner:1\"";
        assert!(!mounts(&["r.test/a@sha256:1"], false).hear_stuck(&Problem::ScannerImage(text.to_owned())));
        let own = Problem::Setup("RunContainerError: exec: \"/clarity-scan\": no such file".to_owned());
        assert!(!mounts(&["r.test/a@sha256:1"], false).hear_stuck(&own));
        assert!(!mounts(&[], false).hear_stuck(&Problem::ScannerImage(never_pull("r.test/a@sha256:1"))));
    }

    #[test]
    fn a_reference_that_begins_like_another_is_not_taken_for_it() {
        assert!(names("image \"r.test/a:1\" is", "r.test/a:1"));
        assert!(names("r.test/a:1", "r.test/a:1"));
        assert!(!names("image \"r.test/a:10\" is", "r.test/a:1"));
        assert!(!names("r.test/a:1@sha256:5", "r.test/a:1"));
    }

    #[test]
    fn sandboxes_fail_for_user_namespaces_and_volumes_for_old_kubelets() {
        let failed = |reason: &str, message: &str, is_root| mounts(&["a"], is_root).hear_event(reason, message);
        assert!(matches!(failed("FailedCreatePodSandBox", "remount-private", true), Some(Problem::Sandbox(_))));
        assert!(failed("FailedCreatePodSandBox", "cni", false).is_none());
        let message = "MountVolume.SetUp failed for volume \"client\" : secret \"tls\" not found";
        assert!(matches!(failed("FailedMount", message, false), Some(Problem::Setup(_))));
        let message = "MountVolume.SetUp failed for volume \"image-0\"";
        assert!(matches!(failed("FailedMount", message, false), Some(Problem::NoImageVolumes(_))));
        assert!(failed("FailedMount", "MountVolume.SetUp failed for volume \"kube-api\"", false).is_none());
    }
}
