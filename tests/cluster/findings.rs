//! What is found, held against what dpkg and the records say.

use std::collections::{BTreeMap, BTreeSet};

use crate::environment::environment;
use crate::namespace::{Namespace, PullSecret, random_suffix, running_pod, with_secret};
use crate::plugin::Plugin;
use crate::records::{Installed, dpkg_less, implied, records};

/// Repositories and the fixtures that are pushed there, with the ecosystem of their release.
const IMAGES: [(&str, &str, &str); 5] = [
    ("apps/cart", "cart", "Debian:12"),
    ("apps/legacy", "legacy", "Debian:11"),
    ("apps/distroless", "distroless", "Debian:12"),
    ("apps/web", "web", "Alpine:v3.18"),
    ("shop/payments", "payments", "Alpine:v3.18"),
];

type Found = BTreeSet<(String, String)>;

#[test]
fn findings_of_three_namespaces_are_what_dpkg_and_the_records_imply() {
    let environment = environment();
    let run = random_suffix();
    let pod = |name: &str, registry: &str, image: &str| {
        let mut pod = running_pod(name, &format!("{registry}/{image}"));
        pod["metadata"]["labels"] = serde_json::json!({"clarity.test/run": run});
        pod
    };
    let private = |name: &str, image: &str| pod(name, &environment.registry, image);
    let by_pod =
        vec![with_secret(private("cart", "apps/cart:2.4")), with_secret(private("legacy", "apps/legacy:1.0"))];
    let by_account = vec![private("distroless", "apps/distroless:nonroot"), private("web", "apps/web:1.24")];
    let public = vec![pod("payments", &environment.public, "shop/payments:2.1")];
    let namespaces = [
        Namespace::new("findings", PullSecret::ForPods, by_pod),
        Namespace::new("findings", PullSecret::OnServiceAccount, by_account),
        Namespace::new("findings", PullSecret::None, public),
    ];
    namespaces.iter().for_each(Namespace::wait_until_ready);

    let ended = Plugin::scan(&["-A", "-l", &format!("clarity.test/run={run}")]).run().code(0);
    let report = ended.report();
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    for image in report["images"].as_array().expect("a list") {
        assert_eq!(image["state"], "scanned", "{}", image["reference"]);
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        let findings = image["findings"].as_array().expect("a list").iter();
        let findings = findings.map(|finding| (text(&finding["package"]), text(&finding["vulnerability"])));
        let reference = text(&image["reference"]);
        let repository = IMAGES.iter().find(|(repository, ..)| reference.contains(&format!("/{repository}@")));
        let (repository, fixture, _) = repository.unwrap_or_else(|| panic!("{reference}"));
        assert_eq!(image["packages"], environment.packages(fixture).len(), "{reference}");
        assert!(found.insert((*repository).to_owned(), findings.collect()).is_none(), "{reference} twice");
    }
    let expected =
        IMAGES.map(|(repository, fixture, ecosystem)| (repository.to_owned(), expected(fixture, ecosystem)));
    assert_eq!(found, BTreeMap::from(expected));
    let total: usize = found.values().map(BTreeSet::len).sum();
    assert!(total > 100, "only {total} findings compared");
    namespaces.iter().for_each(Namespace::assert_nothing_left);
}

/// What the records imply for what is installed in a fixture.
fn expected(fixture: &str, ecosystem: &str) -> Found {
    let is_debian = ecosystem.starts_with("Debian");
    let installed = environment().packages(fixture).into_iter().map(|row| {
        let (source, version) = if is_debian { (3, 4) } else { (2, 1) };
        Installed { name: row[0].clone(), source: row[source].clone(), source_version: row[version].clone() }
    });
    let installed: Vec<Installed> = installed.collect();
    assert!(!installed.is_empty(), "{fixture}");
    let less = if is_debian { dpkg_less } else { alpine_less };
    implied(&records(ecosystem), &installed, less).into_keys().collect()
}

/// Compares the versions of the Alpine fixtures, all of which are numbers with dots and at times a revision.
fn alpine_less(pairs: &BTreeSet<(String, String)>) -> BTreeMap<(String, String), bool> {
    let numbers = |version: &str| -> (Vec<u64>, u64) {
        let (version, revision) = version.split_once("-r").unwrap_or((version, "0"));
        let number = |digits: &str| digits.parse().unwrap_or_else(|_| panic!("{digits:?} in {version:?}"));
        (version.split('.').map(number).collect(), number(revision))
    };
    pairs.iter().map(|(a, b)| ((a.clone(), b.clone()), numbers(a) < numbers(b))).collect()
}
