//! The pod's flow: read each image of the task, send its documents, say how it ended.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::image::{ImageError, ImageReader, ReadImage};
use crate::VERSION;
use crate::image::registered::Registered;
use crate::registry::{
    EXPLANATION_VERSION, Format, IdentitySettings, Keyring, PodError, ProxySettings, Registry, Settings,
    SettingsError,
};
use crate::wire::{
    Document, DocumentName, Failure, FailureKind, MAX_IMAGES, Outcome, PullSecret, SendError, Sender, Task,
};

/// How often progress is said.
const INTERVAL: Duration = Duration::from_millis(500);

/// Largest pull secret, as the API server bounds all Secrets.
const MAX_SECRET: u64 = 1 << 20;

/// Why a pod cannot do its work at all.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It was not told what to do.
    #[error("{} is not set: this program is started by a scanner Job", Task::VARIABLE)]
    NoTask,
    /// What it was told is not understood.
    #[error("{} is not understood", Task::VARIABLE)]
    Task(#[from] serde_json::Error),
    /// More images than a pod is ever given.
    #[error("{0} images are more than the {MAX_IMAGES} of one pod")]
    TooMany(usize),
    /// The transport cannot be set up.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A Secret that it was told of cannot be used.
    #[error(transparent)]
    Pod(#[from] PodError),
    /// The kubelet ends the pod.
    #[error("told to stop before all images were read")]
    Stopped,
    /// Credentials would be left on the node if the program were to crash.
    #[error("cannot keep its memory from being written to disk")]
    Memory(#[source] rustix::io::Errno),
    /// No threads or no signals.
    #[error("cannot start")]
    Runtime(#[source] std::io::Error),
    /// The log cannot be written to.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// The scanner pod's whole life: environment, standard output, signals.
pub fn in_pod() -> Result<(), RunError> {
    leave_no_core().map_err(RunError::Memory)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    let variable = |name: &str| std::env::var(name).ok();
    let done = runtime.block_on(async {
        let mut told_to_stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .map_err(RunError::Runtime)?;
        tokio::select! {
            done = run(std::io::stdout(), variable, super::memory::limit()) => done,
            // The first process of a container has no default action for signals: without this it would be killed
            // only after its grace period.
            _ = told_to_stop.recv() => Err(RunError::Stopped),
        }
    });
    // Threads that still read would keep the process from ending.
    runtime.shutdown_background();
    done
}

/// Keeps the kernel from writing this process' memory, with the credentials in it, to a file or to a program that collects
/// such files. prctl(2), `PR_SET_DUMPABLE`.
fn leave_no_core() -> rustix::io::Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
}

/// Reads what the task names and writes frames on `out`. `variable` gives the environment.
///
/// # Errors
/// Nothing could be done at all; what goes wrong with one image is said in its frames.
pub async fn run<W: Write + Send + 'static>(
    out: W,
    variable: impl Fn(&str) -> Option<String>,
    memory: u64,
) -> Result<(), RunError> {
    let told = variable(Task::VARIABLE).ok_or(RunError::NoTask)?;
    let task: Task = serde_json::from_str(&told)?;
    if task.images.len() > MAX_IMAGES {
        return Err(RunError::TooMany(task.images.len()));
    }
    let deadline = Instant::now() + time_left(&task);
    let settings = Settings {
        proxy: ProxySettings::from_variables(&variable),
        identity: IdentitySettings::from_variables(&variable),
        ..Settings::of(&task.network)
    };
    let settings = settings.in_pod(&task.network, &small_file)?;
    let explains = task.documents.contains(&DocumentName::Explanation);
    let registry = if explains { Registry::recording(settings)? } else { Registry::new(settings)? };
    let (keyring, notes) = keyring(&task.pull_secrets);
    let mut reader = ImageReader::new(registry, keyring, memory, task.may_ask_for_memory);
    let sender = Arc::new(Mutex::new(Sender::new(out, task.scan.clone(), task.log_budget)));
    let count = u32::try_from(task.images.len()).unwrap_or(u32::MAX);
    lock(&sender).begin(count, VERSION, &notes)?;
    for (number, image) in (0..count).zip(&task.images) {
        lock(&sender).start(number)?;
        let started = Instant::now();
        let saying = tokio::spawn(say_progress(Arc::clone(&sender), number, reader.progress()));
        let left = share(deadline.saturating_duration_since(started), count - number);
        let read = tokio::time::timeout(left, reader.read(image, &task.documents)).await;
        saying.abort();
        // Only when it is gone is nothing said about an image that has ended. Being aborted is its usual end.
        let _ = saying.await;
        match read {
            Ok(Ok(read)) => send(&sender, number, read, reader.take_registered(), started)?,
            Ok(Err(error)) => lock(&sender).failed(number, failure(&error, reader.take_registered()))?,
            Err(_) => {
                let (read, total) = reader.progress().get();
                let reason = format!("time was up after {} of {} MiB", read >> 20, total.div_ceil(1 << 20));
                lock(&sender).failed(number, Failure::new(FailureKind::Timeout, reason))?;
            }
        }
    }
    Ok(lock(&sender).end()?)
}

/// What is left of the pod's time: it was given when the Job was created, and the pod may have waited since.
fn time_left(task: &Task) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let told = Duration::from_secs(task.timeout_seconds);
    // A node whose clock is wrong must not take time away: at least half of what was given.
    let until_end = Duration::from_secs(task.ends_at.saturating_sub(now));
    told.min(until_end.max(told / 2))
}

/// The time that one image may take when so many are still to come: enough for a large one, and not all of it, so
/// that one that does not come to its end leaves the others their turn.
fn share(left: Duration, images: u32) -> Duration {
    left.min((left * 2 / images.max(1)).max(Duration::from_mins(1)))
}

/// Sends the documents of an image and its end.
fn send<W: Write>(
    sender: &Mutex<Sender<W>>,
    number: u32,
    read: ReadImage,
    registry: Vec<Registered>,
    started: Instant,
) -> Result<(), SendError> {
    let documents = [
        (DocumentName::Sbom, 1, &read.sbom),
        (DocumentName::Config, 1, &read.config),
        (DocumentName::Explanation, EXPLANATION_VERSION, &read.explanation),
    ];
    let documents: Vec<Document<'_>> = documents
        .into_iter()
        .filter_map(|(name, version, bytes)| Some(Document { name, version, bytes: bytes.as_ref()? }))
        .collect();
    let outcome = Outcome {
        reference: read.reference,
        manifest: read.manifest_digest,
        config: read.config_digest,
        platform: read.platform,
        approximate: read.approximate,
        partial: read.partial,
        closed: read.closed,
        bytes: read.bytes,
        millis: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        registry,
    };
    let sent = lock(sender).done(number, &documents, outcome);
    match sent {
        Err(SendError::Budget { needed, left }) => {
            let reason = format!("its documents take {needed} bytes of log, and {left} are left");
            lock(sender).failed(number, Failure::new(FailureKind::NeedsOwnLog, reason))
        }
        other => other,
    }
}

async fn say_progress<W: Write>(sender: Arc<Mutex<Sender<W>>>, number: u32, progress: super::image::Counter) {
    let mut said = 0;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let (read, total) = progress.get();
        if read == said {
            continue;
        }
        said = read;
        // The flow itself meets the same failure with its next frame.
        let _ = lock(&sender).progress(number, read, total);
    }
}

