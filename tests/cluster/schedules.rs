//! Schedules: made, listed, fired by the cluster's own controller, changed, carried elsewhere, removed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, ToSpan as _, Unit};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::environment::{environment, kubectl, kubectl_with, wait_for};
use crate::namespace::{Namespace, PullSecret, running_pod};
use crate::plugin::{Ended, Plugin};
use crate::rights::account;

/// A namespace with an image, and an account for runners.
struct Place {
    namespace: Namespace,
    home: TempDir,
}

impl Place {
    fn new(topic: &str) -> Self {
        let place = Self::without_account(topic);
        place.add_account();
        place
    }

    fn without_account(topic: &str) -> Self {
        let image = format!("{}/apps/web:1.24", environment().public);
        let namespace =
            Namespace::new(&format!("schedule-{topic}"), PullSecret::None, vec![running_pod("web", &image)]);
        namespace.wait_until_ready();
        Self { namespace, home: tempfile::tempdir().expect("a folder") }
    }

    fn add_account(&self) {
        let rule = |group: &str, resource: &str, verbs: &[&str]| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
        let rules = json!([
            rule("", "pods", &["list", "watch"]),
            rule("", "pods/log", &["get"]),
            rule("batch", "jobs", &["create", "list", "watch", "delete"]),
            rule("batch", "cronjobs", &["delete"]),
            rule("", "configmaps", &["create", "get", "list", "patch", "delete"]),
        ]);
        account(&self.namespace, "clarity-runner", &rules);
    }

    fn schedule(&self, command: &str, arguments: &[&str]) -> Plugin {
        Plugin::new(&["schedule", command, "-n", &self.namespace.name])
            .with(arguments)
            .variable("XDG_CACHE_HOME", &self.home.path().display().to_string())
            // What is found is not what these tests are about.
            .variable("CLARITY_OFFLINE", "yes")
    }

    /// Makes a schedule of the scanner of this build.
    fn create(&self, name: &str, when: &[&str]) -> Ended {
        let environment = environment();
        self.schedule("create", &[name, "--scanner-image", &environment.scanner])
            .with(&["--registry-ca", &environment.registry_ca])
            .with(when)
            .run()
    }

    fn list(&self) -> Vec<Value> {
        let list = self.schedule("list", &["-o", "json"]).run().code(0).report();
        list.as_array().expect("a list").clone()
    }

