//! Templates of one's own.

use std::path::{Path, PathBuf};

use periodd::mail::{Letter, Templates, samples, templates};
use tempfile::TempDir;

use super::support::{TEMPLATES, render};

struct Folder(TempDir);

impl Folder {
    fn of(files: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        for (name, text) in files {
            let file = directory.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn templates(&self) -> Templates {
        Templates::load(Some(self.path())).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The sentence that refuses them, without the directory's path.
    fn refusal(&self) -> String {
        let error = templates::check(Some(self.path())).unwrap_err();
        error.replace(&format!("{}/", self.path().display()), "")
    }
}

fn subject(templates: &Templates, locale: &str, template: Option<&str>) -> String {
    let template = template.map(str::to_owned);
    let letter = Letter { locale: locale.to_owned(), template, ..samples::warning() };
    render(templates, &letter).subject
}

#[test]
fn what_a_folder_lacks_is_taken_from_the_embedded_ones() {
    let folder = Folder::of(&[("alert/subject.txt", "Careful, {{ org.name }}!\n")]);
    let email = render(&folder.templates(), &samples::warning());
    assert_eq!(email.subject, "Careful, Acme GmbH!");
    assert!(email.text.contains("570 of 600 minutes"));
    assert_eq!(templates::check(None), Ok(()));
    assert_eq!(templates::check(Some(Folder::of(&[]).path())), Ok(()));
}

#[test]
fn a_template_that_would_keep_everybody_waiting_ends_with_its_line() {
    let loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}\
                 {{ c }}{% endfor %}{% endfor %}{% endfor %}";
    let folder = Folder::of(&[("alert/body.txt", loops)]);
    assert_eq!(folder.refusal(), "alert/body.txt:1: engine ran out of fuel");
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = Folder::of(&[("alert/subject.txt", "x")]);
    let body = folder.path().join("alert/body.txt");
    let made = std::process::Command::new("mkfifo").arg(&body).status().unwrap();
    assert!(made.success());
    assert_eq!(
        folder.refusal(),
        "alert/body.txt: the template cannot be read: it is not a regular file"
    );
    std::fs::remove_file(&body).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &body).unwrap();
    assert_eq!(
        folder.refusal(),
        "alert/body.txt: the template cannot be read: it is not a regular file"
    );
}

/// What is exported is what is embedded: a directory with all of it changes no email.
#[test]
fn exported_templates_say_what_the_embedded_ones_do() {
    let embedded = templates::embedded();
    let files: Vec<(&str, &str)> =
        embedded.iter().map(|(name, source)| (name.as_str(), source.as_str())).collect();
    assert!(files.iter().any(|(name, _)| *name == "ja/alert/body.html"), "{}", files.len());
    let templates = Folder::of(&files).templates();
    for locale in ["en", "de-AT", "ja"] {
        let letter = Letter { locale: locale.to_owned(), ..samples::warning() };
        let (own, embedded) = (render(&templates, &letter), render(&TEMPLATES, &letter));
        assert_eq!((own.text, own.html), (embedded.text, embedded.html), "{locale}");
    }
}

/// A file of one's own is for everybody, until there is one for a language.
#[test]
fn own_files_come_before_the_embedded_ones_of_a_language() {
    let folder =
        Folder::of(&[("alert/subject.txt", "mine"), ("pl/alert/body.txt", "{{ as_of.day }}")]);
    let templates = folder.templates();
    assert_eq!(subject(&templates, "de", None), "mine");
    let letter = Letter { locale: "pl".to_owned(), ..samples::warning() };
    assert_eq!(render(&templates, &letter).text, "czwartek, 21 maja 2026");
}

#[test]
fn languages_and_features_have_folders_of_their_own() {
    let folder = Folder::of(&[
        ("alert/subject.txt", "plain"),
        ("de/alert/subject.txt", "deutsch"),
        ("de-AT/alert/subject.txt", "österreichisch"),
        ("minutes/subject.txt", "minutes"),
        ("de/minutes/subject.txt", "Minuten"),
        ("README.md", "not a template: {{"),
        (".git/alert/x.txt", "{{"),
    ]);
    let templates = folder.templates();
    assert_eq!(subject(&templates, "en", None), "plain");
    assert_eq!(subject(&templates, "de", None), "deutsch");
    assert_eq!(subject(&templates, "de-CH", None), "deutsch");
    assert_eq!(subject(&templates, "de-AT", None), "österreichisch");
    assert_eq!(subject(&templates, "fr", Some("minutes")), "minutes");
    assert_eq!(subject(&templates, "de-AT", Some("minutes")), "Minuten");
    assert_eq!(subject(&templates, "en", Some("messages")), "plain");
    assert!(templates.has_folder("minutes") && templates.has_folder("alert"));
    assert!(!templates.has_folder("messages") && !templates.has_folder("de"));
}

/// Everything that the manual names exists: a template that uses it all is accepted.
#[test]
fn the_manual_names_what_there_is() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/emails.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let table = manual.split("| name |").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = table.lines().skip(2).flat_map(|row| {
        let cell = row.split('|').nth(1).unwrap_or_default();
        cell.split('`').skip(1).step_by(2)
    });
    let mut template = String::new();
    for name in names {
        let body = match name {
            "starts" | "resets" | "as_of" => "{{ x.day }}{{ x.date }}{{ x.short }}{{ x.time }}",
            "forecast.used_up" => "{% if x %}{{ x.day }}{{ x.date }}{{ x.short }}{% endif %}",
            "offer" => {
                "{% for p in x %}{{ p.code }}{{ p.name }}{{ p.count }}{{ p.quantity }}{{ p.total }}\
                 {{ p.price }}{{ p.total_price }}{% endfor %}"
            }
            _ => "{{ x }}",
        };
        let guard = name.split_once('.').map_or("true", |(whole, _)| whole);
        let part = format!("{{% if {guard} %}}{{% set x = {name} %}}{body}{{% endif %}}\n");
        template.push_str(&part);
    }
    assert!(template.lines().count() > 25, "{template}");
    let folder = Folder::of(&[("alert/body.txt", &template)]);
    let letters = samples::letters();
    let told = letters.iter().map(|(letter, _)| render(&folder.templates(), letter).text.len());
    assert!(told.min().unwrap() > 100);
}

