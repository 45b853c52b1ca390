//! Scanners whose log is not as it should be: foreign lines, damaged frames, an early end.

use std::process::Command;

use crate::environment::{environment, kubectl};
use crate::namespace::Namespace;
use crate::plugin::Plugin;

/// Makes an image with a shell, in which this script stands for the scanner and `/scan` is the real one; its
/// reference for pods.
fn scanner_with(name: &str, script: &str) -> String {
    let environment = environment();
    let build = r#"
        set -euo pipefail
        . "$PROJECT/tests/images/oci.sh"
        work=$(mktemp -d)
        trap 'rm -rf "$work"' EXIT
        cart=$BASE/blobs/sha256
        manifest=$cart/$(oci_digest "$BASE" | cut -d: -f2)
        config=$cart/$(jq -r '.config.digest' "$manifest" | cut -d: -f2)
        oci_new "$work/oci"
        cp "$cart"/* "$work/oci/blobs/sha256/"
        jq -c -n --slurpfile m "$manifest" --slurpfile c "$config" \
          '[$m[0].layers, $c[0].rootfs.diff_ids] | transpose[] | {layer: .[0], diff_id: .[1]}' >"$work/oci/layers.jsonl"
        mkdir "$work/root"
        cp "$SCANNER" "$work/root/scan"
        printf '%s\n' "$SCRIPT" >"$work/root/clarity-scan"
        chmod 755 "$work/root/clarity-scan"
        oci_layer "$work/oci" "$work/root" gzip
        oci_image "$work/oci" '{}'
        oci_push "$work/oci" "clarity/$NAME" test
        oci_digest "$work/oci"
    "#;
    let output = Command::new("bash")
        .args(["-c", build])
        .env("PROJECT", env!("CARGO_MANIFEST_DIR"))
        .env("SCANNER", env!("CARGO_BIN_EXE_clarity-scan"))
        .env("BASE", environment.layout("cart"))
        .env("NAME", name)
        .env("SCRIPT", script)
        .output()
        .expect("bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let digest = String::from_utf8(output.stdout).expect("text");
    format!("{}/clarity/{name}@{}", environment.public, digest.trim())
}

/// Scans an image with a scanner that misbehaves in the first pod of every scan only; it is read whole all the same,
/// by so many Jobs. The notes of the report.
fn scan_with(name: &str, first: &str, jobs: usize) -> String {
    let script =
        format!("#!/bin/bash\nif [[ $HOSTNAME =~ -1-[a-z0-9]+$ ]]; then\n{first}\nfi\nexec /scan run\n");
    let scanner = scanner_with(name, &script);
    let namespace = Namespace::with_image("log", "multi", "apps/multi");
    let flags = ["--scanner-image", &scanner, "--keep-jobs", "always"];
    let report = Plugin::scan(&["-n", &namespace.name]).with(&flags).run().code(0).report();
    assert_eq!(report["images"][0]["packages"], 20);
    let made = kubectl(&["get", "jobs", "-n", &namespace.name, "-o", "name"]);
    assert_eq!(made.lines().count(), jobs, "{made}");
    report["notes"].to_string()
}

#[test]
fn foreign_lines_between_frames_do_no_harm() {
    let noise = r#"
        printf 'a line of a webhook\n\033[31mred\n'
        head -c 100000 /dev/zero | tr '\0' x
        echo
        /scan run | while IFS= read -r line; do printf 'noise %s\n%s\n' 123 "$line"; done
        exit 0"#;
    let notes = scan_with("noisy", noise, 1);
    assert!(!notes.contains("red"), "{notes}");
}

#[test]
fn damaged_frames_are_read_again() {
    // The fourth frame loses a character in its middle; all others are whole.
    scan_with("damaged", "/scan run | sed '4s/^\\(.\\{200\\}\\)./\\1/'\nexit 0", 2);
}

#[test]
fn log_that_ends_in_the_middle_of_a_frame_is_read_again() {
    scan_with("cut", "/scan run | head -c 1500\nexit 1", 2);
}
