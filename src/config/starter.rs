//! The file that `config init` writes: the shipped one, every value commented out.

use super::layers::SHIPPED;

/// What stands above it, instead of what the shipped file says of itself.
const HEADER: &str = r#"#:schema ./periodd.schema.json
# periodd's configuration. Every key is here with its default, commented out: take the `# ` away
# from what is to differ, and leave the rest, so that better defaults reach you. A block in double
# brackets comes as a whole. `periodd config check` judges this file, `periodd config show` prints
# what is in force and where each value comes from.
#
# Every key can also be set in the environment: [rollover] batch_size is
# PERIODD__ROLLOVER__BATCH_SIZE, and the environment wins over the file. Passwords never stand
# here. Durations are a number with its unit: "30s", "5m", "72h". Relative paths start at the
# directory of this file.
#
# Editors complete and check keys with the schema that the first line names, once it is there:
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
