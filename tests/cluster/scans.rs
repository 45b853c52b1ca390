//! Scans seen and ended from elsewhere: by another process, another person, and after whoever started them has died.

use serde_json::Value;
use tempfile::TempDir;

use crate::environment::{environment, wait_for};
use crate::namespace::{Namespace, PullSecret, running_pod, waiting_pod};
use crate::plugin::{Ended, Plugin, Running, scan_with_job_in};
use crate::registry::SlowRegistry;
use crate::rights::{account, role_of_the_readme};

/// A namespace with an image that is read at once, and one that hangs.
struct Place {
    namespace: Namespace,
    registry: SlowRegistry,
}

impl Place {
    fn new(topic: &str) -> Self {
        let registry = SlowRegistry::serve("payments");
        let web = running_pod("web", &format!("{}/apps/web:1.24", environment().public));
        let pods = vec![web, waiting_pod("slow", &registry.image)];
        let namespace = Namespace::new(&format!("scans-{topic}"), PullSecret::None, pods);
        namespace.wait_until_runs("web");
        Self { namespace, registry }
    }

    /// Starts a scan that has read one image and hangs at the other; its id.
    fn scan(&self) -> (Running, String) {
        let running = Plugin::scan(&["-n", &self.namespace.name]).start();
        self.registry.wait_until_read_by(1);
        let id = scan_with_job_in(&self.namespace.name);
        wait_for("one image to be read", 30, || (images(&self.status(&id), "read") == 1).then_some(()));
        (running, id)
    }

    /// What a machine that has seen nothing says of a scan.
    fn status(&self, id: &str) -> Value {
        elsewhere(&["status", id, "-n", &self.namespace.name, "-o", "json"]).code(0).report()
    }

    fn stop(&self, arguments: &[&str], home: &TempDir) -> Ended {
        Plugin::new(&["stop", "-n", &self.namespace.name, "--cache", "local"])
            .with(arguments)
            .variable("XDG_CACHE_HOME", &home.path().display().to_string())
            .run()
    }

    /// Asserts that a machine knows the image that was read, and needs no pod for it.
    fn assert_kept(&self, home: &TempDir) {
        let report = Plugin::scan(&["-n", &self.namespace.name, "--no-pods", "--cache", "local"])
            .variable("XDG_CACHE_HOME", &home.path().display().to_string())
            .run()
            .code(4)
            .report();
        let containers = report["containers"].as_array().expect("a list");
        let state = |pod: &str| {
            let container =
                containers.iter().find(|container| container["pod"] == pod).expect("it is in scope");
            container["state"].as_str().expect("a state").to_owned()
        };
        assert_eq!((state("web"), state("slow")), ("cached".to_owned(), "skipped".to_owned()));
    }
}

fn home() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn elsewhere(arguments: &[&str]) -> Ended {
    let home = home();
    Plugin::new(arguments).variable("XDG_CACHE_HOME", &home.path().display().to_string()).run()
}

/// Number of images in a state.
fn images(status: &Value, state: &str) -> usize {
    let images = status[0]["images"].as_array().map_or(&[][..], Vec::as_slice);
    images.iter().filter(|image| image["state"] == state).count()
}

#[test]
fn another_machine_sees_how_far_a_scan_is() {
    let place = Place::new("status");
    let (running, id) = place.scan();
    let status = place.status(&id);
    let (scan, namespace) = (&status[0], &place.namespace.name);
    assert_eq!(scan["id"], id.as_str());
    assert_eq!(scan["scope"], format!("-n {namespace}"));
    assert_eq!((images(&status, "read"), images(&status, "reading")), (1, 1), "{status:#}");
    let table = elsewhere(&["status", "-n", namespace]).code(0).stdout;
    assert!(table.contains("1/2") && table.contains("1 pod running"), "{table}");
    place.registry.open();
    assert_eq!(running.end().report()["scan"]["id"], id.as_str());
    let after = elsewhere(&["status", "-n", namespace]).code(0).stdout;
    assert!(after.starts_with("no scan runs\n"), "{after}");
}

#[test]
fn stopping_a_scan_from_elsewhere_ends_it_for_good_and_keeps_what_it_had_read() {
    let place = Place::new("stop");
    let (running, id) = place.scan();
    let home = home();
    let stopped = place.stop(&[&id[..5]], &home).code(0);
    assert!(stopped.stdout.contains("1 of 2 images read, and kept"), "{}", stopped.stdout);
    place.namespace.assert_nothing_left();
    let ended = running.end().code(130).says(&[&format!("scan {id} was stopped by")]);
    assert_eq!(ended.stdout, "");
    place.namespace.assert_nothing_left();
    place.assert_kept(&home);
    // Once more, and it is as it was.
    let again = place.stop(&[&id], &home).code(0).says(&["has nothing in the cluster"]);
    assert_eq!(again.stdout, "");
}

