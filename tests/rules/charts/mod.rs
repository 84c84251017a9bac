//! Charts: whatever they show, they are well-formed, readable, the same as their tables, and made
//! of nothing that a strict content security policy refuses.

mod colours;
mod dice;
mod samples;

use std::collections::BTreeSet;

use dice::Dice;
use periodd::charts::{Chart, Table, When, Width};
use proptest::prelude::*;
use roxmltree::{Document, Node};
use samples::HOSTILE;

/// The widths of a phone, of half a page and of a page; and the ends of what there is.
const WIDTHS: [u16; 5] = [335, 720, 1_100, 280, 1_600];

/// A rectangle: left, top, right, bottom.
type Area = [f64; 4];

/// How wide a text is at least, by a measure of our own: two fifths of the size for each letter,
/// three fifths for each digit.
fn least_width(text: &str) -> f64 {
    let of = |c: char| match c {
        '0'..='9' => 0.55,
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | '.' | ',' | ' ' | '\'' | ':' | '-' | '|' => 0.2,
        _ => 0.4,
    };
    text.chars().map(of).sum::<f64>() * 12.0
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    let text = node.attribute(name).unwrap_or_else(|| panic!("{node:?} has no {name}"));
    text.parse().unwrap_or_else(|_| panic!("{name}={text}"))
}

/// What a text covers at least.
fn text_area(node: Node<'_, '_>) -> Area {
    let (x, y) = (number(node, "x"), number(node, "y"));
    let wide = least_width(node.text().unwrap_or_default());
    let left = match node.attribute("text-anchor") {
        None => x,
        Some("middle") => x - wide / 2.0,
        Some("end") => x - wide,
        other => panic!("{other:?}"),
    };
    [left, y - 9.0, left + wide, y + 2.5]
}

/// The corners of a path of ours: absolute letters, and `v`.
fn path_area(data: &str) -> Area {
    let mut area = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
    let mut here = [0.0, 0.0];
    let is_letter = |c: char| c.is_ascii_alphabetic();
    let mut rest = data;
    while let Some(letter) = rest.chars().next() {
        let end = rest[1..].find(is_letter).map_or(rest.len(), |end| end + 1);
        let numbers = rest[1..end].split_whitespace().map(|part| part.parse().expect("a number"));
        let numbers: Vec<f64> = numbers.collect();
        match (letter, &numbers[..]) {
            ('M' | 'L', [x, y]) => here = [*x, *y],
            ('H', [x]) => here[0] = *x,
            ('V', [y]) => here[1] = *y,
            ('v', [y]) => here[1] += *y,
            ('Z', []) => {}
            other => panic!("{other:?} in {data}"),
        }
        let [x, y] = here;
        area = [area[0].min(x), area[1].min(y), area[2].max(x), area[3].max(y)];
        rest = &rest[end..];
    }
    area
}

/// The numbers in a text, without leading zeros.
fn numbers_of(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_digit() || c == ',' || c == '.';
    let parts = text.split(|c| !is_part(c)).map(|part| part.trim_matches([',', '.']));
    let parts = parts.filter(|part| part.contains(|c: char| c.is_ascii_digit()));
    parts.map(|part| part.trim_start_matches('0').to_owned()).collect()
}

fn words(table: &Table) -> String {
    let head = table.head.iter().map(|heading| heading.name.clone());
    let cells = table.rows.iter().flatten().cloned();
    let all: Vec<String> = [table.caption.clone()].into_iter().chain(head).chain(cells).collect();
    all.join("\n")
}

