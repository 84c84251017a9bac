//! What a command says: tables for people, JSON for programs, notes beside both.
//!
//! A command builds one value that implements [`Output`] and hands it to [`Screen::show`]. The
//! value's serialisation is the stable API; its page is free to change from release to release.
//! Only answers go to stdout; notes and progress go to stderr.

use std::io::{self, BufWriter, IsTerminal, Write};

use comfy_table::{
    Attribute, Cell as Drawn, CellAlignment, Color, ContentArrangement, LineStyle, TableStyle,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemars::JsonSchema;
use serde::Serialize;

use super::Failure;

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Format {
    /// Tables that fit the terminal
    #[default]
    Table,
    /// One JSON document: the stable API
    Json,
}

/// An answer: serialised for programs, laid out for people. What has no schema cannot be shown.
pub trait Output: Serialize + JsonSchema {
    /// The answer as text and tables.
    fn page(&self) -> Page;
}

/// Where a command's answer and its notes go, and how they look there.
#[derive(Clone, Debug)]
pub struct Screen {
    format: Format,
    quiet: bool,
    colour: bool,
    width: Option<u16>,
}

impl Screen {
    /// The process's own stdout and stderr.
    #[must_use]
    pub fn new(format: Format, quiet: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = io::stdout().is_terminal() && !set("NO_COLOR") && !dumb;
        // Some terminals (serial lines, fresh containers) report a width of 0: not a fact.
        let width = comfy_table::Table::new().width().filter(|width| *width > 0);
        Self { format, quiet, colour, width }
    }

    /// How answers are written.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Writes a command's answer to stdout, in the format that was asked for.
    ///
    /// # Errors
    /// Exit 1 when stdout cannot be written. A reader that has gone away (`… | head -1`) is no
    /// error: it has what it wanted, and the command has done its work.
    pub fn show(&self, output: &impl Output) -> Result<(), Failure> {
        self.write(|stdout| match self.format {
            Format::Table => {
                stdout.write_all(output.page().render(self.width, self.colour).as_bytes())
            }
            Format::Json => {
                serde_json::to_writer_pretty(&mut *stdout, output)?;
                writeln!(stdout)
            }
        })
    }

    /// Writes a part of a long answer to stdout at once, for people alone: nothing in other
    /// formats, which are one document, and nothing with `--quiet`.
    ///
    /// # Errors
    /// As [`Screen::show`].
    pub fn tell(&self, page: &Page) -> Result<(), Failure> {
        if self.quiet || self.format != Format::Table {
            return Ok(());
        }
        let text = page.render(self.width, self.colour);
        self.write(|stdout| stdout.write_all(text.as_bytes()))
    }

    /// Columns of the terminal; `None` where there is no terminal.
    #[must_use]
    pub fn width(&self) -> Option<u16> {
        self.width
    }

    /// Writes to stdout through a buffer, and flushes it; for answers too long to hold.
    ///
    /// # Errors
    /// As [`Screen::show`].
    pub fn write(
        &self,
        body: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut stdout = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        match body(&mut stdout).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::failed(format!("cannot write to standard output: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// A remark on stderr, unless `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            // A closed stderr must not stop the work that the remark is about.
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// A line on stderr that changes as work goes on; invisible with `--quiet`.
    #[must_use]
    pub fn spinner(&self) -> ProgressBar {
        let target =
            if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let style = ProgressStyle::with_template("{spinner} {msg} ({per_sec}, {elapsed})")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        ProgressBar::with_draw_target(None, target).with_style(style)
    }

    /// A progress bar on stderr: invisible when stderr is no terminal, and with `--quiet`.
    #[must_use]
    pub fn progress(&self, total: u64, what: &'static str) -> ProgressBar {
        let target =
            if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(Some(total), target).with_style(style).with_message(what)
    }
}

/// An answer laid out for people: lines and tables, one under the other.
#[derive(Clone, Debug, Default)]
pub struct Page(Vec<Block>);

#[derive(Clone, Debug)]
enum Block {
    Line(Vec<Cell>),
    Table(Table),
}

impl Page {
    /// A page with nothing on it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line of text; an empty one separates.
    #[must_use]
    pub fn line(self, text: impl Into<Cell>) -> Self {
        self.parts([text.into()])
    }

    /// Adds a line of several parts, each in its own tone, one right after the other.
    #[must_use]
    pub fn parts(mut self, parts: impl IntoIterator<Item = Cell>) -> Self {
        self.0.push(Block::Line(parts.into_iter().collect()));
        self
    }

    /// Adds a table.
    #[must_use]
    pub fn table(mut self, table: Table) -> Self {
        self.0.push(Block::Table(table));
        self
    }

    /// The page as text: at most `width` columns wide when there is one, with colours if wanted.
    #[must_use]
    pub fn render(&self, width: Option<u16>, colour: bool) -> String {
        let mut text = String::new();
        for block in &self.0 {
            match block {
                Block::Line(parts) => text.extend(parts.iter().map(|part| part.paint(colour))),
                Block::Table(table) => text.push_str(&table.draw(width, colour).trim_fmt()),
            }
            text.push('\n');
        }
        text
    }
}

impl Page {
    /// The page as a piece of HTML: lines are paragraphs, tones are classes.
    #[must_use]
    pub fn html(&self) -> String {
        let mut text = String::new();
        for block in &self.0 {
            match block {
                Block::Line(parts) => {
                    let parts: String = parts.iter().map(|part| part.html("span")).collect();
                    text.push_str(&["<p>", &parts, "</p>\n"].concat());
                }
                Block::Table(table) => text.push_str(&table.html()),
            }
        }
        text
    }
}

/// A text as HTML says it.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

impl From<Table> for Page {
    fn from(table: Table) -> Self {
        Self::new().table(table)
    }
}

/// A table with a heading for every column.
#[derive(Clone, Debug)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows. Columns of numbers are aligned by their cells ([`Cell::number`]).
    #[must_use]
    pub fn new(headings: impl IntoIterator<Item = &'static str>) -> Self {
        Self { headings: headings.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row: one cell per heading, in their order.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) -> &mut Self {
        self.rows.push(cells.into_iter().collect());
        self
    }

    fn draw(&self, width: Option<u16>, colour: bool) -> comfy_table::Table {
        let mut drawn = comfy_table::Table::new();
        // Terminal and colour were decided once, by the screen; nothing is asked again here.
        drawn.force_no_tty();
        if colour {
            drawn.enforce_styling();
        }
        if let Some(width) = width {
            drawn.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
        }
        let rule = LineStyle::none().fill('─').junction('─');
        drawn.load_style(TableStyle::new().header_separator(rule));
        drawn.set_header(self.headings.iter().enumerate().map(|(column, heading)| {
            Drawn::new(heading).add_attribute(Attribute::Bold).set_alignment(self.alignment(column))
        }));
        drawn.add_rows(self.rows.iter().map(|row| row.iter().map(Cell::draw)));
        for column in drawn.column_iter_mut() {
            // With the column that stands for a border this makes a gap of two.
            column.set_padding((0, 1));
        }
        drawn
    }

    fn html(&self) -> String {
        let row = |cells: String| format!("<tr>{cells}</tr>\n");
        let headings = self.headings.iter().enumerate().map(|(column, heading)| {
            let right = self.alignment(column) == CellAlignment::Right;
            format!("<th{}>{}</th>", if right { " class=\"n\"" } else { "" }, escaped(heading))
        });
        let mut text = format!("<table>\n{}", row(headings.collect()));
        for cells in &self.rows {
            text.push_str(&row(cells.iter().map(|cell| cell.html("td")).collect()));
        }
        text.push_str("</table>\n");
        text
    }

    /// A heading stands over its column's cells.
    fn alignment(&self, column: usize) -> CellAlignment {
        match self.rows.first().and_then(|row| row.get(column)) {
            Some(cell) if cell.right => CellAlignment::Right,
            _ => CellAlignment::Left,
        }
    }
}

/// One cell of a table, or a line of text.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Tone,
    right: bool,
}

/// How a text is meant; colours follow from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tone {
    /// As any other text.
    #[default]
    Plain,
    /// A title.
    Title,
    /// All is well.
    Good,
    /// Worth a look.
    Warning,
    /// Wrong.
    Bad,
    /// Less important than what stands beside it.
    Faint,
}

impl Cell {
    /// Text, aligned to the left.
    #[must_use]
    pub fn text(text: impl std::fmt::Display) -> Self {
        Self { text: text.to_string(), tone: Tone::Plain, right: false }
    }

    /// A number or a quantity, aligned to the right.
    #[must_use]
    pub fn number(number: impl std::fmt::Display) -> Self {
        Self { right: true, ..Self::text(number) }
    }

    /// The same text in that tone.
    #[must_use]
    pub fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    fn draw(&self) -> Drawn {
        let cell = Drawn::new(&self.text).set_alignment(if self.right {
            CellAlignment::Right
        } else {
            CellAlignment::Left
        });
        match self.tone {
            Tone::Plain => cell,
            Tone::Title => cell.add_attribute(Attribute::Bold),
            Tone::Good => cell.fg(Color::Green),
            Tone::Warning => cell.fg(Color::Yellow),
            Tone::Bad => cell.fg(Color::Red),
            Tone::Faint => cell.add_attribute(Attribute::Dim),
        }
    }

    fn html(&self, element: &str) -> String {
        let tone = match self.tone {
            Tone::Plain => "",
            Tone::Title => "title",
            Tone::Good => "good",
            Tone::Warning => "warning",
            Tone::Bad => "bad",
            Tone::Faint => "faint",
        };
        let right = if self.right { "n" } else { "" };
        let class = [tone, right].join(" ");
        let class = match class.trim() {
            "" => String::new(),
            class => format!(" class=\"{class}\""),
        };
        format!("<{element}{class}>{}</{element}>", escaped(&self.text))
    }

    fn paint(&self, colour: bool) -> String {
        // Select Graphic Rendition codes of ECMA-48, the ones that tables use too.
        let code = match self.tone {
            Tone::Plain => return self.text.clone(),
            _ if !colour => return self.text.clone(),
            Tone::Title => 1,
            Tone::Good => 32,
            Tone::Warning => 33,
            Tone::Bad => 31,
            Tone::Faint => 2,
        };
        format!("\x1b[{code}m{}\x1b[0m", self.text)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain, right: false }
    }
}

/// A number with its noun: `1 org`, `2 orgs`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
