//! What the tests find around them: the cluster, its registry, the fixture images, and a scanner image made from the
//! program under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Where things are.
pub(crate) struct Environment {
    /// The registry that wants a password, by the name that pods use.
    pub(crate) registry: String,
    /// The same content for everyone.
    pub(crate) public: String,
    /// The authority that signed both registries' certificates.
    pub(crate) registry_ca: String,
    /// Name and password of the registry.
    pub(crate) credential: (String, String),
    /// The scanner made from this build, where everyone can pull it.
    pub(crate) scanner: String,
    /// The same where a credential is needed.
    pub(crate) private_scanner: String,
    /// Folder with a folder for each node.
    nodes: PathBuf,
    /// Where docker-registry keeps what both registries serve.
    pub(crate) registry_data: PathBuf,
    images: PathBuf,
    cache: PathBuf,
}

static ENVIRONMENT: LazyLock<Result<Environment, String>> = LazyLock::new(Environment::find);

/// The environment of all tests.
///
/// # Panics
/// There is no cluster; the message says how to get one.
pub(crate) fn environment() -> &'static Environment {
    match &*ENVIRONMENT {
        Ok(environment) => environment,
        Err(why) => panic!(
            "{why}\n\nThese tests want a cluster. All at once: scripts/test\nOr step by step:\n  \
             scripts/cluster up 2\n  eval \"$(scripts/cluster env)\"\n  tests/images/build && scripts/shop\n"
        ),
    }
}

impl Environment {
    fn find() -> Result<Self, String> {
        let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
        let cache = PathBuf::from(variable("CLARITY_CACHE")?);
        let kubeconfig = variable("KUBECONFIG")?;
        if !Path::new(&kubeconfig).starts_with(&cache) {
            return Err(format!("KUBECONFIG is {kubeconfig}, which is not the cluster made for tests"));
        }
        let ready = Command::new("kubectl").args(["--request-timeout=10s", "get", "--raw", "/readyz"]).output();
        let ready = ready.map_err(|error| format!("cannot run kubectl: {error}"))?;
        if !ready.status.success() {
            return Err(format!("the cluster does not answer: {}", String::from_utf8_lossy(&ready.stderr)));
        }
        let (registry, public) = (variable("CLARITY_REGISTRY")?, variable("CLARITY_PUBLIC_REGISTRY")?);
        let address = variable("CLARITY_REGISTRY_ADDRESS")?;
        let registry_ca = variable("CLARITY_REGISTRY_CA")?;
        let digest = push_scanner(&address, &registry_ca)?;
        Ok(Self {
            scanner: format!("{public}/clarity/scanner@{digest}"),
            private_scanner: format!("{registry}/clarity/scanner@{digest}"),
            registry,
            public,
            registry_ca,
            credential: (variable("CLARITY_REGISTRY_USER")?, variable("CLARITY_REGISTRY_PASSWORD")?),
            nodes: PathBuf::from(variable("CLARITY_NODES")?),
            registry_data: PathBuf::from(variable("CLARITY_REGISTRY_DATA")?),
            images: PathBuf::from(variable("CLARITY_IMAGES")?),
            cache,
        })
    }

    /// Digest of a fixture image.
    pub(crate) fn digest(&self, fixture: &str) -> String {
        let index = self.layout(fixture).join("index.json");
        let text = std::fs::read_to_string(&index).expect("the fixtures are made by tests/images/build");
        let index: Value = serde_json::from_str(&text).expect("json");
        index["manifests"][0]["digest"].as_str().expect("a digest").to_owned()
    }

    /// The OCI layout of a fixture image.
    pub(crate) fn layout(&self, fixture: &str) -> PathBuf {
        self.images.join(fixture).join("oci")
    }

    /// What dpkg or apk says is installed in a fixture image: rows of tab-separated fields.
    pub(crate) fn packages(&self, fixture: &str) -> Vec<Vec<String>> {
        let file = self.images.join(fixture).join("packages.tsv");
        let text = std::fs::read_to_string(file).expect("the fixtures are made by tests/images/build");
        text.lines().map(|line| line.split('\t').map(ToOwned::to_owned).collect()).collect()
    }

    /// Folder whose pods the kubelet of the first node runs by itself.
    pub(crate) fn static_pods(&self) -> PathBuf {
        self.nodes.join("node1/manifests")
    }

