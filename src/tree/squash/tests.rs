use std::sync::Arc;

use super::*;
use crate::tree::record::RecordBuilder;
use crate::tree::{Budget, Kind, Layer, Limits, Step, Tree};

/// A layer's tar from lines: `path` is a file with its path as content, `path/` a folder, `a -> b` a symbolic link, `a => b` a
/// hard link, `path = text` a file with that content.
fn tar(lines: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for line in lines {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(0);
        if let Some((path, target)) = line.split_once(" -> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut header, path, target).expect("to memory");
        } else if let Some((path, target)) = line.split_once(" => ") {
            header.set_entry_type(tar::EntryType::Link);
            builder.append_link(&mut header, path, target).expect("to memory");
        } else if line.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            builder.append_data(&mut header, line, &[][..]).expect("to memory");
        } else {
            let (path, content) = line.split_once(" = ").unwrap_or((line, line));
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, content.as_bytes()).expect("to memory");
        }
    }
    builder.into_inner().expect("to memory")
}

fn is_wanted(path: &EntryPath) -> bool {
    path.name().ends_with(b".db")
}

/// Reads a layer; the evidence of each `.db` file is its content.
fn layer(lines: &[&str]) -> Stacked<String> {
    let limits = Limits::default();
    let mut builder = RecordBuilder::new(limits.link_bytes);
    let tar = tar(lines);
    let mut layer = Layer::new(&tar[..], &limits, &Budget::new(0));
    layer
        .walk(&mut |entry, content| {
            builder.add_entry(entry, is_wanted(&entry.path));
            if entry.kind == Kind::File && is_wanted(&entry.path) {
                let mut text = String::new();
                content.read_to_string(&mut text).expect("text");
                builder.add_evidence(&entry.path, "db", text);
            }
            Step::Continue
        })
        .expect("whole");
    Stacked { record: Arc::new(builder.finish()), diff_id: None }
}

fn squashed(layers: &[&[&str]]) -> Squashed<String> {
    squash(layers.iter().map(|lines| layer(lines)).collect(), &[])
}

/// Paths of all evidence in the image, with its content where that is not the path.
fn seen(layers: &[&[&str]]) -> Vec<String> {
    let squashed = squashed(layers);
    let show = |path: String, text: &String| if path == *text { path } else { format!("{path} = {text}") };
    squashed.sightings().map(|sighting| show(sighting.path.to_string(), sighting.evidence)).collect()
}

fn resolved(layers: &[&[&str]], path: &str) -> String {
    match squashed(layers).resolve(&EntryPath::new(path.as_bytes()).expect("a path")) {
        Resolved::File { path, .. } => path.to_string(),
        Resolved::Directory { path } => format!("{path}/"),
        Resolved::Nothing => "nothing".to_owned(),
    }
}

#[test]
fn upper_file_replaces_lower_file() {
    assert_eq!(seen(&[&["a.db = old", "b.db"], &["a.db = new"]]), ["a.db = new", "b.db"]);
}

#[test]
fn whiteout_hides_file_of_lower_layer() {
    assert_eq!(seen(&[&["etc/a.db", "etc/b.db"], &["etc/.wh.a.db"]]), ["etc/b.db"]);
}

#[test]
fn whiteout_of_a_folder_hides_all_that_is_in_it() {
    assert_eq!(seen(&[&["etc/x/a.db", "etc/xy/b.db"], &["etc/.wh.x"]]), ["etc/xy/b.db"]);
}

#[test]
fn whiteout_and_new_file_in_one_layer_leave_the_new_file_in_either_order() {
    assert_eq!(seen(&[&["a.db = old"], &[".wh.a.db", "a.db = new"]]), ["a.db = new"]);
    assert_eq!(seen(&[&["a.db = old"], &["a.db = new", ".wh.a.db"]]), ["a.db = new"]);
}

