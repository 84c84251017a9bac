//! Numbers, dates and prices as the reader writes them.
//!
//! The data of some 300 locales comes from glibc's, as a crate: separators, grouping, names of
//! months and days. What glibc does not know is the long form of a date; the few orders that
//! there are stand in [`Locale::date`]. Hours run from 0 to 23 everywhere: a period mostly ends
//! at midnight, which the other clock calls 12:00, and nobody knows which.

use pure_rust_locales::{Locale as Posix, locale_match};

use crate::billing::{LocalDate, Quantity};

/// The locale of whoever is unknown to us.
const FALLBACK: Posix = Posix::en_GB;

/// Languages whose main country does not share their code.
const COUNTRIES: [(&str, &str); 20] = [
    ("en", "GB"),
    ("ar", "EG"),
    ("ca", "ES"),
    ("cs", "CZ"),
    ("da", "DK"),
    ("el", "GR"),
    ("et", "EE"),
    ("eu", "ES"),
    ("fa", "IR"),
    ("ga", "IE"),
    ("he", "IL"),
    ("hi", "IN"),
    ("ja", "JP"),
    ("ko", "KR"),
    ("nb", "NO"),
    ("sl", "SI"),
    ("sv", "SE"),
    ("uk", "UA"),
    ("vi", "VN"),
    ("zh", "CN"),
];

/// Signs that people know wherever they live.
const SIGNS: [(&str, &str); 4] = [("EUR", "€"), ("GBP", "£"), ("JPY", "¥"), ("USD", "$")];

/// Languages that write a space before the sign of percent.
const SPACED_PERCENT: [&str; 20] = [
    "bg", "ca", "cs", "da", "de", "es", "fi", "fr", "gl", "hr", "lt", "nb", "nn", "ro", "ru", "sk",
    "sl", "sr", "sv", "uk",
];

/// Is that a language, with or without a region, whose numbers and dates are known?
pub fn is_known_locale(tag: &str) -> bool {
    let parts: Vec<&str> = tag.split('-').collect();
    let is_word = |part: &&str| part.chars().all(|c| c.is_ascii_alphanumeric());
    let lengths = matches!(parts[..], [language] if (2..=3).contains(&language.len()))
        || matches!(parts[..], [language, region]
                    if (2..=3).contains(&language.len()) && region.len() == 2);
    lengths && parts.iter().all(is_word) && found(tag).is_some()
}

/// The data of a tag such as `en`, `de-AT` or `pt_BR`; of a region that is not known, its
/// language's.
fn found(tag: &str) -> Option<Posix> {
    let mut parts = tag.split(['-', '_']);
    let language = parts.next().unwrap_or_default().to_ascii_lowercase();
    let region = parts.find(|part| part.len() == 2).map(str::to_ascii_uppercase);
    let known = |region: &str| Posix::try_from(format!("{language}_{region}").as_str()).ok();
    let main = || {
        let listed = COUNTRIES.iter().find(|(code, _)| *code == language);
        known(listed.map_or(&language.to_ascii_uppercase(), |(_, country)| country))
    };
    region.and_then(|region| known(&region)).or_else(main)
}

/// How one reader writes numbers and dates.
#[derive(Clone, Copy)]
pub(crate) struct Locale {
    posix: Posix,
}

impl Locale {
    /// The locale of a tag such as `en`, `de-AT` or `pt_BR`; what is unknown reads as `en`.
    pub(crate) fn of(tag: &str) -> Self {
        Self { posix: found(tag).unwrap_or(FALLBACK) }
    }

    /// A quantity with all its digits: `1,234.5`.
    pub(crate) fn number(self, quantity: Quantity) -> String {
        self.decimal(&quantity.to_string())
    }

    /// A whole percentage: `95%`, `95 %`.
    pub(crate) fn percent(self, percent: i128) -> String {
        let is_apart = SPACED_PERCENT.contains(&self.language());
        // No line may break between the two.
        let space = if is_apart { "\u{a0}" } else { "" };
        format!("{}{space}%", self.decimal(&percent.to_string()))
    }

