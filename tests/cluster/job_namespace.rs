//! Scanner pods in a namespace of their own: with copies of the credentials that their images need, for as long as they need them.

use std::net::TcpListener;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::environment::{environment, kubectl, kubectl_with, wait_for};
use crate::namespace::{Namespace, PullSecret, running_pod, waiting_pod, with_secret};
use crate::nodes::open_nodes;
use crate::plugin::{Ended, Plugin, Running, scan_with_job_in, state};
use crate::registry::SlowRegistry;
use crate::rights::account;

fn encoded(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// An entry of a docker configuration that opens the private registry.
fn good() -> Value {
    let (user, password) = &environment().credential;
    json!({"auth": encoded(&format!("{user}:{password}"))})
}

/// One that opens nothing.
fn bad() -> Value {
    json!({"auth": encoded("eve:hunter2")})
}

/// A Secret with these entries, in one shape or the other.
fn secret(name: &str, is_old: bool, entries: &Value) -> Value {
    let (kind, key, content) = if is_old {
        ("kubernetes.io/dockercfg", ".dockercfg", entries.clone())
    } else {
        ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", json!({"auths": entries}))
    };
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind,
        "data": {key: encoded(&content.to_string())}})
}

fn with_secrets(names: &[&str], mut pod: Value) -> Value {
    pod["spec"]["imagePullSecrets"] = names.iter().map(|name| json!({"name": name})).collect();
    pod
}

fn private_image() -> String {
    format!("{}/apps/multi@{}", environment().registry, environment().digest("multi"))
}

/// A namespace with private images whose pods name several secrets, one for scanner pods, and a registry in which one image hangs.
struct Place {
    shop: Namespace,
    tools: Namespace,
    registry: SlowRegistry,
}

impl Place {
    fn new(topic: &str) -> Self {
        let registry = SlowRegistry::serve("payments");
        let (private, slow) = (environment().registry.as_str(), registry.host());
        let names = ["useless", "missing", "old", "new"];
        let objects = vec![
            secret("useless", false, &json!({"other.test": bad()})),
            secret("old", true, &json!({private: good(), "other.test": bad()})),
            secret("new", false, &json!({"another.test": bad(), slow: bad()})),
            with_secrets(&names, waiting_pod("private", &private_image())),
            with_secrets(&names, waiting_pod("slow", &registry.image)),
        ];
        let shop = Namespace::new(&format!("jobns-{topic}"), PullSecret::None, objects);
        Self {
            shop,
            tools: Namespace::new(&format!("jobns-{topic}-tools"), PullSecret::None, Vec::new()),
            registry,
        }
    }

    fn scan(&self, flags: &[&str]) -> Running {
        scan(&self.shop, &self.tools).with(flags).start()
    }

    /// A scan that has its pod, with its copies, and hangs; its id.
    fn hanging(&self, flags: &[&str]) -> (Running, String) {
        let running = self.scan(flags);
        self.registry.wait_until_read_by(1);
        assert_eq!(self.copies().len(), 2);
        (running, scan_with_job_in(&self.tools.name))
    }

    fn copies(&self) -> Vec<Value> {
        copies(&self.tools)
    }

    fn assert_nothing_left(&self) {
        self.tools.assert_nothing_left();
        assert_eq!(self.shop.created_by_scans(), [""; 0]);
    }
}

fn scan(shop: &Namespace, tools: &Namespace) -> Plugin {
    Plugin::scan(&["-n", &shop.name, "--job-namespace", &tools.name])
}

