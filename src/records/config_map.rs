//! Records as immutable ConfigMaps of a namespace: what a schedule finds, and what others want to see.
//!
//! ```text
//! clarity-record-ID          annotation: the header; the record
//! clarity-record-ID-part2    the rest of one that is too large for one object
//! ```
//!
//! The first object is created last, so a record is there whole or not at all. A list reads metadata only. What others have written
//! there is not to be trusted.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;

use super::form::{self, DamageError};
use super::{Header, KEPT, Listed, RecordError, Which, choose};
use crate::cluster::{ConfigMaps, KIND_LABEL, NAME, Owned, PART_BYTES, SCAN_LABEL, SCHEDULE_LABEL};
use crate::report::Report;

/// Value of [`KIND_LABEL`] of the first object of a record.
const KIND: &str = "record";
/// Value of [`KIND_LABEL`] of the others.
const KIND_PART: &str = "record-part";
/// How the name of the first object begins.
const PREFIX: &str = "clarity-record-";
/// Annotation with the header.
const HEADER: &str = "kubectl-clarity.io/record";
/// Annotation with the number of objects of a record.
const PARTS: &str = "kubectl-clarity.io/parts";
/// Key of the record.
const DATA: &str = "report.json.zst";
/// Most objects of one record.
const MAX_PARTS: usize = 16;
/// After this time nobody is still writing the first object of a record.
const ABANDONED: SignedDuration = SignedDuration::from_hours(1);

/// Records in the ConfigMaps of a namespace.
pub struct SharedRecords {
    maps: ConfigMaps,
    kept: usize,
}

/// What is seen of a record without its bytes.
struct Seen {
    header: Header,
    owned: Owned,
    parts: usize,
}

impl SharedRecords {
    /// The records of a namespace; of each schedule, and of all scans without one, the last [`KEPT`] are kept.
    #[must_use]
    pub fn new(client: &Client, namespace: &str) -> Self {
        Self { maps: ConfigMaps::new(client, namespace), kept: KEPT }
    }

    /// Keeps another number of records, one at least.
    #[must_use]
    pub fn keeping(self, kept: usize) -> Self {
        Self { kept: kept.max(1), ..self }
    }

    /// Where it is, in words.
    #[must_use]
    pub fn place(&self) -> String {
        format!("namespace {:?}", self.maps.namespace())
    }

    /// All records, the newest first, by what they say of themselves.
    ///
    /// # Errors
    /// The API server refused.
    pub async fn list(&self) -> Result<Vec<Listed>, RecordError> {
        let listed = self.maps.list(&format!("{KIND_LABEL}={KIND}")).await?;
        let mut all: Vec<Listed> = listed
            .iter()
            .map(|metadata| match read(metadata) {
                Ok(seen) => Listed::Record(Box::new(seen.header)),
                Err(why) => Listed::Damaged { file: metadata.name.clone().unwrap_or_default(), why },
            })
            .collect();
        all.sort_by_key(|listed| match listed {
            Listed::Record(header) => std::cmp::Reverse(header.file_name()),
            Listed::Damaged { file, .. } => std::cmp::Reverse(file.clone()),
        });
        Ok(all)
    }

    /// One record.
    ///
    /// # Errors
    /// There is none such, it is damaged, or the API server refused.
    pub async fn get(&self, which: &Which) -> Result<(Header, Report), RecordError> {
        self.get_of(which, |_| true).await
    }

