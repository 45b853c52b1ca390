//! What clouds are to a pod, at their own host names on port 443 of this machine: a registry of Amazon's and one of Azure's,
//! the services that give passwords for them, and the webhooks that tell pods who they are. Tokens of pods are reviewed by
//! the API server, as the clouds do by its keys.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::environment::{environment, kubectl, kubectl_with, wait_for};
use crate::registry::{blob, tls_with};

/// The registry of Amazon's.
pub(crate) const ECR: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
/// The registry of Azure's.
pub(crate) const ACR: &str = "shop.azurecr.io";
/// This machine as pods know it: where the services are.
const SERVICES: &str = "https://host.clarity.test";
/// The account that stands for an identity.
pub(crate) const ACCOUNT: &str = "scanner";
/// A role that every pod of the account may have.
pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/scanner";

/// The cloud; its content is one fixture image. It ends with the process.
pub(crate) struct Cloud {
    folder: tempfile::TempDir,
}

struct Request {
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Cloud {
    pub(crate) fn serve(fixture: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let openssl = |line: &str| {
            let made =
                Command::new("openssl").args(line.split(' ')).current_dir(&folder).output().expect("openssl");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=clouds"));
        openssl(&format!("req {key} -keyout key -out csr -subj /CN=cloud"));
        let names = format!("subjectAltName=DNS:{ECR},DNS:{ACR},DNS:host.clarity.test\n");
        std::fs::write(folder.path().join("names"), names).expect("room");
        openssl("x509 -req -in csr -CA ca.pem -CAkey ca.key -CAcreateserial -out crt -days 2 -extfile names");
        let tls = tls_with(&folder.path().join("crt"), &folder.path().join("key"));
        // Another run of these tests may have it now.
        let listener =
            wait_for("port 443 of this machine", 120, || TcpListener::bind(("10.99.0.254", 443)).ok());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let tls = Arc::clone(&tls);
                std::thread::spawn(move || {
                    let connection = ServerConnection::new(tls).map_err(std::io::Error::other)?;
                    converse(BufReader::new(StreamOwned::new(connection, stream)), fixture)
                });
            }
        });
        Self { folder }
    }

    /// The authority that signed its certificate.
    pub(crate) fn authority(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }
}

/// Answers the requests of one connection.
fn converse(
    mut stream: BufReader<StreamOwned<ServerConnection, std::net::TcpStream>>,
    fixture: &str,
) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default());
        let mut request = Request { path: path.to_owned(), headers: Vec::new(), body: String::new() };
        loop {
            let mut header = String::new();
            stream.read_line(&mut header)?;
            let Some((name, value)) = header.split_once(':') else { break };
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = request.header("content-length").parse().unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        request.body = String::from_utf8_lossy(&body).into_owned();
        let (status, more, body) = answer(&request, fixture);
        let out = stream.get_mut();
        write!(out, "HTTP/1.1 {status} X\r\n{more}Content-Length: {}\r\n\r\n", body.len())?;
        if method != "HEAD" {
            out.write_all(&body)?;
        }
        out.flush()?;
    }
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    /// A field of a form. Tokens and the values that are looked at need no decoding.
    fn field(&self, name: &str) -> &str {
        let fields = self.body.split('&').filter_map(|pair| pair.split_once('='));
        fields.into_iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }
}

type Answer = (u16, String, Vec<u8>);

fn answer(request: &Request, fixture: &str) -> Answer {
    let plain = |status, text: &str| (status, String::new(), text.as_bytes().to_vec());
    match request.header("host") {
        ECR => {
            let password = format!("Basic {}", STANDARD.encode("AWS:good"));
            if request.header("authorization") == password {
                return content(request, fixture);
            }
            (401, format!("WWW-Authenticate: Basic realm=\"https://{ECR}/\"\r\n"), Vec::new())
        }
        ACR if request.path == "/oauth2/exchange" => match request.field("access_token") {
            "entra" => plain(200, r#"{"refresh_token":"refresh"}"#),
            _ => plain(401, ""),
        },
        ACR if request.path == "/oauth2/token" => match request.field("refresh_token") {
            "refresh" => plain(200, r#"{"access_token":"pull","expires_in":300}"#),
            _ => plain(401, ""),
        },
        ACR if request.header("authorization") == "Bearer pull" => content(request, fixture),
        ACR => {
            let challenge = format!("Bearer realm=\"https://{ACR}/oauth2/token\",service=\"{ACR}\"");
            (401, format!("WWW-Authenticate: {challenge}\r\n"), Vec::new())
        }
        _ if request.field("Action") == "AssumeRoleWithWebIdentity" => {
            let (code, text) = match is_of_account(request.field("WebIdentityToken"), "sts.amazonaws.com") {
                true if request.field("RoleArn") == ROLE.replace(':', "%3A").replace('/', "%2F") => {
                    let keys = "<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
                        <SessionToken>session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>";
                    (200, format!("<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>{keys}\
                        </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"))
                }
                _ => (403, "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized to \
                    perform sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>".to_owned()),
            };
            plain(code, &text)
        }
        _ if request.header("x-amz-target").ends_with("GetAuthorizationToken") => {
            let is_signed = request.header("authorization").contains("Credential=ASIA/")
                && request.header("x-amz-security-token") == "session";
            let token = STANDARD.encode("AWS:good");
            let data =
                json!({"authorizationData": [{"authorizationToken": token, "expiresAt": 4_070_908_800_u64}]});
            if is_signed { plain(200, &data.to_string()) } else { plain(400, "") }
        }
        _ if request.path == "/tenant-1/oauth2/v2.0/token" => {
            match is_of_account(request.field("client_assertion"), "api://AzureADTokenExchange") {
                true => plain(200, r#"{"access_token":"entra","expires_in":3599}"#),
                false => plain(401, r#"{"error":"invalid_client"}"#),
            }
        }
        _ => plain(404, ""),
    }
}

/// Whether the API server takes a token for one of the account, made for an audience.
fn is_of_account(token: &str, audience: &str) -> bool {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "metadata": {"name": "review"}, "spec": {"token": token, "audiences": [audience]}});
    let reviewed = kubectl_with(&["create", "-o", "json", "-f", "-"], &review);
    let status = serde_json::from_str::<Value>(&reviewed).expect("json")["status"].clone();
    let is_ours =
        |user: &str| user.starts_with("system:serviceaccount:") && user.ends_with(&format!(":{ACCOUNT}"));
    status["authenticated"] == true && status["user"]["username"].as_str().is_some_and(is_ours)
}

/// A manifest or blob of the fixture (OCI distribution-spec, "Pull").
fn content(request: &Request, fixture: &str) -> Answer {
    let digest = request.path.rsplit('/').next().unwrap_or_default();
    match blob(&environment().layout(fixture), digest) {
        Ok(bytes) => {
            let is_manifest = request.path.contains("/manifests/");
            let kind = if is_manifest { "vnd.oci.image.manifest.v1+json" } else { "octet-stream" };
            (200, format!("Content-Type: application/{kind}\r\n"), bytes)
        }
        Err(_) => (404, String::new(), Vec::new()),
    }
}

/// What a cloud's webhook is told by annotations, and puts into the pod.
struct Injection {
    /// On the account: without it the pod is left alone.
    annotation: &'static str,
    /// On the pod: containers to leave alone.
    skip: &'static str,
    volume: &'static str,
    audience: &'static str,
    folder: &'static str,
    variables: Vec<(&'static str, String)>,
}

/// The account of the identity, as each cloud wants it.
pub(crate) fn account() -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "annotations": {
        "eks.amazonaws.com/role-arn": ROLE, "azure.workload.identity/client-id": "client-1"}}})
}

