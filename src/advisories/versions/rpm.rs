//! Versions of rpm: `1:3.0.7-25.el9_3`, an epoch, a version and a release. rpm-version(7), `rpmvercmp`.

use std::cmp::Ordering;

use rpm_version::Evr;

/// Compares two versions as rpm does. A missing epoch is 0.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    Evr::parse(a).cmp(&Evr::parse(b))
}

/// Compares versions of source packages. The epoch is part of no file name, so that it is often known for one side only:
/// then it says nothing.
pub(super) fn compare_sources(a: &str, b: &str) -> Ordering {
    if a.contains(':') == b.contains(':') {
        return compare(a, b);
    }
    let without_epoch = |version| str::split_once(version, ':').map_or(version, |(_, rest)| rest);
    compare(without_epoch(a), without_epoch(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{assert_ascending, assert_equal};
    use super::*;

    #[test]
    fn tilde_sorts_before_the_end_and_caret_after_it() {
        assert_ascending(
            compare,
            &[
                "1.0~beta-1",
                "1.0~rc1-1",
                "1.0-0.1.rc1",
                "1.0-1",
                "1.0-1.el9",
                "1.0-1.el9_2",
                "1.0-1.el9_2.1",
                "1.0-2",
                "1.0-10",
                "1.0^20240131git-1",
                "1.0a-1",
                "1.0.1-1",
                "1.10-1",
                "1:0.1-1",
                "10:0.1-1",
            ],
        );
    }

    #[test]
    fn separators_leading_zeros_and_an_epoch_of_zero_do_not_count() {
        assert_equal(compare, &["1.0-1", "0:1.0-1", "1_0-1", "1.00-01", "1..0.-1"]);
        assert_equal(compare, &["1-1.module+el8.5.0+119+9a9ec082", "1-1.module_el8.5.0+119+9a9ec082"]);
    }

    #[test]
    fn epoch_of_one_side_is_ignored_for_sources_only() {
        for (installed, named, binary, source) in [
            ("3.0.7-24.el9", "1:3.0.7-25.el9_3", Ordering::Less, Ordering::Less),
            ("3.0.7-25.el9_3", "1:3.0.7-25.el9_3", Ordering::Less, Ordering::Equal),
            ("3.0.7-26.el9", "1:3.0.7-25.el9_3", Ordering::Less, Ordering::Greater),
            ("1:3.0.7-24.el9", "3.0.7-25.el9", Ordering::Greater, Ordering::Less),
            ("1:1-1", "2:1-1", Ordering::Less, Ordering::Less),
            ("0:2-1", "1:1-1", Ordering::Less, Ordering::Less),
        ] {
            assert_eq!(compare(installed, named), binary, "{installed} against {named}");
            assert_eq!(compare_sources(installed, named), source, "sources {installed} against {named}");
        }
    }

    fn versions() -> impl Strategy<Value = String> {
        prop_oneof![
            "([01]:)?[0-2](\\.[0-2]){0,2}([~^](rc|git)?[0-2])?-[0-2](\\.el9(_[0-2])?)?",
            "[0-2]\\.[0-2]-[0-2]\\.module[+_]el8\\.[0-2]\\.0\\+[0-9]{1,3}\\+[0-9a-f]{2}",
            "[0-2a~^:+._-]{0,8}",
            "[0-9]{15,25}-[0-9]{18,22}",
            "\\PC{0,6}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn order_is_total(a in versions(), b in versions(), c in versions()) {
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare_sources(&a, &b), compare_sources(&b, &a).reverse());
            let mut sorted = [a, b, c];
            sorted.sort_by(|x, y| compare(x, y));
            let [x, y, z] = &sorted;
            let (first, second) = (compare(x, y), compare(y, z));
            prop_assert_ne!(first, Ordering::Greater);
            prop_assert_ne!(second, Ordering::Greater);
            // Equal with equal is equal, and a step up is not taken back.
            prop_assert_eq!(compare(x, z), first.then(second), "{} {} {}", x, y, z);
        }
    }
}
