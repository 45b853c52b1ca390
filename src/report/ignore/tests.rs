use jiff::civil::date;

use super::*;
use crate::report::{ContainerReport, Report, State};

/// Two images, one of which runs in two namespaces, with the same finding each.
fn report() -> Report {
    let image = |reference: &str| {
        let mut report = crate::report::counts::tests::report(&[(crate::severity::Severity::High, true)]);
        let mut image = report.images.remove(0);
        image.reference = Some(reference.parse().expect("a reference"));
        let finding = &mut image.findings[0];
        finding.vulnerability = "CVE-2021-1".to_owned();
        finding.advisory = "GHSA-aaaa".to_owned();
        finding.aliases = vec!["PYSEC-1".to_owned()];
        for path in ["opt/a/x", "opt/b/x"] {
            finding.locations.push(crate::package::Location { path: path.to_owned(), layer: None });
        }
        image
    };
    let container = |namespace: &str, index| ContainerReport {
        namespace: namespace.to_owned(),
        workload: "pod/a".to_owned(),
        pod: "a".to_owned(),
        container: "web".to_owned(),
        kind: "container".to_owned(),
        image: "x".to_owned(),
        state: State::Scanned,
        image_index: Some(index),
    };
    let mut report = crate::report::counts::tests::report(&[]);
    report.images = vec![image("registry.test/shop/cart:1"), image("nginx:1.25")];
    report.containers = vec![container("shop", 0), container("shop", 1), container("web", 1)];
    report
}

/// How many findings of each image a rule ignores on a day, and the notes.
fn ignored(rule: &str) -> (Vec<usize>, Vec<String>) {
    let text = format!("version: 1\nignore:\n- {{reason: because, {rule}}}\n");
    let rules = read(&text, "ignore.yaml").expect(rule);
    let report = report().suppressed(&[rules], date(2026, 6, 30));
    let counts = report.images.iter().map(|image| image.ignored().count()).collect();
    (counts, report.notes)
}

#[test]
fn every_condition_of_a_rule_has_to_hold() {
    for (rule, expected) in [
        ("id: CVE-2021-1", [1, 1]),
        ("id: cve-2021-1", [1, 1]),
        ("id: GHSA-aaaa", [1, 1]),
        ("id: PYSEC-1", [1, 1]),
        ("id: CVE-2021-10", [0, 0]),
        ("package: a", [1, 1]),
        ("package: a, id: CVE-2021-10", [0, 0]),
        ("image: registry.test/shop/cart", [1, 0]),
        ("image: \"registry.test/*\"", [1, 0]),
        ("image: registry.test/shop", [0, 0]),
        ("image: docker.io/library/nginx", [0, 1]),
        ("image: library/nginx", [0, 1]),
        ("image: nginx", [0, 1]),
        ("path: \"opt/*/x\"", [1, 1]),
        ("path: /opt/**", [1, 1]),
        ("path: opt/a/x", [0, 0]),
        ("namespace: shop", [1, 0]),
        ("namespace: \"{shop,web}\"", [1, 1]),
        ("namespace: web", [0, 0]),
        ("id: CVE-2021-1, until: 2026-06-30", [1, 1]),
        ("id: CVE-2021-1, until: 2026-06-29", [0, 0]),
    ] {
        assert_eq!(ignored(rule).0, expected, "{rule}");
    }
}

#[test]
fn cve_that_is_only_related_is_not_meant() {
    let mut report = report();
    report.images[0].findings[0].aliases.push("CVE-2021-2".to_owned());
    let rules = read("version: 1\nignore: [{id: CVE-2021-2, reason: x}]\n", "f").expect("rules");
    let report = report.suppressed(&[rules], date(2026, 6, 30));
    assert_eq!(report.images[0].ignored().count(), 0);
}

#[test]
fn rules_that_do_nothing_are_named() {
    for (rule, expected) in [
        ("id: CVE-2021-1", None),
        ("id: CVE-1, package: tar", Some("that fit no finding: line 3 (CVE-1, package tar)")),
        (
            "id: CVE-2021-1, until: 2026-01-01",
            Some("that no longer hold: line 3 (CVE-2021-1), until 2026-01-01"),
        ),
        (
            "namespace: web",
            Some(
                "that are for namespaces and were not applied to images that run in others too: line 3 (namespace web)",
            ),
        ),
    ] {
        let expected: Vec<String> =
            expected.into_iter().map(|note| format!("rules of ignore.yaml {note}")).collect();
        assert_eq!(ignored(rule).1, expected, "{rule}");
    }
}

#[test]
fn first_rule_that_fits_gives_the_reason_and_nothing_is_counted() {
    let text = "version: 1\nignore:\n- {id: CVE-2021-1, package: b, reason: other}\n\
                - {id: CVE-2021-1, reason: first, until: 2027-01-01}\n- {package: a, reason: second}\n";
    let rules = read(text, "ignore.yaml").expect("rules");
    let report = report().suppressed(&[rules], date(2026, 6, 30));
    let expected =
        Ignored { reason: "first".to_owned(), until: Some(date(2027, 1, 1)), source: "ignore.yaml".to_owned() };
    assert_eq!(report.images[0].findings[0].ignored, Some(expected));
    assert_eq!((report.counts().total(), report.worst()), (0, None));
    assert_eq!(report.notes, ["rules of ignore.yaml that fit no finding: line 3 (CVE-2021-1, package b)"]);
    assert!(!report.exceeds("unknown".parse().expect("valid")));
    let text = crate::report::json::render(&report);
    assert_eq!(serde_json::from_str::<Report>(&text).expect("a report"), report);
}

#[test]
fn rule_for_a_namespace_never_fits_a_bill_of_materials() {
    let mut report = report();
    report.containers.truncate(1);
    report.containers[0].namespace = String::new();
    let rules = read("version: 1\nignore: [{namespace: \"*\", reason: x}]\n", "f").expect("rules");
    let report = report.suppressed(&[rules], date(2026, 6, 30));
    assert_eq!(report.images[0].ignored().count(), 0);
}