    /// A price from hundredths of a currency: `$19.00`, `19,00 €`, `USD 19.00`.
    pub(crate) fn money(self, cents: i64, currency: &str) -> String {
        let own = locale_match!(self.posix => LC_MONETARY::INT_CURR_SYMBOL);
        let own_sign = locale_match!(self.posix => LC_MONETARY::CURRENCY_SYMBOL);
        let sign = if own.trim() == currency {
            Some(own_sign)
        } else {
            let known = SIGNS.iter().find(|(code, _)| *code == currency).map(|(_, sign)| *sign);
            // Where a dollar is something else, another one is spelt out.
            known.filter(|sign| !own_sign.contains(sign))
        };
        let (whole, rest) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
        let minus = if cents < 0 { "-" } else { "" };
        let amount = self.decimal(&format!("{minus}{whole}.{rest:02}"));
        let before = locale_match!(self.posix => LC_MONETARY::P_CS_PRECEDES) != 0;
        let apart = locale_match!(self.posix => LC_MONETARY::P_SEP_BY_SPACE) != 0;
        // No line may break between the two.
        let space = if apart || sign.is_none() { "\u{a0}" } else { "" };
        let sign = sign.unwrap_or(currency);
        if before { format!("{sign}{space}{amount}") } else { format!("{amount}{space}{sign}") }
    }

    /// `1 June 2026`
    pub(crate) fn date(self, date: LocalDate) -> String {
        let (day, year) = (date.0.day(), date.0.year());
        let month = self.month(date);
        match (self.language(), self.posix) {
            (_, Posix::en_US | Posix::en_CA) => format!("{month} {day}, {year}"),
            ("de" | "cs" | "da" | "fi" | "nb" | "nn" | "sk" | "sl" | "et" | "hr" | "is", _) => {
                format!("{day}. {month} {year}")
            }
            ("es" | "pt" | "gl", _) => format!("{day} de {month} de {year}"),
            ("ja" | "zh", _) => format!("{year}年{}月{day}日", date.0.month()),
            ("ko", _) => format!("{year}년 {}월 {day}일", date.0.month()),
            ("hu", _) => format!("{year}. {month} {day}."),
            ("lt", _) => format!("{year} m. {month} {day} d."),
            ("fr", _) if day == 1 => format!("1er {month} {year}"),
            _ => format!("{day} {month} {year}"),
        }
    }

    /// `1 June`
    pub(crate) fn short_date(self, date: LocalDate) -> String {
        let day = date.0.day();
        let month = self.month(date);
        match (self.language(), self.posix) {
            (_, Posix::en_US | Posix::en_CA) => format!("{month} {day}"),
            ("de" | "cs" | "da" | "fi" | "nb" | "nn" | "sk" | "sl" | "et" | "hr" | "is", _) => {
                format!("{day}. {month}")
            }
            ("es" | "pt" | "gl", _) => format!("{day} de {month}"),
            ("ja" | "zh", _) => format!("{}月{day}日", date.0.month()),
            ("ko", _) => format!("{}월 {day}일", date.0.month()),
            ("hu", _) => format!("{month} {day}."),
            ("lt", _) => format!("{month} {day} d."),
            ("fr", _) if day == 1 => format!("1er {month}"),
            _ => format!("{day} {month}"),
        }
    }

    /// `Monday, 1 June 2026`
    pub(crate) fn day(self, date: LocalDate) -> String {
        let names = locale_match!(self.posix => LC_TIME::DAY);
        let index = usize::try_from(date.0.weekday().to_sunday_zero_offset()).unwrap_or_default();
        let name = names.get(index).copied().unwrap_or_default();
        match self.language() {
            "ja" | "zh" | "ko" | "hu" => format!("{} ({name})", self.date(date)),
            "fr" => format!("{name} {}", self.date(date)),
            // The names of the data are the short ones: `segunda`.
            "pt" if (1..=5).contains(&index) => format!("{name}-feira, {}", self.date(date)),
            _ => format!("{name}, {}", self.date(date)),
        }
    }

