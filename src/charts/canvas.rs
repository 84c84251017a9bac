//! The paper that charts are drawn on: SVG elements by classes alone, and text that meets no text.

use std::fmt::Write;

use super::hatch;
use super::measure::{ASCENT, DESCENT, fitted, width};
use super::scale::{fitting, px};
use super::shapes::{Area, Short};
use crate::text;

/// Free room around each text.
const GAP: f64 = 2.0;
/// The distance between two lines of text.
pub(super) const LINE: f64 = 16.0;

/// Which end of a text stands at its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A place that a text may take: on that line, from, around or up to that pixel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) anchor: Anchor,
}

impl Spot {
    pub(super) fn start(x: f64, y: f64) -> Self {
        Self { x, y, anchor: Anchor::Start }
    }

    pub(super) fn middle(x: f64, y: f64) -> Self {
        Self { x, y, anchor: Anchor::Middle }
    }

    pub(super) fn end(x: f64, y: f64) -> Self {
        Self { x, y, anchor: Anchor::End }
    }

    /// What a text covers there.
    fn area(self, wide: f64) -> Area {
        let left = match self.anchor {
            Anchor::Start => self.x,
            Anchor::Middle => self.x - wide / 2.0,
            Anchor::End => self.x - wide,
        };
        Area { left, top: self.y - ASCENT, right: left + wide, bottom: self.y + DESCENT }
    }
}

/// A sign before an entry of a legend.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sign {
    /// A rectangle of a class.
    Box,
    /// A line across it.
    Line,
    Circle,
    Diamond,
    Triangle,
    Cross,
    /// A line from top to bottom.
    Tick,
    /// A rectangle with lines over it, as [`hatch`] draws them.
    Hatched,
}

