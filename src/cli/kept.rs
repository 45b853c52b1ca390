//! The flags that say where what was read of images is kept.

use std::path::PathBuf;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::errors::Explained;
use super::ui;
use crate::cluster::Scope;
use crate::job::Claim;
use crate::scan::{CacheConfig, CachePods, Shared};

/// The published scanner image of this version.
pub(super) const SCANNER_IMAGE: &str = concat!("ghcr.io/kubectl-clarity/scanner:v", env!("CARGO_PKG_VERSION"));

/// How a claim is named in the flag.
const CLAIM: &str = "pvc:";

/// Where lists of packages are kept.
#[derive(Clone, Debug, Args)]
pub(super) struct KeptArgs {
    /// Where lists of packages are kept, so that an image is read once: local on this machine, configmap also in the
    /// cluster for others, pvc:NAME also on the volume of that claim, none nowhere; auto is configmap where
    /// there is a namespace clarity-system, else local
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "auto",
        env = "CLARITY_SBOM_CACHE",
        hide_env_values = true,
        value_parser = cache_place
    )]
    cache: CachePlace,
    /// Namespace of the ConfigMaps [default: clarity-system if there is one, else the one that is scanned], or of the claim
    /// [default: the one that is scanned]
    #[arg(long, value_name = "NAME")]
    state_namespace: Option<String>,
}

/// Whose pods are started.
#[derive(Clone, Debug, Args)]
pub(super) struct ScannerArgs {
    /// Image of the scanner
    #[arg(long, value_name = "REF", default_value = SCANNER_IMAGE)]
    scanner_image: String,
    /// Secret with the credential for the scanner's image, in the namespaces of its pods
    #[arg(long, value_name = "NAME")]
    scanner_pull_secret: Option<String>,
    /// ServiceAccount of the scanner pods
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum CachePlace {
    Auto,
    ConfigMap,
    Claim(String),
    Local,
    None,
}

/// Reads where lists of packages are kept.
fn cache_place(text: &str) -> Result<CachePlace, String> {
    match text {
        "auto" => Ok(CachePlace::Auto),
        "configmap" => Ok(CachePlace::ConfigMap),
        "local" => Ok(CachePlace::Local),
        "none" => Ok(CachePlace::None),
        _ => match claim_name(text)? {
            Some(name) => Ok(CachePlace::Claim(name)),
            None => Err("expected auto, configmap, pvc:NAME, local or none".to_owned()),
        },
    }
}

/// The name in `pvc:NAME`; none if something else is meant.
pub(super) fn claim_name(text: &str) -> Result<Option<String>, String> {
    let Some(name) = text.strip_prefix(CLAIM) else { return Ok(None) };
    if is_subdomain(name) {
        return Ok(Some(name.to_owned()));
    }
    Err("expected the name of a PersistentVolumeClaim after pvc:".to_owned())
}

/// Whether most objects may be named so. RFC 1123, "subdomain".
pub(super) fn is_subdomain(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(is_inner)
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Reads the name of a namespace. RFC 1123, "label".
pub(super) fn label(text: &str) -> Result<String, String> {
    let is_label = is_subdomain(text) && !text.contains('.') && text.len() <= 63;
    if is_label { Ok(text.to_owned()) } else { Err("expected the name of a namespace".to_owned()) }
}

impl ScannerArgs {
    /// How the pods look.
    pub(super) fn complete(self) -> CachePods {
        let Self { scanner_image, scanner_pull_secret, service_account } = self;
        CachePods { scanner_image, scanner_pull_secret, service_account }
    }
}

impl KeptArgs {
    /// The stores that are meant. Without a home folder nothing is kept on this machine.
    pub(super) fn complete(self, scope: &Scope) -> Result<CacheConfig, Explained> {
        let Self { cache, state_namespace } = self;
        Ok(CacheConfig {
            local: folder().filter(|_| cache != CachePlace::None),
            shared: match cache {
                // Whoever names a namespace means it.
                CachePlace::Auto if state_namespace.is_some() => Shared::Always,
                CachePlace::Auto => Shared::WherePrepared,
                CachePlace::ConfigMap => Shared::Always,
                CachePlace::Claim(name) => {
                    let namespace = state_namespace.clone().or_else(|| scope.namespace.clone());
                    let Some(namespace) = namespace else {
                        let cause = std::io::Error::other("a claim is in one namespace, and all are looked at");
                        let message = format!("it is not said where the claim {name} is");
                        return Err(
                            Explained::new(message, &cause).hint("name its namespace: --state-namespace NAME")
                        );
                    };
                    Shared::Claim(Claim { namespace, name })
                }
                CachePlace::Local | CachePlace::None => Shared::Never,
            },
            state_namespace,
        })
    }
}

/// What is cancelled by Ctrl-C, if a pod may have to be removed then; otherwise Ctrl-C ends the program.
pub(super) fn stop_if_pods(cache: &CacheConfig) -> CancellationToken {
    let stop = CancellationToken::new();
    if matches!(cache.shared, Shared::Claim(_)) {
        ui::stop_on_signal(stop.clone());
    }
    stop
}

/// The folder of this machine.
pub(super) fn folder() -> Option<PathBuf> {
    dirs::cache_dir().map(|folder| folder.join("kubectl-clarity").join("sboms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(cache: &str, state_namespace: Option<&str>, scope: Option<&str>) -> Result<Shared, String> {
        let state_namespace = state_namespace.map(ToOwned::to_owned);
        let args = KeptArgs { cache: cache_place(cache)?, state_namespace };
        let scope = Scope { namespace: scope.map(ToOwned::to_owned), ..Scope::default() };
        args.complete(&scope).map(|config| config.shared).map_err(|error| error.in_words())
    }

    #[test]
    fn claim_is_in_the_namespace_that_is_named_else_in_that_of_the_scan() {
        let claim = |namespace: &str| {
            Ok(Shared::Claim(Claim { namespace: namespace.to_owned(), name: "sboms.v1".to_owned() }))
        };
        assert_eq!(completed("pvc:sboms.v1", None, Some("shop")), claim("shop"));
        assert_eq!(completed("pvc:sboms.v1", Some("state"), Some("shop")), claim("state"));
        assert_eq!(completed("pvc:sboms.v1", Some("state"), None), claim("state"));
        let said = completed("pvc:sboms.v1", None, None).expect_err("no namespace");
        assert_eq!(
            said,
            "it is not said where the claim sboms.v1 is: a claim is in one namespace, and all are looked at"
        );
    }

    #[test]
    fn places_are_those_of_the_help_and_names_are_those_that_claims_have() {
        for (text, place) in [
            ("auto", CachePlace::Auto),
            ("configmap", CachePlace::ConfigMap),
            ("local", CachePlace::Local),
            ("none", CachePlace::None),
        ] {
            assert_eq!(cache_place(text), Ok(place));
        }
        for wrong in ["", "pvc", "pvc:", "pvc:-a", "pvc:A", "pvc:a/b", "pvc:a..b", "volume", "Auto"] {
            assert!(cache_place(wrong).is_err(), "{wrong}");
        }
    }
}
