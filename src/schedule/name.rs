//! Names of schedules.

/// Most bytes of a CronJob's name: the controller adds 11 for a Job, whose name may have 63.
const MAX_NAME: usize = 52;

/// What is no name of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing.
    #[error("a schedule wants a name")]
    Empty,
    /// More than a CronJob's name may have.
    #[error("a schedule's name may have {MAX_NAME} characters, and this has {0}")]
    TooLong(usize),
    /// A character that may not be in it.
    #[error("the schedule's name {name:?} has {character:?} in it: a to z, 0 to 9 and - are for names")]
    Character {
        /// As it was given.
        name: String,
        /// The first one.
        character: char,
    },
    /// A dash at an end.
    #[error("the schedule's name {0:?} begins or ends with a dash")]
    Dash(String),
}

/// Checks that a CronJob may have this name, and a label this value: a DNS label (RFC 1123) of at most 52 characters.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let characters = name.chars().count();
    if characters == 0 {
        return Err(NameError::Empty);
    }
    if characters > MAX_NAME {
        return Err(NameError::TooLong(characters));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(character) = name.chars().find(|c| !allowed(*c)) {
        return Err(NameError::Character { name: name.to_owned(), character });
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(NameError::Dash(name.to_owned()));
    }
    Ok(())
}