#[test]
fn a_file_can_come_back_after_its_whiteout() {
    assert_eq!(seen(&[&["a.db = old"], &[".wh.a.db"], &["a.db = new"]]), ["a.db = new"]);
}

#[test]
fn opaque_directory_hides_lower_files_even_when_it_comes_after_its_siblings() {
    let layers: [&[&str]; 2] = [&["etc/app/old.db"], &["etc/app/new.db", "etc/app/.wh..wh..opq"]];
    assert_eq!(seen(&layers), ["etc/app/new.db"]);
}

#[test]
fn opaque_root_hides_everything_below() {
    assert_eq!(seen(&[&["a.db", "b/c.db"], &[".wh..wh..opq", "d.db"]]), ["d.db"]);
}

#[test]
fn names_of_aufs_are_noise() {
    let layers: [&[&str]; 2] =
        [&["a.db"], &[".wh..wh.aufs", ".wh..wh.plnk/", ".wh..wh.plnk/1.db", ".wh.", ".wh..", ".wh..."]];
    assert_eq!(seen(&layers), ["a.db"]);
}

#[test]
fn anything_but_a_folder_hides_a_lower_folder() {
    assert_eq!(seen(&[&["x/a.db"], &["x"]]), [""; 0]);
    assert_eq!(seen(&[&["x/a.db"], &["x -> y"]]), [""; 0]);
    assert_eq!(seen(&[&["x/y/a.db"], &["x"], &["x/"]]), [""; 0]);
}

#[test]
fn a_folder_replaces_a_lower_link_or_file_also_when_only_implied() {
    assert_eq!(resolved(&[&["x -> y", "y/a.db"], &["x/"]], "x"), "x/");
    assert_eq!(resolved(&[&["x -> y", "y/a.db"], &["x/b.db"]], "x/a.db"), "nothing");
    assert_eq!(seen(&[&["x.db"], &["x.db/"]]), [""; 0]);
}

#[test]
fn of_a_path_that_comes_twice_in_a_layer_the_last_counts() {
    assert_eq!(seen(&[&["a.db = one", "a.db = two"]]), ["a.db = two"]);
    assert_eq!(seen(&[&["a.db = one", "a.db -> b"]]), [""; 0]);
    assert_eq!(seen(&[&["a.db = one", "a.db/", "a.db/b.db"]]), ["a.db/b.db"]);
    assert_eq!(seen(&[&["x/a.db", "x.z/b.db", "x"]]), ["x.z/b.db"]);
    assert_eq!(resolved(&[&["x/a.db", "x", "x/"]], "x"), "x/");
    assert_eq!(resolved(&[&["x/", "x"]], "x"), "x");
}

#[test]
fn links_are_resolved_when_all_layers_lie_in_place() {
    let layers: [&[&str]; 3] = [
        &["var/lib/dpkg -> /opt/db/", "opt/db/status"],
        &["opt -> srv/./opt"],
        &["srv/opt/db/status", "abs -> /../../var/lib", "up -> srv/opt/../../abs"],
    ];
    assert_eq!(resolved(&layers, "var/lib/dpkg/status"), "srv/opt/db/status");
    assert_eq!(resolved(&layers, "abs/dpkg"), "srv/opt/db/");
    assert_eq!(resolved(&layers, "up"), "var/lib/");
    assert_eq!(resolved(&layers, "var/lib/dpkg/status/x"), "nothing");
}

#[test]
fn dot_dot_means_the_parent_of_where_a_link_leads() {
    assert_eq!(resolved(&[&["a -> b/c", "b/c/", "b/f", "f", "link -> a/../f"]], "link"), "b/f");
}

#[test]
fn loops_of_links_end() {
    assert_eq!(resolved(&[&["a -> b", "b -> a"]], "a/x"), "nothing");
    assert_eq!(resolved(&[&["a -> a/a/a/a"]], "a"), "nothing");
}

