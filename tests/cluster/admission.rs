//! Admission, and API servers, that make another pod of the scanner's than was asked for.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::environment::{environment, kubectl, kubectl_with, wait_for};
use crate::namespace::{Namespace, PullSecret, running_pod};
use crate::nodes::open_nodes;
use crate::plugin::{Ended, Plugin, state};
use crate::registry::tls;

/// A webhook that changes the pods of one namespace as long as it lives.
pub(crate) struct Webhook(String);

impl Webhook {
    /// `change` makes a JSON patch of a pod.
    pub(crate) fn changing(namespace: &Namespace, change: fn(&Value) -> Value) -> Self {
        let tls = tls();
        let listener = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let tls = Arc::clone(&tls);
                std::thread::spawn(move || {
                    let connection = ServerConnection::new(tls).map_err(std::io::Error::other)?;
                    serve(BufReader::new(StreamOwned::new(connection, stream)), change)
                });
            }
        });
        let bundle = std::fs::read(environment().pki("ca.crt")).expect("an authority");
        let bundle = base64::engine::general_purpose::STANDARD.encode(bundle);
        let hook = json!({
            "name": "test.kubectl-clarity.io", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": format!("https://10.99.0.254:{port}/"), "caBundle": bundle},
            "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
            "objectSelector": {"matchExpressions": [{"key": "kubectl-clarity.io/scan", "operator": "Exists"}]},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        });
        let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration", "metadata": {"name": namespace.name}, "webhooks": [hook]});
        kubectl_with(&["apply", "--server-side", "-f", "-"], &configuration);
        let webhook = Self(namespace.name.clone());
        webhook.wait_until_in_force();
        webhook
    }

    /// The API server takes a new webhook in a moment after it has stored it.
    fn wait_until_in_force(&self) {
        let mut probe = running_pod("probe", "probe");
        probe["metadata"]["labels"] = json!({"kubectl-clarity.io/scan": "probe"});
        wait_for("the webhook", 30, || {
            let dry = ["create", "--dry-run=server", "-o", "json", "-n", &self.0, "-f", "-"];
            kubectl_with(&dry, &probe).contains("test.kubectl-clarity.io/seen").then_some(())
        });
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let delete = ["delete", "mutatingwebhookconfiguration", &self.0, "--ignore-not-found"];
        // The test has its answer by now.
        let _ = Command::new("kubectl").args(delete).output();
    }
}

