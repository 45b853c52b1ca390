//! What a pod's pull secrets can pull, in every shape that they have; and that nothing of them is ever seen.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::environment::{environment, kubectl};
use crate::namespace::{Namespace, PullSecret, waiting_pod};
use crate::plugin::{Ended, Plugin, Running, state};
use crate::real_registry::{Door, RealRegistry};
use crate::token_service::{Rights, TokenService};

const PASSWORD: &str = "pa:ss \"hunter2";
const ROBOT: &str = "hunter3";
const REFRESH: &str = "hunter4-refresh";

/// A Secret of a type with one key.
fn secret(name: &str, form: &str, key: &str, content: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": form,
        "data": {key: STANDARD.encode(content.to_string())}})
}

fn docker_config(name: &str, auths: &Value) -> Value {
    secret(name, "kubernetes.io/dockerconfigjson", ".dockerconfigjson", &json!({"auths": auths}))
}

fn pod(name: &str, image: &str, secrets: &[&str]) -> Value {
    let mut pod = waiting_pod(name, image);
    pod["spec"]["imagePullSecrets"] = secrets.iter().map(|name| json!({"name": name})).collect();
    pod
}

/// `repository@digest` of a fixture image in a registry.
fn image(host: &str, path: &str) -> String {
    let fixture = path.rsplit('/').next().expect("a name");
    format!("{host}/{path}@{}", environment().digest(fixture))
}

fn basic(user: &str, password: &str) -> Value {
    json!({"auth": STANDARD.encode(format!("{user}:{password}"))})
}

fn explain(namespace: &Namespace, subject: &str) -> Plugin {
    let environment = environment();
    Plugin::new(&["explain-auth", subject, "-n", &namespace.name, "-o", "json"]).with(&[
        "--scanner-image",
        &environment.scanner,
        "--registry-ca",
        &environment.registry_ca,
    ])
}

/// Everything about pods, Jobs, events and logs of a namespace, as anybody with enough rights sees it. Secrets are not asked for.
fn everything_of(namespace: &Namespace) -> String {
    let mut all = kubectl(&["get", "jobs,pods,events,configmaps", "-n", &namespace.name, "-o", "json"]);
    for pod in namespace.created_by_scans().iter().filter(|name| name.starts_with("pod/")) {
        all += &kubectl(&["logs", "-n", &namespace.name, pod, "--all-containers"]);
        all += &kubectl(&["describe", "-n", &namespace.name, pod]);
    }
    all
}

/// Asserts that none of the secrets is in the text, in no form that they travel in.
#[track_caller]
fn assert_without(text: &str, secrets: &[String]) {
    for secret in secrets {
        for form in
            [secret.clone(), STANDARD.encode(secret), json!(secret).to_string().trim_matches('"').to_owned()]
        {
            assert!(!text.contains(&form), "{form:?} is in:\n{text}");
        }
    }
}

fn secrets() -> Vec<String> {
    let pairs = [("puller", PASSWORD), ("robot", ROBOT)].map(|(user, password)| format!("{user}:{password}"));
    let alone = [PASSWORD, ROBOT, REFRESH].map(ToOwned::to_owned);
    pairs.into_iter().chain(alone).collect()
}

#[track_caller]
fn verdict(ended: &Ended) -> (String, Vec<String>) {
    let told = &ended.report()["images"][0]["answer"]["Ok"];
    let verdict = told["verdict"].as_object().and_then(|verdict| verdict.keys().next()).expect("a verdict");
    let tried = told["tried"].as_array().expect("a list").iter().filter_map(Value::as_str);
    (verdict.clone(), tried.map(ToOwned::to_owned).collect())
}