    /// Lets the nodes pull from a registry of this machine, as long as the result lives.
    pub(crate) fn trust(&self, host: &str) -> Trust {
        let port = host.rsplit(':').next().expect("a port");
        self.trust_at(host, &format!("10.99.0.254:{port}"))
    }

    /// Lets the nodes pull from the public registry by the name of another, as long as the result lives.
    pub(crate) fn trust_as_public(&self, host: &str) -> Trust {
        let port = self.public.rsplit(':').next().expect("a port");
        self.trust_at(host, &format!("10.99.0.1:{port}"))
    }

    fn trust_at(&self, host: &str, address: &str) -> Trust {
        let ca = &self.registry_ca;
        let text = format!("server = \"https://{host}\"\n[host.\"https://{address}\"]\n  ca = \"{ca}\"\n");
        let folders = ["node1", "node2"].map(|node| self.nodes.join(node).join("certs.d").join(host));
        for folder in &folders {
            std::fs::create_dir_all(folder).expect("room");
            std::fs::write(folder.join("hosts.toml"), &text).expect("room");
        }
        Trust(folders)
    }

    /// Runs containerd's own client on a node, in the namespace of Kubernetes; what it printed.
    ///
    /// # Panics
    /// It failed.
    #[track_caller]
    pub(crate) fn ctr(&self, node: &str, arguments: &[&str]) -> String {
        let socket = self.nodes.join(node).join("containerd.sock").display().to_string();
        let output =
            Command::new("ctr").args(["-a", &socket, "-n", "k8s.io"]).args(arguments).output().expect("ctr");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ctr {}: {said}", arguments.join(" "));
        String::from_utf8(output.stdout).expect("text")
    }

    /// A file of the cluster's own certificate authority.
    pub(crate) fn pki(&self, name: &str) -> PathBuf {
        self.cache.join("cluster/pki").join(name)
    }
}

/// What a runtime was told of a registry; taken back in the end.
pub(crate) struct Trust([PathBuf; 2]);

impl Drop for Trust {
    fn drop(&mut self) {
        for folder in &self.0 {
            // Nothing is left to do if it cannot be removed.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Puts the scanner that was built beside the plugin into the registry; its digest. By digest it cannot be mistaken
/// for an earlier one that a node still has.
fn push_scanner(address: &str, ca: &str) -> Result<String, String> {
    let pushed = Command::new(env!("CARGO_BIN_EXE_kubectl-clarity"))
        .args(["image", "push", &format!("{address}/clarity/scanner:test"), "--registry-ca", ca])
        .output()
        .map_err(|error| format!("cannot run the plugin: {error}"))?;
    let said = String::from_utf8_lossy(&pushed.stdout);
    match said.trim().split_once('@') {
        Some((_, digest)) if pushed.status.success() => Ok(digest.to_owned()),
        _ => Err(format!("cannot push the scanner: {}", String::from_utf8_lossy(&pushed.stderr))),
    }
}

/// A certificate authority that signed nothing here: a folder that holds it while it lives, and its path.
pub(crate) fn another_authority() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=another", "-days", "2"])
        .args(["-keyout", &path("key"), "-out", &path("ca")])
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let ca = path("ca");
    (folder, ca)
}

/// Runs kubectl with a manifest on its input; what it printed.
///
/// # Panics
/// It failed.
#[track_caller]
pub(crate) fn kubectl_with(arguments: &[&str], input: &Value) -> String {
    try_kubectl_with(arguments, input).unwrap_or_else(|why| panic!("kubectl {}: {why}", arguments.join(" ")))
}

/// The same for what may fail; what kubectl said then.
pub(crate) fn try_kubectl_with(arguments: &[&str], input: &Value) -> Result<String, String> {
    use std::io::Write as _;
    let mut kubectl = Command::new("kubectl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl");
    let mut stdin = kubectl.stdin.take().expect("it was piped");
    stdin.write_all(input.to_string().as_bytes()).expect("kubectl reads it");
    drop(stdin);
    let output = kubectl.wait_with_output().expect("kubectl ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// Runs kubectl; what it printed.
///
/// # Panics
/// It failed.
#[track_caller]
pub(crate) fn kubectl(arguments: &[&str]) -> String {
    kubectl_with(arguments, &Value::Null)
}

/// Tries until there is an answer.
///
/// # Panics
/// There was none in time.
pub(crate) fn wait_for<T>(what: &str, seconds: u64, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = attempt() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {seconds} s");
        std::thread::sleep(Duration::from_millis(50));
    }
}
