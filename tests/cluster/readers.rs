//! The two readers of images held against each other.

use serde_json::Value;

use crate::environment::environment;
use crate::namespace::{Namespace, PullSecret, running_pod};
use crate::nodes::open_nodes;
use crate::plugin::Plugin;

/// Fixture images that run, with their repositories.
const IMAGES: [(&str, &str); 7] = [
    ("cart", "apps/cart:2.4"),
    ("legacy", "apps/legacy:1.0"),
    ("web", "apps/web:1.24"),
    ("distroless", "apps/distroless:nonroot"),
    ("multi", "apps/multi:3"),
    ("languages", "apps/languages:1"),
    ("payments", "shop/payments:2.1"),
];

/// A report without what differs from scan to scan, and what only a stream can know: the layers.
fn comparable(mut report: Value) -> (Value, Value) {
    for image in report["images"].as_array_mut().expect("a list") {
        image.as_object_mut().expect("an object").remove("read_by");
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
    let pods = IMAGES.map(|(name, repository)| running_pod(name, &format!("{public}/{repository}")));
    let namespace = Namespace::new("readers", PullSecret::None, pods.into());
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
