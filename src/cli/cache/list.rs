//! `kubectl clarity cache list`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;

use jiff::Timestamp;
use serde::Serialize;

use super::super::access::AccessArgs;
use super::super::report::age;
use super::super::transfer::size;
use super::super::{Exit, errors::Explained, ui};
use super::Format;
use super::place::{CachePlace, Opened};
use crate::cache::About;
use crate::cluster::{self, Scope};
use crate::find::{self, Running};
use crate::image::{Platform, Reference};
use crate::report::table::{TableOptions, columns};
use crate::report::text::{plural, sanitize, shortened, wrap};

/// What a store has.
struct Listed {
    place: CachePlace,
    name: String,
    abouts: Vec<About>,
}

/// The images that run in a scope.
pub(super) async fn running(scope: Scope, access: AccessArgs) -> Result<Vec<Running>, Explained> {
    let connection = cluster::connect(&access.complete()).await?;
    let discovery = cluster::discover(&connection.client, &scope).await;
    let discovery = discovery.map_err(|error| Explained::of_scan(&error.into(), &connection.server))?;
    for note in &discovery.notes {
        ui::say(&format!("note: {note}"));
    }
    Ok(find::running(&discovery.containers))
}

pub(super) async fn run(
    output: Format,
    running: Option<&[Running]>,
    stores: &[Opened],
) -> Result<Exit, Explained> {
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
        Format::Json => json(&listed, running),
        Format::Table => {
            let to_terminal = std::io::stdout().is_terminal();
            let width = if to_terminal { ui::terminal_width() } else { None };
            table(&listed, running, Timestamp::now(), TableOptions { width, ..TableOptions::default() })
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
    /// Only where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<Vec<Runs<'a>>>,
}

/// An image that runs.
#[derive(Serialize)]
struct Runs<'a> {
    image: &'a str,
    platform: &'a Platform,
    used_by: &'a BTreeSet<String>,
    kept: bool,
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

fn json(listed: &[Listed], running: Option<&[Running]>) -> String {
    let mut document = Document { entries: Vec::new(), stores: Vec::new(), running: None };
    for Listed { place, name, abouts } in listed {
        let place = place.as_str();
        document.entries.extend(abouts.iter().map(|about| Line { place, about }));
        document.stores.push(Total { place, name, entries: abouts.len(), bytes: stored(abouts) });
    }
    document.running = running.map(|images| {
        let line = |image| {
            let Running { image: name, platform, used_by, .. }: &Running = image;
            Runs { image: name, platform, used_by, kept: is_kept(image, listed) }
        };
        images.iter().map(line).collect()
    });
    format!("{:#}\n", serde_json::to_value(document).unwrap_or_default())
}

/// Whether a store has it, by any of its digests.
fn is_kept(image: &Running, listed: &[Listed]) -> bool {
    listed.iter().flat_map(|listed| &listed.abouts).any(|about| image.is_of(about))
}

fn stored(abouts: &[About]) -> u64 {
    abouts.iter().map(|about| about.stored).fold(0, u64::saturating_add)
}

fn table(listed: &[Listed], running: Option<&[Running]>, now: Timestamp, options: TableOptions) -> String {
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
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (about, ..) in lines.values() {
        *names.entry(name(about)).or_default() += 1;
    }
    let row = |(about, used, places): &(&About, Timestamp, Vec<&str>)| {
        let mut name = name(about);
        // A tag that moved has two: then each says which.
        if names.get(&name).is_some_and(|count| *count > 1) {
            name = format!("{name}@{} {}", about.key.digest.short(), about.key.platform);
        }
        let mut row = vec![
            name,
            about.packages.to_string(),
            size(about.stored),
            age(now.duration_since(*used)),
            if places.len() > 1 { "both".to_owned() } else { places.concat() },
        ];
        row.extend(running.map(|images| {
            let of_it = images.iter().filter(|image| image.is_of(about));
            of_it.map(|image| image.used_by.len()).sum::<usize>().to_string()
        }));
        row
    };
    let mut heads =
        vec![("IMAGE", false), ("PACKAGES", true), ("SIZE", true), ("USED", true), ("WHERE", false)];
    heads.extend(running.map(|_| ("RUNNING", true)));
    let rows: Vec<Vec<String>> = lines.values().map(row).collect();
    let width = options.width;
    let table = if rows.is_empty() { String::new() } else { columns(&heads, &rows, options) + "\n" };
    let total = |Listed { name, abouts, .. }: &Listed| {
        format!("{}, {} in {name}\n", plural(abouts.len(), "image"), size(stored(abouts)))
    };
    let coverage = running.map(|images| coverage(listed, images, width));
    std::iter::once(table).chain(listed.iter().map(total)).chain(coverage).collect()
}

fn name(about: &About) -> String {
    Reference { digest: None, ..about.reference.clone() }.to_string()
}

/// Which of the images that run are not there.
fn coverage(listed: &[Listed], images: &[Running], width: Option<u16>) -> String {
    let missing: Vec<&Running> = images.iter().filter(|image| !is_kept(image, listed)).collect();
    let mut text = String::new();
    for image in &missing {
        let more = image.used_by.len().saturating_sub(1);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let user = image.used_by.first().map_or("nobody", String::as_str);
        let line = format!("Not kept: {}, run by {user}{more}", shortened(&image.image));
        text.push_str(&wrap(&sanitize(&line), 0, width));
    }
    let (kept, all) = (images.len() - missing.len(), images.len());
    format!("{text}{kept} of {} kept, {} not\n", plural(all, "running image"), missing.len())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::image::{Digest, ImageKey, RuntimeImage};
    use crate::workload::{Container, ContainerKind, Pod, WorkloadRef};

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
        insta::assert_snapshot!(table(&listed, None, now, TableOptions::default()), @r"
        IMAGE                PACKAGES    SIZE  USED  WHERE
        registry.test/api:2       412  31 KiB    3h  configmap
        registry.test/web:1       412  31 KiB    0s  both

        1 image, 31 KiB in /sboms
        2 images, 61 KiB in ConfigMaps in namespace shop
        ");
        let json: serde_json::Value = serde_json::from_str(&json(&listed, None)).expect("JSON");
        assert_eq!(json["entries"][2]["where"], "configmap");
        assert_eq!(json["entries"][2]["reference"], "registry.test/api:2");
        assert_eq!(json["stores"][1]["bytes"], 62_000);
    }

    #[test]
    fn what_runs_is_counted_and_what_is_missing_is_named_within_80_columns() {
        let now = Timestamp::now();
        let (here, there) = ("registry.example.com/shop/cart:2.4.1", "registry.clarity.test:5000/apps/web:1");
        let abouts = vec![about(here, 0xab, now), about(there, 0xcd, now), about(there, 0xef, now)];
        let listed =
            [Listed { place: CachePlace::ConfigMap, name: "ConfigMaps in namespace shop".to_owned(), abouts }];
        let container = |workload: &str, number: u8| {
            let object = WorkloadRef::parse(&format!("deployment/{workload}")).expect("an object");
            let (name, namespace) = (format!("{workload}-1"), "shop".to_owned());
            let pod = Pod {
                namespace,
                name,
                chain: vec![object.clone()],
                workload: object,
                pull_secrets: Vec::new(),
                node: None,
                platform: Some(Platform {
                    os: "linux".to_owned(),
                    architecture: "amd64".to_owned(),
                    variant: None,
                }),
                tolerations: Vec::new(),
            };
            let runtime = Ok(RuntimeImage::Manifest(Digest::from_hash(&[number; 32])));
            let image = format!("registry.clarity.test:5000/apps/{workload}:1");
            Container { pod, name: "web".to_owned(), kind: ContainerKind::Container, image, runtime }
        };
        let images = find::running(&[container("web", 0xcd), container("again", 0xcd), container("new", 0x11)]);
        let options = TableOptions { width: Some(80), ..TableOptions::default() };
        let table = table(&listed, Some(&images), now, options);
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        // Each of two that go by one name says which it is, and the names of others stay in one piece.
        for words in [
            "registry.example.com/shop/cart:2.4.1 ",
            "@cdcdcdcdcdcd",
            "@efefefefefef",
            "1 of 2 running images kept, 1 not",
        ] {
            assert!(table.contains(words), "{words}: {table}");
        }
        let missing = "Not kept: registry.clarity.test:5000/apps/new:1, run by";
        assert!(table.contains(missing), "{table}");
        let json: serde_json::Value = serde_json::from_str(&json(&listed, Some(&images))).expect("JSON");
        assert_eq!(json["running"][0]["kept"], false);
        assert_eq!(json["running"][1]["used_by"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn an_empty_cache_says_where_nothing_is() {
        let listed = [Listed { place: CachePlace::Local, name: "/sboms".to_owned(), abouts: Vec::new() }];
        assert_eq!(
            table(&listed, None, Timestamp::now(), TableOptions::default()),
            "0 images, 0 KiB in /sboms\n"
        );
    }
}
