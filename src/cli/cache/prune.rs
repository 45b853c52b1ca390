//! `kubectl clarity cache prune`.

use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};

use super::super::transfer::size;
use super::super::{Exit, errors::Explained, ui};
use super::place::Opened;
use crate::cache::budget::{Held, Limits, surplus};
use crate::cache::{About, CacheError, Store};
use crate::image::ImageKey;
use crate::report::text::plural;

/// Removals at the same time.
const PARALLEL: usize = 8;

/// What goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    All,
    Surplus {
        /// What was not used for so long.
        older_than: Option<Duration>,
        /// The least recently used of the rest, so that so many bytes are left.
        keep_bytes: Option<u64>,
    },
}

/// What went and what is left.
struct Pruned {
    removed: usize,
    freed: u64,
    left: usize,
    useless: usize,
}

pub(super) async fn run(rule: Rule, stores: &[Opened]) -> Result<Exit, Explained> {
    for opened in stores {
        let Some(pruned) = opened.or_note(prune(rule, opened.store.as_ref()).await)? else { continue };
        let Pruned { removed, freed, left, useless } = pruned;
        let mut text = format!("{} removed, {} freed, {left} left", plural(removed, "image"), size(freed));
        if useless > 0 {
            text = format!("{text}; {} of no use removed", plural(useless, "remnant"));
        }
        ui::data(None, &format!("{text} in {}\n", opened.store.name()))?;
    }
    Ok(Exit::Passed)
}

async fn prune(rule: Rule, store: &dyn Store) -> Result<Pruned, CacheError> {
    let useless = store.sweep().await?;
    let abouts = store.list().await?;
    let gone = chosen(&abouts, rule, Timestamp::now());
    let freed = gone.iter().map(|about| about.stored).fold(0, u64::saturating_add);
    let keys: Vec<ImageKey> = gone.iter().map(|about| about.key.clone()).collect();
    let removals = stream::iter(&keys).map(|key| store.remove(key));
    let _: Vec<()> = removals.buffer_unordered(PARALLEL).try_collect().await?;
    Ok(Pruned { removed: keys.len(), freed, left: abouts.len() - keys.len(), useless })
}

/// What a rule removes. Pure.
fn chosen(abouts: &[About], rule: Rule, now: Timestamp) -> Vec<&About> {
    let Rule::Surplus { older_than, keep_bytes } = rule else { return abouts.iter().collect() };
    let is_old = |about: &&About| {
        let unused = now.duration_since(about.used);
        older_than.is_some_and(|age| SignedDuration::try_from(age).is_ok_and(|age| unused >= age))
    };
    let (mut gone, rest): (Vec<&About>, Vec<&About>) = abouts.iter().partition(is_old);
    if let Some(bytes) = keep_bytes {
        let held = |about: &&About| Held { what: about.key.clone(), bytes: about.stored, used: about.used };
        let held: Vec<Held<ImageKey>> = rest.iter().map(held).collect();
        let surplus = surplus(&held, None, Limits { bytes, entries: usize::MAX });
        gone.extend(rest.into_iter().filter(|about| surplus.iter().any(|held| held.what == about.key)));
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Digest, Platform};

    fn about(number: u8, stored: u64, days: i64, now: Timestamp) -> About {
        let digest = Digest::from_hash(&[number; 32]);
        let used = now - SignedDuration::from_hours(24 * days);
        About {
            key: ImageKey { digest: digest.clone(), platform: Platform::of_this_program() },
            manifest: None,
            config: None,
            reference: "registry.test/a:1".parse().expect("a reference"),
            reader: String::new(),
            generator: String::new(),
            analysers: String::new(),
            packages: 0,
            document: digest,
            stored,
            created: used,
            used,
        }
    }

    #[test]
    fn what_is_old_goes_and_of_the_rest_the_least_used() {
        let now = Timestamp::now();
        let abouts = [about(1, 10, 40, now), about(2, 10, 20, now), about(3, 10, 1, now)];
        let numbers = |rule| {
            let mut gone: Vec<&str> =
                chosen(&abouts, rule, now).iter().map(|about| &about.key.digest.hex()[..2]).collect();
            gone.sort_unstable();
            gone.join(" ")
        };
        let older_than = Some(Duration::from_hours(24 * 30));
        assert_eq!(numbers(Rule::All), "01 02 03");
        assert_eq!(numbers(Rule::Surplus { older_than, keep_bytes: None }), "01");
        assert_eq!(numbers(Rule::Surplus { older_than: None, keep_bytes: Some(20) }), "01");
        assert_eq!(numbers(Rule::Surplus { older_than, keep_bytes: Some(20) }), "01");
        assert_eq!(numbers(Rule::Surplus { older_than, keep_bytes: Some(19) }), "01 02");
        assert_eq!(numbers(Rule::Surplus { older_than: None, keep_bytes: Some(0) }), "01 02 03");
    }
}
