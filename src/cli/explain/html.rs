//! The page as one self-contained document that can be sent to the customer and printed: no script,
//! nothing fetched, the pictures as SVG, and no commands.

use std::fmt::Write;

use super::super::output::{Cell, Page, Tone, escaped};
use super::super::times::Local;
use super::page::{Answer, title};
use super::picture::Picture;
use crate::billing::{Period, Quantity};
use crate::jobs::explain::{Explanation, FeatureView};
use crate::jobs::finding::Severity;

const STYLE: &str = include_str!("page.css");

/// The document.
pub(super) fn document(found: &Explanation, times: Local) -> String {
    let mut body = String::new();
    // Writing into a string cannot fail.
    let _ = write_body(&mut body, found, times);
    let title = escaped(&format!("{} ({})", found.org.name, found.org.slug));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
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
            if let Some(picture) = Picture::of(feature, within) {
                write_picture(to, feature, &picture, &ends)?;
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

/// Units of the picture, along and up. It is stretched to the width that there is; texts stand
/// beside it and keep their size.
const SIDE: f64 = 1000.0;
/// A little room above the highest line.
const ROOM: f64 = 20.0;

fn write_picture(
    to: &mut String,
    feature: &FeatureView,
    picture: &Picture,
    [start, end]: &[String; 2],
) -> std::fmt::Result {
    let title = escaped(&title(feature));
    let x = |along: f64| along * SIDE;
    let y = |high: f64| SIDE - high * (SIDE - ROOM);
    let half = Quantity::from_millionths(picture.top.millionths() / 2).unwrap_or_default();
    writeln!(to, "<figure>\n<figcaption>{title}</figcaption>")?;
    writeln!(
        to,
        "<div class=\"plot\"><div class=\"scale\"><span>{}</span><span>{half}</span>\
         <span>0</span></div>",
        picture.top
    )?;
    writeln!(
        to,
        "<svg viewBox=\"0 0 {SIDE} {SIDE}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{title}\">"
    )?;
    for high in [0.0, 0.5, 1.0] {
        writeln!(to, "<path class=\"grid\" d=\"M0 {0:.1}H{SIDE}\"/>", y(high))?;
    }
    let mut line = String::new();
    for (along, high) in &picture.curve {
        write!(line, "{:.1},{:.1} ", x(*along), y(*high))?;
    }
    let line = line.trim_end();
    let now = picture.curve.last().copied().unwrap_or_default();
    writeln!(to, "<polygon class=\"area\" points=\"0,{SIDE} {line} {:.1},{SIDE}\"/>", x(now.0))?;
    writeln!(to, "<polyline class=\"used\" points=\"{line}\"/>")?;
    if let Some(ahead) = picture.ahead {
        writeln!(
            to,
            "<path class=\"forecast\" d=\"M{:.1} {:.1}L{SIDE} {:.1}\"/>",
            x(now.0),
            y(now.1),
            y(ahead)
        )?;
    }
    if let Some(allowance) = picture.allowance {
        writeln!(to, "<path class=\"allowance\" d=\"M0 {0:.1}H{SIDE}\"/>", y(allowance))?;
    }
    writeln!(to, "</svg></div>")?;
    let (start, end) = (escaped(start), escaped(end));
    writeln!(to, "<div class=\"ends\"><span>{start}</span><span>{end}</span></div>")?;
    writeln!(to, "<ul class=\"legend\">\n<li class=\"used\">{} used</li>", feature.used)?;
    if let Some(allowance) = feature.allowance {
        writeln!(to, "<li class=\"allowance\">{allowance} allowed</li>")?;
    }
    if let Some(ahead) = &feature.forecast {
        writeln!(to, "<li class=\"forecast\">about {} expected at the end</li>", ahead.at_end)?;
    }
    writeln!(to, "</ul>\n</figure>")
}