    /// One of the records that a schedule has made.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn get_of_schedule(
        &self,
        which: &Which,
        schedule: &str,
    ) -> Result<(Header, Report), RecordError> {
        self.get_of(which, |header| header.schedule.as_deref() == Some(schedule)).await
    }

    async fn get_of(
        &self,
        which: &Which,
        is_meant: impl Fn(&Header) -> bool,
    ) -> Result<(Header, Report), RecordError> {
        let seen = self.see().await?;
        let meant: Vec<&Seen> = seen.iter().filter(|seen| is_meant(&seen.header)).collect();
        let place = self.place();
        let chosen = choose(which, &place, meant.into_iter().map(|seen| (seen, seen.header.id.as_str())))?;
        self.fetch(chosen).await
    }

    /// The record of the last scan of the same scope that began before another one.
    ///
    /// # Errors
    /// It is damaged, or the API server refused.
    pub async fn before(&self, header: &Header) -> Result<Option<(Header, Report)>, RecordError> {
        let seen = self.see().await?;
        let earlier = seen.iter().find(|seen| {
            seen.header.file_name() < header.file_name() && seen.header.is_of_the_scope_of(header)
        });
        match earlier {
            Some(seen) => Ok(Some(self.fetch(seen).await?)),
            None => Ok(None),
        }
    }

    /// Keeps a report, and removes the oldest of those that are too many.
    ///
    /// # Errors
    /// It is too large, or the API server refused.
    pub async fn put(&self, header: &Header, report: &Report) -> Result<(), RecordError> {
        let unkept = |source| RecordError::Keep { place: self.place(), source };
        let bytes = form::encode(header, report).map_err(unkept)?;
        let too_large = || unkept(std::io::Error::other("the report is too large for ConfigMaps"));
        let (first, parts) = objects(header, &bytes).ok_or_else(too_large)?;
        for part in &parts {
            self.maps.create(part).await?;
        }
        self.maps.create(&first).await?;
        self.evict(header).await
    }

    /// Removes what is too much of the same schedule, and what writers that were ended have left.
    async fn evict(&self, header: &Header) -> Result<(), RecordError> {
        let seen = self.see().await?;
        let alike = seen.iter().filter(|seen| seen.header.schedule == header.schedule);
        for seen in alike.skip(self.kept) {
            self.maps.delete_all(&seen.owned).await?;
            // Parts go after what makes the record be there.
            self.maps.delete_all(&Owned { objects: self.parts_of(&seen.header.id).await? }).await?;
        }
        let parts = self.maps.list(&format!("{KIND_LABEL}={KIND_PART}")).await?;
        let now = Timestamp::now();
        let is_old = |part: &ObjectMeta| {
            part.creation_timestamp.as_ref().is_some_and(|time| now.duration_since(time.0) > ABANDONED)
        };
        let ids: Vec<&str> = seen.iter().map(|seen| seen.header.id.as_str()).collect();
        let id_of = |part: &ObjectMeta| part.labels.as_ref().and_then(|labels| labels.get(SCAN_LABEL).cloned());
        let orphans = parts.iter().filter(|part| is_old(part));
        for part in orphans.filter(|part| id_of(part).is_none_or(|id| !ids.contains(&id.as_str()))) {
            self.maps.delete_all(&Owned::of(part)).await?;
        }
        Ok(())
    }

    async fn parts_of(&self, id: &str) -> Result<Vec<(String, String)>, RecordError> {
        let parts = self.maps.list(&format!("{KIND_LABEL}={KIND_PART},{SCAN_LABEL}={id}")).await?;
        Ok(parts.iter().flat_map(|part| Owned::of(part).objects).collect())
    }

    /// What is there and says what it is, the newest first.
    async fn see(&self) -> Result<Vec<Seen>, RecordError> {
        let listed = self.maps.list(&format!("{KIND_LABEL}={KIND}")).await?;
        let mut seen: Vec<Seen> = listed.iter().filter_map(|metadata| read(metadata).ok()).collect();
        seen.sort_by_key(|seen| std::cmp::Reverse(seen.header.file_name()));
        Ok(seen)
    }

    async fn fetch(&self, seen: &Seen) -> Result<(Header, Report), RecordError> {
        let name = seen.owned.name().unwrap_or_default().to_owned();
        let place = format!("{} in {}", name, self.place());
        let damaged = |source| RecordError::Damaged { place: place.clone(), source };
        let mut bytes = Vec::new();
        for number in 1..=seen.parts {
            let object = self.maps.get(&object_name(&seen.header.id, number)).await?;
            let data = object.and_then(|object| object.binary_data?.remove(DATA));
            bytes.extend(data.ok_or(DamageError::NoRecord).map_err(damaged)?.0);
        }
        let (header, report) = form::decode(&bytes).map_err(damaged)?;
        if header.id == seen.header.id {
            Ok((header, report))
        } else {
            Err(damaged(DamageError::Contradiction))
        }
    }
}

fn object_name(id: &str, number: usize) -> String {
    if number == 1 { format!("{PREFIX}{id}") } else { format!("{PREFIX}{id}-part{number}") }
}

/// The objects of a record: what makes it be there, and the rest. None if it is too large.
fn objects(header: &Header, bytes: &[u8]) -> Option<(ConfigMap, Vec<ConfigMap>)> {
    let count = bytes.len().div_ceil(PART_BYTES).max(1);
    if count > MAX_PARTS {
        return None;
    }
    let head = serde_json::to_string(header).ok()?;
    let annotations = BTreeMap::from([(HEADER.to_owned(), head), (PARTS.to_owned(), count.to_string())]);
    let mut chunks = (1..).zip(bytes.chunks(PART_BYTES));
    let (_, chunk) = chunks.next()?;
    let first = object(header, 1, Some(annotations), chunk);
    Some((first, chunks.map(|(number, chunk)| object(header, number, None, chunk)).collect()))
}

