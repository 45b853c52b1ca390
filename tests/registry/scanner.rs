//! The scanner as a process of its own, told its work as in a pod.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clarity::wire::{Event, Receiver};
use serde_json::{Value, json};

/// The scan that it belongs to.
const SCAN: &str = "0123456789";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(100);

/// The work of a scanner that is to read one image of a registry without TLS.
pub(crate) fn task(host: &str, image: &str, pull_secrets: &Value) -> Value {
    json!({
        "scan": SCAN, "documents": ["sbom", "config"], "timeout_seconds": 90, "ends_at": u64::MAX,
        "log_budget": 4 << 20, "may_ask_for_memory": false, "network": {"plain_http": [host]},
        "pull_secrets": pull_secrets,
        "images": [{"reference": format!("{host}/{image}"), "wanted": "reference", "platform": null}],
    })
}

/// The program, ready to be started.
pub(crate) fn scanner(program: &mut Command, task: &Value) -> Child {
    program
        .env("CLARITY_TASK", task.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// Lets the scanner do its work: what its log brings, and the most memory that it ever held, in KiB.
pub(crate) fn run(task: &Value) -> (Vec<Event>, u64) {
    let mut scanner = scanner(Command::new(env!("CARGO_BIN_EXE_clarity-scan")).arg("run"), task);
    let mut stdout = scanner.stdout.take().expect("piped");
    let log = std::thread::spawn(move || std::io::read_to_string(&mut stdout).expect("text"));
    let (began, mut peak) = (Instant::now(), 0);
    while scanner.try_wait().expect("a child").is_none() {
        peak = peak.max(peak_of(scanner.id()));
        if began.elapsed() > PATIENCE {
            scanner.kill().expect("a child");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut receiver = Receiver::new(SCAN, 1);
    let log = log.join().expect("no panic");
    (log.lines().map(|line| receiver.accept(line)).collect(), peak)
}

/// The most memory that a process ever held, in KiB; none once it has ended. proc(5), `VmHWM`.
fn peak_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default()
}
