//! What a person may do: the Role of the README suffices, and a right that is missing is named.

use std::process::Command;

use serde_json::{Value, json};

use crate::environment::{kubectl_with, wait_for};
use crate::namespace::Namespace;
use crate::plugin::{Ended, Plugin, state};

/// The Role that the README prints.
pub(crate) fn role_of_the_readme() -> Value {
    let readme = include_str!("../../README.md");
    let mut blocks = readme.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0));
    let role = blocks.find(|block| block.contains("kind: Role\n")).expect("the README prints a Role");
    let json = std::process::Command::new("kubectl")
        .args(["create", "--dry-run=client", "-o", "json", "-f", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .and_then(|mut kubectl| {
            use std::io::Write as _;
            kubectl.stdin.take().expect("it was piped").write_all(role.as_bytes())?;
            kubectl.wait_with_output()
        });
    serde_json::from_slice(&json.expect("kubectl").stdout).expect("a Role")
}

/// Gives a service account of the namespace these rules; its name as a user.
pub(crate) fn account(namespace: &Namespace, name: &str, rules: &Value) -> String {
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace.name}]});
    namespace.add(vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules}),
        binding,
    ]);
    let user = format!("system:serviceaccount:{}:{name}", namespace.name);
    // The API server takes new roles and bindings in a moment after it has stored them.
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let (verb, resource) = (text(&rules[0]["verbs"][0]), text(&rules[0]["resources"][0]));
    let (resource, subresource) = resource.split_once('/').unwrap_or((&resource, ""));
    wait_for("the rights of the account", 10, || {
        let mut can_i = Command::new("kubectl");
        can_i.args(["auth", "can-i", &verb, resource, "-n", &namespace.name, "--as", &user]);
        can_i.arg(format!("--subresource={subresource}"));
        let answer = can_i.output().expect("kubectl starts");
        answer.status.success().then_some(())
    });
    user
}

fn scan_as(namespace: &Namespace, user: &str) -> Ended {
    Plugin::scan(&["-n", &namespace.name, "--as", user]).run()
}

#[test]
fn role_of_the_readme_suffices() {
    let namespace = Namespace::with_image("role", "multi", "apps/multi");
    let role = role_of_the_readme();
    assert_eq!(role["kind"], "Role");
    let user = account(&namespace, "reader", &role["rules"]);
    let ended = scan_as(&namespace, &user).code(0);
    assert_eq!(ended.report()["coverage"]["scanned"], 1);
    namespace.assert_nothing_left();
}

/// Every rule without one of its verbs: the name of what is missing, and the rules that are left.
fn with_one_right_less(rules: &Value) -> Vec<(String, String, Value)> {
    let rules = rules.as_array().expect("a list");
    let mut variants = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        let resources = rule["resources"].as_array().expect("a list");
        assert_eq!(resources.len(), 1, "a rule a resource, so that each can be left out");
        for verb in rule["verbs"].as_array().expect("a list") {
            let mut left = rules.clone();
            left[number]["verbs"].as_array_mut().expect("a list").retain(|other| other != verb);
            left.retain(|rule| rule["verbs"] != json!([]));
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            variants.push((text(verb), text(&resources[0]), json!(left)));
        }
    }
    variants
}

#[test]
fn each_right_of_the_role_is_needed_and_named_when_it_is_missing() {
    let namespace = Namespace::with_image("right", "multi", "apps/multi");
    let variants = with_one_right_less(&role_of_the_readme()["rules"]);
    assert!(variants.len() >= 6, "{variants:?}");
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let scans: Vec<_> =
            variants.iter().map(|variant| scope.spawn(|| without(&namespace, variant))).collect();
        scans.into_iter().filter_map(|scan| scan.join().expect("no panic")).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    // Without the right to delete, its Job stays until its time to live removes it.
    let label = "app.kubernetes.io/managed-by=kubectl-clarity";
    kubectl_with(&["delete", "jobs", "-n", &namespace.name, "-l", label], &Value::Null);
    namespace.assert_nothing_left();
}

/// Scans without one right; what is wrong with what was said about it.
fn without(namespace: &Namespace, (verb, resource, rules): &(String, String, Value)) -> Option<String> {
    let name = format!("{verb}-{}", resource.replace('/', "-"));
    let user = account(namespace, &name, rules);
    let ended = scan_as(namespace, &user);
    let said = match serde_json::from_str::<Value>(&ended.stdout) {
        Ok(report) => format!("{}{}\n{}", ended.stderr, state(&report["containers"][0]).1, report["notes"]),
        Err(_) => ended.stderr.clone(),
    };
    let names_right = said.contains(&format!("{verb} {resource}"));
    let names_namespace = said.contains(&namespace.name);
    // A Job that cannot be deleted or watched is no reason to throw away what was read.
    let may_be_complete = resource == "jobs" && verb != "create";
    let is_right = match ended.code {
        Some(0) => may_be_complete && ended.stderr.contains("note: "),
        Some(1 | 4) => {
            !may_be_complete && ended.stderr.contains(&format!("kubectl auth can-i {verb} pods"))
                || ended.stderr.contains(&format!("kubectl auth can-i {verb} {resource} -n {}", namespace.name))
        }
        _ => false,
    };
    let is_quick = ended.took.as_secs() < 40;
    (!(names_right && names_namespace && is_right && is_quick))
        .then(|| format!("without {verb} {resource}: code {:?} after {:?}\n{said}", ended.code, ended.took))
}

#[test]
fn user_without_rights_is_told_which_one_to_ask_for() {
    let namespace = Namespace::with_image("nobody", "multi", "apps/multi");
    let ended = scan_as(&namespace, "system:serviceaccount:default:nobody").code(1);
    let right = format!("no right to list pods in namespace {:?}", namespace.name);
    let hint = format!("kubectl auth can-i list pods -n {}", namespace.name);
    let ended = ended.says(&[&right, "system:serviceaccount:default:nobody", &hint]).within(15);
    assert_eq!(ended.stdout, "");
    Plugin::scan(&["-A", "--as", "nobody"])
        .run()
        .code(1)
        .says(&["no right to list pods in all namespaces", "kubectl auth can-i list pods -A"]);
}
