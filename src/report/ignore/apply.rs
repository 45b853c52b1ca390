//! Rules over a report. Pure: the day is given.

use std::collections::BTreeSet;

use jiff::civil::Date;

use super::{Fit, RuleSet, Subject};
use crate::report::Report;
use crate::report::text::first_of;

/// How many rules are named in a note.
const NAMED: usize = 8;
/// The registry that people leave out, and the part of its repositories that they leave out too.
const HUB: &str = "docker.io/";
const LIBRARY: &str = "library/";

/// Places of the rules of a set that did something.
#[derive(Default)]
struct Used {
    fitting: BTreeSet<usize>,
    elsewhere: BTreeSet<usize>,
}

impl Report {
    /// The report with the findings marked that rules say to ignore, and notes about rules that do nothing.
    #[must_use]
    pub fn suppressed(mut self, sets: &[RuleSet], today: Date) -> Self {
        for set in sets {
            let mut used = Used::default();
            for index in 0..self.images.len() {
                let marks = self.marks(index, set, today, &mut used);
                for (finding, place) in marks {
                    if let Some(finding) = self.images[index].findings.get_mut(finding) {
                        finding.ignored.get_or_insert_with(|| set.rules[place].ignored(&set.source));
                    }
                }
            }
            self.notes.extend(set.notes(&used, today));
        }
        self
    }

    /// Which findings of an image are ignored, by which rule.
    fn marks(&self, index: usize, set: &RuleSet, today: Date, used: &mut Used) -> Vec<(usize, usize)> {
        let subject = self.subject(index);
        let mut marks = Vec::new();
        for (number, finding) in self.images[index].findings.iter().enumerate() {
            let mut decided = false;
            for place in set.candidates(finding) {
                let rule = &set.rules[place];
                if !rule.holds(today) {
                    continue;
                }
                match rule.fit(finding, &subject) {
                    Fit::No => {}
                    Fit::ElsewhereToo => {
                        used.elsewhere.insert(place);
                    }
                    Fit::Yes => {
                        used.fitting.insert(place);
                        if !decided {
                            marks.push((number, place));
                            decided = true;
                        }
                    }
                }
            }
        }
        marks
    }

    fn subject(&self, index: usize) -> Subject<'_> {
        let reference = self.images.get(index).and_then(|image| image.reference.as_ref());
        let name = reference.map_or_else(|| self.image_name(index), |image| image.repository.to_string());
        let mut names = vec![name];
        for prefix in [HUB, LIBRARY] {
            if let Some(short) = names.last().and_then(|name| name.strip_prefix(prefix)) {
                names.push(short.to_owned());
            }
        }
        let users = self.containers.iter().filter(|container| container.image_index == Some(index));
        let namespaces: BTreeSet<&str> = users.map(|container| container.namespace.as_str()).collect();
        // A bill of materials runs nowhere.
        let namespaces = namespaces.into_iter().filter(|name| !name.is_empty()).collect();
        Subject { names, namespaces }
    }
}

impl RuleSet {
    /// What a person should know of rules that do not hold, or not where they may be thought to.
    fn notes(&self, used: &Used, today: Date) -> Vec<String> {
        let mut kinds: [(Vec<String>, &str); 3] = [
            (Vec::new(), "no longer hold"),
            (Vec::new(), "are for namespaces and were not applied to images that run in others too"),
            (Vec::new(), "fit no finding"),
        ];
        for (place, rule) in self.rules.iter().enumerate() {
            let kind = if let Some(until) = rule.until.filter(|_| !rule.holds(today)) {
                kinds[0].0.push(format!("{}, until {until}", rule.name));
                continue;
            } else if used.elsewhere.contains(&place) {
                1
            } else if !used.fitting.contains(&place) {
                2
            } else {
                continue;
            };
            kinds[kind].0.push(rule.name.clone());
        }
        let kinds = kinds.into_iter().filter(|(rules, _)| !rules.is_empty());
        kinds
            .map(|(rules, what)| format!("rules of {} that {what}: {}", self.source, first_of(&rules, NAMED)))
            .collect()
    }
}

impl super::Rule {
    fn holds(&self, today: Date) -> bool {
        self.until.is_none_or(|until| today <= until)
    }
}
