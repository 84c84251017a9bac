//! The colours of charts, by the contrast that WCAG 2.2 asks for.

use std::collections::BTreeMap;

use periodd::charts::STYLE;

/// The relative luminance of `#rrggbb` or `#rgb`.
fn luminance(colour: &str) -> f64 {
    let digits = colour.trim_start_matches('#');
    let digits: String = if digits.len() == 3 {
        digits.chars().flat_map(|digit| [digit, digit]).collect()
    } else {
        digits.to_owned()
    };
    let part = |at: usize| {
        let value = u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
        let value = f64::from(value) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
}

fn contrast(one: &str, other: &str) -> f64 {
    let [one, other] = [one, other].map(luminance);
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// The custom properties of each block that sets the paper: light, dark, print.
fn palettes() -> Vec<BTreeMap<&'static str, &'static str>> {
    let blocks = STYLE.split(".chart {").skip(1).filter(|block| block.contains("--c-paper: #"));
    let of = |block: &'static str| {
        let block = block.split('}').next().expect("a block");
        let pairs = block.split(';').filter_map(|pair| pair.split_once(':'));
        let pairs = pairs.map(|(name, value)| (name.trim(), value.trim()));
        pairs.filter(|(name, _)| name.starts_with("--c-")).collect()
    };
    blocks.map(of).collect()
}

#[test]
fn marks_and_text_stand_out_in_light_in_dark_and_on_paper() {
    let palettes = palettes();
    assert_eq!(palettes.len(), 3);
    for palette in palettes {
        let of = |name: &str| *palette.get(name).unwrap_or_else(|| panic!("{name}: {palette:?}"));
        for text in ["--c-ink", "--c-soft", "--c-loud"] {
            for ground in ["--c-paper", "--c-past", "--c-bar"] {
                let contrast = contrast(of(text), of(ground));
                assert!(contrast >= 4.5, "{text} on {ground}: {contrast:.2}");
            }
        }
        for mark in [
            "--c-axis",
            "--c-use",
            "--c-done",
            "--c-loud",
            "--c-near",
            "--c-pack1",
            "--c-pack2",
            "--c-pack3",
        ] {
            for ground in ["--c-paper", "--c-past"] {
                let contrast = contrast(of(mark), of(ground));
                assert!(contrast >= 3.0, "{mark} on {ground}: {contrast:.2}");
            }
        }
        // Bars are filled before a track.
        for mark in ["--c-use", "--c-done", "--c-loud"] {
            let contrast = contrast(of(mark), of("--c-bar"));
            assert!(contrast >= 3.0, "{mark} on its track: {contrast:.2}");
        }
    }
    assert!((contrast("#000", "#ffffff") - 21.0).abs() < 0.01);
}

#[test]
fn every_class_has_a_look() {
    let classes = |svg: &str| -> Vec<String> {
        let values = svg.split("class=\"").skip(1).filter_map(|rest| rest.split('"').next());
        values.flat_map(|value| value.split(' ').map(str::to_owned)).collect()
    };
    for (name, chart) in super::samples::all() {
        let svg = chart(periodd::charts::Width::px(720)).svg.unwrap_or_default();
        for class in classes(&svg).into_iter().filter(|class| !class.is_empty()) {
            let is_known = ["key", "chart"].contains(&class.as_str())
                || STYLE.contains(&format!(".{class} "))
                || STYLE.contains(&format!(".{class},"));
            assert!(is_known, "{name}: .{class}");
        }
    }
}