/// The Secrets that scans have made there.
fn copies(tools: &Namespace) -> Vec<Value> {
    let label = "app.kubernetes.io/managed-by=kubectl-clarity";
    let listed = kubectl(&["get", "secrets", "-n", &tools.name, "-l", label, "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed).expect("json");
    listed["items"].as_array().expect("a list").clone()
}

/// State and reason of the container of this name.
fn container(report: &Value, name: &str) -> (String, String) {
    let containers = report["containers"].as_array().expect("a list");
    state(containers.iter().find(|container| container["container"] == name).expect("every container"))
}

#[test]
fn private_images_are_read_with_copies_of_no_more_than_they_need() {
    let place = Place::new("read");
    let (running, id) = place.hanging(&["--read", "stream"]);
    let content = |copy: &Value, key: &str| {
        let data = copy["data"].as_object().expect("data");
        assert_eq!(data.len(), 1, "{data:?}");
        let text = base64::engine::general_purpose::STANDARD.decode(data[key].as_str().expect("text"));
        serde_json::from_slice::<Value>(&text.expect("base64")).expect("json")
    };
    let copies = place.copies();
    let names: Vec<&str> =
        copies.iter().map(|copy| copy["metadata"]["name"].as_str().expect("a name")).collect();
    assert_eq!(names, [format!("clarity-{id}-1-pull-2"), format!("clarity-{id}-1-pull-3")]);
    assert_eq!(content(&copies[0], ".dockercfg"), json!({environment().registry.as_str(): good()}));
    assert_eq!(content(&copies[1], ".dockerconfigjson"), json!({"auths": {place.registry.host(): bad()}}));
    for copy in &copies {
        assert_eq!(
            (&copy["immutable"], &copy["metadata"]["ownerReferences"][0]["kind"]),
            (&json!(true), &json!("Job"))
        );
    }
    let status = Plugin::new(&["status", &id, "-n", &place.tools.name, "-o", "json"]).run().code(0).report();
    assert_eq!(status[0]["scope"], format!("-n {}", place.shop.name));
    place.registry.open();
    let ended = running.end().code(0);
    let report = ended.report();
    assert_eq!(report["coverage"]["scanned"], 2);
    let said = format!("the scanner pods run in namespace \"{}\"", place.tools.name);
    let notes = report["notes"].as_array().expect("a list");
    assert!(notes.iter().any(|note| note.as_str().is_some_and(|note| note.starts_with(&said))), "{notes:?}");
    place.assert_nothing_left();
}

#[test]
fn private_images_are_mounted_with_copies() {
    let _open = open_nodes();
    let web = with_secret(running_pod("web", &format!("{}/apps/web:1.24", environment().registry)));
    let shop = Namespace::new("jobns-mount", PullSecret::ForPods, vec![web]);
    let tools = Namespace::new("jobns-mount-tools", PullSecret::None, Vec::new());
    shop.wait_until_ready();
    let report = scan(&shop, &tools).with(&["--read", "volume"]).run().code(0).report();
    assert_eq!(report["coverage"]["scanned"], 1);
    assert_eq!(report["images"][0]["read_by"]["reader"], "volume", "{:#}", report["images"][0]["read_by"]);
    tools.assert_nothing_left();
}

#[test]
fn what_is_interrupted_leaves_no_credential() {
    let place = Place::new("interrupt");
    let (running, id) = place.hanging(&[]);
    running.signal("INT");
    running.end().code(130).says(&[&format!("scan {id} was interrupted")]);
    place.assert_nothing_left();
}

#[test]
fn what_is_stopped_from_elsewhere_leaves_no_credential() {
    let place = Place::new("stop");
    let (running, id) = place.hanging(&[]);
    Plugin::new(&["stop", &id, "-n", &place.tools.name]).run().code(0);
    running.end().code(130).says(&["was stopped by"]);
    place.assert_nothing_left();
}

#[test]
fn credentials_of_a_client_that_was_killed_go_with_its_job() {
    let place = Place::new("killed");
    let (running, id) = place.hanging(&[]);
    running.signal("KILL");
    running.end();
    assert_eq!(place.copies().len(), 2);
    kubectl(&["delete", "job", "-n", &place.tools.name, &format!("clarity-{id}-1")]);
    place.assert_nothing_left();
}

/// Lets requests for Secrets of scans hang, as long as it lives.
struct Hang {
    name: String,
    _nobody: TcpListener,
}

impl Hang {
    fn secrets_of(namespace: &Namespace) -> Self {
        let nobody = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
        let port = nobody.local_addr().expect("it is bound").port();
        let hook = json!({
            "name": "hang.kubectl-clarity.io", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": format!("https://10.99.0.254:{port}/")}, "timeoutSeconds": 15,
            "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}],
        });
        kubectl_with(
            &["apply", "--server-side", "-f", "-"],
            &json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": namespace.name}, "webhooks": [hook]}),
        );
        // The API server takes a new webhook in a moment after it has stored it.
        std::thread::sleep(Duration::from_secs(3));
        Self { name: namespace.name.clone(), _nobody: nobody }
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        let delete = ["delete", "validatingwebhookconfiguration", &self.name, "--ignore-not-found"];
        // The test has its answer by now.
        let _ = std::process::Command::new("kubectl").args(delete).output();
    }
}

#[test]
fn job_that_is_never_given_its_credentials_ends_by_its_deadline() {
    let place = Place::new("between");
    let hang = Hang::secrets_of(&place.tools);
    let running = place.scan(&["--timeout", "10s", "--read", "stream"]);
    let pod = place.tools.scanner_pod();
    running.signal("KILL");
    running.end();
    drop(hang);
    assert_eq!(place.copies(), [json!(null); 0]);
    let phase = kubectl(&["get", "pod", "-n", &place.tools.name, &pod, "-o", "jsonpath={.status.phase}"]);
    assert_eq!(phase, "Pending", "it waits for its Secrets");
    wait_for("the end of the Job", 90, || {
        let failed = "jsonpath={.items[*].status.conditions[?(@.type=='Failed')].reason}";
        let reason = kubectl(&["get", "jobs", "-n", &place.tools.name, "-o", failed]);
        reason.contains("DeadlineExceeded").then_some(())
    });
    // Nobody has to wait for its time to live.
    Plugin::new(&["stop", "--all", "--yes", "-n", &place.tools.name]).run().code(0);
    place.assert_nothing_left();
}

#[test]
fn job_that_is_kept_keeps_no_credential() {
    let place = Place::new("kept");
    place.registry.open();
    place.scan(&["--keep-jobs", "always"]).end().code(0);
    let left = place.tools.created_by_scans();
    assert!(left.iter().any(|name| name.starts_with("job.batch/")), "{left:?}");
    assert!(!left.iter().any(|name| name.starts_with("secret/")), "{left:?}");
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": [resource], "verbs": verbs})
}

/// Somebody who may look at pods of one namespace and start scanner pods in another, and has these further rights; their name.
fn person(shop: &Namespace, tools: &Namespace, in_shop: Vec<Value>, in_tools: Vec<Value>) -> String {
    let mut rules = vec![rule("", "pods", &["list"])];
    rules.extend(in_shop);
    let user = account(shop, "ann", &Value::from(rules));
    let mut rules = vec![
        rule("", "pods", &["list", "watch"]),
        rule("", "pods/log", &["get"]),
        rule("batch", "jobs", &["create", "list", "watch", "delete"]),
        rule("", "events", &["list", "watch"]),
    ];
    rules.extend(in_tools);
    tools.add(vec![
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "ann"}, "rules": rules}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "ann"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ann"},
            "subjects": [{"kind": "ServiceAccount", "name": "ann", "namespace": shop.name}]}),
    ]);
    wait_for("the rights in the other namespace", 10, || {
        let mut can_i = std::process::Command::new("kubectl");
        can_i.args(["auth", "can-i", "create", "jobs", "-n", &tools.name, "--as", &user]);
        can_i.output().expect("kubectl starts").status.success().then_some(())
    });
    user
}

