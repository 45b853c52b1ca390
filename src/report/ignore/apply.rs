//! Rules over a report. Pure: the day is given.

use std::collections::BTreeSet;

use jiff::civil::Date;

use super::{Fit, Kind, RuleSet, Subject, Verdict};
use crate::report::Report;
use crate::report::text::{first_of, plural};

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
                        let ignored = finding.ignored.take();
                        finding.ignored = ignored.or_else(|| set.rules[place].ignored(&set.source));
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
        let image = self.images.get(index);
        let reference = image.and_then(|image| image.reference.as_ref());
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
        Subject { names, digest: image.and_then(|image| image.digest.as_ref()), namespaces }
    }
}

impl RuleSet {
    /// What a person should know of what the rules did.
    fn notes(&self, used: &Used, today: Date) -> Vec<String> {
        match self.kind {
            Kind::Own => self.idle(used, today),
            Kind::Vex { unknown } => self.of_statements(used, unknown),
        }
    }

    /// Rules that do not hold, or not where they may be thought to.
    fn idle(&self, used: &Used, today: Date) -> Vec<String> {
        let (mut expired, mut elsewhere, mut unfitting) = (Vec::new(), Vec::new(), Vec::new());
        for (place, rule) in self.rules.iter().enumerate() {
            if let Some(until) = rule.until.filter(|_| !rule.holds(today)) {
                expired.push(format!("{}, until {until}", rule.name));
            } else if used.elsewhere.contains(&place) {
                elsewhere.push(rule.name.clone());
            } else if !used.fitting.contains(&place) {
                unfitting.push(rule.name.clone());
            }
        }
        let kinds = [
            (expired, "no longer hold"),
            (elsewhere, "are for namespaces and were not applied to images that run in others too"),
            (unfitting, "fit no finding"),
        ];
        let kinds = kinds.into_iter().filter(|(rules, _)| !rules.is_empty());
        kinds
            .map(|(rules, what)| format!("rules of {} that {what}: {}", self.source, first_of(&rules, NAMED)))
            .collect()
    }

    /// That a document of others came to nothing, or to less than it says.
    fn of_statements(&self, used: &Used, unknown: usize) -> Vec<String> {
        let source = &self.source;
        let has_effect = used.fitting.iter().any(|place| self.rules[*place].verdict != Verdict::Count);
        let none = (!has_effect).then(|| format!("nothing that {source} says suppresses a finding"));
        let unknown = (unknown > 0).then(|| {
            let statements = plural(unknown, "statement");
            format!(
                "{statements} of {source} about products that are known here neither as image nor as package"
            )
        });
        none.into_iter().chain(unknown).collect()
    }
}

impl super::Rule {
    fn holds(&self, today: Date) -> bool {
        self.until.is_none_or(|until| today <= until)
    }
}
