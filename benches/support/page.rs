//! The table of all figures, and the page that has them: `docs/benchmarks.md`, which is written
//! as a whole. What it explains stands in `benches/page.md`.

use std::fmt::Write;

use super::kept::{Kept, commit, output};
use super::{Server, Size};

const PAGE: &str = "docs/benchmarks.md";
const TEMPLATE: &str = include_str!("../page.md");
const HEAD: [&str; 6] = ["workload", "periodd", "baseline", "ratio", "goal", "runs"];

/// All figures as one table, and what was left out below it.
pub(crate) fn table(size: Size, all: &[(&str, Option<Kept>)]) -> String {
    let rows = all.iter().filter_map(|(_, kept)| kept.as_ref()).flat_map(|kept| &kept.figures);
    let mut text = format!("| {} |\n|{}\n", HEAD.join(" | "), "---|".repeat(HEAD.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.cells(size.is_full()).join(" | "));
    }
    let missing = all.iter().filter(|(_, kept)| kept.is_none()).map(|(name, _)| *name);
    let missing: Vec<&str> = missing.collect();
    if !missing.is_empty() {
        let _ = write!(text, "\nNot measured: {}.\n", missing.join(", "));
    }
    for (name, kept) in all {
        if let Some(Kept { left_out: Some(reason), .. }) = kept {
            let _ = write!(text, "\nLeft out: {name}. {reason}\n");
        }
    }
    text
}

/// What the figures were measured on.
pub(crate) struct Machine {
    server: String,
}

impl Machine {
    pub(crate) async fn of(server: &Server) -> Self {
        let version: String = server.ask("postgres", "show server_version").await;
        let buffers: String = server.ask("postgres", "show shared_buffers").await;
        Self { server: format!("PostgreSQL {version}, shared_buffers {buffers}") }
    }

    fn describe(&self) -> String {
        let field = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned()
        };
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let model = field("/proc/cpuinfo", "model name");
        let memory = field("/proc/meminfo", "MemTotal");
        let gibibytes = memory.split(' ').next().and_then(|size| size.parse::<u64>().ok());
        let gibibytes = gibibytes.unwrap_or_default() >> 20;
        format!("{cores} cores, {model}, {gibibytes} GiB; {}", self.server)
    }
}

/// Writes the page.
pub(crate) fn write(size: Size, machine: &Machine, table: &str, plans: &str, disk: &str) {
    let size = if size.is_full() {
        String::new()
    } else {
        format!("- size: {size}; goals are for the full size\n")
    };
    let text = TEMPLATE
        .replace("{machine}", &machine.describe())
        .replace("{date}", &output("date", &["-u", "+%F"]))
        .replace("{commit}", &commit())
        .replace("{size}\n", &size)
        .replace("{table}\n", table)
        .replace("{disk}\n", disk)
        .replace("{plans}\n", plans);
    std::fs::write(PAGE, text).expect("docs/benchmarks.md can be written");
}