/// A namespace with a private and a public image, and one for scanner pods.
fn mixed(topic: &str) -> (Namespace, Namespace) {
    let public = format!("{}/apps/web@{}", environment().public, environment().digest("web"));
    let pods = vec![
        with_secret(waiting_pod("private", &private_image())),
        with_secret(waiting_pod("public", &public)),
    ];
    let shop = Namespace::new(&format!("jobns-{topic}"), PullSecret::ForPods, pods);
    (shop, Namespace::new(&format!("jobns-{topic}-tools"), PullSecret::None, Vec::new()))
}

#[test]
fn the_rights_that_the_readme_names_suffice() {
    let (shop, tools) = mixed("rights");
    let copies = vec![rule("", "secrets", &["create", "delete"])];
    let user = person(&shop, &tools, vec![rule("", "secrets", &["get"])], copies);
    let ended = scan(&shop, &tools).with(&["--as", &user]).run().code(0);
    assert_eq!(ended.report()["coverage"]["scanned"], 2);
    tools.assert_nothing_left();
}

#[test]
fn who_may_not_read_secrets_reads_public_images_and_is_told() {
    let (shop, tools) = mixed("noget");
    let user = person(&shop, &tools, Vec::new(), Vec::new());
    let ended = scan(&shop, &tools).with(&["--as", &user]).run().code(4);
    let said = format!("no right to get secrets in namespace \"{}\": ", shop.name);
    assert_eq!(ended.stderr.matches(&said).count(), 1, "{}", ended.stderr);
    let report = ended.says(&["without --job-namespace) need no such right"]).report();
    assert_eq!(container(&report, "public").0, "scanned");
    let (state, reason) = container(&report, "private");
    assert_eq!(state, "failed", "{reason}");
    tools.assert_nothing_left();
}