/// Answers the requests of one connection.
fn serve(
    mut stream: BufReader<StreamOwned<ServerConnection, std::net::TcpStream>>,
    change: fn(&Value) -> Value,
) -> std::io::Result<()> {
    loop {
        let mut length = 0;
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            stream.read_line(&mut header)?;
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            if header.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let review: Value = serde_json::from_slice(&body)?;
        let pod = &review["request"]["object"];
        let mut patch = change(pod).as_array().expect("a list").clone();
        patch.push(json!({"op": "add", "path": "/metadata/annotations",
            "value": {"test.kubectl-clarity.io/seen": "yes"}}));
        let patch = base64::engine::general_purpose::STANDARD.encode(Value::from(patch).to_string());
        let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
            "uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch}});
        let answer = answer.to_string();
        let out = stream.get_mut();
        write!(
            out,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
        out.flush()?;
    }
}

/// Indexes of the volumes that are images.
fn image_volumes(pod: &Value) -> Vec<usize> {
    let volumes = pod["spec"]["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    (0..volumes.len()).filter(|index| volumes[*index].get("image").is_some()).collect()
}

fn scan_of_changed(topic: &str, change: fn(&Value) -> Value) -> (Ended, Value) {
    let _open = open_nodes();
    let image = format!("{}/shop/payments:2.1", environment().public);
    let namespace = Namespace::new(topic, PullSecret::None, vec![running_pod("app", &image)]);
    namespace.wait_until_ready();
    let _webhook = Webhook::changing(&namespace, change);
    let ended = Plugin::scan(&["-n", &namespace.name]).run().code(0);
    let image = ended.report()["images"][0].clone();
    assert_eq!((state(&image).0.as_str(), &image["packages"]), ("scanned", &json!(20)), "{}", ended.stderr);
    namespace.assert_nothing_left();
    (ended, image)
}

#[test]
fn images_that_a_webhook_takes_out_of_the_pod_are_streamed_and_not_found_empty() {
    let (ended, image) = scan_of_changed("dropped", |pod| {
        let empty = |index| {
            json!({"op": "replace", "path": format!("/spec/volumes/{index}"),
            "value": {"name": pod["spec"]["volumes"][index]["name"], "emptyDir": {}}})
        };
        image_volumes(pod).into_iter().map(empty).collect()
    });
    assert_eq!(image["read_by"]["reader"], "stream");
    let notes = ended.report()["notes"].to_string();
    assert!(
        notes.contains("no image is mounted") && notes.contains("was taken out of the scanner pod"),
        "{notes}"
    );
}

#[test]
fn pull_policy_that_a_webhook_rewrites_is_told() {
    let (ended, image) = scan_of_changed("policy", |pod| {
        let always = |index| {
            json!({"op": "replace", "path": format!("/spec/volumes/{index}/image/pullPolicy"),
            "value": "Always"})
        };
        image_volumes(pod).into_iter().map(always).collect()
    });
    assert_eq!(image["read_by"]["reader"], "volume");
    let notes = ended.report()["notes"].to_string();
    assert!(notes.contains("admission changed the pull policy of"), "{notes}");
}

#[test]
fn pod_that_is_put_out_of_its_user_namespace_is_not_believed() {
    let (ended, image) = scan_of_changed("hostusers", |pod| {
        let has_one = pod["spec"].get("hostUsers").is_some();
        // Pod Security would not admit user 0 on the node either.
        let of_pod = json!({"op": "add", "path": "/spec/securityContext/runAsNonRoot", "value": true});
        let user = json!({"op": "replace", "path": "/spec/securityContext/runAsUser", "value": 65532});
        let out = json!({"op": "remove", "path": "/spec/hostUsers"});
        if has_one { json!([out, user, of_pod]) } else { json!([]) }
    });
    assert_eq!(
        (&image["read_by"]["reader"], &image["read_by"]["user"]),
        (&json!("volume"), &json!("user 65532"))
    );
    let notes = ended.report()["notes"].to_string();
    assert!(notes.contains("was put out of its user namespace"), "{notes}");
}

/// Another API server of the same cluster, with features switched off. It ends with the test.
struct ApiServer(Child);

impl ApiServer {
    const PORT: &str = "6444";

    fn without(feature: &str) -> Self {
        let environment = environment();
        let state = environment.pki("").parent().expect("a folder above").to_owned();
        let first = std::fs::read_to_string(state.join("first")).expect("the cluster runs");
        let first = first.split_whitespace().next().expect("a number").to_owned();
        let inside = Command::new("pgrep").args(["-P", &first]).output().expect("pgrep");
        let inside = String::from_utf8(inside.stdout).expect("text").trim().to_owned();
        let network = format!("--net=/proc/{inside}/ns/net");
        let pki = |name: &str| environment.pki(name).display().to_string();
        let child = Command::new("nsenter")
            .args([&network, "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379"])
            .args(["--secure-port", Self::PORT, &format!("--feature-gates={feature}=false")])
            // It must not make itself known as the cluster's own.
            .args(["--advertise-address=10.99.0.1", "--endpoint-reconciler-type=none"])
            .args(["--service-cluster-ip-range=10.96.0.0/16"])
            .args(["--service-account-issuer=https://kubernetes.default.svc.cluster.local"])
            .args([
                "--service-account-key-file",
                &pki("sa.pub"),
                "--service-account-signing-key-file",
                &pki("sa.key"),
            ])
            .args(["--authorization-mode=Node,RBAC", "--client-ca-file", &pki("ca.crt")])
            .args(["--tls-cert-file", &pki("apiserver.crt"), "--tls-private-key-file", &pki("apiserver.key")])
            .args([
                "--kubelet-client-certificate",
                &pki("admin.crt"),
                "--kubelet-client-key",
                &pki("admin.key"),
            ])
            .args(["--kubelet-preferred-address-types=InternalIP", "--token-auth-file", &pki("tokens.csv")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nsenter");
        let server = Self(child);
        wait_for("another API server", 60, || {
            let ready = Command::new("kubectl")
                .args(["--server", &Self::address(), "get", "--raw", "/readyz"])
                .output();
            ready.expect("kubectl").status.success().then_some(())
        });
        server
    }

    fn address() -> String {
        format!("https://10.99.0.1:{}", Self::PORT)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // It has ended when it could not start.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn api_server_without_image_volumes_leads_to_streams_at_once() {
    let _open = open_nodes();
    let image = format!("{}/shop/payments:2.1", environment().public);
    let namespace = Namespace::new("nofeature", PullSecret::None, vec![running_pod("app", &image)]);
    namespace.wait_until_ready();
    let _server = ApiServer::without("ImageVolume");
    let scan = ["-n", &namespace.name, "--server", &ApiServer::address()];
    let ended = Plugin::scan(&scan).run().code(0).within(40);
    let report = ended.report();
    assert_eq!(report["images"][0]["read_by"]["reader"], "stream");
    let notes = report["notes"].to_string();
    assert!(notes.contains("in this cluster no image is mounted"), "{notes}");
    let jobs = kubectl(&["get", "jobs", "-n", &namespace.name, "-o", "name"]);
    assert_eq!(jobs, "");
    let refused = Plugin::scan(&scan).with(&["--read", "volume"]).run().code(4);
    assert_eq!(refused.only_image().0, "failed");
}
