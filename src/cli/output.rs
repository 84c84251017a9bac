//! What a command says: tables for people, JSON for programs, notes beside both.
//!
//! A command builds one value that implements [`Output`] and hands it to [`Screen::show`]. The
//! value's serialisation is the stable API; its page is free to change from release to release.
//! Only answers go to stdout; notes and progress go to stderr.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{
    Attribute, Cell as Drawn, CellAlignment, Color, ColumnConstraint, ContentArrangement,
    LineStyle, TableStyle,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemars::JsonSchema;
use serde::Serialize;

use super::Failure;
use crate::billing::Quantity;
use crate::csv;
use crate::text::{self, escaped};

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Format {
    /// Tables for people
    #[default]
    Table,
    /// One JSON document (the stable API), also for errors
    Json,
    /// Lists as CSV, with the fields of the JSON as columns
    Csv,
    /// Exports as JSON lines: an object on each line
    #[value(hide = true)]
    Jsonl,
    /// Exports as Apache Parquet
    #[value(hide = true)]
    Parquet,
    /// Statements as one HTML document that prints well
    #[value(hide = true)]
    Html,
    /// Statements as PDF
    #[value(hide = true)]
    Pdf,
}

/// An answer: serialised for programs, laid out for people. What has no schema cannot be shown.
pub trait Output: Serialize + JsonSchema {
    /// The answer as text and tables.
    fn page(&self) -> Page;
}

/// Has this process written to stdout? It has one, so this is one, too.
static WRITTEN: AtomicBool = AtomicBool::new(false);

/// Has an answer, or a part of one, been written to stdout?
pub(super) fn has_written() -> bool {
    WRITTEN.load(Ordering::Relaxed)
}

/// Where a command's answer and its notes go, and how they look there.
#[derive(Clone, Debug)]
pub struct Screen {
    format: Format,
    quiet: bool,
    colour: bool,
    width: Option<u16>,
    /// Does each answer take the place of the one before it?
    afresh: bool,
}

/// Moves a terminal's cursor to the top and erases what is shown (ECMA-48).
const ERASE: &[u8] = b"\x1b[H\x1b[2J";

impl Screen {
    /// The process's own stdout and stderr.
    pub fn new(format: Format, quiet: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = io::stdout().is_terminal() && !set("NO_COLOR") && !dumb;
        // Some terminals (serial lines, fresh containers) report a width of 0: not a fact.
        let width = comfy_table::Table::new().width().filter(|width| *width > 0);
        Self { format, quiet, colour, width, afresh: false }
    }

    /// The same screen, where each answer takes the place of the one before it: on a terminal by
    /// erasing that, elsewhere under an empty line.
    pub fn afresh(&self) -> Self {
        Self { afresh: true, ..self.clone() }
    }

    /// How answers are written.
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
                let page = output.page().render(self.width, self.colour);
                match (self.afresh, self.width) {
                    (true, Some(_)) => stdout.write_all(ERASE)?,
                    (true, None) => writeln!(stdout)?,
                    (false, _) => {}
                }
                stdout.write_all(page.as_bytes())
            }
            Format::Json => {
                serde_json::to_writer_pretty(Escaping(&mut *stdout), output)?;
                writeln!(stdout)
            }
            Format::Csv => stdout.write_all(&csv::document(output)?),
            Format::Jsonl | Format::Parquet | Format::Html | Format::Pdf => {
                Err(io::Error::other("this answer has no such format"))
            }
        })
    }

    /// Writes a part of a long answer to stdout at once, for people alone: nothing in other
    /// formats, which are one document, and nothing with `--quiet`.
    pub fn tell(&self, page: &Page) -> Result<(), Failure> {
        if self.quiet || self.format != Format::Table {
            return Ok(());
        }
        let text = page.render(self.width, self.colour);
        self.write(|stdout| stdout.write_all(text.as_bytes()))
    }

    /// Columns of the terminal; `None` where there is no terminal.
    pub fn width(&self) -> Option<u16> {
        self.width
    }

    /// Writes to stdout through a buffer, and flushes it; for answers too long to hold.
    pub fn write(
        &self,
        body: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        WRITTEN.store(true, Ordering::Relaxed);
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
            let _ = writeln!(io::stderr().lock(), "{}", text::visible(text));
        }
    }

    /// A line on stderr that changes as work goes on; invisible with `--quiet`.
    pub fn spinner(&self) -> ProgressBar {
        let target =
            if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let style = ProgressStyle::with_template("{spinner} {msg} ({per_sec}, {elapsed})")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        ProgressBar::with_draw_target(None, target).with_style(style)
    }

    /// A progress bar on stderr: invisible when stderr is no terminal, and with `--quiet`.
    pub fn progress(&self, total: u64, what: &'static str) -> ProgressBar {
        let target =
            if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(Some(total), target).with_style(style).with_message(what)
    }
}

