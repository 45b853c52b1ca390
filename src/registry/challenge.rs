//! What a registry asks for when it answers 401: the `WWW-Authenticate` header. RFC 9110, section 11.6.1.
//!
//! One header may hold several challenges, several headers may be sent, commas separate both challenges and their
//! parameters, and values may quote commas. Nothing here fails: what cannot be read is left out, since the answer
//! itself is reported anyway.

use std::fmt;

use super::error::one_line;

/// Longest header that is looked at, in bytes.
const HEADER_LIMIT: usize = 16 * 1024;
/// Most challenges kept from all headers together.
const CHALLENGE_LIMIT: usize = 16;
/// Most parameters kept of one challenge.
const PARAMETER_LIMIT: usize = 32;

/// One way to authenticate that the server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The scheme in lower case: `bearer`, `basic`, `negotiate`.
    pub(super) scheme: String,
    /// Parameters in their order, names in lower case, values unquoted.
    pub(super) parameters: Vec<(String, String)>,
}

/// The scheme and what decides where a token comes from, each cut.
impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", one_line(&self.scheme))?;
        for name in ["realm", "service", "scope"] {
            if let Some(value) = self.parameter(name) {
                write!(f, " {name}={:?}", one_line(value))?;
            }
        }
        Ok(())
    }
}

impl Challenge {
    /// The first parameter of that name; names are compared without regard to case.
    #[must_use]
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Reads all challenges of all `WWW-Authenticate` headers of one answer, in their order.
#[must_use]
pub(super) fn parse<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for header in headers {
        let bytes = &header[..header.len().min(HEADER_LIMIT)];
        Parser { rest: bytes }.read_into(&mut challenges);
    }
    challenges
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl Parser<'_> {
    fn read_into(&mut self, challenges: &mut Vec<Challenge>) {
        // A parameter belongs to the challenge before it in the same header only.
        let mut in_challenge = false;
        loop {
            self.skip(|byte| byte == b',' || is_space(byte));
            if self.rest.is_empty() {
                return;
            }
            let word = self.token();
            if word.is_empty() {
                self.skip_element();
                continue;
            }
            let spaces = self.skip(is_space);
            if self.rest.first() == Some(&b'=') && in_challenge {
                let value = self.value();
                if let Some(challenge) = challenges.last_mut()
                    && challenge.parameters.len() < PARAMETER_LIMIT
                {
                    challenge.parameters.push((word.to_ascii_lowercase(), value));
                }
            } else if self.rest.first() == Some(&b'=') {
                self.skip_element();
            } else {
                if challenges.len() == CHALLENGE_LIMIT {
                    return;
                }
                challenges.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
                in_challenge = true;
                if spaces > 0 {
                    self.skip_token68();
                }
            }
        }
    }

    /// Leaves out what NTLM and Negotiate send in place of parameters: base64 text up to the next comma.
    fn skip_token68(&mut self) {
        let end = self.rest.iter().position(|&b| b == b',').unwrap_or(self.rest.len());
        let element = self.rest[..end].trim_ascii();
        let body = element.iter().position(|&b| b == b'=').unwrap_or(element.len());
        let padding_only = element[body..].iter().all(|&b| b == b'=');
        let is_token68 = element[..body]
            .iter()
            .all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/'));
        if is_token68 && padding_only && !element.is_empty() {
            self.rest = &self.rest[end..];
        }
    }

