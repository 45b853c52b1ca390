//! The images that run, each once, and who runs them.

use std::collections::{BTreeMap, BTreeSet};

use crate::cache::About;
use crate::image::{Digest, ImageKey, Platform, Reference, RuntimeImage};
use crate::workload::{Container, WorkloadRef};

/// An image that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// As the first pod spec names it.
    pub image: String,
    /// What is known of its digest.
    pub digest: Option<RuntimeDigest>,
    /// The platform, as the node has it; that of this program where nodes may not be read, as a scan has it.
    pub platform: Platform,
    /// Who runs it: `namespace/kind/name (container)`.
    pub used_by: BTreeSet<String>,
    /// The controllers of its pods, with their namespace.
    chain: BTreeSet<(String, WorkloadRef)>,
    /// Every name that a pod spec has for it.
    names: BTreeSet<String>,
}

/// The digest that a runtime names an image by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuntimeDigest {
    /// Of a manifest or an index.
    Manifest(Digest),
    /// Of a config.
    Config(Digest),
}

/// All images of containers; those without a digest by their name.
#[must_use]
pub fn running(containers: &[Container]) -> Vec<Running> {
    let mut images: BTreeMap<(Option<RuntimeDigest>, String, String), Running> = BTreeMap::new();
    for container in containers {
        let digest = digest_of(container);
        let platform = container.pod.platform.clone().unwrap_or_else(Platform::of_this_program);
        let by_name = if digest.is_some() { String::new() } else { container.image.clone() };
        let image = images.entry((digest.clone(), by_name, platform.to_string())).or_insert_with(|| Running {
            image: container.image.clone(),
            digest,
            platform,
            used_by: BTreeSet::new(),
            chain: BTreeSet::new(),
            names: BTreeSet::new(),
        });
        let pod = &container.pod;
        image.used_by.insert(format!("{}/{} ({})", pod.namespace, pod.workload, container.name));
        image.names.insert(container.image.clone());
        image.chain.extend(pod.chain.iter().map(|object| (pod.namespace.clone(), object.clone())));
    }
    images.into_values().collect()
}

/// What runs, by the status, and before that by a digest in the spec.
fn digest_of(container: &Container) -> Option<RuntimeDigest> {
    let of_spec = || {
        let reference: Reference = container.image.parse().ok()?;
        reference.digest.map(RuntimeDigest::Manifest)
    };
    match &container.runtime {
        Ok(RuntimeImage::Manifest(digest)) => Some(RuntimeDigest::Manifest(digest.clone())),
        // A digest in the spec says more than that of a config.
        Ok(RuntimeImage::Config(digest)) => of_spec().or_else(|| Some(RuntimeDigest::Config(digest.clone()))),
        Ok(RuntimeImage::Pending) | Err(_) => of_spec(),
    }
}

impl Running {
    /// What its bill of materials is kept under, if it can be told from here.
    #[must_use]
    pub fn key(&self) -> Option<ImageKey> {
        match &self.digest {
            Some(RuntimeDigest::Manifest(digest)) => {
                Some(ImageKey { digest: digest.clone(), platform: self.platform.clone() })
            }
            Some(RuntimeDigest::Config(_)) | None => None,
        }
    }

    /// Whether a bill that is kept is of it, under another digest of the same image.
    #[must_use]
    pub fn is_of(&self, about: &About) -> bool {
        let (own, read) = (&self.platform, &about.key.platform);
        let is_same_platform = (&own.os, &own.architecture) == (&read.os, &read.architecture);
        is_same_platform
            && match &self.digest {
                Some(RuntimeDigest::Manifest(digest)) => {
                    *digest == about.key.digest || Some(digest) == about.manifest.as_ref()
                }
                Some(RuntimeDigest::Config(digest)) => Some(digest) == about.config.as_ref(),
                None => false,
            }
    }

    /// Whether a pod of an object runs it.
    #[must_use]
    pub fn is_run_by(&self, object: &WorkloadRef) -> bool {
        self.chain.iter().any(|(_, own)| own == object)
    }

