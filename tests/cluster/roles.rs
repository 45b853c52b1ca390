//! `kubectl clarity rbac`: what it prints can be applied, suffices, and holds nothing that is not needed.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::detached::advisories;
use crate::environment::{environment, kubectl, wait_for};
use crate::namespace::{Namespace, PullSecret, running_pod};
use crate::plugin::{Ended, Plugin};
use crate::rights::{account, role_of_the_readme};

/// What the command prints.
fn printed(purpose: &str, flags: &[&str]) -> String {
    Plugin::new(&["rbac", purpose]).with(flags).run().code(0).stdout
}

/// Gives text to kubectl; what it printed.
fn kubectl_reads(arguments: &[&str], text: &str) -> String {
    use std::io::Write as _;
    let mut kubectl = Command::new("kubectl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl");
    kubectl.stdin.take().expect("it was piped").write_all(text.as_bytes()).expect("kubectl reads it");
    let output = kubectl.wait_with_output().expect("kubectl ends");
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The rules of a role that the command makes.
fn rules(purpose: &str, flags: &[&str]) -> Vec<Value> {
    let text =
        kubectl_reads(&["create", "--dry-run=client", "-o", "json", "-f", "-"], &printed(purpose, flags));
    let mut documents =
        serde_json::Deserializer::from_str(&text).into_iter::<Value>().map(|d| d.expect("JSON"));
    let role = documents.find(|document| document["kind"] == "Role").expect("a Role");
    role["rules"].as_array().expect("a list").clone()
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// Every rule without one of its verbs: the verb, the resource, and what is left.
fn with_one_right_less(rules: &[Value]) -> Vec<(String, String, Value)> {
    let mut variants = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        for verb in rule["verbs"].as_array().expect("a list") {
            let mut left = rules.to_vec();
            left[number]["verbs"].as_array_mut().expect("a list").retain(|other| other != verb);
            left.retain(|rule| rule["verbs"] != json!([]));
            variants.push((text(verb), text(&rule["resources"][0]), json!(left)));
        }
    }
    variants
}

/// What a row of a table says must be seen when a right is missing: a word of what is said, or nothing.
type Seen = (&'static str, &'static str, Option<&'static str>);

/// Tries every right of these rules: each must be in the table, and what it says must be seen.
fn each_is_needed(
    namespace: &Namespace,
    rules: &[Value],
    table: &[Seen],
    attempt: impl Fn(&str, &str) -> Ended + Sync,
) {
    let variants = with_one_right_less(rules);
    assert_eq!(variants.len(), table.len(), "each right is in the table once: {variants:?}");
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let attempts = variants.iter().map(|(verb, resource, rules)| {
            let attempt = &attempt;
            scope.spawn(move || {
                let name = format!("{verb}-{}", resource.replace('/', "-"));
                let user = account(namespace, &name, rules);
                let ended = attempt(&user, &name);
                let row = table.iter().find(|row| row.0 == verb && row.1 == resource);
                let Some((.., expected)) = row else { return Some(format!("{verb} {resource} is in no row")) };
                let said = format!("{}{}", ended.stderr, ended.stdout);
                let is_as_told = match expected {
                    Some(words) => said.contains(words),
                    None => ended.code == Some(0) && !said.contains(&format!("{verb} {resource}")),
                };
                (!is_as_told).then(|| format!("without {verb} {resource}: code {:?}\n{said}", ended.code))
            })
        });
        let attempts: Vec<_> = attempts.collect();
        attempts.into_iter().filter_map(|attempt| attempt.join().expect("no panic")).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn remove_what_is_left(namespace: &Namespace) {
    let label = "app.kubernetes.io/managed-by=kubectl-clarity";
    kubectl(&["delete", "jobs", "-n", &namespace.name, "-l", label]);
}

fn can(user: &str, verb: &str, resource: &str, namespace: &str) -> bool {
    let arguments = ["auth", "can-i", verb, resource, "-n", namespace, "--as", user];
    Command::new("kubectl").args(arguments).output().expect("kubectl starts").status.success()
}

fn wait_until(user: &str, verb: &str, resource: &str, namespace: &str) {
    wait_for("the rights", 10, || can(user, verb, resource, namespace).then_some(()));
}

#[test]
fn role_of_the_readme_is_what_the_command_makes_without_what_can_be_left_out() {
    let readme = role_of_the_readme()["rules"].as_array().expect("a list").clone();
    let mut made = rules("scan", &["-n", "shop"]);
    for rule in &mut made {
        rule["verbs"].as_array_mut().expect("a list").retain(|verb| verb != "patch");
    }
    made.retain(|rule| rule["resources"] != json!(["events"]));
    assert_eq!(made, readme);
}

#[test]
fn what_is_printed_can_be_applied_by_kubectl_and_changes_nothing_when_applied_again() {
    let namespace = Namespace::new("roles-apply", PullSecret::None, Vec::new());
    let name = namespace.name.as_str();
    for (purpose, more) in [
        ("scan", &["--for-user", "ann@example.com", "--state-namespace", name][..]),
        ("runner", &[]),
        ("viewer", &["--for-group", "developers"]),
    ] {
        let flags = [&["-n", name], more].concat();
        kubectl_reads(
            &["apply", "--server-side", "--field-manager=kubectl-clarity", "-f", "-"],
            &printed(purpose, &flags),
        );
        let applied = Plugin::new(&["rbac", purpose, "--apply"]).with(&flags).run().code(0).stdout;
        assert!(applied.lines().all(|line| line.ends_with(": unchanged")), "{applied}");
    }
    // Those of all namespaces are not made here: others share the cluster.
    for purpose in ["scan-all", "runner-all"] {
        let made = printed(purpose, &["-n", name, "--name", name]);
        let seen = kubectl_reads(&["apply", "--server-side", "--dry-run=server", "-f", "-"], &made);
        assert!(seen.contains("clusterrole.rbac.authorization.k8s.io/"), "{seen}");
    }
}

#[test]
fn applying_says_what_has_changed_and_takes_no_rights_from_others() {
    let namespace = Namespace::new("roles-change", PullSecret::None, Vec::new());
    let name = namespace.name.as_str();
    let apply =
        |flags: &[&str]| Plugin::new(&["rbac", "scan", "-n", name, "--apply"]).with(flags).run().code(0);
    let first = apply(&["--for-user", "ann"]).says(&["reaches its Secrets and ServiceAccounts"]).stdout;
    assert_eq!(
        first,
        format!(
            "Role clarity-scan in namespace {name}: created\n\
             RoleBinding clarity-scan.user.ann in namespace {name}: created\n"
        )
    );
    let second = apply(&["--for-user", "bob", "--state-namespace", name]).stdout;
    assert!(second.starts_with(&format!("Role clarity-scan in namespace {name}: changed\n")), "{second}");
    for user in ["ann", "bob"] {
        wait_until(user, "create", "configmaps", name);
        assert!(can(user, "create", "jobs.batch", name));
        assert!(!can(user, "get", "secrets", name));
    }
}

#[test]
fn rights_that_one_does_not_have_cannot_be_given_and_that_is_said() {
    let namespace = Namespace::new("roles-refused", PullSecret::None, Vec::new());
    let name = namespace.name.as_str();
    let rules = json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"],
        "verbs": ["get", "create", "patch"]}]);
    let user = account(&namespace, "giver", &rules);
    let apply = |purpose: &str, user: &str, namespace: &str| {
        Plugin::new(&["rbac", purpose, "-n", namespace, "--apply", "--as", user]).run().code(1)
    };
    apply("viewer", &user, name).says(&[
        &format!("cannot create roles in namespace {name:?}: it gives rights that you do not have"),
        "let somebody do it who has them",
    ]);
    apply("viewer", "nobody", name).says(&["no right to patch roles", "kubectl auth can-i patch roles"]);
    let edit = namespace.account_with("edit");
    apply("runner", &edit, name).says(&["no right to"]);
    Plugin::new(&["rbac", "viewer", "-n", "clarity-none", "--apply"])
        .run()
        .code(1)
        .says(&["kubectl create namespace clarity-none"]);
    Plugin::new(&["rbac", "runner", "-n", name, "--for-user", "ann"])
        .run()
        .code(1)
        .says(&["its own ServiceAccount"]);
}

