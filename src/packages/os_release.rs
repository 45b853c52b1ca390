//! Which distribution an image is of: os-release(5), and the files that distributions had before it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lines::{Lines, text};
use super::{Assembly, Cataloger, Evidence, Squashed, Want};
use crate::package::Distro;
use crate::tree::{Entry, GapCause, Source};

/// Largest file that is read.
const CAP: u64 = 256 << 10;
/// Most lines that are looked at.
const LINES: usize = 1000;

/// Files of `KEY=value` lines, in the order in which they are believed.
const KEYED: [&str; 3] = ["etc/os-release", "usr/lib/os-release", "etc/lsb-release"];
/// Files of one line, in the order in which they are believed, with what they mean.
const WORDED: [(&str, Worded); 9] = [
    ("etc/alpine-release", Worded::Version("alpine")),
    ("etc/debian_version", Worded::Version("debian")),
    ("etc/rocky-release", Worded::Named),
    ("etc/almalinux-release", Worded::Named),
    ("etc/oracle-release", Worded::Named),
    ("etc/centos-release", Worded::Named),
    ("etc/redhat-release", Worded::Named),
    ("etc/system-release", Worded::Named),
    ("etc/apk/repositories", Worded::Repositories),
];

/// What a one-line file holds.
#[derive(Clone, Copy)]
enum Worded {
    /// A version of this distribution.
    Version(&'static str),
    /// `NAME release VERSION (CODENAME)`.
    Named,
    /// URLs with `/alpine/vVERSION/` in them.
    Repositories,
}

/// What a file that names the distribution says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form", content = "value", rename_all = "kebab-case")]
pub enum ReleaseFile {
    /// `KEY=value` lines, of the keys that matter.
    Keys(BTreeMap<String, String>),
    /// The first lines.
    Lines(Vec<String>),
}

/// Reads files that name the distribution.
pub(super) const CATALOGER: Cataloger = Cataloger {
    id: "os-release",
    version: 1,
    sniffs: false,
    fixed: &[
        "etc/os-release",
        "usr/lib/os-release",
        "etc/lsb-release",
        "etc/alpine-release",
        "etc/debian_version",
        "etc/rocky-release",
        "etc/almalinux-release",
        "etc/oracle-release",
        "etc/centos-release",
        "etc/redhat-release",
        "etc/system-release",
        "etc/apk/repositories",
    ],
    wants,
    read: |entry, source, _| read(entry, source),
    // The distribution is no package; see `distro`.
    assemble: |_: &Squashed, _: &mut Assembly| {},
};

fn wants(entry: &Entry, _: &[u8]) -> Option<Want> {
    let path = entry.path.as_bytes();
    let is_wanted = CATALOGER.fixed.iter().any(|fixed| fixed.as_bytes() == path);
    is_wanted.then_some(Want::Forward { cap: CAP })
}

fn read(entry: &Entry, source: Source<'_>) -> Result<Evidence, GapCause> {
    let mut lines = Lines::new(source);
    if !KEYED.iter().any(|keyed| keyed.as_bytes() == entry.path.as_bytes()) {
        let mut kept = Vec::new();
        while let Some(line) = lines.next()?.filter(|_| kept.len() < 20) {
            kept.extend(text(line));
        }
        return Ok(Evidence::Release(ReleaseFile::Lines(kept)));
    }
    let mut keys = BTreeMap::new();
    for _ in 0..LINES {
        let Some(line) = lines.next()? else { break };
        let line = line.trim_ascii();
        let Some(equals) = line.iter().position(|&byte| byte == b'=') else { continue };
        let (Some(key), Some(value)) = (text(&line[..equals]), text(&unquote(&line[equals + 1..]))) else {
            continue;
        };
        if is_key(&key) {
            // A shell that sources the file would take the last one.
            keys.insert(key, value);
        }
    }
    Ok(Evidence::Release(ReleaseFile::Keys(keys)))
}

fn is_key(key: &str) -> bool {
    matches!(key, "ID" | "ID_LIKE" | "NAME" | "VERSION_ID" | "VERSION_CODENAME" | "PRETTY_NAME")
        || matches!(key, "DISTRIB_ID" | "DISTRIB_RELEASE" | "DISTRIB_CODENAME" | "DISTRIB_DESCRIPTION")
}

/// Takes shell quotes off: os-release(5) allows single and double ones, and a backslash in front of `$"\` and a back quote.
fn unquote(value: &[u8]) -> Vec<u8> {
    let mut bytes = value.trim_ascii().iter().copied();
    let mut plain = Vec::new();
    let mut quote = None;
    while let Some(byte) = bytes.next() {
        match (byte, quote) {
            (b'"' | b'\'', None) => quote = Some(byte),
            (_, Some(open)) if byte == open => quote = None,
            (b'\\', None | Some(b'"')) => plain.extend(bytes.next()),
            _ => plain.push(byte),
        }
    }
    plain
}

/// The distribution, from the first file that names one.
pub(super) fn distro(squashed: &Squashed) -> Option<Distro> {
    let keyed = KEYED.iter().filter_map(|path| from_keys(&keys_at(squashed, path)?));
    let mut worded = WORDED.iter().filter_map(|(path, worded)| from_lines(&lines_at(squashed, path)?, *worded));
    let mut keyed = keyed;
    keyed.next().or_else(|| worded.next())
}

fn keys_at(squashed: &Squashed, path: &str) -> Option<BTreeMap<String, String>> {
    squashed.at(path).find_map(|sighting| match sighting.evidence {
        Evidence::Release(ReleaseFile::Keys(keys)) => Some(keys.clone()),
        _ => None,
    })
}

fn lines_at(squashed: &Squashed, path: &str) -> Option<Vec<String>> {
    squashed.at(path).find_map(|sighting| match sighting.evidence {
        Evidence::Release(ReleaseFile::Lines(lines)) => Some(lines.clone()),
        _ => None,
    })
}

fn from_keys(keys: &BTreeMap<String, String>) -> Option<Distro> {
    let get = |names: [&str; 2]| names.iter().find_map(|name| keys.get(*name).cloned());
    let id = get(["ID", "DISTRIB_ID"])?.to_lowercase();
    let id_like = keys.get("ID_LIKE").map(|like| like.to_lowercase()).unwrap_or_default();
    Some(Distro {
        id,
        version_id: get(["VERSION_ID", "DISTRIB_RELEASE"]),
        version_codename: get(["VERSION_CODENAME", "DISTRIB_CODENAME"]),
        id_like: id_like.split_whitespace().map(ToOwned::to_owned).collect(),
        pretty_name: get(["PRETTY_NAME", "DISTRIB_DESCRIPTION"]).or_else(|| keys.get("NAME").cloned()),
    })
}

fn from_lines(lines: &[String], worded: Worded) -> Option<Distro> {
    let first = lines.first()?;
    match worded {
        Worded::Version(id) => {
            // `trixie/sid` is a name of what will be released, not a version.
            let is_version = first.starts_with(|c: char| c.is_ascii_digit());
            let version_codename =
                (!is_version).then(|| first.split('/').next_back().unwrap_or(first).to_owned());
            let version_id = is_version.then(|| release_of(id, first));
            Some(Distro { id: id.to_owned(), version_id, version_codename, ..Distro::default() })
        }
        Worded::Named => {
            let (name, rest) = first.split_once(" release ")?;
            let id = match name {
                "Red Hat Enterprise Linux" | "Red Hat Enterprise Linux Server" => "rhel",
                "CentOS" | "CentOS Linux" | "CentOS Stream" => "centos",
                "Rocky Linux" => "rocky",
                "AlmaLinux" => "almalinux",
                "Oracle Linux Server" => "ol",
                "Fedora" => "fedora",
                "Amazon Linux" | "Amazon Linux AMI" => "amzn",
                _ => return None,
            };
            let version_id = rest.split_whitespace().next().map(ToOwned::to_owned);
            let pretty_name = Some(first.clone());
            Some(Distro { id: id.to_owned(), version_id, pretty_name, ..Distro::default() })
        }
        Worded::Repositories => {
            let version = lines.iter().find_map(|line| line.split_once("/alpine/v")?.1.split('/').next())?;
            Some(Distro { id: "alpine".to_owned(), version_id: Some(version.to_owned()), ..Distro::default() })
        }
    }
}

/// Debian's os-release names the major version only, `debian_version` the point release too.
fn release_of(id: &str, version: &str) -> String {
    let major = version.split('.').next().unwrap_or(version);
    if id == "debian" { major.to_owned() } else { version.to_owned() }
}

impl ReleaseFile {
    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Keys(keys) => keys.iter().map(|(key, value)| key.len() + value.len() + 100).sum(),
            Self::Lines(lines) => lines.iter().map(|line| line.len() + 24).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{entry, source_of, squashed_of};
    use super::*;

