//! Registries as companies have them: behind mirrors and proxies, with authorities, certificates and names of their own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::certificates::make_certificates;
use crate::detached::{advisories, config_maps, runner_account};
use crate::environment::{environment, kubectl, wait_for};
use crate::namespace::{Namespace, PullSecret, waiting_pod};
use crate::plugin::{Ended, Plugin, assert_has};

/// This machine by the address that its certificate names.
const HOST: &str = "10.99.0.254";

/// A process of a test. It ends with it.
struct Server {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The content of the cluster's own registry, for everyone, by a registry of its own that changes nothing of it. `tls` is what
/// is said of its TLS; none without.
fn registry(tls: Option<&str>) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let data = std::env::var("CLARITY_REGISTRY_DATA").expect("set with the rest");
    let tls = tls.map_or_else(String::new, |more| {
        let [certificate, key] = ["registry.crt", "registry.key"].map(|name| environment().pki(name));
        format!("  tls: {{certificate: {}, key: {}{more}}}\n", certificate.display(), key.display())
    });
    let config = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {data}}}, maintenance: {{readonly: {{enabled: true}}}}}}\n\
         http:\n  addr: '0.0.0.0:0'\n{tls}"
    );
    let file = folder.path().join("config.yml");
    fs::write(&file, config).expect("written");
    let mut process = Command::new("docker-registry")
        .arg("serve")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("docker-registry runs: install the Debian package docker-registry");
    let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let line = lines.by_ref().find(|line| line.contains("listening on ")).expect("it starts");
    // What it writes from now on is read away, or it would wait for us.
    std::thread::spawn(move || lines.for_each(drop));
    let address = line.split("listening on ").nth(1).expect("an address");
    let is_of_it = |c: &char| c.is_ascii_hexdigit() || ":.[]".contains(*c);
    let address: String = address.chars().take_while(is_of_it).collect();
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    Server { process, folder, port }
}

/// A proxy for who knows its password.
fn proxy() -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let port =
        std::net::TcpListener::bind("0.0.0.0:0").and_then(|own| own.local_addr()).expect("a port").port();
    let log = folder.path().join("log");
    let config = format!(
        "Port {port}\nListen 0.0.0.0\nTimeout 30\nLogLevel Connect\nLogFile \"{}\"\nBasicAuth eve hunter2\n",
        log.display()
    );
    let file = folder.path().join("config");
    fs::write(&file, config).expect("written");
    let process = Command::new("tinyproxy")
        .args(["-d", "-c"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("tinyproxy runs: install the Debian package tinyproxy");
    let proxy = Server { process, folder, port };
    wait_for("the proxy", 10, || TcpStream::connect(("127.0.0.1", port)).ok());
    proxy
}

impl Server {
    /// What a proxy was asked for.
    fn asked(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("Request (file descriptor")).map(ToOwned::to_owned).collect()
    }
}

/// A namespace with a pod of an image of this registry.
fn namespace(topic: &str, registry: &str) -> Namespace {
    let image = format!("{registry}/apps/multi@{}", environment().digest("multi"));
    Namespace::new(topic, PullSecret::None, vec![waiting_pod("multi", &image)])
}

fn scan(namespace: &Namespace, flags: &[&str]) -> Plugin {
    Plugin::untrusting(&["-n", &namespace.name]).with(flags)
}

fn secret(name: &str, kind: &str, data: &[(&str, &[u8])]) -> Value {
    let encode = |bytes: &[u8]| json!(base64::engine::general_purpose::STANDARD.encode(bytes));
    let data: serde_json::Map<String, Value> =
        data.iter().map(|(key, bytes)| ((*key).to_owned(), encode(bytes))).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "data": data})
}

fn is_scanned(ended: &Ended) {
    let (state, reason) = ended.only_image();
    assert_eq!(state, "scanned", "{reason}\n{}", ended.stderr);
}

fn write(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

#[test]
fn images_come_from_a_mirror_where_their_registry_is_out_of_reach() {
    let mirror = registry(Some(""));
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "[host.'https://{HOST}:{}']\ncapabilities = ['pull', 'resolve']\nca = 'own.pem'\n",
        mirror.port
    );
    write(folder.path().join("closed.invalid/hosts.toml"), &text);
    fs::copy(&environment().registry_ca, folder.path().join("closed.invalid/own.pem")).expect("copied");
    // The scanner's own image has its registry's name.
    let namespace = namespace("mirror", "closed.invalid");
    let flags = ["--registry-config", &folder.path().display().to_string()].map(str::to_owned);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    is_scanned(&scan(&namespace, &flags).run().code(0));

    let ended = scan(&namespace, &[]).run().code(4).says(&["--registry-proxy URL", "--registry-config PATH"]);
    assert_has(&ended.only_image().1, &["cannot reach closed.invalid"]);
    namespace.assert_nothing_left();
}

