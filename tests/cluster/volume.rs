//! What was read of images, on the volume of a claim: read by several, damaged, taken away, and without the rights.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use clarity::cache::archive::Archive;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cache::entry;
use crate::environment::{environment, kubectl, kubectl_with, wait_for};
use crate::namespace::{Namespace, PullSecret, running_pod};
use crate::nodes::open_nodes;
use crate::plugin::{Ended, Plugin, scan_with_job_in};
use crate::rights::{account, role_of_the_readme};

/// The name of every claim of these tests.
const CLAIM: &str = "cache";

/// A folder of this machine, whose nodes are processes on it, as a volume with a claim.
struct Volume {
    folder: TempDir,
    name: String,
}

impl Volume {
    fn new(namespace: &Namespace) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        // Where no driver hands a volume to a group, its owner has to let others write.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("ours");
        let name = namespace.name.clone();
        let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": name, "name": CLAIM},
            "hostPath": {"path": folder.path(), "type": "Directory"}}});
        kubectl_with(&["apply", "-f", "-"], &volume);
        namespace.add(vec![claim(&name)]);
        Self { folder, name }
    }

    fn sboms(&self) -> PathBuf {
        self.folder.path().join("kubectl-clarity/sboms")
    }

    /// Files of entries.
    fn files(&self) -> Vec<PathBuf> {
        let Ok(folder) = fs::read_dir(self.sboms()) else { return Vec::new() };
        let files = folder.map(|file| file.expect("a file").path());
        files.filter(|path| path.extension().is_some_and(|end| end == "sbom")).collect()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let delete = ["delete", "persistentvolume", &self.name, "--wait=false", "--ignore-not-found"];
        let _ = Command::new("kubectl").args(delete).output();
    }
}

/// A claim to the volume of this name.
fn claim(volume: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": {
        "accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": volume,
        "resources": {"requests": {"storage": "1Gi"}}}})
}

/// A namespace that enforces Pod Security "restricted", in which two images run.
fn namespace(topic: &str) -> Namespace {
    let public = &environment().public;
    let pods = [("web", "apps/web:1.24"), ("legacy", "apps/legacy:1.0")];
    let pods = pods.map(|(name, image)| running_pod(name, &format!("{public}/{image}"))).into();
    let namespace = Namespace::new(&format!("volume-{topic}"), PullSecret::None, pods);
    namespace.wait_until_ready();
    namespace
}

fn machine() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A scan from a machine that keeps what it reads on the volume too.
fn scan(namespace: &Namespace, machine: &TempDir, flags: &[&str]) -> Plugin {
    Plugin::scan(&["-n", &namespace.name, "--cache", &format!("pvc:{CLAIM}")])
        .variable("XDG_CACHE_HOME", &machine.path().display().to_string())
        .with(flags)
}

/// Another command about what is on the volume, from an empty machine.
fn command(namespace: &Namespace, arguments: &[&str]) -> Ended {
    Plugin::new(arguments)
        .with(&["-n", &namespace.name, "--cache", &format!("pvc:{CLAIM}")])
        .with(&["--scanner-image", &environment().scanner])
        .variable("XDG_CACHE_HOME", &machine().path().display().to_string())
        .run()
}

fn states(report: &Value) -> Vec<&str> {
    let containers = report["containers"].as_array().expect("a list").iter();
    containers.map(|container| container["state"].as_str().expect("a state")).collect()
}

/// Notes about the cache.
fn notes(report: &Value) -> Vec<&str> {
    let notes = report["notes"].as_array().expect("a list").iter().filter_map(Value::as_str);
    notes.filter(|note| note.contains("cache") || note.contains("claim")).collect()
}

/// The Role of the README, and what a volume takes.
fn account_with_attach(namespace: &Namespace, name: &str) -> String {
    let mut rules = role_of_the_readme()["rules"].clone();
    let attach = json!({"apiGroups": [""], "resources": ["pods/attach"], "verbs": ["get", "create"]});
    rules.as_array_mut().expect("a list").insert(0, attach);
    account(namespace, name, &rules)
}

/// Pods that there have been for caches.
fn cache_pods(namespace: &Namespace) -> usize {
    let reason = "--field-selector=reason=SuccessfulCreate,involvedObject.kind=Job";
    let path = "jsonpath={range .items[*]}{.involvedObject.name}{\"\\n\"}{end}";
    let jobs = kubectl(&["get", "events", "-n", &namespace.name, reason, "-o", path]);
    jobs.lines().filter(|name| name.contains("-cache-")).count()
}

