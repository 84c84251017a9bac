//! Can clients call the HTTP server, and do links in emails lead to it?

use super::{Context, named};
use crate::command::{Command, Commands};
use crate::config::sections::Transport;
use crate::jobs::finding::{Advice, Check, Finding, Mend};
use crate::store::{StoreError, reports::doctor};

pub(super) async fn check(context: &Context<'_>) -> Result<Vec<Finding>, StoreError> {
    let http = &context.config.http;
    if !http.enabled {
        return Ok(Vec::new());
    }
    let tokens = doctor::tokens(&mut *context.database.connection().await?).await?;
    let mut findings = Vec::new();
    let open = http.listen.0.filter(|address| !address.ip().is_loopback());
    if let Some(address) = open.filter(|_| !tokens.any_holds) {
        let what = format!(
            "HTTP listens on {address}, for other machines too, and no token is valid: clients are \
             refused"
        );
        let add = ["tokens", "add", "backend", "--scope", "read", "--scope", "record"];
        findings.push(Finding::warning(Check::NoToken, what).mend(Mend::periodd(add)));
    }
    if tokens.endless > 0 {
        let (count, verb) = (tokens.endless, if tokens.endless == 1 { "does" } else { "do" });
        let plural = if count == 1 { "" } else { "s" };
        let who = named(&tokens.named, count);
        let what = format!("{count} token{plural} {verb} not expire: {who}");
        let revoke = tokens.named.iter().map(|name| Command::periodd(["tokens", "revoke", name]));
        let advice = Advice {
            what: "make a new token with `tokens add --expires` for each client, and have the \
                   client use it"
                .to_owned(),
            then: Commands(revoke.collect()),
        };
        findings.push(Finding::note(Check::EndlessTokens, what).mend(Mend::Advice(advice)));
    }
    findings.extend(links(context));
    Ok(findings)
}

/// Links to unsubscribe that emails do not have, or that lead elsewhere.
fn links(context: &Context<'_>) -> Option<Finding> {
    let (mail, http) = (&context.config.mail, &context.config.http);
    if mail.transport == Transport::None {
        return None;
    }
    let (what, advice) = match (&mail.unsubscribe_url, &http.public_url) {
        (None, None) => (
            "emails have no link to unsubscribe, because [http] public_url is not set".to_owned(),
            "set [http] public_url to the https address at which a proxy passes /unsubscribe/ on, \
             and restart the daemon",
        ),
        (Some(url), Some(own)) if !url.starts_with(&format!("{own}/unsubscribe/")) => (
            format!("links to unsubscribe lead to {url}, and not to [http] public_url, {own}"),
            "remove [mail] unsubscribe_url, unless another application answers there, and restart \
             the daemon",
        ),
        _ => return None,
    };
    Some(Finding::note(Check::UnsubscribeLinks, what).mend(Mend::advice(advice)))
}
