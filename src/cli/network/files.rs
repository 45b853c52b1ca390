//! Reading the files that say how registries are reached, and those that they name.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::super::errors::Explained;
use super::super::ui;
use crate::network::{Route, Shape, Told, host_of_folder, hosts_toml, registries_conf, shape_of};

/// Most bytes of a file, and of each that it names.
const LIMIT: u64 = 256 << 10;

/// Most files of a folder.
const MOST: usize = 256;

/// Reads a file, or all files of a folder: `*.conf` as registries.conf(5) has them, `HOST/hosts.toml` as containerd has.
pub(super) fn read(path: &Path) -> Result<Told, Explained> {
    let failed = |error: &(dyn Error + 'static)| {
        Explained::new(format!("cannot use --registry-config {}", path.display()), error)
    };
    if !path.is_dir() {
        return one(path, None).map_err(|error| failed(&*error));
    }
    let mut told = Told::default();
    let mut files: Vec<(PathBuf, Option<String>)> = Vec::new();
    for entry in path.read_dir().map_err(|error| failed(&error))? {
        let entry = entry.map_err(|error| failed(&error))?.path();
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let hosts = entry.join("hosts.toml");
        if hosts.is_file() {
            files.push((hosts, Some(host_of_folder(&name))));
        } else if entry.is_dir() {
            told.notes.push(format!("{} has no hosts.toml and is passed over", entry.display()));
        } else if entry.extension().is_some_and(|extension| extension == "conf") || name == "hosts.toml" {
            files.push((entry, None));
        }
    }
    let wrong = |why: String| failed(&io::Error::other(why));
    if files.is_empty() {
        return Err(wrong("it holds neither *.conf nor HOST/hosts.toml".to_owned()));
    }
    if files.len() > MOST {
        return Err(wrong(format!("it holds more than {MOST} files")));
    }
    // As the manual says of drop-in files: by name, and the last one counts.
    files.sort();
    for (file, registry) in files {
        let read = one(&file, registry.as_deref()).map_err(|error| failed(&*error))?;
        told.routes.extend(read.routes);
        told.notes.extend(read.notes);
    }
    Ok(told)
}

fn one(path: &Path, registry: Option<&str>) -> Result<Told, Box<dyn Error + Send + Sync>> {
    let name = path.display().to_string();
    let text = String::from_utf8(bounded(path)?).map_err(|_| format!("{name} is no text"))?;
    let shape = if registry.is_some() { Shape::Hosts } else { shape_of(&text, &name)? };
    let folder = path.parent().unwrap_or(Path::new("."));
    let named = |file: &str| bounded(&folder.join(file)).map_err(Into::into);
    let mut told = match shape {
        Shape::Registries => registries_conf(&text, &name)?,
        Shape::Hosts => hosts_toml(&text, &name, registry, &named)?,
    };
    for Route { mirrors, origins, .. } in &mut told.routes {
        for upstream in mirrors.iter_mut().chain(origins) {
            // What else is in such a file, a key say, would travel with it.
            if let Some(pem) = &mut upstream.authorities {
                let what = format!("cannot use a ca of {}", upstream.address);
                *pem = ui::certificates(&what, pem.as_bytes()).map_err(|error| error.in_words())?;
            }
        }
    }
    Ok(told)
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    File::open(path).map_err(named)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(named)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::other(format!("{} has more than {LIMIT} bytes", path.display())));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    #[test]
    fn folders_hold_both_forms() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "b.conf", "[[registry]]\nlocation = 'a.test'\nblocked = true");
        write(folder.path(), "a.conf", "[[registry]]\nlocation = 'a.test'");
        write(folder.path(), "r.test_5000_/hosts.toml", "[host.'https://m.test']");
        write(folder.path(), "_default/hosts.toml", "[host.'https://d.test']");
        write(folder.path(), "empty/ca.crt", "");
        let told = read(folder.path()).expect("read");
        let prefixes: Vec<&str> = told.routes.iter().map(|route| route.prefix.as_str()).collect();
        assert_eq!(prefixes, ["", "a.test", "a.test", "r.test:5000"]);
        assert!(told.routes[2].blocked);
        assert!(told.notes[0].contains("no hosts.toml"), "{:?}", told.notes);
    }

    #[test]
    fn a_file_that_is_named_and_is_no_certificate_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "hosts.toml", "server = 'https://r.test'\nca = 'ca.pem'");
        let words = read(&folder.path().join("hosts.toml")).expect_err("not there").in_words();
        assert!(words.contains("hosts.toml: ca names ca.pem, which cannot be used"), "{words}");
        write(folder.path(), "ca.pem", "no certificate");
        let words = read(&folder.path().join("hosts.toml")).expect_err("no PEM").in_words();
        assert!(words.contains("https://r.test") && words.contains("holds no PEM certificate"), "{words}");
    }
}
