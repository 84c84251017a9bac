//! The file that `config init` writes: the shipped one, every value commented out.

use super::layers::SHIPPED;

/// What stands above it, instead of what the shipped file says of itself.
const HEADER: &str = r#"#:schema ./periodd.schema.json
# periodd's configuration. Every key is listed with its default, commented out: remove the `# ` from
# the settings that you change, and leave the others, so that you get better defaults in the future.
# Uncomment a block in double brackets as a whole. `periodd config check` validates this file, and
# `periodd config show` prints the effective values and their origin.
#
# Every key can also be set in the environment, which takes precedence: [rollover] batch_size is
# PERIODD__ROLLOVER__BATCH_SIZE. Passwords are not allowed in this file. Durations are a number with
# a unit: "30s", "5m", "72h". Relative paths are relative to the directory of this file.
#
# Editors complete and check keys with the schema named in the first line, once you create it:
# `periodd config schema > periodd.schema.json`.
"#;

/// The file's text.
pub(super) fn text() -> String {
    let body = SHIPPED.split_once("\n\n").map_or(SHIPPED, |(_, body)| body);
    let lines = body.lines().map(|line| {
        let is_value = !line.is_empty() && !line.starts_with('#');
        let is_section = line.starts_with('[') && !line.starts_with("[[");
        let mark = if is_value && !is_section { "# " } else { "" };
        format!("{mark}{line}\n")
    });
    format!("{HEADER}\n{}", lines.collect::<String>())
}
