//! Can emails be written, and would the mail server take them? It is greeted and logged in to;
//! nothing is sent.

use super::Context;
use crate::config::sections::Transport;
use crate::jobs::deliver::Mailer;
use crate::jobs::finding::{Check, Finding, Mend};
use crate::jobs::mail_findings::{of_fault, try_now};
use crate::mail::SendError;
use crate::store::messages::outbox::Fault;

pub(super) async fn check(context: &Context<'_>) -> Vec<Finding> {
    if context.config.mail.transport == Transport::None {
        return Vec::new();
    }
    let mailer = match Mailer::of(context.config) {
        Ok(mailer) => mailer,
        Err(error) => {
            let finding = Finding::problem(Check::MailSettings, error.to_string());
            let advice = "correct what the error names in [mail] or in its templates";
            return vec![finding.mend(Mend::advice(advice))];
        }
    };
    // Of a directory there is nothing to ask.
    let Err(error) = mailer.greet().await else { return Vec::new() };
    let (check, advice) = of_fault(match error {
        SendError::Credentials(_) => Fault::Login,
        SendError::Account(_) | SendError::Barred(_) => Fault::Refused,
        _ => Fault::Server,
    });
    let mend = Mend::advice_then(advice, try_now());
    vec![Finding::problem(check, error.to_string()).mend(mend)]
}
