//! What Maven's archiver and Gradle leave of a project in an archive: `META-INF/maven/GROUP/ARTIFACT/pom.properties` with its
//! coordinates, and the `pom.xml` beside it, of which the licences are taken, and the coordinates where the other is missing.
//!
//! A `pom.xml` may leave its group and version to its parent. What would have to be looked up elsewhere (`${revision}`, the parent
//! itself) is not known.

use super::super::lines::text;
use super::JavaArtifact;

/// Longest group, artifact or version that is taken, in bytes.
const VALUE: usize = 256;
/// Longest name of a licence and most of them.
const LICENSE: usize = 200;
const LICENSES: usize = 20;
/// Deepest elements of a `pom.xml`; a project's own settings lie at 4, those of plugins nest as they like.
const DEPTH: usize = 100;

/// What a `pom.xml` says of its own project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Project {
    group: Option<String>,
    artifact: Option<String>,
    version: Option<String>,
    parent_group: Option<String>,
    parent_version: Option<String>,
    licenses: Vec<String>,
}

/// Coordinates of a `pom.properties`. What is missing, or was never filled in, is empty.
pub(super) fn properties(bytes: &[u8]) -> JavaArtifact {
    let mut artifact = JavaArtifact::default();
    for line in bytes.split(|&byte| matches!(byte, b'\n' | b'\r')) {
        let line = line.trim_ascii_start();
        if line.starts_with(b"#") || line.starts_with(b"!") {
            continue;
        }
        let Some(end) = line.iter().position(|&byte| matches!(byte, b'=' | b':' | b' ' | b'\t')) else {
            continue;
        };
        let place = match &line[..end] {
            b"groupId" => &mut artifact.group,
            b"artifactId" => &mut artifact.artifact,
            b"version" => &mut artifact.version,
            _ => continue,
        };
        let value = line[end..].trim_ascii_start();
        let value = value.strip_prefix(b"=").or(value.strip_prefix(b":")).unwrap_or(value);
        let value: Vec<u8> = value.iter().copied().filter(|&byte| byte != b'\\').collect();
        *place = coordinate(&value).unwrap_or_default();
    }
    artifact
}

/// Puts together what the two files of one project say.
pub(super) fn join(mut artifact: JavaArtifact, project: Option<Project>) -> JavaArtifact {
    let Some(project) = project else { return artifact };
    let fill = |place: &mut String, value: Option<String>| {
        if place.is_empty() {
            *place = value.unwrap_or_default();
        }
    };
    fill(&mut artifact.group, project.group.or(project.parent_group));
    fill(&mut artifact.artifact, project.artifact);
    fill(&mut artifact.version, project.version.or(project.parent_version));
    artifact.licenses = project.licenses;
    artifact
}

/// A group, artifact or version. None if a template was not filled in, or a character in it belongs to none.
pub(super) fn coordinate(value: &[u8]) -> Option<String> {
    let value = text(value).filter(|value| value.len() <= VALUE)?;
    let is_foreign = |c: char| c.is_whitespace() || matches!(c, ':' | '/' | '\\' | '$' | '@' | '{' | '}' | '<');
    (!value.contains(is_foreign)).then_some(value)
}

/// Reads a `pom.xml`. Of what is no XML, as much as could be understood before.
pub(super) fn project(xml: &[u8]) -> Project {
    let mut project = Project::default();
    let mut path: Vec<&[u8]> = Vec::new();
    let mut value = Vec::new();
    let mut rest = xml;
    while let Some(start) = memchr::memchr(b'<', rest) {
        value.extend(rest[..start].iter().take(LICENSE + 1));
        value.truncate(LICENSE * 4);
        rest = &rest[start..];
        if rest.starts_with(b"<!--") {
            rest = after(rest, b"-->");
        } else if let Some(data) = rest.strip_prefix(b"<![CDATA[") {
            let end = memchr::memmem::find(data, b"]]>").unwrap_or(data.len());
            value.extend(data[..end].iter().take(LICENSE + 1));
            rest = after(data, b"]]>");
        } else if rest.starts_with(b"<?") {
            rest = after(rest, b"?>");
        } else if rest.starts_with(b"<!") {
            // A document type may declare entities of its own, which no pom does.
            rest = after(rest, b">");
        } else if rest.starts_with(b"</") {
            project.take(&path, &value);
            value.clear();
            path.pop();
            rest = after(rest, b">");
        } else {
            let (tag, after) = tag(rest);
            value.clear();
            if !tag.ends_with(b"/") {
                path.push(local_name(tag));
            }
            rest = after;
        }
        if path.len() > DEPTH {
            break;
        }
    }
    project
}

