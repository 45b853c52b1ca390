//! Against Debian's docker-registry.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use clarity::registry::scanner_image::{self, BuiltImage, Program};
use clarity::registry::{Format, Keyring, PullError, Registry, Settings};

use super::certificates::make_certificates;
use super::http::{Response, Server};
use super::{amd64, basic, hurried, keyring, plain, read_layer, reference, words};

/// `e_machine` of x86-64.
pub(crate) const AMD64: u8 = 62;
/// `e_machine` of 64-bit ARM.
pub(crate) const ARM64: u8 = 183;

/// A program of nothing but an ELF header, and as much text as is wanted.
fn program(machine: u8, name: &str, text: &[u8]) -> Program {
    let mut content = vec![0; 64];
    content[..6].copy_from_slice(b"\x7fELF\x02\x01");
    content[18] = machine;
    content.extend_from_slice(text);
    Program { name: name.to_owned(), content }
}

/// An image whose layer is a few hundred KiB, packed or not.
pub(crate) fn image() -> BuiltImage {
    image_for(AMD64)
}

/// The same for another machine.
pub(crate) fn image_for(machine: u8) -> BuiltImage {
    scanner_image::build(&programs(machine)).expect("built")
}

/// The programs of that image.
pub(crate) fn programs(machine: u8) -> [Program; 2] {
    // Numbers from a fixed sequence: text that does not pack well.
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..600_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect();
    [program(machine, "clarity-scan", &noise), program(machine, "kubectl-clarity", b"")]
}

/// A registry with a password, with TLS from a private authority or without. Ends when dropped.
pub(crate) struct RealRegistry {
    process: Child,
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    log: Arc<Mutex<Vec<String>>>,
    /// The lines of requests as they came, with their protocol.
    requests: Arc<Mutex<Vec<String>>>,
}