    fn month(self, date: LocalDate) -> &'static str {
        let names = locale_match!(self.posix => LC_TIME::MON);
        let index = usize::try_from(date.0.month() - 1).unwrap_or_default();
        names.get(index).copied().unwrap_or_default()
    }

    fn language(self) -> &'static str {
        locale_match!(self.posix => LC_ADDRESS::LANG_AB).unwrap_or_default()
    }

    /// Writes a plain decimal number (`-1234.5`) with this locale's separators.
    fn decimal(self, plain: &str) -> String {
        let (minus, plain) = plain.strip_prefix('-').map_or(("", plain), |rest| ("-", rest));
        let (whole, rest) = plain.split_once('.').unwrap_or((plain, ""));
        let separator = locale_match!(self.posix => LC_NUMERIC::THOUSANDS_SEP);
        let sizes = locale_match!(self.posix => LC_NUMERIC::GROUPING);
        let mut groups = Vec::new();
        let mut left = whole;
        for step in 0.. {
            // The last size holds for all further groups; none at all means no groups.
            let size = sizes.get(step).or(sizes.last()).copied().unwrap_or_default();
            let size = usize::try_from(size).unwrap_or_default();
            if separator.is_empty() || size == 0 || left.len() <= size {
                groups.push(left);
                break;
            }
            let (head, group) = left.split_at(left.len() - size);
            groups.push(group);
            left = head;
        }
        groups.reverse();
        let mut number = format!("{minus}{}", groups.join(separator));
        if !rest.is_empty() {
            number.push_str(locale_match!(self.posix => LC_NUMERIC::DECIMAL_POINT));
            number.push_str(rest);
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(tag: &str, text: &str) -> String {
        Locale::of(tag).number(text.parse().unwrap())
    }

    fn date(tag: &str) -> [String; 3] {
        let (locale, date) = (Locale::of(tag), "2026-06-01".parse().unwrap());
        [locale.date(date), locale.short_date(date), locale.day(date)]
    }

    #[test]
    fn numbers_are_grouped_as_their_readers_do() {
        assert_eq!(number("en", "1234567.5"), "1,234,567.5");
        assert_eq!(number("en", "999"), "999");
        assert_eq!(number("en", "-1000.000001"), "-1,000.000001");
        assert_eq!(number("de", "1234567.5"), "1.234.567,5");
        assert_eq!(number("de-CH", "1234567"), "1’234’567");
        assert_eq!(number("fr-FR", "1234,5".replace(',', ".").as_str()), "1\u{202f}234,5");
        assert_eq!(number("en-IN", "12345678"), "1,23,45,678");
    }

    #[test]
    fn percentages_have_a_space_where_their_readers_write_one() {
        let percent = |tag| Locale::of(tag).percent(95);
        assert_eq!([percent("en"), percent("pt"), percent("ja")], ["95%", "95%", "95%"]);
        assert_eq!([percent("de"), percent("fr"), percent("es")], ["95\u{a0}%"; 3]);
    }

    #[test]
    fn unknown_locales_read_as_english() {
        for tag in ["", "xx", "xx-YY", "../../etc", "en-ZZ", "Klingon", "de_", "-", "é"] {
            let number = number(tag, "1234.5");
            assert!(number == "1,234.5" || tag == "de_" && number == "1.234,5", "{tag}: {number}");
        }
    }

    #[test]
    fn dates_are_in_the_order_of_their_language() {
        assert_eq!(date("en"), ["1 June 2026", "1 June", "Monday, 1 June 2026"]);
        assert_eq!(date("en-US"), ["June 1, 2026", "June 1", "Monday, June 1, 2026"]);
        assert_eq!(date("de-AT"), ["1. Juni 2026", "1. Juni", "Montag, 1. Juni 2026"]);
        assert_eq!(
            date("pt-BR"),
            ["1 de junho de 2026", "1 de junho", "segunda-feira, 1 de junho de 2026"]
        );
        assert_eq!(date("pl")[1], "1 czerwca");
        assert_eq!(date("fr"), ["1er juin 2026", "1er juin", "lundi 1er juin 2026"]);
        assert_eq!(date("ja")[0], "2026年6月1日");
    }

    #[test]
    fn prices_have_the_sign_where_it_belongs() {
        let money = |tag, cents, currency| Locale::of(tag).money(cents, currency);
        assert_eq!(money("en", 1900, "USD"), "$19.00");
        assert_eq!(money("en-US", 123_456, "USD"), "$1,234.56");
        assert_eq!(money("de", 1905, "EUR"), "19,05\u{a0}€");
        assert_eq!(money("en", 1900, "CHF"), "CHF\u{a0}19.00");
        assert_eq!(money("en-CA", 1900, "USD"), "USD\u{a0}19.00");
        assert_eq!(money("en", -1, "USD"), "$-0.01");
    }
}
