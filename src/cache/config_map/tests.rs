use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use proptest::prelude::*;

use super::object::digest_label;
use super::*;
use crate::cache::tests::{entry, key, remade};
use crate::cluster::{KIND_LABEL, PART_BYTES};
use crate::image::Digest;

/// An entry whose document does not become smaller by packing.
fn large(number: u32, bytes: usize) -> Entry {
    let mut entry = entry(number, "linux/amd64");
    let mut state = number;
    entry.document = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(bytes)
    .collect();
    entry.about.document = Digest::of(&entry.document);
    entry
}

/// What the API server would tell of an entry.
fn listed(entry: &Entry) -> Vec<ObjectMeta> {
    let Objects { first, parts, .. } = Objects::of(entry).expect("objects");
    let stored = |object: ConfigMap| {
        let uid = object.metadata.name.as_ref().map(|name| format!("uid of {name}"));
        ObjectMeta { uid, creation_timestamp: Some(Time(Timestamp::now())), ..object.metadata }
    };
    std::iter::once(first).chain(parts).map(stored).collect()
}

fn used_before(number: u32, hours: i64) -> Entry {
    let mut entry = entry(number, "linux/amd64");
    entry.about.used = Timestamp::now() - SignedDuration::from_hours(hours);
    entry
}

fn names(owned: &[Owned]) -> Vec<&str> {
    owned.iter().filter_map(Owned::name).collect()
}

fn name(number: u32) -> String {
    Objects::of(&entry(number, "linux/amd64")).expect("objects").name
}

#[test]
fn an_entry_is_an_immutable_object_that_says_what_it_is() {
    let entry = entry(1, "linux/arm64/v8");
    let objects = Objects::of(&entry).expect("objects");
    assert_eq!(objects.parts.len(), 0);
    assert_eq!(objects.first.immutable, Some(true));
    assert!(objects.first.data.is_none());
    let metadata = &objects.first.metadata;
    let hex = entry.about.key.digest.hex();
    assert_eq!(metadata.name.as_deref(), Some(&*format!("clarity-sbom-{hex}-linux-arm64-v8")));
    let labels = metadata.labels.as_ref().expect("labels");
    for (label, value) in [
        ("app.kubernetes.io/name", "kubectl-clarity"),
        ("app.kubernetes.io/managed-by", "kubectl-clarity"),
        ("kubectl-clarity.io/kind", "sbom"),
        ("kubectl-clarity.io/digest", &hex[..63]),
    ] {
        assert_eq!(labels[label], value);
    }
    let data = &objects.first.binary_data.as_ref().expect("data")["sbom.json.zst"].0;
    assert_eq!(zstd::decode_all(&data[..]).expect("zstd"), entry.document, "for everybody who has zstd");
    let head = read_head(metadata, &objects.name).expect("read");
    let expected = About { stored: data.len() as u64, ..entry.about };
    assert_eq!((head.parts, head.about), (1, expected));
}

#[test]
fn a_large_document_is_split_and_comes_together_again() {
    let entry = large(1, 2 * PART_BYTES + 10);
    let objects = Objects::of(&entry).expect("objects");
    assert_eq!(objects.parts.len(), 2);
    let metadata = objects.first.metadata.clone();
    let annotations = metadata.annotations.as_ref().expect("annotations");
    assert_eq!(annotations["kubectl-clarity.io/parts"], "3");
    assert_eq!(annotations["kubectl-clarity.io/document"], entry.about.document.as_str());
    let head = read_head(&metadata, &objects.name).expect("read");
    for (part, number) in objects.parts.iter().zip(2..) {
        assert_eq!(part.metadata.name, Some(part_name(&objects.name, number, &entry.about.document)));
        assert_eq!(part.metadata.labels.as_ref().expect("labels")[KIND_LABEL], "sbom-part");
        assert!(object::is_part_of(&part.metadata, &objects.name));
        assert!(!object::is_part_of(&part.metadata, &format!("{}-v8", objects.name)));
    }
    let all = std::iter::once(objects.first).chain(objects.parts).collect();
    let packed = assemble(all, head.about.stored).expect("assembled");
    assert_eq!(form::unpack(&head.about, &packed).expect("unpacked"), entry.document);
}

