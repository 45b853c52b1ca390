//! The command line: flags to plain configuration, results to the screen, errors to words and exit codes.

mod access;
mod attach;
mod cache;
mod database;
mod db;
mod detach;
mod diff;
mod doctor;
mod errors;
mod explain_auth;
mod find;
pub mod image;
mod input;
mod kept;
mod match_sbom;
mod network;
mod notify;
mod plan;
mod rbac;
mod report;
mod reports;
mod result;
mod rules;
mod sbom;
mod scan;
mod scans;
mod schedule;
mod status;
mod stop;
mod surroundings;
mod transfer;
mod turn;
mod ui;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use access::AccessArgs;

/// What is running in a cluster, what is inside it, and what is wrong with it
#[derive(Debug, Parser)]
// As for kubectl, the last of several flags counts.
#[command(args_override_self = true)]
#[command(name = "kubectl-clarity", bin_name = "kubectl clarity", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    access: AccessArgs,
    /// How much is said on stderr: 1 adds the time that each stage took
    #[arg(short, long, global = true, value_name = "N", default_value_t = 0, help_heading = "Global flags")]
    verbosity: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Scan the images that run in a namespace or in the whole cluster
    Scan(Box<scan::ScanArgs>),
    /// Say what a scan would read, how and where; create nothing
    Plan(Box<plan::PlanArgs>),
    /// Say which scans run, and how far they are; from any machine
    Status(Box<status::StatusArgs>),
    /// Wait for a scan that goes on in the cluster, do what is left of it, and show its report
    Attach(Box<attach::AttachArgs>),
    /// End a scan: what it has read is kept, and nothing of it is left in the cluster
    Stop(Box<stop::StopArgs>),
    /// Scan again and again: schedules, each a CronJob
    Schedule(Box<schedule::ScheduleArgs>),
    /// Hold bills of materials in files against advisories; no cluster is needed
    Match(Box<match_sbom::MatchArgs>),
    /// Show what an earlier scan found, once more or in another form
    Report(Box<report::ReportArgs>),
    /// Say what is new and what is fixed from one scan to another
    Diff(Box<diff::DiffArgs>),
    /// Show the packages of what runs, of an image that was read before, or of a file
    Sbom(Box<sbom::SbomArgs>),
    /// Say where a vulnerability or a package runs, without a pod
    Find(Box<find::FindArgs>),
    /// Bring advisories to this machine, and say which there are
    Db(Box<db::DbArgs>),
    /// What was read of images: list it, prune it, carry it elsewhere
    Cache(Box<cache::CacheArgs>),
    /// Say whether scans will work here, and what to do where not; create nothing
    Doctor(Box<doctor::DoctorArgs>),
    /// Say why an image can be read from its registry, or why not: which pull secrets were tried, and what was answered
    ExplainAuth(Box<explain_auth::ExplainAuthArgs>),
    /// Print the rights for scans as roles, or apply them to the cluster
    Rbac(Box<rbac::RbacArgs>),
    /// Put the scanner's image into a registry or a file
    Image(image::ImageArgs),
    /// Print the version
    Version,
}

/// Exit codes, the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Complete and passed.
    Passed = 0,
    /// An error.
    Error = 1,
    /// Arguments that make no sense together.
    Usage = 2,
    /// `--fail-on` threshold met.
    Threshold = 3,
    /// Not everything in scope could be read or matched.
    Incomplete = 4,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Runs the program with the arguments of the process. Wrong usage ends it with code 2, as clap does.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return errors::Explained::new("cannot start", &error).print().into(),
    };
    let exit = runtime.block_on(run(cli));
    // A blocked read of stdin or of a log must not keep the program from ending.
    runtime.shutdown_background();
    exit.into()
}

async fn run(cli: Cli) -> Exit {
    let result = match cli.command {
        Command::Scan(args) => Box::pin(scan::run(*args, cli.access, cli.verbosity)).await,
        Command::Plan(args) => plan::run(*args, cli.access).await,
        Command::Status(args) => status::run(*args, cli.access).await,
        Command::Attach(args) => Box::pin(attach::run(*args, cli.access, cli.verbosity)).await,
        Command::Stop(args) => stop::run(*args, cli.access).await,
        Command::Schedule(args) => Box::pin(schedule::run(*args, cli.access)).await,
        Command::Match(args) => match_sbom::run(*args, cli.access, cli.verbosity).await,
        Command::Report(args) => report::run(*args, cli.access).await,
        Command::Diff(args) => diff::run(*args, cli.access).await,
        Command::Sbom(args) => sbom::run(*args, cli.access, cli.verbosity).await,
        Command::Find(args) => find::run(*args, cli.access).await,
        Command::Db(args) => db::run(*args, cli.access).await,
        Command::Cache(args) => cache::run(*args, cli.access).await,
        Command::Doctor(args) => doctor::run(*args, cli.access).await,
        Command::ExplainAuth(args) => Box::pin(explain_auth::run(*args, cli.access)).await,
        Command::Rbac(args) => rbac::run(*args, cli.access).await,
        Command::Image(args) => image(args).await,
        Command::Version => {
            ui::data(None, &format!("kubectl-clarity {}\n", crate::VERSION)).map(|()| Exit::Passed)
        }
    };
    result.unwrap_or_else(|error| error.print())
}

async fn image(args: image::ImageArgs) -> Result<Exit, errors::Explained> {
    let surroundings = image::Surroundings {
        docker_config: surroundings::docker_config(),
        proxy: surroundings::proxy(),
        output: &mut std::io::stdout(),
        notes: &mut std::io::stderr(),
    };
    image::run(args, surroundings).await.map(|()| Exit::Passed).map_err(errors::Explained::from)
}
