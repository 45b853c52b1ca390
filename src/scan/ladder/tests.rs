use super::*;
use crate::cluster::ApiError;
use crate::facts::{Node, PodSecurity, Version};
use crate::image::Platform;
use crate::job::Distrust;
use crate::plan::Reader;

fn mount(namespace: &str, node: &str) -> Place {
    Place {
        namespace: namespace.into(),
        pull_secrets: Vec::new(),
        secrets_from: None,
        reader: Reader::Mount { node: Some(node.into()) },
    }
}

fn stream(namespace: &str) -> Place {
    Place { namespace: namespace.into(), pull_secrets: Vec::new(), secrets_from: None, reader: Reader::Stream }
}

fn restricted() -> Problem {
    Problem::NoPod(r#"pods "clarity-1" is forbidden: violates PodSecurity "restricted:v1.34""#.into())
}

/// The users under whom a place is tried until nothing is left.
fn way_down(ladder: &mut Ladder, place: &Place, problem: &Problem) -> Vec<User> {
    let mut users = Vec::new();
    while let Ok(user) = ladder.user(place) {
        users.push(user);
        assert!(users.len() < 10, "{users:?}");
        ladder.after(place, user, problem).expect("it is a refusal");
    }
    users
}

#[test]
fn admission_leads_down_rung_by_rung_in_its_namespace_only() {
    let mut ladder = Ladder::default();
    let down = way_down(&mut ladder, &mount("a", "n1"), &restricted());
    assert_eq!(down, [User::RootOfNamespace, User::Nobody, User::Assigned]);
    assert!(ladder.user(&mount("a", "n2")).is_err());
    assert_eq!(ladder.user(&mount("b", "n1")), Ok(User::RootOfNamespace));
    assert_eq!(ladder.user(&stream("a")), Ok(User::Nobody));
}

#[test]
fn a_runtime_leads_down_on_its_node_only() {
    let mut ladder = Ladder::default();
    let sandbox = Problem::Sandbox("remount-private … permission denied".into());
    ladder.after(&mount("a", "n1"), User::RootOfNamespace, &sandbox).expect("a refusal");
    assert_eq!(ladder.user(&mount("b", "n1")), Ok(User::Nobody));
    assert_eq!(ladder.user(&mount("a", "n2")), Ok(User::RootOfNamespace));
    let old = Problem::NoImageVolumes("no volume plugin matched".into());
    ladder.after(&mount("a", "n1"), User::Nobody, &old).expect("a refusal");
    assert!(ladder.user(&mount("b", "n1")).is_err());
}

#[test]
fn an_api_server_that_leaves_volumes_out_closes_all_mounts_at_once() {
    let mut ladder = Ladder::default();
    let change = Distrust { text: "the volume was taken out".into(), is_of_volumes: true };
    ladder
        .after(&mount("a", "n1"), User::RootOfNamespace, &Problem::Dropped(change.clone()))
        .expect("a refusal");
    assert!(ladder.user(&mount("b", "n2")).is_err());
    let mut ladder = Ladder::default();
    ladder.after(&mount("a", "n1"), User::RootOfNamespace, &Problem::Altered(change)).expect("a refusal");
    assert!(ladder.user(&mount("a", "n2")).is_err());
    assert!(ladder.user(&mount("b", "n1")).is_ok(), "a webhook may be for one namespace");
}

#[test]
fn two_pods_refused_at_once_lead_down_one_rung_only() {
    let mut ladder = Ladder::default();
    let place = mount("a", "n1");
    let first = ladder.after(&place, User::RootOfNamespace, &restricted()).expect("a refusal");
    let second = ladder.after(&place, User::RootOfNamespace, &restricted()).expect("a refusal");
    assert_eq!((first.is_new, second.is_new), (true, true));
    assert!(first.words.is_some_and(|words| words.contains("in namespace a the scanner runs as user 65532")));
    assert_eq!(second.words, None);
    assert_eq!(ladder.notes().len(), 1);
    assert_eq!(ladder.user(&place), Ok(User::Nobody));
}

#[test]
fn what_says_nothing_about_the_user_leads_nowhere() {
    let mut ladder = Ladder::default();
    let quota = Problem::NoPod(r#"pods "x" is forbidden: exceeded quota: q"#.into());
    let no_scanner = Problem::Setup(format!("StartError: exec: \"{SCANNER}\": no such file"));
    let right = ApiError { action: "create jobs".into(), refusal: Refusal::Forbidden("cannot".into()) };
    for problem in [quota, no_scanner, Problem::Refused(right), Problem::OutOfMemory, Problem::Deleted] {
        assert_eq!(ladder.after(&mount("a", "n"), User::RootOfNamespace, &problem), None, "{problem}");
    }
}

#[test]
fn facts_leave_out_what_is_known_to_be_refused() {
    let node = Node {
        platform: Platform::of_this_program(),
        taints: Vec::new(),
        closed: None,
        without_user_namespaces: Some("its runtime offers none".into()),
        images: BTreeMap::new(),
    };
    let old = PodSecurity { is_restricted: true, version: Version::parse("v1.34") };
    let facts = Facts {
        server: Version::parse("v1.35.4"),
        nodes: BTreeMap::from([("plain".to_owned(), node)]),
        namespaces: BTreeMap::from([("old".to_owned(), old)]),
    };
    let ladder = Ladder::new(&facts);
    assert_eq!(ladder.notes(), Vec::<String>::new(), "nothing was refused");
    assert_eq!(ladder.user(&mount("old", "n")), Ok(User::Nobody));
    assert_eq!(ladder.user(&mount("a", "plain")), Ok(User::Nobody));
    assert_eq!(ladder.user(&mount("a", "n")), Ok(User::RootOfNamespace));
}

#[test]
fn a_stream_is_tried_once_more_where_users_are_assigned() {
    let mut ladder = Ladder::default();
    let scc =
        "unable to validate against any security context constraint: [.containers[0].runAsUser: Invalid value]";
    let descent = ladder.after(&stream("a"), User::Nobody, &Problem::NoPod(scc.into())).expect("a refusal");
    assert!(descent.is_new);
    assert_eq!(ladder.user(&stream("a")), Ok(User::Assigned));
    assert_eq!(ladder.after(&stream("a"), User::Assigned, &Problem::NoPod(scc.into())), None);
    assert_eq!(ladder.after(&stream("a"), User::Nobody, &restricted()), None);
}
