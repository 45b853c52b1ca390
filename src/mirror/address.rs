//! Where a mirror is, who we are to it, and what its files are called. Pure.

use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::error::{MirrorError, shown};
use crate::registry::{Secret, allows_plain, host_of};

/// Longest part of a path, in bytes.
const SEGMENT_LIMIT: usize = 255;

/// The base address of a mirror.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// Without name and password.
    base: Url,
    login: Option<Login>,
}

/// Name and password from the address.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) username: String,
    pub(super) password: Secret,
}

impl Address {
    pub(super) fn parse(base: &str, plain_http: &[String]) -> Result<Self, MirrorError> {
        let mut base = Url::parse(base).map_err(|_| MirrorError::Address { what: "is no URL" })?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(MirrorError::Address { what: "is not one of HTTPS" });
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(MirrorError::Address { what: "has a part after its path, which no file can be below" });
        }
        let login = login_of(&base)?;
        // These cannot fail for an address with a host.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        if base.scheme() == "http" && !allows_plain(plain_http, &host_of(&base)) {
            return Err(MirrorError::PlainHttp { url: shown(&base), host: host_of(&base) });
        }
        Ok(Self { base, login })
    }

    /// The base without a slash at its end.
    pub(super) fn as_str(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The address of a file below the base.
    pub(super) fn of(&self, path: &[&str]) -> Result<Url, MirrorError> {
        let is_name = |part: &&str| {
            !matches!(*part, "" | "." | "..")
                && part.len() <= SEGMENT_LIMIT
                && !part.contains(|c: char| c.is_control())
        };
        if let Some(&name) = path.iter().find(|part| !is_name(part)) {
            return Err(MirrorError::Name { name: name.chars().take(SEGMENT_LIMIT).collect() });
        }
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Ok(url)
    }

    /// Who to say we are to a server: only to the mirror itself, never to where it redirects.
    pub(super) fn login_for(&self, url: &Url) -> Option<&Login> {
        self.login.as_ref().filter(|_| url.origin() == self.base.origin())
    }

    /// What must not be shown when an answer is quoted.
    pub(super) fn secrets(&self) -> Vec<String> {
        self.login.iter().map(|login| login.password.expose().to_owned()).collect()
    }
}

fn login_of(base: &Url) -> Result<Option<Login>, MirrorError> {
    if base.username().is_empty() && base.password().is_none() {
        return Ok(None);
    }
    let decoded = |text| percent_decode_str(text).decode_utf8();
    match (decoded(base.username()), decoded(base.password().unwrap_or_default())) {
        (Ok(username), Ok(password)) => {
            Ok(Some(Login { username: username.into_owned(), password: Secret::new(password) }))
        }
        _ => Err(MirrorError::Address { what: "has a name or password that is no text" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(base: &str) -> Result<Address, MirrorError> {
        Address::parse(base, &["plain.test".to_owned()])
    }

    fn of(base: &str, path: &[&str]) -> String {
        address(base).expect("an address").of(path).expect("a name").to_string()
    }

    #[test]
    fn files_lie_below_the_base_whatever_they_are_called() {
        for base in ["https://a.test/osv/v1", "https://a.test/osv/v1/"] {
            assert_eq!(of(base, &["Debian", "all.zip"]), "https://a.test/osv/v1/Debian/all.zip");
        }
        assert_eq!(of("https://a.test", &["Rocky Linux", "all.zip"]), "https://a.test/Rocky%20Linux/all.zip");
        assert_eq!(of("https://a.test", &["a/b?c#d%20"]), "https://a.test/a%2Fb%3Fc%23d%2520");
        assert_eq!(of("https://a.test/with%20space", &["x"]), "https://a.test/with%20space/x");
    }

    #[test]
    fn names_that_would_leave_the_mirror_are_none() {
        let address = address("https://a.test/osv").expect("an address");
        for name in ["", ".", "..", "a\nb", &"x".repeat(256)] {
            let error = address.of(&[name, "all.zip"]).expect_err("no name");
            assert!(matches!(error, MirrorError::Name { .. }), "{error}");
        }
    }

    #[test]
    fn the_clear_is_spoken_only_where_that_was_allowed() {
        assert_eq!(of("http://plain.test:8080/osv", &["x"]), "http://plain.test:8080/osv/x");
        let error = address("http://user:hunter2@a.test/osv").expect_err("in the clear");
        assert_eq!(
            error.to_string(),
            "the mirror http://a.test/osv is spoken to in plain HTTP, which is not allowed"
        );
        for base in
            ["ftp://a.test/", "file:///osv", "osv", "https://", "https://a.test/?x", "https://a.test/#x"]
        {
            assert!(matches!(address(base), Err(MirrorError::Address { .. })), "{base}");
        }
    }

    #[test]
    fn a_password_goes_to_the_mirror_only_and_is_never_shown() {
        let address = address("https://user:p%40ss@a.test/osv").expect("an address");
        let login = |url: &str| address.login_for(&Url::parse(url).expect("a URL")).cloned();
        let ours = login("https://a.test/other").expect("the mirror");
        assert_eq!((ours.username.as_str(), ours.password.expose()), ("user", "p@ss"));
        for other in ["https://b.test/osv", "http://a.test/osv", "https://a.test:8443/osv"] {
            assert!(login(other).is_none(), "{other}");
        }
        assert!(!format!("{address:?}").contains("p@ss") && !format!("{address:?}").contains("p%40ss"));
        assert_eq!(address.of(&["x"]).expect("a name").as_str(), "https://a.test/osv/x");
    }
}