    /// Whether a pod spec names it so, or its digest begins so.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let same = |own: &String| {
            let references = (own.parse::<Reference>().ok(), name.parse::<Reference>().ok());
            own == name || matches!(references, (Some(own), Some(name)) if own == name)
        };
        let digest = match &self.digest {
            Some(RuntimeDigest::Manifest(digest) | RuntimeDigest::Config(digest)) => Some(digest),
            None => None,
        };
        self.names.iter().any(same) || digest.is_some_and(|digest| is_digest_of(digest, name))
    }

    /// Why there can be no bill of materials of it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.digest {
            Some(_) => "no list of its packages is kept: scan it",
            None => "it is not known which image that is: it has not started",
        }
    }
}

/// Whether text is a digest, or a reference at that digest, or how its hex digits begin.
pub(super) fn is_digest_of(digest: &Digest, text: &str) -> bool {
    let text = text.rsplit('@').next().unwrap_or(text);
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    hex.len() >= 8 && digest.hex().starts_with(hex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{ContainerKind, Pod};

    fn digest(byte: u8) -> Digest {
        Digest::from_hash(&[byte; 32])
    }

    fn container(workload: &str, image: &str, runtime: RuntimeImage) -> Container {
        let object = WorkloadRef::parse(&format!("deployment/{workload}")).expect("an object");
        let pod = Pod {
            namespace: "shop".to_owned(),
            name: format!("{workload}-1"),
            workload: object.clone(),
            chain: vec![object],
            pull_secrets: Vec::new(),
            node: None,
            platform: None,
            tolerations: Vec::new(),
        };
        Container {
            pod,
            name: "web".to_owned(),
            kind: ContainerKind::Container,
            image: image.to_owned(),
            runtime: Ok(runtime),
        }
    }

    fn about(key: u8, manifest: u8, config: u8) -> About {
        let key = serde_json::json!({"digest": digest(key), "platform": Platform::of_this_program()});
        serde_json::from_value(serde_json::json!({"key": key, "manifest": digest(manifest), "config": digest(config),
            "reference": "registry.test/a:1", "reader": "stream", "generator": "x", "analysers": "x", "packages": 1,
            "document": digest(9), "stored": 1, "created": "2026-01-02T00:00:00Z", "used": "2026-01-02T00:00:00Z"}))
        .expect("what is known")
    }

    #[test]
    fn an_image_is_one_however_it_is_called_and_whoever_runs_it() {
        let images = running(&[
            container("a", "registry.test/a:1", RuntimeImage::Manifest(digest(1))),
            container("b", "registry.test/a:latest", RuntimeImage::Manifest(digest(1))),
            container("c", "registry.test/c:1", RuntimeImage::Pending),
            container("d", &format!("registry.test/a@{}", digest(1)), RuntimeImage::Config(digest(7))),
        ]);
        let users: Vec<usize> = images.iter().map(|image| image.used_by.len()).collect();
        assert_eq!(users, [1, 3]);
        assert_eq!(
            (images[0].key(), images[0].reason()),
            (None, "it is not known which image that is: it has not started")
        );
        assert!(images[1].is_called("registry.test/a:latest") && images[1].is_called("sha256:01010101"));
        assert!(
            !images[1].is_called("registry.test/a:2") && !images[1].is_called("0101"),
            "too short to be one"
        );
        assert!(images[1].is_run_by(&WorkloadRef::parse("deploy/b").expect("an object")));
    }

    #[test]
    fn a_bill_is_known_by_each_digest_of_its_image() {
        let of = |runtime: RuntimeImage| running(&[container("a", "registry.test/a:1", runtime)]).remove(0);
        let kept = about(1, 2, 3);
        assert!(of(RuntimeImage::Manifest(digest(1))).is_of(&kept));
        assert!(of(RuntimeImage::Manifest(digest(2))).is_of(&kept));
        assert!(of(RuntimeImage::Config(digest(3))).is_of(&kept));
        assert!(!of(RuntimeImage::Manifest(digest(3))).is_of(&kept) && !of(RuntimeImage::Pending).is_of(&kept));
    }
}
