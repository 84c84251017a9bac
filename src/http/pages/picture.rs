//! A chart on a page, drawn for the widths that its place has: the style sheet chooses the one that
//! fits.

use serde::Serialize;

use crate::charts::{Chart, Table, Width};

/// The widths that charts are drawn for, in CSS pixels, widest first. `app.css` shows the widest
/// one that the window has room for; a telephone gets the table.
const WIDTHS: [u16; 2] = [1060, 680];

/// A chart in every width.
#[derive(Serialize)]
pub(super) struct Picture {
    title: String,
    finding: String,
    drawn: Vec<Drawn>,
    /// Is it drawn for one width, which wider windows show, too?
    is_alone: bool,
    /// Every number of it.
    table: Table,
}

/// A chart in one width.
#[derive(Serialize)]
struct Drawn {
    width: u16,
    svg: String,
}

impl Picture {
    pub(super) fn of(chart: impl Fn(Width) -> Chart) -> Self {
        let (mut title, mut finding, mut drawn) = (String::new(), String::new(), Vec::new());
        let mut table = Table::default();
        for width in WIDTHS {
            let chart = chart(Width::px(width));
            drawn.extend(chart.svg.map(|svg| Drawn { width, svg }));
            (title, finding, table) = (chart.title, chart.finding, chart.table);
        }
        Self { title, finding, drawn, is_alone: false, table }
    }

    /// One that is not worth a second width: a page has room for so much.
    pub(super) fn alone(chart: impl Fn(Width) -> Chart) -> Self {
        let width = WIDTHS[WIDTHS.len() - 1];
        let Chart { svg, title, finding, table } = chart(Width::px(width));
        let drawn = svg.map(|svg| Drawn { width, svg }).into_iter().collect();
        Self { title, finding, drawn, is_alone: true, table }
    }

    /// How much of a page it takes, about, without its table.
    pub(super) fn bytes(&self) -> usize {
        self.drawn.iter().map(|drawn| drawn.svg.len()).sum()
    }

    /// How much its table takes, about.
    pub(super) fn table_bytes(&self) -> usize {
        self.table.rows.iter().flatten().map(|cell| cell.len() + 12).sum()
    }
}
