//! What every command answers with `--format json`: JSON Schemas, derived from the answers' types.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use super::said::Document;
use super::{
    adoption, alerts, capacity, config, db, doctor, explain, forecast, orgs, packs, periods,
    rollover,
};
use super::{
    dashboard, drift, events, limits, runs, schedule, statements, status, sync, tiers, tokens,
    usage, users, webhooks,
};
use crate::demo;

/// A command, as it is typed, and the schema of its answer.
pub(super) type Described = (&'static str, Value);

/// Every command that answers in JSON. Those that are not here print what is a format already:
/// `config schema`, `completions`; or answer nothing: `run`.
pub(super) fn all() -> Vec<Described> {
    vec![
        of::<rollover::Answer>("rollover"),
        of::<sync::Answer>("sync"),
        of::<explain::page::Answer<'static>>("explain"),
        of::<orgs::Shown>("orgs add"),
        of::<orgs::List>("orgs list"),
        of::<orgs::Shown>("orgs show"),
        of::<orgs::set::Answer>("orgs set"),
        of::<orgs::park::Answer>("orgs park"),
        of::<orgs::park::Unparked>("orgs unpark"),
        of::<orgs::pause::Answer>("orgs pause"),
        of::<orgs::pause::Answer>("orgs resume"),
        of::<orgs::remove::Answer>("orgs merge"),
        of::<orgs::remove::Answer>("orgs remove"),
        of::<users::List>("users list"),
        of::<users::List>("users add"),
        of::<users::limits::Answer>("users limits"),
        of::<users::erase::Answer>("users erase"),
        of::<tokens::Added>("tokens add"),
        of::<tokens::List>("tokens list"),
        of::<tokens::Revoked>("tokens revoke"),
        of::<Either<dashboard::Served, dashboard::Written>>("dashboard"),
        of::<dashboard::login::Link>("dashboard login"),
        of::<limits::Answer>("limits set"),
        of::<usage::Recorded>("usage record"),
        of::<usage::set::Answer>("usage set"),
        of::<usage::limits::All>("usage limits"),
        of::<usage::limits::Checked>("usage check"),
        of::<usage::import::Answer>("usage import"),
        of::<packs::GrantAnswer>("packs grant"),
        of::<packs::List>("packs list"),
        of::<packs::refund::Answer>("packs refund"),
        of::<packs::moving::Answer>("packs move"),
        of::<tiers::List>("tiers list"),
        of::<tiers::Steps>("tiers apply"),
        of::<tiers::List>("tiers export"),
        of::<statements::Answer>("statements"),
        of::<status::Answer>("status"),
        of::<doctor::Answer>("doctor"),
        of::<config::init::Written>("config init"),
        of::<Either<config::check::ConfigReport, config::check::Refusal>>("config check"),
        of::<Vec<crate::config::Shown<'static>>>("config show"),
        of::<runs::List>("runs list"),
        of::<runs::One>("runs show"),
        of::<drift::Answer>("drift list"),
        of::<forecast::Answer>("forecast"),
        of::<schedule::List>("schedule list"),
        of::<schedule::Next>("schedule next"),
        of::<schedule::List>("schedule pause"),
        of::<schedule::List>("schedule resume"),
        of::<alerts::Answer>("alerts run"),
        of::<alerts::list::List>("alerts list"),
        of::<alerts::Answer>("alerts resend"),
        of::<alerts::Tested>("alerts test"),
        of::<alerts::preview::Written>("alerts preview"),
        of::<alerts::templates::Exported>("alerts templates export"),
        of::<events::Answer>("events list"),
        of::<webhooks::List>("webhooks list"),
        of::<webhooks::Applied>("webhooks apply"),
        of::<webhooks::Pinged>("webhooks ping"),
        of::<webhooks::Resumed>("webhooks resume"),
        of::<db::Migrations>("db migrate"),
        of::<db::Migrations>("db status"),
        of::<Either<adoption::AdoptionReport, adoption::Done>>("db import"),
        of::<adoption::Verdict>("db verify"),
        of::<db::Url>("db url"),
        of::<periods::List>("periods"),
        of::<capacity::Answer>("capacity"),
        of::<demo::closing::Document<'static>>("demo"),
    ]
}

/// What every command answers instead when it fails and has shown no answer.
pub(super) fn of_errors() -> Described {
    let title = "What `periodd --format json` answers where a command failed".to_owned();
    ("error", described::<Document>(title))
}

fn of<T: JsonSchema>(command: &'static str) -> Described {
    (command, described::<T>(format!("What `periodd {command} --format json` answers")))
}

fn described<T: JsonSchema>(title: String) -> Value {
    // What is written, not what could be read: a key that is always there is required.
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut described = Map::new();
    let draft = schema.get("$schema").cloned().unwrap_or_default();
    described.insert("$schema".to_owned(), draft);
    described.insert("title".to_owned(), Value::from(title));
    let others = schema.as_object().into_iter().flatten();
    let others = others.filter(|(key, _)| !["$schema", "title"].contains(&key.as_str()));
    described.extend(others.map(|(key, value)| (key.clone(), value.clone())));
    Value::Object(described)
}

/// An answer that is one or the other.
struct Either<A, B>(PhantomData<(A, B)>);

impl<A: JsonSchema, B: JsonSchema> JsonSchema for Either<A, B> {
    fn schema_name() -> Cow<'static, str> {
        [A::schema_name(), B::schema_name()].join("Or").into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let either = [generator.subschema_for::<A>(), generator.subschema_for::<B>()];
        json_schema!({ "anyOf": either })
    }
}
