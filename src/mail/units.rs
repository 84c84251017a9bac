//! The units of the features that periodd comes with, in the languages that it comes with.

/// Units in English, and then in German, French, Spanish, Portuguese and Japanese.
const UNITS: [[&str; 6]; 7] = [
    ["minutes", "Minuten", "minutes", "minutos", "minutos", "分"],
    ["messages", "Nachrichten", "messages", "mensajes", "mensagens", "件"],
    ["emails", "E-Mails", "e-mails", "correos", "e-mails", "通"],
    ["scrapes", "Abrufe", "extractions", "extracciones", "extrações", "回"],
    ["pages", "Seiten", "pages", "páginas", "páginas", "ページ"],
    ["requests", "Anfragen", "requêtes", "solicitudes", "pedidos", "件"],
    ["units", "Einheiten", "unités", "unidades", "unidades", "単位"],
];
const LANGUAGES: [&str; 6] = ["en", "de", "fr", "es", "pt", "ja"];

/// The unit in a language; as it is, where it is not one of these.
pub(super) fn translated<'a>(unit: &'a str, language: &str) -> &'a str {
    let column = LANGUAGES.iter().position(|known| *known == language);
    let row = UNITS.iter().find(|[english, ..]| *english == unit);
    row.zip(column).and_then(|(row, column)| row.get(column)).copied().unwrap_or(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_units_stay_as_they_are() {
        assert_eq!(translated("minutes", "de"), "Minuten");
        assert_eq!(translated("minutes", "pl"), "minutes");
        assert_eq!(translated("Faxe", "de"), "Faxe");
    }
}
