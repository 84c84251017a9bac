//! Templates of emails: embedded, and replaced by those of a directory.
//!
//! A letter has a folder with three files: `alert/subject.txt`, `alert/body.txt` and
//! `alert/body.html`. A folder of a language may stand before it, `de/alert/body.txt`. A file is
//! looked for in the letter's own folder and then in `alert`, each in the reader's locale
//! (`de-AT`), in its language (`de`) and without; what a directory lacks is embedded.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::fs;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};

use super::samples;
use super::view::View;

/// The folder of the letter that everything falls back to.
const ALERT: &str = "alert";
const SUBJECT: &str = "subject.txt";
const TEXT: &str = "body.txt";
const HTML: &str = "body.html";

const EMBEDDED: [(&str, &str); 3] = [
    ("alert/subject.txt", include_str!("templates/alert/subject.txt")),
    ("alert/body.txt", include_str!("templates/alert/body.txt")),
    ("alert/body.html", include_str!("templates/alert/body.html")),
];

/// All templates, parsed.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    /// Where each one that is not embedded comes from.
    files: BTreeMap<String, String>,
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
        environment.set_syntax(syntax()?);
        let mut templates = Self { environment, files: BTreeMap::new() };
        for (name, source) in EMBEDDED {
            templates.add(name, source.to_owned())?;
        }
        if let Some(dir) = dir {
            templates.add_directory(dir, "", 0)?;
        }
        templates.try_all()?;
        Ok(templates)
    }

    /// Is there a folder of that name, for a feature that wants letters of its own?
    #[must_use]
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
        let part = |file| {
            let name = self.nearest(folder, locale, file);
            let template = self.environment.get_template(&name);
            let text = template.and_then(|template| template.render(Serde(view)));
            text.map_err(|error| self.fault(&name, &error))
        };
        Ok(Rendered { subject: part(SUBJECT)?, text: part(TEXT)?, html: part(HTML)? })
    }

    fn nearest(&self, folder: Option<&str>, locale: &str, file: &str) -> String {
        let language = locale.split(['-', '_']).next().unwrap_or_default();
        let folders = folder.into_iter().chain([ALERT]);
        let names = folders.flat_map(|folder| {
            let name = format!("{folder}/{file}");
            [format!("{locale}/{name}"), format!("{language}/{name}"), name]
        });
        let mut names = names.filter(|name| self.environment.get_template(name).is_ok());
        names.next().unwrap_or_else(|| format!("{ALERT}/{file}"))
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
                "{}: no email uses `{name}`; name it {SUBJECT}, {TEXT} or {HTML}, or let it begin \
                 with `_` when others include it",
                path.display()
            )));
        }
        let source = fs::read_to_string(path).map_err(|why| {
            TemplateError(format!("{}: the template cannot be read: {why}", path.display()))
        })?;
        self.files.insert(place.to_owned(), path.display().to_string());
        self.add(place, source)
    }

    /// Renders every template of every letter in every language with every sample.
    fn try_all(&self) -> Result<(), TemplateError> {
        let mut known = BTreeSet::from([("", ALERT)]);
        for name in self.files.keys() {
            match name.split('/').collect::<Vec<_>>()[..] {
                [folder, _] => known.insert(("", folder)),
                [language, folder, _] => known.insert((language, folder)),
                _ => false,
            };
        }
        for (language, folder) in known {
            for (letter, unsubscribe) in samples::letters() {
                let url = unsubscribe.then(|| "https://example.com/u".to_owned());
                let view = View::of(&letter, url).map_err(|why| TemplateError(why.to_string()))?;
                let rendered = self.render(Some(folder), language, &view)?;
                let name = self.nearest(Some(folder), language, SUBJECT);
                if rendered.subject.trim().is_empty() {
                    return Err(TemplateError(format!(
                        "{}: the subject is empty",
                        self.place(&name)
                    )));
                }
            }
        }
        Ok(())
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
        let detail = error.detail().map_or_else(String::new, |detail| format!(": {detail}"));
        TemplateError(format!("{place}{line}: {what}{detail}"))
    }

    fn place(&self, name: &str) -> String {
        self.files.get(name).cloned().unwrap_or_else(|| format!("{name} (embedded)"))
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
