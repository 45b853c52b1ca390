//! The main section of `META-INF/MANIFEST.MF`. JAR File Specification, "Name-Value pairs and Sections".
//!
//! Values are folded anywhere after 72 bytes, also within a character, so a folded line is joined as bytes and what follows its
//! single leading space belongs to the value. The main section ends at the first empty line; what comes after it is about
//! single entries of the jar, among them the digests of signatures.

use super::super::lines::text;
use super::JavaManifest;

/// Longest name or version that is taken, in bytes.
const VALUE: usize = 256;
/// Longest licence and most of them.
const LICENSE: usize = 200;
const LICENSES: usize = 20;
/// Longest header that is looked at; licences are the longest that matter.
const HEADER: usize = 8192;

/// Reads the main section. None if it does not end within the bytes and there is more of it.
pub(super) fn parse(bytes: &[u8], is_cut: bool) -> Option<JavaManifest> {
    let mut manifest = JavaManifest::default();
    let mut bundle_vendor = None;
    let mut header: Vec<u8> = Vec::new();
    let mut has_ended = false;
    for line in lines(bytes) {
        if let Some(folded) = line.strip_prefix(b" ") {
            let room = HEADER.saturating_sub(header.len());
            header.extend(folded.iter().take(room));
            continue;
        }
        manifest.take(&header, &mut bundle_vendor);
        header.clear();
        if line.is_empty() {
            has_ended = true;
            break;
        }
        header.extend(line.iter().take(HEADER));
    }
    manifest.take(&header, &mut bundle_vendor);
    manifest.vendor = manifest.vendor.or(bundle_vendor);
    (has_ended || !is_cut).then_some(manifest)
}

/// Lines that end as on Unix, on Windows or on old Macs, all of which the specification allows.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.strip_prefix(b"\r\n").or(after.get(1..)).unwrap_or_default();
        Some(line)
    })
}

impl JavaManifest {
    /// Of a header that comes twice the last one counts, as for the JVM.
    fn take(&mut self, header: &[u8], bundle_vendor: &mut Option<String>) {
        let Some(colon) = memchr::memchr(b':', header) else { return };
        let (name, value) = (&header[..colon], &header[colon + 1..]);
        let place = match name.to_ascii_lowercase().as_slice() {
            b"implementation-title" => &mut self.implementation_title,
            b"implementation-version" => &mut self.implementation_version,
            b"specification-version" => &mut self.specification_version,
            b"bundle-symbolicname" => {
                let end = memchr::memchr(b';', value).unwrap_or(value.len());
                self.bundle_symbolic_name = short(&value[..end]);
                return;
            }
            b"bundle-version" => &mut self.bundle_version,
            b"automatic-module-name" => &mut self.automatic_module_name,
            b"group-id" => &mut self.group_id,
            b"artifact-id" => &mut self.artifact_id,
            b"short-name" => &mut self.short_name,
            b"extension-name" => &mut self.extension_name,
            b"plugin-version" => &mut self.plugin_version,
            b"implementation-vendor" => &mut self.vendor,
            b"bundle-vendor" => bundle_vendor,
            b"bundle-license" => return self.add_licenses(bundle_licenses(value)),
            name if name.starts_with(b"plugin-license-name") => {
                return self.add_licenses(text(value).into_iter().collect());
            }
            _ => return,
        };
        *place = short(value);
    }

    fn add_licenses(&mut self, licenses: Vec<String>) {
        for license in licenses.into_iter().filter(|license| license.len() <= LICENSE) {
            if self.licenses.len() < LICENSES && !self.licenses.contains(&license) {
                self.licenses.push(license);
            }
        }
    }
}

/// A short text. What begins with `%` stands in a file of translations (`OSGi` Core, "Localization").
fn short(value: &[u8]) -> Option<String> {
    text(value).filter(|value| value.len() <= VALUE && !value.starts_with('%'))
}

/// `LICENSE;link=…;description=…, LICENSE`, any of it in quotes. `OSGi` Core, "Bundle-License".
fn bundle_licenses(value: &[u8]) -> Vec<String> {
    let mut licenses = vec![Vec::new()];
    let (mut is_quoted, mut is_name) = (false, true);
    for &byte in value {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                licenses.push(Vec::new());
                is_name = true;
            }
            b';' if !is_quoted => is_name = false,
            _ if is_name => licenses.last_mut().into_iter().for_each(|license| license.push(byte)),
            _ => {}
        }
    }
    let licenses = licenses.iter().filter_map(|license| text(license));
    licenses.filter(|license| license != "<<EXTERNAL>>").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> JavaManifest {
        parse(text.as_bytes(), false).expect("whole")
    }

    #[test]
    fn folded_values_are_joined_whatever_ends_their_lines() {
        for end in ["\n", "\r\n", "\r"] {
            let text = "Manifest-Version: 1.0\nimplementation-TITLE: caf\u{e9} of\n  the\n  town\nBundle-Version: 1.\n 2\n";
            let manifest = of(&text.replace('\n', end));
            assert_eq!(manifest.implementation_title.as_deref(), Some("caf\u{e9} of the town"));
            assert_eq!(manifest.bundle_version.as_deref(), Some("1.2"));
        }
        let manifest = parse(b"Implementation-Title: caf\xc3\r\n \xa9\r\n", false).expect("whole");
        assert_eq!(manifest.implementation_title.as_deref(), Some("caf\u{e9}"));
    }

    #[test]
    fn sections_of_entries_are_not_about_the_jar() {
        let manifest =
            of("Implementation-Version: 1\n\nName: a/B.class\nImplementation-Version: 2\nBundle-Version: 3\n");
        assert_eq!(manifest.implementation_version.as_deref(), Some("1"));
        assert_eq!(manifest.bundle_version, None);
    }

    #[test]
    fn the_last_header_of_a_name_counts() {
        let manifest = of("Implementation-Version: 1\nimplementation-version: 2\n");
        assert_eq!(manifest.implementation_version.as_deref(), Some("2"));
    }

    #[test]
    fn a_main_section_without_end_is_none() {
        assert_eq!(parse(b"Implementation-Version: 1\nBundle-Ver", true), None);
        assert!(parse(b"Implementation-Version: 1\n\nName: a\nSHA", true).is_some());
    }

    #[test]
    fn directives_are_no_part_of_names_and_licences() {
        let manifest = of("Bundle-SymbolicName: org.eclipse.osgi; singleton:=true\n\
                           Bundle-License: \"Apache-2.0\";link=\"https://a.test/x,y\", EPL-2.0,<<EXTERNAL>>, EPL-2.0\n");
        assert_eq!(manifest.bundle_symbolic_name.as_deref(), Some("org.eclipse.osgi"));
        assert_eq!(manifest.licenses, ["Apache-2.0", "EPL-2.0"]);
        assert_eq!(of("Plugin-License-Name: MIT\nPlugin-License-Name-2: ISC\n").licenses, ["MIT", "ISC"]);
    }

    #[test]
    fn vendors_of_the_implementation_go_before_those_of_the_bundle() {
        let both = "Bundle-Vendor: b\nImplementation-Vendor: i\nBundle-Vendor: c\n";
        assert_eq!(of(both).vendor.as_deref(), Some("i"));
        assert_eq!(of("Bundle-Vendor: b\n").vendor.as_deref(), Some("b"));
        assert_eq!(of("Bundle-Vendor: %providerName\n").vendor, None);
    }
}
