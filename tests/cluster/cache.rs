//! What was read of images, in ConfigMaps: put there, read by others, damaged, forged, too much, and without the rights.

use std::path::Path;
use std::process::Command;

use clarity::cache::archive::Archive;
use clarity::cache::{About, Cache, ConfigMapStore, Entry, Store as _};
use clarity::cluster::{Access, Connection, connect};
use clarity::image::{Digest, ImageKey, Platform};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::environment::{environment, kubectl, kubectl_with, wait_for};
use crate::namespace::{Namespace, PullSecret};
use crate::plugin::{Ended, Plugin};
use crate::rights::account;

/// The analysers of the entries of these tests.
const ANALYSERS: &str = "dpkg/1";

/// A namespace for entries, and a machine with a cache and files of its own.
struct Place {
    namespace: Namespace,
    folder: TempDir,
}

impl Place {
    fn new(topic: &str) -> Self {
        // The cluster must be the one that is made for tests.
        environment();
        let namespace = Namespace::new(&format!("cache-{topic}"), PullSecret::None, Vec::new());
        Self { namespace, folder: TempDir::new().expect("a folder") }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).run()
    }

    fn command(&self, arguments: &[&str]) -> Plugin {
        let (command, rest) = arguments.split_first().expect("a command");
        let folder = self.folder.path().display().to_string();
        Plugin::new(&["cache", command, "--cache", "configmap", "--state-namespace", &self.namespace.name])
            .with(rest)
            .variable("XDG_CACHE_HOME", &folder)
    }

    /// An archive of these entries.
    fn archive(&self, entries: &[Entry]) -> String {
        let path = self.folder.path().join(format!("{}.tar", entries.len()));
        let mut archive = Archive::new(std::fs::File::create(&path).expect("a file"));
        for entry in entries {
            archive.add(entry).expect("added");
        }
        archive.finish().expect("finished");
        path.display().to_string()
    }

    fn import(&self, entries: &[Entry], flags: &[&str]) -> Ended {
        let file = self.archive(entries);
        self.run(&[&["import", &file], flags].concat())
    }

    /// References of what is listed.
    fn images(&self) -> Vec<String> {
        let list = self.run(&["list", "-o", "json"]).code(0).report();
        let entries = list["entries"].as_array().expect("a list");
        entries.iter().map(|entry| entry["reference"].as_str().expect("text").to_owned()).collect()
    }

    /// What is exported: documents by the names of their files.
    fn exported(&self) -> Vec<(String, Vec<u8>)> {
        let file = self.folder.path().join("exported.tar");
        self.run(&["export", &file.display().to_string()]).code(0);
        documents(&file)
    }

    /// All ConfigMaps of ours, as the API server has them.
    fn objects(&self) -> Vec<Value> {
        let label = "app.kubernetes.io/managed-by=kubectl-clarity";
        let text = kubectl(&["get", "configmaps", "-n", &self.namespace.name, "-l", label, "-o", "json"]);
        let list: Value = serde_json::from_str(&text).expect("JSON");
        list["items"].as_array().expect("a list").clone()
    }

    fn uids(&self) -> Vec<String> {
        self.objects().iter().map(|object| object["metadata"]["uid"].to_string()).collect()
    }

    async fn store(&self) -> ConfigMapStore {
        ConfigMapStore::new(&connection().await.client, &self.namespace.name, 64 << 20)
    }
}

async fn connection() -> Connection {
    let kubeconfig = std::env::var("KUBECONFIG").expect("the environment was looked at");
    connect(&Access { kubeconfig: vec![kubeconfig.into()], ..Access::default() }).await.expect("a connection")
}

fn documents(tar: &Path) -> Vec<(String, Vec<u8>)> {
    let mut tar = tar::Archive::new(std::fs::File::open(tar).expect("a file"));
    let mut documents = Vec::new();
    for entry in tar.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a path").display().to_string();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).expect("bytes");
        documents.push((name, bytes));
    }
    documents.retain(|(name, _)| name != "index.json");
    documents.sort();
    documents
}

