//! Text that somebody else chose, shown to a person: names, keys, words of a server.
//!
//! A terminal obeys control characters, and invisible ones turn writing around or hide what stands
//! beside them. Both are shown as escapes.

use std::borrow::Cow;
use std::fmt::Write;

/// Is this a character that a reader does not see, or that changes what stands around it?
///
/// Control characters (general category Cc), the line and paragraph separators, and characters of
/// format (Cf) that have no place in a name: bidirectional controls (Unicode Standard Annex #9),
/// zero-width space and word joiners, the soft hyphen, tags. The zero-width joiners stay: Persian
/// and many scripts of India cannot be written without them.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The same text with every invisible character written out: `\u{1b}`, `\n`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_invisible) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_invisible(c) {
            // Writing to a string does not fail.
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// The same for text of several lines, whose line breaks are meant.
pub fn visible_lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// A decimal number with its thousands apart, and with this sign where it is below zero:
/// `1,234,567.5`. Any other text stays as it is.
pub fn thousands_apart(number: &str, minus: char) -> String {
    let (is_below, digits) =
        number.strip_prefix('-').map_or((false, number), |digits| (true, digits));
    let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return number.to_owned();
    }
    let mut text: String = is_below.then_some(minus).into_iter().collect();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

/// A text as HTML and XML say it.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A part of a URL: everything but unreserved characters percent-encoded (RFC 3986).
pub fn url_part(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut part, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            part.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(part, "%{byte:02X}");
        }
        part
    })
}

/// Text in lines of at most `width` characters, where it has spaces to break at. Those of numbers
/// and their signs (`80 %`, `19,00 €`) are no such spaces, and stay.
pub fn wrapped(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut columns = 0;
    let words = text.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
    for word in words {
        let length = word.chars().count();
        if let Some(line) = lines.last_mut().filter(|_| columns + 1 + length <= width) {
            line.push(' ');
            line.push_str(word);
            columns += 1 + length;
        } else {
            lines.push(word.to_owned());
            columns = length;
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{visible, visible_lines, wrapped};

    #[test]
    fn a_number_and_its_sign_stay_together() {
        assert_eq!(wrapped("noch 80\u{a0}% frei", 8), "noch\n80\u{a0}%\nfrei");
        assert_eq!(wrapped("  a\nb  c ", 3), "a b\nc");
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        for (text, shown) in [
            ("Ünïcode, ñame 名前", "Ünïcode, ñame 名前"),
            ("\x1b]0;pwned\x07", "\\u{1b}]0;pwned\\u{7}"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("abc\u{202e}cba", "abc\\u{202e}cba"),
            ("a\u{200b}b\u{feff}\u{ad}", "a\\u{200b}b\\u{feff}\\u{ad}"),
            ("\u{e0041}x", "\\u{e0041}x"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(visible_lines("a\nb\x1b"), "a\nb\\u{1b}");
    }
}
