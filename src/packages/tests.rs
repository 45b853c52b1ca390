use std::sync::Arc;

use super::*;
use crate::tree::{EntryPath, Kind, ReadAt};

/// A regular file of this path.
pub(super) fn entry(path: &str) -> Entry {
    let path = EntryPath::new(path.as_bytes()).expect("a path");
    Entry { path, kind: Kind::File, mode: 0o644, uid: 0, gid: 0 }
}

/// Bytes as a file.
pub(super) fn source_of(bytes: &[u8]) -> impl ReadAt {
    struct Bytes(Vec<u8>);
    impl ReadAt for Bytes {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_at(&self, buf: &mut [u8], at: u64) -> std::io::Result<usize> {
            self.0.read_at(buf, at)
        }
    }
    Bytes(bytes.to_vec())
}

/// An image of one layer with these files.
pub(super) fn squashed_of(files: &[(&str, &str)]) -> Squashed {
    let mut builder = crate::tree::record::RecordBuilder::new(1 << 20);
    for (path, text) in files {
        let entry = entry(path);
        builder.add_entry(&entry, false);
        for cataloger in CATALOGERS.iter().filter(|cataloger| (cataloger.wants)(&entry, &[]).is_some()) {
            let source = source_of(text.as_bytes());
            let evidence = (cataloger.read)(&entry, Source::Random(&source)).expect("readable");
            builder.add_evidence(&entry.path, cataloger.id, evidence);
        }
    }
    squash(vec![Stacked { record: Arc::new(builder.finish()), diff_id: None }])
}
