//! Time zones by name.

use std::str::FromStr;

use jiff::tz::TimeZone;

use super::ScheduleError;

/// The longest name in the database has 32 bytes.
const MAX_NAME: usize = 64;

/// A zone of the time zone database, such as `Europe/Berlin`. The database is part of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

impl Zone {
    /// As the database writes it: Kubernetes cares for upper and lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its clocks.
    #[must_use]
    pub fn rules(&self) -> &TimeZone {
        &self.rules
    }
}

impl FromStr for Zone {
    type Err = ScheduleError;

    /// Case does not matter. `Local` is none: Kubernetes refuses it.
    fn from_str(name: &str) -> Result<Self, ScheduleError> {
        if name.len() > MAX_NAME {
            return Err(ScheduleError::TooLong { bytes: name.len(), most: MAX_NAME });
        }
        let unknown = || ScheduleError::Zone(name.to_owned());
        let rules = TimeZone::get(name).map_err(|_| unknown())?;
        let name = rules.iana_name().filter(|_| !rules.is_unknown()).ok_or_else(unknown)?.to_owned();
        Ok(Self { name, rules })
    }
}
