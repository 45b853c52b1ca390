//! The person's own logins: `config.json` of the docker command with its credential helpers.
//!
//! For the laptop only: a scanner pod has no helper programs and no home directory.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::docker_config::parse_object;
use super::pattern::Pattern;
use super::{BrokenReason, Credential, Entry, Format, Keyring, Secret, is_docker_hub};
use crate::image::Repository;

/// A helper that says more than this is not believed.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// Which helper programs the configuration names.
#[derive(Clone, Debug, Default)]
pub(super) struct Login {
    /// `credHelpers`: helper by registry.
    by_registry: Map<String, Value>,
    /// `credsStore`: the helper for all others.
    store: Option<String>,
}

/// Why the person's logins could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The configuration file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The name of a helper holds characters that no program name should.
    #[error("credential helper {helper:?} is not a plain name")]
    HelperName {
        /// The name as written in the file.
        helper: String,
    },
    /// The helper could not be started, or broke off.
    #[error("cannot run {program}")]
    Helper {
        /// The program.
        program: String,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The helper answered something that is no login.
    #[error("{program} answered something that is no login")]
    Answer {
        /// The program.
        program: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

impl Keyring {
    /// Reads the person's docker configuration. A file that is not there is an empty keyring.
    ///
    /// Helpers are only noted; [`Keyring::ask_helper`] runs them.
    pub fn from_docker_config(path: &Path) -> Result<Self, LoginError> {
        let content = match std::fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::new()),
            Err(source) => return Err(LoginError::Read { path: path.to_owned(), source }),
        };
        let mut keyring = Self::new();
        keyring.add_file(&path.display().to_string(), Format::DockerConfigJson, &content);
        // With a credential store `docker login` leaves an empty entry behind; that is no fault.
        keyring.broken.retain(|broken| broken.reason != BrokenReason::Empty);
        if let Ok(mut file) = parse_object(&content) {
            let by_registry = match file.remove("credHelpers") {
                Some(Value::Object(helpers)) => helpers,
                _ => Map::new(),
            };
            let store = file.remove("credsStore").and_then(|value| value.as_str().map(ToOwned::to_owned));
            keyring.login = Some(Login { by_registry, store });
        }
        Ok(keyring)
    }

    /// Asks the helper program in charge of a repository's registry, if there is one, and adds what it gives.
    ///
    /// Blocks until the helper has answered: it may be asking the person to unlock a key store.
    pub fn ask_helper(&mut self, repository: &Repository) -> Result<(), LoginError> {
        let Some(login) = &self.login else { return Ok(()) };
        // Helpers know Docker Hub by its old address only.
        let server = if is_docker_hub(&repository.registry) {
            "https://index.docker.io/v1/"
        } else {
            repository.registry.as_str()
        };
        let named = login.by_registry.get(server).or_else(|| login.by_registry.get(&repository.registry));
        let Some(helper) = named.and_then(Value::as_str).or(login.store.as_deref()) else { return Ok(()) };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if helper.is_empty() || !helper.chars().all(plain) {
            return Err(LoginError::HelperName { helper: helper.chars().take(80).collect() });
        }
        let program = format!("docker-credential-{helper}");
        let (Some(credential), Some(pattern)) = (run_helper(&program, server)?, Pattern::parse(server)) else {
            return Ok(());
        };
        self.entries.push(Entry { source: program, location: server.to_owned(), credential, pattern });
        self.sort();
        Ok(())
    }
}

/// Runs `PROGRAM get` with the server on its input; none if it says that it knows no login.
fn run_helper(program: &str, server: &str) -> Result<Option<Credential>, LoginError> {
    let failed = |source| LoginError::Helper { program: program.to_owned(), source };
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that does not read its input still answers.
        let _ = writeln!(input, "{server}");
    }
    let mut answer = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(ANSWER_LIMIT).read_to_end(&mut answer).map_err(failed)?;
    }
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        // "credentials not found in native keychain" is told by a failing exit code: go on without.
        return Ok(None);
    }
    let answer: HelperAnswer =
        serde_json::from_slice(&answer).map_err(|_| LoginError::Answer { program: program.to_owned() })?;
    let secret = Secret::new(answer.secret);
    // Docker's protocol marks a refresh token by this user name.
    if answer.username == "<token>" {
        return Ok(Some(Credential::IdentityToken(secret)));
    }
    Ok(Some(Credential::Basic { username: answer.username, password: secret }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Reference;

    fn config(content: &str) -> (tempfile::TempDir, Keyring) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.json");
        std::fs::write(&path, content).expect("written");
        let keyring = Keyring::from_docker_config(&path).expect("read");
        (folder, keyring)
    }

    fn repository() -> Repository {
        "registry.test/a".parse::<Reference>().expect("a reference").repository
    }

    #[test]
    fn a_missing_file_is_an_empty_keyring() {
        let keyring = Keyring::from_docker_config(Path::new("/nowhere/config.json")).expect("empty");
        assert!(keyring.entries().is_empty() && keyring.broken().is_empty());
    }

    #[test]
    fn empty_entries_beside_a_credential_store_are_no_fault() {
        let (_folder, keyring) = config(r#"{"auths": {"registry.test": {}}, "credsStore": "x"}"#);
        assert!(keyring.broken().is_empty());
    }

    #[test]
    fn a_helper_with_a_path_in_its_name_is_not_run() {
        let (_folder, mut keyring) = config(r#"{"credHelpers": {"registry.test": "../../bin/sh"}}"#);
        assert!(matches!(keyring.ask_helper(&repository()), Err(LoginError::HelperName { .. })));
    }

    #[test]
    fn a_helper_that_is_not_there_is_named() {
        let (_folder, mut keyring) = config(r#"{"credsStore": "surely-not-installed"}"#);
        let error = keyring.ask_helper(&repository()).expect_err("no such program");
        assert_eq!(error.to_string(), "cannot run docker-credential-surely-not-installed");
    }

    #[cfg(unix)]
    #[test]
    fn helper_answers_become_credentials() {
        // The shell writes the file: were it open for writing here while another test forks, it could not be run.
        let write = |path: &Path, script: &str| {
            let command = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 755 "$0""#;
            Command::new("/bin/sh").arg("-c").arg(command).arg(path).arg(script).status().expect("a shell")
        };
        let folder = tempfile::tempdir().expect("a folder");
        for (script, wanted) in [
            (
                r#"read server; printf '{"ServerURL":"%s","Username":"u","Secret":"p:%s"}' "$server" "$server""#,
                Some(Credential::Basic { username: "u".to_owned(), password: Secret::new("p:registry.test") }),
            ),
            (
                r#"printf '{"ServerURL":"x","Username":"<token>","Secret":"t"}'"#,
                Some(Credential::IdentityToken(Secret::new("t"))),
            ),
            ("echo not found; exit 1", None),
        ] {
            let program = folder.path().join("docker-credential-test");
            assert!(write(&program, script).success());
            let got = run_helper(&program.display().to_string(), "registry.test").expect("ran");
            assert_eq!(got, wanted);
        }
    }
}
