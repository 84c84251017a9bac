//! Revoking a token.

use serde::{Deserialize, Serialize};

use super::{Act, Plan};
use crate::billing::Zone;
use crate::command::Command;
use crate::http::call::{Call, Kind, Parameter};
use crate::http::pages::parts::{Cell, Table, said};
use crate::http::pages::times;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::jobs::{ByHand, Entered};
use crate::store::StoreError;
use crate::store::runs::schedules::Ended;
use crate::store::tokens::{self, Scope, TokenRow};

/// Which token is revoked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    token: String,
}

impl Act for Revoke {
    const PATH: &'static str = "/act/revoke";
    const SUMMARY: &'static str = "Revokes a token.";
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        name: "token",
        meaning: "Name of the token.",
        example: "backend",
        kind: Kind::Text,
        is_required: true,
    }];

    fn entered(&self) -> Entered {
        ByHand::Revoke.into()
    }

    fn heading(&self) -> String {
        format!("Revoke the token {}", said(&self.token))
    }

    async fn plan(&self, call: &Call) -> Result<Plan, Problem> {
        let now = call.shared.now().await?;
        let mut turn = call.turn().await?;
        let found = tokens::list(&mut turn, None).await?.into_iter();
        drop(turn);
        let is_valid = |row: &TokenRow| {
            row.revoked_at.is_none() && row.expires_at.is_none_or(|expires| expires > now)
        };
        let found = found.filter(is_valid).find(|row| row.name == self.token);
        let world = found.as_ref().map(|row| (row.created_at, &row.scopes, &row.org));
        let command = Command::periodd(["tokens", "revoke", &self.token]);
        let mut plan = Plan::of(self, &world, &command);
        let Some(row) = found else {
            plan.nothing = Some("No valid token has that name.".to_owned());
            return Ok(plan);
        };
        plan.says.push("Servers refuse it within 5 seconds.".to_owned());
        if call.token.as_ref().is_some_and(|own| own.name == row.name) {
            plan.says.push("It is your own: you are logged out.".to_owned());
        }
        let clock = times::clock(call, Zone::utc(), now);
        let scopes: Vec<&str> = row.scopes.iter().copied().map(Scope::name).collect();
        let mut table = Table::new("The token", &["Scopes", "Org", "Expires", "Last used"]);
        table.row([
            Cell::text(scopes.join(" ")),
            Cell::text(row.org.as_deref().unwrap_or("all")),
            Cell::at_or(row.expires_at.map(|at| clock.moment(at)), "never"),
            Cell::at_or(row.last_used_at.map(|at| clock.moment(at)), "never"),
        ]);
        plan.tables.push(table);
        Ok(plan)
    }

    async fn perform(&self, shared: &Shared, _run: i64) -> Ended {
        let of = self.token.as_str();
        match self.revoke(shared).await {
            Ok(true) => ByHand::ended(of, vec![format!("revoked {of}")], None),
            Ok(false) => ByHand::ended(of, vec![format!("{of} was revoked by another")], None),
            Err(error) => ByHand::ended(of, Vec::new(), Some(error.to_string())),
        }
    }
}

impl Revoke {
    async fn revoke(&self, shared: &Shared) -> Result<bool, StoreError> {
        tokens::revoke(&mut *shared.around.database.connection().await?, &self.token).await
    }
}
