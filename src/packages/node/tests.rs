use proptest::prelude::*;

use super::super::tests::{entry, source_of, squashed_of};
use super::*;

fn read_at(path: &str, text: &str) -> Result<Option<NodePackage>, GapCause> {
    let bytes = source_of(text.as_bytes());
    read(&entry(path), Source::Random(&bytes)).map(|evidence| match evidence {
        Evidence::Node(package) => package,
        other => panic!("not Node: {other:?}"),
    })
}

fn installed(text: &str) -> Option<NodePackage> {
    read_at("app/node_modules/x/package.json", text).expect("readable")
}

fn found(files: &[(&str, &str)]) -> Vec<String> {
    let mut assembly = Assembly::default();
    assemble(&squashed_of(files), &mut assembly);
    assembly.packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect()
}

#[test]
fn packages_lie_where_node_loads_them_from() {
    for (path, expected) in [
        ("app/node_modules/lodash/package.json", Some(Place::Installed)),
        ("app/node_modules/@babel/core/package.json", Some(Place::Installed)),
        ("app/node_modules/a/node_modules/b/package.json", Some(Place::Installed)),
        ("app/node_modules/a/dist/node_modules/b/package.json", Some(Place::Installed)),
        ("app/node_modules/.pnpm/x@1.0.0/node_modules/@s/x/package.json", Some(Place::Installed)),
        ("app/node_modules/.bun/x@1.0.0/node_modules/x/package.json", Some(Place::Installed)),
        ("app/node_modules/.store/x-npm-1.0.0-6382451519/package/package.json", Some(Place::Installed)),
        ("usr/share/nodejs/acorn/package.json", Some(Place::Installed)),
        ("usr/lib/x86_64-linux-gnu/nodejs/re2/package.json", Some(Place::Installed)),
        ("app/tests/node_modules/a/package.json", Some(Place::Installed)),
        ("app/node_modules/template/node_modules/a/package.json", Some(Place::Installed)),
        ("app/node_modules/x/esm/package.json", None),
        ("app/node_modules/@s/x/cjs/package.json", None),
        ("app/node_modules/@s/package.json", None),
        ("app/node_modules/package.json", None),
        ("app/node_modules/.vite/package.json", None),
        ("app/node_modules/resolve/test/resolver/multirepo/package.json", None),
        ("app/node_modules/x/test/fixtures/node_modules/y/package.json", None),
        ("app/node_modules/lodash/package-lock.json", None),
        ("opt/yarn-v1.22.19/package.json", Some(Place::Anywhere)),
        ("package.json", Some(Place::Anywhere)),
        ("srv/nodejs/package.json", Some(Place::Anywhere)),
        ("opt/generator/templates/app/package.json", Some(Place::Unlikely)),
        ("app/vendor/umpirsky/country-list/package.json", Some(Place::Unlikely)),
        ("usr/lib/python3/site-packages/notebook/static/package.json", Some(Place::Unlikely)),
    ] {
        assert_eq!(place::of(&entry(path).path), expected, "{path}");
    }
}

