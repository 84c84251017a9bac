//! What every page has around it: the templates, and what the browser may do with a page.

use std::sync::LazyLock;

use axum::http::HeaderValue;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::clock::Moment;
use super::embedded::{ICON, SCRIPT, STYLE, path};
use crate::http::answer::{Answer, of};
use crate::http::problem::{Code, Problem};
use crate::store::tokens::Token;

/// Nothing comes from elsewhere, nothing is written inline, and no page frames ours.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src 'self'; form-action 'self'; frame-src 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";
const HEADERS: [(&str, &str); 4] = [
    ("content-security-policy", POLICY),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Every template by its name.
const TEMPLATES: &[(&str, &str)] = &[
    ("_layout.html", include_str!("templates/_layout.html")),
    ("_org_acts.html", include_str!("templates/_org_acts.html")),
    ("_parts.html", include_str!("templates/_parts.html")),
    ("act.html", include_str!("templates/act.html")),
    ("again.html", include_str!("templates/again.html")),
    ("drift.html", include_str!("templates/drift.html")),
    ("email.html", include_str!("templates/email.html")),
    ("emails.html", include_str!("templates/emails.html")),
    ("login.html", include_str!("templates/login.html")),
    ("now.html", include_str!("templates/now.html")),
    ("org.html", include_str!("templates/org.html")),
    ("orgs.html", include_str!("templates/orgs.html")),
    ("refused.html", include_str!("templates/refused.html")),
    ("run.html", include_str!("templates/run.html")),
    ("runs.html", include_str!("templates/runs.html")),
    ("statement.html", include_str!("templates/statement.html")),
    ("system.html", include_str!("templates/system.html")),
    ("usage.html", include_str!("templates/usage.html")),
];

static PARSED: LazyLock<Result<Environment<'static>, minijinja::Error>> = LazyLock::new(parse);

fn parse() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    environment.set_syntax(syntax.trim_blocks(true).lstrip_blocks(true).build()?);
    for (name, source) in TEMPLATES.iter().copied() {
        environment.add_template(name, source)?;
    }
    Ok(environment)
}

/// Who looks.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Visitor {
    /// The name of the token.
    name: String,
    /// The only org whose page the token may see.
    org: Option<String>,
}

impl From<&Token> for Visitor {
    fn from(token: &Token) -> Self {
        Self { name: token.name.clone(), org: token.org.map(|org| org.to_string()) }
    }
}

/// The switch of a page's times, as it is shown.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Switch {
    /// The page that is shown again.
    pub(super) next: String,
    /// What may be chosen: its value, what it says, whether it is chosen.
    pub(super) choices: Vec<(String, String, bool)>,
}

/// What stands around a page.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Frame {
    pub(super) title: String,
    /// The page of the navigation that this one is or belongs to.
    pub(super) here: &'static str,
    /// Who is logged in.
    pub(super) visitor: Option<Visitor>,
    /// Of when the figures are; such a page renews itself where scripts run.
    pub(super) as_of: Option<Moment>,
    /// The zone of its times.
    pub(super) zone: Option<String>,
    /// The switch of its times.
    pub(super) times: Option<Switch>,
    /// May whoever looks act?
    pub(super) may_act: bool,
}

impl Frame {
    /// Of a page for everybody.
    pub(super) fn plain(title: String) -> Self {
        Self {
            title,
            here: "",
            visitor: None,
            as_of: None,
            zone: None,
            times: None,
            may_act: false,
        }
    }
}

#[derive(Serialize)]
struct Whole<'a, T> {
    frame: &'a Frame,
    style: String,
    script: String,
    icon: String,
    version: &'static str,
    page: &'a T,
}

/// A page.
///
/// # Errors
/// [`Code::Internal`]: a template that asks for what is not there.
pub(super) fn html<T: Serialize>(
    template: &str,
    frame: &Frame,
    page: &T,
) -> Result<Answer, Problem> {
    let (style, script, icon) = (path(&STYLE), path(&SCRIPT), path(&ICON));
    let whole = Whole { frame, style, script, icon, version: env!("CARGO_PKG_VERSION"), page };
    let rendered = match &*PARSED {
        Ok(parsed) => parsed.get_template(template).and_then(|found| found.render(Serde(&whole))),
        Err(error) => return Err(of_template(error)),
    };
    let mut answer = of("text/html; charset=utf-8", rendered.map_err(|error| of_template(&error))?);
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(answer)
}

fn of_template(error: &minijinja::Error) -> Problem {
    tracing::error!(%error, "a page cannot be rendered, please report it");
    Problem::new(Code::Internal, "internal error; the log says more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_can_be_parsed() {
        let parsed = PARSED.as_ref().unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(parsed.templates().count(), TEMPLATES.len());
    }
}
