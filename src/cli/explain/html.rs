//! The page as one self-contained document: no script, nothing fetched, the picture as SVG.

use std::fmt::Write;

use super::super::output::{Page, escaped};
use super::page::Answer;
use super::picture::Picture;
use crate::billing::Period;
use crate::jobs::explain::{Explanation, FeatureView};
use crate::tzdata::TzData;

/// Units of the picture.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #6b7280; --line: #d0d5dd;
  --paper: #fff; --use: #2563eb; --limit: #b42318; --bad: #b42318; --warn: #b54708;
  --good: #067647 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa3af; --line: #3a4250;
  --paper: #14181f; --use: #6ea8fe; --limit: #f97066; --bad: #f97066; --warn: #fdb022;
  --good: #47cd89 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
p { margin: .25rem 0 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line) }
td.n, th.n { text-align: right }
table { margin: 1.5rem 0 } p:empty { height: .75rem }
.title { font-weight: 700; font-size: 1.25rem } .faint { color: var(--soft) }
.bad { color: var(--bad) } .warning { color: var(--warn) } .good { color: var(--good) }
svg { width: 100%; height: auto }
";

/// The document.
pub(super) fn document(found: &Explanation, tz: &TzData) -> String {
    let mut body = String::new();
    // Writing into a string cannot fail.
    let _ = write_body(&mut body, found, tz);
    let title = escaped(&format!("{} ({})", found.org.name, found.org.slug));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

fn write_body(to: &mut String, found: &Explanation, tz: &TzData) -> std::fmt::Result {
    let answer = Answer::new(found, tz, None);
    to.push_str(&answer.above(Page::new()).html());
    if let Some(period) = &found.period {
        let within = Period { start: period.start, end: period.end };
        for feature in &found.features {
            if let Some(picture) = Picture::of(feature, within) {
                write_picture(to, feature, &picture, [&period.start_local, &period.end_local])?;
            }
        }
    }
    to.push_str(&answer.below(Page::new()).html());
    Ok(())
}

fn write_picture(
    to: &mut String,
    feature: &FeatureView,
    picture: &Picture,
    [start, end]: [&str; 2],
) -> std::fmt::Result {
    let used = feature.used;
    let of = feature.allowance.map_or_else(String::new, |allowance| format!(" of {allowance}"));
    let title = format!("{}: {used} used{of}", feature.feature);
    writeln!(to, "<h2>{}</h2>", escaped(&title))?;
    let x = |along: f64| along * WIDTH;
    // A little room above the highest line.
    let y = |high: f64| HEIGHT - high * (HEIGHT - 12.0);
    let height = HEIGHT + 24.0;
    writeln!(
        to,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
        escaped(&title)
    )?;
    writeln!(
        to,
        "<line x1=\"0\" y1=\"{HEIGHT}\" x2=\"{WIDTH}\" y2=\"{HEIGHT}\" stroke=\"var(--line)\"/>"
    )?;
    let mut line = String::new();
    for (along, high) in &picture.curve {
        write!(line, "{:.1},{:.1} ", x(*along), y(*high))?;
    }
    let now = picture.curve.last().copied().unwrap_or_default();
    let area = format!("0,{HEIGHT} {line}{:.1},{HEIGHT}", x(now.0));
    writeln!(to, "<polygon points=\"{area}\" fill=\"var(--use)\" fill-opacity=\"0.15\"/>")?;
    writeln!(
        to,
        "<polyline points=\"{line}\" fill=\"none\" stroke=\"var(--use)\" stroke-width=\"2\"/>"
    )?;
    if let Some(ahead) = picture.ahead {
        writeln!(
            to,
            "<line class=\"forecast\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{WIDTH}\" y2=\"{:.1}\" \
             stroke=\"var(--use)\" stroke-width=\"2\" stroke-dasharray=\"2 5\"/>",
            x(now.0),
            y(now.1),
            y(ahead)
        )?;
    }
    if let Some(allowance) = picture.allowance {
        writeln!(
            to,
            "<line class=\"allowance\" x1=\"0\" y1=\"{0:.1}\" x2=\"{WIDTH}\" y2=\"{0:.1}\" \
             stroke=\"var(--limit)\" stroke-dasharray=\"6 4\"/>",
            y(allowance)
        )?;
    }
    let text = "font-size=\"12\" fill=\"var(--soft)\"";
    writeln!(to, "<text x=\"0\" y=\"{:.0}\" {text}>{}</text>", HEIGHT + 18.0, escaped(start))?;
    writeln!(
        to,
        "<text x=\"{WIDTH}\" y=\"{:.0}\" text-anchor=\"end\" {text}>{}</text>",
        HEIGHT + 18.0,
        escaped(end)
    )?;
    writeln!(to, "</svg>")
}
