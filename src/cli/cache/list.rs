//! `kubectl clarity cache list`.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use jiff::Timestamp;
use serde::Serialize;

use super::super::report::age;
use super::super::transfer::size;
use super::super::{Exit, errors::Explained, ui};
use super::Format;
use super::place::{CachePlace, Opened};
use crate::cache::About;
use crate::image::Reference;
use crate::report::table::{TableOptions, columns};
use crate::report::text::plural;

/// What a store has.
struct Listed {
    place: CachePlace,
    name: String,
    abouts: Vec<About>,
}

pub(super) async fn run(output: Format, stores: &[Opened]) -> Result<Exit, Explained> {
    let mut listed = Vec::new();
    for opened in stores {
        if let Some(abouts) = opened.or_note(opened.store.list().await)? {
            listed.push(Listed { place: opened.place.clone(), name: opened.store.name(), abouts });
        }
    }
    for Listed { abouts, .. } in &mut listed {
        abouts.sort_by_cached_key(|about| (about.reference.clone(), about.key.clone()));
    }
    let text = match output {
        Format::Json => json(&listed),
        Format::Table => {
            let to_terminal = std::io::stdout().is_terminal();
            let width = if to_terminal { ui::terminal_width() } else { None };
            table(&listed, Timestamp::now(), TableOptions { width, ..TableOptions::default() })
        }
    };
    ui::data(None, &text)?;
    Ok(Exit::Passed)
}

/// The result as JSON has it.
#[derive(Serialize)]
struct Document<'a> {
    entries: Vec<Line<'a>>,
    stores: Vec<Total<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "where")]
    place: &'static str,
    #[serde(flatten)]
    about: &'a About,
}

#[derive(Serialize)]
struct Total<'a> {
    #[serde(rename = "where")]
    place: &'static str,
    name: &'a str,
    entries: usize,
    bytes: u64,
}

fn json(listed: &[Listed]) -> String {
    let mut document = Document { entries: Vec::new(), stores: Vec::new() };
    for Listed { place, name, abouts } in listed {
        let place = place.as_str();
        document.entries.extend(abouts.iter().map(|about| Line { place, about }));
        document.stores.push(Total { place, name, entries: abouts.len(), bytes: stored(abouts) });
    }
    format!("{:#}\n", serde_json::to_value(document).unwrap_or_default())
}

fn stored(abouts: &[About]) -> u64 {
    abouts.iter().map(|about| about.stored).fold(0, u64::saturating_add)
}

fn table(listed: &[Listed], now: Timestamp, options: TableOptions) -> String {
    // The same document in two places is one line.
    let mut lines: BTreeMap<_, (&About, Timestamp, Vec<&str>)> = BTreeMap::new();
    for Listed { place, abouts, .. } in listed {
        for about in abouts {
            let line = (about.reference.clone(), about.key.clone(), about.document.clone());
            let (_, used, places) = lines.entry(line).or_insert((about, about.used, Vec::new()));
            *used = about.used.max(*used);
            places.push(place.as_str());
        }
    }
    let row = |(about, used, places): &(&About, Timestamp, Vec<&str>)| {
        vec![
            Reference { digest: None, ..about.reference.clone() }.to_string(),
            about.key.digest.short().to_owned(),
            about.key.platform.to_string(),
            about.packages.to_string(),
            size(about.stored),
            age(now.duration_since(about.created)),
            age(now.duration_since(*used)),
            about.reader.clone(),
            places.join(", "),
        ]
    };
    let heads = [
        ("IMAGE", false),
        ("DIGEST", false),
        ("PLATFORM", false),
        ("PACKAGES", true),
        ("SIZE", true),
        ("AGE", true),
        ("LAST USED", true),
        ("READER", false),
        ("WHERE", false),
    ];
    let rows: Vec<Vec<String>> = lines.values().map(row).collect();
    let table = if rows.is_empty() { String::new() } else { columns(&heads, &rows, options) + "\n" };
    let total = |Listed { name, abouts, .. }: &Listed| {
        format!("{}, {} in {name}\n", plural(abouts.len(), "image"), size(stored(abouts)))
    };
    std::iter::once(table).chain(listed.iter().map(total)).collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::image::{Digest, ImageKey, Platform};

    fn about(reference: &str, number: u8, now: Timestamp) -> About {
        let platform = Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None };
        About {
            key: ImageKey { digest: Digest::from_hash(&[number; 32]), platform },
            manifest: None,
            config: None,
            reference: reference.parse().expect("a reference"),
            reader: "volume".to_owned(),
            generator: "kubectl-clarity 0.1.0".to_owned(),
            analysers: "dpkg/1".to_owned(),
            packages: 412,
            document: Digest::from_hash(&[number; 32]),
            stored: 31_000,
            created: now - SignedDuration::from_hours(72),
            used: now - SignedDuration::from_hours(3),
        }
    }

    #[test]
    fn what_is_in_both_places_is_one_line_and_counted_in_each() {
        let now = Timestamp::now();
        let web = about("registry.test/web:1", 0xab, now);
        let later = About { used: now, ..web.clone() };
        let listed = [
            Listed { place: CachePlace::Local, name: "/sboms".to_owned(), abouts: vec![web] },
            Listed {
                place: CachePlace::ConfigMap,
                name: "ConfigMaps in namespace shop".to_owned(),
                abouts: vec![later, about("registry.test/api:2", 0xcd, now)],
            },
        ];
        insta::assert_snapshot!(table(&listed, now, TableOptions::default()), @r"
        IMAGE                DIGEST        PLATFORM     PACKAGES    SIZE  AGE  LAST USED  READER  WHERE
        registry.test/api:2  cdcdcdcdcdcd  linux/amd64       412  31 KiB   3d         3h  volume  configmap
        registry.test/web:1  abababababab  linux/amd64       412  31 KiB   3d         0s  volume  local, configmap

        1 image, 31 KiB in /sboms
        2 images, 61 KiB in ConfigMaps in namespace shop
        ");
        let json: serde_json::Value = serde_json::from_str(&json(&listed)).expect("JSON");
        assert_eq!(json["entries"][2]["where"], "configmap");
        assert_eq!(json["entries"][2]["reference"], "registry.test/api:2");
        assert_eq!(json["stores"][1]["bytes"], 62_000);
    }

    #[test]
    fn an_empty_cache_says_where_nothing_is() {
        let listed = [Listed { place: CachePlace::Local, name: "/sboms".to_owned(), abouts: Vec::new() }];
        assert_eq!(table(&listed, Timestamp::now(), TableOptions::default()), "0 images, 0 KiB in /sboms\n");
    }
}
