//! The scanner's image: static programs on nothing. Built in memory, the same bytes from the same programs.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest,
};
use serde_json::json;

use super::elf::{self, ElfError};
use crate::image::{Digest, Platform};

/// The program that the image starts; the others are there for those who ask for them.
pub const SCANNER: &str = "clarity-scan";
/// User and group: nobody in particular, as Pod Security `restricted` wants it.
const USER: &str = "65532:65532";

/// A program that goes into the image.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file name in the image's root.
    pub name: String,
    /// The file.
    pub content: Vec<u8>,
}

/// An image of one layer, ready to be sent or saved.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    /// The platform of its programs.
    pub platform: Platform,
    /// The manifest.
    pub manifest: Content,
    /// The image configuration.
    pub config: Content,
    /// The layer.
    pub layer: Content,
}

/// Bytes with what a descriptor says about them.
#[derive(Clone, Debug)]
pub struct Content {
    /// Media type.
    pub media_type: &'static str,
    /// Digest of the bytes.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Bytes,
}

/// Why no image can be built of these programs.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The scanner itself is missing.
    #[error("there is no {SCANNER} among the programs")]
    NoScanner,
    /// A file that is no program.
    #[error("cannot put {program} into the image")]
    NotElf {
        /// Its name.
        program: String,
        /// What is wrong with it.
        #[source]
        source: ElfError,
    },
    /// A program that needs files which an image from scratch does not have.
    #[error(
        "{program} is dynamically linked (it wants {interpreter}) and cannot run from scratch: build it static"
    )]
    Dynamic {
        /// Its name.
        program: String,
        /// The dynamic linker that it asks for.
        interpreter: String,
    },
    /// Programs of two machines.
    #[error("{program} is for {found}, {SCANNER} for {expected}")]
    MixedPlatforms {
        /// The program that differs.
        program: String,
        /// Its platform.
        found: Box<Platform>,
        /// The scanner's platform.
        expected: Box<Platform>,
    },
    /// The archive could not be written.
    #[error("cannot pack the image")]
    Pack(#[source] io::Error),
}

/// Builds the image. Needs [`SCANNER`] among the programs.
pub fn build(programs: &[Program]) -> Result<BuiltImage, BuildError> {
    let scanner = programs.iter().find(|program| program.name == SCANNER).ok_or(BuildError::NoScanner)?;
    let platform = platform_of(scanner)?;
    for program in programs {
        let found = platform_of(program)?;
        if found != platform {
            let (program, found, expected) = (program.name.clone(), Box::new(found), Box::new(platform));
            return Err(BuildError::MixedPlatforms { program, found, expected });
        }
    }
    let tar = pack(programs).map_err(BuildError::Pack)?;
    let layer = Content::new(IMAGE_LAYER_GZIP_MEDIA_TYPE, compress(&tar).map_err(BuildError::Pack)?);
    let config = json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {
            "User": USER,
            "Entrypoint": [format!("/{SCANNER}")],
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": "kubectl-clarity",
                "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
                "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&tar)]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "kubectl clarity image"}],
    });
    let config = Content::new(IMAGE_CONFIG_MEDIA_TYPE, config.to_string().into_bytes());
    let manifest = OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
        config: config.descriptor(),
        layers: vec![layer.descriptor()],
        ..OciImageManifest::default()
    };
    let manifest = serde_json::to_vec(&manifest).map_err(|error| BuildError::Pack(error.into()))?;
    Ok(BuiltImage { platform, manifest: Content::new(OCI_IMAGE_MEDIA_TYPE, manifest), config, layer })
}

impl Content {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { media_type, digest: Digest::of(&bytes), bytes: bytes.into() }
    }

    /// The descriptor in the words of the specification.
    pub(super) fn descriptor(&self) -> OciDescriptor {
        OciDescriptor {
            media_type: self.media_type.to_owned(),
            digest: self.digest.to_string(),
            size: i64::try_from(self.bytes.len()).expect("no slice is longer than isize::MAX"),
            ..OciDescriptor::default()
        }
    }
}