/// An SVG image in the making.
#[derive(Debug)]
pub(super) struct Canvas {
    width: f64,
    height: f64,
    body: String,
    /// What texts cover.
    texts: Vec<Area>,
    /// What texts avoid where they can.
    marks: Vec<Area>,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new(), texts: Vec::new(), marks: Vec::new() }
    }

    /// The image, with what it is called and what there is to see.
    pub(super) fn finish(self, title: &str, finding: &str) -> String {
        let Self { width, height, body, .. } = self;
        let (width, height) = (Short(width), Short(height));
        let (title, finding) = (escaped(title), escaped(finding));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" role=\"img\" \
             width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\
             <title>{title}</title><desc>{finding}</desc>{body}</svg>"
        )
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.body.write_fmt(arguments);
    }

    /// A group whose parts say the same when they are pointed at.
    pub(super) fn group(&mut self, said: &str, draw: impl FnOnce(&mut Self)) {
        self.write(format_args!("<g><title>{}</title>", escaped(said)));
        draw(self);
        self.body.push_str("</g>");
    }

    pub(super) fn line(&mut self, class: &str, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(Short);
        self.write(format_args!("<path class=\"{class}\" d=\"M{x1} {y1}L{x2} {y2}\"/>"));
    }

    pub(super) fn rect(&mut self, class: &str, area: Area) {
        let [x, y] = [area.left, area.top].map(Short);
        let [wide, high] = [area.right - area.left, area.bottom - area.top];
        let [wide, high] = [wide, high].map(|size| Short(size.max(0.0)));
        self.write(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{high}\"/>"
        ));
    }

    pub(super) fn circle(&mut self, class: &str, [x, y]: [f64; 2], radius: f64) {
        let [x, y, radius] = [x, y, radius].map(Short);
        self.write(format_args!(
            "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>"
        ));
    }

    pub(super) fn path(&mut self, class: &str, d: &str) {
        if !d.is_empty() {
            self.write(format_args!("<path class=\"{class}\" d=\"{d}\"/>"));
        }
    }

    /// A square that stands on its corner.
    pub(super) fn diamond(&mut self, class: &str, [x, y]: [f64; 2], reach: f64) {
        let [left, right] = [x - reach, x + reach].map(Short);
        let [top, bottom] = [y - reach, y + reach].map(Short);
        let [x, y] = [x, y].map(Short);
        self.path(class, &format!("M{x} {top}L{right} {y}L{x} {bottom}L{left} {y}Z"));
    }

    /// A triangle that stands on its base.
    pub(super) fn triangle(&mut self, class: &str, [x, y]: [f64; 2], reach: f64) {
        let [left, right] = [x - reach, x + reach].map(Short);
        let [top, bottom] = [y - reach, y + reach * 0.8].map(Short);
        self.path(class, &format!("M{} {top}L{right} {bottom}L{left} {bottom}Z", Short(x)));
    }

    pub(super) fn cross(&mut self, class: &str, [x, y]: [f64; 2], reach: f64) {
        let [left, right] = [x - reach, x + reach].map(Short);
        let [top, bottom] = [y - reach, y + reach].map(Short);
        self.path(class, &format!("M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}"));
    }

    /// Keeps texts away from there, as far as there is room elsewhere.
    pub(super) fn avoid(&mut self, area: Area) {
        self.marks.push(area);
    }

    /// Likewise for all of a line from point to point.
    pub(super) fn avoid_line(&mut self, points: &[[f64; 2]]) {
        for pair in points.windows(2) {
            let [[x1, y1], [x2, y2]] = [pair[0], pair[1]];
            let pieces = fitting((x2 - x1).hypot(y2 - y1), 8.0).clamp(1, 400);
            let at = |piece: usize| {
                let part = px(piece) / px(pieces);
                [x1 + (x2 - x1) * part, y1 + (y2 - y1) * part]
            };
            for piece in 0..pieces {
                let ([ax, ay], [bx, by]) = (at(piece), at(piece + 1));
                self.avoid(Area {
                    left: ax.min(bx) - 1.0,
                    top: ay.min(by) - 1.0,
                    right: ax.max(bx) + 1.0,
                    bottom: ay.max(by) + 1.0,
                });
            }
        }
    }

    /// Is there neither text nor mark there?
    pub(super) fn is_empty(&self, area: &Area) -> bool {
        self.is_free(area, true)
    }

    fn is_free(&self, area: &Area, is_strict: bool) -> bool {
        let within = area.left >= 0.0
            && area.top >= 0.0
            && area.right <= self.width
            && area.bottom <= self.height;
        let wide = area.grown(GAP);
        within
            && !self.texts.iter().any(|text| text.meets(&wide))
            && !(is_strict && self.marks.iter().any(|mark| mark.meets(area)))
    }

    /// The first of those places that is free for a text: first of texts and marks, then of texts.
    pub(super) fn free(&self, class: &str, text: &str, spots: &[Spot]) -> Option<Spot> {
        let text = text::visible(text);
        let wide = width(&text, is_bold(class));
        let of = |is_strict| {
            spots.iter().copied().find(|spot| self.is_free(&spot.area(wide), is_strict))
        };
        of(true).or_else(|| of(false))
    }

    /// The first of those places that is free of texts and marks.
    pub(super) fn clear(&self, class: &str, text: &str, spots: &[Spot]) -> Option<Spot> {
        let wide = width(&text::visible(text), is_bold(class));
        spots.iter().copied().find(|spot| self.is_free(&spot.area(wide), true))
    }

    /// Writes a text at the first of those places that is free, and says which; `None`: nowhere.
    pub(super) fn label(&mut self, class: &str, text: &str, spots: &[Spot]) -> Option<Spot> {
        let spot = self.free(class, text, spots)?;
        self.put(class, text, spot);
        Some(spot)
    }

    /// Writes a text that is cut to so many pixels.
    pub(super) fn cut_label(&mut self, class: &str, text: &str, most: f64, spots: &[Spot]) -> bool {
        let text = text::visible(text);
        let text = fitted(&text, is_bold(class), most).into_owned();
        self.label(class, &text, spots).is_some()
    }

    /// Writes a text at a place that was found free.
    pub(super) fn put(&mut self, class: &str, text: &str, spot: Spot) {
        let shown = text::visible(text);
        self.texts.push(spot.area(width(&shown, is_bold(class))));
        let anchor = match spot.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let ([x, y], shown) = ([spot.x, spot.y].map(Short), escaped(&shown));
        self.write(format_args!(
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}>{shown}</text>"
        ));
    }

    /// Writes entries of a legend from left to right, in as many lines as they need; returns how
    /// high that is. Without a canvas: [`legend_height`].
    pub(super) fn legend(&mut self, top: f64, entries: &[(Sign, &str, String)]) -> f64 {
        let (mut x, mut y) = (0.0, top);
        for (sign, class, text) in entries {
            let wide = entry_width(text);
            if x > 0.0 && x + wide > self.width {
                (x, y) = (0.0, y + LINE + GAP);
            }
            self.sign(*sign, class, [x + 7.0, y + 8.0]);
            let room = self.width - x - SIGN_WIDTH;
            self.cut_label("key", text, room, &[Spot::start(x + SIGN_WIDTH, y + 12.0)]);
            x += wide + ENTRY_GAP;
        }
        y + LINE - top
    }

    fn sign(&mut self, sign: Sign, class: &str, [x, y]: [f64; 2]) {
        let area = Area { left: x - 6.0, top: y - 5.0, right: x + 6.0, bottom: y + 5.0 };
        match sign {
            Sign::Box => {
                self.rect(class, area);
                // Bands are pale, and have an edge in the picture, too.
                if class.starts_with("band") {
                    self.rect("edge", area);
                }
            }
            Sign::Line => self.line(class, [x - 7.0, y], [x + 7.0, y]),
            Sign::Circle => self.circle(class, [x, y], 5.0),
            Sign::Diamond => self.diamond(class, [x, y], 6.0),
            Sign::Triangle => self.triangle(class, [x, y], 5.0),
            Sign::Cross => self.cross(class, [x, y], 4.0),
            Sign::Tick => self.line(class, [x, y - 6.0], [x, y + 6.0]),
            Sign::Hatched => {
                self.rect(class, area);
                self.path("hatch", &hatch::of_area(area));
            }
        }
    }
}