/// A panic while a frame was written leaves at worst a damaged line, which the reader passes over.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failure(error: &ImageError, registry: Vec<Registered>) -> Failure {
    Failure { kind: error.kind(), reason: error.in_words(), registry }
}

/// A file of a mounted Secret.
fn small_file(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.len() > MAX_SECRET {
        return Err(std::io::Error::other("it is larger than a Secret can be"));
    }
    std::fs::read(path)
}

/// Reads the mounted pull secrets in their order, and says what of them cannot be used. A secret that does not exist is an
/// empty folder: the pod of the workload runs without it too.
fn keyring(secrets: &[PullSecret]) -> (Keyring, Vec<String>) {
    let mut keyring = Keyring::new();
    let mut notes = Vec::new();
    for PullSecret { name, namespace, folder } in secrets {
        let namespace = namespace.as_ref().map_or_else(String::new, |name| format!(" of namespace {name:?}"));
        let source = format!("secret {name:?}{namespace}");
        let mut is_read = false;
        for (file, format) in
            [(".dockerconfigjson", Format::DockerConfigJson), (".dockercfg", Format::DockerCfg)]
        {
            match read_secret(&Path::new(folder).join(file)) {
                Ok(content) => {
                    is_read = true;
                    keyring.add_file(&source, format, &content);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => notes.push(format!("{source} cannot be read: {error}")),
            }
        }
        if !is_read && has_files(folder) {
            notes.push(format!("{source} holds neither .dockerconfigjson nor .dockercfg"));
        }
    }
    notes.extend(keyring.broken().iter().map(|broken| format!("{broken}: it is left out")));
    (keyring, notes)
}

/// A little more than a Secret can hold, so that what is too large is found to be so.
fn read_secret(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(MAX_SECRET + 1).read_to_end(&mut content)?;
    Ok(content)
}

/// Whether a Secret has any key at all; what the kubelet keeps beside them begins with two dots.
fn has_files(folder: &str) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.file_name()).any(|name| !name.as_encoded_bytes().starts_with(b".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pod_that_is_told_nothing_says_so() {
        let error = run(Vec::new(), |_| None, 0).await.expect_err("no task");
        assert_eq!(error.to_string(), "CLARITY_TASK is not set: this program is started by a scanner Job");
    }

    #[test]
    fn one_image_does_not_take_the_time_of_all() {
        let left = Duration::from_mins(10);
        assert_eq!(share(left, 1), left);
        assert_eq!(share(left, 4), Duration::from_mins(5));
        assert_eq!(share(left, 16), Duration::from_secs(75));
        assert_eq!(share(Duration::from_secs(20), 16), Duration::from_secs(20));
    }

    #[test]
    fn secrets_that_cannot_be_used_are_named_and_the_others_read() {
        let root = tempfile::tempdir().expect("a folder");
        let secret = |name: &str, file: Option<(&str, &str)>| {
            let folder = root.path().join(name);
            std::fs::create_dir(&folder).expect("makes");
            if let Some((file, content)) = file {
                std::fs::write(folder.join(file), content).expect("writes");
            }
            PullSecret { name: name.to_owned(), namespace: None, folder: folder.display().to_string() }
        };
        let secrets = [
            secret("missing", None),
            secret("broken", Some((".dockerconfigjson", "{\"auths\": "))),
            secret("opaque", Some(("password", "hunter2"))),
            secret(
                "half",
                Some((".dockercfg", r#"{"a.test": {"auth": "hunter2"}, "b.test": {"auth": "YTpi"}}"#)),
            ),
        ];
        let (keyring, notes) = keyring(&secrets);
        assert_eq!(keyring.entries().len(), 1);
        assert_eq!(
            notes,
            [
                "secret \"opaque\" holds neither .dockerconfigjson nor .dockercfg",
                "secret \"broken\" is no docker configuration (line 1, column 10): it is left out",
                "secret \"half\": entry \"a.test\" has an auth that is not base64: it is left out",
            ]
        );
    }

    #[tokio::test]
    async fn a_task_that_is_no_task_is_an_error_and_no_panic() {
        for told in ["", "{}", "[1]", "{\"scan\":1}"] {
            assert!(matches!(run(Vec::new(), |_| Some(told.to_owned()), 0).await, Err(RunError::Task(_))));
        }
    }
}
