//! The plan of an action, as its page shows it, and the fingerprint by which it is known again.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Act;
use crate::command::Command;
use crate::http::pages::button::Button;
use crate::http::pages::parts::Table;
use crate::http::problem::{Code, Problem};

/// What an action would do.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    /// In sentences.
    pub(super) says: Vec<String>,
    pub(super) tables: Vec<Table>,
    /// Rows that the tables leave out.
    pub(super) more: usize,
    /// Why there is nothing to do.
    pub(super) nothing: Option<String>,
    /// The only org that it is about.
    #[serde(skip)]
    pub(super) org: Option<Uuid>,
    /// The number of orgs, where it has to be typed.
    pub(super) typed: Option<usize>,
    /// What was written of the reason, where one is asked for.
    pub(super) reason: Option<String>,
    /// Other ways to do it.
    pub(super) others: Vec<Button>,
    /// The same in a terminal.
    command: String,
    fingerprint: String,
}

impl Plan {
    /// A plan that is the same while the world that it rests on is.
    pub(super) fn of<A: Act>(act: &A, world: &impl Serialize, command: &Command) -> Self {
        let mut hash = Sha256::new();
        for part in [A::PATH.as_bytes(), &json(&fields(act)), &json(world)] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Self {
            says: Vec::new(),
            tables: Vec::new(),
            more: 0,
            nothing: None,
            org: None,
            typed: None,
            reason: None,
            others: Vec::new(),
            command: command.to_string(),
            fingerprint: format!("{:x}", hash.finalize()),
        }
    }

    /// Is it the plan of that fingerprint?
    pub(super) fn is(&self, fingerprint: &str) -> bool {
        self.fingerprint == fingerprint
    }

    /// Was the number typed that is asked for?
    pub(super) fn is_confirmed(&self, typed: &str) -> bool {
        let number = typed.trim().replace(',', "");
        self.typed.is_none_or(|orgs| number.parse() == Ok(orgs))
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Nothing may have the fingerprint of something else.
    serde_json::to_vec(value).expect("plans are made of what JSON has")
}

/// What a form sends beside the action.
#[derive(Default)]
pub(super) struct Sent {
    /// The fingerprint of the plan that was shown.
    pub(super) plan: String,
    /// The number of orgs that was typed.
    pub(super) typed: String,
}

/// What an action is asked, as the fields of a form.
pub(super) fn fields<A: Act>(act: &A) -> Vec<(String, String)> {
    let text = serde_urlencoded::to_string(act).unwrap_or_default();
    serde_urlencoded::from_str(&text).unwrap_or_default()
}

/// The action of a query.
pub(super) fn read<A: DeserializeOwned>(asked: &[(String, String)]) -> Result<A, Problem> {
    let invalid = |error: &dyn std::fmt::Display| Problem::new(Code::Invalid, error.to_string());
    let text = serde_urlencoded::to_string(asked).map_err(|error| invalid(&error))?;
    serde_urlencoded::from_str(&text).map_err(|error| invalid(&error))
}

/// The action of a form, and what is sent beside it.
pub(super) fn sent<A: Act>(form: &[u8]) -> Result<(A, Sent), Problem> {
    let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(form)
        .map_err(|_| Problem::new(Code::Malformed, "the form cannot be read"))?;
    let (mut sent, mut asked) = (Sent::default(), Vec::new());
    for (name, value) in fields {
        match name.as_str() {
            "plan" => sent.plan = value,
            "typed" => sent.typed = value,
            _ => asked.push((name, value)),
        }
    }
    Ok((read(&asked)?, sent))
}
