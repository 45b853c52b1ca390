//! `kubectl clarity image push|save`: the scanner's own image, for registries of one's own.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::network;
use crate::image::{Digest, Reference, ReferenceError};
use crate::registry::scanner_image::{self, BuildError, BuiltImage, Program, SCANNER};
use crate::registry::{
    Credential, Keyring, LoginError, ProxySettings, PushError, Registry, Secret, Settings, SettingsError,
    layout,
};

/// The programs that go into the image, if they are there; the first one must be.
const PROGRAMS: [&str; 2] = [SCANNER, "kubectl-clarity"];
/// Programs are some tens of MiB.
const PROGRAM_LIMIT: u64 = 1024 * 1024 * 1024;
/// Passwords and tokens are shorter.
const PASSWORD_LIMIT: u64 = 64 * 1024;

/// Bring the scanner's image into a registry, or into a file
#[derive(Clone, Debug, Args)]
pub struct ImageArgs {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum ImageCommand {
    /// Push the scanner's image to a registry; no Docker needed
    Push(PushArgs),
    /// Save the scanner's image as an OCI archive
    Save(SaveArgs),
}

/// Arguments of `image push`.
#[derive(Clone, Debug, Args)]
pub struct PushArgs {
    /// Where to push it, for example registry.example.com/tools/clarity-scan:0.1
    #[arg(value_name = "REF")]
    target: String,
    /// Folder with the static programs, or an image in another registry to be copied [default: the programs beside
    /// this one]
    #[arg(long, value_name = "DIR|REF")]
    from: Option<String>,
    /// PEM file with the certificate authority of the registry
    #[arg(long, value_name = "FILE")]
    registry_ca: Option<PathBuf>,
    /// Mirrors and settings of registries, as `scan` takes them; may be given several times
    #[arg(long, value_name = "PATH")]
    registry_config: Vec<PathBuf>,
    /// User name at the registry [default: the login of the docker command]
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    username: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Registry that may be spoken to without TLS; may be given several times
    #[arg(long, value_name = "HOST")]
    plain_http_registry: Vec<String>,
}

/// Arguments of `image save`.
#[derive(Clone, Debug, Args)]
pub struct SaveArgs {
    /// The file to write; - is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder with the static programs [default: the programs beside this one]
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Name that an import gives the image
    #[arg(long, value_name = "REF", default_value = concat!("kubectl-clarity/clarity-scan:", env!("CARGO_PKG_VERSION")))]
    name: String,
}

/// Why the image was not pushed or saved.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// What was given is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Neither a folder nor a reference.
    #[error("{from:?} is neither a folder nor an image")]
    From {
        /// What was given to `--from`.
        from: String,
        /// Why it is no reference.
        #[source]
        source: ReferenceError,
    },
    /// The programs of this machine cannot run in a Linux container.
    #[error(
        "the programs beside this one are for {os}, and the scanner runs on Linux: say --from DIR or --from REF"
    )]
    NotLinux {
        /// The operating system of this machine.
        os: &'static str,
    },
    /// A program could not be read.
    #[error("cannot read {path}")]
    Program {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The programs make no image.
    #[error("cannot build the scanner's image from {folder}")]
    Build {
        /// Where they lie.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: BuildError,
    },
    /// The certificate authority could not be read.
    #[error("cannot read {path}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The password could not be read.
    #[error("cannot read the password from standard input")]
    Password(#[source] io::Error),
    /// The person's logins could not be read.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// What a file says of registries cannot be used.
    #[error("{0}")]
    Config(String),
    /// The settings make no transport.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The registry did not take it.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The archive could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The result could not be printed.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

/// What the command needs of its surroundings.
pub struct Surroundings<'a> {
    /// The person's docker configuration, if it is known where that lies.
    pub docker_config: Option<PathBuf>,
    /// Proxies of the environment.
    pub proxy: ProxySettings,
    /// Data: the pushed reference with its digest.
    pub output: &'a mut (dyn Write + Send),
    /// Notes for people.
    pub notes: &'a mut (dyn Write + Send),
}

/// What to push.
enum Origin {
    Programs(PathBuf),
    Image(Reference),
}

/// Runs `image push` or `image save`.
pub async fn run(args: ImageArgs, surroundings: Surroundings<'_>) -> Result<(), ImageError> {
    match args.command {
        ImageCommand::Push(args) => push(args, surroundings).await,
        ImageCommand::Save(args) => save(&args, surroundings),
    }
}

async fn push(args: PushArgs, surroundings: Surroundings<'_>) -> Result<(), ImageError> {
    let PushArgs {
        target,
        from,
        registry_ca,
        registry_config,
        username,
        password_stdin: _,
        plain_http_registry,
    } = args;
    let Surroundings { docker_config, proxy, output, notes } = surroundings;
    let target: Reference = target.parse()?;
    let origin = origin_of(from)?;
    let extra_roots = match registry_ca {
        Some(path) => Some(std::fs::read(&path).map_err(|source| ImageError::Authority { path, source })?),
        None => None,
    };
    let routes = network::routes(&registry_config, notes)?;
    let settings =
        Settings { extra_roots, plain_http: plain_http_registry, routes, proxy, ..Settings::default() };
    let registry = Registry::new(settings)?;
    let keyring = match username {
        Some(username) => {
            let password = read_password(io::stdin().lock()).map_err(ImageError::Password)?;
            let mut keyring = Keyring::new();
            let credential = Credential::Basic { username, password };
            keyring.add_entry("--username", &target.repository.registry, credential);
            keyring
        }
        None => logins(docker_config.as_deref(), &target, notes)?,
    };
    let digest = match origin {
        Origin::Programs(folder) => {
            let image = build(&folder)?;
            let _ = writeln!(notes, "pushing {} for {} to {target}", size_of(&image), image.platform);
            registry.push(&image, &target, &keyring).await?
        }
        Origin::Image(origin) => {
            let origin_keyring = logins(docker_config.as_deref(), &origin, notes)?;
            let _ = writeln!(notes, "copying {origin} to {target}");
            registry.copy(&origin, &origin_keyring, &target, &keyring).await?
        }
    };
    writeln!(output, "{}", pushed(&target, digest)).map_err(ImageError::Output)
}

fn save(args: &SaveArgs, surroundings: Surroundings<'_>) -> Result<(), ImageError> {
    let Surroundings { output, notes, .. } = surroundings;
    let SaveArgs { file, from, name } = args;
    let name: Reference = name.parse()?;
    let folder = match from {
        Some(folder) => folder.clone(),
        None => own_folder()?,
    };
    let image = build(&folder)?;
    let failed = |source| ImageError::Write { path: file.clone(), source };
    if file.as_os_str() == "-" {
        return layout::write(&image, Some(&name), output).map_err(failed);
    }
    // Under another name until it is whole, so that nobody imports half an image.
    let partial = partial_name(file);
    let written = File::create(&partial)
        .and_then(|out| layout::write(&image, Some(&name), BufWriter::new(out)))
        .and_then(|()| std::fs::rename(&partial, file));
    if let Err(source) = written {
        let _ = std::fs::remove_file(&partial);
        return Err(failed(source));
    }
    let _ = writeln!(notes, "saved {} for {} as {}", size_of(&image), image.platform, file.display());
    Ok(())
}

/// A folder if there is one of that name, else a reference.
fn origin_of(from: Option<String>) -> Result<Origin, ImageError> {
    let Some(from) = from else { return own_folder().map(Origin::Programs) };
    if Path::new(&from).is_dir() {
        return Ok(Origin::Programs(PathBuf::from(from)));
    }
    match from.parse() {
        Ok(reference) => Ok(Origin::Image(reference)),
        Err(source) => Err(ImageError::From { from, source }),
    }
}

/// The folder of the running program, where an installation puts the scanner too.
fn own_folder() -> Result<PathBuf, ImageError> {
    if std::env::consts::OS != "linux" {
        return Err(ImageError::NotLinux { os: std::env::consts::OS });
    }
    let failed = |source| ImageError::Program { path: PathBuf::from("kubectl-clarity"), source };
    // A plugin is often a link from a folder on the path to where the programs are.
    let program = std::env::current_exe().and_then(|path| path.canonicalize()).map_err(failed)?;
    Ok(program.parent().map_or_else(PathBuf::new, Path::to_path_buf))
}

fn build(folder: &Path) -> Result<BuiltImage, ImageError> {
    let mut programs = Vec::new();
    for name in PROGRAMS {
        let path = folder.join(name);
        match read_program(&path) {
            Ok(content) => programs.push(Program { name: name.to_owned(), content }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ImageError::Program { path, source }),
        }
    }
    scanner_image::build(&programs).map_err(|source| ImageError::Build { folder: folder.to_owned(), source })
}

fn read_program(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let read = File::open(path)?.take(PROGRAM_LIMIT + 1).read_to_end(&mut content)?;
    if read as u64 > PROGRAM_LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large for a program"));
    }
    Ok(content)
}

