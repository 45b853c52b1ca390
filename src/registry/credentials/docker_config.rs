//! The two shapes of a docker configuration in a Secret.
//!
//! `kubernetes.io/dockerconfigjson` holds `{"auths": {location: entry}}`, the legacy `kubernetes.io/dockercfg`
//! `{location: entry}`. An entry has `auth` (base64 of `user:password`) or `username` and `password`, and may have
//! an `identitytoken` or `registrytoken`.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::pattern::Pattern;
use super::{BrokenReason, Credential, Entry, Keyring, Secret};

/// A Secret holds at most 1 MiB (Kubernetes, `MaxSecretSize`).
const FILE_LIMIT: usize = 1024 * 1024;

/// With and without padding, as both are seen.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Which shape a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.dockerconfigjson`, and `config.json` of the docker command.
    DockerConfigJson,
    /// `.dockercfg`, the older shape.
    DockerCfg,
}

#[derive(Deserialize)]
struct RawEntry {
    #[serde(default, alias = "Username")]
    username: Option<String>,
    #[serde(default, alias = "Password")]
    password: Option<String>,
    #[serde(default, alias = "Auth")]
    auth: Option<String>,
    #[serde(default, alias = "IdentityToken")]
    identitytoken: Option<String>,
    #[serde(default, alias = "RegistryToken")]
    registrytoken: Option<String>,
}

impl Keyring {
    /// Adds everything that a credentials file holds; `source` says in words where it came from (`secret "pull"`).
    pub fn add_file(&mut self, source: &str, format: Format, content: &[u8]) {
        if let Err(reason) = self.try_add_file(source, format, content) {
            self.add_broken(source, None, reason);
        }
        self.sort();
    }

    fn try_add_file(&mut self, source: &str, format: Format, content: &[u8]) -> Result<(), BrokenReason> {
        let mut file = parse_object(content)?;
        let entries = match format {
            Format::DockerCfg => file,
            Format::DockerConfigJson => match file.remove("auths") {
                Some(Value::Object(auths)) => auths,
                None | Some(Value::Null) => Map::new(),
                Some(_) => return Err(BrokenReason::NotJson { line: 0, column: 0 }),
            },
        };
        for (location, value) in entries {
            match read_entry(source, &location, value) {
                Ok(entry) => self.entries.push(entry),
                Err(reason) => self.add_broken(source, Some(&location), reason),
            }
        }
        Ok(())
    }
}

/// Reads a JSON object of bounded size.
pub(super) fn parse_object(content: &[u8]) -> Result<Map<String, Value>, BrokenReason> {
    if content.len() > FILE_LIMIT {
        return Err(BrokenReason::TooLarge { limit: FILE_LIMIT });
    }
    // The text of a serde error may quote the value it choked on, so only the place is kept.
    serde_json::from_slice(content).map_err(|e| BrokenReason::NotJson { line: e.line(), column: e.column() })
}

fn read_entry(source: &str, location: &str, value: Value) -> Result<Entry, BrokenReason> {
    let pattern = Pattern::parse(location).ok_or(BrokenReason::Location)?;
    let raw: RawEntry =
        serde_json::from_value(value).map_err(|_| BrokenReason::NotJson { line: 0, column: 0 })?;
    let credential = raw.credential()?;
    Ok(Entry { source: source.to_owned(), location: location.to_owned(), credential, pattern })
}

impl RawEntry {
    /// A token wins over a password, and `auth` over `username` and `password`, as docker and the kubelet have it.
    fn credential(self) -> Result<Credential, BrokenReason> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = given(self.registrytoken) {
            return Ok(Credential::RegistryToken(Secret::new(token)));
        }
        if let Some(token) = given(self.identitytoken) {
            return Ok(Credential::IdentityToken(Secret::new(token)));
        }
        let (username, password) = match given(self.auth) {
            Some(auth) => decode_auth(&auth)?,
            None => match (given(self.username), given(self.password)) {
                (Some(username), Some(password)) => (username, password),
                _ => return Err(BrokenReason::Empty),
            },
        };
        Ok(Credential::Basic { username, password: Secret::new(password) })
    }
}

