//! The end of the line that has the volume: it runs in a pod, and answers out of a folder until nobody asks any more.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader};
use tokio::time::timeout;

use super::super::{CacheError, Entry, Found, LocalStore, Store as _, form, in_words};
use super::frame::{self, Frame, FrameError};
use super::message::{Answer, Ask, MAX_KEYS, MAX_LISTED, PROTOCOL, Question, Reply};
use crate::image::ImageKey;

/// How often it is said that something still goes on.
const BEAT: Duration = Duration::from_secs(5);
/// Longest time for one question to arrive.
const ARRIVAL: Duration = Duration::from_mins(10);

/// The line is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It does not carry frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A question is none of those that are known.
    #[error("a question is not understood")]
    Form(#[from] serde_json::Error),
    /// A question did not arrive whole in time.
    #[error("a question did not arrive whole in time")]
    Slow,
}

/// Answers questions about the entries of a folder until the line ends or nothing was asked for so long.
pub async fn serve(
    line: impl AsyncRead + Unpin,
    mut out: impl AsyncWrite + Unpin,
    store: &LocalStore,
    idle: Duration,
) -> Result<(), ServeError> {
    let mut line = BufReader::new(line);
    let mut is_greeted = false;
    loop {
        match timeout(idle, line.fill_buf()).await {
            // Who comes late starts another pod.
            Err(_) => return Ok(()),
            Ok(begun) => begun.map_err(FrameError::from)?,
        };
        let frame = timeout(ARRIVAL, frame::read(&mut line)).await.map_err(|_| ServeError::Slow)??;
        let Some(Frame { header, body }) = frame else { return Ok(()) };
        let Question { id, ask } = serde_json::from_slice(&header)?;
        let mut desk = Desk { out: &mut out, id };
        let refusal = match &ask {
            Ask::Hello { protocol } if *protocol == PROTOCOL => None,
            Ask::Hello { protocol } => {
                Some(format!("it speaks version {PROTOCOL} of the protocol, and not {protocol}"))
            }
            _ if !is_greeted => Some("it was not greeted".to_owned()),
            Ask::Get { keys } | Ask::Touch { keys } if keys.len() > MAX_KEYS => {
                Some("it was asked for too much at once".to_owned())
            }
            _ => None,
        };
        if let Some(why) = refusal {
            desk.say(&Answer::Failed { why }, &[]).await?;
            continue;
        }
        is_greeted = true;
        let last = match desk.answer(ask, &body, store).await? {
            Ok(count) => Answer::Done { count },
            Err(error) => Answer::Failed { why: error.in_words() },
        };
        desk.say(&last, &[]).await?;
    }
}

/// Where one question is answered.
struct Desk<'a, W> {
    out: &'a mut W,
    id: u64,
}

impl<W: AsyncWrite + Unpin> Desk<'_, W> {
    async fn say(&mut self, answer: &Answer, body: &[u8]) -> Result<(), ServeError> {
        let header = serde_json::to_vec(&Reply { id: self.id, answer: answer.clone() })?;
        Ok(frame::write(self.out, &header, body).await?)
    }

    /// Waits for something, and says meanwhile that it still goes on.
    async fn wait<T>(&mut self, work: impl Future<Output = T>) -> Result<T, ServeError> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(BEAT) => self.say(&Answer::Working, &[]).await?,
            }
        }
    }

    /// Says everything but the last answer; gives the number that is asked for, or why it cannot be done.
    async fn answer(
        &mut self,
        ask: Ask,
        body: &[u8],
        store: &LocalStore,
    ) -> Result<Result<u64, CacheError>, ServeError> {
        let done = match ask {
            Ask::Hello { .. } => Ok(0),
            Ask::List => match self.wait(store.list()).await? {
                Err(error) => Err(error),
                Ok(abouts) => {
                    for about in abouts.into_iter().take(MAX_LISTED) {
                        // What says too much of itself was not written by us.
                        let Ok(header) = form::header(&about) else { continue };
                        self.say(&Answer::Entry { key: about.key, header }, &[]).await?;
                    }
                    Ok(0)
                }
            },
            Ask::Get { keys } => return self.get(keys, store).await,
            Ask::Put { key, header } => match taken(&key, &header, body) {
                Err(why) => {
                    self.say(&Answer::Damaged { key, why }, &[]).await?;
                    Ok(0)
                }
                Ok(entry) => self.wait(store.put(&entry)).await?.map(|()| 0),
            },
            Ask::Touch { keys } => self.wait(store.touch(&keys)).await?.map(|()| 0),
            Ask::Remove { key } => self.wait(store.remove(&key)).await?.map(|()| 0),
            Ask::Sweep => self.wait(store.sweep()).await?.map(|count| count as u64),
            Ask::Verify => match self.wait(store.verify()).await? {
                Err(error) => Err(error),
                Ok(verified) => {
                    for damage in verified.damaged {
                        self.say(&Answer::Damage { name: damage.name, why: damage.why }, &[]).await?;
                    }
                    Ok(verified.whole as u64)
                }
            },
        };
        Ok(done)
    }

    /// One entry after the other: a pod has no memory for many large ones.
    async fn get(
        &mut self,
        keys: Vec<ImageKey>,
        store: &LocalStore,
    ) -> Result<Result<u64, CacheError>, ServeError> {
        for key in keys {
            let found = match self.wait(store.get(std::slice::from_ref(&key))).await? {
                Ok(found) => found,
                Err(error) => return Ok(Err(error)),
            };
            for found in found {
                match found {
                    Found::Damaged(key, why) => self.say(&Answer::Damaged { key, why }, &[]).await?,
                    Found::Whole(entry) => match form::pack(&entry) {
                        Ok(packed) => {
                            let answer = Answer::Entry { key: key.clone(), header: packed.header };
                            self.say(&answer, &packed.document).await?;
                        }
                        Err(error) => {
                            let why = error.to_string();
                            self.say(&Answer::Damaged { key: key.clone(), why }, &[]).await?;
                        }
                    },
                }
            }
        }
        Ok(Ok(0))
    }
}

/// What is to be kept, if it is what it says.
fn taken(key: &ImageKey, header: &str, body: &[u8]) -> Result<Entry, String> {
    let entry = || {
        let name = form::name(key)?;
        let about = form::read_header(header.as_bytes(), &name)?;
        let document = form::unpack(&about, body)?;
        Ok(Entry { about, document })
    };
    entry().map_err(|error: form::FormError| in_words(&error))
}