/// A request that the registry has answered, from its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) status: u64,
    /// Bytes of the answer's body.
    pub(crate) written: u64,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Transport {
    Tls,
    Plain,
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl RealRegistry {
    pub(crate) fn start(transport: Transport) -> Self {
        Self::start_at("127.0.0.1:0", transport, "")
    }

    /// With TLS, for those only who show a certificate of its authority.
    pub(crate) fn start_for_known_clients() -> Self {
        Self::start_at("127.0.0.1:0", Transport::Tls, ", clientcas: [CA]")
    }

    /// At this address; `more` is said of its TLS, where CA is the file of its authority.
    pub(crate) fn start_at(address: &str, transport: Transport, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        fs::write(at.join("htpasswd"), htpasswd()).expect("written");
        let mut config = format!(
            "version: 0.1\nlog: {{level: info, formatter: json}}\n\
             storage: {{filesystem: {{rootdirectory: {0}/store}}, delete: {{enabled: true}}}}\n\
             auth: {{htpasswd: {{realm: \"a, realm\", path: {0}/htpasswd}}}}\n\
             http:\n  addr: '{address}'\n",
            at.display()
        );
        if transport == Transport::Tls {
            make_certificates(at);
            let more = more.replace("CA", &at.join("ca.pem").display().to_string());
            let tls =
                format!("  tls: {{certificate: {0}/server.pem, key: {0}/server.key{more}}}\n", at.display());
            config.push_str(&tls);
        }
        fs::write(at.join("config.yml"), config).expect("written");
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(at.join("config.yml"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry runs: install the Debian package docker-registry");
        let requests = kept(BufReader::new(process.stdout.take().expect("piped")).lines());
        let (port, log) = listening_port(&mut process);
        Self { process, folder, port, log, requests }
    }

    /// What was answered so far. The log comes after the answer: wait with [`RealRegistry::answered_when`] for what must
    /// be in it.
    pub(crate) fn answered(&self) -> Vec<Answered> {
        let log = self.log.lock().expect("no panic");
        let lines = log.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter(|line| line["msg"] == "response completed").map(|line| Answered::of(&line)).collect()
    }

    /// What was answered, once it holds something of the wanted kind.
    pub(crate) async fn answered_when(&self, wanted: impl Fn(&Answered) -> bool) -> Vec<Answered> {
        for _ in 0..500 {
            let answered = self.answered();
            if answered.iter().any(&wanted) {
                return answered;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no such answer: {:#?}", self.answered());
    }

    /// What was turned down so far, as [`RealRegistry::answered_when`] gives what was not.
    pub(crate) async fn refused_when(&self, wanted: impl Fn(&Answered) -> bool) -> Vec<Answered> {
        for _ in 0..500 {
            let log = self.log.lock().expect("no panic").clone();
            let lines = log.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let refused: Vec<_> = lines
                .filter(|line| line["msg"] == "response completed with error")
                .map(|line| Answered::of(&line))
                .collect();
            if refused.iter().any(&wanted) {
                return refused;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nothing of the kind was refused");
    }

    /// Forgets what was answered.
    pub(crate) fn forget(&self) {
        self.log.lock().expect("no panic").clear();
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The certificate of the private authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A file beside it, such as `client.pem`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn settings(&self) -> Settings {
        let authority = fs::read(self.authority()).expect("there with TLS");
        Settings { extra_roots: Some(authority), ..hurried() }
    }
}

impl Answered {
    fn of(line: &serde_json::Value) -> Self {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| line[key].as_u64().unwrap_or_default();
        Self {
            method: text("http.request.method"),
            target: text("http.request.uri"),
            status: number("http.response.status"),
            written: number("http.response.written"),
        }
    }
}

/// The port that the system chose, from the line that says so (`listening on 127.0.0.1:PORT`), and what is logged from
/// then on.
fn listening_port(process: &mut Child) -> (u16, Arc<Mutex<Vec<String>>>) {
    let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
    let ready = lines.by_ref().map_while(Result::ok).find(|line| line.contains("listening on"));
    let line = ready.expect("docker-registry starts");
    let log = kept(lines);
    let address = line.split("listening on ").nth(1).expect("an address");
    let is_of_it = |c: &char| c.is_ascii_hexdigit() || ":.[]".contains(*c);
    let address: String = address.chars().take_while(is_of_it).collect();
    let port = address.rsplit(':').next().unwrap_or_default();
    (port.parse().expect("a port"), log)
}

/// What comes, kept as it comes: if nobody read it, the process would wait for us.
fn kept(lines: impl Iterator<Item = std::io::Result<String>> + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&log);
    std::thread::spawn(move || {
        lines.map_while(Result::ok).for_each(|line| kept.lock().expect("no panic").push(line));
    });
    log
}

/// The line for user `puller` with password `pa:ss`; made once, since bcrypt takes its time.
fn htpasswd() -> &'static [u8] {
    static LINE: OnceLock<Vec<u8>> = OnceLock::new();
    LINE.get_or_init(|| {
        let output = Command::new("htpasswd")
            .args(["-nbB", "-C", "4", "puller", "pa:ss"])
            .output()
            .expect("htpasswd runs: install the Debian package apache2-utils");
        output.stdout
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_over_tls_is_pulled_again_byte_for_byte() {
    let real = RealRegistry::start(Transport::Tls);
    let host = real.host();
    let keyring = keyring(&host, basic("puller", "pa:ss"));
    let registry = Registry::new(real.settings()).expect("set up");
    let image = image();
    let tag = format!("{host}/tools/clarity-scan:1");
    let digest = registry.push(&image, &reference(&tag), &keyring).await.expect("pushed");
    assert_eq!(digest, image.manifest.digest);

    let pulled = registry.image(&reference(&tag), &amd64(), &keyring).await.expect("pulled");
    assert_eq!((pulled.manifest_digest, pulled.index_digest), (digest.clone(), None));
    assert_eq!(pulled.config_digest, image.config.digest);
    assert_eq!(pulled.raw_config, image.config.bytes);
    assert_eq!(pulled.config.config.entrypoint, ["/clarity-scan"]);
    assert_eq!(read_layer(&registry, &tag, &keyring).await.expect("read"), image.layer.bytes);
    assert_eq!(registry.digest_of(&reference(&tag), &keyring).await.expect("there"), digest);

    // A second time everything is there already, and the registry takes it all the same.
    registry.push(&image, &reference(&tag), &keyring).await.expect("pushed again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_speaks_http_2_is_spoken_to_in_it() {
    for (transport, protocol) in [(Transport::Tls, "HTTP/2.0"), (Transport::Plain, "HTTP/1.1")] {
        let real = RealRegistry::start(transport);
        let host = real.host();
        let settings = if transport == Transport::Tls { real.settings() } else { plain(&host) };
        let registry = Registry::new(settings).expect("set up");
        let keyring = keyring(&host, basic("puller", "pa:ss"));
        registry.push(&image(), &reference(&format!("{host}/a:1")), &keyring).await.expect("pushed");
        real.answered_when(|answered| answered.method == "PUT" && answered.target.contains("manifests")).await;
        let requests = real.requests.lock().expect("no panic").clone();
        assert!(requests.len() > 5, "{requests:?}");
        assert!(requests.iter().all(|request| request.contains(protocol)), "{protocol}: {requests:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_nobody_named_is_said_to_be_unknown() {
    let real = RealRegistry::start(Transport::Tls);
    let registry = Registry::new(hurried()).expect("set up");
    let image = format!("{}/a:1", real.host());
    let error = registry.image(&reference(&image), &amd64(), &Keyring::new()).await.expect_err("not trusted");
    assert!(matches!(error, PullError::UnknownIssuer { .. }), "{}", words(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_spoken_only_where_it_was_allowed() {
    let real = RealRegistry::start(Transport::Plain);
    let registry = Registry::new(hurried()).expect("set up");
    let image = reference(&format!("{}/a:1", real.host()));
    let error = registry.image(&image, &amd64(), &Keyring::new()).await.expect_err("no TLS there");
    assert!(matches!(error, PullError::PlainHttp { .. }), "{}", words(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_apart_in_words() {
    let real = RealRegistry::start(Transport::Plain);
    let host = real.host();
    let registry = Registry::new(plain(&host)).expect("set up");
    let image = reference(&format!("{host}/shop/cart:1"));

    let error = registry.image(&image, &amd64(), &Keyring::new()).await.expect_err("no credential");
    assert_eq!(
        words(&error),
        format!(
            "no credential matches {host}/shop/cart: it answered 401 Unauthorized: \
             UNAUTHORIZED: authentication required"
        )
    );

    let wrong = keyring(&host, basic("puller", "wrong"));
    let error = registry.image(&image, &amd64(), &wrong).await.expect_err("wrong password");
    assert_eq!(
        words(&error),
        format!(
            "{host} refused the credentials of secret \"pull\" (entry \"{host}\") for {host}/shop/cart: \
             it answered 401 Unauthorized: UNAUTHORIZED: authentication required"
        )
    );

    let right = keyring(&host, basic("puller", "pa:ss"));
    let error = registry.image(&image, &amd64(), &right).await.expect_err("never pushed");
    assert_eq!(
        words(&error),
        format!(
            "manifest 1 is not in {host}/shop/cart: it answered 404 Not Found: MANIFEST_UNKNOWN: manifest unknown"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_secret_is_tried_when_the_first_is_refused() {
    let real = RealRegistry::start(Transport::Plain);
    let host = real.host();
    let registry = Registry::new(plain(&host)).expect("set up");
    let tag = format!("{host}/a:1");
    let right = keyring(&host, basic("puller", "pa:ss"));
    registry.push(&image(), &reference(&tag), &right).await.expect("pushed");

    let mut both = Keyring::new();
    let old = format!(r#"{{"auths": {{"{host}/a": {{"username": "puller", "password": "old"}}}}}}"#);
    both.add_file("secret \"old\"", Format::DockerConfigJson, old.as_bytes());
    let new = format!(r#"{{"https://{host}": {{"username": "puller", "password": "pa:ss"}}}}"#);
    both.add_file("secret \"new\"", Format::DockerCfg, new.as_bytes());
    read_layer(&registry, &tag, &both).await.expect("read with the second one");
}

#[tokio::test(flavor = "multi_thread")]
async fn copying_from_one_registry_to_another_keeps_the_digest() {
    let (from, to) = (RealRegistry::start(Transport::Plain), RealRegistry::start(Transport::Plain));
    let settings = Settings { plain_http: vec![from.host(), to.host()], ..hurried() };
    let registry = Registry::new(settings).expect("set up");
    let (source, target) = (format!("{}/tools/scan:1", from.host()), format!("{}/copy/scan:2", to.host()));
    let from_keyring = keyring(&from.host(), basic("puller", "pa:ss"));
    let to_keyring = keyring(&to.host(), basic("puller", "pa:ss"));
    let pushed = registry.push(&image(), &reference(&source), &from_keyring).await.expect("pushed");
    let copied = registry.copy(&reference(&source), &from_keyring, &reference(&target), &to_keyring).await;
    assert_eq!(copied.expect("copied"), pushed);
    let layer = read_layer(&registry, &target, &to_keyring).await.expect("read");
    assert_eq!(layer, image().layer.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_takes_nothing_says_why() {
    let full = Server::start(|request| match request.method.as_str() {
        "HEAD" => Response::new(404, ""),
        "POST" => Response::new(202, "").with("Location", "uploads/1?state=x"),
        _ => Response::new(507, r#"{"errors":[{"code":"DENIED","message":"no room left for shop"}]}"#),
    })
    .await;
    let registry = Registry::new(plain(&full.host())).expect("set up");
    let target = reference(&format!("{}/a:1", full.host()));
    let error = registry.push(&image(), &target, &Keyring::new()).await.expect_err("full");
    let text = words(&error);
    assert!(
        text.starts_with(&format!("cannot push to {target}: {} turned down upload of sha256:", full.host()))
    );
    assert!(text.ends_with("it answered 507 Insufficient Storage: DENIED: no room left for shop"), "{text}");
    let put = full.asked_for("/v2/a/blobs/uploads/uploads/1?state=x&digest=sha256%3A");
    assert_eq!(put.len(), 1, "the address was relative to where the upload began: {:?}", full.seen());
}
