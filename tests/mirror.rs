//! Plain files from a mirror: against a real server (Debian's nginx, TLS from a private authority), and against servers
//! that misbehave on purpose. Nothing leaves this machine.

#[path = "registry/certificates.rs"]
mod certificates;
#[path = "mirror/database.rs"]
mod database;
#[path = "mirror/fault.rs"]
mod fault;
#[path = "registry/http.rs"]
mod http;
#[path = "mirror/nginx.rs"]
mod nginx;
#[path = "mirror/real.rs"]
mod real;

use std::time::Duration;

use clarity::mirror::Validators;
use clarity::registry::Settings;

/// More than any file of these tests has.
const ENOUGH: u64 = 1 << 30;

/// Settings that lose no time between attempts.
fn hurried() -> Settings {
    Settings {
        backoff: Duration::from_millis(2),
        read_timeout: Duration::from_millis(500),
        answer_timeout: Duration::from_secs(5),
        ..Settings::default()
    }
}

/// Bytes of which no stretch is like another.
fn noise(seed: u32, size: usize) -> Vec<u8> {
    let mut state = seed;
    let step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(step).take(size).collect()
}

/// An error with all its causes, as the command line shows it.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn etag(text: &str) -> Validators {
    Validators { etag: Some(text.to_owned()), last_modified: None }
}
