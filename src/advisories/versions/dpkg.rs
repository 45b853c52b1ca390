//! Versions of dpkg: `1:2.36-9+deb12u4`, as deb-version(7) orders them.

use std::borrow::Cow;
use std::cmp::Ordering;

/// Compares two versions as `dpkg --compare-versions` does.
///
/// Text that dpkg would refuse is still put in its place in a total order: bytes outside ASCII count as `?`, since
/// `deb-version` takes positions of characters for positions of bytes.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    deb_version::compare_versions(&ascii(a), &ascii(b))
}

fn ascii(version: &str) -> Cow<'_, str> {
    if version.is_ascii() {
        return Cow::Borrowed(version);
    }
    version.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tilde_sorts_before_the_end_and_epochs_before_all() {
        let ascending = [
            "0.9",
            "1.0~rc1",
            "1.0~rc1-1",
            "1.0",
            "1.0-0+b1",
            "1.0-1~deb12u1",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1+deb12u1",
            "1.0-1+deb12u10",
            "1.0+dfsg-1",
            "1.0.1",
            "1.0.10",
            "1:0.1",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} against {b}");
            }
        }
        assert_eq!(compare("1.0", "1.0-0"), Ordering::Equal);
        assert_eq!(compare("0:1.0", "1.0"), Ordering::Equal);
    }

    /// A version as Debian has them, most of them close to each other.
    fn realistic() -> impl Strategy<Value = String> {
        "(([0-2]:)?[0-2](\\.[0-9]{1,2}){0,2}([a-c]|~rc[0-9]|~beta|\\+dfsg[0-9]?|\\+git2024[01]|\\+really1\\.0)?(-[0-2](\\.1)?(~exp1|\\+b[1-3]|\\+deb1[12]u[0-9]{1,2}|~deb11u1|~bpo12\\+1|ubuntu0\\.[1-3])?)?)"
    }

    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof!["[0-2a~:+.-]{0,8}", "\\PC{0,8}", realistic()]
    }

    proptest! {
        #[test]
        fn order_is_total(a in hostile(), b in hostile(), c in hostile()) {
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            let mut sorted = [a, b, c];
            sorted.sort_by(|x, y| compare(x, y));
            prop_assert_ne!(compare(&sorted[0], &sorted[1]), Ordering::Greater);
            prop_assert_ne!(compare(&sorted[1], &sorted[2]), Ordering::Greater);
            prop_assert_ne!(compare(&sorted[0], &sorted[2]), Ordering::Greater);
        }
    }
}