    fn names(&self) -> Vec<String> {
        self.list().iter().map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// Records of a schedule, the newest first.
    fn history(&self, name: &str) -> Vec<Value> {
        let list = self.schedule("history", &[name, "-o", "json"]).run().code(0).report();
        list.as_array().expect("a list").clone()
    }

    /// The logs of all runners that there are.
    fn logs(&self) -> String {
        let label = "kubectl-clarity.io/kind=runner";
        kubectl(&["logs", "-n", &self.namespace.name, "-l", label, "--tail=200", "--prefix"])
    }

    fn jobs(&self) -> Vec<Value> {
        let label = "kubectl-clarity.io/kind=runner";
        let text = kubectl(&["get", "jobs", "-n", &self.namespace.name, "-l", label, "-o", "json"]);
        let list: Value = serde_json::from_str(&text).expect("JSON");
        list["items"].as_array().expect("a list").clone()
    }

    /// Waits until so many runners have ended well.
    fn wait_until_done(&self, number: usize) {
        wait_for(&format!("{number} runs that ended well"), 60, || {
            let done = self.jobs().iter().filter(|job| job["status"]["succeeded"] == 1).count();
            (done >= number).then_some(())
        });
    }
}

#[test]
fn schedules_are_made_listed_suspended_resumed_and_removed() {
    let place = Place::new("many");
    for (name, when, cron) in [
        ("five", &["--cron", "5 4 * * 7", "--time-zone", "Europe/Berlin"][..], "5 4 * * 0"),
        ("nightly", &["--daily", "03:00", "--suspend"], "0 3 * * *"),
        ("often", &["--every", "6h"], ""),
        ("rare", &["--every", "10d"], ""),
        ("weekly", &["--weekly", "mon,thu@23:30"], "30 23 * * mon,thu"),
    ] {
        place.create(name, when).code(0);
        let list = place.list();
        let one = list.iter().find(|one| one["name"] == name).expect("it is listed");
        assert!(cron.is_empty() || one["cron"] == cron, "{one:#}");
        assert_eq!(one["next"].is_null(), name == "nightly", "{one:#}");
        assert_eq!(one["scope"], format!("-n {}", place.namespace.name));
    }
    assert_eq!(place.names(), ["five", "nightly", "often", "rare", "weekly"]);
    assert_eq!(place.list()[3]["guard"], "every=864000");
    let table = place.schedule("list", &[]).run().code(0).stdout;
    assert!(table.contains("every 10 days") && table.contains("suspended"), "{table}");

    place.schedule("resume", &["nightly"]).run().code(0);
    place.schedule("suspend", &["often"]).run().code(0);
    let suspended: Vec<bool> = place.list().iter().map(|one| one["suspended"] == true).collect();
    assert_eq!(suspended, [false, false, true, false, false]);
    let shown = place.schedule("get", &["five"]).run().code(0).stdout;
    assert!(shown.contains("Sundays at 04:05 Europe/Berlin"), "{shown}");
    for name in ["five", "nightly", "often", "rare"] {
        place.schedule("delete", &[name]).run().code(0);
    }
    assert_eq!(place.names(), ["weekly"]);
    place.schedule("delete", &["five"]).run().code(1).says(&["there is no schedule five"]);
}

#[test]
fn schedule_of_every_minute_fires_by_itself_and_leaves_records() {
    let place = Place::new("fires");
    place.create("minutely", &["--cron", "* * * * *"]).code(0);
    let first = wait_for("the first record", 100, || place.history("minutely").pop());
    // What was read is known by then.
    let both =
        wait_for("the second record", 100, || Some(place.history("minutely")).filter(|all| all.len() > 1));
    assert_eq!(both.last(), Some(&first));
    let (one, other) = (&both[0]["started"], &both[1]["started"]);
    let time = |value: &Value| value.as_str().expect("text").parse::<Timestamp>().expect("a time");
    assert!(time(one).duration_since(time(other)) > SignedDuration::from_secs(40), "{one} {other}");
    let id = both[0]["id"].as_str().expect("an id");
    let report = Plugin::new(&["report", "last", "--schedule", "minutely", "-o", "json", "--allow-incomplete"])
        .with(&["--state-namespace", &place.namespace.name])
        .run()
        .code(0)
        .report();
    assert_eq!(report["containers"].as_array().map(Vec::len), Some(1), "{report:#}");
    let list = place.list();
    assert!(list[0]["last_record"]["id"].is_string() && list[0]["missed"] == 0, "{list:#?}");
    // Who looks with kubectl alone is told what it is.
    let told = kubectl(&["describe", "cronjob", "minutely", "-n", &place.namespace.name]);
    for words in ["kubectl-clarity.io/scope", "scan", "--namespace", "SuccessfulCreate"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!id.is_empty());
    place.schedule("delete", &["minutely"]).run().code(0);
    place.namespace.assert_nothing_left();
    assert!(Plugin::new(&["report", id, "--state-namespace", &place.namespace.name]).run().code.is_some());
}

#[test]
fn schedule_for_one_moment_fires_once_and_removes_itself() {
    let place = Place::new("once");
    let now = Timestamp::now();
    // A whole minute that is at least half a minute away.
    let moment = now.checked_add(90.seconds()).expect("a time");
    let moment = moment.round((Unit::Minute, 1)).expect("a time");
    let text = moment.to_string();
    place.create("once", &["--at", text.trim_end_matches(":00Z"), "--time-zone", "UTC"]).code(0);
    assert_eq!(place.list()[0]["next"], text);
    wait_for("the schedule to remove itself", 180, || place.names().is_empty().then_some(()));
    place.wait_until_done(1);
    assert!(place.logs().contains("schedule once has run and is removed; its record stays"));
    let record = Plugin::new(&["report", "--schedule", "once", "--state-namespace", &place.namespace.name])
        .with(&["-o", "json", "--allow-incomplete"])
        .run()
        .code(0)
        .report();
    let started: Timestamp = record["scan"]["started"].as_str().expect("text").parse().expect("a time");
    assert!(started >= moment, "{started}");
    // Its Job goes by itself.
    assert_eq!(place.jobs()[0]["spec"]["ttlSecondsAfterFinished"], 3600);
}

#[test]
fn guard_lets_no_run_pass_before_its_time_unless_it_is_asked_for() {
    let place = Place::new("guard");
    place.create("rare", &["--every", "10d"]).code(0);
    let start = |name: &str| {
        kubectl(&["create", "job", name, "--from=cronjob/rare", "-n", &place.namespace.name]);
    };
    // As the controller starts it each day.
    start("rare-day1");
    place.wait_until_done(1);
    assert_eq!(place.history("rare").len(), 1);
    start("rare-day2");
    place.wait_until_done(2);
    assert!(place.logs().contains("it is not time yet (every=864000)"), "{}", place.logs());
    assert_eq!(place.history("rare").len(), 1);
    // By a person who means it.
    let id = place.schedule("run", &["rare"]).run().code(0).stdout.trim_end().to_owned();
    place.wait_until_done(3);
    let history = place.history("rare");
    assert_eq!((history.len(), &history[0]["id"]), (2, &json!(id)));
}

#[test]
fn exported_schedule_is_applied_by_kubectl_alone() {
    let place = Place::new("export");
    place.create("nightly", &["--daily", "03:00", "--time-zone", "Europe/Berlin"]).code(0);
    let environment = environment();
    let printed = place
        .schedule("create", &["other", "--every", "2h", "--dry-run", "--scanner-image", &environment.scanner])
        .run()
        .code(0)
        .stdout;
    let exported = place.schedule("export", &[]).run().code(0).stdout;
    assert!(!exported.contains("resourceVersion") && !exported.contains("status"), "{exported}");
    place.schedule("delete", &["nightly"]).run().code(0);
    assert_eq!(place.names(), [""; 0]);
    for text in [exported, printed] {
        let path = place.home.path().join("schedules.yaml");
        std::fs::write(&path, text).expect("a file");
        kubectl(&["apply", "-f", &path.display().to_string()]);
    }
    assert_eq!(place.names(), ["nightly", "other"]);
}

#[test]
fn schedule_is_changed_in_an_editor() {
    let place = Place::new("edit");
    place.create("nightly", &["--daily", "03:00"]).code(0);
    let edit = |script: &str| {
        place.schedule("edit", &["nightly"]).variable("KUBE_EDITOR", &format!("sed -i -e '{script}'")).run()
    };
    edit("s/schedule: .*0 3 .*/schedule: \"15 4 * * *\"/").code(0);
    assert_eq!(place.list()[0]["cron"], "15 4 * * *");
    edit("s/15 4 \\* \\* \\*/0 0 30 2 */").code(1).says(&["cannot run", "never runs"]);
    edit("s/name: nightly/name: daily/").code(1).says(&["cannot be changed"]);
    edit("s/kubectl-nothing/x/").code(0).says(&["nothing was changed"]);
    assert_eq!(place.list()[0]["cron"], "15 4 * * *");
}

#[test]
fn what_cannot_be_a_schedule_is_refused_in_words() {
    let place = Place::new("bad");
    let long = "a".repeat(53);
    for (name, when, words) in [
        ("a", &["--cron", "0 0 30 2 *"][..], "never runs"),
        ("a", &["--cron", "0 0 0 1 1 1"], "6 fields"),
        ("a", &["--at", "2020-01-01T00:00"], "is over"),
        ("a", &["--every", "7m"], "would start a pod every"),
        ("a", &["--daily", "25:00"], "is no time of a day"),
        ("a", &["--daily", "03:00", "--time-zone", "Mars/Base"], "is no time zone"),
        ("a", &["--daily", "03:00", "--runner", "nobody"], "no ServiceAccount nobody"),
    ] {
        let ended = place.create(name, when);
        assert!(ended.code.is_some_and(|code| code != 0), "{when:?}");
        assert!(ended.stderr.contains(words), "{when:?}: {}", ended.stderr);
    }
    place.create(&long, &["--daily", "03:00"]).code(2).says(&["52"]);
    place.create("a", &["--daily", "03:00", "--every", "6h"]).code(2);
    place.create("a", &[]).code(2);
    place.create("a", &["--daily", "03:00"]).code(0);
    place.create("a", &["--daily", "04:00"]).code(1).says(&["there is a CronJob a in namespace"]);
}

#[test]
fn somebody_with_edit_uses_schedules_by_an_account_that_is_prepared() {
    let place = Place::new("tenant");
    let user = place.namespace.account_with("edit");
    let by = ["--as", &user];
    place.create("nightly", &[&["--daily", "03:00"], &by[..]].concat()).code(0);
    let id = place.schedule("run", &["nightly"]).with(&by).run().code(0).stdout.trim_end().to_owned();
    place.wait_until_done(1);
    let history = place.schedule("history", &["nightly", "-o", "json"]).with(&by).run().code(0).report();
    assert_eq!(history[0]["id"], id.as_str());
    place.schedule("suspend", &["nightly"]).with(&by).run().code(0);
    // A run that is stopped takes no schedule with it.
    place.schedule("run", &["nightly"]).with(&by).run().code(0);
    Plugin::new(&["stop", "--all", "-n", &place.namespace.name]).with(&by).run().code(0);
    wait_for("the runs to be gone", 20, || place.jobs().is_empty().then_some(()));
    assert_eq!(place.names(), ["nightly"]);
    place.schedule("delete", &["nightly"]).with(&by).run().code(0);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn schedule_that_somebody_has_made_senseless_is_listed_with_the_reason() {
    let place = Place::new("hostile");
    place.create("nightly", &["--daily", "03:00"]).code(0);
    let guard = "kubectl-clarity.io/guard=every=forever";
    kubectl(&["annotate", "cronjob", "nightly", "-n", &place.namespace.name, guard]);
    let patch = json!({"spec": {"schedule": "0 0 31 2 *"}}).to_string();
    kubectl_with(&["patch", "cronjob", "nightly", "-n", &place.namespace.name, "-p", &patch], &Value::Null);
    let list = place.list();
    assert_eq!(list[0]["next"], Value::Null);
    assert!(list[0]["when"].as_str().is_some_and(|when| when.contains("never runs")), "{list:#?}");
    place.schedule("list", &[]).run().code(0);
    place.schedule("get", &["nightly"]).run().code(0);
}

/// A server that takes what is posted to it; the first time it is not ready.
struct Listener {
    port: u16,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    fn start() -> Self {
        let listener = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&bodies);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                if let Some(body) = answered(stream, number == 0)
                    && number > 0
                {
                    taken.lock().expect("no panic").push(body);
                }
            }
        });
        Self { port, bodies }
    }

    fn bodies(&self) -> Vec<Value> {
        let bodies = self.bodies.lock().expect("no panic");
        bodies.iter().map(|body| serde_json::from_str(body).expect("JSON")).collect()
    }
}