impl Project {
    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let names = [&self.group, &self.artifact, &self.version, &self.parent_group, &self.parent_version];
        let names = names.into_iter().flatten().map(String::len).sum::<usize>();
        size_of::<Self>() + names + super::weight_of_all(&self.licenses)
    }

    fn take(&mut self, path: &[&[u8]], value: &[u8]) {
        let place = match path {
            [b"project", b"groupId"] => &mut self.group,
            [b"project", b"artifactId"] => &mut self.artifact,
            [b"project", b"version"] => &mut self.version,
            [b"project", b"parent", b"groupId"] => &mut self.parent_group,
            [b"project", b"parent", b"version"] => &mut self.parent_version,
            [b"project", b"licenses", b"license", b"name"] if self.licenses.len() < LICENSES => {
                let name = text(value).map(|name| without_entities(&name));
                self.licenses.extend(name.filter(|name| name.len() <= LICENSE));
                return;
            }
            _ => return,
        };
        *place = coordinate(value);
    }
}

/// What stands in a tag, and what comes after it; `>` may stand in the value of an attribute.
fn tag(text: &[u8]) -> (&[u8], &[u8]) {
    let mut quote = None;
    for (at, &byte) in text.iter().enumerate().skip(1) {
        match (quote, byte) {
            (None, b'>') => return (&text[1..at], &text[at + 1..]),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    (&[], &[])
}

/// Name of an element without its prefix and attributes.
fn local_name(tag: &[u8]) -> &[u8] {
    let name = tag.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    name.rsplit(|&byte| byte == b':').next().unwrap_or_default()
}

fn after<'a>(text: &'a [u8], end: &[u8]) -> &'a [u8] {
    memchr::memmem::find(text, end).map_or(&[], |at| &text[at + end.len()..])
}

fn without_entities(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    // Folded lines stay folded in XML.
    let text = text.replace("&apos;", "'").replace("&amp;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coordinates(artifact: &JavaArtifact) -> String {
        format!("{}:{}:{}", artifact.group, artifact.artifact, artifact.version)
    }

    #[test]
    fn properties_are_read_as_java_reads_them() {
        for (text, expected) in [
            ("#Created by Maven\nversion=2.14.1\ngroupId=org.a\nartifactId=b\n", "org.a:b:2.14.1"),
            ("groupId = org.a\r\nartifactId:b\r\nversion 1.0\\:x\r\n", "org.a:b:"),
            ("  groupId=org.a \rartifactId=b\rversion=1.0-SNAPSHOT", "org.a:b:1.0-SNAPSHOT"),
            ("groupId=${project.groupId}\nartifactId=b\nversion=@version@\n", ":b:"),
            ("version=1\nversion=2\nartifactId=a b\n", "::2"),
            ("nothing", "::"),
        ] {
            assert_eq!(coordinates(&properties(text.as_bytes())), expected, "{text}");
        }
    }

    #[test]
    fn a_project_names_itself_or_leaves_it_to_its_parent() {
        let xml = br#"<?xml version="1.0"?><!-- <groupId>no</groupId> --><project xmlns="http://a.test/x>y">
            <parent><groupId>org.parent</groupId><artifactId>p</artifactId><version>7</version></parent>
            <artifactId>child</artifactId><name/>
            <dependencies><dependency><groupId>x</groupId><artifactId>y</artifactId></dependency></dependencies>
            <licenses><license><name>GPL &amp;
                 more</name><url>u</url></license><license><name><![CDATA[MIT]]></name></license></licenses>
            </project>"#;
        let artifact = join(JavaArtifact::default(), Some(project(xml)));
        assert_eq!(coordinates(&artifact), "org.parent:child:7");
        assert_eq!(artifact.licenses, ["GPL & more", "MIT"]);
        let known = JavaArtifact { group: "g".to_owned(), artifact: "a".to_owned(), ..JavaArtifact::default() };
        assert_eq!(coordinates(&join(known, Some(project(xml)))), "g:a:7");
    }

    #[test]
    fn placeholders_are_no_versions() {
        let xml = b"<project><version>${revision}</version><artifactId>a</artifactId></project>";
        assert_eq!(coordinates(&join(JavaArtifact::default(), Some(project(xml)))), ":a:");
    }

    #[test]
    fn what_is_no_xml_ends() {
        for xml in ["<", "<a", "<!--", "<![CDATA[", "</", "<a b='", "</a></a>", "<project><version>1"] {
            assert_eq!(project(xml.as_bytes()), Project::default(), "{xml}");
        }
        assert_eq!(project("<a>".repeat(100_000).as_bytes()), Project::default());
    }
}
