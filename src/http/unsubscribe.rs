//! One click to unsubscribe (RFC 8058), and a page for people.
//!
//! Reading changes nothing, because scanners of mail follow every link; a token that names nobody
//! gets the same page.

use super::answer::Answer;
use super::call::{Access, Call, Route};
use super::page::page;
use super::problem::Problem;
use crate::billing::notice::Kind;
use crate::store::orgs::contacts;

/// The routes of this file.
pub(super) const ROUTES: [Route; 2] = [
    Route {
        method: axum::http::Method::GET,
        path: "/unsubscribe/{token}",
        access: Access::Open,
        summary: "A page with one button; changes nothing.",
        parameters: &[],
        bodies: &[],
        answer: None,
        media_types: &["text/html"],
        problems: &[],
        handler: |call| Box::pin(async move { Ok(asking(kind_of(call.part("token")))) }),
    },
    Route {
        method: axum::http::Method::POST,
        path: "/unsubscribe/{token}",
        access: Access::Open,
        summary: "Opts the address of the link out of warnings below 100 %, or out of the kind of \
                  notice that the link is of; with `action=undo`, in again. Twice is the same.",
        parameters: &[],
        bodies: &[("application/x-www-form-urlencoded", |_| schemars::json_schema!({}))],
        answer: None,
        media_types: &["text/html"],
        problems: &[],
        handler: |call| Box::pin(act(call)),
    },
];

/// What the button of the second page sends.
const UNDO: &[u8] = b"action=undo";

/// The kind of notice that a link ends; `None`: all warnings.
fn kind_of(token: &str) -> Option<Kind> {
    token.split_once('.').and_then(|(_, kind)| kind.parse().ok())
}

fn asking(kind: Option<Kind>) -> Answer {
    let Some(kind) = kind else {
        return page(
            "Unsubscribe from usage warnings?",
            "<p>Emails at 80 and 90 % of an allowance will no longer be sent to this address. The \
             email at 100 % will, because something stops working then.</p>\
             <form method=\"post\"><button>Unsubscribe</button></form>",
        );
    };
    let text = format!(
        "<p>Emails of the kind \u{201c}{}\u{201d} will no longer be sent to this address. Other \
         emails will.</p><form method=\"post\"><button>Unsubscribe</button></form>",
        kind.words()
    );
    page("Unsubscribe from these emails?", &text)
}

async fn act(call: Call) -> Result<Answer, Problem> {
    let token = call.part("token");
    let what = match kind_of(token) {
        None => "Usage warnings".to_owned(),
        Some(kind) => format!("Emails of the kind \u{201c}{}\u{201d}", kind.words()),
    };
    // Whatever else the body says, in whatever form: whoever posts here means it.
    if call.body.as_ref() == UNDO {
        contacts::subscribe_again(&mut *call.turn().await?, token).await?;
        let text = format!("<p>{what} are sent to this address again.</p>");
        return Ok(page("You are subscribed again", &text));
    }
    let _pass = call.shared.turns.pass().await?;
    let database = &call.shared.around.database;
    contacts::unsubscribe(database, token, database.now().await?).await?;
    let text = format!(
        "<p>{what} are no longer sent to this address.</p>\
         <form method=\"post\"><button name=\"action\" value=\"undo\">Undo</button></form>"
    );
    Ok(page("You are unsubscribed", &text))
}
