//! One click to unsubscribe (RFC 8058), and a page for people.
//!
//! Reading changes nothing, because scanners of mail follow every link; a token that names nobody
//! gets the same page.

use super::answer::Answer;
use super::call::{Access, Call, Route};
use super::page::page;
use super::problem::Problem;
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
        handler: |_| Box::pin(async { Ok(asking()) }),
    },
    Route {
        method: axum::http::Method::POST,
        path: "/unsubscribe/{token}",
        access: Access::Open,
        summary: "Opts the address of the link out of warnings below 100 %; with `action=undo`, in \
                  again. Twice is the same.",
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

fn asking() -> Answer {
    page(
        "Unsubscribe from usage warnings?",
        "<p>Emails at 80 and 90 % of an allowance will no longer be sent to this address. The \
         email at 100 % will, because something stops working then.</p>\
         <form method=\"post\"><button>Unsubscribe</button></form>",
    )
}

async fn act(call: Call) -> Result<Answer, Problem> {
    let token = call.part("token");
    // Whatever else the body says, in whatever form: whoever posts here means it.
    if call.body.as_ref() == UNDO {
        contacts::subscribe_again(&mut *call.turn().await?, token).await?;
        let text = "<p>Usage warnings are sent to this address again.</p>";
        return Ok(page("You are subscribed again", text));
    }
    let _pass = call.shared.turns.pass().await?;
    let database = &call.shared.around.database;
    contacts::unsubscribe(database, token, database.now().await?).await?;
    Ok(page(
        "You are unsubscribed",
        "<p>Usage warnings are no longer sent to this address.</p>\
         <form method=\"post\"><button name=\"action\" value=\"undo\">Undo</button></form>",
    ))
}