fn platform_of(program: &Program) -> Result<Platform, BuildError> {
    let name = || program.name.clone();
    let elf = elf::parse(&program.content).map_err(|source| BuildError::NotElf { program: name(), source })?;
    match elf.interpreter {
        None => Ok(elf.platform),
        Some(interpreter) => Err(BuildError::Dynamic { program: name(), interpreter }),
    }
}

fn pack(programs: &[Program]) -> io::Result<Vec<u8>> {
    let mut sorted: Vec<&Program> = programs.iter().collect();
    sorted.sort_by_key(|program| &program.name);
    let mut archive = tar::Builder::new(Vec::new());
    for program in sorted {
        add_file(&mut archive, &program.name, 0o755, &program.content)?;
    }
    archive.into_inner()
}

/// Adds a file that looks the same whenever and by whomever it is packed.
pub(super) fn add_file<W: io::Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    mode: u32,
    content: &[u8],
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, name, content)
}

fn compress(tar: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    encoder.write_all(tar)?;
    encoder.finish()
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::registry::ImageConfig;
    use crate::registry::elf::tests::program as elf_program;
    use crate::registry::manifest::Document;

    fn program(name: &str, machine: u16, interpreter: Option<&str>) -> Program {
        Program { name: name.to_owned(), content: elf_program(machine, interpreter) }
    }

    /// An image as [`build`] makes it, of programs that are nothing but headers.
    pub(in crate::registry) fn small_image() -> BuiltImage {
        build(&[program("kubectl-clarity", 62, None), program(SCANNER, 62, None)]).expect("built")
    }

    #[test]
    fn the_image_is_one_that_we_would_read_ourselves() {
        let image = small_image();
        let Ok(Document::Image(manifest)) = Document::parse(&image.manifest.bytes, None) else {
            panic!("an image")
        };
        assert_eq!(manifest.config.digest, image.config.digest);
        assert_eq!(manifest.layers[0].digest, image.layer.digest);
        let config = ImageConfig::parse(&image.config.bytes, 1).expect("a config");
        assert_eq!(config.config.entrypoint, ["/clarity-scan"]);
        assert_eq!(config.config.user, "65532:65532");
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(image.layer.bytes.as_ref()).read_to_end(&mut tar).expect("gzip");
        assert_eq!(config.rootfs.diff_ids, [Digest::of(&tar)]);
        let mut archive = tar::Archive::new(tar.as_slice());
        let files: Vec<(String, u32)> = archive
            .entries()
            .expect("entries")
            .map(|entry| {
                let entry = entry.expect("an entry");
                let mode = entry.header().mode().expect("a mode");
                (entry.path().expect("a path").display().to_string(), mode)
            })
            .collect();
        assert_eq!(files, [("clarity-scan".to_owned(), 0o755), ("kubectl-clarity".to_owned(), 0o755)]);
    }

    #[test]
    fn the_same_programs_give_the_same_image_in_any_order() {
        let (one, two) = (program(SCANNER, 62, None), program("kubectl-clarity", 62, None));
        let digest = |programs: &[Program]| build(programs).expect("built").manifest.digest;
        assert_eq!(digest(&[one.clone(), two.clone()]), digest(&[two, one]));
    }

    #[test]
    fn what_cannot_run_from_scratch_is_refused_in_words() {
        let error = build(&[program(SCANNER, 62, Some("/lib64/ld-linux-x86-64.so.2"))]).expect_err("dynamic");
        assert_eq!(
            error.to_string(),
            "clarity-scan is dynamically linked (it wants /lib64/ld-linux-x86-64.so.2) and cannot run from scratch: \
             build it static"
        );
        let mixed = [program(SCANNER, 62, None), program("kubectl-clarity", 183, None)];
        assert!(matches!(build(&mixed), Err(BuildError::MixedPlatforms { .. })));
        assert!(matches!(build(&[program("kubectl-clarity", 62, None)]), Err(BuildError::NoScanner)));
    }
}
