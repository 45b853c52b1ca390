//! AWS as moto knows it, and its own library, which signs as AWS does.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running moto. It ends when dropped.
pub(crate) struct Moto {
    process: Child,
    port: u16,
}

/// A program of the environment that `scripts/test` makes.
fn program(name: &str) -> PathBuf {
    let cache = std::env::var_os("CLARITY_CACHE").unwrap_or_else(|| "/var/cache/kubectl-clarity".into());
    let path = PathBuf::from(cache).join("tools/moto/bin").join(name);
    assert!(path.exists(), "{} is missing: scripts/test installs moto", path.display());
    path
}

impl Moto {
    pub(crate) fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let process = Command::new(program("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let moto = Self { process, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_mins(1), "moto does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        moto
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Signs a request (JSON) again by botocore.
const SIGN: &str = r"
import hashlib, json, sys
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
asked = json.load(sys.stdin)
request = AWSRequest('POST', asked['url'], headers=asked['headers'], data=asked['body'].encode())
request.context['timestamp'] = asked['headers']['x-amz-date']
assert hashlib.sha256(asked['body'].encode()).hexdigest() == asked['headers']['x-amz-content-sha256']
auth = SigV4Auth(Credentials('AKIA', 'secret key', 'session token'), asked['service'], asked['region'])
print(auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request))
";

/// The signature of a request with the keys `AKIA`, `secret key` and `session token`, by AWS's own library.
pub(crate) fn signature(request: &serde_json::Value) -> String {
    let mut python = Command::new(program("python"))
        .args(["-c", SIGN])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut input = python.stdin.take().expect("piped");
    input.write_all(request.to_string().as_bytes()).expect("written");
    drop(input);
    let output = python.wait_with_output().expect("python ends");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}
