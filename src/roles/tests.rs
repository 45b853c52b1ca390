use std::fmt::Write as _;

use super::*;

fn settings(purpose: Purpose, state: Option<&str>, subject: Option<Subject>) -> RoleSettings {
    RoleSettings {
        state_namespace: state.map(ToOwned::to_owned),
        subject,
        ..RoleSettings::new(purpose, "shop")
    }
}

fn user(name: &str) -> Subject {
    Subject::User(name.to_owned())
}

/// Kind, namespace and name of each object, and what its rules allow.
fn shown(purpose: Purpose, settings: &RoleSettings) -> String {
    let mut text = String::new();
    for object in objects(purpose, settings) {
        let place = object.namespace().unwrap_or("*");
        writeln!(text, "{} {place}/{}", object.kind(), object.name()).expect("room");
        for rule in object.rules() {
            let resources = rule.resources.clone().unwrap_or_default().join(",");
            writeln!(text, "  {resources}: {}", rule.verbs.join(" ")).expect("room");
        }
    }
    text
}

#[test]
fn each_purpose_has_the_rights_that_it_needs_where_it_needs_them() {
    let mut all = String::new();
    for purpose in Purpose::ALL {
        for state in [None, Some("shop"), Some("clarity-system")] {
            let settings = settings(purpose, state, Some(user("ann")));
            write!(all, "# {} state {state:?}\n{}", purpose.word(), shown(purpose, &settings)).expect("room");
        }
    }
    insta::assert_snapshot!(all);
}

#[test]
fn where_pods_run_elsewhere_nothing_is_created_beside_the_workloads() {
    let mut all = String::new();
    for purpose in Purpose::ALL {
        let settings = RoleSettings {
            job_namespace: Some("tools".to_owned()),
            ..settings(purpose, Some("clarity-system"), Some(user("ann")))
        };
        write!(all, "# {}\n{}", purpose.word(), shown(purpose, &settings)).expect("room");
        for words in remarks(purpose, &settings).dangers {
            writeln!(all, "! {words}").expect("room");
        }
    }
    insta::assert_snapshot!(all);
    let own = RoleSettings { job_namespace: Some("shop".to_owned()), ..settings(Purpose::Scan, None, None) };
    assert_eq!(objects(Purpose::Scan, &own), objects(Purpose::Scan, &settings(Purpose::Scan, None, None)));
}

#[test]
fn without_a_subject_nothing_is_bound() {
    for purpose in [Purpose::Scan, Purpose::ScanAll, Purpose::Viewer] {
        let made = objects(purpose, &settings(purpose, Some("state"), None));
        assert!(made.iter().all(|object| object.kind().ends_with("Role")), "{made:?}");
    }
}

#[test]
fn bindings_of_different_subjects_have_different_names() {
    let account = |namespace: &str, name: &str| Subject::ServiceAccount {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let long = "x".repeat(300);
    let subjects = [
        user("ann"),
        user("Ann"),
        user("ann@example.com"),
        user("ann/example.com"),
        user(&long),
        user(&format!("{long}y")),
        Subject::Group("ann".to_owned()),
        Subject::Group("arn:aws:iam::1:role/x".to_owned()),
        account("a", "b.c"),
        account("a-b", "c"),
        account("user", "ann"),
        user("ünï"),
    ];
    let names: std::collections::BTreeSet<String> =
        subjects.iter().map(|subject| subject.name_of_binding("clarity-scan")).collect();
    assert_eq!(names.len(), subjects.len(), "{names:?}");
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    assert!(names.iter().all(|name| name.len() < 100 && name.chars().all(is_plain)), "{names:?}");
    assert_eq!(user("ann").name_of_binding("clarity-scan"), "clarity-scan.user.ann");
}

#[test]
fn runners_of_several_namespaces_keep_their_own_bindings_in_the_state_namespace() {
    let name = |namespace: &str| {
        let settings = RoleSettings {
            state_namespace: Some("state".to_owned()),
            ..RoleSettings::new(Purpose::Runner, namespace)
        };
        objects(Purpose::Runner, &settings).last().expect("a binding").name().to_owned()
    };
    assert_ne!(name("shop"), name("prod"));
}

#[test]
fn yaml_and_json_are_the_same_object() {
    for name in ["ann", "yes", "1", "a: b #c", "\"", "- x", "~"] {
        for purpose in Purpose::ALL {
            for object in objects(purpose, &settings(purpose, Some("state"), Some(user(name)))) {
                let read: Value = serde_saphyr::from_str(&object.to_yaml()).expect("YAML");
                assert_eq!(read, object.to_value());
                for label in ["app.kubernetes.io/name", "app.kubernetes.io/managed-by"] {
                    assert_eq!(read["metadata"]["labels"][label], NAME);
                }
            }
        }
    }
}

#[test]
fn only_who_scans_may_write_and_nobody_may_read_secrets() {
    for purpose in Purpose::ALL {
        let made = objects(purpose, &settings(purpose, Some("state"), None));
        for rule in made.iter().flat_map(RoleObject::rules) {
            let resources = rule.resources.as_deref().unwrap_or_default();
            assert!(!resources.iter().any(|name| name == "secrets" || name == "*"), "{rule:?}");
            let reads = |verb: &String| matches!(verb.as_str(), "get" | "list" | "watch");
            assert!(purpose != Purpose::Viewer || rule.verbs.iter().all(reads), "{rule:?}");
        }
    }
}
