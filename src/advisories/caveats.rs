//! What advisories cannot say, in words.

use std::collections::BTreeSet;

use super::Ecosystem;
use crate::finding::AdvisoryInfo;

/// What a person should know about the kind of advisories that were used.
#[must_use]
pub fn caveats(used: &AdvisoryInfo) -> Vec<String> {
    let ecosystems = used.ecosystems.keys().filter_map(|name| name.parse::<Ecosystem>().ok());
    let announcers = ecosystems.filter(Ecosystem::names_only_what_is_fixed);
    let names: BTreeSet<String> = announcers.map(|ecosystem| ecosystem.name().to_owned()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let names: Vec<String> = names.into_iter().collect();
    vec![format!(
        "advisories of {} are about vulnerabilities that have a fix: those without one are not found",
        names.join(", ")
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(ecosystems: &[&str]) -> AdvisoryInfo {
        let ecosystems = ecosystems.iter().map(|name| ((*name).to_owned(), 1)).collect();
        AdvisoryInfo { ecosystems, ..AdvisoryInfo::default() }
    }

    #[test]
    fn announcers_of_fixes_are_named_once() {
        let of_red_hat = ["Red Hat:enterprise_linux:9::appstream", "Red Hat:enterprise_linux:9::baseos"];
        let found = caveats(&used(&[of_red_hat[0], of_red_hat[1], "SUSE:Linux Micro 6.0", "Debian:12"]));
        assert_eq!(
            found,
            [
                "advisories of Red Hat, SUSE are about vulnerabilities that have a fix: those without one are not found"
            ]
        );
        assert_eq!(caveats(&used(&["Debian:12", "Alpine:v3.19", "npm"])), [""; 0]);
    }
}
