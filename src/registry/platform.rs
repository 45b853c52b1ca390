//! Which of several platforms runs on a node, by containerd's rules (`containerd/platforms`). Pure.

use crate::image::Platform;

/// Ranks from here on are those of offers above the level that is wanted.
const HIGHER: u8 = 100;

/// Something on offer for a platform.
pub(super) struct Offer<'a, T> {
    pub(super) platform: &'a Platform,
    pub(super) of: &'a T,
}

/// The best offer for a platform; of equally good ones the first.
pub(super) fn choose<'a, T>(
    offers: impl IntoIterator<Item = Offer<'a, T>>,
    wanted: &Platform,
) -> Option<&'a T> {
    let mut best: Option<(u8, &T)> = None;
    for offer in offers {
        let Some(rank) = rank(offer.platform, wanted) else { continue };
        if best.is_none_or(|(lowest, _)| rank < lowest) {
            best = Some((rank, offer.of));
        }
    }
    best.map(|(_, of)| of)
}

/// How far an offer is from what is wanted, 0 being the very thing; none if it does not run there.
///
/// Kubernetes tells no variant of its nodes. So where none is wanted, an offer of a higher level is better than
/// nothing: the container is running, hence the node could run it.
fn rank(offered: &Platform, wanted: &Platform) -> Option<u8> {
    let variant_known = wanted.variant.is_some();
    let (offered, wanted) = (normal(offered), normal(wanted));
    if offered.0 != wanted.0 || offered.1 != wanted.1 {
        return None;
    }
    // Each level runs what was built for the ones below it.
    match wanted.2.checked_sub(offered.2) {
        Some(below) => Some(below.min(HIGHER - 1)),
        None if variant_known => None,
        None => Some(HIGHER.saturating_add(offered.2)),
    }
}

/// Operating system, architecture and level, with the levels filled in that go without saying.
fn normal(platform: &Platform) -> (String, String, u8) {
    let architecture = platform.architecture.to_lowercase();
    let variant = platform.variant.as_deref().unwrap_or_default().to_lowercase();
    let level = |least: u8| variant.strip_prefix('v').unwrap_or(&variant).parse().unwrap_or(least);
    let (name, level) = match architecture.as_str() {
        "amd64" | "x86_64" | "x86-64" => ("amd64", level(1)),
        "arm64" | "aarch64" => ("arm64", level(8)),
        "armhf" => ("arm", 7),
        "armel" => ("arm", 6),
        "arm" => ("arm", level(7)),
        "i386" => ("386", 0),
        other => (other, 0),
    };
    (platform.os.to_lowercase(), name.to_owned(), level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        Platform {
            os: parts.next().expect("an os"),
            architecture: parts.next().expect("an architecture"),
            variant: parts.next(),
        }
    }

    fn chosen(wanted: &str, offered: &[&str]) -> Option<String> {
        let platforms: Vec<Platform> = offered.iter().map(|text| platform(text)).collect();
        let offers = platforms.iter().map(|platform| Offer { platform, of: platform });
        choose(offers, &platform(wanted)).map(ToString::to_string)
    }

    #[test]
    fn the_nearest_level_that_runs_is_chosen() {
        for (wanted, offered, best) in [
            ("linux/amd64", &["windows/amd64", "linux/arm64", "linux/amd64"][..], Some("linux/amd64")),
            ("linux/amd64", &["linux/amd64/v3", "linux/amd64"], Some("linux/amd64")),
            ("linux/amd64", &["linux/amd64/v3", "linux/amd64/v2"], Some("linux/amd64/v2")),
            ("linux/amd64/v1", &["linux/amd64/v3"], None),
            ("linux/amd64/v3", &["linux/amd64", "linux/amd64/v2"], Some("linux/amd64/v2")),
            ("linux/arm64", &["linux/arm64/v8"], Some("linux/arm64/v8")),
            ("linux/arm64/v8", &["linux/arm64"], Some("linux/arm64")),
            ("linux/arm64", &["linux/arm64/v9", "linux/arm/v7"], Some("linux/arm64/v9")),
            ("linux/arm", &["linux/arm/v5", "linux/arm/v6"], Some("linux/arm/v6")),
            ("linux/arm/v6", &["linux/arm/v7", "linux/arm/v5"], Some("linux/arm/v5")),
            ("linux/s390x", &["linux/s390x"], Some("linux/s390x")),
            ("linux/s390x", &[], None),
        ] {
            assert_eq!(chosen(wanted, offered).as_deref(), best, "{wanted} of {offered:?}");
        }
    }

    #[test]
    fn architectures_that_nobody_knows_match_only_by_name() {
        assert_eq!(chosen("linux/mips64le", &["linux/sparc64"]), None);
        assert_eq!(chosen("linux/mips64le", &["linux/mips64le"]).as_deref(), Some("linux/mips64le"));
    }
}