/// Splits at the first colon: user names hold none, passwords may.
fn decode_auth(auth: &str) -> Result<(String, String), BrokenReason> {
    let packed: String = auth.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = BASE64.decode(packed).map_err(|_| BrokenReason::AuthEncoding)?;
    let text = String::from_utf8(bytes).map_err(|_| BrokenReason::AuthEncoding)?;
    let (username, password) = text.split_once(':').ok_or(BrokenReason::AuthShape)?;
    // Old versions of docker padded the text with zero bytes.
    Ok((username.to_owned(), password.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(format: Format, content: &str) -> Keyring {
        let mut keyring = Keyring::new();
        keyring.add_file("secret \"pull\"", format, content.as_bytes());
        keyring
    }

    fn basic(username: &str, password: &str) -> Credential {
        Credential::Basic { username: username.to_owned(), password: Secret::new(password) }
    }

    fn credentials(keyring: &Keyring) -> Vec<Credential> {
        keyring.entries().iter().map(|entry| entry.credential.clone()).collect()
    }

    #[test]
    fn both_file_shapes_are_read() {
        let auth = BASE64.encode("user:pass");
        let entry = format!(r#"{{"registry.test": {{"auth": "{auth}"}}}}"#);
        assert_eq!(credentials(&read(Format::DockerCfg, &entry)), [basic("user", "pass")]);
        let whole = format!(r#"{{"auths": {entry}, "HttpHeaders": {{}}}}"#);
        assert_eq!(credentials(&read(Format::DockerConfigJson, &whole)), [basic("user", "pass")]);
    }

    #[test]
    fn passwords_may_hold_colons_and_auth_may_lack_padding() {
        let auth = BASE64.encode("user:pa:ss:");
        let entry = format!(r#"{{"a.test": {{"auth": "{}"}}}}"#, auth.trim_end_matches('='));
        assert_eq!(credentials(&read(Format::DockerCfg, &entry)), [basic("user", "pa:ss:")]);
    }

    #[test]
    fn auth_wins_over_user_name_and_tokens_win_over_both() {
        let auth = BASE64.encode("a:b");
        let file = format!(
            r#"{{"3.test": {{"username": "u", "password": "p", "auth": "{auth}"}},
                "2.test": {{"auth": "{auth}", "identitytoken": "id"}},
                "1.test": {{"auth": "{auth}", "registrytoken": "reg"}},
                "0.test": {{"username": "u", "password": "p", "email": "x"}}}}"#
        );
        let wanted = [
            basic("a", "b"),
            Credential::IdentityToken(Secret::new("id")),
            Credential::RegistryToken(Secret::new("reg")),
            basic("u", "p"),
        ];
        assert_eq!(credentials(&read(Format::DockerCfg, &file)), wanted);
    }

    #[test]
    fn broken_entries_are_named_and_the_others_kept() {
        let good = BASE64.encode("a:b");
        let file = format!(
            r#"{{"auths": {{"good.test": {{"auth": "{good}"}}, "colon.test": {{"auth": "{}"}},
                "encoding.test": {{"auth": "!!"}}, "empty.test": {{}}, "a b": {{"auth": "{good}"}},
                "shape.test": 7}}}}"#,
            BASE64.encode("nocolon")
        );
        let keyring = read(Format::DockerConfigJson, &file);
        assert_eq!(credentials(&keyring), [basic("a", "b")]);
        let broken: Vec<String> = keyring.broken().iter().map(ToString::to_string).collect();
        assert_eq!(
            broken,
            [
                r#"secret "pull": entry "a b" is no registry address"#,
                r#"secret "pull": entry "colon.test" has an auth without a colon between user name and password"#,
                r#"secret "pull": entry "empty.test" holds neither password nor token"#,
                r#"secret "pull": entry "encoding.test" has an auth that is not base64"#,
                r#"secret "pull": entry "shape.test" is no docker configuration (line 0, column 0)"#,
            ]
        );
    }

    #[test]
    fn a_broken_file_is_named_without_its_content() {
        let keyring = read(Format::DockerConfigJson, r#"{"auths": hunter2}"#);
        let broken: Vec<String> = keyring.broken().iter().map(ToString::to_string).collect();
        assert_eq!(broken, [r#"secret "pull" is no docker configuration (line 1, column 11)"#]);
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_harm(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut keyring = Keyring::new();
            keyring.add_file("s", Format::DockerCfg, &content);
            keyring.add_file("s", Format::DockerConfigJson, &content);
            prop_assert!(keyring.entries().is_empty() || keyring.broken().len() < 2);
        }
    }
}
