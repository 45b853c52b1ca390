//! The bytes that an entry's value is kept as: few, of a fixed length, after a byte with the version of their form.
//!
//! They come back from files and registries, so whoever decodes them believes none of them.

use jiff::civil::Date;

/// Bytes that stand for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A date in three bytes: 0 for none.
pub(super) fn put_date(date: Option<Date>) -> [u8; 3] {
    let number = date.map_or(0, |date| {
        let part = |number: i16| u32::try_from(number).unwrap_or(0);
        (part(date.year()) << 9) | (part(date.month().into()) << 5) | part(date.day().into())
    });
    put_number(number)
}

/// A date, or that there is none.
pub(super) fn date(bytes: [u8; 3]) -> Result<Option<Date>, Malformed> {
    let number = number(bytes);
    if number == 0 {
        return Ok(None);
    }
    let year = i16::try_from(number >> 9).map_err(|_| Malformed)?;
    let month = i8::try_from((number >> 5) & 0xf).map_err(|_| Malformed)?;
    let day = i8::try_from(number & 0x1f).map_err(|_| Malformed)?;
    Date::new(year, month, day).map(Some).map_err(|_| Malformed)
}

/// A number below 2^24, little-endian; of a greater one the rest is lost.
pub(super) fn put_number(number: u32) -> [u8; 3] {
    let [a, b, c, _] = number.to_le_bytes();
    [a, b, c]
}

/// That number.
pub(super) fn number([a, b, c]: [u8; 3]) -> u32 {
    u32::from_le_bytes([a, b, c, 0])
}

#[cfg(test)]
mod tests {
    use jiff::civil::date as day;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_come_back_as_they_went() {
        for given in [None, Some(day(2021, 12, 10)), Some(day(1, 1, 1)), Some(day(9999, 12, 31))] {
            assert_eq!(date(put_date(given)), Ok(given));
        }
        assert_eq!(date(put_number((2023 << 9) | (2 << 5) | 0x1e)), Err(Malformed), "the 30th of February");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<[u8; 3]>()) {
            let _ = date(bytes);
            prop_assert_eq!(put_number(number(bytes)), bytes);
        }
    }
}
