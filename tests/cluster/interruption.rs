//! Ctrl-C at every stage: the scan ends with its id, and nothing of it is left.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::namespace::{Namespace, PullSecret, waiting_pod};
use crate::plugin::{Ended, Plugin, scan_with_job_in};
use crate::registry::SlowRegistry;

fn namespace(topic: &str) -> Namespace {
    Namespace::with_image(topic, "multi", "apps/multi")
}

/// Asserts that it ended as it should, and that what it made was gone by then.
fn assert_interrupted(ended: Ended, namespace: &Namespace) -> Ended {
    let left = namespace.created_by_scans();
    let ended = ended.code(130).says(&["interrupted: removing what this scan created", "was interrupted"]);
    assert_eq!(left, [""; 0], "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    ended
}

/// Waits until the cluster has made the first object of a kind in a namespace.
fn wait_until_made(kind: &str, namespace: &Namespace) {
    let mut watch = Command::new("kubectl")
        .args(["get", kind, "-n", &namespace.name, "--watch", "-o", "name"])
        .args(["-l", "app.kubernetes.io/managed-by=kubectl-clarity"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl");
    let mut name = String::new();
    BufReader::new(watch.stdout.take().expect("it was piped")).read_line(&mut name).expect("text");
    watch.kill().expect("it is ours");
    watch.wait().expect("it is ours");
    assert!(!name.is_empty());
}

#[test]
fn while_the_server_does_not_answer() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("https://{}", server.local_addr().expect("it is bound"));
    let running = Plugin::scan(&["-n", "shop", "--server", &address]).start();
    let connection = server.accept().expect("it connects");
    running.signal("INT");
    let ended = running.end().code(130).says(&["was interrupted"]).within(10);
    assert_eq!(ended.stdout, "");
    drop(connection);
}

#[test]
fn while_the_job_is_being_created() {
    // The moment is a matter of chance, so there are several.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let namespace = namespace("creating");
                let running = Plugin::scan(&["-n", &namespace.name]).start();
                running.wait_for_words("1 image to read in 1 pod");
                running.signal("INT");
                assert_interrupted(running.end(), &namespace);
            });
        }
    });
}

#[test]
fn when_the_job_is_there() {
    let namespace = namespace("created");
    let running = Plugin::scan(&["-n", &namespace.name]).start();
    wait_until_made("jobs", &namespace);
    running.signal("INT");
    assert_interrupted(running.end(), &namespace);
}

#[test]
fn while_the_pod_starts() {
    let namespace = namespace("starting");
    let running = Plugin::scan(&["-n", &namespace.name]).start();
    wait_until_made("pods", &namespace);
    running.signal("INT");
    assert_interrupted(running.end(), &namespace);
}

#[test]
fn while_an_image_is_read() {
    for signal in ["INT", "TERM"] {
        let registry = SlowRegistry::serve("payments");
        let namespace = Namespace::new("reading", PullSecret::None, vec![waiting_pod("slow", &registry.image)]);
        let running = Plugin::scan(&["-n", &namespace.name]).start();
        registry.wait_until_read_by(1);
        let scan = scan_with_job_in(&namespace.name);
        running.signal(signal);
        assert_interrupted(running.end(), &namespace)
            .says(&[&format!("scan {scan} was interrupted")])
            .within(30);
    }
}

#[test]
fn twice_leaves_at_once() {
    let registry = SlowRegistry::serve("payments");
    let namespace = Namespace::new("twice", PullSecret::None, vec![waiting_pod("slow", &registry.image)]);
    let running = Plugin::scan(&["-n", &namespace.name]).start();
    registry.wait_until_read_by(1);
    running.signal("INT");
    running.wait_for_words("once more to leave at once");
    running.signal("INT");
    let ended = running.end().code(130);
    assert_eq!(ended.stdout, "");
}

#[test]
fn of_one_scan_leaves_another_of_the_same_namespace_alone() {
    let registry = SlowRegistry::serve("payments");
    let namespace = Namespace::new("beside", PullSecret::None, vec![waiting_pod("slow", &registry.image)]);
    let scan = || Plugin::scan(&["-n", &namespace.name]).start();
    let first = scan();
    registry.wait_until_read_by(1);
    let first_scan = scan_with_job_in(&namespace.name);
    let second = scan();
    registry.wait_until_read_by(2);
    first.signal("INT");
    first.end().code(130).says(&[&format!("scan {first_scan} was interrupted")]);
    let left = namespace.created_by_scans();
    assert!(left.len() == 2 && left.iter().all(|name| !name.contains(&first_scan)), "{left:?}");
    registry.open();
    let report = second.end().code(0).report();
    let notes = report["notes"].as_array().expect("a list");
    assert!(
        notes
            .iter()
            .any(|note| note.as_str().is_some_and(|note| note.contains("left out: 1 pod of scans of ours"))),
        "{notes:?}"
    );
    namespace.assert_nothing_left();
}