#[test]
fn scan_whose_starter_was_killed_is_stopped_and_nothing_is_left() {
    let place = Place::new("killed");
    let (running, _) = place.scan();
    running.signal("KILL");
    assert_eq!(running.end().code, None);
    let home = home();
    place.stop(&["--all"], &home).code(0).says(&[]);
    assert_eq!(place.namespace.created_by_scans(), [""; 0]);
    place.assert_kept(&home);
    place.stop(&[], &home).code(0).says(&["no scan runs"]);
}

#[test]
fn scan_of_another_person_is_not_stopped_unasked() {
    let place = Place::new("another");
    let (running, id) = place.scan();
    let mut rules = role_of_the_readme()["rules"].clone();
    rules
        .as_array_mut()
        .expect("a list")
        .push(serde_json::json!({"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["patch"]}));
    let user = account(&place.namespace, "bob", &rules);
    let home = home();
    let refused = place.stop(&["--as", &user], &home).code(1);
    assert!(refused.stderr.contains("one scan runs, and you have not started it"), "{}", refused.stderr);
    let refused = place.stop(&[&id, "--as", &user], &home).code(1);
    assert!(
        refused.stderr.contains("was started by") && refused.stderr.contains("--yes"),
        "{}",
        refused.stderr
    );
    assert_eq!(images(&place.status(&id), "reading"), 1);
    place.stop(&[&id, "--as", &user, "--yes"], &home).code(0).says(&[]);
    running.end().code(130).says(&["was stopped by system:serviceaccount:"]);
    place.namespace.assert_nothing_left();
}

#[test]
fn who_may_not_mark_a_scan_ends_it_nevertheless() {
    let place = Place::new("unmarked");
    let (running, id) = place.scan();
    running.signal("KILL");
    running.end();
    let user = account(&place.namespace, "bob", &role_of_the_readme()["rules"]);
    let stopped = place.stop(&[&id, "--as", &user, "--yes"], &home()).code(0);
    assert!(stopped.stderr.contains("no right to patch jobs"), "{}", stopped.stderr);
    assert_eq!(place.namespace.created_by_scans(), [""; 0]);
}

/// How many scans are killed; `scripts/soak` asks for more.
fn kills() -> u64 {
    std::env::var("CLARITY_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(10)
}

/// A moment within the life of a scan, in milliseconds: another one each time.
fn moment() -> u64 {
    let mut random = [0_u8; 2];
    getrandom::fill(&mut random).expect("random numbers");
    u64::from(u16::from_le_bytes(random)) % 4_000
}

#[test]
fn after_a_kill_at_any_moment_a_stop_leaves_nothing() {
    let image = format!("{}/apps/web:1.24", environment().public);
    let killed = |_| {
        let namespace = Namespace::new("scans-kill", PullSecret::None, vec![running_pod("web", &image)]);
        namespace.wait_until_ready();
        let moment = moment();
        let running = Plugin::scan(&["-n", &namespace.name]).start();
        std::thread::sleep(std::time::Duration::from_millis(moment));
        running.signal("KILL");
        running.end();
        let home = home();
        let stopped = Plugin::new(&["stop", "--all", "-n", &namespace.name, "--cache", "local"])
            .variable("XDG_CACHE_HOME", &home.path().display().to_string())
            .run();
        assert_eq!(stopped.code, Some(0), "killed after {moment} ms: {}", stopped.stderr);
        wait_for(&format!("nothing of a scan that was killed after {moment} ms"), 15, || {
            namespace.created_by_scans().is_empty().then_some(())
        });
    };
    // A few at a time, or none of them gets anywhere.
    let mut left = kills();
    while left > 0 {
        let now = left.min(5);
        std::thread::scope(|scope| (0..now).for_each(|number| drop(scope.spawn(move || killed(number)))));
        left -= now;
    }
}

#[test]
fn stopped_at_any_moment_a_scan_that_is_followed_leaves_nothing() {
    let image = format!("{}/apps/web:1.24", environment().public);
    let stopped = |moment: u64| {
        let namespace = Namespace::new("scans-phase", PullSecret::None, vec![running_pod("web", &image)]);
        namespace.wait_until_ready();
        let running = Plugin::scan(&["-n", &namespace.name]).start();
        std::thread::sleep(std::time::Duration::from_millis(moment));
        let stopped = Plugin::new(&["stop", "--all", "-n", &namespace.name]).run().code(0);
        let ended = running.end();
        // Too early or too late to be stopped, it ends as it would have.
        let is_expected = match ended.code {
            Some(130) => ended.stderr.contains("was stopped by"),
            Some(0) => true,
            _ => false,
        };
        assert!(is_expected, "stopped after {moment} ms: {}{}", stopped.stderr, ended.stderr);
        wait_for(&format!("nothing of a scan that was stopped after {moment} ms"), 15, || {
            namespace.created_by_scans().is_empty().then_some(())
        });
    };
    std::thread::scope(|scope| {
        for moment in [100, 600, 1_100, 1_600, 2_400] {
            scope.spawn(move || stopped(moment));
        }
    });
}