#[test]
fn two_people_at_the_same_moment_lose_nothing_and_a_third_needs_no_scanner_pod() {
    let _open = open_nodes();
    let namespace = namespace("shared");
    let volume = Volume::new(&namespace);
    let (ann, bob) = (account_with_attach(&namespace, "ann"), account_with_attach(&namespace, "bob"));
    let machines = [machine(), machine(), machine()];
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| scan(&namespace, &machines[1], &["--as", &bob]).run().code(0));
        (scan(&namespace, &machines[0], &["--as", &ann]).run().code(0), other.join().expect("no panic"))
    });
    for ended in [&first, &second] {
        assert_eq!(notes(&ended.report()), [""; 0]);
        assert_eq!(states(&ended.report()).len(), 2);
    }
    assert_eq!(volume.files().len(), 2);
    namespace.assert_nothing_left();

    let third = scan(&namespace, &machines[2], &[]).run().code(0).says(&["nothing to read, 2 cached"]);
    assert_eq!(states(&third.report()), ["cached", "cached"]);
    assert_eq!(third.report()["images"][0]["findings"], first.report()["images"][0]["findings"]);
    assert!(command(&namespace, &["cache", "verify"]).code(0).stdout.contains("2 images whole"));
    namespace.assert_nothing_left();

    // What this machine knows is not asked for.
    let before = cache_pods(&namespace);
    assert!(before >= 4, "{before}");
    scan(&namespace, &machines[2], &[]).run().code(0).says(&["nothing to read, 2 cached"]);
    assert_eq!(cache_pods(&namespace), before);
}

#[test]
fn other_commands_find_what_is_on_the_volume() {
    let _open = open_nodes();
    let namespace = namespace("commands");
    let _volume = Volume::new(&namespace);
    scan(&namespace, &machine(), &[]).run().code(0);
    let listed = command(&namespace, &["cache", "list", "-o", "json"]).code(0).report();
    assert_eq!(listed["entries"].as_array().map(Vec::len), Some(2));
    assert_eq!(listed["stores"][0]["name"], format!("claim cache in namespace {}", namespace.name));
    assert_eq!(listed["stores"][0]["where"], "pvc");
    let bill = command(&namespace, &["sbom", "pod/web", "-o", "names"]).code(0);
    assert!(bill.stdout.contains("musl@"), "{}", bill.stdout);
    let found = command(&namespace, &["find", "musl"]).code(0);
    assert!(found.stdout.contains("musl"), "{}", found.stdout);
    namespace.assert_nothing_left();

    let pods = cache_pods(&namespace);
    let ended = scan(&namespace, &machine(), &["--no-pods"]).run().code(4);
    assert_eq!(states(&ended.report()), ["skipped", "skipped"]);
    assert!(notes(&ended.report())[0].contains("that takes a pod"), "{:?}", notes(&ended.report()));
    let ended = command(&namespace, &["plan"]).code(0);
    assert!(ended.stdout.contains("that takes a pod"), "{}", ended.stdout);
    assert_eq!(cache_pods(&namespace), pods, "neither of them starts one");
    command(&namespace, &["cache", "prune", "--all"]).code(0);
    let listed = command(&namespace, &["cache", "list", "-o", "json"]).code(0).report();
    assert_eq!(listed["entries"], json!([]));
}

/// Ends the container of a cache pod as a node does that has no memory left.
fn kill(namespace: &Namespace, pod: &str) {
    let path = "jsonpath={.spec.nodeName} {.status.containerStatuses[0].containerID}";
    let said = kubectl(&["get", "pod", "-n", &namespace.name, pod, "-o", path]);
    let (node, id) = said.split_once(" containerd://").expect("it runs");
    environment().ctr(node, &["task", "kill", "-s", "SIGKILL", id]);
}

fn archive(folder: &Path, entries: u32) -> String {
    let path = folder.join("many.tar");
    let mut archive = Archive::new(fs::File::create(&path).expect("a file"));
    for number in 0..entries {
        archive.add(&entry(&format!("image{number}:1"), 200)).expect("added");
    }
    archive.finish().expect("finished");
    path.display().to_string()
}

