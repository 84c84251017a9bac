//! The binary: read the command line, run the command, leave with its exit code.

use std::process::ExitCode;

use clap::Parser;
use periodd::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report().into(),
    }
}