/// What `amazon-eks-pod-identity-webhook` makes of a pod, and where the services are.
pub(crate) fn eks(pod: &Value) -> Value {
    let file = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token";
    inject(
        pod,
        &Injection {
            annotation: "eks.amazonaws.com/role-arn",
            skip: "eks.amazonaws.com/skip-containers",
            volume: "aws-iam-token",
            audience: "sts.amazonaws.com",
            folder: "/var/run/secrets/eks.amazonaws.com/serviceaccount",
            variables: vec![
                ("AWS_STS_REGIONAL_ENDPOINTS", "regional".to_owned()),
                ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
                ("AWS_REGION", "us-east-1".to_owned()),
                ("AWS_ROLE_ARN", ROLE.to_owned()),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_owned()),
                ("AWS_ENDPOINT_URL", SERVICES.to_owned()),
            ],
        },
    )
}

/// What `azure-workload-identity` makes of a pod that wants it.
pub(crate) fn azure(pod: &Value) -> Value {
    if pod["metadata"]["labels"]["azure.workload.identity/use"] != "true" {
        return json!([]);
    }
    inject(
        pod,
        &Injection {
            annotation: "azure.workload.identity/client-id",
            skip: "azure.workload.identity/skip-containers",
            volume: "azure-identity-token",
            audience: "api://AzureADTokenExchange",
            folder: "/var/run/secrets/azure/tokens",
            variables: vec![
                ("AZURE_CLIENT_ID", "client-1".to_owned()),
                ("AZURE_TENANT_ID", "tenant-1".to_owned()),
                ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/azure/tokens/token".to_owned()),
                ("AZURE_AUTHORITY_HOST", format!("{SERVICES}/")),
            ],
        },
    )
}

fn inject(pod: &Value, injection: &Injection) -> Value {
    // Only here are the clouds' names this machine's.
    let alias = json!({"op": "add", "path": "/spec/hostAliases",
        "value": [{"ip": "10.99.0.254", "hostnames": [ECR, ACR]}]});
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (namespace, account) = (text(&pod["metadata"]["namespace"]), text(&pod["spec"]["serviceAccountName"]));
    if account.is_empty() {
        return json!([alias]);
    }
    let found = kubectl(&["get", "serviceaccount", &account, "-n", &namespace, "-o", "json"]);
    let found: Value = serde_json::from_str(&found).expect("json");
    if found["metadata"]["annotations"][injection.annotation].is_null() {
        return json!([alias]);
    }
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let skipped = text(&pod["metadata"]["annotations"][injection.skip]);
    let mut patch = vec![alias];
    for (number, container) in list(&pod["spec"]["containers"]).iter().enumerate() {
        if container["name"] == skipped.as_str() {
            continue;
        }
        let (mut env, mut mounts) = (list(&container["env"]), list(&container["volumeMounts"]));
        env.extend(injection.variables.iter().map(|(name, value)| json!({"name": name, "value": value})));
        mounts.push(json!({"name": injection.volume, "mountPath": injection.folder, "readOnly": true}));
        for (key, value) in [("env", env), ("volumeMounts", mounts)] {
            patch
                .push(json!({"op": "add", "path": format!("/spec/containers/{number}/{key}"), "value": value}));
        }
    }
    let mut volumes = list(&pod["spec"]["volumes"]);
    let source = json!({"serviceAccountToken":
        {"audience": injection.audience, "expirationSeconds": 86400, "path": "token"}});
    volumes.push(json!({"name": injection.volume, "projected": {"defaultMode": 420, "sources": [source]}}));
    patch.push(json!({"op": "add", "path": "/spec/volumes", "value": volumes}));
    Value::from(patch)
}
