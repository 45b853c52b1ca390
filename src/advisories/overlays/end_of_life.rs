//! Releases that their distribution has given up: nobody writes advisories about them any more, so finding nothing in them
//! means nothing. The table is compiled in, and is right up to the date that it names.

use std::collections::HashMap;
use std::sync::LazyLock;

use jiff::civil::Date;

use crate::finding::EndOfLife;
use crate::package::Distro;

/// A line for each release; its head tells where it is from.
const TABLE: &str = include_str!("end_of_life.tsv");
/// What the line with the date of the table begins with.
const AS_OF: &str = "as-of\t";

/// A line of the table.
struct Release {
    distro: &'static str,
    version: &'static str,
    codename: &'static str,
    end: Option<Date>,
    paid_until: Option<Date>,
}

/// That the release of an image is no longer tracked on a day; none if it is, or if nothing is known of it.
#[must_use]
pub fn end_of_life(distro: &Distro, today: Date) -> Option<EndOfLife> {
    let (id, version) = release(distro)?;
    let release = releases().find(|release| release.distro == id && release.version == version)?;
    let since = release.end.filter(|end| *end < today)?;
    let as_of = TABLE.lines().find_map(|line| line.strip_prefix(AS_OF)?.parse().ok())?;
    Some(EndOfLife { since, paid_until: release.paid_until.filter(|until| *until >= today), as_of })
}

/// Versions by distribution and codename. Trackers ask for some hundred thousand.
static VERSIONS: LazyLock<HashMap<(&str, &str), &str>> =
    LazyLock::new(|| releases().map(|release| ((release.distro, release.codename), release.version)).collect());

/// The number of a release of Debian or Ubuntu that has a codename: `12` of `bookworm`, `24.04` of `noble`.
pub(super) fn version_of(distro: &str, codename: &str) -> Option<&'static str> {
    VERSIONS.get(&(distro, codename)).copied()
}

fn releases() -> impl Iterator<Item = Release> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut cells = line.split('\t');
        let (distro, version, codename) = (cells.next()?, cells.next()?, cells.next()?);
        let mut date = || cells.next().and_then(|text| text.parse().ok());
        Some(Release { distro, version, codename, end: date(), paid_until: date() })
    })
}

