//! TLS of our own.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A private authority (`ca.pem`), a certificate of its for this machine (`server.pem`, `server.key`), and one for a client
/// (`client.pem`, `client.key`).
pub(crate) fn make_certificates(folder: &Path) {
    let openssl = |line: &str| {
        let output = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(folder)
            .output()
            .expect("openssl runs: install the Debian package openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority"));
    openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=127.0.0.1"));
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost\n").expect("written");
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
    );
    openssl(&format!("req {key} -keyout client.key -out client.csr -subj /CN=scanner"));
    fs::write(folder.join("usage"), "extendedKeyUsage=clientAuth\n").expect("written");
    openssl(
        "x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out client.pem -days 2 -extfile usage",
    );
}