/// A scan on a machine that knows nothing, where the cluster knows what was read.
fn scan_once_more(name: &str, user: &str) -> Ended {
    let home = tempfile::tempdir().expect("a folder");
    Plugin::scan(&["-n", name, "--cache", "configmap", "--state-namespace", name, "--as", user])
        .variable("XDG_CACHE_HOME", &home.path().display().to_string())
        .run()
}

/// Starts a scan without a runner and leaves it; its id.
fn detached(flags: &[&str]) -> String {
    let environment = environment();
    let ended = Plugin::new(&["scan", "--detach", "--refresh", "--scanner-image", &environment.scanner])
        .with(&["--registry-ca", &environment.registry_ca])
        .with(flags)
        .run()
        .code(0);
    ended.stdout.trim_end().to_owned()
}

#[test]
fn rights_of_a_viewer_suffice_and_each_is_needed() {
    let namespace = Namespace::with_image("roles-viewer", "multi", "apps/multi");
    let name = namespace.name.as_str();
    let id = Plugin::scan(&["-n", name, "--cache", "configmap", "--state-namespace", name, "--refresh"])
        .run()
        .code(0)
        .report();
    let id = text(&id["scan"]["id"]);
    let running = detached(&["-n", name]);
    let look = |user: &str| {
        let status = Plugin::new(&["status", "-n", name, "--as", user]).run();
        if status.code != Some(0) || status.stderr.contains("no right to") {
            return status;
        }
        assert!(status.stdout.contains(&running), "{}", status.stdout);
        let schedules = Plugin::new(&["schedule", "list", "-n", name, "--as", user]).run();
        if schedules.code != Some(0) {
            return schedules;
        }
        let at = ["--shared", "--state-namespace", name, "--as", user, "-o", "json"];
        Plugin::new(&["report", &id]).with(&at).run()
    };
    let rules = rules("viewer", &["-n", name]);
    let user = account(&namespace, "whole", &json!(rules));
    wait_until(&user, "get", "configmaps", name);
    look(&user).code(0);
    each_is_needed(
        &namespace,
        &rules,
        &[
            // Without pods and their logs it is told less of how far a scan is.
            ("list", "pods", None),
            ("get", "pods/log", None),
            ("list", "jobs", Some("no right to list jobs")),
            ("list", "cronjobs", Some("no right to list cronjobs")),
            ("get", "configmaps", Some("no right to get configmaps")),
            ("list", "configmaps", Some("no right to list configmaps")),
        ],
        |user, _| look(user),
    );
}

