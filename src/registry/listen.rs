//! Finding out why a server hangs up before it has answered anything.
//!
//! By TLS 1.3 a server that refuses the client's certificate says so after the client has begun to speak, and HTTP/2 mostly loses
//! the words with the connection. Whoever connects once more and only listens hears them.

use std::io::Read as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::client::{self, tls_failure};
use super::error::Cause;
use super::settings::Settings;

/// How long anything may take.
const TIME: Duration = Duration::from_secs(2);

/// The alert with which a server ends a connection that it has accepted at first; none if it does not.
pub(super) async fn alert_of(settings: &Settings, url: &Url) -> Option<Cause> {
    let config = Arc::new(client::tls(settings, &client::HostSettings::default()).ok()?);
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default()?;
    tokio::task::spawn_blocking(move || listen(config, &host, port)).await.ok().flatten()
}

fn listen(config: Arc<ClientConfig>, host: &str, port: u16) -> Option<Cause> {
    let address = (host, port).to_socket_addrs().ok()?.next()?;
    let mut socket = TcpStream::connect_timeout(&address, TIME).ok()?;
    socket.set_read_timeout(Some(TIME)).ok()?;
    socket.set_write_timeout(Some(TIME)).ok()?;
    let mut connection = ClientConnection::new(config, ServerName::try_from(host.to_owned()).ok()?).ok()?;
    let error = rustls::Stream::new(&mut connection, &mut socket).read(&mut [0; 1]).err()?;
    match tls_failure(&error) {
        Some(alert @ rustls::Error::AlertReceived(_)) => Some(Cause::of(alert)),
        _ => None,
    }
}
