//! Templates of emails: embedded, and replaced by those of a directory.
//!
//! A letter has a folder with three files: `alert/subject.txt`, `alert/body.txt` and
//! `alert/body.html`. A folder of a language may stand before it, `de/alert/body.txt`. A file is
//! looked for in the letter's own folder and then in `alert`, each in the reader's locale
//! (`de-AT`), in its language (`de`) and without: first among those of the directory, then among
//! those that are embedded.
//!
//! The embedded ones are a layout per file (`alert/_layout.html`) and the words of a language that
//! go into all three.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::fs;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::notice::view::NoticeView;
use super::view::View;
use super::{notice, samples};
use crate::billing::notice::Kind;
use crate::billing::quantity::Overflow;
use crate::{files, text};

/// The folder of the letter that everything falls back to.
const ALERT: &str = "alert";
/// The language of whoever has none that there are templates in.
const ENGLISH: &str = "en";
const SUBJECT: &str = "subject.txt";
const TEXT: &str = "body.txt";
const HTML: &str = "body.html";

/// How many instructions one part of an email may take. The embedded ones take less than 1,000; a
/// template with loops in loops ends with a sentence instead of keeping everybody waiting.
const FUEL: u64 = 200_000;

/// Each file with its layout.
const LAYOUTS: [(&str, &str, &str); 3] = [
    (SUBJECT, "_subject.txt", include_str!("templates/alert/_subject.txt")),
    (TEXT, "_layout.txt", include_str!("templates/alert/_layout.txt")),
    (HTML, "_layout.html", include_str!("templates/alert/_layout.html")),
];

/// Each language with its words; English is everybody's.
const WORDS: [(&str, &str); 6] = [
    ("", include_str!("templates/words/en.txt")),
    ("de/", include_str!("templates/words/de.txt")),
    ("fr/", include_str!("templates/words/fr.txt")),
    ("es/", include_str!("templates/words/es.txt")),
    ("pt/", include_str!("templates/words/pt.txt")),
    ("ja/", include_str!("templates/words/ja.txt")),
];

/// The folder of the layouts of notices.
const NOTICE: &str = "notice";

/// Each file of a notice with its layout.
const NOTICE_LAYOUTS: [(&str, &str, &str); 3] = [
    (SUBJECT, "_subject.txt", include_str!("templates/notice/_subject.txt")),
    (TEXT, "_layout.txt", include_str!("templates/notice/_layout.txt")),
    (HTML, "_layout.html", include_str!("templates/notice/_layout.html")),
];

/// Each language with its words for notices of all kinds.
const NOTICE_WORDS: [(&str, &str); 6] = [
    ("", include_str!("templates/notices/en.txt")),
    ("de/", include_str!("templates/notices/de.txt")),
    ("fr/", include_str!("templates/notices/fr.txt")),
    ("es/", include_str!("templates/notices/es.txt")),
    ("pt/", include_str!("templates/notices/pt.txt")),
    ("ja/", include_str!("templates/notices/ja.txt")),
];

/// Characters of a line of a text part.
const COLUMNS: usize = 78;

/// Every embedded template, by its name.
pub fn embedded() -> Vec<(String, String)> {
    let layouts = LAYOUTS
        .iter()
        .map(|(_, layout, source)| (format!("{ALERT}/{layout}"), (*source).to_owned()));
    let files = WORDS.iter().flat_map(|(language, words)| {
        LAYOUTS.iter().map(move |(file, layout, _)| {
            let name = format!("{language}{ALERT}/{file}");
            (name, format!("{{% extends \"{ALERT}/{layout}\" %}}\n{words}"))
        })
    });
    layouts.chain(files).chain(embedded_notices()).collect()
}

/// The embedded templates of notices: a folder for each kind.
fn embedded_notices() -> impl Iterator<Item = (String, String)> {
    let layouts = NOTICE_LAYOUTS
        .iter()
        .map(|(_, layout, source)| (format!("{NOTICE}/{layout}"), (*source).to_owned()));
    let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Threshold);
    let files = kinds.flat_map(|kind| {
        NOTICE_WORDS.iter().flat_map(move |(language, words)| {
            NOTICE_LAYOUTS.iter().map(move |(file, layout, _)| {
                let name = format!("{language}{kind}/{file}");
                (name, format!("{{% extends \"{NOTICE}/{layout}\" %}}\n{words}"))
            })
        })
    });
    layouts.chain(files)
}

