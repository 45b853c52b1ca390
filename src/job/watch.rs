//! Watches of the API that go on after errors, and what their events mean for the one object that is ours.

use futures::stream::{BoxStream, StreamExt as _};
use k8s_openapi::api::core::v1::Event as ApiEvent;
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};

use crate::cluster::ApiError;

pub(super) type Watch<K> = BoxStream<'static, watcher::Result<watcher::Event<K>>>;

/// What a watch says about the one object that it is for.
pub(super) enum Change<K> {
    /// It is there, and is so.
    Is(K),
    /// It is gone, as it was last or unseen while the watch was down.
    Gone(Option<K>),
    /// Nothing about it.
    Nothing,
}

/// A watch that goes on after errors, waiting longer each time.
pub(super) fn watch<K>(api: Api<K>, config: watcher::Config) -> Watch<K>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    watcher(api, config).default_backoff().boxed()
}

/// What is said of the object with this UID. Ends where the right to watch events is missing.
pub(super) fn events_of(events: Api<ApiEvent>, namespace: &str, uid: &str) -> Watch<ApiEvent> {
    let config = watcher::Config::default().fields(&format!("involvedObject.uid={uid}"));
    let namespace = namespace.to_owned();
    let may_go_on = move |event: &watcher::Result<watcher::Event<ApiEvent>>| {
        let refused = event.as_ref().err().and_then(|error| missing_right(error, "events", &namespace));
        std::future::ready(refused.is_none())
    };
    watch(events, config).take_while(may_go_on).boxed()
}

/// What an event of a watch means for the one object that is ours. A watch that starts anew sends no deletions, only
/// a list; `listed` remembers whether ours was on it.
pub(super) fn sift<K>(event: watcher::Event<K>, listed: &mut bool, ours: impl Fn(&K) -> bool) -> Change<K> {
    match event {
        watcher::Event::Init => {
            *listed = false;
            Change::Nothing
        }
        watcher::Event::Apply(object) | watcher::Event::InitApply(object) if ours(&object) => {
            *listed = true;
            Change::Is(object)
        }
        watcher::Event::Delete(object) if ours(&object) => Change::Gone(Some(object)),
        watcher::Event::InitDone if !*listed => Change::Gone(None),
        _ => Change::Nothing,
    }
}

pub(super) fn applied<K>(event: watcher::Event<K>) -> Option<K> {
    match event {
        watcher::Event::Apply(object) | watcher::Event::InitApply(object) => Some(object),
        watcher::Event::Delete(_) | watcher::Event::Init | watcher::Event::InitDone => None,
    }
}

/// An error of a watch that trying again does not mend.
pub(super) fn missing_right(error: &watcher::Error, resource: &str, namespace: &str) -> Option<ApiError> {
    let (verb, cause) = match error {
        watcher::Error::InitialListFailed(cause) => ("list", cause),
        watcher::Error::WatchStartFailed(cause) => ("watch", cause),
        _ => return None,
    };
    let error = ApiError::new(format!("{verb} {resource} in namespace {namespace:?}"), cause);
    error.is_missing_right().then_some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(events: impl IntoIterator<Item = watcher::Event<&'static str>>) -> Vec<&'static str> {
        let mut listed = false;
        let mut told = |event| match sift(event, &mut listed, |object| *object == "ours") {
            Change::Is(_) => "is",
            Change::Gone(_) => "gone",
            Change::Nothing => "-",
        };
        events.into_iter().map(&mut told).collect()
    }

    #[test]
    fn what_is_missing_from_a_new_list_is_gone() {
        use watcher::Event::{Apply, Init, InitApply, InitDone};
        assert_eq!(changes([Init, InitApply("ours"), InitDone, Apply("other")]), ["-", "is", "-", "-"]);
        assert_eq!(
            changes([Init, InitApply("ours"), InitDone, Init, InitApply("other"), InitDone]).last(),
            Some(&"gone")
        );
    }

    #[test]
    fn only_the_deletion_of_ours_counts() {
        use watcher::Event::Delete;
        assert_eq!(changes([Delete("other"), Delete("ours")]), ["-", "gone"]);
    }
}
