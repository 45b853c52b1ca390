//! One line, as long as it holds: questions and their answers.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Line;
use super::frame::{self, Frame, FrameError};
use super::message::{Answer, Ask, PROTOCOL, Question, Reply, cleaned};

/// How long the next answer may take; who works on one says so more often.
const ANSWER: Duration = Duration::from_mins(1);
/// How long one question may take in all, with what is sent and said on the way.
const QUESTION: Duration = Duration::from_mins(30);
/// How long the pod waits for the next question before it ends.
pub const IDLE: Duration = Duration::from_mins(2);
/// After this time without a question the pod is taken for gone.
const FRESH: Duration = Duration::from_secs(100);

/// A question was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The pod says that it cannot be done. The line is as good as before.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the cache pod has ended")]
    Over,
    #[error("the cache pod does not answer any more")]
    Silent,
    #[error("an answer of the cache pod is not understood")]
    Form(#[from] serde_json::Error),
    #[error("the cache pod answers what it was not asked")]
    Unasked,
    #[error("the cache pod has more than a cache may have")]
    TooMuch,
}

/// A line with a pod that has been greeted.
pub(super) struct Session {
    line: Line,
    id: u64,
    /// When the pod spoke last.
    pub(super) last: Instant,
}

impl Session {
    /// Greets the pod.
    pub(super) async fn begin(line: Line) -> Result<Self, LineError> {
        let mut session = Self { line, id: 0, last: Instant::now() };
        session.ask(&Ask::Hello { protocol: PROTOCOL }, &[], |_, _| Err(LineError::Unasked)).await?;
        Ok(session)
    }

    /// Whether the pod still waits for a question.
    pub(super) fn is_fresh(&self) -> bool {
        self.last.elapsed() < FRESH
    }

    /// Asks and takes in all answers but the last; gives its number.
    pub(super) async fn ask(
        &mut self,
        ask: &Ask,
        body: &[u8],
        take: impl FnMut(Answer, Vec<u8>) -> Result<(), LineError>,
    ) -> Result<u64, LineError> {
        timeout(QUESTION, self.ask_in_time(ask, body, take)).await.map_err(|_| LineError::Silent)?
    }

    async fn ask_in_time(
        &mut self,
        ask: &Ask,
        body: &[u8],
        mut take: impl FnMut(Answer, Vec<u8>) -> Result<(), LineError>,
    ) -> Result<u64, LineError> {
        self.id += 1;
        let header = serde_json::to_vec(&Question { id: self.id, ask: ask.clone() })?;
        frame::write(&mut self.line.to, &header, body).await?;
        let mut refused = None;
        loop {
            let read = timeout(ANSWER, frame::read(&mut self.line.from)).await;
            let frame = read.map_err(|_| LineError::Silent)??;
            let Frame { header, body } = frame.ok_or(LineError::Over)?;
            let Reply { id, answer } = serde_json::from_slice(&header)?;
            if id != self.id {
                return Err(LineError::Unasked);
            }
            self.last = Instant::now();
            match answer {
                Answer::Working => {}
                Answer::Failed { why } => return Err(LineError::Refused(cleaned(&why))),
                Answer::Done { count } => return refused.map_or(Ok(count), Err),
                // Its last answer is still to come.
                other => match take(other, body) {
                    Err(LineError::Refused(why)) => refused = Some(LineError::Refused(why)),
                    taken => taken?,
                },
            }
        }
    }
}
