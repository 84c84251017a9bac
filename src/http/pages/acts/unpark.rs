//! Taking an org back that was set aside.

use serde::{Deserialize, Serialize};

use super::{Act, Plan};
use crate::command::Command;
use crate::http::call::{Call, Kind, Parameter};
use crate::http::pages::parts::{said, sentence};
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::jobs::{ByHand, Entered};
use crate::store::runs::schedules::Ended;
use crate::store::{StoreError, orgs, orgs::settings};

/// Which org is taken back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unpark {
    org: String,
}

impl Act for Unpark {
    const PATH: &'static str = "/act/unpark";
    const SUMMARY: &'static str = "Takes a parked org back.";
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        name: "org",
        meaning: "Slug or id of the org.",
        example: "acme",
        kind: Kind::Text,
        is_required: true,
    }];

    fn entered(&self) -> Entered {
        ByHand::Unpark.into()
    }

    fn heading(&self) -> String {
        format!("Unpark {}", self.org)
    }

    async fn plan(&self, call: &Call) -> Result<Plan, Problem> {
        let org = call.org_named(&mut *call.turn().await?, &self.org).await?;
        let parking = settings::parking(&call.shared.around.database, org).await?;
        let world = parking.as_ref().map(|parking| (parking.at, &parking.reason));
        let mut plan = Plan::of(self, &world, &Command::periodd(["orgs", "unpark", &self.org]));
        plan.org = Some(org);
        match parking {
            None => plan.nothing = Some("The org is not parked.".to_owned()),
            Some(parking) => {
                plan.says = vec![
                    sentence(&format!("it was parked because of this: {}", said(&parking.reason))),
                    "The next rollover closes the periods that ended meanwhile. An org that cannot \
                     be processed is parked again, with the reason."
                        .to_owned(),
                ];
            }
        }
        Ok(plan)
    }

    async fn perform(&self, shared: &Shared, _run: i64) -> Ended {
        let of = self.org.as_str();
        match self.unpark(shared).await {
            Ok(true) => ByHand::ended(of, vec![format!("unparked {of}")], None),
            Ok(false) => ByHand::ended(of, vec![format!("{of} was unparked by another")], None),
            Err(error) => ByHand::ended(of, Vec::new(), Some(error.to_string())),
        }
    }
}

impl Unpark {
    async fn unpark(&self, shared: &Shared) -> Result<bool, StoreError> {
        let database = &shared.around.database;
        let org = orgs::find(database, &self.org).await?;
        match settings::parked(database, Some(org), None).await?.first() {
            Some(parked) => settings::unpark(database, parked).await,
            None => Ok(false),
        }
    }
}
