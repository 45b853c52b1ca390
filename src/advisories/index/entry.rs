//! What one advisory says about one package, as it stands in an index.

use std::borrow::Cow;

use super::super::AffectedVersions;
use super::super::bytes::{Decoder, Encoder};
use super::super::modules::Streams;
use super::super::ranges::{End, Interval};

const RANGES: u8 = 0;
const RELEASES: u8 = 1;
const LISTED: u8 = 2;
/// Added to one of the former.
const STREAMS: u8 = 4;

const NEVER: u8 = 0;
const FIXED: u8 = 1;
const LAST_AFFECTED: u8 = 2;
/// Added to one of the former.
const INTRODUCED: u8 = 4;

/// What one advisory says about one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The number of the advisory in the index of its ecosystem.
    pub advisory: u32,
    /// Which of the advisory's ratings holds for the package.
    pub rating: Option<usize>,
    /// The streams of modules that it speaks of; none for packages of no module.
    pub streams: Option<Streams>,
    /// The affected versions.
    pub versions: AffectedVersions<'a>,
}

/// Writes what is said, without the number of the advisory.
pub(super) fn encode(
    rating: Option<usize>,
    streams: Option<&Streams>,
    versions: &AffectedVersions<'_>,
) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.number(rating.map_or(0, |rating| rating + 1));
    let kind = match versions {
        AffectedVersions::Ranges(_) => RANGES,
        AffectedVersions::Releases(_) => RELEASES,
        AffectedVersions::Listed(_) => LISTED,
    };
    encoder.byte(kind + if streams.is_some() { STREAMS } else { 0 });
    if let Some(streams) = streams {
        encoder.texts(streams.iter());
    }
    match versions {
        AffectedVersions::Ranges(intervals) | AffectedVersions::Releases(intervals) => {
            encoder.number(intervals.len());
            for interval in intervals {
                encode_interval(interval, &mut encoder);
            }
        }
        AffectedVersions::Listed(versions) => encoder.texts(versions.iter()),
    }
    encoder.into_vec()
}

fn encode_interval(interval: &Interval<'_>, encoder: &mut Encoder) {
    let end = match interval.end {
        End::Never => NEVER,
        End::Fixed(_) => FIXED,
        End::LastAffected(_) => LAST_AFFECTED,
    };
    encoder.byte(end + if interval.introduced.is_some() { INTRODUCED } else { 0 });
    for bound in interval.bounds() {
        encoder.text(bound);
    }
}

/// Reads what was said by the advisory of a number.
pub(super) fn decode<'a>(advisory: u32, decoder: &mut Decoder<'a>) -> Option<Entry<'a>> {
    let rating = decoder.number()?.checked_sub(1);
    let kind = decoder.byte()?;
    let streams = if kind & STREAMS == 0 { None } else { Some(decoder.texts()?.into_iter().collect()) };
    let versions = match kind & !STREAMS {
        RANGES => AffectedVersions::Ranges(decode_intervals(decoder)?),
        RELEASES => AffectedVersions::Releases(decode_intervals(decoder)?),
        LISTED => AffectedVersions::Listed(decoder.texts()?.into_iter().map(Cow::Borrowed).collect()),
        _ => return None,
    };
    Some(Entry { advisory, rating, streams, versions })
}

fn decode_intervals<'a>(decoder: &mut Decoder<'a>) -> Option<Vec<Interval<'a>>> {
    let count = decoder.count()?;
    (0..count).map(|_| decode_interval(decoder)).collect()
}

fn decode_interval<'a>(decoder: &mut Decoder<'a>) -> Option<Interval<'a>> {
    let kind = decoder.byte()?;
    let introduced = if kind & INTRODUCED == 0 { None } else { Some(Cow::Borrowed(decoder.text()?)) };
    let end = match kind & !INTRODUCED {
        NEVER => End::Never,
        FIXED => End::Fixed(Cow::Borrowed(decoder.text()?)),
        LAST_AFFECTED => End::LastAffected(Cow::Borrowed(decoder.text()?)),
        _ => return None,
    };
    Some(Interval { introduced, end })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interval() -> impl Strategy<Value = Interval<'static>> {
        let version = || "\\PC{0,5}".prop_map(Cow::<'static, str>::Owned);
        let end = prop_oneof![
            Just(End::Never),
            version().prop_map(End::Fixed),
            version().prop_map(End::LastAffected)
        ];
        (prop::option::of(version()), end).prop_map(|(introduced, end)| Interval { introduced, end })
    }

    fn versions() -> impl Strategy<Value = AffectedVersions<'static>> {
        let listed = prop::collection::vec("\\PC{0,5}".prop_map(Cow::Owned), 0..4);
        prop_oneof![
            prop::collection::vec(interval(), 0..4).prop_map(AffectedVersions::Ranges),
            prop::collection::vec(interval(), 0..4).prop_map(AffectedVersions::Releases),
            listed.prop_map(AffectedVersions::Listed),
        ]
    }

    fn streams() -> impl Strategy<Value = Option<Streams>> {
        let streams = prop::collection::btree_set("[a-z]{1,3}:[0-9]", 0..3);
        prop::option::of(streams.prop_map(|streams| streams.iter().map(String::as_str).collect()))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rating in prop::option::of(0_usize..300),
            streams in streams(),
            versions in versions(),
        ) {
            let bytes = encode(rating, streams.as_ref(), &versions);
            let mut decoder = Decoder::new(&bytes);
            let entry = decode(7, &mut decoder);
            prop_assert!(decoder.is_empty());
            prop_assert_eq!(entry, Some(Entry { advisory: 7, rating, streams, versions }));
        }

        #[test]
        fn any_bytes_do_no_harm(bytes in prop::collection::vec(prop_oneof![0_u8..8, any::<u8>()], 0..60)) {
            let _ = decode(0, &mut Decoder::new(&bytes));
        }
    }
}