#[test]
fn keys_of_this_machine_are_put_into_no_pod() {
    let folder = tempfile::tempdir().expect("a folder");
    make_certificates(folder.path());
    write(
        folder.path().join("hosts.toml"),
        "server = 'https://r.test'\nclient = [['client.pem', 'client.key']]\n",
    );
    let file = folder.path().join("hosts.toml").display().to_string();
    let ended = Plugin::new(&["scan", "-n", "default", "--offline", "--registry-config", &file]).run().code(1);
    assert_has(&ended.stderr, &["a private key of this machine", "--registry-client-secret NAME"]);
}

#[test]
fn pods_ask_through_a_proxy_whose_password_nobody_sees() {
    let (registry, proxy) = (registry(Some("")), proxy());
    let namespace = namespace("proxy", &format!("{HOST}:{}", registry.port));
    let url = format!("http://eve:hunter2@{HOST}:{}\n", proxy.port);
    namespace.add(vec![secret("proxy", "Opaque", &[("url", url.as_bytes())])]);
    let ca = environment().registry_ca.as_str();
    let flags = ["--registry-ca", ca, "--registry-proxy-secret", "proxy"];
    let ended = scan(&namespace, &flags).with(&["--keep-jobs", "always", "-v", "1"]).run().code(0);
    is_scanned(&ended);
    let asked = proxy.asked();
    assert!(asked.iter().any(|line| line.contains(&format!("CONNECT {HOST}:{}", registry.port))), "{asked:#?}");
    let objects = kubectl(&["get", "jobs,pods,events", "-n", &namespace.name, "-o", "yaml"]);
    let pod = namespace.scanner_pod();
    let log = kubectl(&["logs", "-n", &namespace.name, &pod]);
    for (what, text) in
        [("objects", &objects), ("log", &log), ("result", &ended.stdout), ("words", &ended.stderr)]
    {
        assert!(!text.contains("hunter2"), "{what}");
    }
    assert!(objects.contains("secretName: proxy"));

    let before = proxy.asked().len();
    is_scanned(&scan(&namespace, &flags).with(&["--registry-no-proxy", HOST]).run().code(0));
    assert_eq!(proxy.asked().len(), before, "asked directly");

    let wrong = format!("http://{HOST}:{}", proxy.port);
    let ended = scan(&namespace, &["--registry-ca", ca, "--registry-proxy", &wrong]).run().code(4);
    assert_has(&ended.only_image().1, &["the proxy wants a user and a password"]);
    let ended = scan(&namespace, &["--registry-proxy", url.trim()]).run().code(2);
    assert_has(&ended.stderr, &["--registry-proxy-secret NAME[/KEY]"]);
    assert!(!ended.stderr.contains(url.trim()), "its password is not repeated: {}", ended.stderr);
}

#[test]
fn runner_reaches_registries_as_the_scan_was_told() {
    let advisories = advisories("network-runner");
    let (registry, proxy) = (registry(Some("")), proxy());
    let host = format!("{HOST}:{}", registry.port);
    let namespace = namespace("net-runner", &host);
    runner_account(&namespace, &[config_maps()]);
    let url = format!("http://eve:hunter2@{HOST}:{}", proxy.port);
    namespace.add(vec![secret("proxy", "Opaque", &[("address", url.as_bytes())])]);
    let source = advisories.replace(&environment().public, &host);
    let (ca, home) = (environment().registry_ca.as_str(), tempfile::tempdir().expect("a folder"));
    let home = home.path().display().to_string();
    let ended =
        Plugin::new(&["scan", "-n", &namespace.name, "--detach", "--scanner-image", &environment().scanner])
            .with(&["--registry-ca", ca, "--registry-proxy-secret", "proxy/address", "--db-source", &source])
            .variable("CLARITY_OFFLINE", "no")
            .variable("XDG_CACHE_HOME", &home)
            .run()
            .code(0);
    let id = ended.stdout.trim_end();
    let report = Plugin::new(&["attach", id, "-n", &namespace.name, "-o", "json"])
        .variable("XDG_CACHE_HOME", &home)
        .run()
        .report();
    assert_eq!(report["containers"][0]["state"], "scanned", "{report:#}");
    let asked = proxy.asked().iter().filter(|line| line.contains(&format!("CONNECT {host}"))).count();
    assert!(asked >= 2, "the runner for advisories and the scanner for the image: {asked}");
    let objects = kubectl(&["get", "jobs,pods,events,configmaps", "-n", &namespace.name, "-o", "yaml"]);
    assert!(!objects.contains("hunter2") && objects.contains("secretName: proxy"));
}

