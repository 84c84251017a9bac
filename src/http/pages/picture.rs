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
    /// The same as a table, for a page that has none of its own.
    table: Option<Table>,
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
        for width in WIDTHS {
            let chart = chart(Width::px(width));
            drawn.extend(chart.svg.map(|svg| Drawn { width, svg }));
            (title, finding) = (chart.title, chart.finding);
        }
        Self { title, finding, drawn, is_alone: false, table: None }
    }

    /// One that is not worth a second width: a page has room for so much.
    pub(super) fn alone(chart: impl Fn(Width) -> Chart) -> Self {
        let width = WIDTHS[WIDTHS.len() - 1];
        let Chart { svg, title, finding, .. } = chart(Width::px(width));
        let drawn = svg.map(|svg| Drawn { width, svg }).into_iter().collect();
        Self { title, finding, drawn, is_alone: true, table: None }
    }

    /// With the table of the chart.
    pub(super) fn with_table(self, table: Table) -> Self {
        Self { table: Some(table), ..self }
    }

    /// How much of a page it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let rows = self.table.iter().flat_map(|table| &table.rows).flatten();
        let drawn = self.drawn.iter().map(|drawn| drawn.svg.len());
        drawn.sum::<usize>() + rows.map(|cell| cell.len() + 12).sum::<usize>()
    }
}
