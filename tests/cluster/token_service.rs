//! A token service as distribution specifies it (`spec/auth/token`, `spec/auth/oauth`, `spec/auth/jwt`): its tokens are signed,
//! and docker-registry believes them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use crate::https::{HttpsServer, Request, Response};

/// How long its tokens live, in seconds.
const LIFE: u64 = 60;

/// Who gets tokens: users by name with their passwords, refresh tokens, and repositories that everybody may read.
pub(crate) struct Rights {
    pub(crate) passwords: BTreeMap<&'static str, &'static str>,
    pub(crate) refresh_tokens: Vec<&'static str>,
    pub(crate) public: Vec<&'static str>,
}

/// A running service.
pub(crate) struct TokenService {
    server: HttpsServer,
    key: Arc<Key>,
    issued: Arc<Mutex<Vec<String>>>,
}

/// A key with its certificate.
struct Key {
    folder: tempfile::TempDir,
}

impl TokenService {
    pub(crate) fn start(rights: Rights) -> Self {
        let key = Arc::new(Key::new());
        let issued = Arc::new(Mutex::new(Vec::new()));
        let (signing, noting) = (Arc::clone(&key), Arc::clone(&issued));
        let server = HttpsServer::start(move |request| {
            let Some(subject) = subject(request, &rights) else {
                return Response::new(401, r#"{"details": "no such user, or another password"}"#);
            };
            let scopes = parameters(request).into_iter().filter(|(name, _)| name == "scope");
            let may_read = |name: &str| !subject.is_empty() || rights.public.contains(&name);
            let access = scopes.filter_map(|(_, scope)| {
                let mut parts = scope.splitn(3, ':').map(ToOwned::to_owned);
                let (_, name) = (parts.next()?, parts.next()?);
                may_read(&name).then(|| json!({"type": "repository", "name": name, "actions": ["pull"]}))
            });
            let token = signing.token(&subject, &access.collect::<Vec<_>>());
            noting.lock().expect("no panic").push(token.clone());
            let name = if request.method == "POST" { "access_token" } else { "token" };
            Response::new(200, json!({name: token, "expires_in": LIFE}).to_string())
        });
        Self { server, key, issued }
    }

    /// Its address.
    pub(crate) fn realm(&self) -> String {
        format!("https://{}/token", self.server.host)
    }

    /// The certificate by which its tokens are believed.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.key.path("certificate.pem")
    }

    /// How often a token was asked for, by what was asked for: query or form.
    pub(crate) fn asked(&self) -> BTreeMap<String, usize> {
        let mut asked = BTreeMap::new();
        for request in self.server.seen() {
            let scopes = parameters(&request).into_iter().filter(|(name, _)| name == "scope");
            *asked.entry(scopes.map(|(_, scope)| scope).collect::<Vec<_>>().join(" ")).or_default() += 1;
        }
        asked
    }

    /// All tokens that it has given.
    pub(crate) fn issued(&self) -> Vec<String> {
        self.issued.lock().expect("no panic").clone()
    }
}

/// Who asks: empty for somebody without a credential, none for somebody with a wrong one.
fn subject(request: &Request, rights: &Rights) -> Option<String> {
    if request.method == "POST" {
        let form = parameters(request);
        let token = form.iter().find(|(name, _)| name == "refresh_token").map(|(_, token)| token.as_str());
        return rights.refresh_tokens.iter().any(|known| Some(*known) == token).then(|| "robot".to_owned());
    }
    let Some(basic) = request.header("authorization").strip_prefix("Basic ") else {
        return Some(String::new());
    };
    let decoded = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    (rights.passwords.get(user) == Some(&password)).then(|| user.to_owned())
}

/// The query of a GET, the form of a POST.
fn parameters(request: &Request) -> Vec<(String, String)> {
    let text = if request.method == "POST" { &request.body } else { &request.query };
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

impl Key {
    fn new() -> Self {
        let key = Self { folder: tempfile::tempdir().expect("a folder") };
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                "/CN=tokens",
                "-days",
                "2",
                "-keyout",
            ])
            .arg(key.path("key.pem"))
            .arg("-out")
            .arg(key.path("certificate.pem"))
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        key
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A JSON Web Token. RFC 7519, with the certificate in its header (RFC 7515, `x5c`).
    fn token(&self, subject: &str, access: &[serde_json::Value]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let pem = std::fs::read_to_string(self.path("certificate.pem")).expect("made");
        let certificate: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [certificate]});
        let claims = json!({"iss": "clarity", "sub": subject, "aud": "clarity", "exp": now + LIFE, "nbf": now - 10,
            "iat": now, "jti": format!("{now}"), "access": access});
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed =
            format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        format!("{signed}.{}", encode(&sign(&self.path("key.pem"), signed.as_bytes())))
    }
}

fn sign(key: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl");
    openssl.stdin.take().expect("it was piped").write_all(bytes).expect("it reads");
    openssl.wait_with_output().expect("openssl ends").stdout
}
