//! `kubectl clarity doctor`: whether scans will work here.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::Exit;
use super::access::AccessArgs;
use super::database::FolderArgs;
use super::errors::Explained;
use super::kept::{SCANNER_IMAGE, label};
use super::ui::{self, Color};
use crate::cluster;
use crate::doctor::{AdvisoriesHere, Check, DoctorSettings, Verdict, examine};
use crate::report::json::escape;
use crate::report::text::{plural, sanitize, wrap};

/// Columns before what was seen: the verdict and the name.
const MARGIN: usize = 9 + 18;

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Namespace that is to be scanned; that of the context without it
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// All namespaces are to be scanned
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Namespace of the ConfigMaps with what was read and found [default: clarity-system if there is one]
    #[arg(long, value_name = "NAME")]
    state_namespace: Option<String>,
    /// Namespace in which scanner pods are to run [default: that of each workload]
    #[arg(long, value_name = "NAME", value_parser = label)]
    job_namespace: Option<String>,
    /// Image of the scanner
    #[arg(long, value_name = "REF", default_value = SCANNER_IMAGE)]
    scanner_image: String,
    /// Form of the result
    #[arg(short, long, value_name = "FORMAT", default_value = "table", hide_possible_values = true)]
    output: Format,
    #[command(flatten)]
    folder: FolderArgs,
    /// Colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Looks at everything and says how it is. Fails if something does.
pub(super) async fn run(args: DoctorArgs, access: AccessArgs) -> Result<Exit, Explained> {
    let DoctorArgs {
        namespace,
        all_namespaces,
        state_namespace,
        job_namespace,
        scanner_image,
        output,
        folder,
        color,
    } = args;
    let advisories: AdvisoriesHere =
        match folder.database().and_then(|database| database.status().map_err(Explained::from)) {
            Ok((status, _)) => Ok(status),
            Err(error) => Err(error.in_words()),
        };
    let connection = cluster::connect(&access.complete()).await?;
    let namespace =
        if all_namespaces { None } else { Some(namespace.unwrap_or_else(|| connection.namespace.clone())) };
    let settings = DoctorSettings { namespace, state_namespace, job_namespace, scanner_image };
    let checks = examine(&connection, &settings, &advisories).await;
    let text = match output {
        Format::Json => {
            let json =
                serde_json::to_string_pretty(&json!({"checks": checks})).expect("it consists of strings");
            format!("{}\n", escape(&json))
        }
        Format::Table => {
            let is_terminal = std::io::stdout().is_terminal();
            let width = if is_terminal { ui::terminal_width() } else { None };
            table(&checks, width, color.enabled(is_terminal))
        }
    };
    ui::data(None, &text)?;
    let fails = checks.iter().any(|check| check.verdict == Verdict::Fail);
    Ok(if fails { Exit::Error } else { Exit::Passed })
}

/// A line for each check, its fix below it, and how many of each there are.
fn table(checks: &[Check], width: Option<u16>, color: bool) -> String {
    let mut text = String::new();
    for Check { name, verdict, detail, fix } in checks {
        let head = format!("{:9}{name:18}", verdict.word());
        let body = wrap(&sanitize(detail), MARGIN, width);
        let line = format!("{head}{}", &body[MARGIN..]);
        text.push_str(&if color { colored(*verdict, &line) } else { line });
        if let Some(fix) = fix {
            text.push_str(&wrap(&format!("fix: {}", sanitize(fix)), MARGIN, width));
        }
    }
    let count = |wanted: Verdict| checks.iter().filter(|check| check.verdict == wanted).count();
    let (warnings, fails) = (count(Verdict::Warning), count(Verdict::Fail));
    let sum = match (fails, warnings) {
        (0, 0) => "Scans will work here.".to_owned(),
        (0, _) => format!("Scans will work here, with {}.", plural(warnings, "warning")),
        _ => format!("Scans will not work here: {} of {} failed.", fails, plural(checks.len(), "check")),
    };
    text + "\n" + &sum + "\n"
}

/// The verdict in its colour.
fn colored(verdict: Verdict, line: &str) -> String {
    let code = match verdict {
        Verdict::Ok => 32,
        Verdict::Warning => 33,
        Verdict::Fail => 31,
    };
    let (word, rest) = line.split_at(verdict.word().len());
    format!("\x1b[{code}m{word}\x1b[0m{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        let check = |name, verdict, detail: &str, fix: Option<&str>| Check {
            name,
            verdict,
            detail: detail.to_owned(),
            fix: fix.map(ToOwned::to_owned),
        };
        let many = "missing: list pods in namespace \"shop\", watch pods in namespace \"shop\", create jobs in namespace \"shop\"";
        let fix = "an administrator gives them: kubectl clarity rbac scan -n shop --for-user USER --apply";
        vec![
            check("API server", Verdict::Ok, "v1.35.4 at https://cluster.test:6443/", None),
            check("rights", Verdict::Fail, many, Some(fix)),
            check("pod security", Verdict::Warning, "\u{1b}[2Jnot known", Some("look")),
        ]
    }

    #[test]
    fn checks_fit_a_terminal_and_have_their_fix_below_them() {
        insta::assert_snapshot!(table(&checks(), Some(80), false));
    }

    #[test]
    fn a_pipe_gets_a_line_for_each_check_and_each_fix() {
        assert_eq!(table(&checks(), None, false).lines().count(), 3 + 2 + 2);
        assert!(table(&checks(), None, true).contains("\u{1b}[31mfail\u{1b}[0m     rights"));
    }
}
