//! What advisories are read for.

use std::collections::{BTreeMap, BTreeSet};

use super::ecosystem::Ecosystem;

/// Ecosystems, and of each the packages that matter: a dump has hundreds of thousands of records (most of npm's are
/// about malware), an SBOM a few hundred packages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    ecosystems: BTreeMap<Ecosystem, Names>,
    /// Those that add to others: without an index of one there are still data.
    parts: BTreeSet<Ecosystem>,
    releases: Releases,
}

/// Ecosystems of which every release is wanted whole, whatever releases there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Releases {
    #[default]
    None,
    All,
    /// Those with these names before the colon.
    Of(BTreeSet<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    All,
    Only(BTreeSet<String>),
}

impl Wanted {
    /// Every package of some ecosystems.
    #[must_use]
    pub fn whole(ecosystems: impl IntoIterator<Item = Ecosystem>) -> Self {
        let ecosystems = ecosystems.into_iter().map(|ecosystem| (ecosystem, Names::All)).collect();
        Self { ecosystems, ..Self::default() }
    }

    /// Every package of every ecosystem.
    #[must_use]
    pub fn all() -> Self {
        Self { releases: Releases::All, ..Self::default() }
    }

    /// Adds every package of all releases of an ecosystem, by its name before the colon.
    pub fn add_releases(&mut self, name: &str) {
        match &mut self.releases {
            Releases::All => {}
            Releases::Of(names) => {
                names.insert(name.to_owned());
            }
            Releases::None => self.releases = Releases::Of(BTreeSet::from([name.to_owned()])),
        }
    }

    /// The ecosystems that are wanted by their full names.
    pub fn ecosystems(&self) -> impl Iterator<Item = &Ecosystem> {
        self.ecosystems.keys()
    }

    /// Adds a package by the name that it is looked up by. An artifact of Maven without a group stands for those of
    /// all groups.
    pub fn add(&mut self, ecosystem: Ecosystem, package: &str) {
        self.parts.remove(&ecosystem);
        self.add_name(ecosystem, package);
    }

    /// Adds a package in an ecosystem that adds to another one.
    pub fn add_in_part(&mut self, ecosystem: Ecosystem, package: &str) {
        if !self.ecosystems.contains_key(&ecosystem) {
            self.parts.insert(ecosystem.clone());
        }
        self.add_name(ecosystem, package);
    }

    /// Whether there are data without an index of an ecosystem.
    #[must_use]
    pub fn is_part(&self, ecosystem: &Ecosystem) -> bool {
        self.parts.contains(ecosystem)
    }

    fn add_name(&mut self, ecosystem: Ecosystem, package: &str) {
        let names = self.ecosystems.entry(ecosystem).or_insert_with(|| Names::Only(BTreeSet::new()));
        if let Names::Only(names) = names
            && !names.contains(package)
        {
            names.insert(package.to_owned());
        }
    }

    /// Their names before the colon, and those of which all releases are wanted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let of_releases = match &self.releases {
            Releases::Of(names) => Some(names.iter().map(String::as_str)),
            Releases::None | Releases::All => None,
        };
        self.ecosystems.keys().map(Ecosystem::name).chain(of_releases.into_iter().flatten())
    }

    /// What is wanted by its name and is not among those that were found.
    #[must_use]
    pub fn lacking(&self, found: &[String]) -> Vec<String> {
        let is_found = |name: &str| found.iter().any(|found| found == name);
        let has_release = |name: &str| found.iter().any(|found| found.split(':').next() == Some(name));
        let by_release = self.ecosystems.keys().map(ToString::to_string).filter(|name| !is_found(name));
        let by_name = match &self.releases {
            Releases::Of(names) => Some(names.iter().filter(|name| !has_release(name)).cloned()),
            Releases::None | Releases::All => None,
        };
        by_release.chain(by_name.into_iter().flatten()).collect()
    }

    /// Whether every ecosystem is wanted, whatever there are.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.releases == Releases::All
    }

    /// Whether all releases of an ecosystem are wanted, by its name before the colon.
    #[must_use]
    pub fn holds_all_releases(&self, name: &str) -> bool {
        self.releases.holds(name)
    }

    /// Whether nothing is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ecosystems.is_empty() && self.releases == Releases::None
    }

    /// Whether any package of an ecosystem is wanted.
    #[must_use]
    pub fn holds(&self, ecosystem: &Ecosystem) -> bool {
        self.ecosystems.contains_key(ecosystem) || self.releases.holds(ecosystem.name())
    }

    /// Whether any release of an ecosystem is wanted, by its name before the colon.
    #[must_use]
    pub fn holds_release_of(&self, name: &str) -> bool {
        self.releases.holds(name) || self.ecosystems.keys().any(|ecosystem| ecosystem.name() == name)
    }

    /// Whether a package is wanted, by the name that it is looked up by.
    #[must_use]
    pub fn holds_package(&self, ecosystem: &Ecosystem, package: &str) -> bool {
        match self.ecosystems.get(ecosystem) {
            None => self.releases.holds(ecosystem.name()),
            Some(Names::All) => true,
            Some(Names::Only(names)) => {
                let artifact = package.split_once(':').filter(|_| ecosystem.name() == "Maven");
                names.contains(package) || artifact.is_some_and(|(_, artifact)| names.contains(artifact))
            }
        }
    }
}

