//! The scanner as a process of its own, under watch.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Memory that the scanner is told it may use, in MiB; it must be enough whatever it reads.
const MEMORY: u64 = 64;
/// What a scanner pod has, in MiB: enough for a document of as many packages as there may be.
const MEMORY_OF_POD: u64 = 256;
/// Hostile or not, no tree of these tests takes a good machine longer than some seconds.
const PATIENCE: Duration = Duration::from_secs(100);

/// What became of one run.
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) errors: String,
}

/// Reads a directory.
pub(crate) fn read_mount(root: &Path) -> Outcome {
    run("dir", &[root], MEMORY)
}

/// Reads a layer.
pub(crate) fn read_layer(file: &Path) -> Outcome {
    run("layers", &[file], MEMORY)
}

/// Reads a layer as a pod does.
pub(crate) fn read_layer_in_pod(file: &Path) -> Outcome {
    run("layers", &[file], MEMORY_OF_POD)
}

fn run(command: &str, paths: &[&Path], memory: u64) -> Outcome {
    let mut scanner = Command::new(env!("CARGO_BIN_EXE_clarity-scan"))
        .arg(command)
        .args(["--memory", &memory.to_string(), "--output", "cyclonedx"])
        .args(paths.iter().map(|path| path.as_os_str()).collect::<Vec<&OsStr>>())
        .env("CANARY", super::CANARY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the scanner starts");
    let (mut stdout, mut stderr) =
        (scanner.stdout.take().expect("a pipe"), scanner.stderr.take().expect("a pipe"));
    let (mut out, mut errors) = (String::new(), String::new());
    let (code, peak) = std::thread::scope(|scope| {
        scope.spawn(|| stdout.read_to_string(&mut out).expect("text"));
        scope.spawn(|| stderr.read_to_string(&mut errors).expect("text"));
        watch(&mut scanner)
    });
    let code = code.unwrap_or_else(|| panic!("{command} took longer than {PATIENCE:?}"));
    assert!(peak <= memory << 10, "{command} took {peak} KiB of memory");
    Outcome { code, out, errors }
}

/// Waits for the end; the exit code, and the most memory that was seen, in KiB.
fn watch(scanner: &mut Child) -> (Option<i32>, u64) {
    let (began, mut peak) = (Instant::now(), 0);
    loop {
        peak = peak.max(peak_of(scanner.id()));
        if let Some(status) = scanner.try_wait().expect("a child") {
            return (Some(status.code().expect("no signal")), peak);
        }
        if began.elapsed() > PATIENCE {
            scanner.kill().expect("a child");
            scanner.wait().expect("a child");
            return (None, peak);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The most memory that a process ever held, in KiB; none once it has ended. proc(5), `VmHWM`.
fn peak_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default()
}