#[test]
fn secrets_of_every_shape_open_the_registry_as_they_do_for_the_kubelet() {
    let registry = RealRegistry::start(&Door::Passwords(&[("puller", PASSWORD), ("robot", ROBOT)]));
    let host = registry.host.as_str();
    let port = host.rsplit(':').next().expect("a port");
    let good = basic("puller", PASSWORD);
    let plain = json!({"username": "puller", "password": PASSWORD});
    let (glob, with_path) = (format!("*.clarity.test:{port}"), format!("https://{host}/v2/apps"));
    let (repository, wrong) = (format!("{host}/apps/cart"), basic("puller", "hunter2"));
    let objects = vec![
        docker_config("auth", &json!({host: good})),
        docker_config("plain", &json!({host: plain})),
        secret("legacy", "kubernetes.io/dockercfg", ".dockercfg", &json!({host: plain})),
        docker_config("glob", &json!({glob: good})),
        docker_config("path", &json!({with_path: good})),
        docker_config("wrong", &json!({repository: wrong, "quay.test": wrong})),
        docker_config("half", &json!({host: {"auth": "hunter2"}, "a b": good})),
        secret("opaque", "Opaque", "password", &json!(PASSWORD)),
        docker_config("elsewhere", &json!({"clarity.test": good, (host.replace(port, "1")): good})),
    ];
    let cart = image(host, "apps/cart");
    // Which secrets a pod has, and whose entry opens the door after which others.
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("auth", &["auth"], &["auth"]),
        ("plain", &["plain"], &["plain"]),
        ("legacy", &["legacy"], &["legacy"]),
        ("glob", &["glob"], &["glob"]),
        ("path", &["path"], &["path"]),
        ("in-turn", &["auth", "wrong"], &["auth", "wrong"]),
        ("broken", &["missing", "half", "opaque", "legacy"], &["legacy"]),
        ("none", &["elsewhere"], &[]),
    ];
    let pods = cases.iter().map(|(name, secrets, _)| pod(name, &cart, secrets));
    let namespace = Namespace::new("shapes", PullSecret::None, objects.into_iter().chain(pods).collect());
    let running: Vec<(&_, Running)> =
        cases.iter().map(|case| (case, explain(&namespace, case.0).start())).collect();
    let mut all = String::new();
    for ((name, _, tried), running) in running {
        let ended = running.end().code(if tried.is_empty() { 4 } else { 0 });
        let (verdict, shown) = verdict(&ended);
        assert_eq!(verdict, if tried.is_empty() { "refused" } else { "readable" }, "{name}: {}", ended.stdout);
        let names = |shown: &str| shown.split('"').nth(1).expect("a name").to_owned();
        assert_eq!(shown.iter().map(|shown| names(shown)).collect::<Vec<_>>(), **tried, "{name}");
        if *name == "broken" {
            let told = ended.report();
            let broken = told["images"][0]["answer"]["Ok"]["broken"].to_string();
            assert!(
                broken.contains("has an auth that is not base64") && broken.contains("is no registry address")
            );
            let expected = "secret \"opaque\" holds neither .dockerconfigjson nor .dockercfg";
            assert!(ended.stderr.contains(expected), "{}", ended.stderr);
        }
        all += &ended.stdout;
        all += &ended.stderr;
    }
    namespace.assert_nothing_left();
    assert_without(&(all + &everything_of(&namespace)), &secrets());
}

