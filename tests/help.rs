//! What the commands say of themselves: the help pages, and the flags that the README names.

use std::process::Command;

fn help(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).env("COLUMNS", "80").output().expect("the program starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn plugin(arguments: &[&str]) -> String {
    help(env!("CARGO_BIN_EXE_kubectl-clarity"), arguments)
}

#[test]
fn help_of_the_plugin() {
    insta::assert_snapshot!(plugin(&["--help"]));
}

#[test]
fn help_of_scan() {
    insta::assert_snapshot!(plugin(&["scan", "--help"]));
}

#[test]
fn help_of_plan() {
    insta::assert_snapshot!(plugin(&["plan", "--help"]));
}

#[test]
fn help_of_match() {
    insta::assert_snapshot!(plugin(&["match", "--help"]));
}

#[test]
fn help_of_report() {
    insta::assert_snapshot!(plugin(&["report", "--help"]));
}

#[test]
fn help_of_diff() {
    insta::assert_snapshot!(plugin(&["diff", "--help"]));
}

#[test]
fn help_of_find() {
    insta::assert_snapshot!(plugin(&["find", "--help"]));
}

#[test]
fn help_of_sbom() {
    insta::assert_snapshot!(plugin(&["sbom", "--help"]));
}

#[test]
fn help_of_db() {
    for (name, arguments) in [
        ("db", &["db", "--help"][..]),
        ("db_update", &["db", "update", "--help"]),
        ("db_push", &["db", "push", "--help"]),
        ("db_status", &["db", "status", "--help"]),
    ] {
        insta::assert_snapshot!(format!("help_of_{name}"), plugin(arguments));
    }
}

#[test]
fn help_of_cache() {
    for (name, arguments) in [
        ("cache", &["cache", "--help"][..]),
        ("cache_list", &["cache", "list", "--help"]),
        ("cache_prune", &["cache", "prune", "--help"]),
        ("cache_import", &["cache", "import", "--help"]),
    ] {
        insta::assert_snapshot!(format!("help_of_{name}"), plugin(arguments));
    }
}

#[test]
fn help_of_status_and_stop() {
    for name in ["status", "attach", "stop"] {
        insta::assert_snapshot!(format!("help_of_{name}"), plugin(&[name, "--help"]));
    }
}

#[test]
fn help_of_doctor_and_rbac() {
    for name in ["doctor", "rbac", "explain-auth"] {
        insta::assert_snapshot!(format!("help_of_{name}"), plugin(&[name, "--help"]));
    }
}

#[test]
fn help_of_schedule() {
    for (name, arguments) in [
        ("schedule", &["schedule", "--help"][..]),
        ("schedule_create", &["schedule", "create", "--help"]),
        ("schedule_list", &["schedule", "list", "--help"]),
    ] {
        insta::assert_snapshot!(format!("help_of_{name}"), plugin(arguments));
    }
}

#[test]
fn help_of_image_push() {
    insta::assert_snapshot!(plugin(&["image", "push", "--help"]));
}

#[test]
fn help_of_image_save() {
    insta::assert_snapshot!(plugin(&["image", "save", "--help"]));
}

#[test]
fn help_of_the_scanner() {
    insta::assert_snapshot!(help(env!("CARGO_BIN_EXE_clarity-scan"), &["--help"]));
}

#[test]
fn usage_reads_as_it_is_typed() {
    for arguments in [&["--help"][..], &["scan", "--help"], &["match", "--help"], &["image", "push", "--help"]]
    {
        let page = plugin(arguments);
        let usage = page.lines().find(|line| line.starts_with("Usage:")).expect("a usage line");
        assert!(usage.starts_with("Usage: kubectl clarity "), "{usage}");
    }
}

#[test]
fn no_line_of_help_is_wider_than_a_terminal() {
    for arguments in [
        &["--help"][..],
        &["scan", "--help"],
        &["plan", "--help"],
        &["match", "--help"],
        &["image", "push", "--help"],
        &["image", "save", "--help"],
        &["db", "update", "--help"],
        &["db", "push", "--help"],
        &["db", "export", "--help"],
        &["db", "import", "--help"],
        &["report", "--help"],
        &["diff", "--help"],
        &["status", "--help"],
        &["attach", "--help"],
        &["stop", "--help"],
        &["schedule", "create", "--help"],
        &["schedule", "list", "--help"],
        &["schedule", "get", "--help"],
        &["schedule", "export", "--help"],
        &["sbom", "--help"],
        &["cache", "list", "--help"],
        &["cache", "prune", "--help"],
        &["cache", "verify", "--help"],
        &["cache", "export", "--help"],
        &["cache", "import", "--help"],
        &["find", "--help"],
        &["doctor", "--help"],
        &["rbac", "--help"],
        &["explain-auth", "--help"],
    ] {
        for line in plugin(arguments).lines() {
            assert!(line.chars().count() <= 80, "{line:?}");
        }
    }
}

/// The README's table of flags in a section: the first column of rows that begin with a flag.
fn flags_of_the_readme(section: &str) -> Vec<String> {
    let readme = include_str!("../README.md");
    let (_, section) = readme.split_once(&format!("\n## {section}\n")).expect("a section");
    let lines = section.lines().take_while(|line| !line.starts_with("## "));
    let cells = lines.filter_map(|line| line.strip_prefix("| `-")?.split(" | ").next());
    cells.map(|cell| format!("-{cell}")).collect()
}

#[test]
fn every_flag_that_the_readme_names_is_one_of_its_command_and_the_other_way_round() {
    for (commands, section) in [
        (&["scan"][..], "Scan"),
        (&["match"], "Match a bill of materials"),
        (&["report"], "Earlier scans"),
        (&["diff"], "What has changed"),
        (&["status", "stop"], "Scans that run"),
        (&["sbom"], "Show a bill of materials"),
        (&["find"], "Where does it run"),
        (&["doctor"], "Will it work here"),
        (&["rbac"], "Give rights to others"),
        (&["explain-auth"], "Who may pull it"),
        (&["cache list", "cache prune", "cache verify", "cache export", "cache import"], "Cache"),
    ] {
        let named: Vec<String> = flags_of_the_readme(section);
        let named: Vec<&str> = named.iter().flat_map(|cell| words_with_dashes(cell)).collect();
        let help = |command: &&str| plugin(&command.split(' ').chain(["--help"]).collect::<Vec<_>>());
        let pages: Vec<String> = commands.iter().map(help).collect();
        let there: Vec<&str> = pages.iter().flat_map(|page| page.lines()).flat_map(words_with_dashes).collect();
        for flag in &named {
            assert!(there.contains(flag), "the README names {flag}, {commands:?} does not know it");
        }
        let own = pages.iter().map(|page| page.split("Global flags:").next().expect("the first part"));
        let options = own.flat_map(str::lines).filter(|line| line.trim_start().starts_with('-'));
        for flag in
            options.flat_map(words_with_dashes).filter(|flag| flag.starts_with("--") && *flag != "--help")
        {
            assert!(named.contains(&flag), "{commands:?} knows {flag}, the README does not name it");
        }
    }
}

fn words_with_dashes(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| c.is_whitespace() || "`,|[]()".contains(c));
    words.filter(|word| word.starts_with('-') && word.len() > 1 && !word[1..].starts_with("---"))
}