/// The kind of notice that a folder is for.
fn kind_of(folder: &str) -> Option<Kind> {
    folder.parse().ok().filter(|kind| *kind != Kind::Threshold)
}

/// All templates, parsed.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    /// Where each one that is not embedded comes from.
    files: BTreeMap<String, String>,
    /// Of all their texts.
    digest: String,
}

/// The three parts of an email.
pub(super) struct Rendered {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// Checks the templates of a directory, as `config check` does.
///
/// # Errors
/// A sentence with file and line, when [`Templates::load`] refuses them.
pub fn check(dir: Option<&Path>) -> Result<(), String> {
    Templates::load(dir).map(drop).map_err(|error| error.to_string())
}

impl Templates {
    /// Reads the templates of a directory over the embedded ones, and renders each with sample
    /// letters, so that one that fails is found before an email needs it.
    ///
    /// # Errors
    /// [`TemplateError`] for a directory or a file that cannot be read, that is no template, or
    /// that fails.
    pub fn load(dir: Option<&Path>) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        // A field that is spelt wrong must not become an empty place in somebody's email.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_syntax(syntax()?);
        environment.add_filter("wrap", |text: String| text::wrapped(&text, COLUMNS));
        let mut templates = Self { environment, files: BTreeMap::new(), digest: String::new() };
        for (name, source) in embedded() {
            templates.add(&name, source)?;
        }
        if let Some(dir) = dir {
            templates.add_directory(dir, "", 0)?;
        }
        templates.try_all()?;
        templates.digest = templates.summed();
        Ok(templates)
    }

