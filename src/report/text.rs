//! Text of strangers made fit for a terminal: names of packages, ids of advisories, reasons from registries.

/// Longest text of one cell or reason that is shown, in characters.
const MAX_LENGTH: usize = 400;
/// What stands for a character that must not reach a terminal.
const REPLACEMENT: char = '\u{fffd}';

/// Replaces what would steer a terminal or reorder its text, joins lines, and cuts what is far too long.
#[must_use]
pub fn sanitize(text: &str) -> String {
    let mut clean: String = text
        .chars()
        .take(MAX_LENGTH)
        .map(|c| match c {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
            c if is_unsafe(c) => REPLACEMENT,
            c => c,
        })
        .collect();
    if text.chars().nth(MAX_LENGTH).is_some() {
        clean.push('…');
    }
    clean
}

/// Control characters (C0, C1 and DEL begin escape sequences) and the invisible ones that reorder or hide text.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Breaks text at spaces so that each line, indented, has at most `width` characters where its words allow it.
#[must_use]
pub fn wrap(text: &str, indent: usize, width: Option<u16>) -> String {
    let margin = " ".repeat(indent);
    let room = width.map_or(usize::MAX, |width| usize::from(width).saturating_sub(indent).max(20));
    let mut wrapped = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            wrapped.push('\n');
            used = 0;
        }
        if used == 0 {
            wrapped.push_str(&margin);
        } else {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += length;
    }
    wrapped.push('\n');
    wrapped
}

/// A reference with the first digits of its digest: `registry.test/cart@sha256:1a2b3c4d5e6f`.
#[must_use]
pub fn shortened(reference: &str) -> String {
    match reference.split_once("@sha256:") {
        Some((name, digits)) => format!("{name}@sha256:{}", digits.chars().take(12).collect::<String>()),
        None => reference.to_owned(),
    }
}

/// `1 image`, `2 images`.
#[must_use]
pub fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The first few of many, and how many there are more.
#[must_use]
pub fn first_of(items: &[String], limit: usize) -> String {
    match items.len().saturating_sub(limit) {
        0 => items.join(", "),
        others => format!("{} and {others} more", items[..limit].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_and_reordering_characters_do_not_survive() {
        assert_eq!(sanitize("lib\u{1b}[31mc6\u{9b}2J"), "lib\u{fffd}[31mc6\u{fffd}2J");
        assert_eq!(sanitize("a\u{202e}b\u{200b}c"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(sanitize("two\nlines\tand more"), "two lines and more");
    }

    #[test]
    fn ordinary_text_stays() {
        assert_eq!(sanitize("libstdc++6 größer 1:2.36-9+deb12u4"), "libstdc++6 größer 1:2.36-9+deb12u4");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        let cut = sanitize(&"x".repeat(5000));
        assert_eq!(cut.chars().count(), MAX_LENGTH + 1);
        assert!(cut.ends_with('…'));
    }

    #[test]
    fn lines_break_at_spaces_and_keep_their_indent() {
        assert_eq!(wrap("one two three four five six", 2, Some(22)), "  one two three four\n  five six\n");
        assert_eq!(wrap("one two", 2, None), "  one two\n");
        assert_eq!(wrap(&"x".repeat(30), 0, Some(20)), format!("{}\n", "x".repeat(30)));
    }

    proptest! {
        #[test]
        fn nothing_unsafe_survives(text in any::<String>()) {
            prop_assert!(!sanitize(&text).chars().any(is_unsafe));
        }
    }
}
