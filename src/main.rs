//! The binary: read the command line, run the command, leave with its exit code.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::Parser;
use periodd::cli::output::Format;
use periodd::cli::{Cli, Failure};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Variables of libpq's that say where to connect, and as whom. The configuration says that, and
/// the private cluster's address is its own; the driver would take from these what a URL leaves
/// out, options that change every session among it. What only adds to a URL that stands on its own
/// (`PGPASSWORD`, `PGPASSFILE`, `PGSSLROOTCERT`, `PGSSLCERT`, `PGSSLKEY`) stays.
const NOT_OURS: [&str; 6] = ["PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGDATABASE", "PGOPTIONS"];

fn main() -> ExitCode {
    if NOT_OURS.iter().any(|name| std::env::var_os(name).is_some()) {
        return Cli::report(&without_libpqs_variables(), Format::Table).into();
    }
    // A shell that completes a command asks so; nothing else happens then.
    clap_complete::CompleteEnv::with_factory(periodd::cli::command).complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return Cli::misread(error).into(),
    };
    let format = cli.global.format;
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(failure) => Cli::report(&failure, format).into(),
    }
}

/// Becomes the same program without them: a process cannot safely take a variable out of its own
/// environment. Returns only when that is not possible.
fn without_libpqs_variables() -> Failure {
    let program = std::env::current_exe().ok().filter(|program| program.exists());
    let mut command = Command::new(program.unwrap_or_else(|| "/proc/self/exe".into()));
    let mut arguments = std::env::args_os();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments);
    for name in NOT_OURS {
        command.env_remove(name);
    }
    let error = command.exec();
    let names = NOT_OURS.join(", ");
    Failure::failed(format!("cannot start with {names} set: {error}; unset them and try again"))
}
