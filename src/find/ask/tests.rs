use jiff::Timestamp;

use super::*;
use crate::advisories::Index;
use crate::cache::{About, LocalStore, Store as _};
use crate::find::running;
use crate::image::{Digest, Platform, RuntimeImage};
use crate::package::{Package, PackageType};
use crate::sbom::{Sbom, cyclonedx};
use crate::workload::{Container, ContainerKind, Pod, WorkloadRef};

fn digest(byte: u8) -> Digest {
    Digest::from_hash(&[byte; 32])
}

/// An image of one package, kept under a digest, with a manifest of the next number and a config of the one after that.
fn entry(byte: u8, package: &str) -> Entry {
    let sbom = Sbom { packages: vec![Package::new(PackageType::Npm, package, "1.0.0")], ..Sbom::default() };
    let document = cyclonedx::write(&sbom, &cyclonedx::Subject::default()).expect("written");
    let now = Timestamp::now();
    let about = About {
        key: ImageKey { digest: digest(byte), platform: Platform::of_this_program() },
        manifest: Some(digest(byte + 1)),
        config: Some(digest(byte + 2)),
        reference: format!("registry.test/{package}:1").parse().expect("a reference"),
        reader: "stream".to_owned(),
        generator: "x".to_owned(),
        analysers: "x".to_owned(),
        packages: 1,
        document: Digest::of(&document),
        stored: 0,
        created: now,
        used: now,
    };
    Entry { about, document }
}

fn container(name: &str, runtime: RuntimeImage) -> Container {
    let object = WorkloadRef::parse(&format!("deployment/{name}")).expect("an object");
    let pod = Pod {
        namespace: "shop".to_owned(),
        name: format!("{name}-1"),
        workload: object.clone(),
        chain: vec![object],
        pull_secrets: Vec::new(),
        node: None,
        platform: None,
        tolerations: Vec::new(),
    };
    let image = format!("registry.test/{name}:1");
    Container { pod, name: "web".to_owned(), kind: ContainerKind::Container, image, runtime: Ok(runtime) }
}

async fn asked(entries: &[Entry], running: Option<Vec<Running>>) -> (Answer, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = LocalStore::at(folder.path());
    for entry in entries {
        store.put(entry).await.expect("kept");
    }
    let search = Search::new("left-pad".parse().expect("a name"), Index::empty());
    (ask(&Cache::new(Some(store), None), running, search).await, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_found_by_each_digest_and_the_others_are_named() {
    let running = running(&[
        container("by-key", RuntimeImage::Manifest(digest(10))),
        container("by-manifest", RuntimeImage::Manifest(digest(11))),
        container("by-config", RuntimeImage::Config(digest(12))),
        container("without", RuntimeImage::Manifest(digest(20))),
        container("unknown", RuntimeImage::Manifest(digest(99))),
        container("pending", RuntimeImage::Pending),
    ]);
    let (answer, _folder) = asked(&[entry(10, "left-pad"), entry(20, "right-pad")], Some(running)).await;
    let [found] = answer.images.as_slice() else { panic!("one image: {answer:?}") };
    let users: Vec<&str> = found.used_by.iter().map(String::as_str).collect();
    let expected = [
        "shop/deployment/by-config (web)",
        "shop/deployment/by-key (web)",
        "shop/deployment/by-manifest (web)",
    ];
    assert_eq!(users, expected);
    assert_eq!((answer.searched, answer.is_complete()), (2, false));
    let left: Vec<&str> = answer.not_searched.iter().map(|image| image.image.as_str()).collect();
    assert_eq!(left, ["registry.test/pending:1", "registry.test/unknown:1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_kept_is_looked_into_without_a_cluster() {
    let entries: Vec<Entry> =
        (0..80).map(|number| entry(number * 3, if number % 2 == 0 { "left-pad" } else { "other" })).collect();
    let (answer, _folder) = asked(&entries, None).await;
    assert_eq!((answer.searched, answer.images.len(), answer.is_complete()), (80, 40, true));
    assert_eq!(answer.images[0].image, "registry.test/left-pad:1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_entry_is_not_searched_and_named() {
    let (_, folder) = asked(&[entry(10, "left-pad")], None).await;
    let file = std::fs::read_dir(folder.path()).expect("a folder").flatten().map(|file| file.path());
    let file = file.into_iter().find(|path| path.is_file()).expect("an entry");
    let mut bytes = std::fs::read(&file).expect("readable");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let running = running(&[container("by-key", RuntimeImage::Manifest(digest(10)))]);
    let search = Search::new("left-pad".parse().expect("a name"), Index::empty());
    let cache = Cache::new(Some(LocalStore::at(folder.path())), None);
    let answer = ask(&cache, Some(running), search).await;
    assert_eq!((answer.searched, answer.not_searched.len(), answer.notes.len()), (0, 1, 1), "{answer:?}");
}