    /// The same as long as no template is another one: of all names and texts.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    fn summed(&self) -> String {
        let all: BTreeMap<&str, String> = self
            .environment
            .templates()
            .map(|(name, template)| (name, template.source().to_owned()))
            .collect();
        let sum = all.iter().fold(Sha256::new(), |sum, (name, text)| {
            sum.chain_update(name).chain_update([0]).chain_update(text).chain_update([0])
        });
        format!("{:x}", sum.finalize())[..16].to_owned()
    }

    /// Is there a folder of that name, for a feature that wants letters of its own?
    pub fn has_folder(&self, folder: &str) -> bool {
        let is_in = |name: &str| name.rsplit('/').nth(1) == Some(folder);
        folder == ALERT || self.files.keys().any(|name| is_in(name))
    }

    /// Renders the three parts, each from the nearest template that there is.
    pub(super) fn render(
        &self,
        folder: Option<&str>,
        locale: &str,
        view: &View,
    ) -> Result<Rendered, TemplateError> {
        let folders: Vec<&str> = folder.into_iter().chain([ALERT]).collect();
        self.render_from(&folders, locale, view)
    }

    /// Renders the three parts of a notice.
    pub(super) fn render_notice(
        &self,
        kind: Kind,
        locale: &str,
        view: &NoticeView,
    ) -> Result<Rendered, TemplateError> {
        self.render_from(&[kind.name()], locale, view)
    }

    fn render_from(
        &self,
        folders: &[&str],
        locale: &str,
        view: &impl Serialize,
    ) -> Result<Rendered, TemplateError> {
        let part = |file| {
            let name = self.nearest(folders, locale, file);
            let template = self.environment.get_template(&name);
            let text = template.and_then(|template| template.render(Serde(view)));
            text.map_err(|error| self.fault(&name, &error))
        };
        Ok(Rendered { subject: part(SUBJECT)?, text: part(TEXT)?, html: part(HTML)? })
    }

    fn nearest(&self, folders: &[&str], locale: &str, file: &str) -> String {
        let language = locale.split(['-', '_']).next().unwrap_or_default();
        let names = folders.iter().flat_map(|folder| {
            let name = format!("{folder}/{file}");
            [format!("{locale}/{name}"), format!("{language}/{name}"), name]
        });
        let names: Vec<String> = names.collect();
        let is_known = |name: &&String| self.environment.get_template(name).is_ok();
        let own = names.iter().find(|name| self.files.contains_key(*name));
        let found = own.or_else(|| names.iter().find(is_known)).cloned();
        let last = folders.last().copied().unwrap_or(ALERT);
        found.unwrap_or_else(|| format!("{last}/{file}"))
    }

    /// The locale by which a letter is written: its own where there are templates in its language,
    /// else English, so that words, numbers and dates are of one language.
    pub(super) fn locale_of<'a>(&self, locale: &'a str) -> &'a str {
        let language = locale.split(['-', '_']).next().unwrap_or_default();
        let speaks = |name: &str| {
            let (first, rest) = name.split_once('/').unwrap_or_default();
            rest.contains('/') && (first == locale || first == language)
        };
        let is_embedded = language == ENGLISH
            || WORDS.iter().any(|(known, _)| known.trim_end_matches('/') == language);
        if is_embedded || self.files.keys().any(|name| speaks(name)) { locale } else { ENGLISH }
    }

    fn add(&mut self, name: &str, source: String) -> Result<(), TemplateError> {
        let added = self.environment.add_template_owned(name.to_owned(), source);
        added.map_err(|error| self.fault(name, &error))
    }

    fn add_directory(
        &mut self,
        dir: &Path,
        prefix: &str,
        depth: usize,
    ) -> Result<(), TemplateError> {
        let unreadable = |why: std::io::Error| {
            TemplateError(format!("{}: the templates cannot be read: {why}", dir.display()))
        };
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Hidden files are editors' and mounted volumes' own business.
            if !name.starts_with('.') {
                entries.push((name, path));
            }
        }
        entries.sort();
        for (name, path) in entries {
            let place = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            // Follows links: volumes are often mounted as such.
            if path.is_dir() {
                if depth < 2 {
                    self.add_directory(&path, &place, depth + 1)?;
                }
            } else if depth > 0 && Path::new(&name).extension().is_some_and(is_template) {
                self.add_file(&path, &name, &place)?;
            }
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path, name: &str, place: &str) -> Result<(), TemplateError> {
        // Nobody would notice that a misspelt file is never used.
        if ![SUBJECT, TEXT, HTML].contains(&name) && !name.starts_with('_') {
            return Err(TemplateError(format!(
                "{}: no email uses `{name}`; name it {SUBJECT}, {TEXT} or {HTML}, or start its \
                 name with `_` if other templates include it",
                path.display()
            )));
        }
        let source = files::read_text(path, files::TEXT_BYTES).map_err(|why| {
            TemplateError(format!("{}: the template cannot be read: {why}", path.display()))
        })?;
        self.files.insert(place.to_owned(), path.display().to_string());
        self.add(place, source)
    }

    /// Renders every template of every letter in every language with every sample.
    fn try_all(&self) -> Result<(), TemplateError> {
        let mut known: BTreeSet<(&str, &str)> =
            WORDS.iter().map(|(language, _)| (language.trim_end_matches('/'), ALERT)).collect();
        for name in self.files.keys() {
            match name.split('/').collect::<Vec<_>>()[..] {
                [folder, _] => known.insert(("", folder)),
                [language, folder, _] => known.insert((language, folder)),
                _ => false,
            };
        }
        let (mut notices, mut alerts) = (BTreeSet::new(), Vec::new());
        for (language, _) in &NOTICE_WORDS {
            let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Threshold);
            notices.extend(kinds.map(|kind| (language.trim_end_matches('/'), kind)));
        }
        for (language, folder) in known {
            match kind_of(folder) {
                Some(kind) => _ = notices.insert((language, kind)),
                None => alerts.push((language, folder)),
            }
        }
        let (sender, url) = (samples::sender(), || "https://example.com/u".to_owned());
        let no_number = |why: Overflow| TemplateError(why.to_string());
        for (language, folder) in alerts {
            for (letter, unsubscribe) in samples::letters() {
                let (url, locale) = (unsubscribe.then(url), self.locale_of(language));
                let view = View::of(&letter, &sender, locale, url).map_err(no_number)?;
                let rendered = self.render(Some(folder), language, &view)?;
                self.check_subject(&rendered, &[folder, ALERT], language)?;
            }
        }
        for (language, kind) in notices {
            for letter in notice::samples::letters().iter().filter(|one| one.kind == kind) {
                let (url, locale) = (letter.opt_out.then(url), self.locale_of(language));
                let view = NoticeView::of(letter, &sender, locale, url).map_err(no_number)?;
                let rendered = self.render_notice(kind, language, &view)?;
                self.check_subject(&rendered, &[kind.name()], language)?;
            }
        }
        Ok(())
    }

    fn check_subject(
        &self,
        rendered: &Rendered,
        folders: &[&str],
        language: &str,
    ) -> Result<(), TemplateError> {
        if !rendered.subject.trim().is_empty() {
            return Ok(());
        }
        let name = self.nearest(folders, language, SUBJECT);
        Err(TemplateError(format!("{}: the subject is empty", self.place(&name))))
    }

    fn fault(&self, name: &str, error: &minijinja::Error) -> TemplateError {
        // An error in an included file is the innermost one.
        let mut error = error;
        while let Some(inner) = error.source().and_then(|source| source.downcast_ref()) {
            error = inner;
        }
        let place = self.place(error.name().unwrap_or(name));
        let line = error.line().map_or_else(String::new, |line| format!(":{line}"));
        let what = error.kind();
        let detail = match unknown_name(error) {
            Some(name) => format!(" `{name}`{}", suggestion(name)),
            None => error.detail().map_or_else(String::new, |detail| format!(": {detail}")),
        };
        TemplateError(format!("{place}{line}: {what}{detail}"))
    }

    fn place(&self, name: &str) -> String {
        self.files.get(name).cloned().unwrap_or_else(|| format!("{name} (embedded)"))
    }
}

