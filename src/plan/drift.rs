//! Tags that have moved while pods that were started under them still run. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::image::{Digest, Reference, RuntimeImage};
use crate::workload::Container;

/// How many pods are named for each digest.
const NAMED: usize = 2;

/// One note for each tag that runs as several digests: restarting its older pods would change what runs.
#[must_use]
pub fn drift(containers: &[Container]) -> Vec<String> {
    let mut running: BTreeMap<String, BTreeMap<&Digest, BTreeSet<String>>> = BTreeMap::new();
    for container in containers {
        let Ok(reference) = container.image.parse::<Reference>() else { continue };
        let (Some(_), None, Ok(RuntimeImage::Manifest(digest))) =
            (&reference.tag, &reference.digest, &container.runtime)
        else {
            continue;
        };
        let pod = format!("{}/{}", container.pod.namespace, container.pod.name);
        running.entry(reference.to_string()).or_default().entry(digest).or_default().insert(pod);
    }
    let moved = running.into_iter().filter(|(_, digests)| digests.len() > 1);
    moved.map(|(tag, digests)| in_words(&tag, &digests)).collect()
}

fn in_words(tag: &str, digests: &BTreeMap<&Digest, BTreeSet<String>>) -> String {
    let each = digests.iter().map(|(digest, pods)| {
        let named: Vec<&str> = pods.iter().take(NAMED).map(String::as_str).collect();
        let more = match pods.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("sha256:{} in {}{more}", digest.short(), named.join(", "))
    });
    let each: Vec<String> = each.collect();
    format!("the tag {tag} has moved while its pods run: {}", each.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{digest, running};

    fn named(pod: &str, mut container: Container) -> Container {
        container.pod.name = pod.into();
        container
    }

    #[test]
    fn tag_that_runs_as_several_digests_is_named_with_its_pods() {
        let containers = [
            named("p1", running("a", &[], "r.test/x:1", 1)),
            named("p2", running("a", &[], "r.test/x:1", 2)),
            named("p3", running("b", &[], "r.test/x:1", 2)),
            named("p4", running("b", &[], "r.test/x:1", 2)),
            named("p5", running("b", &[], "r.test/x:2", 3)),
        ];
        let (one, two) = (digest(1), digest(2));
        let mut each = [
            format!("sha256:{} in a/p1", one.short()),
            format!("sha256:{} in a/p2, b/p3 and 1 more", two.short()),
        ];
        each.sort();
        assert_eq!(
            drift(&containers),
            [format!("the tag r.test/x:1 has moved while its pods run: {}", each.join("; "))]
        );
    }

    #[test]
    fn images_by_digest_and_pods_that_wait_say_nothing_of_a_tag() {
        let by_digest = format!("r.test/x:1@{}", digest(1));
        let mut waiting = running("a", &[], "r.test/x:1", 1);
        waiting.runtime = Ok(RuntimeImage::Pending);
        let containers = [
            running("a", &[], &by_digest, 1),
            running("a", &[], &by_digest, 2),
            waiting,
            running("a", &[], "r.test/x:1", 2),
        ];
        assert_eq!(drift(&containers), [""; 0]);
    }
}