/// An entry with so many packages, whose names do not become smaller by packing.
pub(crate) fn entry(name: &str, packages: u32) -> Entry {
    let component = |number: u32| {
        let hash = Digest::of(format!("{name}{number}").as_bytes());
        json!({"type": "library", "name": hash.hex(), "version": "1", "purl": format!("pkg:npm/{}@1", hash.hex())})
    };
    let components: Vec<Value> = (0..packages).map(component).collect();
    let document =
        json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "components": components}).to_string();
    let now = Timestamp::now();
    let about = About {
        key: ImageKey { digest: Digest::of(name.as_bytes()), platform: Platform::of_this_program() },
        manifest: None,
        config: None,
        reference: format!("registry.test/{name}").parse().expect("a reference"),
        reader: "volume".to_owned(),
        generator: "kubectl-clarity 0.1.0".to_owned(),
        analysers: ANALYSERS.to_owned(),
        packages: packages as usize,
        document: Digest::of(document.as_bytes()),
        stored: 0,
        created: now,
        used: now,
    };
    Entry { about, document: document.into_bytes() }
}

fn object_name(entry: &Entry) -> String {
    format!("clarity-sbom-{}-linux-amd64", entry.about.key.digest.hex())
}

/// What the README says to do: the bytes of a ConfigMap, by kubectl and base64.
fn by_hand(namespace: &str, name: &str, end: &str) -> Vec<u8> {
    let jsonpath = "jsonpath='{.binaryData.sbom\\.json\\.zst}'";
    let line = format!("kubectl get configmap {name} -n {namespace} -o {jsonpath} | base64 -d {end}");
    let output = Command::new("sh").args(["-c", &line]).output().expect("a shell");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn anybody_gets_the_very_document_with_kubectl_and_zstd() {
    let place = Place::new("plain");
    let entries = [entry("web:1.2", 40), entry("api:7", 3)];
    place.import(&entries, &[]).code(0);
    assert_eq!(place.images(), ["registry.test/api:7", "registry.test/web:1.2"]);
    for entry in &entries {
        let document = by_hand(&place.namespace.name, &object_name(entry), "| zstd -d");
        assert_eq!(document, entry.document);
    }
    let objects = place.objects();
    assert!(objects.iter().all(|object| object["immutable"] == true), "{objects:#?}");
    let label = format!("kubectl-clarity.io/digest={}", &entries[0].about.key.digest.hex()[..63]);
    let found = kubectl(&["get", "cm", "-n", &place.namespace.name, "-l", &label, "-o", "name"]);
    assert_eq!(found.trim(), format!("configmap/{}", object_name(&entries[0])));

    let uids = place.uids();
    place.import(&entries, &[]).code(0);
    assert_eq!(place.uids(), uids, "what is there stays");
    let documents: Vec<Vec<u8>> = place.exported().into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(documents.len(), 2);
    assert!(entries.iter().all(|entry| documents.contains(&entry.document)));
    place.run(&["prune", "--all"]).code(0);
    assert_eq!(place.uids(), [""; 0]);
}

#[test]
fn a_large_document_is_split_and_goes_as_a_whole() {
    let place = Place::new("split");
    let large = entry("monolith:1", 60_000);
    place.import(std::slice::from_ref(&large), &[]).code(0);
    let objects = place.objects();
    let parts: usize = objects
        .iter()
        .find_map(|object| object["metadata"]["annotations"]["kubectl-clarity.io/parts"].as_str()?.parse().ok())
        .expect("a number of parts");
    assert!(parts > 1 && objects.len() == parts, "{parts} of {}", objects.len());
    let name = |number: usize| match number {
        1 => object_name(&large),
        _ => format!(
            "clarity-sbom-part{number}-{}-linux-amd64-{}",
            large.about.key.digest.hex(),
            large.about.document.hex()
        ),
    };
    let packed: Vec<u8> =
        (1..=parts).flat_map(|number| by_hand(&place.namespace.name, &name(number), "")).collect();
    assert_eq!(zstd::decode_all(&packed[..]).expect("zstd"), large.document);
    assert_eq!(place.exported()[0].1, large.document);

    kubectl(&["delete", "configmap", "-n", &place.namespace.name, &name(2)]);
    let words = format!("{}: its part 2 of {parts} is missing", name(1));
    assert!(place.run(&["verify"]).code(1).stdout.contains(&words));
    place.run(&["prune", "--all"]).code(0);
    assert_eq!(place.uids(), [""; 0], "its parts go with it");
}

#[test]
fn what_is_forged_or_damaged_is_named_and_not_believed() {
    let place = Place::new("forged");
    let (good, other) = (entry("web:1.2", 40), entry("api:7", 3));
    place.import(&[good.clone(), other.clone()], &[]).code(0);
    assert_eq!(place.run(&["verify"]).code(0).stdout.lines().count(), 1);
    // The same words about it, and another document.
    let replace = |entry: &Entry, change: &dyn Fn(&mut Value)| {
        let name = object_name(entry);
        let text = kubectl(&["get", "configmap", "-n", &place.namespace.name, &name, "-o", "json"]);
        let mut object: Value = serde_json::from_str(&text).expect("JSON");
        change(&mut object);
        object["metadata"]["resourceVersion"] = Value::Null;
        object["metadata"]["uid"] = Value::Null;
        kubectl(&["delete", "configmap", "-n", &place.namespace.name, &name]);
        kubectl_with(&["create", "-f", "-"], &object);
    };
    let others = by_hand(&place.namespace.name, &object_name(&other), "| base64 -w0");
    let others = String::from_utf8(others).expect("text");
    replace(&good, &|object| object["binaryData"]["sbom.json.zst"] = json!(others));
    let ended = place.run(&["verify"]).code(1).says(&["made anew"]);
    assert!(ended.stdout.contains(&format!("damaged: {}: ", object_name(&good))), "{}", ended.stdout);
    assert!(ended.stdout.contains("1 image whole, 1 damaged"), "{}", ended.stdout);
    let file = place.folder.path().join("one.tar").display().to_string();
    place.run(&["export", &file]).code(0).says(&[
        "note: left out",
        good.about.key.digest.as_str(),
        "1 document",
    ]);

    // What does not say what it is at all.
    replace(&other, &|object| object["metadata"]["annotations"] = json!({"kubectl-clarity.io/about": "{}"}));
    let ended = place.run(&["verify"]).code(1);
    assert!(
        ended.stdout.contains(&format!("damaged: {}: what it says", object_name(&other))),
        "{}",
        ended.stdout
    );
    assert_eq!(place.images(), ["registry.test/web:1.2"]);
    let ended = place.run(&["prune", "--older-than", "90d"]).code(0);
    assert!(ended.stdout.contains("1 remnant of no use removed"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_entry_is_removed_when_it_is_met_and_made_anew() {
    let place = Place::new("anew");
    let good = entry("web:1.2", 40);
    let store = place.store().await;
    let mut forged = good.clone();
    forged.about.document = Digest::of(b"another");
    assert!(store.put(&forged).await.is_err(), "our own hands do not write it");
    store.put(&good).await.expect("put");
    let text = kubectl(&["get", "configmap", "-n", &place.namespace.name, &object_name(&good), "-o", "json"]);
    let object = text.replace(good.about.document.as_str(), forged.about.document.as_str());
    let mut object: Value = serde_json::from_str(&object).expect("JSON");
    object["metadata"]["resourceVersion"] = Value::Null;
    kubectl_with(&["replace", "-f", "-"], &object);

    let cache = Cache::new(None, Some(Box::new(place.store().await)));
    let keys = [good.about.key.clone()];
    let got = cache.get(&keys, Some(ANALYSERS)).await;
    assert_eq!(got.entries, []);
    assert_eq!(got.notes.len(), 1);
    assert!(got.notes[0].contains(good.about.key.digest.as_str()), "{:?}", got.notes);
    assert_eq!(place.uids(), [""; 0]);
    assert_eq!(cache.put(std::slice::from_ref(&good)).await, [""; 0]);
    assert_eq!(cache.get(&keys, Some(ANALYSERS)).await.entries[0].document, good.document);
    assert_eq!(cache.get(&keys, Some("dpkg/2")).await.entries, [], "other analysers find other things");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_other_analysers_is_replaced_and_use_is_noted_once_in_a_week() {
    let place = Place::new("used");
    let mut old = entry("web:1.2", 40);
    old.about.used = Timestamp::now() - SignedDuration::from_hours(8 * 24);
    let cache = Cache::new(None, Some(Box::new(place.store().await)));
    assert_eq!(cache.put(std::slice::from_ref(&old)).await, [""; 0]);
    let version = || place.objects()[0]["metadata"]["resourceVersion"].to_string();
    let (keys, first) = ([old.about.key.clone()], version());
    cache.get(&keys, None).await;
    let touched = version();
    assert_ne!(first, touched);
    let list = place.store().await.list().await.expect("listed");
    assert!(Timestamp::now().duration_since(list[0].used) < SignedDuration::from_mins(5));
    cache.get(&keys, None).await;
    Cache::new(None, Some(Box::new(place.store().await))).get(&keys, None).await;
    assert_eq!(version(), touched, "each patch rewrites the object");

    let mut new = entry("web:1.2", 41);
    new.about.analysers = "dpkg/2".to_owned();
    assert_eq!(cache.put(std::slice::from_ref(&new)).await, [""; 0]);
    let got = place.store().await.list().await.expect("listed");
    assert_eq!((got.len(), &*got[0].analysers, got[0].packages), (1, "dpkg/2", 41));
}

#[test]
fn the_least_recently_used_goes_when_the_budget_is_used_up() {
    let place = Place::new("budget");
    let entries: Vec<Entry> = (0..4).map(|number| entry(&format!("image{number}:1"), 40)).collect();
    place.import(&entries[..3], &[]).code(0);
    let list = place.run(&["list", "-o", "json"]).code(0).report();
    let bytes = list["stores"][0]["bytes"].as_u64().expect("a number");
    let used = "kubectl-clarity.io/used=2020-01-01T00:00:00Z";
    let name = object_name(&entries[1]);
    kubectl(&["annotate", "configmap", "-n", &place.namespace.name, &name, "--overwrite", used]);
    place.import(&entries[3..], &["--cache-budget", &(bytes + 100).to_string()]).code(0);
    let left = ["registry.test/image0:1", "registry.test/image2:1", "registry.test/image3:1"];
    assert_eq!(place.images(), left);
    let ended = place.import(&entries[..1], &["--cache-budget", "100"]).code(0);
    drop(ended);
    // It is there already. One that is not there and never fits throws nothing out.
    place
        .import(&entries[1..2], &["--cache-budget", "100"])
        .code(1)
        .says(&["cannot write ConfigMaps in namespace", "of the 100 that there may be in all"]);
    assert_eq!(place.images(), left);
}

#[test]
fn two_imports_at_once_lose_and_double_nothing() {
    let place = Place::new("at-once");
    let mut entries: Vec<Entry> = (0..30).map(|number| entry(&format!("image{number}:1"), 20)).collect();
    entries.push(entry("monolith:1", 40_000));
    let file = place.archive(&entries);
    let imports: Vec<_> = (0..3).map(|_| place.command(&["import", &file]).start()).collect();
    for import in imports {
        import.end().code(0);
    }
    let ended = place.run(&["verify"]).code(0);
    assert!(ended.stdout.contains("31 images whole, 0 damaged"), "{}", ended.stdout);
    assert_eq!(place.images().len(), 31);
}

#[test]
fn without_the_right_to_write_the_right_is_named_and_this_machine_still_keeps_it() {
    let place = Place::new("rights");
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "get"]}]);
    let reader = account(&place.namespace, "reader", &rules);
    place.import(&[entry("web:1.2", 3)], &[]).code(0);
    assert!(place.run(&["list", "--as", &reader]).code(0).stdout.contains("registry.test/web:1.2"));
    let namespace = &place.namespace.name;
    let api = entry("api:7", 3);
    place.import(std::slice::from_ref(&api), &["--as", &reader]).code(1).says(&[
        &format!("error: no right to create configmaps in namespace {namespace:?}"),
        &format!("kubectl auth can-i create configmaps -n {namespace}"),
    ]);
    place
        .run(&["prune", "--all", "--as", &reader])
        .code(1)
        .says(&["no right to delete configmaps in namespace"]);

    // Who names no place gets a note, and what there can be had.
    let folder = place.folder.path().display().to_string();
    let both = |arguments: &[&str]| {
        let command = Plugin::new(&["cache"]).with(arguments).variable("XDG_CACHE_HOME", &folder);
        command.with(&["--state-namespace", namespace, "--as", &reader]).run().code(0)
    };
    let file = place.archive(std::slice::from_ref(&api));
    both(&["import", &file]).says(&["note: left out ConfigMaps in namespace", "no right to create configmaps"]);
    let listed = both(&["list"]).stdout;
    let line = |image: &str| listed.lines().find(|line| line.contains(image)).expect("a line").to_owned();
    assert!(line("api:7").ends_with(" local") && line("web:1.2").ends_with(" configmap"), "{listed}");

    let nobody = account(
        &place.namespace,
        "nobody",
        &json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]),
    );
    place.run(&["list", "--as", &nobody]).code(1).says(&["no right to list configmaps in namespace"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_may_not_be_written_is_one_note() {
    let place = Place::new("one-note");
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "get"]}]);
    let reader = account(&place.namespace, "reader", &rules);
    let kubeconfig = std::env::var("KUBECONFIG").expect("the environment was looked at");
    let access = Access { kubeconfig: vec![kubeconfig.into()], impersonate: Some(reader), ..Access::default() };
    let connection = connect(&access).await.expect("a connection");
    let store = ConfigMapStore::new(&connection.client, &place.namespace.name, 64 << 20);
    let cache = Cache::new(None, Some(Box::new(store)));
    let entries: Vec<Entry> = (0..20).map(|number| entry(&format!("image{number}:1"), 3)).collect();
    let keys: Vec<ImageKey> = entries.iter().map(|entry| entry.about.key.clone()).collect();
    assert_eq!(cache.get(&keys, None).await.notes, [""; 0]);
    let notes = cache.put(&entries).await;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("no right to create configmaps in namespace"), "{notes:?}");
    assert_eq!(cache.put(&entries).await, [""; 0], "it is not tried again");
}

#[test]
fn without_a_namespace_for_all_it_is_that_of_the_scan() {
    let place = Place::new("own");
    let folder = place.folder.path().display().to_string();
    let file = place.archive(&[entry("web:1.2", 3)]);
    let own = ["--cache", "configmap", "-n", &place.namespace.name];
    let import = Plugin::new(&["cache", "import", &file]).with(&own).variable("XDG_CACHE_HOME", &folder);
    wait_for("no namespace clarity-system, of another test", 60, || {
        kubectl(&["get", "namespace", "clarity-system", "--ignore-not-found", "-o", "name"])
            .is_empty()
            .then_some(())
    });
    import.run().code(0);
    assert_eq!(place.objects().len(), 1);
}