/// The name in the template that stands for nothing.
fn unknown_name(error: &minijinja::Error) -> Option<&str> {
    if error.kind() != ErrorKind::UndefinedError {
        return None;
    }
    let written = error.template_source()?.get(error.range()?)?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
    let name = written.split(|c| !is_name(c)).find(|part| !part.is_empty())?;
    Some(name.trim_matches('.'))
}

/// The most similar name that templates have.
fn suggestion(name: &str) -> String {
    let letter = samples::warning();
    let url = Some(String::new());
    let view = View::of(&letter, &samples::sender(), ENGLISH, url).ok();
    let view = view.and_then(|view| serde_json::to_value(view).ok()).unwrap_or_default();
    let notice = notice::samples::letters().into_iter().find_map(|letter| {
        let view =
            NoticeView::of(&letter, &samples::sender(), ENGLISH, Some(String::new())).ok()?;
        serde_json::to_value(view).ok()
    });
    let mut names = Vec::new();
    collect_names(&view, "", &mut names);
    collect_names(&notice.unwrap_or_default(), "", &mut names);
    let scored = names.iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.max_by(|(one, _), (other, _)| one.total_cmp(other));
    match best.filter(|(score, _)| *score > 0.8) {
        Some((_, known)) => format!("; did you mean `{known}`?"),
        None => "; docs/emails.md lists the names".to_owned(),
    }
}

fn collect_names(value: &serde_json::Value, prefix: &str, names: &mut Vec<String>) {
    let serde_json::Value::Object(fields) = value else { return };
    for (field, value) in fields {
        let name = if prefix.is_empty() { field.clone() } else { format!("{prefix}.{field}") };
        collect_names(value, &name, names);
        names.push(name);
    }
}

/// Tags stand on lines of their own, which leave nothing behind.
fn syntax() -> Result<SyntaxConfig, TemplateError> {
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    syntax.build().map_err(|why| TemplateError(why.to_string()))
}

fn is_template(extension: &std::ffi::OsStr) -> bool {
    extension == "txt" || extension == "html"
}

/// A template that does not serve: `FILE:LINE: what`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);