#[test]
fn pod_that_is_killed_while_it_writes_leaves_nothing_that_is_believed() {
    let namespace = namespace("killed");
    let volume = Volume::new(&namespace);
    let machine = machine();
    let file = archive(machine.path(), 300);
    let import = Plugin::new(&["cache", "import", &file, "-n", &namespace.name, "--cache", "pvc:cache"])
        .with(&["--scanner-image", &environment().scanner])
        .start();
    wait_for("some entries", 60, || (volume.files().len() > 20).then_some(()));
    let pod = namespace.scanner_pod();
    kill(&namespace, &pod);
    let there = volume.files().len();
    assert!(there < 300, "it was killed too late");
    // Another pod goes on where the first one was.
    import.end().code(0);
    assert_eq!(volume.files().len(), 300);
    let verified = command(&namespace, &["cache", "verify"]).code(0);
    assert!(verified.stdout.contains("300 images whole"), "{}", verified.stdout);

    // What one left that was killed between its first byte and the last.
    let half = volume.sboms().join(".tmp-0123456789abcdef");
    fs::write(&half, "{\"version\":1,\"about\":{").expect("written");
    let old = SystemTime::now() - Duration::from_hours(3);
    fs::File::options().append(true).open(&half).and_then(|file| file.set_modified(old)).expect("ours");
    assert!(command(&namespace, &["cache", "verify"]).code(0).stdout.contains("300 images whole"));
    let pruned = command(&namespace, &["cache", "prune", "--older-than", "90d"]).code(0);
    assert!(pruned.stdout.contains("1 remnant"), "{}", pruned.stdout);
    assert!(!half.exists());
    namespace.assert_nothing_left();
}

#[test]
fn scan_whose_cache_pod_is_killed_ends_well_and_so_does_the_next() {
    let _open = open_nodes();
    let namespace = namespace("lost");
    let _volume = Volume::new(&namespace);
    let running = scan(&namespace, &machine(), &[]).start();
    // It has answered that there is nothing when a scanner's Job is there.
    wait_for("a scanner's Job", 60, || {
        let jobs = kubectl(&["get", "jobs", "-n", &namespace.name, "-o", "name"]);
        jobs.lines().any(|name| !name.contains("-cache-")).then_some(())
    });
    let pods = namespace.created_by_scans();
    let pod = pods.iter().find(|name| name.starts_with("pod/") && name.contains("-cache-")).expect("a pod");
    kill(&namespace, pod.trim_start_matches("pod/"));
    let ended = running.end().code(0);
    assert_eq!(states(&ended.report()), ["scanned", "scanned"]);
    assert_eq!(notes(&ended.report()), [""; 0], "another pod took its place");
    namespace.assert_nothing_left();
    scan(&namespace, &machine(), &[]).run().code(0).says(&["nothing to read, 2 cached"]);
    command(&namespace, &["cache", "verify"]).code(0);
}

#[test]
fn damaged_file_on_the_volume_is_named_dropped_and_made_anew() {
    let _open = open_nodes();
    let namespace = namespace("damaged");
    let volume = Volume::new(&namespace);
    scan(&namespace, &machine(), &[]).run().code(0);
    let file = volume.files().remove(0);
    let mut bytes = fs::read(&file).expect("an entry");
    let last = bytes.len() - 9;
    bytes[last] ^= 1;
    fs::write(&file, bytes).expect("written");
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    let verified = command(&namespace, &["cache", "verify"]).code(1);
    assert!(verified.stdout.contains(name), "{}", verified.stdout);
    assert!(verified.stdout.contains("1 image whole, 1 damaged"), "{}", verified.stdout);

    let ended = scan(&namespace, &machine(), &[]).run().code(0);
    let report = ended.report();
    let mut states = states(&report);
    states.sort_unstable();
    assert_eq!(states, ["cached", "scanned"]);
    let notes = notes(&report);
    assert!(
        notes.len() == 1 && notes[0].contains("damaged in the cache (claim cache in namespace"),
        "{notes:?}"
    );
    assert!(notes[0].ends_with("it was removed"), "{notes:?}");
    assert!(command(&namespace, &["cache", "verify"]).code(0).stdout.contains("2 images whole"));
}

#[test]
fn who_may_not_attach_scans_with_a_note_and_starts_no_cache_pod() {
    let _open = open_nodes();
    let namespace = namespace("rights");
    let _volume = Volume::new(&namespace);
    let user = account(&namespace, "reader", &role_of_the_readme()["rules"]);
    let report = scan(&namespace, &machine(), &["--as", &user]).run().code(0).report();
    assert_eq!(states(&report), ["scanned", "scanned"]);
    let notes = notes(&report);
    let words = format!("no right to get pods/attach in namespace {:?}", namespace.name);
    assert!(notes.len() == 1 && notes[0].contains(&words), "{notes:?}");
    assert_eq!(cache_pods(&namespace), 0);
    namespace.assert_nothing_left();
    let plan = command(&namespace, &["plan", "--as", &user]).code(0);
    assert!(plan.stdout.contains("the volume cannot be used: no right to get pods/attach"), "{}", plan.stdout);
}