/// The body of a request, which is answered.
fn answered(mut stream: std::net::TcpStream, is_refused: bool) -> Option<String> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).ok()? > 2 {
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let status = if is_refused { "503 Service Unavailable\r\nRetry-After: 1" } else { "204 No Content" };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).ok()?;
    String::from_utf8(body).ok()
}

#[test]
fn result_of_a_run_is_posted_and_the_address_shown_nowhere() {
    let place = Place::new("notify");
    let listener = Listener::start();
    let url = format!("http://host.clarity.test:{}/hunter2", listener.port);
    let created = place.create("told", &["--daily", "03:00", "--notify", &url]).code(0);
    place
        .create("quiet", &["--daily", "03:00", "--notify-secret", "told-notify/url", "--notify-on", "new"])
        .code(0);
    place.schedule("run", &["told"]).run().code(0);
    place.wait_until_done(1);
    let bodies = listener.bodies();
    assert_eq!(bodies.len(), 1, "after a refusal it is tried again: {bodies:#?}");
    assert_eq!(bodies[0]["scan"]["schedule"], "told");
    assert!(bodies[0]["text"].as_str().is_some_and(|text| text.starts_with("told: scan ")), "{bodies:#?}");
    // Nothing new is found without advisories.
    place.schedule("run", &["quiet"]).run().code(0);
    place.wait_until_done(2);
    assert_eq!(listener.bodies().len(), 1);

    let namespace = &place.namespace.name;
    let shown = [
        created.stdout + &created.stderr,
        kubectl(&["get", "cronjobs,jobs,pods,configmaps,events", "-n", namespace, "-o", "yaml"]),
        place.logs(),
        place.schedule("export", &[]).run().code(0).stdout,
        place.schedule("get", &["told", "-o", "json"]).run().code(0).stdout,
    ];
    for text in shown {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(kubectl(&["get", "secrets", "-n", namespace, "-o", "name"]).contains("told-notify"));
    place.schedule("delete", &["told"]).run().code(0);
    wait_for("its Secret to be gone", 30, || {
        let secrets = kubectl(&["get", "secrets", "-n", namespace, "-o", "name"]);
        (!secrets.contains("told-notify")).then_some(())
    });
}

#[test]
fn account_for_runs_is_made_by_who_may_make_it_and_asked_for_by_others() {
    let place = Place::without_account("account");
    let user = place.namespace.account_with("edit");
    let refused = place.create("nightly", &["--daily", "03:00", "--as", &user]).code(1);
    refused.says(&["no ServiceAccount clarity-runner", "kubectl clarity rbac runner"]);
    let accounts = || kubectl(&["get", "serviceaccounts", "-n", &place.namespace.name, "-o", "name"]);
    assert!(!accounts().contains("clarity-runner"), "nothing is half made");
    place
        .create("nightly", &["--daily", "03:00"])
        .code(0)
        .says(&["made for its runs: ServiceAccount clarity-runner"]);
    // The API server takes new roles in a moment after it has stored them.
    std::thread::sleep(Duration::from_secs(2));
    place.schedule("run", &["nightly"]).run().code(0);
    place.wait_until_done(1);
    assert_eq!(place.history("nightly").len(), 1);
}
