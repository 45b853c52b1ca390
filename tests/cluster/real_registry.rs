//! Debian's docker-registry once more, with the content of the cluster's own and other manners.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::environment::environment;

/// Whom it lets in.
pub(crate) enum Door<'a> {
    /// Users with these passwords.
    Passwords(&'a [(&'a str, &'a str)]),
    /// Whoever has a token of the service at this address, signed with the key of this certificate.
    Tokens { realm: &'a str, certificate: &'a Path },
}

/// A registry that pods know as `host.clarity.test:PORT`. Nothing can be pushed to it. It ends when it is dropped.
pub(crate) struct RealRegistry {
    process: Child,
    /// Name and port.
    pub(crate) host: String,
    log: Arc<Mutex<Vec<String>>>,
    _folder: tempfile::TempDir,
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl RealRegistry {
    pub(crate) fn start(door: &Door<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let auth = match door {
            Door::Passwords(users) => {
                let file = folder.path().join("htpasswd");
                std::fs::write(&file, users.iter().map(htpasswd).collect::<String>()).expect("room");
                format!("htpasswd: {{realm: clarity, path: {}}}", file.display())
            }
            Door::Tokens { realm, certificate } => format!(
                "token: {{realm: \"{realm}\", service: clarity, issuer: clarity, rootcertbundle: {}}}",
                certificate.display()
            ),
        };
        let environment = environment();
        let config = format!(
            "version: 0.1\nlog: {{level: info, formatter: json}}\n\
             storage:\n  filesystem: {{rootdirectory: {}}}\n  maintenance: {{readonly: {{enabled: true}}}}\n\
             auth:\n  {auth}\n\
             http:\n  addr: 0.0.0.0:0\n  tls: {{certificate: {}, key: {}}}\n",
            environment.registry_data.display(),
            environment.pki("registry.crt").display(),
            environment.pki("registry.key").display(),
        );
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config).expect("room");
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry");
        let mut lines = BufReader::new(process.stderr.take().expect("it was piped")).lines();
        let ready = lines.by_ref().map_while(Result::ok).find(|line| line.contains("listening on"));
        let ready = ready.expect("docker-registry starts");
        let port = ready.split("listening on ").nth(1).and_then(|address| address.split("]:").nth(1));
        let port: String = port.expect("an address").chars().take_while(char::is_ascii_digit).collect();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        // What it writes is read away, or it would wait for us.
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| kept.lock().expect("no panic").push(line));
        });
        Self { process, host: format!("host.clarity.test:{port}"), log, _folder: folder }
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no panic").join("\n")
    }
}

fn htpasswd((user, password): &(&str, &str)) -> String {
    let line = Command::new("htpasswd").args(["-nbB", "-C", "4", user, password]).output().expect("htpasswd");
    String::from_utf8(line.stdout).expect("text")
}
