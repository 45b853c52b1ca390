//! What SPDX has no word for, in the comments of annotations: a head, and a line `NAME=VALUE` for each.

use super::super::cyclonedx::PropertyView;
use super::super::cyclonedx::properties::Properties;

/// How the comment of our own annotations begins.
const HEAD: &str = "kubectl-clarity:properties";

/// The comment for these properties; none for none.
pub(super) fn comment(properties: &Properties) -> Option<String> {
    let line = |(name, value): &(String, String)| format!("\n{name}={}", escaped(value));
    (!properties.is_empty()).then(|| format!("{HEAD}{}", properties.iter().map(line).collect::<String>()))
}

/// The properties of a comment; none if it is not ours.
pub(super) fn read(comment: &str) -> Vec<PropertyView> {
    let mut lines = comment.split('\n');
    if lines.next() != Some(HEAD) {
        return Vec::new();
    }
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| PropertyView { name: name.to_owned(), value: unescaped(value) }).collect()
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                other => text.extend(other),
            },
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(value in "[\\\\n\n=a ]{0,12}") {
            let properties = vec![("a:b".to_owned(), value.clone()), ("c".to_owned(), "d".to_owned())];
            let read = read(&comment(&properties).expect("some"));
            let read: Vec<_> = read.into_iter().map(|property| (property.name, property.value)).collect();
            prop_assert_eq!(read, properties);
        }

        #[test]
        fn any_comment_does_no_harm(text in "(kubectl-clarity:properties\n)?\\PC{0,40}") {
            let _ = read(&text);
        }
    }
}
