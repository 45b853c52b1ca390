use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clarity::registry::{Cloud, IdentityReport};
use serde_json::json;

use super::super::http::{Request, Response, Server};
use super::super::reference;
use super::moto::{self, Moto};
use super::{client, content, path, pull, registry, token_file};

const HOST: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
const ROLE: &str = "arn:aws:iam::123456789012:role/scanner";
const KEYS: &str = r#"{"Code":"Success","AccessKeyId":"ASIA","SecretAccessKey":"secret key","Token":"session token",
    "Expiration":"2099-01-01T00:00:00Z"}"#;

/// What ECR gives for the password `AWS:good`, without an end.
fn password(request: &Request) -> Response {
    let token = STANDARD.encode("AWS:good");
    let data = json!({"authorizationToken": token, "expiresAt": 4_070_908_800.5});
    let target = request.header("x-amz-target").unwrap_or_default();
    let data = if target.starts_with("Spencer") { data } else { json!([data]) };
    Response::new(200, json!({ "authorizationData": data }).to_string())
}

async fn source_of(client: &clarity::registry::Registry, host: &str) -> IdentityReport {
    client.identity(&reference(&format!("{host}/shop/cart")).repository).await.expect("of a cloud")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_a_service_account_reads_an_image_of_ecr() {
    let moto = Moto::start();
    let front = registry(|pair| pair == "AWS:123456789012-auth-token").await;
    let token = token_file("header.claims.signature");
    let client = client(
        HOST,
        &front,
        &[
            ("AWS_ROLE_ARN", ROLE),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", path(&token)),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &moto.address()),
        ],
    );
    pull(&client, HOST).await.expect("pulled");
    let source = format!("the role {ROLE} by the token in {}", path(&token));
    let report = IdentityReport { cloud: Cloud::Aws, source: Some(source), outcome: Ok(()) };
    assert_eq!(source_of(&client, HOST).await, report);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_signed_as_awss_own_library_signs_them() {
    let front = registry(|pair| pair == "AWS:good").await;
    for (host, variable, service, region) in [
        (HOST, "AWS_ENDPOINT_URL_ECR", "ecr", "eu-central-1"),
        ("public.ecr.aws", "AWS_ENDPOINT_URL_ECR_PUBLIC", "ecr-public", "us-east-1"),
    ] {
        let api = Server::start(password).await;
        let address = format!("http://{}", api.host());
        let client = client(
            host,
            &front,
            &[
                ("AWS_ACCESS_KEY_ID", "AKIA"),
                ("AWS_SECRET_ACCESS_KEY", "secret key"),
                ("AWS_SESSION_TOKEN", "session token"),
                // that of the host counts, not this one
                ("AWS_REGION", "ap-south-2"),
                (variable, &address),
            ],
        );
        pull(&client, host).await.expect("pulled");
        let [asked]: [Request; 1] = api.seen().try_into().expect("one request");
        let authorization = asked.header("authorization").expect("signed").to_owned();
        let between = |from: &str, to: &str| {
            let rest = authorization.split_once(from).expect(from).1;
            rest.split(to).next().expect("the value").to_owned()
        };
        let signed: BTreeMap<String, &str> = between("SignedHeaders=", ",")
            .split(';')
            .map(|name| (name.to_owned(), asked.header(name).expect("sent")))
            .collect();
        for name in ["host", "x-amz-date", "x-amz-security-token", "x-amz-target", "x-amz-content-sha256"] {
            assert!(signed.contains_key(name), "{name} is not signed: {authorization}");
        }
        let expected = moto::signature(&json!({
            "url": format!("{address}{}", asked.target),
            "headers": signed,
            "body": String::from_utf8(asked.body.clone()).expect("text"),
            "service": service,
            "region": region,
        }));
        assert_eq!(between("Signature=", ","), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pod_identity_agent_is_shown_the_token_of_the_pod_as_it_is_now() {
    let front = registry(|pair| pair == "AWS:good").await;
    let api = Server::start(password).await;
    let agent = Server::start(|request| match request.header("authorization") {
        Some("newer token") => Response::new(200, KEYS),
        _ => Response::new(400, r#"{"code":"InvalidTokenException","message":"old token is too old"}"#),
    })
    .await;
    let token = token_file("old token");
    let uri = format!("http://{}/v1/credentials", agent.host());
    let api_address = format!("http://{}", api.host());
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path(&token)),
        ("AWS_ENDPOINT_URL_ECR", &api_address),
    ];
    let early = client(HOST, &front, &variables);
    let error = pull(&early, HOST).await.expect_err("refused");
    let reason = format!(
        "no credential matches {HOST}/shop/cart; and there is no cloud identity: the pod identity agent at {} gave \
         nothing for this pod: it answered 400 Bad Request: InvalidTokenException: (secret) is too old: it answered 401",
        agent.host()
    );
    assert!(error.starts_with(&reason), "{error}");

    std::fs::write(token.path(), "newer token").expect("written");
    pull(&client(HOST, &front, &variables), HOST).await.expect("pulled");
    assert_eq!(agent.seen()[1].target, "/v1/credentials");
}

/// An instance with the second version of the metadata service and a role.
async fn instance() -> Server {
    Server::start(|request| match (request.method.as_str(), request.target.as_str()) {
        ("PUT", "/latest/api/token") if request.header("x-aws-ec2-metadata-token-ttl-seconds").is_some() => {
            Response::new(200, "a session")
        }
        _ if request.header("x-aws-ec2-metadata-token") != Some("a session") => Response::new(401, ""),
        ("GET", "/latest/meta-data/iam/security-credentials/") => Response::new(200, "node-role\n"),
        ("GET", "/latest/meta-data/iam/security-credentials/node-role") => Response::new(200, KEYS),
        _ => Response::new(404, ""),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_the_node_is_asked_for_by_the_second_version_of_its_service() {
    let front = registry(|pair| pair == "AWS:good").await;
    let (api, instance) = (Server::start(password).await, instance().await);
    let (api_address, address) = (format!("http://{}", api.host()), format!("http://{}", instance.host()));
    let variables =
        [("AWS_EC2_METADATA_SERVICE_ENDPOINT", address.as_str()), ("AWS_ENDPOINT_URL_ECR", &api_address)];
    pull(&client(HOST, &front, &variables), HOST).await.expect("pulled");
    assert_eq!(api.seen()[0].header("x-amz-security-token"), Some("session token"));

    // An image that everybody may read needs none of it.
    let open = Server::start(content).await;
    let disabled = client(HOST, &open, &[("AWS_EC2_METADATA_DISABLED", "true")]);
    pull(&disabled, HOST).await.expect("pulled");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_instance_that_answers_the_image_is_asked_for_anonymously_after_a_second() {
    let open = Server::start(content).await;
    let silent = Server::start(|_| {
        let mut response = Response::new(200, "").with("Content-Length", "100");
        response.stall = true;
        response
    })
    .await;
    let address = format!("http://{}", silent.host());
    let client = client(HOST, &open, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &address)]);
    let started = Instant::now();
    pull(&client, HOST).await.expect("pulled");
    pull(&client, HOST).await.expect("pulled");
    // A busy machine may take longer than the second.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(silent.seen().len(), 1, "it is not asked again: it never will answer");
    let report = source_of(&client, HOST).await;
    assert_eq!(report.source, Some(format!("the role of the node by {}", silent.host())));
    let host = silent.host();
    assert_eq!(report.outcome, Err(format!("the instance metadata service at {host} did not answer in time")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_be_had_is_said_in_the_words_of_the_service_without_the_token() {
    let front = registry(|_| false).await;
    let sts = Server::start(|request| {
        let token = String::from_utf8_lossy(&request.body).contains("WebIdentityToken=the.pods.token");
        let message = if token { "the.pods.token is not authorized to perform: sts:AssumeRoleWithWebIdentity" } else { "" };
        let body = format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>AccessDenied</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        );
        Response::new(403, body)
    })
    .await;
    let token = token_file("the.pods.token");
    let address = format!("http://{}", sts.host());
    let client = client(
        HOST,
        &front,
        &[
            ("AWS_ROLE_ARN", ROLE),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", path(&token)),
            ("AWS_ENDPOINT_URL_STS", &address),
        ],
    );
    let error = pull(&client, HOST).await.expect_err("refused");
    let reason = format!(
        "there is no cloud identity: the security token service at {} gave nothing for {ROLE}: it answered 403 \
         Forbidden: AccessDenied: (secret) is not authorized to perform: sts:AssumeRoleWithWebIdentity",
        sts.host()
    );
    assert!(error.contains(&reason), "{error}");
    pull(&client, HOST).await.expect_err("refused");
    assert_eq!(sts.seen().len(), 1, "no second time for nothing");
}
