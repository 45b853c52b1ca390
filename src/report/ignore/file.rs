//! The ignore file: YAML with a version and rules, each with a reason.
//!
//! ```yaml
//! version: 1
//! ignore:
//!   - id: CVE-2005-2541
//!     package: tar
//!     reason: we never unpack as root
//!     until: 2026-12-31
//! ```

use jiff::civil::Date;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::pattern::{ImagePattern, PackagePattern, Pattern, Star};
use super::{Kind, Rule, RuleSet, Verdict};

/// Largest file that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Most rules of a file.
const MAX_RULES: usize = 5_000;
/// Longest text of a rule, in bytes.
const MAX_TEXT: usize = 1_000;
/// The version of the form that is read.
const VERSION: u32 = 1;

/// A file that gives no rules.
#[derive(Debug, thiserror::Error)]
pub enum IgnoreError {
    /// It is larger than any real one.
    #[error("it has more than {MAX_BYTES} bytes")]
    Bytes,
    /// It is no YAML, or has not the form of an ignore file; says where.
    #[error("{0}")]
    Form(String),
    /// A rule that means nothing.
    #[error("line {line}: {problem}")]
    Rule {
        /// Where it begins.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// It has more rules than anybody oversees.
    #[error("it has more than {MAX_RULES} rules")]
    Rules,
    /// It is of another version.
    #[error("its version is {0}, and {VERSION} is read")]
    Version(u32),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    ignore: Vec<Spanned<WrittenRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    id: Option<String>,
    package: Option<String>,
    image: Option<String>,
    path: Option<String>,
    namespace: Option<String>,
    reason: String,
    until: Option<String>,
}

/// Reads the rules of an ignore file; `source` is what it is called to people.
pub fn read(text: &str, source: &str) -> Result<RuleSet, IgnoreError> {
    if text.len() > MAX_BYTES {
        return Err(IgnoreError::Bytes);
    }
    let budget = serde_saphyr::budget! { max_documents: 1, max_depth: 16, max_aliases: 0, max_anchors: 0 };
    let options = serde_saphyr::options! { with_snippet: false, budget: budget };
    let written: Written = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| IgnoreError::Form(error.without_snippet().to_string()))?;
    if written.version != VERSION {
        return Err(IgnoreError::Version(written.version));
    }
    if written.ignore.len() > MAX_RULES {
        return Err(IgnoreError::Rules);
    }
    let rule = |rule: Spanned<WrittenRule>| {
        let line = rule.referenced.line();
        rule.value.read(line).map_err(|problem| IgnoreError::Rule { line, problem })
    };
    let rules = written.ignore.into_iter().map(rule).collect::<Result<_, _>>()?;
    Ok(RuleSet::new(source.to_owned(), Kind::Own, rules))
}

impl WrittenRule {
    fn read(self, line: u64) -> Result<Rule, String> {
        let Self { id, package, image, path, namespace, reason, until } = self;
        let conditions =
            [("id", &id), ("package", &package), ("image", &image), ("path", &path), ("namespace", &namespace)];
        let given: Vec<_> =
            conditions.iter().filter_map(|(key, text)| Some((*key, text.as_ref()?.as_str()))).collect();
        if given.is_empty() {
            return Err("a rule needs at least one of id, package, image, path and namespace".to_owned());
        }
        for (key, text) in given.iter().copied().chain([("reason", reason.as_str())]) {
            if text.trim().is_empty() {
                return Err(format!("{key} is empty"));
            }
            if text.len() > MAX_TEXT {
                return Err(format!("{key} has more than {MAX_TEXT} bytes"));
            }
        }
        let is_tagged = |image: &String| {
            image.contains('@') || image.rsplit('/').next().is_some_and(|name| name.contains(':'))
        };
        if image.as_ref().is_some_and(is_tagged) {
            return Err("image is named without tag and digest".to_owned());
        }
        let pattern = |key: &str, text: Option<&str>, star| {
            let parsed = text.map(|text| Pattern::parse(text, star)).transpose();
            parsed.map_err(|problem| format!("{key} is no glob: {problem}"))
        };
        let parse_date =
            |text: String| text.parse::<Date>().map_err(|_| "until is no date such as 2026-12-31".to_owned());
        let name = given.iter().map(|(key, text)| match *key {
            "id" => (*text).to_owned(),
            key => format!("{key} {text}"),
        });
        Ok(Rule {
            name: format!("line {line} ({})", name.collect::<Vec<_>>().join(", ")),
            package: package.as_deref().map(PackagePattern::parse),
            image: pattern("image", image.as_deref(), Star::Anything)?.map(ImagePattern::Name),
            path: pattern("path", path.as_deref().map(|path| path.trim_start_matches('/')), Star::PathPart)?,
            namespace: pattern("namespace", namespace.as_deref(), Star::Anything)?,
            ids: id.into_iter().collect(),
            verdict: Verdict::Ignore(reason),
            until: until.map(parse_date).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rules_are_named_by_line_and_conditions() {
        let text = "version: 1\nignore:\n  - id: CVE-1\n    package: tar\n    reason: x\n\n  # why\n  - image: a/*\n    path: /usr/**\n    reason: y\n    until: 2026-12-31\n";
        let rules = read(text, "f").expect("rules").rules;
        let names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["line 3 (CVE-1, package tar)", "line 8 (image a/*, path /usr/**)"]);
        assert_eq!(rules[1].until, Some(jiff::civil::date(2026, 12, 31)));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let rule = |rest: &str| format!("version: 1\nignore:\n  - reason: x\n{rest}");
        for (text, message) in [
            (String::new(), "unexpected end of input at line 1, column 1"),
            ("version: 2\nignore: []\n".to_owned(), "its version is 2, and 1 is read"),
            ("ignore: []\n".to_owned(), "missing field `version` at line 1, column 1"),
            ("version: 1\nignore:\n  - id: CVE-1\n".to_owned(), "missing field `reason` at line 3, column 5"),
            (rule(""), "line 3: a rule needs at least one of id, package, image, path and namespace"),
            (
                rule("    pakage: tar\n"),
                "unknown field `pakage`, expected one of id, package, image, path, namespace, reason, until at line 4, column 5",
            ),
            (rule("    id: CVE-1\n    until: soon\n"), "line 3: until is no date such as 2026-12-31"),
            (rule("    id: \" \"\n"), "line 3: id is empty"),
            (rule("    image: a:1\n"), "line 3: image is named without tag and digest"),
            (rule("    path: usr/[\n"), "line 3: path is no glob: unclosed character class; missing ']'"),
            (rule(&format!("    id: {}\n", "x".repeat(1001))), "line 3: id has more than 1000 bytes"),
            (
                rule("    id: &a CVE-1\n    package: *a\n"),
                "budget breached: Anchors { anchors: 1 } at line 4, column 12",
            ),
            ("x: [".repeat(1000), "unknown field `x`, expected one of version, ignore at line 1, column 1"),
            (" ".repeat(MAX_BYTES + 1), "it has more than 1048576 bytes"),
        ] {
            assert_eq!(read(&text, "f").expect_err(&text).to_string(), message, "{text:.200}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "version: 1\nignore:\n( {0,4}(- )?[a-z]{0,9}:? ?[\\PC]{0,12}\n){0,6}|\\PC{0,60}") {
            let _ = read(&text, "f");
        }
    }
}
