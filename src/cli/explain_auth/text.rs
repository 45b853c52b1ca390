//! The answer of `explain-auth` for people. Pure.

use std::fmt::Write as _;

use crate::registry::{EntryMismatch, EntrySeen, Exchange, Explanation, IdentitySeen, PlaceSeen, Verdict};
use crate::report::text::{plural, sanitize, wrap};
use crate::scan::{ExplainedAccess, ExplainedImage};

/// Columns before what stands below a heading, and before what belongs to that.
const INDENT: usize = 2;
const DEEPER: usize = 6;

/// What was found out about all images.
pub(super) fn text(explained: &ExplainedAccess, is_local: bool, width: Option<u16>) -> String {
    let images = explained.images.iter().map(|image| Section { text: String::new(), width }.of(image));
    let told = images.collect::<Vec<_>>().join("\n");
    if is_local { told + "\n" + &wrap(LOCAL, 0, width) } else { told }
}

/// What an answer from here is worth.
const LOCAL: &str = "Asked from this machine: pods may have another network and identities in clouds. Without --local a pod asks.";

struct Section {
    text: String,
    width: Option<u16>,
}

impl Section {
    fn of(mut self, image: &ExplainedImage) -> String {
        self.line(0, &short(&image.image.to_string()));
        for container in &image.containers {
            self.line(INDENT, &format!("{container} of namespace {}", image.namespace));
        }
        match &image.answer {
            Ok(explanation) => {
                self.secrets(image, explanation);
                if let Some(identity) = &explanation.identity {
                    self.identity(identity);
                }
                if explanation.places.iter().any(|place| place.is_mirror) {
                    self.places(&explanation.places);
                }
                self.requests(&explanation.exchanges);
                self.heading("Verdict");
                self.verdict(explanation);
            }
            Err(why) => {
                self.heading("Verdict");
                self.line(INDENT, &format!("nobody could ask: {why}"));
            }
        }
        self.kubelet(image);
        self.text
    }

    fn heading(&mut self, text: &str) {
        self.text.push('\n');
        self.line(0, text);
    }

    fn line(&mut self, indent: usize, text: &str) {
        self.text.push_str(&wrap(&sanitize(text), indent, self.width));
    }

    fn secrets(&mut self, image: &ExplainedImage, explanation: &Explanation) {
        self.heading("Pull secrets");
        if image.pull_secrets.is_empty() {
            self.line(INDENT, "there are none");
        }
        for name in &image.pull_secrets {
            let source = format!("secret {name:?}");
            let entries = explanation.entries.iter().filter(|entry| entry.source == source);
            let broken = explanation.broken.iter().filter(|text| text.starts_with(&source));
            let is_empty = entries.clone().next().is_none() && broken.clone().next().is_none();
            let missing = if is_empty { " is not there, or holds no credential for any registry" } else { "" };
            self.line(INDENT, &format!("{source}{missing}"));
            for entry in entries {
                self.line(DEEPER, &entry_in_words(entry));
            }
            for text in broken {
                self.line(DEEPER, &format!("left out: {text}"));
            }
        }
        let matching: Vec<&EntrySeen> =
            explanation.entries.iter().filter(|entry| entry.mismatch.is_none()).collect();
        if matching.len() > 1 {
            self.heading("Order in which they are tried");
            for (number, entry) in (1..).zip(matching) {
                self.line(INDENT, &format!("{number}. {} (entry {:?})", entry.source, entry.location));
            }
        }
    }

    fn identity(&mut self, identity: &IdentitySeen) {
        let IdentitySeen { cloud, source, problem } = identity;
        self.heading(&format!("Identity in the cloud ({cloud}), tried after the pull secrets"));
        self.line(INDENT, source.as_deref().unwrap_or("the pod that asked was told of none"));
        let outcome = problem.as_ref().map_or_else(
            || "it gave a credential for the registry".to_owned(),
            |why| format!("it gave none: {why}; an account that has one is named by --service-account NAME"),
        );
        self.line(DEEPER, &outcome);
    }

    fn places(&mut self, places: &[PlaceSeen]) {
        self.heading("Where it is asked for, in order");
        for (number, PlaceSeen { address, is_mirror }) in (1..).zip(places) {
            let what = if *is_mirror { "a mirror" } else { "the registry" };
            self.line(INDENT, &format!("{number}. {address}, {what}"));
        }
    }

    fn requests(&mut self, exchanges: &[Exchange]) {
        self.heading("Requests");
        for Exchange { request, shown, answer } in exchanges {
            // Where it is not said, it is TLS: addresses are long, and lines are not.
            self.line(INDENT, &short(&request.replacen("https://", "", 1)));
            self.line(DEEPER, &format!("shown: {shown}"));
            self.line(DEEPER, answer);
        }
    }

    fn verdict(&mut self, explanation: &Explanation) {
        let mut words = String::new();
        match &explanation.verdict {
            Verdict::Readable { manifest, layers, by, mirror } => {
                let by = by.as_ref().map_or_else(|| "without a credential".to_owned(), |by| format!("by {by}"));
                let at = mirror.as_ref().map(|mirror| format!(", from the mirror {mirror}"));
                let (at, layers) = (at.unwrap_or_default(), plural(*layers, "layer"));
                let _ = write!(words, "it can be read, {by}{at}: manifest {manifest}, {layers}");
            }
            Verdict::Refused(why) => {
                let _ = write!(words, "it cannot be read: {why}");
            }
        }
        self.line(INDENT, &short(&words));
    }