impl Releases {
    fn holds(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Of(names) => names.contains(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ecosystem(name: &str) -> Ecosystem {
        name.parse().expect("valid")
    }

    #[test]
    fn only_what_was_added_is_wanted() {
        let mut wanted = Wanted::default();
        assert!(wanted.is_empty());
        wanted.add(ecosystem("Debian:12"), "glibc");
        wanted.add(ecosystem("PyPI"), "django");
        assert!(wanted.holds(&ecosystem("Debian:12")) && !wanted.holds(&ecosystem("Debian:11")));
        assert!(wanted.holds_release_of("Debian") && !wanted.holds_release_of("npm"));
        assert!(wanted.holds_package(&ecosystem("PyPI"), "django"));
        assert!(!wanted.holds_package(&ecosystem("PyPI"), "glibc"));
        assert!(!wanted.holds_package(&ecosystem("npm"), "django"));
    }

    #[test]
    fn whole_ecosystem_holds_every_package() {
        let mut wanted = Wanted::whole([ecosystem("Go")]);
        wanted.add(ecosystem("Go"), "stdlib");
        assert!(wanted.holds_package(&ecosystem("Go"), "golang.org/x/net"));
    }

    #[test]
    fn what_is_wanted_by_itself_is_no_part_of_another() {
        let mut wanted = Wanted::default();
        let (main, part) = (ecosystem("npm"), ecosystem("npm:malware"));
        wanted.add(main.clone(), "a");
        wanted.add_in_part(part.clone(), "a");
        wanted.add_in_part(main.clone(), "a");
        assert!(wanted.is_part(&part) && !wanted.is_part(&main) && wanted.holds_package(&part, "a"));
        wanted.add(part.clone(), "b");
        assert!(!wanted.is_part(&part));
    }

    #[test]
    fn all_releases_of_an_ecosystem_can_be_wanted() {
        let mut wanted = Wanted::default();
        wanted.add_releases("Debian");
        wanted.add_releases("Go");
        assert!(!wanted.is_empty() && wanted.ecosystems().count() == 0);
        assert!(wanted.holds(&ecosystem("Debian:12")) && wanted.holds_package(&ecosystem("Debian:11"), "a"));
        assert!(wanted.holds_release_of("Go") && !wanted.holds(&ecosystem("PyPI")));
        let found = ["Debian:12".to_owned()];
        assert_eq!(wanted.lacking(&found), ["Go"]);
        assert_eq!(Wanted::whole(["Debian:11", "Debian:12"].map(ecosystem)).lacking(&found), ["Debian:11"]);
        assert!(Wanted::all().holds_package(&ecosystem("PyPI"), "a"));
    }

    #[test]
    fn artifact_without_a_group_stands_for_all_groups() {
        let mut wanted = Wanted::default();
        for ecosystem in ["Maven", "Go"].map(ecosystem) {
            wanted.add(ecosystem, "log4j-core");
        }
        assert!(wanted.holds_package(&ecosystem("Maven"), "org.apache.logging.log4j:log4j-core"));
        assert!(!wanted.holds_package(&ecosystem("Maven"), "org.apache.logging.log4j:log4j-api"));
        assert!(!wanted.holds_package(&ecosystem("Go"), "example:log4j-core"));
    }
}
