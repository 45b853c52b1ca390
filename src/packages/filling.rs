//! Buffers that are filled as far as a file goes, however few bytes one read brings.

use std::io::{self, Read};

use crate::tree::ReadAt;

/// Fills the bytes from where a reader stands; how many there were, fewer only at the end.
pub(super) fn fill(reader: &mut (impl Read + ?Sized), bytes: &mut [u8]) -> io::Result<usize> {
    fill_by(bytes, |rest, _| reader.read(rest))
}

/// Fills the bytes from a place in a file; how many there were, fewer only at the end.
pub(super) fn fill_at(file: &(impl ReadAt + ?Sized), bytes: &mut [u8], at: u64) -> io::Result<usize> {
    fill_by(bytes, |rest, filled| {
        let next = u64::try_from(filled).ok().and_then(|filled| at.checked_add(filled));
        next.map_or(Ok(0), |next| file.read_at(rest, next))
    })
}

fn fill_by(bytes: &mut [u8], mut read: impl FnMut(&mut [u8], usize) -> io::Result<usize>) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match read(&mut bytes[filled..], filled) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Brings one byte at a time and is interrupted before each.
    struct Trickle<'a>(&'a [u8], bool);

    impl Trickle<'_> {
        fn one(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = self.0.len().min(1);
            buf[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    impl Read for Trickle<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.one(buf)
        }
    }

    #[test]
    fn buffer_is_filled_from_reads_of_any_size_and_no_further_than_the_end() {
        let mut bytes = [0; 4];
        assert_eq!(fill(&mut Trickle(b"abcdef", false), &mut bytes).expect("reads"), 4);
        assert_eq!(&bytes, b"abcd");
        assert_eq!(fill(&mut Trickle(b"ab", false), &mut bytes).expect("reads"), 2);
    }

    #[test]
    fn place_behind_the_end_of_numbers_is_behind_the_end_of_the_file() {
        struct Endless;
        impl ReadAt for Endless {
            fn size(&self) -> u64 {
                u64::MAX
            }
            fn read_at(&self, buf: &mut [u8], _: u64) -> io::Result<usize> {
                Ok(buf.len().min(1))
            }
        }
        assert_eq!(fill_at(&Endless, &mut [0; 8], u64::MAX - 2).expect("reads"), 3);
    }
}
