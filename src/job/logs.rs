//! The log of a pod, line by line, from a point in time, with a bound on every line.

use std::time::Duration;

use futures::{AsyncBufRead, AsyncBufReadExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tokio::sync::mpsc::Sender;

use crate::cluster::ApiError;

/// Longest line that is kept; ours are shorter. What goes beyond is left out, so no memory is needed for it.
const MAX_LINE: usize = 64 << 10;

/// What comes from a log.
#[derive(Debug)]
pub(super) enum LogEvent {
    /// One line, and when it was printed.
    Line(Option<Timestamp>, String),
    /// The stream is over; why, if not at its end.
    Over(Option<ApiError>),
}

/// Which part of a log is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Go on until the container ends.
    pub(super) follow: bool,
    /// Leave out what was printed before, to the second.
    pub(super) since: Option<Timestamp>,
    /// Wait this long first: the stream has just broken.
    pub(super) after: Duration,
}

/// Reads the log of a container of a pod into a channel; the last event is [`LogEvent::Over`].
pub(super) async fn read(
    pods: Api<Pod>,
    pod: String,
    container: &'static str,
    part: Part,
    lines: Sender<LogEvent>,
) {
    tokio::time::sleep(part.after).await;
    let params = LogParams {
        container: Some(container.to_owned()),
        follow: part.follow,
        // It is sent in whole seconds, rounded; half a second less must not be missing.
        since_time: part.since.and_then(|since| Timestamp::from_second(since.as_second()).ok()),
        timestamps: true,
        ..LogParams::default()
    };
    let failed = |error: &kube::Error| {
        let namespace = pods.namespace().unwrap_or_default();
        ApiError::new(format!("get pods/log of pod {pod} in namespace {namespace:?}"), error)
    };
    let over = match pods.log_stream(&pod, &params).await {
        Ok(stream) => copy(stream, &lines).await.err().map(|error| failed(&kube::Error::ReadEvents(error))),
        Err(error) => Some(failed(&error)),
    };
    // The receiver is gone once the result is complete; nobody misses the rest.
    let _ = lines.send(LogEvent::Over(over)).await;
}

async fn copy(stream: impl AsyncBufRead, lines: &Sender<LogEvent>) -> std::io::Result<()> {
    let mut stream = std::pin::pin!(stream);
    let mut line = Vec::new();
    while next_line(&mut stream, &mut line).await? {
        let (when, text) = split(&line);
        if lines.send(LogEvent::Line(when, text)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads up to the next line end, keeping [`MAX_LINE`] bytes; false at the end of the stream.
async fn next_line<R: AsyncBufRead + Unpin>(stream: &mut R, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let buffer = stream.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let piece = &buffer[..end.unwrap_or(buffer.len())];
        let room = MAX_LINE.saturating_sub(line.len());
        line.extend_from_slice(&piece[..piece.len().min(room)]);
        let used = end.map_or(buffer.len(), |end| end + 1);
        stream.consume_unpin(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// Takes the time off that the kubelet puts before each line.
fn split(line: &[u8]) -> (Option<Timestamp>, String) {
    let text = String::from_utf8_lossy(line);
    match text.split_once(' ') {
        Some((when, rest)) => match when.parse() {
            Ok(when) => (Some(when), rest.to_owned()),
            Err(_) => (None, text.into_owned()),
        },
        None => (None, text.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(bytes: &[u8]) -> Vec<String> {
        let (send, mut receive) = tokio::sync::mpsc::channel(100);
        copy(bytes, &send).await.expect("memory");
        drop(send);
        let mut lines = Vec::new();
        while let Some(LogEvent::Line(_, text)) = receive.recv().await {
            lines.push(text);
        }
        lines
    }

    #[tokio::test]
    async fn times_are_taken_off_and_the_last_line_needs_no_end() {
        let log = b"2026-11-22T10:00:00.000000001Z one\nno time\n2026-11-22T10:00:01Z two";
        assert_eq!(lines(log).await, ["one", "no time", "two"]);
    }

    #[tokio::test]
    async fn a_line_without_end_takes_bounded_memory() {
        let log = vec![b'x'; 10 * MAX_LINE];
        assert_eq!(lines(&log).await.iter().map(String::len).collect::<Vec<_>>(), [MAX_LINE]);
    }
}
