//! The scanner.

use std::io::{stderr, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    clarity::worker::main(std::env::args_os(), &mut stdout(), &mut stderr())
}
