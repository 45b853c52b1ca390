//! A registry on this machine that stops in the middle of a layer until the test lets it go on.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::environment::environment;

/// A registry with one image. It ends its connections when it is dropped.
pub(crate) struct SlowRegistry {
    /// The image by its digest, as pods name it.
    pub(crate) image: String,
    gate: Arc<Gate>,
    is_down: Arc<AtomicBool>,
}

/// What stands in the middle of every layer.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    open: bool,
    /// Readers that have come to it so far.
    reached: usize,
}

/// What one connection is served from.
struct Content {
    layout: PathBuf,
    layers: Vec<String>,
    gate: Arc<Gate>,
}

impl SlowRegistry {
    /// Serves a fixture image as `host.clarity.test`, the name by which pods know this machine.
    pub(crate) fn serve(fixture: &str) -> Self {
        let environment = environment();
        let (layout, digest) = (environment.layout(fixture), environment.digest(fixture));
        let manifest: Value =
            serde_json::from_slice(&blob(&layout, &digest).expect("a manifest")).expect("json");
        let layers = manifest["layers"].as_array().expect("a list").iter();
        let layers = layers.map(|layer| layer["digest"].as_str().expect("a digest").to_owned()).collect();
        let gate = Arc::new(Gate::default());
        let content = Arc::new(Content { layout, layers, gate: Arc::clone(&gate) });
        let tls = tls();
        // All addresses: only the cluster's side of the machine is reached from its pods.
        let listener = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let is_down = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&is_down);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    continue;
                }
                let (tls, content) = (Arc::clone(&tls), Arc::clone(&content));
                // A client that goes away is none of our concern.
                std::thread::spawn(move || {
                    serve(stream, tls, |stream, method, path| answer(stream, method, path, &content))
                });
            }
        });
        Self { image: format!("host.clarity.test:{port}/slow@{digest}"), gate, is_down }
    }

    /// Name and port of the registry.
    pub(crate) fn host(&self) -> &str {
        self.image.split('/').next().expect("a host")
    }

    /// Hangs up on everybody who comes from now on.
    pub(crate) fn go_down(&self) {
        self.is_down.store(true, Ordering::Relaxed);
    }

    /// Waits until so many readers have come to the middle of a layer.
    pub(crate) fn wait_until_read_by(&self, readers: usize) {
        let state = self.gate.state.lock().expect("no panic");
        let wait = Duration::from_mins(1);
        let (state, waited) = self
            .gate
            .changed
            .wait_timeout_while(state, wait, |state| state.reached < readers)
            .expect("no panic");
        assert!(!waited.timed_out(), "{} readers came, not {readers}", state.reached);
    }

    /// Lets everybody read on.
    pub(crate) fn open(&self) {
        self.gate.state.lock().expect("no panic").open = true;
        self.gate.changed.notify_all();
    }
}

impl Drop for SlowRegistry {
    fn drop(&mut self) {
        self.open();
    }
}

/// What a server of this machine needs to be trusted by the cluster.
pub(crate) fn tls() -> Arc<ServerConfig> {
    let environment = environment();
    tls_with(&environment.pki("registry.crt"), &environment.pki("registry.key"))
}

/// The same with a certificate and its key from these files.
pub(crate) fn tls_with(certificate: &Path, key: &Path) -> Arc<ServerConfig> {
    let certificates = CertificateDer::pem_file_iter(certificate).expect("a certificate");
    let certificates = certificates.collect::<Result<Vec<_>, _>>().expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("they belong together");
    Arc::new(config)
}

/// A blob of an OCI layout.
pub(crate) fn blob(layout: &Path, digest: &str) -> io::Result<Vec<u8>> {
    std::fs::read(layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:")))
}

/// A connection over TLS.
pub(crate) type Stream = StreamOwned<ServerConnection, TcpStream>;

/// Answers the requests of one connection (OCI distribution-spec, "Pull"), each by its method and path.
pub(crate) fn serve(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    answer: impl Fn(&mut Stream, &str, &str) -> io::Result<()>,
) -> io::Result<()> {
    let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut request = String::new();
        if stream.read_line(&mut request)? == 0 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            if stream.read_line(&mut header)? == 0 {
                return Ok(());
            }
            if header.trim().is_empty() {
                break;
            }
        }
        let mut words = request.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        // A runtime says in a query which registry it takes this one for.
        let path = path.split('?').next().unwrap_or_default();
        answer(stream.get_mut(), method, path)?;
    }
}

fn answer(stream: &mut (impl Read + Write), method: &str, path: &str, content: &Content) -> io::Result<()> {
    let digest = path.rsplit('/').next().filter(|last| last.starts_with("sha256:"));
    let Some((digest, bytes)) = digest.and_then(|digest| Some((digest, blob(&content.layout, digest).ok()?)))
    else {
        let status = if path == "/v2/" { "200 OK" } else { "404 Not Found" };
        return write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    };
    let media_type = if path.contains("/manifests/") {
        "application/vnd.oci.image.manifest.v1+json"
    } else {
        "application/octet-stream"
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nDocker-Content-Digest: {digest}\r\n\r\n",
        bytes.len()
    )?;
    if method == "HEAD" {
        return stream.flush();
    }
    let (first, second) = bytes.split_at(bytes.len() / 2);
    stream.write_all(first)?;
    stream.flush()?;
    if content.layers.iter().any(|layer| layer == digest) {
        content.gate.pass();
    }
    stream.write_all(second)?;
    stream.flush()
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().expect("no panic");
        state.reached += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.open).expect("no panic"));
    }
}
