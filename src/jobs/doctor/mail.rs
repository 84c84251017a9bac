//! Would the mail server take emails? It is greeted and logged in to; nothing is sent.

use super::Patient;
use crate::config::Transport;
use crate::jobs::deliver::Post;
use crate::jobs::finding::Finding;
use crate::mail::SendError;

pub(super) async fn check(patient: &Patient<'_>) -> Vec<Finding> {
    if patient.config.mail.transport != Transport::Smtp {
        return Vec::new();
    }
    let post = match Post::of(patient.config) {
        Ok(post) => post,
        Err(error) => {
            let finding = Finding::problem("mail_settings", error.to_string());
            return vec![finding.mend("periodd config check")];
        }
    };
    let Err(error) = post.greet().await else { return Vec::new() };
    let (check, mend) = match error {
        SendError::Credentials(_) => {
            ("mail_login", "smtp.username and smtp.password_file in [mail]")
        }
        _ => ("mail_server", "smtp.host, smtp.port and smtp.tls in [mail], or the mail server"),
    };
    vec![Finding::problem(check, error.to_string()).mend(mend)]
}
