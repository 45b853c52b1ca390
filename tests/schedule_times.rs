//! Cron expressions, held against what the library says by which Kubernetes' controller reads them: `tests/cron`, made by
//! `scripts/cron-facts`.

use std::path::Path;

use clarity::schedule::{ScheduleError, Timing};
use jiff::Timestamp;

fn facts(file: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cron").join(file);
    let text = std::fs::read_to_string(path).expect("facts");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

#[test]
fn runs_are_those_of_the_controller_in_every_zone_and_at_every_change_of_clocks() {
    let facts = facts("next.txt");
    let mut wrong = Vec::new();
    for fact in &facts {
        let [expression, zone, moment, expected] = &fact[..] else { panic!("{fact:?}") };
        let runs = match Timing::read(expression, Some(zone), None) {
            Ok(timing) => {
                let after: Timestamp = moment.parse().expect("a moment");
                let runs: Vec<String> =
                    timing.next_runs(after, None).take(3).map(|run| run.to_string()).collect();
                if runs.is_empty() { "never".to_owned() } else { runs.join(" ") }
            }
            Err(ScheduleError::Never { .. }) => "never".to_owned(),
            Err(error) => panic!("{expression}: {error}"),
        };
        // A search that ends after some runs has told all of them.
        if runs != expected.trim_end_matches(" never") {
            wrong.push((fact, runs));
        }
    }
    assert!(facts.len() >= 2000, "{} facts", facts.len());
    assert!(
        wrong.is_empty(),
        "{} of {}, for example {:#?}",
        wrong.len(),
        facts.len(),
        &wrong[..wrong.len().min(10)]
    );
}

#[test]
fn expressions_are_taken_and_refused_as_the_controller_does() {
    let facts = facts("taken.txt");
    let mut wrong = Vec::new();
    for fact in &facts {
        let [quoted, expected] = &fact[..] else { panic!("{fact:?}") };
        let expression: String = serde_json::from_str(quoted).expect("a text in quotes");
        let (taken, reason) = match Timing::read(&expression, Some("UTC"), None) {
            // It would be started, never.
            Ok(_) | Err(ScheduleError::Never { .. }) => ("taken", String::new()),
            Err(error) => ("refused", error.to_string()),
        };
        let weekday = expression.split_whitespace().nth(4).unwrap_or_default();
        // What is taken is written anew: Sunday as 0, and no space around `@daily`.
        let mended = taken == "taken" && (weekday.contains('7') || expression == "@daily ");
        if taken != expected && !mended {
            wrong.push((expression, expected, reason));
        }
    }
    assert!(facts.len() >= 600, "{} facts", facts.len());
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), facts.len(), wrong);
}
