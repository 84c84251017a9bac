//! The page as one self-contained document that can be sent to the customer and printed: no script,
//! nothing fetched, the pictures as SVG, and no commands.

use std::fmt::Write;

use super::super::output::{Cell, Page, Tone};
use super::super::times::Local;
use super::page::{Answer, picture, title};
use crate::billing::Period;
use crate::charts::figure::{self, Figure};
use crate::jobs::explain::Explanation;
use crate::jobs::finding::Severity;
use crate::text::escaped;

const STYLE: &str = include_str!("page.css");

/// The document.
pub(super) fn document(found: &Explanation, times: Local) -> String {
    let mut body = String::new();
    // Writing into a string cannot fail.
    let _ = write_body(&mut body, found, times);
    let title = escaped(&format!("{} ({})", found.org.name, found.org.slug));
    let pictures = figure::STYLE;
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}{pictures}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    )
}

fn write_body(to: &mut String, found: &Explanation, times: Local) -> std::fmt::Result {
    let made = times.at(found.now);
    let answer = Answer::new(found, times, None);
    to.push_str(&answer.facts(Page::new()).html());
    to.push_str(&findings(found).html());
    to.push_str(&answer.usage(Page::new()).html());
    if let Some(period) = &found.period {
        let within = Period { start: period.start, end: period.end };
        let ends = [answer.local(period.start), answer.local(period.end)];
        for feature in &found.features {
            if let Some(picture) = picture(feature, within) {
                let figure = Figure {
                    title: &title(feature),
                    picture: &picture,
                    ends: [&ends[0], &ends[1]],
                    used: feature.used,
                    allowance: feature.allowance,
                    at_end: feature.forecast.as_ref().map(|ahead| ahead.at_end),
                };
                to.push_str(&figure.html());
            }
        }
    }
    to.push_str(&answer.packs(Page::new()).html());
    let page = answer.alerts(answer.late(answer.closed(Page::new())));
    to.push_str(&answer.users(page).html());
    let version = env!("CARGO_PKG_VERSION");
    writeln!(to, "<footer>As of {}. Made by periodd {version}.</footer>", escaped(&made))
}

/// What was found, in words alone: commands are for whoever runs periodd.
fn findings(found: &Explanation) -> Page {
    found.findings.iter().fold(Page::new(), |page, finding| {
        let (word, tone) = match finding.severity {
            Severity::Problem => ("Problem: ", Tone::Bad),
            Severity::Warning => ("Warning: ", Tone::Warning),
            Severity::Note => ("Note: ", Tone::Title),
        };
        page.parts([Cell::text(word).tone(tone), Cell::text(&finding.what)])
    })
}
