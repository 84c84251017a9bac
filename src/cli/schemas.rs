//! What every command answers with `--format json`: JSON Schemas, derived from the answers' types.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use super::{adoption, alerts, config, db, demo, doctor, explain, orgs, packs, periods, rollover};
use super::{runs, schedule, status, sync, tiers, usage};

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
        of::<orgs::park::Answer>("orgs unpark"),
        of::<usage::Recorded>("usage record"),
        of::<usage::limits::All>("usage limits"),
        of::<usage::limits::Checked>("usage check"),
        of::<usage::import::Answer>("usage import"),
        of::<packs::List>("packs grant"),
        of::<packs::List>("packs list"),
        of::<packs::refund::Answer>("packs refund"),
        of::<tiers::List>("tiers list"),
        of::<tiers::Steps>("tiers apply"),
        of::<status::Answer>("status"),
        of::<doctor::Answer>("doctor"),
        of::<config::init::Written>("config init"),
        of::<Either<config::check::Report, config::check::Refusal>>("config check"),
        of::<Vec<crate::config::Shown<'static>>>("config show"),
        of::<runs::List>("runs list"),
        of::<runs::One>("runs show"),
        of::<schedule::List>("schedule list"),
        of::<schedule::Next>("schedule next"),
        of::<schedule::List>("schedule pause"),
        of::<schedule::List>("schedule resume"),
        of::<alerts::Answer>("alerts run"),
        of::<alerts::list::List>("alerts list"),
        of::<alerts::Answer>("alerts resend"),
        of::<alerts::Tested>("alerts test"),
        of::<alerts::preview::Written>("alerts preview"),
        of::<db::Migrations>("db migrate"),
        of::<db::Migrations>("db status"),
        of::<Either<adoption::Report, adoption::Done>>("db import"),
        of::<adoption::Verdict>("db verify"),
        of::<db::Url>("db url"),
        of::<periods::List>("periods"),
        of::<demo::closing::Document<'static>>("demo"),
    ]
}

fn of<T: JsonSchema>(command: &'static str) -> Described {
    // What is written, not what could be read: a key that is always there is required.
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut described = Map::new();
    let draft = schema.get("$schema").cloned().unwrap_or_default();
    described.insert("$schema".to_owned(), draft);
    let title = Value::from(format!("What `periodd {command} --format json` answers"));
    described.insert("title".to_owned(), title);
    let others = schema.as_object().into_iter().flatten();
    let others = others.filter(|(key, _)| !["$schema", "title"].contains(&key.as_str()));
    described.extend(others.map(|(key, value)| (key.clone(), value.clone())));
    (command, Value::Object(described))
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
