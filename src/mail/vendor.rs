//! Who sells: the vendor's name, logo and colour in emails, and the addresses that they lead to.

use crate::text::url_part;

/// How the vendor looks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Brand {
    pub name: Option<String>,
    /// Address of a picture (https).
    pub logo: Option<String>,
    /// Of the button, as `#rrggbb`.
    pub colour: Option<String>,
}

/// The colour of whoever has none.
const BLUE: &str = "#1d5fd1";

impl Brand {
    /// The colour of the button.
    pub(super) fn colour(&self) -> &str {
        self.colour.as_deref().unwrap_or(BLUE)
    }

    /// The colour of text on that: whichever of light and dark stands out more (WCAG 2).
    pub(super) fn ink(&self) -> &'static str {
        const LIGHT: &str = "#ffffff";
        const DARK: &str = "#14181f";
        let on = |ink| contrast(luminance(self.colour()), luminance(ink));
        if on(LIGHT) >= on(DARK) { LIGHT } else { DARK }
    }
}

/// Is that a colour as `#rrggbb`?
pub fn is_colour(text: &str) -> bool {
    text.len() == 7
        && text
            .strip_prefix('#')
            .is_some_and(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()))
}

/// Relative luminance of a colour, from 0 to 1; black for what is none.
fn luminance(colour: &str) -> f64 {
    let part = |at: usize| {
        let byte = colour.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let value = f64::from(byte.unwrap_or_default()) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
}

fn contrast(one: f64, other: f64) -> f64 {
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// Where emails lead to, as templates with placeholders in braces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Links {
    /// Where packs are sold.
    pub buy: Option<String>,
    /// The customer's account.
    pub account: Option<String>,
}

/// What the placeholders of a link stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) org: &'a str,
    pub(super) feature: &'a str,
    /// The pack that is recommended first; empty without one.
    pub(super) pack: &'a str,
}

/// Every placeholder of a link.
const PLACEHOLDERS: [&str; 3] = ["{org.slug}", "{feature}", "{pack.code}"];

impl Target<'_> {
    /// The address that a template means, with names percent-encoded.
    pub(super) fn address(&self, template: &str) -> String {
        let [org, feature, pack] = PLACEHOLDERS;
        template
            .replace(org, &url_part(self.org))
            .replace(feature, &url_part(self.feature))
            .replace(pack, &url_part(self.pack))
    }
}

/// Is that an https address whose braces hold nothing but placeholders?
///
/// # Errors
/// A sentence that names what is wrong.
pub fn check_link(text: &str) -> Result<(), String> {
    let host = text.strip_prefix("https://").map(|rest| rest.split(['/', '?', '#']).next());
    if !host.flatten().is_some_and(|host| !host.is_empty() && !host.contains(['@', '{'])) {
        return Err(format!("`{text}` is not an https URL"));
    }
    let rest = PLACEHOLDERS.iter().fold(text.to_owned(), |rest, known| rest.replace(known, ""));
    let is_sound = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
    match rest.chars().find(|c| !is_sound(*c)) {
        Some('{' | '}') => {
            Err(format!("`{text}` has an unknown placeholder; use {}", PLACEHOLDERS.join(", ")))
        }
        Some(odd) => Err(format!(
            "`{text}` contains `{odd}`, which is not allowed in a URL; percent-encode it"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_links_are_encoded() {
        let target = Target { org: "a/b&c=ü", feature: "sms_sent", pack: "" };
        let template = "https://shop.example/{org.slug}?f={feature}&pack={pack.code}";
        let address = target.address(template);
        assert_eq!(address, "https://shop.example/a%2Fb%26c%3D%C3%BC?f=sms_sent&pack=");
    }

    #[test]
    fn only_https_links_with_known_placeholders_are_taken() {
        for link in ["https://a.example", "https://a.example/{org.slug}?p={pack.code}#x"] {
            assert_eq!(check_link(link), Ok(()), "{link}");
        }
        for link in [
            "",
            "http://a.example",
            "https://",
            "javascript:alert(1)",
            "https://u@a.example",
            "https://{org.slug}.example",
            "https://a.example/{org.name}",
            "https://a.example/ x",
            "https://a.example/\"><b>",
        ] {
            assert!(check_link(link).is_err(), "{link}");
        }
    }

    #[test]
    fn text_on_the_button_can_be_read() {
        for (colour, ink) in
            [("#1d5fd1", "#ffffff"), ("#ffd500", "#14181f"), ("#000000", "#ffffff")]
        {
            let brand = Brand { colour: Some(colour.to_owned()), ..Brand::default() };
            assert_eq!(brand.ink(), ink, "{colour}");
            assert!(contrast(luminance(colour), luminance(ink)) >= 4.5);
        }
        assert!(is_colour("#1a2B3c") && !is_colour("red") && !is_colour("#fff"));
    }
}
