use proptest::prelude::*;

use super::super::{Credential, Entry};
use super::*;
use crate::image::Reference;

fn repository(image: &str) -> Repository {
    image.parse::<Reference>().expect("a reference").repository
}

fn file<'a>(source: &'a str, format: Format, content: &'a str) -> CredentialsFile<'a> {
    CredentialsFile { source, format, content: content.as_bytes() }
}

fn texts(excerpts: &Excerpts) -> Vec<Option<&str>> {
    excerpts.files.iter().map(|file| file.as_ref().map(Secret::expose)).collect()
}

fn cut_json(content: &str, images: &[&str]) -> Option<String> {
    let repositories: Vec<Repository> = images.iter().map(|image| repository(image)).collect();
    let excerpts = excerpts(&[file("s", Format::DockerConfigJson, content)], &repositories);
    texts(&excerpts)[0].map(ToOwned::to_owned)
}

#[test]
fn entries_for_the_images_are_kept_as_they_were_written_and_nothing_else_is() {
    let content = r#"{"HttpHeaders": {"X": "hunter1"}, "auths": {
        "other.test": {"auth": "aHVudGVyMjpodW50ZXIy"},
        "z.test/team": { "password" : "p\u0061ss", "username":"u", "email": "ann@z.test" },
        "a.test": {"identitytoken": "id"}}, "credsStore": "hunter3"}"#;
    assert_eq!(
        cut_json(content, &["z.test/team/app:1", "a.test/b"]).as_deref(),
        Some(
            r#"{"auths":{"z.test/team":{ "password" : "p\u0061ss", "username":"u", "email": "ann@z.test" },"a.test":{"identitytoken": "id"}}}"#
        )
    );
    assert_eq!(cut_json(content, &["z.test/others/app:1"]), None);
    assert_eq!(cut_json(content, &[]), None);
}

