//! Reading TOML that people wrote: what is wrong, and where.

use std::error::Error;

use toml::{Table, Value};

use super::Route;

/// Most bytes of one file.
const LIMIT: usize = 256 << 10;

/// Most routes, or places of one route.
pub(super) const MOST: usize = 256;

/// Why a file about registries cannot be used. All name the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is no TOML.
    #[error("{file}, line {line}: {why}")]
    Syntax {
        /// The file.
        file: String,
        /// Where, from 1.
        line: usize,
        /// What the parser says.
        why: String,
    },
    /// A value is not what it should be.
    #[error("{file}: {place} {why}")]
    Value {
        /// The file.
        file: String,
        /// The key.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The form of the first version.
    #[error(
        "{0} has the form of the first version of registries.conf ([registries.search]): [[registry]] is read"
    )]
    VersionOne(String),
    /// Neither of the two forms.
    #[error("{0} is neither a registries.conf ([[registry]]) nor a hosts.toml (server, [host.\"URL\"])")]
    Shape(String),
    /// A `hosts.toml` by itself does not say which registry it is about.
    #[error("{0} names no server, so that it is not known which registry it is about")]
    NoServer(String),
    /// Larger than is read.
    #[error("{0} has more than {LIMIT} bytes")]
    TooLarge(String),
    /// A file that it names cannot be used.
    #[error("{file}: {place} names {path}, which cannot be used")]
    File {
        /// The file that names it.
        file: String,
        /// The key.
        place: String,
        /// The file that is named.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// What a file says about registries, and what of it is passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The routes, in their order.
    pub routes: Vec<Route>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// The two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// containers-registries.conf(5).
    Registries,
    /// containerd's `hosts.toml`.
    Hosts,
}

/// Which form a text has.
pub fn shape_of(text: &str, file: &str) -> Result<Shape, ConfigError> {
    let table = parse(text, file)?;
    let has = |keys: &[&str]| keys.iter().any(|key| table.contains_key(*key));
    if has(&["registries"]) {
        Err(ConfigError::VersionOne(file.to_owned()))
    } else if has(&["registry", "unqualified-search-registries", "short-name-mode", "aliases"]) {
        Ok(Shape::Registries)
    } else if has(&["host", "server"]) {
        Ok(Shape::Hosts)
    } else {
        Err(ConfigError::Shape(file.to_owned()))
    }
}

pub(super) fn parse(text: &str, file: &str) -> Result<Table, ConfigError> {
    if text.len() > LIMIT {
        return Err(ConfigError::TooLarge(file.to_owned()));
    }
    text.parse::<Table>().map_err(|error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        ConfigError::Syntax { file: file.to_owned(), line, why: error.message().to_owned() }
    })
}

/// A table of a file, whose keys are taken out one by one: what is left is not known here.
pub(super) struct Section<'a> {
    pub(super) file: &'a str,
    /// Where it stands: `registry[2].`, empty at the root.
    pub(super) at: String,
    pub(super) table: Table,
}

impl<'a> Section<'a> {
    pub(super) fn place(&self, key: &str) -> String {
        format!("{}{key}", self.at)
    }

    pub(super) fn wrong(&self, key: &str, why: impl Into<String>) -> ConfigError {
        ConfigError::Value { file: self.file.to_owned(), place: self.place(key), why: why.into() }
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.table.remove(key)
    }

    pub(super) fn boolean(&mut self, key: &str) -> Result<Option<bool>, ConfigError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Boolean(value)) => Ok(Some(value)),
            Some(other) => {
                Err(self.wrong(key, format!("should be true or false, and is {}", other.type_str())))
            }
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(key, format!("should be a text, and is {}", other.type_str()))),
        }
    }

    /// A text, or several.
    pub(super) fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        let wrong =
            |other: &Value| format!("should be a text or a list of texts, and holds {}", other.type_str());
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(vec![value])),
            Some(Value::Array(values)) => {
                let texts = values.into_iter().map(|value| match value {
                    Value::String(text) => Ok(text),
                    other => Err(self.wrong(key, wrong(&other))),
                });
                texts.collect::<Result<_, _>>().map(Some)
            }
            Some(other) => Err(self.wrong(key, wrong(&other))),
        }
    }

    /// The tables of a list of tables.
    pub(super) fn sections(&mut self, key: &str) -> Result<Vec<Section<'a>>, ConfigError> {
        let values = match self.take(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(values)) if values.len() <= MOST => values,
            Some(Value::Array(_)) => return Err(self.wrong(key, format!("has more than {MOST} entries"))),
            Some(_) => return Err(self.wrong(key, format!("should be written [[{}]]", self.place(key)))),
        };
        let sections = values.into_iter().enumerate().map(|(number, value)| match value {
            Value::Table(table) => {
                let at = format!("{}[{}].", self.place(key), number + 1);
                Ok(Section { file: self.file, at, table })
            }
            _ => Err(self.wrong(key, format!("should be written [[{}]]", self.place(key)))),
        });
        sections.collect()
    }

    /// Names what is left.
    pub(super) fn end(self, notes: &mut Vec<String>) {
        let Self { file, at, table } = self;
        let unknown: Vec<String> = table.keys().take(8).map(|key| format!("{at}{key}")).collect();
        if !unknown.is_empty() {
            notes.push(format!("{file}: {} is not known and passed over", unknown.join(", ")));
        }
    }
}