#[test]
fn who_has_the_role_edit_may_use_a_volume() {
    let _open = open_nodes();
    let namespace = namespace("edit");
    let volume = Volume::new(&namespace);
    let user = namespace.account_with("edit");
    let report = scan(&namespace, &machine(), &["--as", &user]).run().code(0).report();
    assert_eq!((states(&report), notes(&report)), (vec!["scanned", "scanned"], Vec::new()));
    assert_eq!(volume.files().len(), 2);
}

#[test]
fn claim_that_does_not_exist_is_named_at_once_and_the_scan_goes_on() {
    let _open = open_nodes();
    let namespace = namespace("none");
    let ended = scan(&namespace, &machine(), &[]).run().code(0).within(60);
    assert_eq!(states(&ended.report()), ["scanned", "scanned"]);
    let report = ended.report();
    let notes = notes(&report);
    assert_eq!(notes.len(), 1, "{notes:?}");
    let words =
        format!("cannot open claim cache in namespace {}: no node takes the cache pod: ", namespace.name);
    assert!(notes[0].contains(&words), "{notes:?}");
    assert!(notes[0].contains("persistentvolumeclaim \"cache\" not found"), "{notes:?}");
    namespace.assert_nothing_left();
    command(&namespace, &["cache", "list"]).code(1).says(&["persistentvolumeclaim \"cache\" not found"]);
    namespace.assert_nothing_left();
    let everywhere = Plugin::scan(&["-A", "--cache", "pvc:cache"]).run().code(1);
    everywhere.says(&["it is not said where the claim cache is", "--state-namespace NAME"]);
}

#[test]
fn volume_that_cannot_be_written_is_named_and_costs_no_result() {
    let _open = open_nodes();
    let namespace = namespace("closed");
    let volume = Volume::new(&namespace);
    fs::set_permissions(volume.folder.path(), Permissions::from_mode(0o555)).expect("ours");
    let report = scan(&namespace, &machine(), &[]).run().code(0).report();
    assert_eq!(states(&report), ["scanned", "scanned"]);
    let words = format!("cache: cannot write claim cache in namespace {}: cannot write ", namespace.name);
    let notes = notes(&report);
    assert!(notes.len() == 1 && notes[0].starts_with(&words), "{notes:?}");
    assert!(notes[0].contains("Permission denied"), "{notes:?}");
    namespace.assert_nothing_left();
}

#[test]
fn ctrl_c_while_the_cache_pod_waits_leaves_nothing() {
    let namespace = namespace("stopped");
    // Nothing will ever be bound to it.
    namespace.add(vec![claim("no-such-volume")]);
    for command in ["scan", "list"] {
        let running = if command == "scan" {
            scan(&namespace, &machine(), &[]).start()
        } else {
            Plugin::new(&["cache", "list", "-n", &namespace.name, "--cache", "pvc:cache"])
                .with(&["--scanner-image", &environment().scanner])
                .start()
        };
        scan_with_job_in(&namespace.name);
        running.signal("INT");
        running.end().code(130).says(&["interrupted"]).within(40);
        namespace.assert_nothing_left();
    }
}

#[test]
fn ctrl_c_while_images_are_read_removes_the_cache_pod_too() {
    let _open = open_nodes();
    let namespace = namespace("reading");
    let _volume = Volume::new(&namespace);
    let running = scan(&namespace, &machine(), &[]).start();
    wait_for("a scanner's Job", 60, || {
        let jobs = kubectl(&["get", "jobs", "-n", &namespace.name, "-o", "name"]);
        jobs.lines().any(|name| !name.contains("-cache-")).then_some(())
    });
    running.signal("INT");
    running.end().code(130);
    namespace.assert_nothing_left();
}

#[test]
fn pod_of_a_program_that_was_killed_ends_by_itself() {
    let namespace = namespace("orphan");
    let volume = Volume::new(&namespace);
    let machine = machine();
    let file = archive(machine.path(), 300);
    let import = Plugin::new(&["cache", "import", &file, "-n", &namespace.name, "--cache", "pvc:cache"])
        .with(&["--scanner-image", &environment().scanner])
        .start();
    wait_for("some entries", 60, || (volume.files().len() > 5).then_some(()));
    import.signal("KILL");
    let pod = namespace.scanner_pod();
    wait_for("the end of the pod", 20, || {
        let phase = kubectl(&["get", "pod", "-n", &namespace.name, &pod, "-o", "jsonpath={.status.phase}"]);
        matches!(&*phase, "Succeeded" | "Failed").then_some(())
    });
    command(&namespace, &["cache", "verify"]).code(0);
}
