//! Where the words go: data to stdout, everything else to stderr, and what a terminal shows.

use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::environment::environment;
use crate::namespace::{Namespace, PullSecret, waiting_pod};
use crate::plugin::Plugin;
use crate::registry::SlowRegistry;

#[test]
fn table_in_a_pipe_is_all_of_stdout_and_progress_is_on_stderr() {
    let namespace = Namespace::with_image("pipe", "multi", "apps/multi");
    let ended = Plugin::scan(&["-n", &namespace.name, "-v", "1"]).run().code(0);
    let ended = ended.says(&["1 container, 1 image to read in 1 pod", "read images: "]);
    assert!(serde_json::from_str::<serde_json::Value>(&ended.stdout).is_ok());

    let environment = environment();
    let table = Plugin::new(&["scan", "-n", &namespace.name, "--scanner-image", &environment.scanner])
        .with(&["--registry-ca", &environment.registry_ca])
        .with(&["--advisories", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/osv")])
        .run()
        .code(0);
    assert!(table.stdout.starts_with("WORKLOAD "), "{}", table.stdout);
    assert!(table.stdout.contains("CVE-2023-38545"), "{}", table.stdout);
    let words = ["to read in", "\x1b", "\r"];
    assert!(words.iter().all(|word| !table.stdout.contains(word)), "{}", table.stdout);
    assert!(!table.stderr.contains('\x1b') && !table.stderr.contains("CVE-"), "{}", table.stderr);
}

#[test]
fn progress_keeps_to_the_width_of_the_terminal_and_leaves_nothing_behind() {
    let registry = SlowRegistry::serve("payments");
    let namespace = Namespace::new("terminal", PullSecret::None, vec![waiting_pod("slow", &registry.image)]);
    let environment = environment();
    let program = env!("CARGO_BIN_EXE_kubectl-clarity");
    let scan = format!(
        "stty cols 80; {program} scan -n {} --scanner-image {} --registry-ca {} >/dev/null",
        namespace.name, environment.scanner, environment.registry_ca
    );
    let mut script = Command::new("script")
        .args(["-qec", &scan, "/dev/null"])
        .env("TERM", "xterm")
        .env("CLARITY_SBOM_CACHE", "none")
        .env("CLARITY_OFFLINE", "yes")
        .env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script");
    let mut terminal = script.stdout.take().expect("it was piped");
    let (mut shown, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let count = terminal.read(&mut buffer).expect("text");
        if count == 0 {
            break;
        }
        shown += &String::from_utf8_lossy(&buffer[..count]);
        // The scan goes on once it was seen how the reading of an image is shown.
        if shown.contains("MiB  host.clarity.test") {
            registry.open();
        }
    }
    script.wait().expect("it is ours");
    let shown = shown.replace("\x1b[K", "");
    assert!(shown.contains("0 of 1 images"), "{shown:?}");
    assert!(shown.contains("MiB  host.clarity.test"), "{shown:?}");
    let drawn = shown.split(['\r', '\n']).filter(|line| line.contains(" of 1 images"));
    for line in drawn {
        assert!(line.chars().count() < 80, "{line:?}");
    }
    let last = shown.rsplit('\r').find(|line| !line.trim().is_empty()).unwrap_or_default();
    assert!(!last.contains("images  "), "progress stays on the screen: {last:?}");
}
