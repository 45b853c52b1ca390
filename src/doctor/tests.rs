use std::collections::BTreeMap;

use super::*;
use crate::cluster::Writers;
use crate::facts::{Facts, Node, PodSecurity, Version};
use crate::image::Platform;

fn node(closed: Option<&str>) -> Node {
    Node {
        platform: Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None },
        taints: Vec::new(),
        closed: closed.map(ToOwned::to_owned),
        without_user_namespaces: None,
        images: BTreeMap::new(),
    }
}

fn facts(server: &str, nodes: &[Option<&str>]) -> Facts {
    let nodes = nodes.iter().enumerate().map(|(number, closed)| (format!("n{number}"), node(*closed)));
    Facts {
        server: Version::parse(server),
        nodes: nodes.collect(),
        namespaces: BTreeMap::from([("shop".to_owned(), PodSecurity { is_restricted: true, version: None })]),
    }
}

#[test]
fn servers_that_are_too_old_fail_and_others_do_not() {
    assert_eq!(checks::server("v1.26.9", "x").verdict, Verdict::Fail);
    assert_eq!(checks::server("v1.27.0", "x").verdict, Verdict::Ok);
    assert_eq!(checks::server("unheard-of", "x").verdict, Verdict::Warning);
}

#[test]
fn image_volumes_are_told_by_server_and_nodes() {
    let verdict = |server: &str, nodes: &[Option<&str>]| checks::image_volumes(&facts(server, nodes)).verdict;
    assert_eq!(verdict("v1.35.4", &[None, None]), Verdict::Ok);
    for (server, nodes, words) in [
        ("v1.32.0", &[None][..], "mounts no images"),
        ("v1.34.1", &[None], "feature gate"),
        ("v1.35.0", &[], "no right to list nodes"),
        ("v1.35.0", &[None, Some("it is cordoned")], "1 of 2 nodes take them; n1: it is cordoned"),
        ("v1.35.0", &[Some("it is not ready")], "no node takes them: n0: it is not ready"),
    ] {
        let check = checks::image_volumes(&facts(server, nodes));
        assert_eq!(check.verdict, Verdict::Warning, "images are streamed then");
        assert!(check.detail.contains(words), "{check:?}");
    }
}

#[test]
fn pod_security_that_keeps_the_scanner_from_being_root_is_named() {
    assert_eq!(checks::pod_security(&facts("v1.35.4", &[]), Some("shop")).verdict, Verdict::Ok);
    let old = checks::pod_security(&facts("v1.34.4", &[]), Some("shop"));
    assert_eq!(old.verdict, Verdict::Warning);
    assert!(old.detail.contains("65532"), "{old:?}");
    assert_eq!(checks::pod_security(&Facts::default(), None).verdict, Verdict::Warning);
}

#[test]
fn a_missing_right_comes_with_the_command_that_gives_it() {
    let check = checks::rights(&["list pods in namespace \"shop\"".to_owned()], Some("shop"), None);
    assert_eq!(check.verdict, Verdict::Fail);
    assert!(check.fix.expect("a fix").contains("kubectl clarity rbac scan -n shop --for-user USER --apply"));
    let check = checks::rights(&["list pods in all namespaces".to_owned()], None, None);
    assert!(check.fix.expect("a fix").contains("rbac scan-all"));
}

#[test]
fn those_who_write_what_others_see_are_named() {
    let check = |others: &[&str], unknown| {
        let others = others.iter().map(ToString::to_string).collect();
        checks::writers("state", Ok(&Writers { others, unknown }))
    };
    assert_eq!(check(&[], 0).verdict, Verdict::Ok);
    let named = check(&["User ann", "User bob", "Group c", "Group d"], 0);
    assert_eq!(named.verdict, Verdict::Warning);
    assert!(named.detail.starts_with("User ann, User bob, Group c and 1 more"), "{named:?}");
    assert_eq!(check(&[], 1).verdict, Verdict::Warning, "what is not known is not called good");
}

#[test]
fn images_without_a_version_are_warned_of() {
    for (reference, verdict) in [
        ("registry.test/scanner:v1", Verdict::Ok),
        ("registry.test/scanner", Verdict::Warning),
        ("registry.test/scanner:latest", Verdict::Warning),
        ("Not An Image", Verdict::Fail),
    ] {
        assert_eq!(checks::scanner_image(reference).verdict, verdict, "{reference}");
    }
}

#[test]
fn whatever_is_not_ok_has_a_fix() {
    let here = Ok(Vec::new());
    let now = jiff::Timestamp::UNIX_EPOCH;
    for check in [
        checks::advisories(&here, now),
        checks::advisories(&Err("no folder".to_owned()), now),
        checks::no_namespace("shop"),
        checks::no_state("clarity-system", None),
        checks::state("state", false, &[]),
        checks::state("state", true, &["create"]),
        checks::events(&["list"]),
        checks::runner("clarity-runner", "shop", Some("shop"), None),
    ] {
        assert!(check.verdict != Verdict::Ok && check.fix.is_some(), "{check:?}");
    }
}
