//! A folder on a volume of the cluster, behind a pod that has it mounted.
//!
//! ```text
//! VolumeStore -- frames over a Line --> serve -- LocalStore --> FOLDER of the volume
//! ```
//!
//! The pod is started when the first question is asked and not before. It is one of several that may have the volume at the same
//! time, which the folder allows. Neither end believes the other: the pod unpacks and checks what it is to keep, and this end
//! does the same with everything that it is given.

mod frame;
mod message;
mod serve;
mod session;

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Mutex as SyncMutex, PoisonError};

use futures::future::{BoxFuture, FutureExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;

use super::form::{self, FormError};
use super::{About, CacheError, Damage, Entry, Found, Store, Verified, in_words};
use crate::image::ImageKey;
use message::{Answer, Ask, MAX_KEYS, MAX_LISTED, cleaned};
use session::{LineError, Session};

pub use frame::FrameError;
pub use serve::{ServeError, serve};
pub use session::IDLE;

/// How often a question is asked: a pod may be taken away, and then another one has the same volume.
const TRIES: u32 = 2;

/// A line to what serves the volume. It ends when this is dropped.
pub struct Line {
    /// What comes from there.
    pub from: Box<dyn AsyncRead + Send + Sync + Unpin>,
    /// What goes there.
    pub to: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    /// What keeps it up.
    pub keep: Box<dyn Send + Sync>,
}

/// The result of opening a way.
pub type Opening<'a> = BoxFuture<'a, Result<Line, CacheError>>;

/// A way to a volume.
pub trait Way: Send + Sync {
    /// What the volume is called to people: `claim cache in namespace shop`.
    fn name(&self) -> String;

    /// Starts what serves it.
    fn open(&self) -> Opening<'_>;

    /// Ends all that `open` has started, also where that was given up in between; gives what a person should know.
    fn close(&self) -> BoxFuture<'_, Option<String>>;
}

/// Entries on a volume.
pub struct VolumeStore {
    way: Box<dyn Way>,
    state: Mutex<State>,
    /// Used while there was no line. A pod only to say so would cost more than that is worth.
    used: SyncMutex<BTreeSet<ImageKey>>,
}

/// What has become of the way.
#[derive(Default)]
struct State {
    session: Option<Session>,
    /// No way leads there; why.
    closed: Option<String>,
}

impl VolumeStore {
    /// The entries of the volume at the end of this way.
    #[must_use]
    pub fn new(way: Box<dyn Way>) -> Self {
        Self { way, state: Mutex::default(), used: SyncMutex::default() }
    }

    /// Asks one question; `take` gets what is answered, into a value that begins anew if the line breaks. The number in the end.
    async fn ask<T: Default>(
        &self,
        ask: Ask,
        body: &[u8],
        take: impl Fn(&mut T, Answer, Vec<u8>) -> Result<(), LineError>,
    ) -> Result<(T, u64), CacheError> {
        // Whoever waits here sees what became of the line.
        let mut state = self.state.lock().await;
        let is_write = matches!(ask, Ask::Put { .. } | Ask::Touch { .. } | Ask::Remove { .. } | Ask::Sweep);
        let mut broken = None;
        for _ in 0..TRIES {
            let mut session = match state.session.take().filter(Session::is_fresh) {
                Some(session) => session,
                None => self.open(&mut state).await?,
            };
            let mut given = T::default();
            // A session that is given up within a question, as by Ctrl-C, is not taken up again.
            match session.ask(&ask, body, |answer, body| take(&mut given, answer, body)).await {
                Ok(count) => {
                    state.session = Some(session);
                    return Ok((given, count));
                }
                Err(LineError::Refused(why)) => {
                    state.session = Some(session);
                    return Err(self.failed(is_write, why.into()));
                }
                Err(error) => {
                    drop(session);
                    // One that was taken away needs no words.
                    let _ = self.way.close().await;
                    broken = Some(error);
                }
            }
        }
        let why = broken.map_or_else(|| "nobody answers".into(), |error| Box::new(error) as Box<_>);
        Err(self.failed(is_write, why))
    }

    /// Asks what is answered by a number at most.
    async fn tell(&self, ask: Ask) -> Result<u64, CacheError> {
        Ok(self.ask(ask, &[], |(): &mut (), _, _| Err(LineError::Unasked)).await?.1)
    }

    /// A session with a new pod.
    async fn open(&self, state: &mut State) -> Result<Session, CacheError> {
        let closed = |source| CacheError::Open { place: self.way.name(), source };
        if let Some(why) = &state.closed {
            return Err(closed(why.clone().into()));
        }
        // One that was idle for too long may still be there.
        let _ = self.way.close().await;
        let opened = match self.way.open().await {
            Ok(line) => Session::begin(line).await.map_err(|error| closed(Box::new(error))),
            Err(error) => Err(error),
        };
        let mut session = match opened {
            Ok(session) => session,
            Err(error) => {
                state.closed = Some(error.in_words());
                let _ = self.way.close().await;
                return Err(error);
            }
        };
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        for keys in chunks(used.into_iter().collect()) {
            // Where it cannot be written, that is said of what is to be kept there.
            match session.ask(&Ask::Touch { keys }, &[], |_, _| Ok(())).await {
                Ok(_) | Err(LineError::Refused(_)) => {}
                Err(error) => return Err(closed(Box::new(error))),
            }
        }
        Ok(session)
    }

    fn failed(&self, is_write: bool, source: Box<dyn Error + Send + Sync>) -> CacheError {
        let place = self.way.name();
        if is_write { CacheError::Write { place, source } } else { CacheError::Read { place, source } }
    }

    fn unwritten(&self, error: FormError) -> CacheError {
        self.failed(true, error.into())
    }
}

/// Keys by so many as one question may name.
fn chunks(keys: Vec<ImageKey>) -> impl Iterator<Item = Vec<ImageKey>> {
    let mut rest = keys.into_iter().peekable();
    std::iter::from_fn(move || {
        rest.peek()?;
        Some(rest.by_ref().take(MAX_KEYS).collect())
    })
}

/// What the pod says of an entry, which must be of this key.
fn read_about(key: &ImageKey, header: &str) -> Result<About, FormError> {
    form::read_header(header.as_bytes(), &form::name(key)?)
}

/// What the pod gave under a key.
fn read_entry(key: ImageKey, header: &str, packed: &[u8]) -> Found {
    let entry = read_about(&key, header).and_then(|about| {
        let document = form::unpack(&about, packed)?;
        Ok(Entry { about, document })
    });
    match entry {
        Ok(entry) => Found::Whole(Box::new(entry)),
        Err(error) => Found::Damaged(key, in_words(&error)),
    }
}

impl Store for VolumeStore {
    fn name(&self) -> String {
        self.way.name()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<About>, CacheError>> {
        let take = |abouts: &mut Vec<About>, answer, _| match answer {
            Answer::Entry { .. } if abouts.len() >= MAX_LISTED => Err(LineError::TooMuch),
            Answer::Entry { key, header } => {
                // One that is not what it says is met again when it is asked for.
                abouts.extend(read_about(&key, &header));
                Ok(())
            }
            _ => Err(LineError::Unasked),
        };
        async move { Ok(self.ask(Ask::List, &[], take).await?.0) }.boxed()
    }

    fn get<'a>(&'a self, keys: &'a [ImageKey]) -> BoxFuture<'a, Result<Vec<Found>, CacheError>> {
        async move {
            let mut all = Vec::new();
            // What has no name was never stored.
            let named: BTreeSet<&ImageKey> = keys.iter().filter(|key| form::name(key).is_ok()).collect();
            for keys in chunks(named.into_iter().cloned().collect()) {
                let asked: BTreeSet<ImageKey> = keys.iter().cloned().collect();
                let take = |given: &mut (BTreeSet<ImageKey>, Vec<Found>), answer, body: Vec<u8>| {
                    let (key, found) = match answer {
                        Answer::Entry { key, header } => (key.clone(), read_entry(key, &header, &body)),
                        Answer::Damaged { key, why } => (key.clone(), Found::Damaged(key, cleaned(&why))),
                        _ => return Err(LineError::Unasked),
                    };
                    if !asked.contains(&key) || !given.0.insert(key) {
                        return Err(LineError::Unasked);
                    }
                    given.1.push(found);
                    Ok(())
                };
                all.extend(self.ask(Ask::Get { keys }, &[], take).await?.0.1);
            }
            Ok(all)
        }
        .boxed()
    }

    fn put<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<(), CacheError>> {
        async move {
            let packed = form::pack(entry).map_err(|error| self.unwritten(error))?;
            let key = entry.about.key.clone();
            form::name(&key).map_err(|error| self.unwritten(error))?;
            let take = |(): &mut (), answer, _| match answer {
                Answer::Damaged { why, .. } => Err(LineError::Refused(cleaned(&why))),
                _ => Err(LineError::Unasked),
            };
            self.ask(Ask::Put { key, header: packed.header }, &packed.document, take).await?;
            Ok(())
        }
        .boxed()
    }

    fn touch<'a>(&'a self, keys: &'a [ImageKey]) -> BoxFuture<'a, Result<(), CacheError>> {
        async move {
            if self.state.lock().await.session.as_ref().is_none_or(|session| !session.is_fresh()) {
                let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
                used.extend(keys.iter().cloned());
                return Ok(());
            }
            for keys in chunks(keys.to_vec()) {
                self.tell(Ask::Touch { keys }).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn remove<'a>(&'a self, key: &'a ImageKey) -> BoxFuture<'a, Result<(), CacheError>> {
        let ask = Ask::Remove { key: key.clone() };
        async move { self.tell(ask).await.map(|_| ()) }.boxed()
    }

    fn verify(&self) -> BoxFuture<'_, Result<Verified, CacheError>> {
        let take = |damaged: &mut Vec<Damage>, answer, _| match answer {
            Answer::Damage { .. } if damaged.len() >= MAX_LISTED => Err(LineError::TooMuch),
            Answer::Damage { name, why } => {
                damaged.push(Damage { name: cleaned(&name), why: cleaned(&why) });
                Ok(())
            }
            _ => Err(LineError::Unasked),
        };
        async move {
            let (mut damaged, whole) = self.ask(Ask::Verify, &[], take).await?;
            damaged.sort_by(|one: &Damage, other| one.name.cmp(&other.name));
            Ok(Verified { whole: usize::try_from(whole).unwrap_or(usize::MAX), damaged })
        }
        .boxed()
    }

    fn sweep(&self) -> BoxFuture<'_, Result<usize, CacheError>> {
        async move {
            let count = self.tell(Ask::Sweep).await?;
            Ok(usize::try_from(count).unwrap_or(usize::MAX))
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, Option<String>> {
        async move {
            drop(self.state.lock().await.session.take());
            self.way.close().await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