/// Everything that holds for every chart; returns whether there is a picture.
fn check(name: &str, chart: &Chart, width: u16) -> bool {
    assert!(!chart.title.trim().is_empty() && chart.finding.ends_with('.'), "{name}: {chart:?}");
    for row in &chart.table.rows {
        assert_eq!(row.len(), chart.table.head.len(), "{name}: a cell per heading");
    }
    let Some(svg) = &chart.svg else { return false };
    let document = Document::parse(svg).unwrap_or_else(|error| panic!("{name}: {error}\n{svg}"));
    let root = document.root_element();
    assert_eq!(root.attribute("role"), Some("img"), "{name}");
    let (wide, high) = (number(root, "width"), number(root, "height"));
    assert!((wide - f64::from(width)).abs() < 0.01, "{name}: {wide} is the width of its place");
    assert_eq!(root.attribute("viewBox"), Some(format!("0 0 {wide} {high}").as_str()), "{name}");
    let first: Vec<_> = root.children().take(2).map(|node| node.tag_name().name()).collect();
    assert_eq!(first, ["title", "desc"], "{name}");

    let table = words(&chart.table);
    let in_table = numbers_of(&table);
    let (mut texts, mut shapes) = (Vec::new(), 0);
    for node in root.descendants().filter(Node::is_element) {
        for attribute in node.attributes() {
            let known = [
                "class",
                "d",
                "x",
                "y",
                "width",
                "height",
                "cx",
                "cy",
                "r",
                "text-anchor",
                "viewBox",
                "role",
            ];
            assert!(known.contains(&attribute.name()), "{name}: {attribute:?}");
        }
        let text = node.text().unwrap_or_default();
        let is_hidden = |c: char| c.is_control() || "\u{202e}\u{200b}".contains(c);
        assert!(!text.contains(is_hidden), "{name}: {text:?}");
        let area = match node.tag_name().name() {
            "svg" | "title" | "desc" | "g" => continue,
            "text" => {
                texts.push((text_area(node), text.to_owned()));
                if !node.attribute("class").unwrap_or_default().contains("tick") {
                    for number in numbers_of(text) {
                        let said = format!("{name}: {number} of `{text}` is in\n{table}");
                        assert!(in_table.contains(&number), "{said}");
                    }
                }
                text_area(node)
            }
            "path" => path_area(node.attribute("d").expect("data")),
            "rect" => {
                let [x, y] = ["x", "y"].map(|name| number(node, name));
                [x, y, x + number(node, "width"), y + number(node, "height")]
            }
            "circle" => {
                let [x, y, r] = ["cx", "cy", "r"].map(|name| number(node, name));
                [x - r, y - r, x + r, y + r]
            }
            other => panic!("{name}: <{other}>"),
        };
        shapes += 1;
        let [left, top, right, bottom] = area;
        let is_inside =
            left >= -0.06 && top >= -0.06 && right <= wide + 0.06 && bottom <= high + 0.06;
        assert!(is_inside, "{name} at {width}: {node:?} is at {area:?} of {wide} × {high}");
    }
    assert!(shapes > 3, "{name}");
    for (number, (one, said)) in texts.iter().enumerate() {
        for (other, also) in &texts[number + 1..] {
            let meets =
                one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3];
            assert!(!meets, "{name} at {width}: `{said}` meets `{also}`: {one:?} {other:?}");
        }
    }
    true
}

#[test]
fn every_sample_is_readable_at_every_width() {
    let mut drawn = BTreeSet::new();
    for (name, chart) in samples::all() {
        for width in WIDTHS {
            if check(&name, &chart(Width::px(width)), width) {
                drawn.insert((name.clone(), width));
            }
        }
    }
    let has = |name: &str, width| drawn.contains(&(name.to_owned(), width));
    assert!(has("wave-usual", 720) && !has("wave-usual", 335), "a list on a phone");
    assert!(!has("wave-empty", 1_100), "nothing is drawn of nothing");
    assert!(has("period-usual", 335) && has("lanes-week", 335) && has("closes-usual", 335));
}

#[test]
fn a_place_that_is_too_narrow_gets_the_table() {
    for (name, chart) in samples::all() {
        let chart = chart(Width::px(200));
        assert!(chart.svg.is_none(), "{name}");
        assert!(!chart.table.head.is_empty());
    }
}

#[test]
fn what_somebody_chose_is_never_markup() {
    let mut seen = 0;
    for (name, chart) in samples::all() {
        let Some(svg) = chart(Width::px(720)).svg else { continue };
        for hostile in &HOSTILE[..4] {
            assert!(!svg.contains(hostile), "{name}: {hostile}");
        }
        seen += usize::from(svg.contains("&lt;script&gt;"));
    }
    assert!(seen > 0, "it was there");
}

#[test]
fn the_pictures_of_a_page_are_small() {
    for (name, chart) in samples::all() {
        let length = chart(Width::px(720)).svg.map_or(0, |svg| svg.len());
        assert!(length < 26_000, "{name}: {length} bytes");
    }
}

fn numbers() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(any::<u64>(), 1..60)
}

fn width() -> impl Strategy<Value = u16> {
    prop::sample::select(&WIDTHS[..])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_wave_is_readable(numbers in numbers(), width in width()) {
        let wave = dice::any_wave(&mut Dice::new(numbers));
        check("wave", &wave.chart(Width::px(width), &When::utc()), width);
    }

    #[test]
    fn any_period_is_readable(numbers in numbers(), width in width()) {
        let mut dice = Dice::new(numbers);
        let course = dice::any_course(&mut dice);
        let names = ["Europe/Berlin", "UTC", "America/Argentina/ComodRivadavia"];
        let zone = samples::zone(names[usize::try_from(dice.below(3)).expect("small")]);
        check("period", &course.chart(Width::px(width), &When::local(zone)), width);
    }

    #[test]
    fn any_other_chart_is_readable(numbers in numbers(), width in width()) {
        let chart = dice::any_other(&mut Dice::new(numbers), Width::px(width));
        check(&chart.title, &chart, width);
    }
}
