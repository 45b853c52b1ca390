//! Debian's nginx over a folder, with TLS from a private authority. Ends when dropped.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use clarity::registry::Settings;

use super::certificates::make_certificates;
use super::hurried;

pub(crate) struct Nginx {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Nginx {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        make_certificates(folder.path());
        fs::create_dir_all(folder.path().join("root/osv")).expect("made");
        // It cannot be told to take any free port: another process may have taken the one that was found.
        for _ in 0..10 {
            if let Some((process, port)) = serve(folder.path()) {
                return Self { process, folder, port };
            }
        }
        panic!("nginx does not start: {:?}", fs::read_to_string(folder.path().join("error.log")));
    }

    /// The address of the mirror.
    pub(crate) fn base(&self) -> String {
        format!("https://127.0.0.1:{}/osv", self.port)
    }

    pub(crate) fn settings(&self) -> Settings {
        let authority = fs::read(self.folder.path().join("ca.pem")).expect("made");
        Settings { extra_roots: Some(authority), ..hurried() }
    }

    /// Puts a file on the mirror.
    pub(crate) fn put(&self, path: &str, content: &[u8]) {
        let path = self.folder.path().join("root/osv").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }

    /// Where downloads may go.
    pub(crate) fn target(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What was answered since the last call, once there are so many lines: `STATUS BYTES URI`.
    pub(crate) async fn answered(&self, count: usize) -> Vec<String> {
        let log = self.folder.path().join("access.log");
        for _ in 0..500 {
            let text = fs::read_to_string(&log).unwrap_or_default();
            if text.lines().count() >= count {
                fs::File::create(&log).expect("emptied");
                return text.lines().map(ToOwned::to_owned).collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nginx answered less than {count} times");
    }
}

fn serve(folder: &Path) -> Option<(Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|found| found.local_addr()).expect("a port").port();
    let at = folder.display();
    let config = format!(
        "daemon off;\nmaster_process off;\npid {at}/nginx.pid;\nerror_log {at}/error.log;\nevents {{}}\nhttp {{\n\
         client_body_temp_path {at}/tmp;\nproxy_temp_path {at}/tmp;\nfastcgi_temp_path {at}/tmp;\n\
         uwsgi_temp_path {at}/tmp;\nscgi_temp_path {at}/tmp;\nlog_format answers '$status $body_bytes_sent $request_uri';\n\
         access_log {at}/access.log answers;\n\
         server {{\nlisten 127.0.0.1:{port} ssl http2;\n\
         ssl_certificate {at}/server.pem;\nssl_certificate_key {at}/server.key;\nroot {at}/root;\n}}\n}}\n"
    );
    fs::write(folder.join("nginx.conf"), config).expect("written");
    let mut process = Command::new("/usr/sbin/nginx")
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nginx runs: install the Debian package nginx");
    for _ in 0..500 {
        if process.try_wait().expect("a child").is_some() {
            return None;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some((process, port));
        }
        sleep(Duration::from_millis(10));
    }
    let _ = process.kill();
    let _ = process.wait();
    None
}
