//! The series behind charts: usage by day or by period, as JSON or as CSV.

use schemars::SchemaGenerator;

use super::answer::{Answer, json};
use super::call::{Access, Call, Kind, Parameter, Route};
use super::file::csv;
use super::limits::unknown_feature;
use super::problem::{Code, Problem};
use crate::billing::series::{By, Range};
use crate::jobs::usage::history::{self, Asked, Error, History};
use crate::store::tokens::Scope;

const CSV: &str = "text/csv";
const FILE: &str = "attachment; filename=\"usage.csv\"";
const PARAMETERS: [Parameter; 4] = [
    Parameter {
        name: "feature",
        meaning: "Only this feature, in any case of letters.",
        example: "minutes_transcribed",
        kind: Kind::Text,
        is_required: false,
    },
    Parameter {
        name: "from",
        meaning: "The first date, in the zone of the organization. Not given: the last 30 days, or \
                  the last 12 periods.",
        example: "2026-05-01",
        kind: Kind::Date,
        is_required: false,
    },
    Parameter {
        name: "to",
        meaning: "The last date, itself included; today if not given, or if it is later.",
        example: "2026-05-31",
        kind: Kind::Date,
        is_required: false,
    },
    Parameter {
        name: "by",
        meaning: "`day` (the default), at most 400; or `period`, at most 120: those that contain \
                  any of the dates.",
        example: "day",
        kind: Kind::Word(&["day", "period"]),
        is_required: false,
    },
];

/// The route of this file.
pub(super) const ROUTES: [Route; 1] = [Route {
    method: axum::http::Method::GET,
    path: "/api/v1/usage/{org}/history",
    access: Access::Needs(Scope::Read),
    summary: "Usage of an organization by its local days, or by its billing periods, with a \
              forecast for the current one; the series as CSV with `Accept: text/csv`.",
    parameters: &PARAMETERS,
    bodies: &[],
    answer: Some(SchemaGenerator::subschema_for::<History>),
    media_types: &["application/json", CSV],
    problems: &[Code::UnknownOrg, Code::UnknownFeature],
    handler: |call| Box::pin(show(call)),
}];

async fn show(call: Call) -> Result<Answer, Problem> {
    let by = call.parsed("by")?.unwrap_or(By::Day);
    let range = Range { from: call.parsed("from")?, to: call.parsed("to")? };
    let tz = (call.shared.around.tz)();
    let read = {
        let mut turn = call.turn().await?;
        let org = call.org_named(&mut turn, call.part("org")).await?;
        let asked = Asked { org, feature: call.parameter("feature"), by, range };
        history::read(&mut turn, &tz, &asked).await
    };
    let history = match read {
        Ok(history) => history,
        Err(Error::Gone) => return Err(call.unknown_org()),
        Err(Error::UnknownFeature) => {
            let feature = call.parameter("feature").unwrap_or_default();
            return Err(unknown_feature(&call, feature).await?);
        }
        Err(error @ Error::Range(_)) => {
            return Err(Problem::new(Code::Invalid, error.to_string()));
        }
        Err(Error::Store(error)) => return Err(error.into()),
    };
    match &history {
        _ if !call.accepts(CSV) => Ok(json(&history)),
        History::ByDay(history) => csv(history, FILE),
        History::ByPeriod(history) => csv(history, FILE),
    }
}