#[test]
fn rights_of_a_scan_suffice_and_each_is_needed() {
    let namespace = Namespace::with_image("roles-scan", "multi", "apps/multi");
    let name = namespace.name.as_str();
    let flags = ["-n", name, "--state-namespace", name];
    let rules = rules("scan", &flags);
    let state = ["--cache", "configmap", "--state-namespace", name];
    // Everybody reads anew, so that each has something to write.
    let scan = |user: &str| {
        Plugin::scan(&[
            "-n",
            name,
            "--cache",
            "configmap",
            "--state-namespace",
            name,
            "--refresh",
            "--as",
            user,
        ])
        .run()
    };
    let user = account(&namespace, "whole", &json!(rules));
    wait_until(&user, "delete", "configmaps", name);
    let ended = scan(&user).code(0);
    assert_eq!(ended.report()["coverage"]["scanned"], 1);
    assert!(!ended.stderr.contains("no right to") || ended.stderr.contains("list nodes"), "{}", ended.stderr);
    each_is_needed(
        &namespace,
        &rules,
        &[
            ("list", "pods", Some("no right to list pods")),
            ("watch", "pods", Some("watch pods")),
            ("get", "pods/log", Some("get pods/log")),
            ("create", "jobs", Some("create jobs")),
            ("list", "jobs", Some("list jobs")),
            ("watch", "jobs", Some("watch jobs")),
            ("delete", "jobs", Some("delete jobs")),
            // Only `stop` does it; that is looked at below.
            ("patch", "jobs", Some("patch jobs")),
            // What is reported earlier with them is reported later without.
            ("list", "events", None),
            ("watch", "events", None),
            ("create", "configmaps", Some("create configmaps")),
            ("get", "configmaps", Some("get configmaps")),
            ("list", "configmaps", Some("list configmaps")),
            ("patch", "configmaps", Some("patch configmaps")),
            ("delete", "configmaps", Some("delete configmaps")),
        ],
        |user, right| match right {
            "get-configmaps" => scan_once_more(name, user),
            "patch-configmaps" => {
                // When it was used is noted only once in a while.
                let long_ago = "kubectl-clarity.io/used=2020-01-01T00:00:00Z";
                let kind = "kubectl-clarity.io/kind";
                kubectl(&["annotate", "configmaps", "-n", name, "-l", kind, "--overwrite", long_ago]);
                scan_once_more(name, user)
            }
            "delete-configmaps" => {
                let prune = ["cache", "prune", "--all", "--as", user];
                Plugin::new(&prune).with(&state).run()
            }
            "patch-jobs" => {
                let id = detached(&["-n", name, "--as", user]);
                Plugin::new(&["stop", &id, "-n", name, "--as", user, "--yes"]).run()
            }
            _ => scan(user),
        },
    );
    remove_what_is_left(&namespace);
    namespace.assert_nothing_left();
}

