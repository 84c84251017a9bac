//! Buttons: each leads to the page of an action, which shows the plan first.

use serde::Serialize;

use crate::command::Command;
use crate::jobs::catalogue::Job;
use crate::text::url_part;

/// A button.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Button {
    href: String,
    text: String,
}

impl Button {
    /// One that leads to that action with these values.
    pub(super) fn to(path: &str, values: &[(&str, &str)], text: impl Into<String>) -> Self {
        let values = values.iter().map(|(name, value)| format!("{name}={}", url_part(value)));
        let query = values.collect::<Vec<_>>().join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        Self { href: format!("{path}{mark}{query}"), text: text.into() }
    }

    /// Where it leads, and what it says.
    pub(super) fn parts(&self) -> (&str, &str) {
        (&self.href, &self.text)
    }

    /// Those of an org.
    pub(super) fn of_org(org: &str, is_parked: bool) -> Vec<Self> {
        let button = |path, text| Self::to(path, &[("org", org)], text);
        if is_parked {
            return vec![button("/act/unpark", "Unpark")];
        }
        vec![button("/act/sync", "Sync"), button("/act/rollover", "Roll over")]
    }

    /// The one that pauses a job, or lets it go on.
    pub(super) fn of_job(job: Job, is_paused: bool) -> Self {
        let (path, text) =
            if is_paused { ("/act/resume", "Resume") } else { ("/act/pause", "Pause") };
        Self::to(path, &[("job", job.name())], text)
    }

    /// The one that does what a command does; `None` where there is none.
    pub(super) fn of(command: &Command) -> Option<Self> {
        match command.words()?.as_slice() {
            ["rollover"] => Some(Self::to("/act/rollover", &[], "Roll over")),
            ["rollover", "--org", org] => {
                Some(Self::to("/act/rollover", &[("org", org)], "Roll over"))
            }
            ["sync", "--org", org] => Some(Self::to("/act/sync", &[("org", org)], "Sync")),
            ["sync", "--full" | "--check"] | ["sync", "--full", "--check"] => {
                Some(Self::to("/act/check", &[], "Look again"))
            }
            ["orgs", "unpark", org] => Some(Self::to("/act/unpark", &[("org", org)], "Unpark")),
            ["schedule", "resume", job] => {
                Some(Self::to("/act/resume", &[("job", job)], format!("Resume {job}")))
            }
            ["alerts", "resend", email] => {
                Some(Self::to("/act/resend", &[("email", email)], "Send again"))
            }
            ["tokens", "revoke", token] => {
                Some(Self::to("/act/revoke", &[("token", token)], format!("Revoke {token}")))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_its_button() {
        let button = |words: &[&str]| {
            Button::of(&Command::periodd(words.iter().copied())).map(|button| button.href)
        };
        assert_eq!(
            button(&["rollover", "--org", "a&b"]).as_deref(),
            Some("/act/rollover?org=a%26b")
        );
        assert_eq!(button(&["rollover"]).as_deref(), Some("/act/rollover"));
        assert_eq!(button(&["db", "import", "--apply"]), None);
        assert_eq!(Button::of(&Command::other(["rollover"])), None);
    }
}
