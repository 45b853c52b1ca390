use super::super::{JavaArchive, JavaArtifact, JavaManifest};
use super::*;

fn artifact(coordinates: &str) -> JavaArtifact {
    let mut parts = coordinates.split(':').map(ToOwned::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    JavaArtifact { group: next(), artifact: next(), version: next(), licenses: Vec::new() }
}

fn manifest(headers: &str) -> JavaManifest {
    super::super::manifest::parse(headers.as_bytes(), false).expect("whole")
}

fn found(file: &str, artifacts: &[&str], headers: &str) -> Vec<String> {
    let archive = JavaArchive {
        artifacts: artifacts.iter().map(|coordinates| artifact(coordinates)).collect(),
        manifest: Some(manifest(headers)),
        has_classes: true,
        ..JavaArchive::default()
    };
    of(&archive, file).into_iter().map(|found| format!("{} {}", found.name, found.version)).collect()
}

#[test]
fn files_are_called_by_name_and_version() {
    for (file, expected) in [
        ("log4j-core-2.14.1.jar", "log4j-core 2.14.1"),
        ("log4j-1.2-api-2.14.1.jar", "log4j-1.2-api 2.14.1"),
        ("hibernate-jpa-2.1-api-1.0.0.Final.jar", "hibernate-jpa-2.1-api 1.0.0.Final"),
        ("guava-31.1-jre.JAR", "guava 31.1-jre"),
        ("guava-r09.jar", "guava r09"),
        ("spring-r2dbc-5.3.9.jar", "spring-r2dbc 5.3.9"),
        ("foo-1.0-SNAPSHOT.war", "foo 1.0-SNAPSHOT"),
        ("foo-1.0-20230101.123456-1.jar", "foo 1.0-20230101.123456-1"),
        ("foo-1.0-beta-2.jar", "foo 1.0-beta-2"),
        ("foo-1.0-rc1-build-7.jar", "foo 1.0-rc1-build-7"),
        ("kafka_2.13-3.6.0.jar", "kafka_2.13 3.6.0"),
        ("org.eclipse.osgi_3.18.0.v20220516-2155.jar", "org.eclipse.osgi 3.18.0.v20220516-2155"),
        ("bcprov-jdk15on-1.70.jar", "bcprov-jdk15on 1.70"),
        ("foo-1.0-jar-with-dependencies.jar", "foo 1.0"),
        ("foo-1.0-tests.jar", "foo 1.0"),
        ("jffi-1.2.19-native.jar", "jffi 1.2.19"),
        ("netty-tcnative-2.0.1.Final-linux-x86_64.jar", "netty-tcnative 2.0.1.Final"),
        ("ROOT.war", "ROOT "),
        ("my app:x.jar", "my_app_x "),
        ("1.2.3.jar", "1.2.3 "),
        ("-.jar", "- "),
    ] {
        assert_eq!(found(file, &[], ""), [expected], "{file}");
    }
}

#[test]
fn versions_of_the_manifest_stand_in_for_that_of_the_file() {
    for (file, headers, expected) in [
        ("a.jar", "Implementation-Version: 1.2.3 (build 7)\nBundle-Version: 9\n", "a 1.2.3"),
        ("a.jar", "Implementation-Version: ${version}\nBundle-Version: 1.2.0.Final\n", "a 1.2.0.Final"),
        ("a.jar", "Implementation-Version: unknown\nSpecification-Version: 2.5\n", "a 2.5"),
        ("a-1.0.jar", "Implementation-Version: 2.0\n", "a 1.0"),
        ("a-1.0-linux-x86_64.jar", "Implementation-Version: 1.0\n", "a 1.0"),
        ("a-1.0-beta-2.jar", "Implementation-Version: 1.0\n", "a 1.0-beta-2"),
        ("31.jar", "Bundle-SymbolicName: org.a.b\nBundle-Version: 3\n", "org.a.b 3"),
        ("31.jar", "Implementation-Title: The A of B\n", "31 "),
        ("a.jar", "Implementation-Vendor-Id: org.a\nBundle-SymbolicName: org.a.b\n", "a "),
    ] {
        assert_eq!(found(file, &[], headers), [expected], "{file} {headers}");
    }
}

#[test]
fn what_maven_wrote_goes_before_all_else() {
    assert_eq!(found("app.jar", &["org.a:shop:1.0"], "Implementation-Version: 2\n"), ["org.a:shop 1.0"]);
    assert_eq!(found("shop-1.0.jar", &[":shop:1.0"], ""), ["shop 1.0"]);
    assert_eq!(found("shop-1.0.jar", &["org.a:shop:"], ""), ["org.a:shop 1.0"]);
    assert_eq!(found("shop.jar", &["org.a:shop:"], "Bundle-Version: 1.0.1\n"), ["org.a:shop 1.0.1"]);
}

#[test]
fn a_shaded_archive_is_told_from_what_was_put_into_it() {
    let shaded = ["org.b:gson:2.8", "org.a:shop:", "org.a:shop-api:"];
    let expected = ["org.b:gson 2.8", "org.a:shop 1.0", "org.a:shop-api "];
    assert_eq!(found("shop-1.0-all.jar", &shaded, ""), expected);
    let expected = ["org.b:gson 2.8", "org.a:shop 3", "org.a:shop-api "];
    let headers = "Implementation-Title: shop\nImplementation-Version: 3\n";
    assert_eq!(found("app.jar", &shaded, headers), expected);
    // Nothing says that it is the archive itself, so there is another package that is.
    assert_eq!(found("shop-1.0.jar", &["org.b:gson:2.8"], ""), ["org.b:gson 2.8", "shop 1.0"]);
    assert_eq!(found("app.jar", &["org.b:gson:2.8", "org.c:x:1"], ""), ["org.b:gson 2.8", "org.c:x 1"]);
    // Of two names that fit the longer one is meant.
    let pair = ["org.a:log4j:", "org.a:log4j-1.2-api:"];
    let expected = ["org.a:log4j ", "org.a:log4j-1.2-api 2.1"];
    assert_eq!(found("log4j-1.2-api-2.1.jar", &pair, ""), expected);
}

#[test]
fn plugins_of_jenkins_name_their_group() {
    let headers =
        "Group-Id: org.jenkins-ci.plugins\nShort-Name: git\nExtension-Name: git\nPlugin-Version: 4.11.3\n";
    assert_eq!(found("git.jpi", &[], headers), ["org.jenkins-ci.plugins:git 4.11.3"]);
    assert_eq!(found("git.jar", &[], "Group-Id: org.a\nExtension-Name: git\n"), ["git "]);
}

#[test]
fn sources_and_documents_are_no_software_unless_there_are_classes() {
    let mut archive = JavaArchive { artifacts: vec![artifact("org.a:b:1")], ..JavaArchive::default() };
    for file in ["b-1-sources.jar", "b-1-javadoc.jar", "b-1-test-sources.jar"] {
        assert_eq!(of(&archive, file), [], "{file}");
    }
    assert_eq!(of(&archive, "b-1.jar").len(), 1);
    archive.has_classes = true;
    assert_eq!(of(&archive, "b-1-sources.jar")[0].name, "org.a:b");
}

#[test]
fn licences_and_vendor_of_the_manifest_are_those_of_the_archive_itself() {
    let archive = JavaArchive {
        artifacts: vec![artifact("org.b:gson:2"), artifact("org.a:b:1")],
        manifest: Some(manifest("Bundle-License: MIT\nBundle-Vendor: A\n")),
        ..JavaArchive::default()
    };
    let found = of(&archive, "b-1.jar");
    assert_eq!((found[0].licenses.len(), found[0].supplier.as_deref()), (0, None));
    assert_eq!((found[1].licenses[0].as_str(), found[1].supplier.as_deref()), ("MIT", Some("A")));
}

proptest::proptest! {
    #[test]
    fn arbitrary_names_never_panic(file in "\\PC{0,30}", version in "\\PC{0,8}", title in "\\PC{0,8}") {
        let headers = format!("Implementation-Version: {version}\nImplementation-Title: {title}\nBundle-Version: 1\n");
        for name in found(&file, &[":a:"], &headers) {
            proptest::prop_assert!(!name.is_empty());
        }
    }

    #[test]
    fn names_of_files_are_split_whole(file in "[a-z0-9._-]{1,20}") {
        let named = Named::of(&file);
        let length = named.name.len() + named.version.len() + usize::from(!named.version.is_empty());
        proptest::prop_assert_eq!(length, file.len());
    }
}
