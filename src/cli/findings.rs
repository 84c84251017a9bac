//! Findings, as `explain`, `orgs show`, `status` and `doctor` list them.

use super::output::{Cell, Page, Tone};
use crate::jobs::finding::{Finding, Mend, Severity};

/// Appends findings to a page, each with its repair.
pub(super) fn findings(mut page: Page, findings: &[Finding]) -> Page {
    if findings.is_empty() {
        return page.line("").line(Cell::text("no problems found").tone(Tone::Good));
    }
    for finding in findings {
        let (word, tone) = match finding.severity {
            Severity::Problem => ("problem", Tone::Bad),
            Severity::Warning => ("warning", Tone::Warning),
            Severity::Note => ("note", Tone::Plain),
        };
        let word = Cell::text(format!("{word}: ")).tone(tone);
        page = page.line("").parts([word, Cell::text(&finding.what)]);
        if let Some(mend) = &finding.mend {
            let lead = match mend {
                Mend::Command(_) => "  → ",
                Mend::Sql(_) => "  → SQL: ",
                Mend::Advice(_) => "  to do: ",
            };
            page = page.parts([Cell::text(lead).tone(Tone::Faint), Cell::text(mend)]);
        }
    }
    page
}