#[test]
fn the_longest_names_are_names_that_kubernetes_takes() {
    let mut entry = large(1, 15 * PART_BYTES);
    let long = "a".repeat(32);
    entry.about.key = key(1, &format!("{long}/{long}/{long}"));
    let objects = Objects::of(&entry).expect("objects");
    let longest = objects.parts.last().and_then(|part| part.metadata.name.clone()).expect("a name");
    assert!(longest.len() <= 253, "{}", longest.len());
    assert!(longest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
    assert_eq!(digest_label(&entry.about.key.digest).len(), 63);
    assert!(Objects::of(&large(1, 16 * PART_BYTES)).is_err(), "more than that is not kept here");
}

#[test]
fn what_does_not_say_what_it_is_is_refused_in_words() {
    let good = listed(&entry(1, "linux/amd64")).remove(0);
    let name = good.name.clone().expect("a name");
    let changed = |key: &str, value: Option<&str>| {
        let mut metadata = good.clone();
        let annotations = metadata.annotations.as_mut().expect("annotations");
        match value {
            Some(value) => annotations.insert(key.to_owned(), value.to_owned()),
            None => annotations.remove(key),
        };
        read_head(&metadata, &name).err()
    };
    for (annotation, value, why) in [
        ("kubectl-clarity.io/about", None, "it has no annotation kubectl-clarity.io/about"),
        ("kubectl-clarity.io/about", Some("{}"), "what it says of itself cannot be read"),
        ("kubectl-clarity.io/about", Some(&*" ".repeat(17 << 10)), "it says too much of itself"),
        ("kubectl-clarity.io/parts", Some("2"), "the number of its parts"),
        ("kubectl-clarity.io/parts", Some("99999999999999999999"), "the number of its parts"),
    ] {
        let said = changed(annotation, value).expect("refused");
        assert!(said.starts_with(why), "{said}");
    }
    assert_eq!(changed("kubectl-clarity.io/used", None), None, "then it is as old as it is");
    assert_eq!(changed("kubectl-clarity.io/used", Some("tomorrow")), None);
    let other = read_head(&good, &name.replace("linux", "windows")).err().expect("refused");
    assert!(other.starts_with("it says of itself that it is sha256:"), "{other}");
}

#[test]
fn a_time_to_come_does_not_keep_an_entry_for_ever() {
    let mut metadata = listed(&entry(1, "linux/amd64")).remove(0);
    let annotations = metadata.annotations.as_mut().expect("annotations");
    annotations.insert("kubectl-clarity.io/used".to_owned(), "9999-01-01T00:00:00Z".to_owned());
    let head = read_head(&metadata, &name(1)).expect("read");
    assert!(head.about.used <= Timestamp::now());
}

#[test]
fn parts_of_no_entry_are_useless_when_their_writer_must_be_gone() {
    let mut objects = listed(&large(1, PART_BYTES + 1));
    let now = Timestamp::now();
    assert_eq!(Seen::of(&objects).useless(now), []);
    objects.remove(0);
    assert_eq!(Seen::of(&objects).useless(now), [], "its writer may be about to create the first");
    let later = now + SignedDuration::from_hours(2);
    assert_eq!(Seen::of(&objects).useless(later), [Owned::of(&objects[0])]);
}

#[test]
fn the_least_used_goes_and_an_older_one_of_the_same_name_always() {
    let entries = [used_before(1, 5), used_before(2, 9), used_before(3, 1)];
    let seen = Seen::of(&entries.iter().flat_map(listed).collect::<Vec<_>>());
    let size = Objects::of(&entries[0]).expect("objects").bytes;
    let mut room = Room::new(size * 3 + size / 2);
    room.know(&seen);
    let new = Objects::of(&entry(4, "linux/amd64")).expect("objects");
    assert!(room.has_same(&Objects::of(&entries[0]).expect("objects")));
    assert_eq!(names(&room.make_for(&new).expect("room")), [name(2)]);
    // What is being written takes room already, and is not itself what goes.
    let newer = Objects::of(&entry(5, "linux/amd64")).expect("objects");
    assert_eq!(names(&room.make_for(&newer).expect("room")), [name(1)]);
    room.settle(&new, Some(&Owned { objects: vec![(name(4), "uid".to_owned())] }));
    room.settle(&newer, None);
    let again = Objects::of(&remade(&entries[2], "dpkg/9")).expect("objects");
    assert!(!room.has_same(&again));
    assert_eq!(names(&room.make_for(&again).expect("room")), [name(3)]);
}

#[test]
fn what_is_used_stays_and_what_is_damaged_goes_first() {
    let entries = [used_before(1, 5), used_before(2, 9)];
    let mut objects: Vec<ObjectMeta> = entries.iter().flat_map(listed).collect();
    let mut damaged = listed(&entry(3, "linux/amd64")).remove(0);
    damaged.annotations = None;
    objects.push(damaged);
    let size = Objects::of(&entries[0]).expect("objects").bytes;
    let mut room = Room::new(PART_BYTES as u64 + size * 2);
    room.know(&Seen::of(&objects));
    room.set_used(&[name(2)], Timestamp::now());
    let gone = room.make_for(&Objects::of(&entry(4, "linux/amd64")).expect("objects")).expect("room");
    assert_eq!(names(&gone), [name(3)]);
    let mut room = Room::new(size * 2 + size / 2);
    room.know(&Seen::of(&objects));
    room.set_used(&[name(2)], Timestamp::now());
    let gone = room.make_for(&Objects::of(&entry(4, "linux/amd64")).expect("objects")).expect("room");
    assert_eq!(names(&gone), [name(3), name(1)]);
}

#[test]
fn what_is_larger_than_all_room_throws_nothing_out() {
    let mut room = Room::new(1000);
    room.know(&Seen::of(&listed(&entry(1, "linux/amd64"))));
    let error = room.make_for(&Objects::of(&large(2, 2000)).expect("objects")).expect_err("no room");
    assert!(error.to_string().ends_with("of the 1000 that there may be in all"), "{error}");
    assert!(room.has_same(&Objects::of(&entry(1, "linux/amd64")).expect("objects")));
}

/// Metadata as anybody who may write ConfigMaps can make them.
fn hostile() -> impl Strategy<Value = ObjectMeta> {
    let good = large(1, PART_BYTES + 1);
    let texts: Vec<String> = listed(&good)
        .into_iter()
        .flat_map(|metadata| {
            let annotations = metadata.annotations.into_iter().flatten();
            annotations.flat_map(|(name, value)| [name, value]).chain(metadata.name)
        })
        .chain(["sbom", "sbom-part", KIND_LABEL, "", "0", "-1"].map(ToOwned::to_owned))
        .collect();
    let text = prop_oneof![proptest::sample::select(texts), any::<String>()];
    let map = proptest::collection::btree_map(text.clone(), text.clone(), 0..5);
    (proptest::option::of(text), proptest::option::of(map.clone()), proptest::option::of(map)).prop_map(
        |(name, labels, annotations)| ObjectMeta { name, labels, annotations, ..ObjectMeta::default() },
    )
}

proptest! {
    #[test]
    fn hostile_objects_are_sorted_and_never_a_panic(
        hostile in proptest::collection::vec(hostile(), 0..6),
        budget in any::<u64>(),
    ) {
        let good = entry(7, "linux/amd64");
        let objects: Vec<ObjectMeta> = hostile.into_iter().chain(listed(&good)).collect();
        let seen = Seen::of(&objects);
        prop_assert!(seen.entries().iter().any(|(_, about)| about.key == good.about.key));
        seen.useless(Timestamp::now());
        let mut room = Room::new(budget);
        room.know(&seen);
        let _ = room.make_for(&Objects::of(&entry(8, "linux/amd64")).expect("objects"));
    }

    #[test]
    fn hostile_data_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), is_there in any::<bool>()) {
        let entry = entry(1, "linux/amd64");
        let mut object = Objects::of(&entry).expect("objects").first;
        let head = read_head(&object.metadata, &name(1)).expect("read");
        let data = object.binary_data.as_mut().expect("data");
        if is_there {
            data.insert("sbom.json.zst".to_owned(), k8s_openapi::ByteString(bytes));
        } else {
            data.clear();
        }
        let unpacked = assemble(vec![object], head.about.stored).map(|packed| form::unpack(&head.about, &packed));
        prop_assert!(!matches!(unpacked, Ok(Ok(_))));
    }
}
