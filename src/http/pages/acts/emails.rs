//! Sending an email again, to those who get the org's emails now.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Act, Plan};
use crate::command::Command;
use crate::http::call::{Call, Kind, Parameter};
use crate::http::pages::parts::{Cell, Table, said, sentence};
use crate::http::problem::{Code, Problem};
use crate::http::shared::Shared;
use crate::jobs::alerts::notices::Settings;
use crate::jobs::counts::{DeliverCounts, RunCounts};
use crate::jobs::deliver::{self, Foreseen, Mailer, Request, Which};
use crate::jobs::{ByHand, Entered};
use crate::store::runs::schedules::Ended;

/// Which email is sent again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resend {
    email: Uuid,
}

impl Act for Resend {
    const PATH: &'static str = "/act/resend";
    const SUMMARY: &'static str = "Sends an email again, to those who get the org's emails now.";
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        name: "email",
        meaning: "Id of the email.",
        example: "6f0c3a52-4d0e-4a71-9d2b-0f3b7a1c2d3e",
        kind: Kind::Text,
        is_required: true,
    }];

    fn entered(&self) -> Entered {
        ByHand::Resend.into()
    }

    fn heading(&self) -> String {
        "Send an email again".to_owned()
    }

    async fn plan(&self, call: &Call) -> Result<Plan, Problem> {
        let pass = call.shared.turns.pass().await?;
        let database = &call.shared.around.database;
        let notices = Settings::of(&(call.shared.around.config)());
        let Foreseen { email, sent } =
            deliver::foresee_again(database, &notices, self.email).await?;
        drop(pass);
        // Those that were queued for the look alone have an id that nobody sees again.
        let to: Vec<&str> = sent.iter().map(|email| email.recipient.as_str()).collect();
        let world = (&email.state, email.attempts, email.settled_at, &to);
        let id = self.email.to_string();
        let mut plan = Plan::of(self, &world, &Command::periodd(["alerts", "resend", &id]));
        plan.nothing = if to.is_empty() {
            Some("Nobody is there to get it: name a contact of its org.".to_owned())
        } else if !mailer(&call.shared)?.carries() {
            Some("No email can be sent: [mail] transport is \"none\".".to_owned())
        } else {
            None
        };
        let (org, feature) = (said(&email.org), said(&email.feature));
        plan.says.push(match email.threshold {
            Some(percent) => {
                format!("The email says that {org} has used {percent} % of {feature}.")
            }
            None => format!("The email to {org} is about: {}.", email.about()),
        });
        let state = email.progress().words();
        let answer = email.answer.as_deref().map(|answer| format!(" ({})", said(answer)));
        plan.says.push(sentence(&format!("it is {state}{}", answer.unwrap_or_default())));
        let mut table = Table::new("To whom it is sent", &["To", "So far"]);
        for email in &sent {
            table.row([Cell::text(&email.recipient), Cell::text(email.progress().words())]);
        }
        if !sent.is_empty() {
            plan.tables.push(table);
        }
        Ok(plan)
    }

    async fn perform(&self, shared: &Shared, _run: i64) -> Ended {
        let id = self.email.to_string();
        match self.resend(shared).await {
            Ok(counts) => {
                let error = counts.failure().map(str::to_owned);
                ByHand::ended(&id, counts.words(), error)
            }
            Err(problem) => ByHand::ended(&id, Vec::new(), Some(problem.detail)),
        }
    }
}

fn mailer(shared: &Shared) -> Result<Mailer, Problem> {
    let mailer = Mailer::of(&(shared.around.config)());
    mailer.map_err(|error| Problem::new(Code::Refused, error.to_string()))
}

impl Resend {
    async fn resend(&self, shared: &Shared) -> Result<RunCounts, Problem> {
        let mailer = mailer(shared)?;
        let around = &shared.around;
        let request = Request::of(&(around.config)());
        let which = Which::Emails(vec![self.email]);
        let (database, tz) = (&around.database, (around.tz)());
        let report = deliver::again(database, &tz, &mailer, &request, &which, None).await?;
        Ok(RunCounts::Deliver(DeliverCounts::from(&report)))
    }
}
