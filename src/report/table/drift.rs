//! What registries do not hold any more as it runs.

use std::collections::{BTreeMap, BTreeSet};

use super::coverage::list;
use super::{TableOptions, container_name};
use crate::image::registered::{DigestNow, Registered, TagNow};
use crate::image::{Digest, Reference};
use crate::report::Report;
use crate::report::text::{sanitize, shortened, wrap};

/// Tags that lead elsewhere and digests that are gone, each with those who run them.
pub(super) fn drift(report: &Report, options: TableOptions) -> String {
    let mut entries: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (index, image) in report.images.iter().enumerate() {
        for registered in image.registry.iter().filter(|registered| registered.has_drifted()) {
            let is_named_so = |text: &str| text.parse().is_ok_and(|own: Reference| own == registered.reference);
            let users = report
                .containers
                .iter()
                .filter(|container| container.image_index == Some(index) && is_named_so(&container.image));
            let users = users.map(|container| container_name(report, container));
            entries.entry(in_words(registered, image.digest.as_ref())).or_default().extend(users);
        }
    }
    if entries.is_empty() {
        return String::new();
    }
    let meaning = "Drift: pods that are started anew would not run what runs now";
    let mut text = wrap(meaning, 0, options.width);
    for (words, users) in entries {
        text.push_str(&wrap(&sanitize(&words), 2, options.width));
        if !users.is_empty() {
            text.push_str(&list(users, options));
        }
    }
    text
}

fn in_words(registered: &Registered, digest: Option<&Digest>) -> String {
    let Registered { reference, tag, now, digest: held } = registered;
    let name = shortened(&reference.to_string());
    let short = |digest: &Digest| format!("sha256:{}", digest.short());
    let running = digest.map_or_else(|| "another image".to_owned(), short);
    match (tag, held) {
        (Some(TagNow::Moved), held) => {
            let now = now.as_ref().map_or_else(|| "another image".to_owned(), short);
            let gone = if *held == Some(DigestNow::Gone) { " and is gone from the registry" } else { "" };
            format!("{name} is {now} now; {running} runs{gone}")
        }
        (Some(TagNow::Gone), Some(DigestNow::Present)) => {
            format!("{name} is gone from the registry; {running} runs and is still there without the tag")
        }
        (Some(TagNow::Gone), None) => format!("{name} is gone from the registry"),
        (_, _) => format!("{name} is gone from the registry with its digest: no other node can pull it"),
    }
}