#[test]
fn a_scan_reads_with_each_pod_what_its_own_secrets_open() {
    let registry = RealRegistry::start(&Door::Passwords(&[("puller", PASSWORD), ("robot", ROBOT)]));
    let host = registry.host.as_str();
    let objects = vec![
        docker_config("auth", &json!({host: basic("puller", PASSWORD)})),
        docker_config("robot", &json!({(format!("{host}/apps")): {"username": "robot", "password": ROBOT}})),
        docker_config("half", &json!({host: {"auth": "hunter2"}})),
        docker_config("wrong", &json!({host: basic("robot", "hunter2")})),
        pod("cart", &image(host, "apps/cart"), &["auth"]),
        pod("web", &image(host, "apps/web"), &["missing", "half", "robot"]),
        pod("legacy", &image(host, "apps/legacy"), &["wrong"]),
        pod("multi", &image(host, "apps/multi"), &[]),
    ];
    let namespace = Namespace::new("own", PullSecret::None, objects);
    let ended = Plugin::scan(&["-n", &namespace.name, "--read", "stream", "--keep-jobs", "always", "-v", "5"])
        .run()
        .code(4)
        .says(&["secret \"half\": entry", "has an auth that is not base64: it is left out"]);
    let report = ended.report();
    let states: Vec<(String, String)> =
        report["containers"].as_array().expect("a list").iter().map(state).collect();
    let words: Vec<&str> = states.iter().map(|(state, _)| state.as_str()).collect();
    assert_eq!(words, ["scanned", "failed", "failed", "scanned"], "{states:?}");
    assert!(states[1].1.contains("refused the credentials of secret \"wrong\""), "{states:?}");
    assert!(states[2].1.contains("no credential matches"), "{states:?}");
    assert_without(&(ended.stdout + &ended.stderr + &everything_of(&namespace)), &secrets());
}

#[test]
fn a_registry_with_a_token_service_is_asked_for_one_token_a_repository() {
    let service = TokenService::start(Rights {
        passwords: [("puller", PASSWORD)].into(),
        refresh_tokens: vec![REFRESH],
        public: vec!["apps/multi"],
    });
    let certificate = service.certificate();
    let registry = RealRegistry::start(&Door::Tokens { realm: &service.realm(), certificate: &certificate });
    let host = registry.host.as_str();
    let objects = vec![
        docker_config("password", &json!({host: basic("puller", PASSWORD)})),
        docker_config(
            "refresh",
            &json!({host: {"auth": STANDARD.encode("00000000:"), "identitytoken": REFRESH}}),
        ),
        docker_config("wrong", &json!({host: basic("puller", "hunter2")})),
        pod("cart", &image(host, "apps/cart"), &["password"]),
        pod("web", &image(host, "apps/web"), &["refresh"]),
        pod("multi", &image(host, "apps/multi"), &[]),
        pod("legacy", &image(host, "apps/legacy"), &["wrong"]),
        pod("distroless", &image(host, "apps/distroless"), &[]),
    ];
    let namespace = Namespace::new("tokens", PullSecret::None, objects);
    let ended = Plugin::scan(&["-n", &namespace.name, "--read", "stream", "--keep-jobs", "always", "-v", "5"])
        .run()
        .code(4);
    let report = ended.report();
    let of = |name: &str| {
        let containers = report["containers"].as_array().expect("a list").iter();
        containers
            .filter(|container| container["container"] == name)
            .map(state)
            .next()
            .expect("every container")
    };
    for name in ["cart", "web", "multi"] {
        assert_eq!(of(name).0, "scanned", "{}", of(name).1);
    }
    let (legacy, distroless) = (of("legacy").1, of("distroless").1);
    assert!(
        legacy.contains("no such user, or another password") && legacy.contains("secret \"wrong\""),
        "{legacy}"
    );
    assert!(distroless.contains("no credential matches"), "{distroless}");
    for (scope, times) in service.asked().iter().filter(|(scope, _)| !scope.contains("distroless")) {
        assert_eq!(*times, 1, "{scope} of {:?}", service.asked());
    }

    // Pods that ask are removed, so what is kept is looked at before there are any.
    let kept = everything_of(&namespace);
    let told = explain(&namespace, "web").run().code(0);
    let requests = told.report()["images"][0]["answer"]["Ok"]["exchanges"].to_string();
    assert!(
        requests.contains("POST ") && requests.contains("for a token (repository:apps/web:pull)"),
        "{requests}"
    );

    let seen = ended.stdout + &ended.stderr + &told.stdout + &kept + &registry.log();
    assert_without(&seen, &[secrets(), service.issued()].concat());
}