#[test]
fn partials_are_included_and_escaped_as_what_they_are() {
    let folder = Folder::of(&[
        ("alert/body.html", "<p>{% include \"alert/_name.html\" %}</p>"),
        ("alert/_name.html", "{{ org.name }}"),
    ]);
    let letter = Letter { org_name: "<b>".to_owned(), ..samples::warning() };
    assert_eq!(render(&folder.templates(), &letter).html, "<p>&lt;b&gt;</p>");
}

#[test]
fn a_template_that_fails_is_refused_with_file_and_line() {
    for (files, sentence) in [
        (
            &[("alert/body.txt", "fine\n{{ org.nmae }}\n")][..],
            "alert/body.txt:2: undefined value `org.nmae`; did you mean `org.name`?",
        ),
        (&[("alert/body.html", "\n\n{% if %}\n")], "alert/body.html:3: syntax error"),
        (&[("alert/subject.txt", "{{ used | nosuch }}")], "alert/subject.txt:1: unknown filter"),
        (
            &[("alert/body.txt", "{% include 'alert/_x.txt' %}"), ("alert/_x.txt", "a\nb {{ c }}")],
            "alert/_x.txt:2: undefined value",
        ),
        (&[("alert/body.txt", "{% include 'nosuch.txt' %}")], "alert/body.txt:1: template not"),
        (&[("alert/subject.txt", "  \n")], "alert/subject.txt: the subject is empty"),
        // In a branch that only some letters take.
        (
            &[("alert/body.txt", "{% if not limit %}{{ lmit }}{% endif %}")],
            "alert/body.txt:1: undefined value `lmit`; did you mean `limit`?",
        ),
        (&[("de/alert/body.txt", "{{ x }}")], "de/alert/body.txt:1: undefined value"),
        (&[("calls/body.txt", "{{ x }}")], "calls/body.txt:1: undefined value"),
        (&[("alert/text.txt", "fine")], "alert/text.txt: no email uses `text.txt`; name it"),
    ] {
        let refusal = Folder::of(files).refusal();
        assert!(refusal.starts_with(sentence), "{refusal}");
    }
    let missing = PathBuf::from("/nonexistent/templates");
    let refusal = templates::check(Some(&missing)).unwrap_err();
    assert!(refusal.starts_with("/nonexistent/templates: the templates cannot be read"));
}
