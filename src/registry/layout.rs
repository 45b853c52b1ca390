//! An image as a file: an OCI image layout in a tar archive. OCI image-spec, "Image Layout".
//!
//! A `manifest.json` as `docker save` writes it lies beside it, for what reads only that.

use std::io::{self, Write};

use serde_json::json;

use super::scanner_image::{BuiltImage, Content, add_file};
use crate::image::Reference;

/// Writes the archive; the name, if there is one, is what an import gives the image.
pub fn write(image: &BuiltImage, name: Option<&Reference>, output: impl Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(output);
    let tag = name.and_then(|name| name.tag.clone());
    let full_name = name.map(ToString::to_string);
    let mut descriptor = json!({
        "mediaType": image.manifest.media_type,
        "digest": image.manifest.digest,
        "size": image.manifest.bytes.len(),
        "platform": image.platform,
    });
    if let (Some(full_name), Some(tag)) = (&full_name, &tag) {
        descriptor["annotations"] = json!({
            "org.opencontainers.image.ref.name": tag,
            "io.containerd.image.name": full_name,
        });
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": oci_client::manifest::OCI_IMAGE_INDEX_MEDIA_TYPE,
        "manifests": [descriptor],
    });
    let docker = json!([{
        "Config": path_of(&image.config),
        "RepoTags": full_name.into_iter().collect::<Vec<_>>(),
        "Layers": [path_of(&image.layer)],
    }]);
    for content in [&image.config, &image.layer, &image.manifest] {
        add_file(&mut archive, &path_of(content), 0o644, &content.bytes)?;
    }
    add_file(&mut archive, "index.json", 0o644, index.to_string().as_bytes())?;
    add_file(&mut archive, "manifest.json", 0o644, docker.to_string().as_bytes())?;
    add_file(&mut archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.into_inner()?.flush()
}

fn path_of(content: &Content) -> String {
    format!("blobs/sha256/{}", content.digest.hex())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;
    use crate::image::Digest;
    use crate::registry::scanner_image::tests::small_image;

    #[test]
    fn every_blob_of_the_layout_has_the_name_of_its_content() {
        let image = small_image();
        let name: Reference = "registry.test/clarity:1".parse().expect("a reference");
        let mut file = Vec::new();
        write(&image, Some(&name), &mut file).expect("written");
        let mut archive = tar::Archive::new(file.as_slice());
        let mut files = BTreeMap::new();
        for entry in archive.entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("content");
            files.insert(path, content);
        }
        for (path, content) in &files {
            if let Some(hex) = path.strip_prefix("blobs/sha256/") {
                assert_eq!(Digest::of(content).hex(), hex);
            }
        }
        assert_eq!(files.len(), 6);
        let index: serde_json::Value = serde_json::from_slice(&files["index.json"]).expect("JSON");
        assert_eq!(index["manifests"][0]["digest"], image.manifest.digest.as_str());
        assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "1");
        assert_eq!(files["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);
    }
}
