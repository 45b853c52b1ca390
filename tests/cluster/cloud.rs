//! What clouds are to a pod, at their own host names on port 443 of this machine: a registry of Amazon's and one of Azure's,
//! the services that give passwords for them, and the webhooks that tell pods who they are. Tokens of pods are reviewed by
//! the API server, as the clouds do by its keys.

use std::net::TcpListener;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::environment::{environment, kubectl, kubectl_with, wait_for};
use crate::https::{HttpsServer, Request, Response};
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
        HttpsServer::start_at(listener, tls, move |request| answer(request, fixture));
        Self { folder }
    }

    /// The authority that signed its certificate.
    pub(crate) fn authority(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }
}

/// A field of a form. Tokens and the values that are looked at need no decoding.
fn field<'a>(request: &'a Request, name: &str) -> &'a str {
    let mut fields = request.body.split('&').filter_map(|pair| pair.split_once('='));
    fields.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

fn answer(request: &Request, fixture: &str) -> Response {
    match request.header("host") {
        ECR => {
            let password = format!("Basic {}", STANDARD.encode("AWS:good"));
            if request.header("authorization") == password {
                return content(request, fixture);
            }
            Response::new(401, "").with("WWW-Authenticate", format!("Basic realm=\"https://{ECR}/\""))
        }
        ACR if request.path == "/oauth2/exchange" => match field(request, "access_token") {
            "entra" => Response::new(200, r#"{"refresh_token":"refresh"}"#),
            _ => Response::new(401, ""),
        },
        ACR if request.path == "/oauth2/token" => match field(request, "refresh_token") {
            "refresh" => Response::new(200, r#"{"access_token":"pull","expires_in":300}"#),
            _ => Response::new(401, ""),
        },
        ACR if request.header("authorization") == "Bearer pull" => content(request, fixture),
        ACR => {
            let challenge = format!("Bearer realm=\"https://{ACR}/oauth2/token\",service=\"{ACR}\"");
            Response::new(401, "").with("WWW-Authenticate", challenge)
        }
        _ if field(request, "Action") == "AssumeRoleWithWebIdentity" => {
            let is_role = field(request, "RoleArn") == ROLE.replace(':', "%3A").replace('/', "%2F");
            if !is_role || !is_of_account(field(request, "WebIdentityToken"), "sts.amazonaws.com") {
                let error = "<Code>AccessDenied</Code><Message>Not authorized</Message>";
                return Response::new(403, format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>"));
            }
            let keys = "<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
                <SessionToken>session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>";
            let action = "AssumeRoleWithWebIdentity";
            let result = format!("<{action}Result><Credentials>{keys}</Credentials></{action}Result>");
            Response::new(200, format!("<{action}Response>{result}</{action}Response>"))
        }
        _ if request.header("x-amz-target").ends_with("GetAuthorizationToken") => {
            let is_signed = request.header("authorization").contains("Credential=ASIA/")
                && request.header("x-amz-security-token") == "session";
            let token = STANDARD.encode("AWS:good");
            let data =
                json!({"authorizationData": [{"authorizationToken": token, "expiresAt": 4_070_908_800_u64}]});
            if is_signed { Response::new(200, data.to_string()) } else { Response::new(400, "") }
        }
        _ if request.path == "/tenant-1/oauth2/v2.0/token" => {
            let is_ours = is_of_account(field(request, "client_assertion"), "api://AzureADTokenExchange");
            if !is_ours {
                return Response::new(401, r#"{"error":"invalid_client"}"#);
            }
            Response::new(200, r#"{"access_token":"entra","expires_in":3599}"#)
        }
        _ => Response::new(404, ""),
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
fn content(request: &Request, fixture: &str) -> Response {
    let digest = request.path.rsplit('/').next().unwrap_or_default();
    match blob(&environment().layout(fixture), digest) {
        Ok(bytes) => {
            let is_manifest = request.path.contains("/manifests/");
            let kind = if is_manifest { "vnd.oci.image.manifest.v1+json" } else { "octet-stream" };
            Response::new(200, bytes).with("Content-Type", format!("application/{kind}"))
        }
        Err(_) => Response::new(404, ""),
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