#[test]
fn who_may_not_make_secrets_is_told_and_leaves_no_job() {
    let (shop, tools) = mixed("nocreate");
    let user = person(&shop, &tools, vec![rule("", "secrets", &["get"])], Vec::new());
    let ended = scan(&shop, &tools).with(&["--as", &user]).run().code(4).within(30);
    let (state, reason) = container(&ended.report(), "private");
    let missing = format!("no right to create secrets in namespace \"{}\"", tools.name);
    assert!(state == "failed" && reason.contains(&missing), "{state}: {reason}");
    ended.says(&[&format!("kubectl auth can-i create secrets -n {}", tools.name), "without --job-namespace"]);
    tools.assert_nothing_left();
    let plan = Plugin::new(&["plan", "-n", &shop.name, "--job-namespace", &tools.name, "--as", &user]).run();
    let plan = plan.code(1).stdout;
    assert!(plan.contains("Missing right: create secrets in namespace"), "{plan}");
}

#[test]
fn secrets_of_one_name_in_two_namespaces_are_told_apart() {
    let tools = Namespace::new("jobns-two-tools", PullSecret::None, Vec::new());
    let label = &tools.name;
    let private = environment().registry.as_str();
    let with = |topic: &str, entry: Value| {
        let mut pod = with_secrets(&["pull"], waiting_pod("private", &private_image()));
        pod["metadata"]["labels"] = json!({"test": label});
        let objects = vec![secret("pull", false, &json!({private: entry})), pod];
        Namespace::new(&format!("jobns-two-{topic}"), PullSecret::None, objects)
    };
    // The first in the alphabet is asked first.
    let (_wrong, _right) = (with("a", bad()), with("b", good()));
    let selector = format!("test={label}");
    let ended: Ended =
        Plugin::scan(&["-A", "-l", &selector, "--job-namespace", &tools.name, "-v", "1"]).run().code(0);
    assert_eq!(ended.report()["coverage"]["scanned"], 2);
    tools.assert_nothing_left();
}

#[test]
fn namespace_that_is_not_there_is_named() {
    let shop = Namespace::with_image("jobns-nowhere", "multi", "apps/multi");
    let scan = Plugin::scan(&["-n", &shop.name, "--job-namespace", "test-nowhere"]).run();
    scan.code(1).says(&["namespace \"test-nowhere\" not found"]);
}

#[test]
fn plan_shows_where_the_pods_would_run_and_makes_nothing() {
    let (shop, tools) = mixed("plan");
    let plan = Plugin::new(&["plan", "-n", &shop.name, "--job-namespace", &tools.name, "-o", "json"])
        .run()
        .code(0)
        .report();
    let job = &plan["jobs"][0];
    assert_eq!(job["metadata"]["namespace"], tools.name.as_str());
    let volume = &job["spec"]["template"]["spec"]["volumes"][0]["secret"];
    assert_eq!(volume["optional"], false, "{volume}");
    assert!(!plan.to_string().contains(&good()["auth"].as_str().expect("text")[..8]));
    tools.assert_nothing_left();
}
