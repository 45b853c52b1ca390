//! Credentials for pods that run in another namespace than the workload: of its pull secrets what the images of the pod need,
//! and no more.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::cluster::{
    self, ApiError, Client, Connection, DOCKER_CFG, DOCKER_CONFIG_JSON, FoundSecret, PullCredentials,
};
use crate::image::Repository;
use crate::job::{Original, OwnedSecret};
use crate::plan::Place;
use crate::registry::{CredentialsFile, Format, excerpts};
use crate::wire::TaskImage;

/// Pull secrets of workloads, each read once, and only if a pod needs it.
pub(super) struct Credentials {
    client: Client,
    /// Who asks, by their own account.
    requester: String,
    seen: Mutex<BTreeMap<(String, String), Arc<Seen>>>,
}

/// What a pull secret turned out to be.
enum Seen {
    Pull(PullCredentials),
    /// It is not there: the pod of the workload runs without it, so ours does too.
    Nothing,
    /// It is of no use; why.
    Unusable(String),
}

/// Secrets for a pod, and what a person should know of them.
#[derive(Debug, Default)]
pub(super) struct Copies {
    pub(super) secrets: Vec<OwnedSecret>,
    pub(super) notes: Vec<String>,
}

impl Credentials {
    pub(super) fn new(connection: &Connection) -> Self {
        Self {
            client: connection.client.clone(),
            requester: connection.requester.clone(),
            seen: Mutex::new(BTreeMap::new()),
        }
    }

    /// What a pod at this place needs for these images. Nothing where it mounts the pull secrets themselves.
    pub(super) async fn copies(&self, place: &Place, images: &[TaskImage]) -> Copies {
        let Some(namespace) = &place.secrets_from else { return Copies::default() };
        let mut found = Vec::new();
        for name in &place.pull_secrets {
            found.push((name.as_str(), self.read(namespace, name).await));
        }
        copied(namespace, &found, images)
    }

    async fn read(&self, namespace: &str, name: &str) -> Arc<Seen> {
        // Held while asking: pods that start together ask once.
        let mut all = self.seen.lock().await;
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(seen) = all.get(&key) {
            return Arc::clone(seen);
        }
        let (seen, is_final) = match cluster::pull_secret(&self.client, namespace, name).await {
            Ok(FoundSecret::Pull(pull)) => (Seen::Pull(pull), true),
            Ok(FoundSecret::None) => (Seen::Nothing, true),
            Ok(FoundSecret::Other(why)) => (Seen::Unusable(format!("{} {why}", named(namespace, name))), true),
            Err(error) => (Seen::Unusable(refused(&error, namespace, &self.requester)), !error.may_pass()),
        };
        let seen = Arc::new(seen);
        if is_final {
            all.insert(key, Arc::clone(&seen));
        }
        seen
    }
}

fn named(namespace: &str, name: &str) -> String {
    format!("secret {name:?} of namespace {namespace:?}")
}

/// Why pull secrets of a namespace are not used. The same for all of them: it is said once.
fn refused(error: &ApiError, namespace: &str, requester: &str) -> String {
    if error.is_missing_right() {
        format!(
            "{error}: {requester} needs it for private images of that namespace, since --job-namespace has their credentials \
             copied; pods that run beside the workloads (without --job-namespace) need no such right"
        )
    } else {
        format!("{error}: {}: images of namespace {namespace} are read without its pull secrets", error.refusal)
    }
}

