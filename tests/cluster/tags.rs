//! A registry on this machine whose tags are set, moved and deleted by the test.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::environment::environment;
use crate::namespace::random_suffix;
use crate::registry::{Stream, blob, serve, tls};

/// Longer than anybody waits for what a registry says of a tag.
const SILENCE: Duration = Duration::from_secs(20);

/// A registry with one repository.
pub(crate) struct TagRegistry {
    /// Name and port of the registry, by which pods know this machine, and the repository: one that no node has heard of.
    pub(crate) repository: String,
    content: Arc<Mutex<Content>>,
}

/// How it answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Ordinary,
    /// Who asks for a tag is not let in.
    Refuses,
    /// Who asks for a tag gets no answer.
    FallsSilent,
    /// Nobody gets any answer.
    IsOutOfReach,
}

struct Content {
    tags: BTreeMap<String, String>,
    deleted: BTreeSet<String>,
    manner: Manner,
}

impl TagRegistry {
    /// Serves the manifests and layers of all fixtures, by digest, and no tag yet.
    pub(crate) fn serve() -> Self {
        let content = Content { tags: BTreeMap::new(), deleted: BTreeSet::new(), manner: Manner::Ordinary };
        let content = Arc::new(Mutex::new(content));
        let (tls, served) = (tls(), Arc::clone(&content));
        // All addresses: only the cluster's side of the machine is reached from its pods.
        let listener = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (tls, content) = (Arc::clone(&tls), Arc::clone(&served));
                // A client that goes away is none of our concern.
                std::thread::spawn(move || {
                    serve(stream, tls, |stream, method, path| answer(stream, method, path, &content))
                });
            }
        });
        Self { repository: format!("host.clarity.test:{port}/app-{}", random_suffix()), content }
    }

    /// Name and port of the registry.
    pub(crate) fn host(&self) -> &str {
        self.repository.split('/').next().expect("a host")
    }

    /// The image as pods name it.
    pub(crate) fn image(&self, tag: &str) -> String {
        format!("{}:{tag}", self.repository)
    }

    /// Pushes a tag.
    pub(crate) fn push(&self, tag: &str, digest: &str) {
        self.content.lock().expect("no panic").tags.insert(tag.to_owned(), digest.to_owned());
    }

    /// Deletes a manifest and every tag of it.
    pub(crate) fn delete(&self, digest: &str) {
        let mut content = self.content.lock().expect("no panic");
        content.deleted.insert(digest.to_owned());
        content.tags.retain(|_, named| named != digest);
    }

    /// Everybody is answered so from now on.
    pub(crate) fn answer(&self, manner: Manner) {
        self.content.lock().expect("no panic").manner = manner;
    }
}

fn answer(stream: &mut Stream, method: &str, path: &str, content: &Mutex<Content>) -> io::Result<()> {
    let status = |stream: &mut Stream, status: &str| {
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")?;
        stream.flush()
    };
    if content.lock().expect("no panic").manner == Manner::IsOutOfReach {
        std::thread::sleep(SILENCE);
        return Err(io::ErrorKind::TimedOut.into());
    }
    if path == "/v2/" {
        return status(stream, "200 OK");
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let mut digest = Some(name.to_owned());
    if !name.starts_with("sha256:") {
        let (manner, named) = {
            let content = content.lock().expect("no panic");
            (content.manner, content.tags.get(name).cloned())
        };
        match manner {
            Manner::Ordinary => digest = named,
            Manner::Refuses => return status(stream, "403 Forbidden"),
            Manner::FallsSilent | Manner::IsOutOfReach => {
                std::thread::sleep(SILENCE);
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
    let digest = digest.filter(|digest| !content.lock().expect("no panic").deleted.contains(digest));
    let found = digest.and_then(|digest| Some((in_any_layout(&digest)?, digest)));
    let Some((bytes, digest)) = found else { return status(stream, "404 Not Found") };
    let media_type = match serde_json::from_slice::<Value>(&bytes) {
        Ok(json) if path.contains("/manifests/") => json["mediaType"].as_str().unwrap_or_default().to_owned(),
        _ => "application/octet-stream".to_owned(),
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nDocker-Content-Digest: {digest}\r\n\r\n",
        bytes.len()
    )?;
    if method != "HEAD" {
        stream.write_all(&bytes)?;
    }
    stream.flush()
}

/// A blob of one of the fixtures.
fn in_any_layout(digest: &str) -> Option<Vec<u8>> {
    ["payments", "web", "multi"].iter().find_map(|name| blob(&environment().layout(name), digest).ok())
}