/// Writes JSON with everything escaped that a terminal would obey: within strings, where alone it
/// can stand, `\u009b` means the same as the character itself.
pub(super) struct Escaping<'a>(pub(super) &'a mut dyn Write);

impl Write for Escaping<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // JSON is written in whole texts.
        match std::str::from_utf8(bytes) {
            Ok(text) if text.contains(is_to_be_escaped) => {
                for c in text.chars() {
                    if is_to_be_escaped(c) {
                        for unit in c.encode_utf16(&mut [0; 2]) {
                            write!(self.0, "\\u{unit:04x}")?;
                        }
                    } else {
                        write!(self.0, "{c}")?;
                    }
                }
                Ok(bytes.len())
            }
            _ => self.0.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Line breaks lay JSON out; in strings they are escaped already.
fn is_to_be_escaped(c: char) -> bool {
    c != '\n' && text::is_invisible(c)
}

/// An answer laid out for people: lines and tables, one under the other.
#[derive(Clone, Debug, Default)]
pub struct Page(Vec<Block>);

#[derive(Clone, Debug)]
enum Block {
    Line(Vec<Cell>),
    Fact(&'static str, Cell),
    Table(Table),
}

/// Columns of the name of a fact.
const NAME_COLUMNS: usize = 7;

impl Page {
    /// A page with nothing on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line of text; an empty one separates.
    pub fn line(self, text: impl Into<Cell>) -> Self {
        self.parts([text.into()])
    }

    /// Adds a line of several parts, each in its own tone, one right after the other.
    pub fn parts(mut self, parts: impl IntoIterator<Item = Cell>) -> Self {
        self.0.push(Block::Line(parts.into_iter().collect()));
        self
    }

    /// Adds a line with a name of up to seven letters and what it is: `zone    Asia/Tokyo`.
    pub fn fact(mut self, name: &'static str, what: impl Into<Cell>) -> Self {
        self.0.push(Block::Fact(name, what.into()));
        self
    }

    /// Adds a table.
    pub fn table(mut self, table: Table) -> Self {
        self.0.push(Block::Table(table));
        self
    }

    /// The page as text: at most `width` columns wide when there is one, with colours if wanted.
    pub fn render(&self, width: Option<u16>, colour: bool) -> String {
        let mut text = String::new();
        for block in &self.0 {
            match block {
                Block::Line(parts) => text.extend(parts.iter().map(|part| part.paint(colour))),
                Block::Fact(name, what) => {
                    text.push_str(
                        &[&format!("{name:<NAME_COLUMNS$} "), &*what.paint(colour)].concat(),
                    );
                }
                Block::Table(table) => text.push_str(&table.draw(width, colour).trim_fmt()),
            }
            text.push('\n');
        }
        text
    }
}

impl Page {
    /// The page as a piece of HTML: lines are paragraphs, facts are a description list, tones are
    /// classes. Empty lines are left to the style.
    pub fn html(&self) -> String {
        let mut text = String::new();
        for blocks in
            self.0.chunk_by(|one, next| matches!((one, next), (Block::Fact(..), Block::Fact(..))))
        {
            match blocks {
                [Block::Fact(..), ..] => {
                    let facts = blocks.iter().filter_map(|block| match block {
                        Block::Fact(name, what) => {
                            Some(["<dt>", &escaped(name), "</dt>", &what.html("dd"), "\n"].concat())
                        }
                        _ => None,
                    });
                    text.push_str(&["<dl>\n", &facts.collect::<String>(), "</dl>\n"].concat());
                }
                [Block::Line(parts)] if parts.iter().any(|part| !part.text.is_empty()) => {
                    let parts: String = parts.iter().map(|part| part.html("span")).collect();
                    text.push_str(&["<p>", &parts, "</p>\n"].concat());
                }
                [Block::Table(table)] => text.push_str(&table.html()),
                _ => {}
            }
        }
        text
    }
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
    caption: Option<&'static str>,
}

impl Table {
    /// A table without rows. Columns of numbers are aligned by their cells ([`Cell::number`]).
    pub fn new(headings: impl IntoIterator<Item = &'static str>) -> Self {
        Self { headings: headings.into_iter().collect(), rows: Vec::new(), caption: None }
    }

    /// What the table shows, said above it in a document; a terminal's pages go without.
    pub fn caption(self, caption: &'static str) -> Self {
        Self { caption: Some(caption), ..self }
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
        let keeps_whole = width.is_none_or(|width| self.has_room_for_whole(width.into()));
        let rule = LineStyle::none().fill('─').junction('─');
        drawn.load_style(TableStyle::new().header_separator(rule));
        drawn.set_header(self.headings.iter().enumerate().map(|(column, heading)| {
            Drawn::new(heading).add_attribute(Attribute::Bold).set_alignment(self.alignment(column))
        }));
        drawn.add_rows(self.rows.iter().map(|row| row.iter().map(Cell::draw)));
        for (number, column) in drawn.column_iter_mut().enumerate() {
            // With the column that stands for a border this makes a gap of two.
            column.set_padding((0, 1));
            if keeps_whole && self.is_whole(number) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        drawn
    }

    fn html(&self) -> String {
        let headings = self.headings.iter().enumerate().map(|(column, heading)| {
            let right = self.alignment(column) == CellAlignment::Right;
            let class = if right { " class=\"n\"" } else { "" };
            match *heading {
                "" => "<td></td>".to_owned(),
                heading => format!("<th scope=\"col\"{class}>{}</th>", escaped(heading)),
            }
        });
        let headings: String = headings.collect();
        let caption = self.caption.map_or_else(String::new, |caption| {
            format!("<caption>{}</caption>\n", escaped(caption))
        });
        let mut text = format!("<table>\n{caption}<thead><tr>{headings}</tr></thead>\n<tbody>\n");
        for cells in &self.rows {
            // Where there is no room for columns, each cell says what it is.
            let cells = cells.iter().zip(&self.headings).map(|(cell, heading)| {
                let cell = cell.html("td");
                cell.replacen("<td", &format!("<td data-label=\"{}\"", escaped(heading)), 1)
            });
            text.push_str(&["<tr>", &cells.collect::<String>(), "</tr>\n"].concat());
        }
        text.push_str("</tbody>\n</table>\n");
        text
    }

    /// Is there a cell in that column that must not be broken over lines?
    fn is_whole(&self, column: usize) -> bool {
        self.rows.iter().filter_map(|row| row.get(column)).any(|cell| cell.whole)
    }

    /// Do those columns leave enough of the width to the others?
    fn has_room_for_whole(&self, width: usize) -> bool {
        const FEWEST: usize = 8;
        let columns = 0..self.headings.len();
        let needed = columns.map(|column| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.text.chars().count()).max().unwrap_or_default();
            2 + if self.is_whole(column) { widest } else { widest.min(FEWEST) }
        });
        needed.sum::<usize>() <= width
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
    whole: bool,
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
    pub fn text(text: impl std::fmt::Display) -> Self {
        Self::from(text.to_string())
    }

    /// A number or a quantity, aligned to the right.
    pub fn number(number: impl std::fmt::Display) -> Self {
        Self { right: true, ..Self::text(number) }
    }

    /// An id or a time: not broken over lines, so that it can be read and copied.
    pub fn whole(text: impl std::fmt::Display) -> Self {
        Self { whole: true, ..Self::text(text) }
    }

    /// The same text in that tone.
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

/// Whatever it holds, it stays one line of text: names are chosen by customers.
impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        let text: String = text.into();
        let text = match text::visible(&text) {
            Cow::Owned(shown) => shown,
            Cow::Borrowed(_) => text,
        };
        Self { text, tone: Tone::Plain, right: false, whole: false }
    }
}

/// A number with its noun: `1 org`, `2 orgs`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// A quantity, or `unlimited`.
pub(crate) fn or_unlimited(quantity: Option<Quantity>) -> String {
    quantity.map_or_else(|| "unlimited".to_owned(), |quantity| quantity.to_string())
}
