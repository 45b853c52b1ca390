//! Registries behind a real proxy: Debian's tinyproxy.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clarity::registry::{ProxySettings, Registry, Secret, Settings};

use super::real::{RealRegistry, Transport, image};
use super::{amd64, basic, keyring, plain, reference, words};

/// A proxy for who knows its password. Ends when dropped.
struct Proxy {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Proxy {
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let at = folder.path().display();
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 30\nMaxClients 50\nLogLevel Connect\nLogFile \"{at}/log\"\n\
             BasicAuth eve hunter2\n{more}\n"
        );
        fs::write(folder.path().join("config"), config.replace("AT", &at.to_string())).expect("written");
        fs::write(folder.path().join("filter"), "^127\\.0\\.0\\.1$\n").expect("written");
        let process = Command::new("tinyproxy")
            .args(["-d", "-c"])
            .arg(folder.path().join("config"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tinyproxy runs: install the Debian package tinyproxy");
        let proxy = Self { process, folder, port };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return proxy;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!(
            "tinyproxy does not listen: {}",
            fs::read_to_string(proxy.folder.path().join("log")).unwrap_or_default()
        );
    }

    /// The requests that it was asked, by its log.
    fn asked(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("Request (file descriptor")).map(ToOwned::to_owned).collect()
    }

    fn settings(&self, user: &str, except: Option<&str>) -> ProxySettings {
        let address = Secret::new(format!("http://{user}@127.0.0.1:{}", self.port));
        ProxySettings {
            https: Some(address.clone()),
            http: Some(address),
            except: except.map(ToOwned::to_owned),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn registries_are_asked_through_a_proxy_with_its_password() {
    let proxy = Proxy::start("");
    for transport in [Transport::Tls, Transport::Plain] {
        let real = RealRegistry::start(transport);
        let host = real.host();
        let own = if transport == Transport::Tls { real.settings() } else { plain(&host) };
        let registry = Registry::new(Settings { proxy: proxy.settings("eve:hunter2", None), ..own.clone() })
            .expect("set up");
        let target = reference(&format!("{host}/shop/cart:1"));
        let keys = keyring(&host, basic("puller", "pa:ss"));
        registry.push(&image(), &target, &keys).await.expect("pushed");
        let asked = proxy.asked();
        assert!(asked.iter().any(|line| line.contains(&host)), "{asked:#?}");

        for except in ["127.0.0.1", "127.0.0.0/8", "localhost,127.0.0.1"] {
            let before = proxy.asked().len();
            let proxy_settings = proxy.settings("eve:hunter2", Some(except));
            let registry = Registry::new(Settings { proxy: proxy_settings, ..own.clone() }).expect("set up");
            registry.image(&target, &amd64(), &keys).await.expect("asked directly");
            assert_eq!(proxy.asked().len(), before, "{except}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_says_so_and_its_password_is_not_shown() {
    let proxy = Proxy::start("");
    let real = RealRegistry::start(Transport::Tls);
    let host = real.host();
    let ask = async |proxy: ProxySettings| {
        let registry = Registry::new(Settings { proxy, ..real.settings() }).expect("set up");
        let error = registry
            .image(&reference(&format!("{host}/a:1")), &amd64(), &keyring(&host, basic("puller", "pa:ss")))
            .await;
        let error = error.expect_err("not let through");
        (words(&error), format!("{error:?}"))
    };
    let (said, debug) = ask(proxy.settings("eve:s3cret-of-another", None)).await;
    assert!(said.starts_with(&format!("cannot reach {host} for {host}/a: the proxy ")), "{said}");
    assert!(!said.contains("s3cret") && !debug.contains("s3cret"), "{debug}");

    let filtering = Proxy::start("Filter \"AT/filter\"\nFilterType ere");
    let (said, _) = ask(filtering.settings("eve:hunter2", None)).await;
    assert_eq!(said, format!("cannot reach {host} for {host}/a: the proxy does not let it through"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_literals_may_be_asked_directly() {
    let proxy = Proxy::start("");
    let real = RealRegistry::start_at("[::1]:0", Transport::Plain, "");
    let host = format!("[::1]:{}", real.port);
    let except = clarity::network::no_proxy("[::1]").expect("a list");
    let settings = Settings { proxy: proxy.settings("eve:hunter2", Some(&except)), ..plain(&host) };
    let registry = Registry::new(settings).expect("set up");
    let keys = keyring(&host, basic("puller", "pa:ss"));
    registry.push(&image(), &reference(&format!("{host}/shop/cart:1")), &keys).await.expect("pushed");
    assert_eq!(proxy.asked(), Vec::<String>::new());
}