    fn token(&mut self) -> String {
        let end = self.rest.iter().position(|&b| !is_token(b)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        String::from_utf8_lossy(token).into_owned()
    }

    /// Reads `=value` or `="value"`; the `=` is known to be there.
    fn value(&mut self) -> String {
        self.rest = &self.rest[1..];
        self.skip(is_space);
        if self.rest.first() != Some(&b'"') {
            let end = self.rest.iter().position(|&b| b == b',' || is_space(b)).unwrap_or(self.rest.len());
            let (value, rest) = self.rest.split_at(end);
            self.rest = rest;
            return String::from_utf8_lossy(value).into_owned();
        }
        self.rest = &self.rest[1..];
        let mut value = Vec::new();
        let mut escaped = false;
        for (at, &byte) in self.rest.iter().enumerate() {
            match byte {
                _ if escaped => {
                    value.push(byte);
                    escaped = false;
                }
                b'\\' => escaped = true,
                b'"' => {
                    self.rest = &self.rest[at + 1..];
                    return String::from_utf8_lossy(&value).into_owned();
                }
                _ => value.push(byte),
            }
        }
        self.rest = &[];
        String::from_utf8_lossy(&value).into_owned()
    }

    fn skip_element(&mut self) {
        let end = self.rest.iter().position(|&b| b == b',').map_or(self.rest.len(), |at| at + 1);
        self.rest = &self.rest[end..];
    }

    fn skip(&mut self, unwanted: impl Fn(u8) -> bool) -> usize {
        let end = self.rest.iter().position(|&b| !unwanted(b)).unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
        end
    }
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(header: &str) -> Vec<Challenge> {
        parse([header.as_bytes()])
    }

    fn challenge(scheme: &str, parameters: &[(&str, &str)]) -> Challenge {
        let own = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        Challenge { scheme: scheme.to_owned(), parameters: parameters.iter().map(own).collect() }
    }

    #[test]
    fn commas_in_quotes_belong_to_the_value() {
        let header = r#"Bearer realm="https://auth.test/token",service="reg",scope="repository:a/b:pull,push""#;
        assert_eq!(one(header)[0].parameter("scope"), Some("repository:a/b:pull,push"));
        assert_eq!(one(header).len(), 1);
    }

    #[test]
    fn several_challenges_in_one_header_and_in_several_are_all_read() {
        let wanted = vec![
            challenge("basic", &[("realm", "a, b")]),
            challenge("bearer", &[("realm", "https://x.test/t"), ("service", "s")]),
        ];
        assert_eq!(one(r#"Basic realm="a, b", Bearer realm="https://x.test/t", service=s"#), wanted);
        let headers: [&[u8]; 2] = [br#"Basic realm="a, b""#, br#"BEARER REALM="https://x.test/t",Service=s"#];
        assert_eq!(parse(headers), wanted);
    }

    #[test]
    fn schemes_with_a_token_or_nothing_do_not_swallow_their_neighbours() {
        assert_eq!(
            one(r#"Negotiate, NTLM TlRMTVNTUAAB==, Basic realm="r""#),
            [challenge("negotiate", &[]), challenge("ntlm", &[]), challenge("basic", &[("realm", "r")])]
        );
    }

    #[test]
    fn escapes_spaces_and_unfinished_quotes_are_read_as_far_as_they_go() {
        assert_eq!(one(r#"Basic realm = "a\"b""#), [challenge("basic", &[("realm", "a\"b")])]);
        assert_eq!(one(r#"Basic realm="never ends"#), [challenge("basic", &[("realm", "never ends")])]);
        assert_eq!(one("realm=x, =, Basic"), [challenge("basic", &[])]);
        assert_eq!(one(""), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(header in proptest::collection::vec(any::<u8>(), 0..400)) {
            let challenges = parse([header.as_slice()]);
            prop_assert!(challenges.len() <= CHALLENGE_LIMIT);
            prop_assert!(challenges.iter().all(|c| c.parameters.len() <= PARAMETER_LIMIT));
        }

        #[test]
        fn what_was_written_is_what_is_read(
            written in proptest::collection::vec(
                ("[A-Za-z][A-Za-z0-9]{0,8}", proptest::collection::vec(("[a-z]{1,8}", "[ -~]{0,20}"), 1..4)), 1..5),
        ) {
            let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let header: Vec<String> = written
                .iter()
                .map(|(scheme, parameters)| {
                    let list: Vec<String> =
                        parameters.iter().map(|(key, value)| format!("{key}=\"{}\"", quote(value))).collect();
                    format!("{scheme} {}", list.join(", "))
                })
                .collect();
            let wanted: Vec<Challenge> = written
                .into_iter()
                .map(|(scheme, parameters)| Challenge { scheme: scheme.to_ascii_lowercase(), parameters })
                .collect();
            prop_assert_eq!(one(&header.join(", ")), wanted);
        }
    }
}
