//! Which overlays there are, and how the document of each becomes an index.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::super::index::overlay;
use super::{Damaged, OverlayError, debian, epss, kev, ubuntu};

/// How the names of overlays begin, so that they are not those of ecosystems.
const PREFIX: &str = "overlay:";

/// An overlay by what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// What is known to be exploited.
    Kev,
    /// How likely exploits are.
    Epss,
    /// What Debian's tracker says.
    DebianTracker,
    /// What Ubuntu's tracker says.
    UbuntuTracker,
}

/// An overlay in the form of its index.
pub struct CompiledOverlay {
    /// Which one.
    pub kind: Kind,
    /// The day that it was made for, where the document says so; RFC 3339.
    pub as_of: Option<String>,
    /// What a person should know, for example entries that could not be read.
    pub note: Option<String>,
    entries: Vec<(String, Vec<u8>)>,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kev, Self::Epss, Self::DebianTracker, Self::UbuntuTracker];

    /// The word for programs: `kev`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kev => "kev",
            Self::Epss => "epss",
            Self::DebianTracker => "debian-tracker",
            Self::UbuntuTracker => "ubuntu-tracker",
        }
    }

    /// The ecosystem whose packages alone it speaks of; none if it speaks of vulnerabilities whatever they are in.
    #[must_use]
    pub fn ecosystem(self) -> Option<&'static str> {
        match self {
            Self::Kev | Self::Epss => None,
            Self::DebianTracker => Some("Debian"),
            Self::UbuntuTracker => Some("Ubuntu"),
        }
    }

    /// Reads the document, or for Ubuntu the folder, that it is made of.
    pub fn compile(self, path: &Path) -> Result<CompiledOverlay, OverlayError> {
        let (what, damaged, entries, as_of) = match self {
            Self::Kev => {
                let catalog = kev::Catalog::read(open(path, kev::NAME)?)?;
                (kev::NAME, catalog.damaged.clone(), catalog.entries().collect(), None)
            }
            Self::Epss => {
                let scores = epss::Scores::read(open(path, epss::NAME)?)?;
                let as_of = scores.as_of.map(|day| format!("{day}T00:00:00Z"));
                (epss::NAME, scores.damaged.clone(), scores.entries().collect(), as_of)
            }
            Self::DebianTracker => {
                let tracker = debian::read(open(path, debian::NAME)?)?;
                (debian::NAME, tracker.damaged.clone(), tracker.entries().collect::<Vec<_>>(), None)
            }
            Self::UbuntuTracker => {
                let tracker = ubuntu::read(path)?;
                (ubuntu::NAME, tracker.damaged.clone(), tracker.entries().collect(), None)
            }
        };
        Ok(CompiledOverlay { kind: self, as_of, note: Damaged::note(&damaged, what), entries })
    }
}

fn open(path: &Path, what: &'static str) -> Result<File, OverlayError> {
    File::open(path).map_err(|source| OverlayError::Read { what, source })
}

impl CompiledOverlay {
    /// Writes its index.
    pub fn write<W: Write>(self, out: W) -> io::Result<W> {
        overlay::write(self.kind, self.as_of, self.entries.into_iter(), out)
    }
}

impl fmt::Display for Kind {
    /// The name of its index: `overlay:kev`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.as_str())
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let word = name.strip_prefix(PREFIX).ok_or(())?;
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for other in ["kev", "overlay:", "overlay:other", "Debian:12"] {
            assert!(other.parse::<Kind>().is_err(), "{other}");
        }
    }
}