    /// What no pod can see.
    fn kubelet(&mut self, image: &ExplainedImage) {
        self.heading("What the kubelet has and a pod has not");
        for trouble in &image.troubles {
            self.line(INDENT, &format!("the kubelet says: {trouble}"));
        }
        self.line(
            INDENT,
            "credentials of the node (its docker configuration, credential providers), mirrors and authorities of its \
             runtime, images that were loaded by hand",
        );
        let nodes: Vec<&str> = image.nodes.iter().map(String::as_str).collect();
        if !nodes.is_empty() {
            let there = format!("{} {} it", nodes.join(", "), if nodes.len() == 1 { "has" } else { "have" });
            self.line(INDENT, &format!("{there}: a scan mounts it there and asks no registry (--read auto)"));
        } else if !image.is_readable() {
            self.line(
                INDENT,
                "if a node can pull it by any of these, so can a scan: --read pull lets the kubelet pull it",
            );
        }
    }
}

/// The text with the first digits of each digest.
fn short(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        let kept = if digits == 64 { &part[..12] } else { &part[..digits] };
        short.extend(["sha256:", kept, &part[digits..]]);
    }
    short
}

fn entry_in_words(entry: &EntrySeen) -> String {
    let EntrySeen { location, holds, mismatch, .. } = entry;
    let why = match mismatch {
        None => "is for this image",
        Some(EntryMismatch::Host) => "is for another host",
        Some(EntryMismatch::Port) => "is for another port of the host",
        Some(EntryMismatch::Path) => "is for other paths of the host",
        Some(EntryMismatch::OutRanked) => "counts only where no other entry matches",
    };
    format!("{location:?}, {holds}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(verdict: Verdict) -> ExplainedImage {
        let entry = |source: &str, location: &str, mismatch| EntrySeen {
            source: source.to_owned(),
            location: location.to_owned(),
            holds: "the password of \"puller\"".to_owned(),
            mismatch,
        };
        let exchange = |shown: &str, answer: &str| Exchange {
            request: "GET https://registry.test/v2/shop/cart/manifests/1".to_owned(),
            shown: shown.to_owned(),
            answer: answer.to_owned(),
        };
        let explanation = Explanation {
            image: "registry.test/shop/cart:1".parse().expect("a reference"),
            entries: vec![
                entry("secret \"team\"", "registry.test/shop", None),
                entry("secret \"old\"", "registry.test", None),
                entry("secret \"old\"", "quay.test", Some(EntryMismatch::Host)),
            ],
            broken: vec!["secret \"old\": entry \"x\" has an auth that is not base64".to_owned()],
            identity: Some(IdentitySeen {
                cloud: "AWS".to_owned(),
                source: Some("the web identity of role arn:aws:iam::1:role/pull".to_owned()),
                problem: Some("AccessDenied".to_owned()),
            }),
            places: vec![
                PlaceSeen { address: "https://mirror.test/".to_owned(), is_mirror: true },
                PlaceSeen { address: "https://registry.test/".to_owned(), is_mirror: false },
            ],
            tried: vec!["secret \"team\" (entry \"registry.test/shop\")".to_owned()],
            exchanges: vec![
                exchange("nothing", "it answered 401 Unauthorized; basic realm=\"r\""),
                exchange("secret \"team\" (entry \"registry.test/shop\")", "it answered 200 OK"),
            ],
            verdict,
        };
        ExplainedImage {
            namespace: "shop".to_owned(),
            image: explanation.image.clone(),
            containers: vec!["pod/cart-0 container cart".to_owned()],
            pull_secrets: ["team", "old", "missing"].map(ToOwned::to_owned).into(),
            nodes: ["node1".to_owned()].into(),
            troubles: ["ErrImagePull: \u{1b}[2Jno".to_owned()].into(),
            answer: Ok(Box::new(explanation)),
        }
    }

    #[test]
    fn the_whole_story_fits_a_terminal() {
        let manifest = crate::image::Digest::of(b"");
        let explained = ExplainedAccess {
            images: vec![image(Verdict::Readable {
                manifest,
                layers: 3,
                by: Some("secret \"team\" (entry \"registry.test/shop\")".to_owned()),
                mirror: None,
            })],
            notes: Vec::new(),
        };
        insta::assert_snapshot!(text(&explained, false, Some(80)));
    }

    #[test]
    fn whoever_cannot_ask_is_told_why() {
        let explained = ExplainedAccess {
            images: vec![ExplainedImage {
                answer: Err("Pod Security said no".to_owned()),
                nodes: std::collections::BTreeSet::new(),
                ..image(Verdict::Refused(String::new()))
            }],
            notes: Vec::new(),
        };
        let told = text(&explained, true, None);
        assert!(told.contains("nobody could ask: Pod Security said no\n"), "{told}");
        assert!(told.contains("--read pull lets the kubelet pull it"), "{told}");
    }
}
