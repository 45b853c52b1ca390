//! Tags that are pushed anew while their pods run, and images that are deleted from their registry.

use serde_json::{Value, json};

use crate::environment::{Trust, environment};
use crate::namespace::{Namespace, PullSecret, running_pod};
use crate::nodes::open_nodes;
use crate::plugin::{Ended, Plugin, state};
use crate::registry::blob;
use crate::tags::{Manner, TagRegistry};

/// A pod that runs the tag `1` of a registry, which is this image when it starts.
fn running(topic: &str, digest: &str) -> (TagRegistry, Namespace, Trust) {
    let registry = TagRegistry::serve();
    registry.push("1", digest);
    let trust = environment().trust(registry.host());
    let namespace = Namespace::new(topic, PullSecret::None, vec![running_pod("app", &registry.image("1"))]);
    namespace.wait_until_ready();
    (registry, namespace, trust)
}

fn scan(namespace: &Namespace, read: &str) -> Ended {
    Plugin::scan(&["-n", &namespace.name, "--read", read, "--allow-incomplete"]).run().code(0)
}

/// The only image of a report.
fn image(ended: &Ended) -> Value {
    ended.only_image();
    ended.report()["images"][0].clone()
}

/// A scan in which the registry was heard of the image. Of a mounted one that is not waited for long, and the machine may be busy.
fn heard(namespace: &Namespace, read: &str) -> Ended {
    let mut ended = scan(namespace, read);
    for _ in 0..4 {
        if image(&ended)["registry"].is_null() {
            ended = scan(namespace, read);
        }
    }
    ended
}

#[test]
fn tag_that_was_pushed_anew_and_image_that_was_deleted_are_told_by_the_registry() {
    let _open = open_nodes();
    let environment = environment();
    let (old, new) = (environment.digest("payments"), environment.digest("web"));
    let (registry, namespace, _trust) = running("drift", &old);
    let reference = registry.image("1");
    let told = |read: &str| image(&heard(&namespace, read))["registry"].clone();
    let both = |expected: Value| {
        for read in ["volume", "stream"] {
            assert_eq!(told(read), json!([expected]), "{read}");
        }
    };
    both(json!({"reference": reference, "tag": "same", "now": old, "digest": "present"}));

    registry.push("1", &new);
    both(json!({"reference": reference, "tag": "moved", "now": new, "digest": "present"}));
    let table = || Plugin::scan(&["-n", &namespace.name, "-o", "table"]).run().code(0).stdout;
    let table = (0..5).map(|_| table()).find(|table| table.contains("Drift")).unwrap_or_default();
    let short = |digest: &str| digest[..19].to_owned();
    let words = format!("  {reference} is {} now; {} runs\n    pod/app (app)\n", short(&new), short(&old));
    assert!(table.contains(&words), "{words}\n--- is not in\n{table}");

    registry.delete(&old);
    both(json!({"reference": reference, "tag": "moved", "now": new, "digest": "gone"}));

    registry.delete(&new);
    let mounted = image(&heard(&namespace, "volume"));
    assert_eq!(state(&mounted).0, "scanned", "the node has it still");
    assert_eq!(mounted["registry"], json!([{"reference": reference, "tag": "gone", "digest": "gone"}]));
    assert_eq!(state(&image(&scan(&namespace, "stream"))).0, "failed");
    namespace.assert_nothing_left();
}

#[test]
fn tag_that_leads_to_the_same_manifest_in_another_way_has_not_moved() {
    let _open = open_nodes();
    let environment = environment();
    let index = environment.digest("multi");
    let (registry, namespace, _trust) = running("index", &index);
    let bytes = blob(&environment.layout("multi"), &index).expect("an index");
    let parsed: Value = serde_json::from_slice(&bytes).expect("json");
    let mut entries = parsed["manifests"].as_array().expect("an index").iter();
    let of = |entry: &&Value, architecture: &str| entry["platform"]["architecture"] == architecture;
    let manifest = entries.clone().find(|entry| of(entry, "amd64")).expect("ours")["digest"].clone();
    let foreign = entries.find(|entry| !of(entry, "amd64")).expect("another")["digest"].clone();
    for (pushed, expected) in [(&manifest, "same"), (&foreign, "moved")] {
        registry.push("1", pushed.as_str().expect("a digest"));
        for read in ["volume", "stream"] {
            let told = &image(&heard(&namespace, read))["registry"][0];
            assert_eq!((&told["tag"], &told["now"]), (&json!(expected), pushed), "{read}");
        }
    }
}

#[test]
fn registry_that_refuses_or_falls_silent_says_nothing_of_a_tag_and_holds_nobody_up() {
    let _open = open_nodes();
    let digest = environment().digest("payments");
    let (registry, namespace, _trust) = running("silent-tag", &digest);
    let present = json!([{"reference": registry.image("1"), "digest": "present"}]);
    for read in ["volume", "stream"] {
        registry.answer(Manner::Refuses);
        let ordinary = heard(&namespace, read);
        assert_eq!(image(&ordinary)["registry"], present, "{read}");
        registry.answer(Manner::FallsSilent);
        let silent = scan(&namespace, read);
        let image = image(&silent);
        // The word of a mounted image's digest is not waited for long, and others use the machine too.
        let told = &image["registry"];
        assert!(*told == present || (read == "volume" && told.is_null()), "{read}: {told}");
        assert_eq!(state(&image).0, "scanned", "{read}");
        // Others use the machine too; who waited for the answer would wait twenty.
        let more = silent.took.saturating_sub(ordinary.took);
        assert!(more.as_secs() < 12, "{more:?} longer: {read}");
    }
}

#[test]
fn registry_that_is_out_of_reach_costs_a_mounted_image_no_more_than_a_second() {
    let _open = open_nodes();
    let digest = environment().digest("payments");
    let (registry, namespace, _trust) = running("unreached", &digest);
    let ordinary = scan(&namespace, "volume");
    registry.answer(Manner::IsOutOfReach);
    let unreached = scan(&namespace, "volume");
    let image = image(&unreached);
    assert_eq!((state(&image).0.as_str(), &image["registry"]), ("scanned", &Value::Null));
    let more = unreached.took.saturating_sub(ordinary.took);
    assert!(more.as_secs() < 12, "{more:?} longer");
}