#[test]
fn hard_links_share_what_was_read_whatever_the_order_and_layer() {
    assert_eq!(seen(&[&["a.db = x", "b.db => a.db"]]), ["a.db = x", "b.db = x"]);
    assert_eq!(seen(&[&["b.db => a.db", "a.db = x"]]), ["a.db = x", "b.db = x"]);
    assert_eq!(seen(&[&["a.db = x"], &["b.db => a.db", ".wh.a.db"]]), ["b.db = x"]);
    assert_eq!(seen(&[&["a.db = x"], &["b => a.db"], &["c.db => b"]]), ["a.db = x", "c.db = x"]);
}

#[test]
fn links_to_files_nobody_wanted_become_targets() {
    let squashed = squashed(&[&["blob = x"], &["hard.db => blob", "soft.db -> ./blob", "gone.db -> nowhere"]]);
    let targets: Vec<_> = squashed
        .targets()
        .iter()
        .map(|target| format!("{}: {} as {}", target.layer, target.path, target.wanted_as))
        .collect();
    assert_eq!(targets, ["0: blob as hard.db", "0: blob as soft.db"]);
    let gaps: Vec<_> = squashed.gaps().iter().map(|gap| format!("{} {}", gap.path, gap.cause)).collect();
    assert_eq!(
        gaps,
        [
            "hard.db is a link to \"blob\", which could not be read",
            "soft.db is a link to \"blob\", which could not be read"
        ]
    );
}

#[test]
fn served_targets_are_found_by_their_wanted_name() {
    let mut squashed = squashed(&[&["blob = x"], &["hard.db => blob", "soft.db -> ./blob"]]);
    let targets = squashed.targets().to_vec();
    let found = |target: &Target| Found { path: target.path.clone(), reader: "db", evidence: "x".to_owned() };
    let served = targets.iter().map(|target| (target.clone(), found(target))).collect();
    squashed.serve(&targets, Served { found: served, gaps: Vec::new(), memory: Vec::new() });
    assert!(squashed.gaps().is_empty() && squashed.targets().is_empty());
    for path in ["hard.db", "soft.db"] {
        let texts: Vec<_> = squashed.at(path).map(|sighting| sighting.evidence.as_str()).collect();
        assert_eq!(texts, ["x"], "{path}");
    }
}

#[test]
fn a_hard_link_to_nothing_is_a_gap() {
    let gaps = squashed(&[&["a.db => nowhere"]]).gaps();
    assert_eq!(gaps[0].cause.to_string(), "is a link to \"nowhere\", which could not be read");
}

#[test]
fn fixed_names_are_looked_up_through_folders_that_are_links() {
    let lower = layer(&["db -> real", "real/a", "real/d/x", "real/d/y"]);
    let upper = layer(&["real/d/z", "other/"]);
    let squashed = squash(vec![lower, upper], &["db/a", "db/d/", "db/none", "other/"]);
    let targets: Vec<_> = squashed
        .targets()
        .iter()
        .map(|target| {
            format!(
                "{}: {} as {}{}",
                target.layer,
                target.path,
                target.wanted_as,
                if target.is_directory { "/" } else { "" }
            )
        })
        .collect();
    assert_eq!(targets, ["0: real/a as db/a", "0: real/d as db/d/", "1: real/d as db/d/"]);
}

#[test]
fn the_same_layer_may_occur_twice() {
    let one = layer(&["a.db", "b.db => a.db"]);
    let squashed = squash(vec![one.clone(), one], &[]);
    assert_eq!(squashed.sightings().count(), 2);
}

#[test]
fn evidence_within_a_folder_leaves_out_what_lies_deeper() {
    let squashed = squashed(&[&["l -> d", "d/a.db", "d/x/b.db", "d.db", "dd/c.db"]]);
    let paths: Vec<_> = squashed.within("l").map(|sighting| sighting.path.to_string()).collect();
    assert_eq!(paths, ["d/a.db"]);
}