/// The Secrets for a pod that reads these images. Pure.
fn copied(namespace: &str, found: &[(&str, Arc<Seen>)], images: &[TaskImage]) -> Copies {
    let mut notes = Vec::new();
    let mut pulls = Vec::new();
    for (position, (name, seen)) in found.iter().enumerate() {
        match &**seen {
            Seen::Pull(pull) => pulls.push((position, *name, named(namespace, name), pull)),
            Seen::Unusable(why) if !notes.contains(why) => notes.push(why.clone()),
            Seen::Unusable(_) | Seen::Nothing => {}
        }
    }
    let files: Vec<CredentialsFile<'_>> = pulls
        .iter()
        .map(|(_, _, source, pull)| CredentialsFile {
            source,
            format: if pull.is_docker_cfg { Format::DockerCfg } else { Format::DockerConfigJson },
            content: &pull.content,
        })
        .collect();
    let references = images.iter().flat_map(|image| std::iter::once(&image.reference).chain(&image.others));
    let repositories: Vec<Repository> = references.map(|reference| reference.repository.clone()).collect();
    let cut = excerpts(&files, &repositories);
    notes.extend(cut.broken.iter().map(ToString::to_string));
    let secrets = pulls.iter().zip(&cut.files).filter_map(|((position, name, _, pull), file)| {
        let (type_, key) = if pull.is_docker_cfg { DOCKER_CFG } else { DOCKER_CONFIG_JSON };
        let original = Original { namespace: namespace.to_owned(), name: (*name).to_owned() };
        let content = file.as_ref()?.expose().as_bytes().to_vec();
        Some(OwnedSecret::pull(*position, original, type_, (key, content)))
    });
    Copies { secrets: secrets.collect(), notes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Refusal;
    use crate::wire::Wanted;

    fn image(reference: &str, others: &[&str]) -> TaskImage {
        TaskImage {
            reference: reference.parse().expect("valid"),
            wanted: Wanted::Reference,
            platform: None,
            others: others.iter().map(|other| other.parse().expect("valid")).collect(),
            mount: None,
        }
    }

    fn pull(is_docker_cfg: bool, content: &str) -> Arc<Seen> {
        Arc::new(Seen::Pull(PullCredentials { is_docker_cfg, content: content.as_bytes().to_vec() }))
    }

    fn shown(copies: &Copies) -> Vec<(String, String, String)> {
        let text = |secret: &OwnedSecret| {
            let (key, content) = secret.files.first_key_value().expect("a file");
            (secret.suffix.clone(), key.clone(), String::from_utf8(content.clone()).expect("text"))
        };
        copies.secrets.iter().map(text).collect()
    }

    #[test]
    fn copies_keep_their_shape_and_position_and_hold_what_the_images_need() {
        let found = [
            ("others", pull(false, r#"{"auths":{"other.test":{"auth":"YTpi"}}}"#)),
            ("missing", Arc::new(Seen::Nothing)),
            ("old", pull(true, r#"{"a.test":{"auth":"YTpi"},"other.test":{"auth":"YTpj"}}"#)),
            ("new", pull(false, r#"{"auths":{"b.test/team":{"auth":"YTpk"}}}"#)),
        ];
        let copies = copied("shop", &found, &[image("a.test/x:1", &["b.test/team/x:2"])]);
        let wanted = [
            ("pull-2", ".dockercfg", r#"{"a.test":{"auth":"YTpi"}}"#),
            ("pull-3", ".dockerconfigjson", r#"{"auths":{"b.test/team":{"auth":"YTpk"}}}"#),
        ];
        assert_eq!(shown(&copies), wanted.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
        assert_eq!(copies.secrets[0].type_, "kubernetes.io/dockercfg");
        let original = Original { namespace: "shop".to_owned(), name: "old".to_owned() };
        assert_eq!((copies.secrets[0].copy_of.as_ref(), copies.notes.len()), (Some(&original), 0));
    }

    #[test]
    fn what_is_broken_is_named_and_the_rest_is_copied() {
        let opaque = Seen::Unusable("secret \"o\" of namespace \"shop\" is of type \"Opaque\"".to_owned());
        let found = [
            ("torn", pull(false, "hunter2")),
            ("o", Arc::new(opaque)),
            ("good", pull(true, r#"{"a.test":{"auth":"YTpi"}}"#)),
        ];
        let copies = copied("shop", &found, &[image("a.test/x:1", &[])]);
        assert_eq!(shown(&copies).len(), 1);
        assert_eq!(
            copies.notes,
            [
                "secret \"o\" of namespace \"shop\" is of type \"Opaque\"",
                "secret \"torn\" of namespace \"shop\" is no docker configuration (line 1, column 1)",
            ]
        );
    }

    #[test]
    fn a_missing_right_is_said_once_with_who_needs_it_and_what_needs_none() {
        let refusal = Refusal::Forbidden("secrets \"one\" is forbidden".to_owned());
        let error = ApiError { action: "get secrets in namespace \"shop\"".to_owned(), refusal };
        let seen = || Arc::new(Seen::Unusable(refused(&error, "shop", "ann")));
        let copies = copied("shop", &[("one", seen()), ("two", seen())], &[image("a.test/x:1", &[])]);
        assert_eq!(copies.notes.len(), 1);
        let wanted = "no right to get secrets in namespace \"shop\": ann needs it for private images";
        assert!(copies.notes[0].starts_with(wanted), "{:?}", copies.notes);
    }
}