#[test]
fn rights_of_a_runner_suffice_for_a_detached_scan() {
    let public = &environment().public;
    let pod = running_pod("web", &format!("{public}/apps/web:1.24"));
    let namespace = Namespace::new("roles-runner", PullSecret::None, vec![pod]);
    let state = Namespace::new("roles-state", PullSecret::None, Vec::new());
    namespace.wait_until_ready();
    let name = namespace.name.as_str();
    let flags = ["-n", name, "--state-namespace", &state.name];
    let applied = Plugin::new(&["rbac", "runner", "--apply"]).with(&flags).run().code(0).stdout;
    assert_eq!(applied.lines().filter(|line| line.ends_with(": created")).count(), 5, "{applied}");
    let user = format!("system:serviceaccount:{name}:clarity-runner");
    wait_until(&user, "create", "configmaps", &state.name);
    assert!(!can(&user, "list", "pods", &state.name), "only ConfigMaps are its business there");
    let scanner = ["--scanner-image", &environment().scanner, "--registry-ca", &environment().registry_ca];
    let id = Plugin::new(&["scan", "--detach", "--cache", "configmap"])
        .with(&["--db-source", &advisories("roles-runner")])
        .with(&flags)
        .with(&scanner)
        .variable("CLARITY_OFFLINE", "no")
        .run()
        .code(0)
        .stdout;
    let id = id.trim_end();
    let osv = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/osv");
    let attached = Plugin::new(&["attach", id, "-n", name, "-o", "json", "--advisories", osv])
        .with(&["--cache", "configmap", "--state-namespace", &state.name])
        .with(&scanner)
        .run()
        .code(0);
    assert_eq!(attached.report()["scan"]["id"], id);

    // Who may only look sees it, and its record.
    let viewer =
        Plugin::new(&["rbac", "viewer", "--for-user", "vera", "--apply"]).with(&flags).run().code(0).stdout;
    assert!(viewer.contains("RoleBinding clarity-viewer-state.user.vera"), "{viewer}");
    wait_until("vera", "list", "configmaps", &state.name);
    let status = Plugin::new(&["status", "-n", name, "--as", "vera"]).run().code(0).stdout;
    assert!(status.contains(id), "{status}");
    let record = ["report", id, "--shared", "--state-namespace", &state.name, "-o", "json", "--as", "vera"];
    let report = Plugin::new(&record).run().report();
    assert_eq!(report["scan"]["id"], id);
    Plugin::scan(&["-n", name, "--as", "vera"]).run().code(4).says(&["can-i create jobs"]);
}

#[test]
fn each_right_of_a_runner_is_needed() {
    let namespace = Namespace::with_image("roles-each", "multi", "apps/multi");
    let name = namespace.name.as_str();
    let scanner = ["--scanner-image", &environment().scanner, "--registry-ca", &environment().registry_ca];
    let state = ["--cache", "configmap", "--state-namespace", name];
    let source = advisories("roles-each");
    Plugin::scan(&["-n", name]).with(&state).run().code(0);
    each_is_needed(
        &namespace,
        &rules("runner", &["-n", name]),
        &[
            ("list", "pods", Some("no right to list pods")),
            ("watch", "pods", Some("watch pods")),
            ("get", "pods/log", Some("get pods/log")),
            ("create", "jobs", Some("create jobs")),
            ("list", "jobs", Some("list jobs")),
            ("watch", "jobs", Some("watch jobs")),
            ("delete", "jobs", Some("delete jobs")),
            ("list", "events", None),
            ("watch", "events", None),
            ("create", "configmaps", Some("create configmaps")),
            ("get", "configmaps", Some("get configmaps")),
            ("list", "configmaps", Some("list configmaps")),
            // For what is damaged, too much or was not used for long: as for a scan, where it is looked at.
            ("patch", "configmaps", None),
            ("delete", "configmaps", None),
            // For a schedule of one run.
            ("delete", "cronjobs", None),
        ],
        |_, right| {
            let once = || {
                let anew: &[&str] = if right == "get-configmaps" { &[] } else { &["--refresh"] };
                let id =
                    Plugin::new(&["scan", "-n", name, "--detach", "--runner", right, "--db-source", &source])
                        .with(&state)
                        .with(&scanner)
                        .with(anew)
                        .variable("CLARITY_OFFLINE", "no")
                        .run()
                        .code(0)
                        .stdout;
                Plugin::new(&["attach", id.trim_end(), "-n", name, "-o", "json", "--offline"])
                    .with(&["--allow-incomplete"])
                    .with(&state)
                    .with(&scanner)
                    .run()
            };
            let mut ended = once();
            // The others read anew, and for a moment there is nothing to get.
            for _ in 0..4 {
                if right == "get-configmaps" && !ended.stdout.contains("get configmaps") {
                    ended = once();
                }
            }
            ended
        },
    );
}