/// The person's logins for one registry; broken entries are told and left out.
fn logins(config: Option<&Path>, reference: &Reference, notes: &mut dyn Write) -> Result<Keyring, ImageError> {
    let Some(config) = config else { return Ok(Keyring::new()) };
    let mut keyring = Keyring::from_docker_config(config)?;
    for broken in keyring.broken() {
        let _ = writeln!(notes, "note: {broken}");
    }
    keyring.ask_helper(&reference.repository)?;
    Ok(keyring)
}

/// One line, without its end.
fn read_password(input: impl io::Read) -> io::Result<Secret> {
    let mut text = String::new();
    input.take(PASSWORD_LIMIT).read_to_string(&mut text)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
}

fn pushed(target: &Reference, digest: Digest) -> Reference {
    Reference { digest: Some(digest), ..target.clone() }
}

fn partial_name(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// Whole MiB, rounded up.
fn size_of(image: &BuiltImage) -> String {
    format!("{} MiB", image.layer.bytes.len().div_ceil(1024 * 1024))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        image: ImageArgs,
    }

    fn parse(line: &str) -> Result<ImageArgs, clap::Error> {
        Command::try_parse_from(line.split(' ')).map(|command| command.image)
    }

    fn run_now(args: ImageArgs) -> (Result<(), ImageError>, String) {
        let mut output = Vec::new();
        let surroundings = Surroundings {
            docker_config: None,
            proxy: ProxySettings::default(),
            output: &mut output,
            notes: &mut Vec::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let result = runtime.block_on(run(args, surroundings));
        (result, String::from_utf8(output).expect("text"))
    }

    #[test]
    fn a_user_name_needs_a_password_and_the_other_way_round() {
        assert!(parse("image push a.test/b --username u").is_err());
        assert!(parse("image push a.test/b --password-stdin").is_err());
        assert!(parse("image push a.test/b --username u --password-stdin").is_ok());
    }

    #[test]
    fn a_password_is_one_line_and_may_end_without_one() {
        for text in ["pa ss", "pa ss\n", "pa ss\r\n"] {
            assert_eq!(read_password(text.as_bytes()).expect("read"), Secret::new("pa ss"));
        }
    }

    #[test]
    fn a_folder_without_the_scanner_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let args = parse(&format!("image save /dev/null --from {}", folder.path().display())).expect("parsed");
        let error = run_now(args).0.expect_err("nothing there");
        assert_eq!(
            error.to_string(),
            format!("cannot build the scanner's image from {}", folder.path().display())
        );
        let cause = std::error::Error::source(&error).expect("a cause");
        assert_eq!(cause.to_string(), "there is no clarity-scan among the programs");
    }

    #[test]
    fn what_is_neither_folder_nor_reference_is_refused() {
        let args = parse("image push a.test/b --from ./No/Such").expect("parsed");
        let error = run_now(args).0.expect_err("nothing there");
        assert_eq!(error.to_string(), r#""./No/Such" is neither a folder nor an image"#);
    }

    #[test]
    fn an_archive_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::copy(std::env::current_exe().expect("a path"), folder.path().join(SCANNER)).expect("copied");
        let file = folder.path().join("taken");
        std::fs::create_dir(&file).expect("made");
        let line = format!("image save {} --from {}", file.display(), folder.path().display());
        let error = run_now(parse(&line).expect("parsed")).0.expect_err("a folder is in the way");
        // Built static, this test is itself a program for the image; built dynamic, it is refused before.
        assert!(matches!(error, ImageError::Write { .. } | ImageError::Build { .. }));
        assert!(!partial_name(&file).exists());
    }
}