#[test]
fn a_manifest_gives_name_version_and_licences() {
    for (license, expected) in [
        (r#""license": "MIT""#, &["MIT"][..]),
        (r#""license": {"url": "https://example.test", "type": "BSD"}"#, &["BSD"]),
        (r#""licenses": [{"type": "MIT", "url": {}}, "ISC", 7, null]"#, &["MIT", "ISC"]),
        (r#""license": ["MIT", {"type": "Apache-2.0"}]"#, &["MIT", "Apache-2.0"]),
        (r#""license": "MIT", "licenses": ["GPL-2.0"]"#, &["MIT"]),
        (r#""license": true"#, &[]),
        (r#""license": {"type": {"type": "MIT"}}"#, &["MIT"]),
        (r#""license": 7"#, &[]),
    ] {
        let text = format!(r#"{{"name": "@s/a", {license}, "version": "1.0.0-beta.1", "main": {{}}}}"#);
        let package = installed(&text).expect("a package");
        assert_eq!((package.name.as_str(), package.version.as_str()), ("@s/a", "1.0.0-beta.1"));
        assert_eq!(package.licenses, expected, "{license}");
    }
}

#[test]
fn odd_manifests_are_read_as_npm_reads_them() {
    for text in [
        "\u{feff}{\"name\": \"a\", \"version\": \"1.2.3\"}",
        r#"{"name": "b", "version": "1.2.3", "name": "a"}"#,
        r#"{"name": "a", "version": " v1.2.3 ", "private": true}"#,
        r#"{"name": "a", "version": "=1.2.3", "description": "\u0000", "author": 7}"#,
    ] {
        let package = installed(text).expect("a package");
        assert_eq!((package.name.as_str(), package.version.as_str()), ("a", "1.2.3"), "{text}");
    }
}

#[test]
fn what_names_no_package_is_none() {
    for text in [
        r#"{"type": "module"}"#,
        r#"{"name": "a"}"#,
        r#"{"version": "1.0.0"}"#,
        r#"{"name": "a", "version": 1}"#,
        r#"{"name": "a", "version": ""}"#,
        r#"{"name": "a", "version": "workspace:*"}"#,
        r#"{"name": "a", "version": "{{version}}"}"#,
        r#"{"name": "<%= name %>", "version": "1.0.0"}"#,
        r#"{"name": "@s", "version": "1.0.0"}"#,
        r#"{"name": "../a", "version": "1.0.0"}"#,
        r#"{"name": "a\u001b[31m", "version": "1.0.0"}"#,
        r#"{"name": ["a", {}], "version": {"version": "1.0.0"}}"#,
        "{}",
    ] {
        assert_eq!(installed(text), None, "{text}");
    }
}

#[test]
fn what_is_no_json_is_a_gap_only_where_a_package_is_installed() {
    let deep = format!(r#"{{"license": {}"#, "[".repeat(100_000));
    for text in ["", "[]", "{\"name\": \"a\",", "// no JSON", deep.as_str()] {
        assert!(
            matches!(read_at("node_modules/a/package.json", text), Err(GapCause::Damaged(_))),
            "{text:.20}"
        );
        assert_eq!(read_at("srv/a/package.json", text), Ok(None), "{text:.20}");
    }
    let ignored = "[".repeat(100_000) + &"]".repeat(100_000);
    assert!(installed(&format!(r#"{{"x": {ignored}, "name": "a", "version": "1.0.0"}}"#)).is_some());
}

#[test]
fn applications_are_told_from_templates_and_private_ones_left_out() {
    let tool = r#"{"name": "tool", "version": "1.0.0", "bin": {}}"#;
    let bare = r#"{"name": "bare", "version": "1.0.0"}"#;
    let private = r#"{"name": "shop", "version": "1.0.0", "private": true, "main": "a"}"#;
    let dependency = ("srv/templates/b/node_modules/c/package.json", r#"{"name": "c", "version": "2.0.0"}"#);
    assert_eq!(found(&[("opt/yarn/package.json", tool), ("opt/a/package.json", bare)]), ["tool 1.0.0"]);
    assert!(found(&[("srv/templates/a/package.json", tool), ("srv/package.json", private)]).is_empty());
    assert_eq!(found(&[("srv/templates/b/package.json", bare), dependency]), ["c 2.0.0", "bare 1.0.0"]);
    assert_eq!(found(&[("srv/templates/b/package.json", private), dependency]), ["c 2.0.0"]);
    assert_eq!(found(&[("node_modules/shop/package.json", private)]), ["shop 1.0.0"]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = source_of(&bytes);
        let _ = read(&entry("node_modules/a/package.json"), Source::Random(&bytes));
    }

    #[test]
    fn arbitrary_json_never_panics(
        text in r#"\{("(name|version|license|licenses|private|x)": ?("[a-z0-9.@/]{0,8}"|\[("MIT",?){0,3}\]|\{"type": "a"\}|true|-1\.5),?){0,6}\}?"#,
    ) {
        if let Ok(Some(package)) = read_at("node_modules/a/package.json", &text) {
            prop_assert!(manifest::is_name(&package.name) && package.version.starts_with(|c: char| c.is_ascii_digit()));
        }
    }

    #[test]
    fn arbitrary_paths_have_a_place_only_as_manifests(path in "(node_modules|@s|a|test|nodejs|usr|share|\\.store|package\\.json|/){0,9}") {
        if let Ok(path) = EntryPath::new(path.as_bytes()) {
            prop_assert!(place::of(&path).is_none() || path.name() == b"package.json");
        }
    }
}