fn object(
    header: &Header,
    number: usize,
    annotations: Option<BTreeMap<String, String>>,
    bytes: &[u8],
) -> ConfigMap {
    let kind = if number == 1 { KIND } else { KIND_PART };
    let mut labels: BTreeMap<String, String> = [
        ("app.kubernetes.io/name", NAME),
        ("app.kubernetes.io/managed-by", NAME),
        (KIND_LABEL, kind),
        (SCAN_LABEL, &header.id),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    labels.extend(header.schedule.iter().map(|name| (SCHEDULE_LABEL.to_owned(), name.clone())));
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(object_name(&header.id, number)),
            labels: Some(labels),
            annotations,
            ..ObjectMeta::default()
        },
        binary_data: Some(BTreeMap::from([(DATA.to_owned(), ByteString(bytes.to_vec()))])),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

/// What the first object of a record says.
fn read(metadata: &ObjectMeta) -> Result<Seen, DamageError> {
    let empty = BTreeMap::new();
    let annotations: &BTreeMap<_, _> = metadata.annotations.as_ref().unwrap_or(&empty);
    let header = annotations.get(HEADER).ok_or(DamageError::NoRecord)?;
    let header = form::parse_header(header.as_bytes())?;
    let parts = annotations.get(PARTS).and_then(|parts| parts.parse().ok());
    let parts = parts.filter(|parts| (1..=MAX_PARTS).contains(parts)).ok_or(DamageError::NoRecord)?;
    if metadata.name.as_deref() != Some(object_name(&header.id, 1).as_str()) {
        return Err(DamageError::Contradiction);
    }
    Ok(Seen { header, owned: Owned::of(metadata), parts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::{header, report};

    fn record(padding: usize) -> (Header, Vec<u8>) {
        let mut report = report("7f3a", "2026-01-02T03:04:05Z", "-n shop");
        // What does not compress.
        let mut state = 1_u64;
        let noise = (0..padding).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + u8::try_from(state >> 58).expect("six bits"))
        });
        report.notes.push(noise.collect());
        let header = Header { schedule: Some("nightly".into()), ..header(&report) };
        let bytes = form::encode(&header, &report).expect("encoded");
        (header, bytes)
    }

    #[test]
    fn a_large_record_is_split_and_put_together_in_order() {
        let (header, bytes) = record(3 * PART_BYTES);
        let (first, parts) = objects(&header, &bytes).expect("it has room");
        assert!(parts.len() >= 2, "{}", parts.len());
        let seen = read(&first.metadata).expect("it is one");
        assert_eq!(seen.parts, parts.len() + 1);
        assert_eq!(seen.header, header);
        let all = std::iter::once(&first).chain(&parts);
        let together: Vec<u8> =
            all.flat_map(|part| part.binary_data.as_ref().expect("data")[DATA].0.clone()).collect();
        assert_eq!(together, bytes);
        let names: Vec<_> = parts.iter().map(|part| part.metadata.name.clone().expect("a name")).collect();
        assert_eq!(names[0], "clarity-record-7f3a-part2");
        let label = |part: &ConfigMap| part.metadata.labels.as_ref().expect("labels")[SCHEDULE_LABEL].clone();
        assert_eq!(label(&parts[0]), "nightly");
    }

    #[test]
    fn a_record_that_is_named_otherwise_or_says_too_much_of_itself_is_damaged() {
        let (header, bytes) = record(0);
        let (first, _) = objects(&header, &bytes).expect("it has room");
        let changed = |change: &dyn Fn(&mut ObjectMeta)| {
            let mut metadata = first.metadata.clone();
            change(&mut metadata);
            read(&metadata).err().map(|error| error.to_string())
        };
        assert_eq!(changed(&|_| {}), None);
        let annotate = |key: &'static str, value: &'static str| {
            move |metadata: &mut ObjectMeta| {
                metadata.annotations.as_mut().expect("some").insert(key.into(), value.into());
            }
        };
        let renamed = changed(&|metadata| metadata.name = Some("clarity-record-other".into()));
        assert_eq!(renamed.as_deref(), Some("its header is that of another report"));
        for parts in ["0", "17", "-1", "many"] {
            assert!(changed(&annotate(PARTS, parts)).is_some(), "{parts}");
        }
        assert!(changed(&annotate(HEADER, "{}")).is_some());
        assert!(changed(&|metadata| metadata.annotations = None).is_some());
    }
}
