//! The small picture of a period in a document that is as wide as its reader's paper or screen: the
//! lines are stretched, and texts stand beside them and keep their size.

use std::fmt::Write;

use super::picture::Picture;
use crate::billing::Quantity;
use crate::text::escaped;

/// How figures look; the document has the colours (`--ink`, `--soft`, `--line`, `--use`,
/// `--limit`).
pub const STYLE: &str = include_str!("figure.css");

/// A picture with what stands around it.
#[derive(Clone, Copy, Debug)]
pub struct Figure<'a> {
    pub title: &'a str,
    pub picture: &'a Picture,
    /// The period's start and end, as they are written.
    pub ends: [&'a str; 2],
    pub used: Quantity,
    /// All that may be used; `None`: unlimited.
    pub allowance: Option<Quantity>,
    /// What will have been used at the period's end, if there is a forecast.
    pub at_end: Option<Quantity>,
}

impl Figure<'_> {
    /// The element `<figure>`.
    pub fn html(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write(&mut text, self);
        text
    }
}

/// Units of the picture, along and up. It is stretched to the width that there is; texts stand
/// beside it and keep their size.
const SIDE: f64 = 1000.0;
/// A little room above the highest line.
const ROOM: f64 = 20.0;

fn write(to: &mut String, figure: &Figure<'_>) -> std::fmt::Result {
    let Figure { picture, ends: [start, end], .. } = *figure;
    let title = escaped(figure.title);
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
    writeln!(to, "<ul class=\"legend\">\n<li class=\"used\">{} used</li>", figure.used)?;
    if let Some(allowance) = figure.allowance {
        writeln!(to, "<li class=\"allowance\">{allowance} allowed</li>")?;
    }
    if let Some(at_end) = figure.at_end {
        writeln!(to, "<li class=\"forecast\">about {at_end} expected at the end</li>")?;
    }
    writeln!(to, "</ul>\n</figure>")
}
