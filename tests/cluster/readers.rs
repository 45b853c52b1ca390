//! The two readers of images held against each other.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::environment::environment;
use crate::namespace::{Namespace, PullSecret, running_pod};
use crate::nodes::open_nodes;
use crate::plugin::Plugin;

/// Fixture images that run, with their repositories.
const IMAGES: [(&str, &str); 8] = [
    ("cart", "apps/cart:2.4"),
    ("legacy", "apps/legacy:1.0"),
    ("web", "apps/web:1.24"),
    ("distroless", "apps/distroless:nonroot"),
    ("multi", "apps/multi:3"),
    ("languages", "apps/languages:1"),
    ("closed", "apps/closed:1"),
    ("payments", "shop/payments:2.1"),
];

/// A report without what differs from scan to scan, and what only a stream can know: the layers.
fn comparable(mut report: Value) -> (Value, Value) {
    for image in report["images"].as_array_mut().expect("a list") {
        image.as_object_mut().expect("an object").remove("read_by");
        // Nobody waits for what registries say, so it may be missing.
        image.as_object_mut().expect("an object").remove("registry");
        for finding in image["findings"].as_array_mut().expect("a list") {
            for location in finding["locations"].as_array_mut().expect("a list") {
                location.as_object_mut().expect("an object").remove("layer");
            }
        }
    }
    (report["containers"].take(), report["images"].take())
}

#[test]
fn both_readers_find_the_same_in_every_image() {
    let _open = open_nodes();
    let public = &environment().public;
    // What only a stream may open is another test's.
    let images = IMAGES.iter().filter(|(name, _)| *name != "closed");
    let pods = images.map(|(name, repository)| running_pod(name, &format!("{public}/{repository}"))).collect();
    let namespace = Namespace::new("readers", PullSecret::None, pods);
    namespace.wait_until_ready();
    let scan = |read: &str| {
        let report =
            Plugin::scan(&["-n", &namespace.name, "--read", read, "--allow-incomplete"]).run().code(0).report();
        for image in report["images"].as_array().expect("a list") {
            let expected = if read == "volume" { "volume" } else { "stream" };
            assert_eq!(image["read_by"]["reader"], expected);
            assert!(image["packages"].as_u64().is_some_and(|count| count > 0), "{}", image["reference"]);
        }
        comparable(report)
    };
    let (mounted, streamed) = (scan("volume"), scan("stream"));
    assert_eq!(mounted.0, streamed.0);
    let images = |images: &Value| images.as_array().expect("a list").clone();
    for (mounted, streamed) in images(&mounted.1).into_iter().zip(images(&streamed.1)) {
        for (member, value) in mounted.as_object().expect("an object") {
            assert_eq!(*value, streamed[member], "{member} of {}", mounted["reference"]);
        }
    }
}

/// Lays layers over each other with the system's own tools, as an overlay would (OCI image-spec, "Whiteouts").
fn unpack(layers: &[PathBuf]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let script = r#"
        set -eu
        tar -tf "$1" | { grep -E '(^|/)\.wh\.[^/]*$' || true; } | while read -r gone; do
            rm -rf "$2/$(dirname "$gone")/$(basename "$gone" | cut -c5-)"
        done
        tar -C "$2" --numeric-owner --exclude '.wh.*' -xpf "$1"
    "#;
    for layer in layers {
        let unpacked =
            Command::new("sh").args(["-c", script, "sh"]).arg(layer).arg(root.path()).output().expect("sh");
        let said = String::from_utf8_lossy(&unpacked.stderr);
        assert!(unpacked.status.success(), "{}: {said}", layer.display());
    }
    root
}

/// The files of the layers of a fixture image for this machine's platform, the bottom one first.
fn layers(fixture: &str) -> Vec<PathBuf> {
    let layout = environment().layout(fixture);
    let blob = |digest: &Value| {
        let digest = digest.as_str().expect("a digest").trim_start_matches("sha256:").to_owned();
        layout.join("blobs/sha256").join(digest)
    };
    let read =
        |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).expect("a blob")).expect("json") };
    let mut manifest = read(&blob(&read(&layout.join("index.json"))["manifests"][0]["digest"]));
    if let Some(manifests) = manifest["manifests"].as_array() {
        let ours =
            manifests.iter().find(|entry| entry["platform"]["architecture"] == "amd64").expect("one of them");
        manifest = read(&blob(&ours["digest"]));
    }
    manifest["layers"].as_array().expect("a list").iter().map(|layer| blob(&layer["digest"])).collect()
}

/// The bill of materials that the scanner writes of this.
fn bill(arguments: &[String]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_clarity-scan"))
        .args(arguments)
        .args(["-o", "cyclonedx"])
        .output()
        .expect("the scanner was built");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn both_readers_write_the_same_bill_of_materials_byte_for_byte() {
    for (name, _) in IMAGES {
        let layers = layers(name);
        let root = unpack(&layers);
        let of_mount = bill(&["dir".to_owned(), root.path().display().to_string()]);
        let files = layers.into_iter().map(|file| file.display().to_string());
        let of_layers = bill(&std::iter::once("layers".to_owned()).chain(files).collect::<Vec<_>>());
        assert!(of_mount.contains("\"purl\""), "no package in {name}: {of_mount}");
        assert!(of_mount == of_layers, "the bills of {name} differ");
    }
}
