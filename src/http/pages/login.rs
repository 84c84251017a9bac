//! Logging in, by a link that works once or by a token; and out.
//!
//! A link only shows a button: whatever follows links of its own accord uses none of them up.

use axum::http::{Method, header};
use serde::{Deserialize, Serialize};

use super::frame::{Frame, html};
use super::parts::sentence;
use super::refused::lead_to;
use super::{FORM, cookie};
use crate::http::answer::Answer;
use crate::http::call::{Access, Call, Kind, Parameter, Route, Sees, permitting};
use crate::http::own_door::OwnDoor;
use crate::http::problem::{Code, Problem};
use crate::store::tokens::Scope;
use crate::store::tokens::secret::Secret;
use crate::store::tokens::sessions;

const PARAMETERS: [Parameter; 3] = [
    Parameter::optional("next", "The page to go on with.", "/orgs", Kind::Text),
    Parameter::optional("link", "The secret of a link that logs in once.", "pd_…", Kind::Text),
    Parameter::optional("begun", "Whether a session has just begun.", "true", Kind::Flag),
];

/// The routes of this file.
pub(super) const ROUTES: [Route; 3] = [
    Route {
        method: Method::GET,
        path: "/login",
        access: Access::Browser,
        summary: "Logs a browser in, by a link that works once.",
        parameters: &PARAMETERS,
        bodies: &[],
        answer: None,
        media_types: &["text/html"],
        problems: &[],
        handler: |call| Box::pin(ask(call)),
    },
    Route {
        method: Method::POST,
        path: "/login",
        access: Access::Browser,
        summary: "Begins a session, by the secret of a link or by a token that permits reading.",
        parameters: &[],
        bodies: FORM,
        answer: None,
        media_types: &["text/html"],
        problems: &[],
        handler: |call| Box::pin(begin(call)),
    },
    Route {
        method: Method::POST,
        path: "/logout",
        access: Access::Page(Sees::One),
        summary: "Ends the session.",
        parameters: &[],
        bodies: FORM,
        answer: None,
        media_types: &["text/html"],
        problems: &[],
        handler: |call| Box::pin(end(call)),
    },
];

/// Does it begin or end a session, and nothing else?
pub(in crate::http) fn is_of_a_session(route: &Route) -> bool {
    ROUTES.iter().any(|own| (own.path, &own.method) == (route.path, &route.method))
}

#[derive(Default, Serialize)]
struct Login {
    next: String,
    link: Option<String>,
    /// Is the link the only way in, and this process the one that prints it?
    by_link_alone: bool,
    /// Why the last attempt failed.
    refused: Option<String>,
}

/// What the form sends.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sent {
    next: String,
    link: String,
    token: String,
}

/// A page of ours: nobody is led elsewhere by a link to the login page.
pub(super) fn own(next: &str) -> String {
    let is_own = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own { next.to_owned() } else { "/".to_owned() }
}

fn form(login: &Login) -> Result<Answer, Problem> {
    let frame = Frame::plain("Log in".to_owned());
    html("login.html", &frame, login)
}

async fn ask(call: Call) -> Result<Answer, Problem> {
    let next = own(call.parameter("next").unwrap_or("/"));
    let by_link_alone = call.shared.access.own().is_some();
    if call.parsed::<bool>("begun")?.unwrap_or(false) {
        let shared = &call.shared;
        let admitted = shared.access.admit_session(&shared.turns, &call.headers, call.client);
        return match admitted.await {
            Ok(_) => Ok(lead_to(&next)),
            Err(problem) if problem.code == Code::Unauthorized => {
                let refused =
                    "Your browser did not keep the session. Open the dashboard by https, \
                               or on the machine itself at http://localhost."
                        .to_owned();
                form(&Login { next, link: None, by_link_alone, refused: Some(refused) })
            }
            Err(problem) => Err(problem),
        };
    }
    let link = call.parameter("link").and_then(Secret::read);
    let refused = (call.parameter("link").is_some() && link.is_none())
        .then(|| "The link is not whole. Copy it again, or print another one.".to_owned());
    let link = link.map(|link| link.reveal().to_owned());
    form(&Login { next, link, by_link_alone, refused })
}

