//! What servers say, in words that may be shown: cut, on one line, without control characters and secrets.

use std::error::Error;
use std::fmt;

/// Longest excerpt of an answer that is kept, in characters.
const EXCERPT_LIMIT: usize = 300;

/// What a server answered: its status and an excerpt of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// One line of text; empty if it said nothing.
    pub text: String,
}

impl Answer {
    /// Makes one line of an answer's body. Registries say `{"errors":[{"code","message"}]}` (distribution-spec, "Error
    /// Codes"), token services `{"details"}` or `{"error_description"}`; other text is shown as it is.
    pub(crate) fn new(status: u16, body: &[u8], secrets: &[String]) -> Self {
        let text = String::from_utf8_lossy(body);
        let mut text = spoken(&text).unwrap_or_else(|| text.into_owned());
        text = without(&text, secrets);
        Self { status, text: one_line(&text) }
    }
}

/// The words in a JSON answer, if it is one of the known shapes.
fn spoken(body: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(body).ok()?;
    let words = |value: &serde_json::Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let errors =
        json.get("errors").and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let errors: Vec<String> = errors
        .iter()
        .take(4)
        .filter_map(|error| match (words(&error["code"]), words(&error["message"])) {
            (Some(code), Some(message)) => Some(format!("{code}: {message}")),
            (code, message) => message.or(code),
        })
        .collect();
    if !errors.is_empty() {
        return Some(errors.join("; "));
    }
    ["error_description", "details", "message", "error"].iter().find_map(|key| words(&json[*key]))
}

/// The text with every secret in it struck out.
pub(super) fn without(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "(secret)");
    }
    text
}

/// At most [`EXCERPT_LIMIT`] characters on one line, none of which moves a terminal's cursor or hides text.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    let mut count = 0_usize;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if count > 0 {
            line.push(' ');
            count += 1;
        }
        for c in word.chars().filter(|&c| !reorders_text(c)) {
            if count >= EXCERPT_LIMIT {
                line.push('…');
                return line;
            }
            line.push(c);
            count += 1;
        }
    }
    line
}

/// Bidirectional controls and zero-width characters (Unicode TR 36).
fn reorders_text(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl Error for Answer {}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it answered {}", self.status)?;
        if let Some(reason) = reqwest::StatusCode::from_u16(self.status).ok().and_then(|s| s.canonical_reason())
        {
            write!(f, " {reason}")?;
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &str) -> String {
        Answer::new(404, body.as_bytes(), &["hunter2".to_owned()]).text
    }

    #[test]
    fn the_words_of_registries_and_token_services_are_kept() {
        let body =
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}},{"code":"X"}]}"#;
        assert_eq!(text(body), "MANIFEST_UNKNOWN: manifest unknown; X");
        assert_eq!(text(r#"{"details":"incorrect username or password"}"#), "incorrect username or password");
        assert_eq!(text("<h1>Bad\n gateway</h1>"), "<h1>Bad gateway</h1>");
    }

    #[test]
    fn answers_are_one_line_without_control_characters_or_secrets() {
        assert_eq!(text("a\u{1b}[2Jb\r\nc\u{202e}d"), "a [2Jb cd");
        assert_eq!(text("your password hunter2 is wrong"), "your password (secret) is wrong");
        assert_eq!(text(&"x".repeat(1000)).chars().count(), EXCERPT_LIMIT + 1);
    }

    #[test]
    fn an_answer_reads_as_a_sentence() {
        let answer = Answer { status: 404, text: "MANIFEST_UNKNOWN: manifest unknown".to_owned() };
        assert_eq!(answer.to_string(), "it answered 404 Not Found: MANIFEST_UNKNOWN: manifest unknown");
        assert_eq!(Answer { status: 599, text: String::new() }.to_string(), "it answered 599");
    }
}
