//! `image push` and `image save` as a person runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use clarity::cli::image::{ImageArgs, ImageError, Surroundings, run};
use clarity::registry::ProxySettings;

use super::real::{AMD64, RealRegistry, Transport, image, programs};
use super::words;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    image: ImageArgs,
}

/// Runs `image ARGUMENTS`; gives what it printed.
async fn image_command(docker_config: Option<PathBuf>, arguments: &[&str]) -> Result<String, ImageError> {
    let line = ["image"].iter().chain(arguments);
    let args = Command::try_parse_from(line).expect("arguments").image;
    let (mut output, mut notes) = (Vec::new(), Vec::new());
    let proxy = ProxySettings::default();
    run(args, Surroundings { docker_config, proxy, output: &mut output, notes: &mut notes }).await?;
    Ok(String::from_utf8(output).expect("text"))
}

/// A folder with the two programs of [`image`].
fn folder_of_programs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for program in programs(AMD64) {
        fs::write(folder.path().join(program.name), program.content).expect("written");
    }
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn pushing_prints_the_reference_that_can_be_pulled() {
    let real = RealRegistry::start(Transport::Tls);
    let folder = folder_of_programs();
    let target = format!("{}/tools/clarity-scan:0.1", real.host());
    let auth = STANDARD.encode("puller:pa:ss");
    let config = folder.path().join("config.json");
    fs::write(&config, format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, real.host()))
        .expect("written");
    let authority = real.authority();
    let arguments = ["push", &target, "--from", text(folder.path()), "--registry-ca", text(&authority)];

    let printed = image_command(Some(config), &arguments).await.expect("pushed");
    assert_eq!(printed, format!("{target}@{}\n", image().manifest.digest));

    let error = image_command(None, &arguments).await.expect_err("not logged in");
    let expected =
        format!("cannot push to {target}: no credential matches {}/tools/clarity-scan: ", real.host());
    assert!(words(&error).starts_with(&expected), "{}", words(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_saved_archive_is_one_that_skopeo_reads() {
    let folder = folder_of_programs();
    let file = folder.path().join("image.tar");
    let arguments = ["save", text(&file), "--from", text(folder.path()), "--name", "registry.test/scan:1"];
    image_command(None, &arguments).await.expect("saved");
    for archive in [format!("oci-archive:{}:1", text(&file)), format!("docker-archive:{}", text(&file))] {
        let output = Process::new("skopeo")
            .args(["inspect", "--config", &archive])
            .output()
            .expect("skopeo runs: install the Debian package skopeo");
        assert!(output.status.success(), "{archive}: {}", String::from_utf8_lossy(&output.stderr));
        let config: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(config["config"]["Entrypoint"][0], "/clarity-scan");
        assert_eq!(config["architecture"], "amd64");
    }
}
