//! A server of this machine that the cluster's pods reach and trust, for what only a test can say.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::registry::tls;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Without the question mark.
    pub(crate) query: String,
    /// By name in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// The connection is closed after so many bytes of the body.
    pub(crate) cut_at: Option<usize>,
}

/// A server under the name of this machine in the cluster.
pub(crate) struct HttpsServer {
    /// Name and port.
    pub(crate) host: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }
}

impl Response {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut_at: None }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl HttpsServer {
    /// Answers by a function, until the tests end.
    pub(crate) fn start(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        // All addresses: only the cluster's side of the machine is reached from its pods.
        let listener = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
        Self::start_at(listener, tls(), answer)
    }

    /// The same for another listener, with a certificate for other names.
    pub(crate) fn start_at(
        listener: TcpListener,
        tls: Arc<ServerConfig>,
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Self {
        let port = listener.local_addr().expect("it is bound").port();
        let (answer, seen) = (Arc::new(answer), Arc::new(Mutex::new(Vec::new())));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (tls, answer, log) = (Arc::clone(&tls), Arc::clone(&answer), Arc::clone(&log));
                // A client that goes away is none of our concern.
                std::thread::spawn(move || serve(stream, tls, &*answer, &log));
            }
        });
        Self { host: format!("host.clarity.test:{port}"), seen }
    }

    /// Everything that was asked so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("no panic").clone()
    }
}

fn serve(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    answer: &(dyn Fn(&Request) -> Response + Send + Sync),
    log: &Mutex<Vec<Request>>,
) -> io::Result<()> {
    let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    while let Some(request) = read(&mut stream)? {
        log.lock().expect("no panic").push(request.clone());
        let Response { status, headers, body, cut_at } = answer(&request);
        let out = stream.get_mut();
        write!(out, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len())?;
        for (name, value) in headers {
            write!(out, "{name}: {value}\r\n")?;
        }
        out.write_all(b"\r\n")?;
        if request.method != "HEAD" {
            out.write_all(&body[..cut_at.unwrap_or(body.len()).min(body.len())])?;
        }
        out.flush()?;
        if cut_at.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

fn read(stream: &mut BufReader<StreamOwned<ServerConnection, TcpStream>>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: BTreeMap::new(),
        body: String::new(),
    };
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; request.header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut body)?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(request))
}
