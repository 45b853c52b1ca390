//! The kubectl plugin.

use std::process::ExitCode;

fn main() -> ExitCode {
    clarity::cli::main()
}
