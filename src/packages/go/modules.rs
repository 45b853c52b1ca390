//! The text that `go build` hands the linker: one line a module or setting. Go, `runtime/debug`, `ParseBuildInfo`.

use super::super::lines::text;
use super::buildinfo::Written;
use super::passing::{TEXT_END, TEXT_START};
use super::{GoModule, GoProgram};
use crate::tree::GapCause;

/// Most modules of one program; the largest have around a thousand.
const MODULES: usize = 10_000;
/// Variables that hold a program's version when the linker is told to set one (`-X main.version=1.2.3`).
const VERSION_NAMES: [&str; 4] = ["version", "gitversion", "buildversion", "appversion"];

/// Makes modules of what is written.
pub(super) fn parse(written: &Written) -> Result<GoProgram, GapCause> {
    let toolchain = text(&written.version);
    let mut program =
        GoProgram { toolchain: toolchain.as_deref().and_then(release_of), ..GoProgram::default() };
    let mut flags = None;
    let mut replaceable = None;
    for line in unframed(&written.text).split(|&byte| byte == b'\n') {
        let mut parts = line.splitn(2, |&byte| byte == b'\t');
        let (kind, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match kind {
            b"mod" => {
                program.main = module(rest);
                replaceable = None;
            }
            b"dep" => {
                if program.dependencies.len() >= MODULES {
                    return Err(GapCause::Limit(format!("names more than {MODULES} modules")));
                }
                replaceable = module(rest).map(|module| {
                    program.dependencies.push(module);
                    program.dependencies.len() - 1
                });
            }
            b"=>" => replace(&mut program, replaceable.take(), rest),
            b"build" => flags = flags.or_else(|| text(rest.strip_prefix(b"-ldflags=")?)),
            _ => {}
        }
    }
    if let Some(main) = &mut program.main {
        main.version = main.version.take().filter(|version| !version.starts_with("v0.0.0-"));
        main.version = main.version.take().or_else(|| version_in_flags(&flags?, &main.path));
    }
    Ok(program)
}

/// Takes the marks around the text away; what has none is no text about modules.
fn unframed(text: &[u8]) -> &[u8] {
    let framed = text.get(TEXT_START.len()..text.len().saturating_sub(TEXT_END.len()));
    framed.filter(|text| text.ends_with(b"\n")).unwrap_or_default()
}

/// `path TAB version TAB checksum`
fn module(line: &[u8]) -> Option<GoModule> {
    let mut fields = line.split(|&byte| byte == b'\t').map(text);
    let path = fields.next()??;
    let version = fields.next().flatten().filter(|version| version != "(devel)");
    Some(GoModule { path, version })
}

/// A replacement stands in place of the module above it; one that is a directory takes its version away.
fn replace(program: &mut GoProgram, replaced: Option<usize>, line: &[u8]) {
    let slot = match replaced {
        Some(index) => program.dependencies.get_mut(index),
        None => program.main.as_mut(),
    };
    let Some(slot) = slot else { return };
    match module(line) {
        Some(GoModule { path, version: Some(version) }) => *slot = GoModule { path, version: Some(version) },
        _ => slot.version = None,
    }
}

/// The release of a toolchain's name: `go1.24.1 X:boringcrypto`, `go1.22.5-fips` and `go1.20.6 (Red Hat 1.20.6-1.el9)` are
/// those releases; `devel go1.25-abc` is none.
fn release_of(toolchain: &str) -> Option<String> {
    let release = toolchain.strip_prefix("go")?;
    let release = release.split([' ', '-', '+']).next().unwrap_or_default();
    let numbers = release.split_once(|c: char| c.is_ascii_alphabetic()).map_or(release, |(numbers, _)| numbers);
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let rest = &release[numbers.len()..];
    let is_candidate = ["rc", "beta"].iter().any(|kind| rest.strip_prefix(kind).is_some_and(is_number));
    let is_release =
        numbers.split('.').all(is_number) && numbers.contains('.') && (rest.is_empty() || is_candidate);
    is_release.then(|| release.to_owned())
}

/// The version that the linker was told to set, in package `main` or in one of the module's own.
fn version_in_flags(flags: &str, module: &str) -> Option<String> {
    let words = words(&unquoted(flags));
    let settings = words.iter().enumerate().filter_map(|(index, word)| match word.strip_prefix("-X") {
        Some("") => words.get(index + 1).map(String::as_str),
        Some(rest) => rest.strip_prefix('='),
        None => None,
    });
    let mut found = None;
    for (name, value) in settings.filter_map(|setting| setting.split_once('=')) {
        let Some((package, variable)) = name.rsplit_once('.') else { continue };
        let is_own = package.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !VERSION_NAMES.contains(&variable.to_ascii_lowercase().as_str()) || !(package == "main" || is_own) {
            continue;
        }
        let Some(version) = semantic(value) else { continue };
        if package == "main" {
            return Some(version);
        }
        found.get_or_insert(version);
    }
    found
}

/// A setting with a blank or quote in it is quoted as a Go string.
fn unquoted(setting: &str) -> String {
    let Some(inner) = setting.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return setting.to_owned();
    };
    let mut characters = inner.chars();
    let mut plain = String::new();
    while let Some(character) = characters.next() {
        plain.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    plain
}

/// Splits at blanks outside of quotes.
fn words(flags: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in flags.chars() {
        match (character, quote) {
            ('"' | '\'', None) => quote = Some(character),
            (_, Some(open)) if character == open => quote = None,
            (_, None) if character.is_whitespace() => words.push(std::mem::take(&mut word)),
            _ => word.push(character),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// A semantic version with a leading `v`, as Go writes them; none if the value is not one, or is below all releases.
fn semantic(value: &str) -> Option<String> {
    let version = value.strip_prefix('v').unwrap_or(value);
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = numbers.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_version = parts.len() == 3 && parts.iter().all(is_number) && numbers != "0.0.0";
    (is_version && version.bytes().all(|byte| byte.is_ascii_graphic())).then(|| format!("v{version}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn program(lines: &str) -> GoProgram {
        let text = [TEXT_START, lines.as_bytes(), TEXT_END].concat();
        parse(&Written { version: b"go1.24.1".to_vec(), text }).expect("few modules")
    }

    fn main_version(lines: &str) -> Option<String> {
        program(lines).main.expect("a main module").version
    }

    #[test]
    fn replacements_stand_in_place_of_what_they_replace() {
        let program = program(
            "path\texample.com/app/cmd\nmod\texample.com/app\tv1.2.3+dirty\t\ndep\ta.org/x\tv1.0.0\th1:x=\n\
             =>\tb.org/fork\tv1.0.1\th1:y=\ndep\ta.org/y\tv2.0.0+incompatible\th1:z=\ndep\ta.org/z\tv0.0.0\n\
             =>\t./staging/z\t(devel)\t\ndep\ta.org/w\tv3.0.0\n=>\t../w\t\t\n",
        );
        let modules = program.main.iter().chain(&program.dependencies);
        let modules: Vec<_> = modules
            .map(|module| format!("{} {}", module.path, module.version.as_deref().unwrap_or("-")))
            .collect();
        assert_eq!(
            modules,
            [
                "example.com/app v1.2.3+dirty",
                "b.org/fork v1.0.1",
                "a.org/y v2.0.0+incompatible",
                "a.org/z -",
                "a.org/w -"
            ]
        );
    }

    #[test]
    fn toolchains_are_releases_without_experiments_and_marks_of_vendors() {
        for (name, release) in [
            ("go1.24.1", Some("1.24.1")),
            ("go1.20", Some("1.20")),
            ("go1.22rc2", Some("1.22rc2")),
            ("go1.24.1 X:boringcrypto,nocoverageredesign", Some("1.24.1")),
            ("go1.22.5-fips", Some("1.22.5")),
            ("go1.20.6 (Red Hat 1.20.6-1.el9_2)", Some("1.20.6")),
            ("go1.19.4+auto", Some("1.19.4")),
            ("devel go1.25-4bf5aeb Mon Mar 3 2025", None),
            ("devel +4bf5aeb", None),
            ("go1.x", None),
            ("go", None),
            ("unknown", None),
        ] {
            assert_eq!(release_of(name).as_deref(), release, "{name}");
        }
    }

    #[test]
    fn a_working_copy_has_no_version_and_neither_has_a_commit_before_all_releases() {
        assert_eq!(main_version("mod\ta.org/x\t(devel)\t\nbuild\tvcs.revision=abc\n"), None);
        assert_eq!(main_version("mod\ta.org/x\n"), None);
        assert_eq!(main_version("mod\ta.org/x\tv0.0.0-20250102030405-0123456789ab+dirty\t\n"), None);
        let tagged = "v1.4.1-0.20250102030405-0123456789ab";
        assert_eq!(main_version(&format!("mod\ta.org/x\t{tagged}\t\n")).as_deref(), Some(tagged));
    }

    #[test]
    fn version_of_the_main_module_is_taken_from_the_linker_flags() {
        for (flags, version) in [
            (r#""-s -w -X main.version=1.2.3""#, Some("v1.2.3")),
            (r#""-X=main.Version=v1.2.3-rc.1 -s""#, Some("v1.2.3-rc.1")),
            (r#""-X 'a.org/x/internal.GitVersion=v1.2.3' -X \"main.version=v2.0.0\"""#, Some("v2.0.0")),
            (r#""-X a.org/x/internal.gitVersion=v1.2.3 -X b.org/y.version=v9.9.9""#, Some("v1.2.3")),
            (r#""-X a.org/xy.version=v1.2.3""#, None),
            (r#""-X main.version=dev -X main.commit=1.2.3""#, None),
            (r#""-X main.version=0.0.0-dev""#, None),
            ("-X", None),
        ] {
            let lines = format!("mod\ta.org/x\t(devel)\t\nbuild\t-ldflags={flags}\n");
            assert_eq!(main_version(&lines).as_deref(), version, "{flags}");
        }
        let released = "mod\ta.org/x\tv1.0.0\t\nbuild\t-ldflags=\"-X main.version=2.0.0\"\n";
        assert_eq!(main_version(released).as_deref(), Some("v1.0.0"));
    }

    #[test]
    fn a_text_without_its_frame_is_none() {
        let written = Written { version: b"go1.16.1".to_vec(), text: b"mod\ta.org/x\tv1.0.0\n".to_vec() };
        let program = parse(&written).expect("nothing");
        assert_eq!((program.toolchain.as_deref(), program.main), (Some("1.16.1"), None));
    }

    #[test]
    fn too_many_modules_are_a_limit() {
        let text = [&TEXT_START[..], &b"dep\ta\tv1\n".repeat(MODULES + 1), TEXT_END].concat();
        let result = parse(&Written { version: Vec::new(), text });
        assert_eq!(result, Err(GapCause::Limit("names more than 10000 modules".to_owned())));
    }

    proptest! {
        #[test]
        fn arbitrary_texts_never_panic(
            version in prop::collection::vec(any::<u8>(), 0..40),
            lines in "((mod|dep|=>|build)\t(-ldflags=)?[-a-zX=.\"'\\\\ /\t\u{e9}]{0,30}\n){0,8}",
        ) {
            let text = [TEXT_START, lines.as_bytes(), TEXT_END].concat();
            let parsed = parse(&Written { version, text });
            prop_assert!(parsed.is_ok());
        }
    }
}