    fn distro_of(files: &[(&str, &str)]) -> Option<Distro> {
        distro(&squashed_of(files))
    }

    fn id_and_version(files: &[(&str, &str)]) -> Option<(String, Option<String>)> {
        distro_of(files).map(|distro| (distro.id, distro.version_id))
    }

    #[test]
    fn os_release_is_unquoted() {
        let text = "# comment\nPRETTY_NAME=\"Debian \\\"12\\\"\"\nID=debian\nVERSION_ID='12'\nVERSION_CODENAME=bookworm\nID_LIKE=\"a b\"\n";
        let distro = distro_of(&[("etc/os-release", text)]).expect("named");
        assert_eq!(distro.pretty_name.as_deref(), Some("Debian \"12\""));
        assert_eq!((distro.id.as_str(), distro.version_id.as_deref()), ("debian", Some("12")));
        assert_eq!(distro.version_codename.as_deref(), Some("bookworm"));
        assert_eq!(distro.id_like, ["a", "b"]);
    }

    #[test]
    fn etc_is_believed_before_usr_and_both_before_older_files() {
        let files = [
            ("etc/alpine-release", "3.18.4\n"),
            ("usr/lib/os-release", "ID=wolfi\n"),
            ("etc/os-release", "ID=alpine\nVERSION_ID=3.19.1\n"),
        ];
        assert_eq!(id_and_version(&files), Some(("alpine".into(), Some("3.19.1".into()))));
        assert_eq!(id_and_version(&files[..2]), Some(("wolfi".into(), None)));
        assert_eq!(id_and_version(&files[..1]), Some(("alpine".into(), Some("3.18.4".into()))));
        assert_eq!(id_and_version(&[]), None);
    }

