//! How long to wait before trying again, and when to give up.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::error::PullError;
use super::settings::Settings;

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Setback<E = PullError> {
    /// What to say if it is not tried again.
    pub(crate) error: Box<E>,
    again: Again,
}

#[derive(Clone, Copy, Debug)]
enum Again {
    /// Trying again would change nothing.
    Never,
    /// It may pass, after as long as the server wants us to wait, if it said so.
    After(Option<Duration>),
}

impl<E> Setback<E> {
    /// A failure that stays.
    pub(crate) fn lasting(error: E) -> Self {
        Self { error: Box::new(error), again: Again::Never }
    }

    /// A failure that may pass by itself.
    pub(crate) fn passing(error: E) -> Self {
        Self::after(error, None)
    }

    /// A failure that should pass after some time.
    pub(crate) fn after(error: E, wait: Option<Duration>) -> Self {
        Self { error: Box::new(error), again: Again::After(wait) }
    }

    /// Whether there is no point in trying again.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.again, Again::Never)
    }
}

impl From<PullError> for Setback {
    fn from(error: PullError) -> Self {
        Self::lasting(error)
    }
}

/// What is left of the attempts that one request has.
pub(crate) struct Patience {
    attempts_left: u32,
    pause: Duration,
    longest_wait: Duration,
}

impl Patience {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            attempts_left: settings.attempts.saturating_sub(1),
            pause: settings.backoff,
            longest_wait: settings.longest_wait,
        }
    }

    /// For requests that are not repeated as they are.
    pub(super) fn none() -> Self {
        Self { attempts_left: 0, pause: Duration::ZERO, longest_wait: Duration::ZERO }
    }

    /// Waits before the next attempt, or gives the error back if there is to be none.
    pub(crate) async fn wait_after<E>(&mut self, setback: Setback<E>) -> Result<(), E> {
        let pause = match setback.again {
            Again::Never => None,
            Again::After(wait) => self.next_pause(wait),
        };
        let Some(pause) = pause else { return Err(*setback.error) };
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn next_pause(&mut self, wanted: Option<Duration>) -> Option<Duration> {
        if self.attempts_left == 0 || wanted.is_some_and(|wait| wait > self.longest_wait) {
            return None;
        }
        self.attempts_left -= 1;
        let pause = with_jitter(self.pause.min(self.longest_wait));
        self.pause = self.pause.saturating_mul(2);
        Some(wanted.map_or(pause, |wait| wait.max(pause)))
    }
}

/// Adds up to a half, so that scanners that were turned away together do not come back together.
fn with_jitter(pause: Duration) -> Duration {
    // Each RandomState has keys of its own: a random number without another crate.
    let random = RandomState::new().hash_one(0_u8) % 1024;
    let share = u32::try_from(random).unwrap_or(0);
    pause.saturating_add(pause.saturating_mul(share) / 2048)
}

/// `Retry-After` in seconds or as a date. RFC 9110, section 10.2.3.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    let wait = at.duration_since(jiff::Timestamp::now());
    Some(wait.try_into().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().expect("a header"));
        headers
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        assert_eq!(retry_after(&headers("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("Wed, 21 Oct 2015 07:28:00 GMT")), Some(Duration::ZERO));
        let later = retry_after(&headers("Wed, 21 Oct 2099 07:28:00 GMT")).expect("a date");
        assert!(later > Duration::from_hours(1));
        assert_eq!(retry_after(&headers("soon")), None);
        assert_eq!(retry_after(&headers("-1")), None);
    }

    #[test]
    fn pauses_double_with_jitter_and_end_with_the_attempts() {
        let settings = Settings { attempts: 3, backoff: Duration::from_millis(100), ..Settings::default() };
        let mut patience = Patience::of(&settings);
        let first = patience.next_pause(None).expect("a second attempt");
        assert!((100..=150).contains(&first.as_millis()), "{first:?}");
        let second = patience.next_pause(None).expect("a third attempt");
        assert!((200..=300).contains(&second.as_millis()), "{second:?}");
        assert_eq!(patience.next_pause(None), None);
    }

    #[test]
    fn a_server_that_wants_more_than_the_longest_wait_is_given_up() {
        let mut patience = Patience::of(&Settings::default());
        assert_eq!(patience.next_pause(Some(Duration::from_hours(1))), None);
        let wait = Duration::from_secs(20);
        assert_eq!(patience.next_pause(Some(wait)), Some(wait));
    }
}
