//! How wide text is: at least as wide as any usual sans-serif font draws it.
//!
//! The widths are those of `DejaVu Sans`, the widest of the fonts that systems choose for
//! `system-ui` or `sans-serif`, rounded up. Segoe UI, San Francisco, Roboto and Liberation Sans
//! need a tenth to a sixth less, so labels that do not meet here do not meet there.

use std::borrow::Cow;

/// The size of all text in charts, in CSS pixels: `charts.css` says the same.
const SIZE: f64 = 12.0;
/// How far text reaches above and below its line, accents included.
pub(super) const ASCENT: f64 = 11.0;
pub(super) const DESCENT: f64 = 3.5;

/// Hundredths of the size, from the space to the tilde.
#[rustfmt::skip]
const PLAIN: [u8; 95] = [
    32, 41, 46, 84, 64, 96, 78, 28, 40, 40, 50, 84, 32, 37, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 34, 34, 84, 84, 84, 54, 100, 69, 69, 70, 77, 64, 58, 78, 76, 30, 30, 66, 56, 87, 75, 79,
    61, 79, 70, 64, 62, 74, 69, 99, 69, 62, 69, 40, 34, 40, 84, 50, 50, 62, 64, 55, 64, 62, 36, 64,
    64, 28, 28, 58, 28, 98, 64, 62, 64, 64, 42, 53, 40, 64, 60, 82, 60, 60, 53, 64, 34, 64, 84,
];
#[rustfmt::skip]
const BOLD: [u8; 95] = [
    35, 46, 53, 84, 70, 101, 88, 31, 46, 46, 53, 84, 38, 42, 38, 37, 70, 70, 70, 70, 70, 70, 70, 70,
    70, 70, 40, 40, 84, 84, 84, 58, 100, 78, 77, 74, 83, 69, 69, 83, 84, 38, 38, 78, 64, 100, 84,
    85, 74, 85, 77, 73, 69, 82, 78, 111, 78, 73, 73, 46, 37, 46, 84, 50, 50, 68, 72, 60, 72, 68, 44,
    72, 72, 35, 35, 67, 35, 105, 72, 69, 72, 72, 50, 60, 48, 72, 66, 93, 65, 66, 59, 72, 37, 72, 84,
];

/// How wide a text is at most, in CSS pixels.
pub(super) fn width(text: &str, is_bold: bool) -> f64 {
    text.chars().map(|c| of(c, is_bold)).sum()
}

fn of(c: char, is_bold: bool) -> f64 {
    let widths = if is_bold { &BOLD } else { &PLAIN };
    let known = u32::from(c).checked_sub(32).and_then(|place| usize::try_from(place).ok());
    let hundredths = known.and_then(|place| widths.get(place)).map_or_else(
        || match u32::from(c) {
            0xb7 => 38.0,
            0x2013 => 50.0,
            // The dots of a text that is cut.
            0x2026 => 100.0,
            // Accented Latin, Greek and Cyrillic letters but for a few of two letters.
            0xa0..=0x52f => 112.0,
            // Single signs that are a word or a line of their own.
            0xfdf0..=0xfdff => 1200.0,
            0x1_2000..=0x1_254f => 500.0,
            0x530..=0x1_efff => 170.0,
            // Pictures, which fonts of their own draw.
            _ => 180.0,
        },
        |hundredths| f64::from(*hundredths),
    );
    hundredths / 100.0 * SIZE
}

/// The text, or as much of its beginning as that width holds, with an ellipsis. A number is there
/// with all its digits or not at all.
pub(super) fn fitted(text: &str, is_bold: bool, most: f64) -> Cow<'_, str> {
    if width(text, is_bold) <= most {
        return Cow::Borrowed(text);
    }
    let mut left = most - SIZE;
    let begins = text.chars().take_while(|c| {
        left -= of(*c, is_bold);
        left >= 0.0
    });
    let mut begins: String = begins.collect();
    let is_numeric = |c: char| c.is_ascii_digit() || c == ',' || c == '.';
    if text[begins.len()..].starts_with(is_numeric) {
        begins.truncate(begins.trim_end_matches(is_numeric).len());
    }
    begins.push('…');
    Cow::Owned(begins)
}

#[cfg(test)]
mod tests {
    use super::{fitted, width};

    #[test]
    fn bold_is_wider_and_a_text_that_is_too_long_ends_in_dots() {
        let plain = width("Tokyo 940", false);
        assert!((plain - 63.36).abs() < 0.01, "{plain}");
        assert!(width("Tokyo 940", true) > plain);
        assert_eq!(fitted("minute", false, 60.0), "minute");
        let long = "x".repeat(10_000);
        let cut = fitted(&long, false, 60.0);
        assert!(cut.ends_with("x…") && width(&cut, false) <= 60.0, "{cut}");
        assert_eq!(fitted("used 1,234,567 of it", false, 90.0), "used …");
        assert!(width("東京", false) >= 24.0 && width("🦀", false) > 20.0);
    }
}