/// Name and version in the words of the table: as many numbers of `VERSION_ID` as the distribution counts its releases by.
fn release(distro: &Distro) -> Option<(String, String)> {
    let id = distro.id.to_ascii_lowercase();
    let version = distro.version_id.as_deref()?;
    // Alpine's edge calls itself by the release that it will become.
    if version.contains("_alpha") {
        return None;
    }
    let numbers: Vec<&str> = version.split(['.', '_']).collect();
    let major: u32 = numbers.first()?.parse().ok()?;
    let count = match id.as_str() {
        "debian" if major < 7 => 2,
        "ubuntu" | "alpine" | "opensuse-leap" | "sles" => 2,
        _ => 1,
    };
    // Stream and the CentOS that it took the place of have one name and ended on different days.
    let is_stream = distro.pretty_name.as_deref().is_some_and(|name| name.contains("Stream"));
    let id = if id == "centos" && is_stream { "centos-stream".to_owned() } else { id };
    Some((id, numbers.into_iter().take(count).collect::<Vec<_>>().join(".")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::ToSpan as _;
    use jiff::civil::date;

    use super::*;

    fn distro(id: &str, version: &str) -> Distro {
        let (version, pretty_name) =
            version.split_once('|').map_or((version, None), |(v, name)| (v, Some(name)));
        Distro {
            id: id.to_owned(),
            version_id: Some(version.to_owned()),
            pretty_name: pretty_name.map(ToOwned::to_owned),
            ..Distro::default()
        }
    }

    #[test]
    fn release_is_tracked_on_its_last_day_and_not_on_the_next() {
        for (id, version, last) in [
            ("debian", "10", date(2024, 6, 30)),
            ("debian", "11.9", date(2026, 8, 31)),
            ("debian", "6.0.10", date(2016, 2, 29)),
            ("ubuntu", "18.04", date(2023, 5, 31)),
            ("ubuntu", "24.10", date(2025, 7, 10)),
            ("ubuntu", "6.06", date(2011, 6, 1)),
            ("alpine", "3.18.4", date(2025, 5, 9)),
            ("alpine", "3.9.6", date(2020, 11, 1)),
            ("almalinux", "8.10", date(2029, 5, 31)),
            ("rocky", "9.4", date(2032, 5, 31)),
            ("rhel", "7.9", date(2024, 6, 30)),
            ("centos", "8", date(2021, 12, 31)),
            ("centos", "8|CentOS Stream 8", date(2024, 5, 31)),
            ("opensuse-leap", "15.5", date(2024, 12, 31)),
            ("sles", "15", date(2019, 12, 31)),
            ("sles", "15.5", date(2024, 12, 31)),
            ("amzn", "2018.03", date(2023, 12, 31)),
            ("amzn", "2", date(2026, 6, 30)),
            ("ol", "7.9", date(2024, 12, 31)),
            ("fedora", "40", date(2025, 5, 13)),
            ("mariner", "2.0", date(2025, 7, 31)),
        ] {
            let distro = distro(id, version);
            assert_eq!(end_of_life(&distro, last), None, "{id} {version} on {last}");
            let next = last.checked_add(1.day()).expect("a day");
            assert_eq!(end_of_life(&distro, next).map(|end| end.since), Some(last), "{id} {version}");
        }
    }

    #[test]
    fn what_is_not_known_has_not_ended() {
        let never = date(2100, 1, 1);
        for (id, version) in [
            ("debian", "14"),
            ("debian", "x"),
            ("debian", ""),
            ("alpine", "3.19.0_alpha20231219"),
            ("alpine", "3"),
            ("sles", "15.99"),
            ("ubuntu", "99.04"),
            ("wolfi", "20230201"),
            ("as-of", "2026-04-25"),
        ] {
            assert_eq!(end_of_life(&distro(id, version), never), None, "{id} {version}");
        }
        assert_eq!(end_of_life(&Distro { id: "debian".to_owned(), ..Distro::default() }, never), None);
    }

    #[test]
    fn paid_support_is_told_while_it_lasts() {
        let paid_until = |today| end_of_life(&distro("debian", "10"), today).and_then(|end| end.paid_until);
        assert_eq!(paid_until(date(2029, 6, 30)), Some(date(2029, 6, 30)));
        assert_eq!(paid_until(date(2029, 7, 1)), None);
    }

    #[test]
    fn codenames_are_those_of_their_distribution() {
        assert_eq!(version_of("debian", "bookworm"), Some("12"));
        assert_eq!(version_of("ubuntu", "noble"), Some("24.04"));
        assert_eq!(version_of("ubuntu", "bookworm"), None);
        assert_eq!(version_of("debian", "sid"), None);
    }

    #[test]
    fn every_line_is_whole_and_stands_once() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.starts_with(AS_OF));
        let mut seen = BTreeSet::new();
        for line in lines {
            let cells: Vec<&str> = line.split('\t').collect();
            let [distro, version, codename, end, paid] = cells[..] else { panic!("{line:?}") };
            assert!(seen.insert((distro, version)), "{line:?}");
            assert!(!codename.is_empty() && version.starts_with(|c: char| c.is_ascii_digit()), "{line:?}");
            let ends: Vec<Date> = [end, paid]
                .into_iter()
                .filter(|text| *text != "-")
                .map(|text| text.parse().unwrap_or_else(|_| panic!("{line:?}")))
                .collect();
            assert!(ends.is_sorted(), "{line:?}");
        }
        assert!(seen.len() > 150, "{}", seen.len());
    }
}
