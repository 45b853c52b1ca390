//! What `plan` says that a scan would do, held against what the cluster says to it.

use serde_json::{Value, json};

use crate::environment::{environment, kubectl_with};
use crate::namespace::Namespace;
use crate::plugin::{Ended, Plugin};
use crate::rights::{account, role_of_the_readme};

fn plan(namespace: &Namespace, flags: &[&str]) -> Ended {
    Plugin::new(&["plan", "-n", &namespace.name, "--scanner-image", &environment().scanner]).with(flags).run()
}

#[test]
fn plan_names_images_and_jobs_and_creates_nothing() {
    let namespace = Namespace::with_image("plan", "multi", "apps/multi");
    let ended = plan(&namespace, &["-o", "json"]).code(0);
    let preview = ended.report();
    let images = preview["images"].as_array().expect("a list");
    assert_eq!((images.len(), &images[0]["containers"], &images[0]["job"]), (1, &json!(1), &json!(1)));
    assert!(images[0]["image"].as_str().expect("text").contains("apps/multi@sha256:"), "{}", images[0]);
    // Its pod waits for ever on a node that does not have the image.
    let how = &images[0]["how"];
    assert!(how["streamed"]["registry"] == json!(environment().public) || how["mounted"].is_object(), "{how}");
    assert_eq!(preview["jobs"].as_array().map(Vec::len), Some(1));
    assert_eq!(preview["missing_rights"], json!([]));
    namespace.assert_nothing_left();
}

#[test]
fn jobs_as_yaml_are_taken_by_the_api_server() {
    let namespace = Namespace::with_image("planned", "multi", "apps/multi");
    let yaml = plan(&namespace, &["-o", "yaml"]).code(0).stdout;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), yaml).expect("written");
    let path = file.path().display().to_string();
    let said = kubectl_with(&["create", "--dry-run=server", "-o", "name", "-f", &path], &Value::Null);
    assert!(said.contains("job.batch/clarity-"), "{said}");
    namespace.assert_nothing_left();
}

#[test]
fn missing_rights_are_named_before_anything_is_tried() {
    let namespace = Namespace::with_image("unable", "multi", "apps/multi");
    let mut rules = role_of_the_readme()["rules"].clone();
    for rule in rules.as_array_mut().expect("a list") {
        rule["verbs"].as_array_mut().expect("a list").retain(|verb| verb != "create" && verb != "delete");
    }
    let user = account(&namespace, "looker", &rules);
    let ended = plan(&namespace, &["--as", &user]).code(1);
    for verb in ["create", "delete"] {
        let line = format!("Missing right: {verb} jobs in namespace \"{}\"", namespace.name);
        assert!(ended.stdout.contains(&line), "{}", ended.stdout);
    }
    assert!(!ended.stdout.contains("list pods"), "{}", ended.stdout);
}
