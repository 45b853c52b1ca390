//! Indexes from raw OSV records: a folder or a zip.

use std::path::Path;

use super::{Change, DatabaseError, Origin, Outcome, Progress, Tell};
use crate::advisories::{self, OsvSource, Wanted};

impl Change<'_> {
    /// Compiles the wanted ecosystems of a source and installs an index of each.
    ///
    /// `origin` says where the records are from; where it does not know of when they are, the newest of them does.
    pub fn compile(
        &mut self,
        path: &Path,
        wanted: &Wanted,
        origin: &Origin,
        tell: Tell<'_>,
    ) -> Result<Outcome, DatabaseError> {
        tell(Progress::Reading(origin.name.clone()));
        let source = OsvSource::open(path)?;
        let (compiled, notes) = advisories::compile(&source, wanted)?;
        for note in notes {
            tell(Progress::Note(note));
        }
        let newest = compiled.newest().and_then(|time| time.parse().ok());
        let origin = Origin { as_of: origin.as_of.or(newest), ..origin.clone() };
        let mut outcome = Outcome::default();
        for (position, ecosystem) in compiled.ecosystems() {
            let what = ecosystem.to_string();
            let write = |mut out: &mut dyn std::io::Write| compiled.write(position, &mut out).map(|_| ());
            let before = self.state().indexes.get(&what).map(|installed| installed.digest.clone());
            let (name, records) = self.install(&what, &origin, None, write)?;
            if before.as_ref() == self.state().indexes.get(&name).map(|installed| &installed.digest) {
                tell(Progress::Unchanged(name.clone()));
                outcome.unchanged.push(name);
            } else {
                tell(Progress::Installed(name.clone(), records));
                outcome.installed.push(name);
            }
        }
        let found = [outcome.installed.as_slice(), &outcome.unchanged].concat();
        outcome.missing = wanted.lacking(&found);
        Ok(outcome)
    }
}