async fn begin(call: Call) -> Result<Answer, Problem> {
    let sent: Sent = serde_urlencoded::from_bytes(&call.body)
        .map_err(|_| Problem::new(Code::Malformed, "the form cannot be read"))?;
    let next = own(&sent.next);
    let door = call.shared.access.own();
    let secret = random()?;
    let begun = match (door, sent.link.is_empty()) {
        (Some(door), _) => by_own_link(&call, door, &sent.link, &secret),
        (None, true) => by_token(&call, sent.token.trim()).await.map(Some),
        (None, false) => by_link(&call, &sent.link).await.map(Some),
    };
    let token = match begun {
        Ok(token) => token,
        Err(problem) if [Code::Unauthorized, Code::Forbidden].contains(&problem.code) => {
            let refused = Some(sentence(&problem.detail));
            let by_link_alone = door.is_some();
            let mut answer = form(&Login { next, link: None, by_link_alone, refused })?;
            *answer.status_mut() = problem.code.status();
            return Ok(answer);
        }
        Err(problem) => return Err(problem),
    };
    if let Some(token) = token {
        sessions::begin(&mut *call.turn().await?, &secret.digest(), &token).await?;
    }
    let mut answer = lead_to(&format!("/login?begun=true&next={}", crate::text::url_part(&next)));
    let cookie = cookie::keep(&call.headers, &secret);
    let cookie = cookie.ok_or_else(|| Problem::new(Code::Internal, "internal error"))?;
    answer.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(answer)
}

fn random() -> Result<Secret, Problem> {
    Secret::random().map_err(|error| {
        tracing::error!(%error, "no session could begin");
        Problem::new(Code::Internal, "internal error; the log says more")
    })
}

/// The digest of a token that was typed.
async fn by_token(call: &Call, typed: &str) -> Result<sessions::Digest, Problem> {
    let shared = &call.shared;
    let unknown = |problem: Problem| match problem.code {
        Code::Unauthorized => {
            Problem::new(Code::Unauthorized, "the token is unknown, expired or revoked")
        }
        _ => problem,
    };
    let token = shared.access.admit_typed(&shared.turns, typed, call.client).await;
    permitting(token.map_err(unknown)?, Scope::Read)?;
    let secret = Secret::read(typed);
    secret.map(|secret| secret.digest()).ok_or_else(|| Problem::new(Code::Unauthorized, ""))
}

/// The digest of the token of a link, which is used up.
async fn by_link(call: &Call, link: &str) -> Result<sessions::Digest, Problem> {
    let access = &call.shared.access;
    access.refuse_guesser(call.client)?;
    let token = match Secret::read(link) {
        Some(link) => sessions::use_link(&mut *call.turn().await?, &link.digest()).await?,
        None => None,
    };
    token.ok_or_else(|| {
        access.note_wrong_link(call.client);
        let detail = "the link was used or has expired; print another one, or paste a token";
        Problem::new(Code::Unauthorized, detail)
    })
}

/// Begins a session in this process, by its link.
fn by_own_link(
    call: &Call,
    door: &OwnDoor,
    link: &str,
    session: &Secret,
) -> Result<Option<sessions::Digest>, Problem> {
    let access = &call.shared.access;
    access.refuse_guesser(call.client)?;
    if Secret::read(link).is_some_and(|link| door.use_link(&link.digest())) {
        door.begin(session.digest());
        return Ok(None);
    }
    access.note_wrong_link(call.client);
    Err(Problem::new(Code::Unauthorized, "the link was used; start the command again"))
}

async fn end(call: Call) -> Result<Answer, Problem> {
    if let Some(secret) = cookie::session(&call.headers) {
        let digest = secret.digest();
        match call.shared.access.own() {
            Some(door) => door.end(&digest),
            None => sessions::end(&mut *call.turn().await?, &digest).await?,
        }
        call.shared.access.forget(&digest);
    }
    let mut answer = lead_to("/login");
    if let Some(cookie) = cookie::forget(&call.headers) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_pages_of_ours_alone() {
        for (next, page) in [
            ("/orgs?q=acme", "/orgs?q=acme"),
            ("/", "/"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a b", "/"),
            ("/a\r\nset-cookie: b=c", "/"),
        ] {
            assert_eq!(own(next), page, "{next}");
        }
    }
}