const SIGN_WIDTH: f64 = 19.0;
const ENTRY_GAP: f64 = 14.0;

fn entry_width(text: &str) -> f64 {
    SIGN_WIDTH + width(&text::visible(text), false)
}

/// How high [`Canvas::legend`] will be on a canvas of that width.
pub(super) fn legend_height(wide: f64, entries: &[(Sign, &str, String)]) -> f64 {
    let mut all = Canvas::new(wide, f64::INFINITY);
    all.legend(0.0, entries)
}

fn is_bold(class: &str) -> bool {
    class.split(' ').any(|class| class == "b")
}

/// Text as XML says it, without what XML cannot hold.
fn escaped(text: &str) -> String {
    let text = text::visible(text);
    text::escaped(&text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_takes_the_first_free_place_or_none() {
        let mut canvas = Canvas::new(100.0, 50.0);
        let mut take = |text: &str, spots: &[Spot]| {
            let spot = canvas.label("", text, spots);
            spot.map(|spot| format!("{} {}", Short(spot.x), Short(spot.y)))
        };
        let spots = [Spot::start(0.0, 12.0), Spot::start(0.0, 30.0)];
        assert_eq!(take("one", &spots).as_deref(), Some("0 12"));
        assert_eq!(take("two", &spots).as_deref(), Some("0 30"));
        assert_eq!(take("three", &spots), None);
        assert_eq!(take("a long one", &[Spot::start(90.0, 12.0)]), None, "outside");
        // A mark is avoided, and covered where there is no other place.
        canvas.avoid(Area { left: 50.0, top: 0.0, right: 60.0, bottom: 14.0 });
        let spots = [Spot::start(50.0, 12.0), Spot::start(70.0, 12.0)];
        let mut take = |text: &str| canvas.label("", text, &spots).map(|spot| Short(spot.x));
        assert_eq!(take("4").map(|x| x.to_string()).as_deref(), Some("70"));
        assert_eq!(take("5").map(|x| x.to_string()).as_deref(), Some("50"));
    }

    #[test]
    fn what_others_wrote_is_text() {
        let mut canvas = Canvas::new(1000.0, 50.0);
        canvas.label("", "<script>&\"'\u{202e}\u{0}\u{fffe}", &[Spot::start(0.0, 12.0)]);
        let svg = canvas.finish("</title>", "]]>");
        assert!(!svg.contains("<script") && !svg.contains('\u{202e}') && !svg.contains('\0'));
        assert!(svg.contains("<title>&lt;/title&gt;</title><desc>]]&gt;</desc>"), "{svg}");
    }
}
