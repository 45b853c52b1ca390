//! Layers as nobody honest would write them.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// A layer in a file that goes with it, compressed by gzip.
pub(crate) struct Archive {
    folder: tempfile::TempDir,
    file: GzEncoder<BufWriter<File>>,
}

/// A layer that is written.
pub(crate) struct Written(tempfile::TempDir);

impl Archive {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = File::create(layer(folder.path())).expect("makes");
        Self { folder, file: GzEncoder::new(BufWriter::new(file), Compression::fast()) }
    }

    /// A member of any type, its names as they are. POSIX.1-2008, pax, "ustar Interchange Format".
    pub(crate) fn member(&mut self, flag: u8, name: &[u8], link: &[u8], data: &[u8]) -> &mut Self {
        if name.len() > 100 {
            self.header(b'L', b"././@LongLink", b"", name.len());
            self.data(name);
        }
        if link.len() > 100 {
            self.header(b'K', b"././@LongLink", b"", link.len());
            self.data(link);
        }
        self.header(flag, &name[..name.len().min(100)], &link[..link.len().min(100)], data.len());
        self.data(data);
        self
    }

    pub(crate) fn file(&mut self, name: &str, data: &[u8]) -> &mut Self {
        self.member(b'0', name.as_bytes(), b"", data)
    }

    pub(crate) fn symlink(&mut self, name: &str, target: &str) -> &mut Self {
        self.member(b'2', name.as_bytes(), target.as_bytes(), b"")
    }

    pub(crate) fn hard_link(&mut self, name: &str, target: &str) -> &mut Self {
        self.member(b'1', name.as_bytes(), target.as_bytes(), b"")
    }

    /// A file that begins with `data` and is a hole from there on. GNU tar manual, "PAX Format, Version 0.1".
    pub(crate) fn sparse(&mut self, name: &str, data: &[u8], size: u64) -> &mut Self {
        let mut records = Vec::new();
        let map = format!("0,{}", data.len());
        for (key, value) in [
            ("GNU.sparse.name", name),
            ("GNU.sparse.size", &size.to_string()),
            ("GNU.sparse.numblocks", "1"),
            ("GNU.sparse.map", &map),
        ] {
            // The length counts its own digits, of which there are two here.
            writeln!(records, "{} {key}={value}", key.len() + value.len() + 5).expect("to memory");
        }
        self.member(b'x', b"extended", b"", &records);
        self.file(name, data)
    }

    pub(crate) fn finish(mut self) -> Written {
        self.file.write_all(&[0; 1024]).expect("writes");
        self.file.finish().and_then(|mut file| file.flush()).expect("writes");
        Written(self.folder)
    }

    fn header(&mut self, flag: u8, name: &[u8], link: &[u8], size: usize) {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(size).expect("small"));
        header.set_mode(0o755);
        header.set_entry_type(tar::EntryType::new(flag));
        let fields = header.as_gnu_mut().expect("it is one");
        fields.name[..name.len()].copy_from_slice(name);
        fields.linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        self.file.write_all(header.as_bytes()).expect("writes");
    }

    fn data(&mut self, data: &[u8]) {
        self.file.write_all(data).expect("writes");
        self.file.write_all(&[0; 511][..data.len().wrapping_neg() % 512]).expect("writes");
    }
}

impl Written {
    pub(crate) fn path(&self) -> PathBuf {
        layer(self.0.path())
    }
}

fn layer(folder: &Path) -> PathBuf {
    folder.join("layer")
}