#[test]
fn the_older_shape_stays_the_older_shape() {
    let content = r#"{"a.test": {"auth": "YTpi"}, "b.test": {"auth": "Yjpj"}}"#;
    let excerpts = excerpts(&[file("s", Format::DockerCfg, content)], &[repository("b.test/x")]);
    assert_eq!(texts(&excerpts), [Some(r#"{"b.test":{"auth": "Yjpj"}}"#)]);
}

#[test]
fn files_keep_their_places_and_those_without_a_use_are_none() {
    let files = [
        file("one", Format::DockerCfg, r#"{"a.test": {"auth": "YTpi"}}"#),
        file("two", Format::DockerConfigJson, r#"{"auths": {"b.test": {"auth": "YTpi"}}}"#),
        file("three", Format::DockerConfigJson, r#"{"auths": {"a.test": {"auth": "YTpj"}}}"#),
    ];
    let excerpts = excerpts(&files, &[repository("a.test/x")]);
    assert_eq!(
        texts(&excerpts),
        [Some(r#"{"a.test":{"auth": "YTpi"}}"#), None, Some(r#"{"auths":{"a.test":{"auth": "YTpj"}}}"#)]
    );
}

#[test]
fn of_docker_hubs_old_address_nothing_is_kept_where_another_secret_is_for_the_image() {
    let hub = file(
        "hub",
        Format::DockerConfigJson,
        r#"{"auths": {"https://index.docker.io/v1/": {"auth": "YTpi"}}}"#,
    );
    let library =
        file("library", Format::DockerConfigJson, r#"{"auths": {"docker.io/library": {"auth": "YTpj"}}}"#);
    let kept = |images: &[&str]| {
        let repositories: Vec<Repository> = images.iter().map(|image| repository(image)).collect();
        let excerpts = excerpts(&[hub, library], &repositories);
        (excerpts.files[0].is_some(), excerpts.files[1].is_some())
    };
    assert_eq!(kept(&["nginx"]), (false, true));
    assert_eq!(kept(&["team/app"]), (true, false));
    assert_eq!(kept(&["team/app", "nginx"]), (true, true));
}

#[test]
fn the_last_of_two_entries_for_one_address_is_the_one_that_counts() {
    let content = r#"{"auths": {"a.test": {}}, "auths": {"a.test": {"auth": "b2xkOm9sZA=="}, "a.test": {"auth": "bmV3Om5ldw=="}}}"#;
    assert_eq!(
        cut_json(content, &["a.test/x"]).as_deref(),
        Some(r#"{"auths":{"a.test":{"auth": "bmV3Om5ldw=="}}}"#)
    );
}

#[test]
fn broken_files_and_broken_entries_for_the_images_are_named_and_others_are_not() {
    let files = [
        file("secret \"torn\"", Format::DockerConfigJson, "{\"auths\": hunter2}"),
        file(
            "secret \"mixed\"",
            Format::DockerConfigJson,
            r#"{"auths": {"a.test": {"auth": "!!"}, "b.test": {"auth": "!!"}, "a.test/x": {"auth": "YTpi"}}}"#,
        ),
    ];
    let excerpts = excerpts(&files, &[repository("a.test/x/y")]);
    assert_eq!(texts(&excerpts), [None, Some(r#"{"auths":{"a.test/x":{"auth": "YTpi"}}}"#)]);
    let broken: Vec<String> = excerpts.broken.iter().map(ToString::to_string).collect();
    assert_eq!(
        broken,
        [
            r#"secret "torn" is no docker configuration (line 1, column 11)"#,
            r#"secret "mixed": entry "a.test" has an auth that is not base64"#,
        ]
    );
    assert!(!format!("{excerpts:?}").contains("YTpi"));
}

/// One of a few addresses, so that they meet, with a password that names it.
fn entries() -> impl Strategy<Value = Vec<(String, u8)>> {
    let location = prop::sample::select(vec![
        "a.test",
        "https://a.test",
        "a.test/x",
        "a.test/v2/",
        "*.test",
        "b.test:5000",
        "docker.io",
        "https://index.docker.io/v1/",
        "docker.io/library",
        "\"quoted\".test",
        "ä.test",
    ]);
    prop::collection::vec((location.prop_map(ToOwned::to_owned), 0..4_u8), 0..8)
}

fn written(entries: &[(String, u8)], format: Format) -> String {
    let each: Vec<String> = entries
        .iter()
        .enumerate()
        .map(|(number, (location, kind))| {
            let entry = match kind {
                0 => format!(r#"{{"username": "u", "password": "only-{number}-"}}"#),
                1 => format!(r#"{{"identitytoken": "only-{number}-", "auth": ""}}"#),
                2 => format!(r#"{{"registrytoken":"only-{number}-"}}"#),
                _ => r#"{"auth": "broken"}"#.to_owned(),
            };
            format!("{}: {entry}", serde_json::Value::from(location.as_str()))
        })
        .collect();
    let all = each.join(", ");
    match format {
        Format::DockerCfg => format!("{{{all}}}"),
        Format::DockerConfigJson => {
            format!(r#"{{"auths": {{{all}}}, "credHelpers": {{"a.test": "hunter2"}}}}"#)
        }
    }
}

fn keyring<'a>(files: impl Iterator<Item = (Format, &'a [u8])>) -> Keyring {
    let mut keyring = Keyring::new();
    for (number, (format, content)) in files.enumerate() {
        keyring.add_file(&number.to_string(), format, content);
    }
    keyring
}

fn tried(keyring: &Keyring, repository: &Repository) -> Vec<(String, Credential)> {
    let entry = |entry: &Entry| (entry.location.clone(), entry.credential.clone());
    keyring.lookup(repository).into_iter().map(entry).collect()
}

proptest! {
    #[test]
    fn with_the_excerpts_the_same_credentials_are_tried_in_the_same_order(
        first in entries(),
        second in entries(),
        images in prop::collection::vec(
            prop::sample::select(vec!["a.test/x/y", "a.test/z", "c.test/a", "b.test:5000/q", "nginx", "team/app"]), 0..4),
    ) {
        let contents =
            [(Format::DockerCfg, written(&first, Format::DockerCfg)),
             (Format::DockerConfigJson, written(&second, Format::DockerConfigJson))];
        let files: Vec<CredentialsFile<'_>> =
            contents.iter().map(|(format, content)| file("s", *format, content)).collect();
        let repositories: Vec<Repository> = images.iter().map(|image| repository(image)).collect();
        let cut = excerpts(&files, &repositories);
        let whole = keyring(contents.iter().map(|(format, content)| (*format, content.as_bytes())));
        let kept = contents.iter().zip(&cut.files).filter_map(|((format, _), file)| {
            Some((*format, file.as_ref()?.expose().as_bytes()))
        });
        let kept = keyring(kept);
        for repository in &repositories {
            prop_assert_eq!(tried(&whole, repository), tried(&kept, repository));
        }
        // What is not tried for any of them is not there.
        for entry in kept.entries() {
            let is_tried = repositories.iter().any(|repository| kept.lookup(repository).contains(&entry));
            prop_assert!(is_tried, "{}", entry.location);
        }
        prop_assert!(kept.broken().is_empty());
        let all: String = cut.files.iter().flatten().map(Secret::expose).collect();
        prop_assert!(!all.contains("hunter2"));
    }

    #[test]
    fn any_file_is_cut_without_harm(content in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::DockerCfg, Format::DockerConfigJson] {
            let file = CredentialsFile { source: "s", format, content: &content };
            let cut = excerpts(&[file], &[repository("a.test/x")]);
            prop_assert_eq!(cut.files.len(), 1);
        }
    }
}