#[test]
fn secret_that_is_missing_is_said_at_once() {
    let namespace = namespace("no-secret", &environment().public);
    let ca = environment().registry_ca.as_str();
    let flags = ["--registry-ca", ca, "--registry-client-secret", "nowhere"];
    let ended = scan(&namespace, &flags).run().code(4).within(40);
    assert_has(&ended.only_image().1, &["secret \"nowhere\" not found"]);
}

#[test]
fn certificates_of_authorities_come_from_a_config_map() {
    let namespace = namespace("trust", &environment().public);
    let pem = fs::read_to_string(&environment().registry_ca).expect("there");
    namespace.add(vec![json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trust"},
        "data": {"ca.crt": pem, "empty": "nothing"}})]);
    is_scanned(&scan(&namespace, &["--registry-ca", "configmap:trust"]).run().code(0));
    let whole = format!("configmap:{}/trust/ca.crt", namespace.name);
    is_scanned(&scan(&namespace, &["--registry-ca", &whole]).run().code(0));
    for (named, words) in [
        ("configmap:none", "there is no ConfigMap none in namespace"),
        ("configmap:trust/other.pem", "has no key \"other.pem\" (there is: ca.crt, empty)"),
        (&format!("configmap:{}/trust/empty", namespace.name), "it holds no PEM certificate"),
    ] {
        let ended = scan(&namespace, &["--registry-ca", named]).run().code(1);
        assert_has(&ended.stderr, &[words]);
    }
    let nobody = namespace.account_with("view");
    let ended =
        scan(&namespace, &["--registry-ca", "configmap:kube-system/trust", "--as", &nobody]).run().code(1);
    assert_has(&ended.stderr, &["get configmaps in namespace \"kube-system\"", "kubectl auth can-i"]);
}

#[test]
fn pods_show_a_client_certificate_of_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    make_certificates(folder.path());
    let file = |name: &str| folder.path().join(name);
    let registry = registry(Some(&format!(", clientcas: [{}]", file("ca.pem").display())));
    let namespace = namespace("client", &format!("{HOST}:{}", registry.port));
    let read = |path: &Path| fs::read(path).expect("there");
    let (certificate, key) = (read(&file("client.pem")), read(&file("client.key")));
    namespace.add(vec![secret(
        "scanner",
        "kubernetes.io/tls",
        &[("tls.crt", &certificate), ("tls.key", &key)],
    )]);
    let ca = environment().registry_ca.as_str();
    let ended = scan(&namespace, &["--registry-ca", ca]).run().code(4).says(&["--registry-client-secret NAME"]);
    assert_has(&ended.only_image().1, &["takes only clients with a certificate that it knows"]);
    is_scanned(&scan(&namespace, &["--registry-ca", ca, "--registry-client-secret", "scanner"]).run().code(0));
}

#[test]
fn registries_without_tls_or_without_a_name_are_reached_where_that_is_said() {
    let registry = registry(None);
    let plain = namespace("plain", &format!("host.clarity.test:{}", registry.port));
    let host = format!("host.clarity.test:{}", registry.port);
    let hint = format!("if that is meant: --plain-http-registry {host}");
    let ended = scan(&plain, &[]).run().code(4).says(&[&hint]);
    assert_has(&ended.only_image().1, &[&format!("{host} speaks plain HTTP")]);
    is_scanned(&scan(&plain, &["--plain-http-registry", &host]).run().code(0));

    let host = format!("unknown.invalid:{}", registry.port);
    let named = namespace("alias", &host);
    let alias = format!("unknown.invalid={HOST}");
    is_scanned(&scan(&named, &["--plain-http-registry", &host, "--host-alias", &alias]).run().code(0));
}

#[test]
fn policy_that_forbids_egress_is_named() {
    let namespace = namespace("policy", "host.clarity.test:1");
    let ended = scan(&namespace, &[]).run().code(4);
    assert!(!ended.stderr.contains("NetworkPolicy"), "{}", ended.stderr);
    namespace.add(vec![json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "deny-all"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}})]);
    let words = format!(
        "NetworkPolicy \"deny-all\" of namespace {} restricts what its pods may reach: allow egress to host.clarity.test:1 \
         (and DNS) for pods with app.kubernetes.io/name=kubectl-clarity",
        namespace.name
    );
    scan(&namespace, &[]).run().code(4).says(&[&words]);
}
