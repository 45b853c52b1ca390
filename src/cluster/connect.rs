//! From kubeconfig and flags to a client.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// How the cluster is reached: the flags that every kubectl command has.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// `--kubeconfig`; else the files of `KUBECONFIG`, else the one in the home directory.
    pub kubeconfig: Vec<PathBuf>,
    /// The file was named by `--kubeconfig`: nothing stands in for it.
    pub is_named: bool,
    /// `--context`.
    pub context: Option<String>,
    /// `--cluster`.
    pub cluster: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--server`.
    pub server: Option<String>,
    /// `--token`.
    pub token: Option<String>,
    /// `--certificate-authority`.
    pub certificate_authority: Option<PathBuf>,
    /// `--insecure-skip-tls-verify`.
    pub insecure_skip_tls_verify: bool,
    /// `--tls-server-name`.
    pub tls_server_name: Option<String>,
    /// `--as`.
    pub impersonate: Option<String>,
    /// `--as-group`.
    pub impersonate_groups: Vec<String>,
    /// `--as-uid`.
    pub impersonate_uid: Option<String>,
}

/// A client and what the configuration says about it.
#[derive(Clone)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// The namespace of the context, `default` without one.
    pub namespace: String,
    /// Who we are as far as the configuration says: the impersonated user or the name of the user entry.
    pub requester: String,
    /// The server's address.
    pub server: String,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No kubeconfig, and no service account of a pod.
    #[error("there is no kubeconfig ({})", display_paths(.0))]
    NoKubeconfig(Vec<PathBuf>),
    /// A kubeconfig file cannot be used.
    #[error("cannot use the kubeconfig {}", display_paths(.paths))]
    Kubeconfig {
        /// The files that were read.
        paths: Vec<PathBuf>,
        /// Cause.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// The server's address is no URL.
    #[error("{0:?} is not the address of a server")]
    Server(String),
    /// A flag's file cannot be read.
    #[error("cannot read {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// A file holds no certificate.
    #[error("{} holds no PEM certificate", .0.display())]
    Certificate(PathBuf),
    /// A value cannot be sent as an HTTP header.
    #[error("{0:?} cannot be used as a user or group to act as")]
    Impersonate(String),
    /// The client could not be made.
    #[error("cannot set up the connection to the server")]
    Client(#[source] Box<kube::Error>),
}

fn display_paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Makes a client as kubectl would.
pub async fn connect(access: &Access) -> Result<Connection, ConnectError> {
    let (mut config, requester) = load(access).await?;
    if let Some(server) = &access.server {
        config.cluster_url = server.parse().map_err(|_| ConnectError::Server(server.clone()))?;
    }
    if let Some(token) = &access.token {
        config.auth_info = kube::config::AuthInfo { token: Some(token.clone().into()), ..Default::default() };
    }
    if let Some(path) = &access.certificate_authority {
        config.root_cert = Some(certificates(path)?);
        config.root_cert_file = None;
    }
    if access.insecure_skip_tls_verify {
        config.accept_invalid_certs = true;
    }
    if access.tls_server_name.is_some() {
        config.tls_server_name.clone_from(&access.tls_server_name);
    }
    let acting_as = impersonate(&mut config, access)?;
    config.connect_timeout = Some(Duration::from_secs(10));
    let (namespace, server) = (config.default_namespace.clone(), config.cluster_url.to_string());
    let client = Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))?;
    Ok(Connection { client, namespace, requester: acting_as.unwrap_or(requester), server })
}

/// The configuration before flags, and the name of its user.
async fn load(access: &Access) -> Result<(Config, String), ConnectError> {
    let paths = access.kubeconfig.clone();
    let there: Vec<&PathBuf> = paths.iter().filter(|path| path.exists()).collect();
    if there.is_empty() {
        if access.is_named || access.context.is_some() {
            return Err(ConnectError::NoKubeconfig(paths));
        }
        // In a pod, without kubeconfig, the service account serves, as it does for kubectl.
        return match Config::incluster() {
            Ok(config) => Ok((config, "service account of the pod".to_owned())),
            Err(_) if access.server.is_some() => Ok((Config::new(http_placeholder()), "anonymous".to_owned())),
            Err(_) => Err(ConnectError::NoKubeconfig(paths)),
        };
    }
    let wrong =
        |source: KubeconfigError| ConnectError::Kubeconfig { paths: paths.clone(), source: Box::new(source) };
    let mut kubeconfig = Kubeconfig::default();
    for path in there {
        let file = Kubeconfig::read_from(path).map_err(wrong)?;
        kubeconfig = kubeconfig.merge(file).map_err(wrong)?;
    }
    let context = access.context.clone().or_else(|| kubeconfig.current_context.clone());
    let named = kubeconfig.contexts.iter().find(|named| Some(&named.name) == context.as_ref());
    let user = named.and_then(|named| named.context.as_ref()).and_then(|context| context.user.clone());
    let options = KubeConfigOptions {
        context: access.context.clone(),
        cluster: access.cluster.clone(),
        user: access.user.clone(),
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(wrong)?;
    Ok((config, access.user.clone().or(user).unwrap_or_else(|| "anonymous".to_owned())))
}

/// Stands in until `--server` replaces it.
fn http_placeholder() -> http::Uri {
    http::Uri::from_static("https://localhost")
}

fn certificates(path: &PathBuf) -> Result<Vec<Vec<u8>>, ConnectError> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let bytes = std::fs::read(path).map_err(|source| ConnectError::File { path: path.clone(), source })?;
    let certificates: Vec<Vec<u8>> =
        CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok).map(|der| der.to_vec()).collect();
    if certificates.is_empty() { Err(ConnectError::Certificate(path.clone())) } else { Ok(certificates) }
}

/// Adds the impersonation headers, which `kube` leaves to its caller: from flags, else from the kubeconfig. Names
/// whom we act as.
fn impersonate(config: &mut Config, access: &Access) -> Result<Option<String>, ConnectError> {
    let user = access.impersonate.clone().or_else(|| config.auth_info.impersonate.clone());
    let groups = if access.impersonate_groups.is_empty() {
        config.auth_info.impersonate_groups.clone().unwrap_or_default()
    } else {
        access.impersonate_groups.clone()
    };
    let uid = access.impersonate_uid.clone().or_else(|| config.auth_info.impersonate_uid.clone());
    let named = user.iter().map(|user| ("impersonate-user", user));
    let named = named.chain(groups.iter().map(|group| ("impersonate-group", group)));
    for (header, value) in named.chain(uid.iter().map(|uid| ("impersonate-uid", uid))) {
        let text = http::HeaderValue::from_str(value).map_err(|_| ConnectError::Impersonate(value.clone()))?;
        config.headers.push((http::HeaderName::from_static(header), text));
    }
    Ok(user)
}