    #[test]
    fn older_files_name_distributions_in_words() {
        for (path, text, id, version) in [
            ("etc/debian_version", "12.5\n", "debian", Some("12")),
            ("etc/debian_version", "trixie/sid\n", "debian", None),
            ("etc/redhat-release", "CentOS Linux release 7.9.2009 (Core)\n", "centos", Some("7.9.2009")),
            ("etc/rocky-release", "Rocky Linux release 9.3 (Blue Onyx)", "rocky", Some("9.3")),
            ("etc/apk/repositories", "https://example.test/alpine/v3.19/main\n", "alpine", Some("3.19")),
            ("etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=22.04\n", "ubuntu", Some("22.04")),
        ] {
            let expected = Some((id.to_owned(), version.map(ToOwned::to_owned)));
            assert_eq!(id_and_version(&[(path, text)]), expected, "{text}");
        }
    }

    #[test]
    fn releases_of_distributions_with_rpm_are_told_apart() {
        for (text, id, version) in [
            ("NAME=\"Red Hat Enterprise Linux\"\nID=\"rhel\"\nVERSION_ID=\"9.3\"\n", "rhel", Some("9.3")),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"8.9\"\n", "rocky", Some("8.9")),
            ("ID=\"almalinux\"\nVERSION_ID=\"9.4\"\n", "almalinux", Some("9.4")),
            ("ID=\"centos\"\nVERSION_ID=\"9\"\n", "centos", Some("9")),
            ("ID=\"ol\"\nVERSION_ID=\"8.9\"\n", "ol", Some("8.9")),
            ("ID=fedora\nVERSION_ID=40\nVERSION_CODENAME=\"\"\n", "fedora", Some("40")),
            ("ID=\"amzn\"\nVERSION_ID=\"2023\"\n", "amzn", Some("2023")),
            ("ID=\"opensuse-leap\"\nVERSION_ID=\"15.6\"\n", "opensuse-leap", Some("15.6")),
            ("ID=\"opensuse-tumbleweed\"\n# VERSION_ID=\"20240101\"\n", "opensuse-tumbleweed", None),
            ("ID=azurelinux\nVERSION_ID=\"3.0\"\n", "azurelinux", Some("3.0")),
        ] {
            let expected = Some((id.to_owned(), version.map(ToOwned::to_owned)));
            assert_eq!(id_and_version(&[("etc/os-release", text)]), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), keyed in any::<bool>()) {
            let path = if keyed { "etc/os-release" } else { "etc/redhat-release" };
            let bytes = source_of(&bytes);
            prop_assert!(read(&entry(path), Source::Random(&bytes)).is_ok());
        }
    }
}
