//! The binary: read the command line, run the command, leave with its exit code.

use std::process::ExitCode;

use clap::Parser;
use periodd::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A shell that completes a command asks so; nothing else happens then.
    clap_complete::CompleteEnv::with_factory(periodd::cli::command).complete();
    match Cli::parse().run() {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report().into(),
    }
}
