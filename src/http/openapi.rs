//! The description of the API: made from the table of routes, so that nothing exists that it does
//! not describe.

use std::collections::BTreeSet;
use std::fmt::Write;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::{Access, Call, Kind, Route, Sees};
use super::page::{escaped, page};
use super::problem::{Code, Document, Problem};
use crate::store::tokens::Scope;

/// What every path may answer.
const OF_EVERY_PATH: [Code; 9] = [
    Code::Malformed,
    Code::Invalid,
    Code::WrongHost,
    Code::TargetTooLong,
    Code::Internal,
    Code::Overloaded,
    Code::Unavailable,
    Code::Draining,
    Code::MethodNotAllowed,
];
/// What a path with a token may answer, too.
const OF_TOKENS: [Code; 3] = [Code::Unauthorized, Code::Forbidden, Code::RateLimited];
/// What a path with a body may answer, too.
const OF_BODIES: [Code; 3] = [Code::TooLarge, Code::TooSlow, Code::UnsupportedMediaType];

/// The description.
pub(super) fn document(routes: &[Route]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    // What is answered leaves out what is empty; what is sent may leave out what has a default.
    let mut generators = Generators {
        answers: settings.clone().for_serialize().into_generator(),
        bodies: settings.into_generator(),
    };
    let problem = generators.answers.subschema_for::<Document<'static>>();
    let mut paths = Map::new();
    // The dashboard's pages are for people, and none of the API.
    for route in routes.iter().filter(|route| !route.access.is_page()) {
        let operation = operation(route, &mut generators, &problem.clone().into());
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "periodd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Usage, limits and events of metered plans. Quantities are exact JSON \
                            numbers; in requests they may also be text. Every problem is a \
                            document of RFC 9457 with a `code`.",
        },
        "paths": paths,
        "components": {
            "schemas": generators.definitions(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token that the command `tokens add` printed.",
                },
            },
        },
    })
}

/// The shapes of answers and of bodies.
struct Generators {
    answers: SchemaGenerator,
    bodies: SchemaGenerator,
}

impl Generators {
    fn definitions(&mut self) -> Map<String, Value> {
        let mut all = self.bodies.take_definitions(true);
        all.extend(self.answers.take_definitions(true));
        all
    }
}

fn operation(route: &Route, generators: &mut Generators, problem: &Value) -> Value {
    let mut parameters: Vec<Value> = placeholders(route.path)
        .map(|name| {
            json!({
                "name": name, "in": "path", "required": true,
                "schema": { "type": "string", "minLength": 1 },
            })
        })
        .collect();
    parameters.extend(route.parameters.iter().map(|parameter| {
        json!({
            "name": parameter.name, "in": "query", "required": parameter.is_required,
            "description": parameter.meaning, "example": parameter.example,
            "schema": schema_of(parameter.kind),
        })
    }));
    let text = || json!({ "schema": { "type": "string" } });
    let mut content = Map::new();
    for (place, media_type) in route.media_types.iter().enumerate() {
        let good = match route.answer {
            Some(schema) if place == 0 => json!({ "schema": schema(&mut generators.answers) }),
            _ => text(),
        };
        content.insert((*media_type).to_owned(), good);
    }
    let mut responses = Map::new();
    let described = json!({ "description": "Done.", "content": content });
    responses.insert("200".to_owned(), described);
    if route.access == Access::Stream {
        let described = json!({ "description": "A WebSocket, for a client that asks for one." });
        responses.insert("101".to_owned(), described);
    }
    for (status, codes) in statuses(route) {
        let names = codes.iter().map(|code| format!("`{}`", code.name()));
        let description = names.collect::<Vec<_>>().join(", ");
        let content = json!({ "application/problem+json": { "schema": problem } });
        let response = json!({ "description": description, "content": content });
        responses.insert(status.to_string(), response);
    }
    if route.path == "/readyz" || route.path == "/healthz" {
        responses.insert(
            "503".to_owned(),
            json!({
                "description": "Not so; with the reasons.",
                "content": responses["200"]["content"].clone(),
            }),
        );
    }
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "parameters": parameters,
        "responses": responses,
    });
    if !route.bodies.is_empty() {
        let bodies = route.bodies.iter();
        let content: Map<String, Value> = bodies
            .map(|(media_type, body)| {
                ((*media_type).to_owned(), json!({ "schema": body(&mut generators.bodies) }))
            })
            .collect();
        // Whoever posts to a page means it, whatever else is said.
        let is_required = route.answer.is_some();
        operation["requestBody"] = json!({ "required": is_required, "content": content });
    }
    if let Some(scope) = route.access.scope().filter(|_| route.access != Access::Metrics) {
        operation["security"] = json!([{ "token": [] }]);
        let summary = format!("{} Needs the scope `{}`.", route.summary, scope.name());
        operation["description"] = Value::String(summary);
    }
    operation
}

/// The problems of a route, by their status.
fn statuses(route: &Route) -> Vec<(u16, BTreeSet<Code>)> {
    let mut codes: BTreeSet<Code> = OF_EVERY_PATH.into_iter().collect();
    codes.extend(route.problems);
    if route.access.scope().is_some() {
        codes.extend(OF_TOKENS);
    }
    if !route.bodies.is_empty() {
        codes.extend(OF_BODIES);
    }
    let mut statuses: Vec<(u16, BTreeSet<Code>)> = Vec::new();
    for code in codes {
        let status = code.status().as_u16();
        match statuses.iter_mut().find(|(known, _)| *known == status) {
            Some((_, codes)) => drop(codes.insert(code)),
            None => statuses.push((status, BTreeSet::from([code]))),
        }
    }
    statuses.sort_by_key(|(status, _)| *status);
    statuses
}

fn schema_of(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Quantity => json!({ "type": "string", "pattern": r"^\d{1,22}(\.\d{1,6})?$" }),
        Kind::Date => json!({ "type": "string", "format": "date" }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
    }
}

fn placeholders(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn operation_id(route: &Route) -> String {
    let words = route.path.split(['/', '.', '{', '}']).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    format!("{}_{}", route.method.as_str().to_lowercase(), words.join("_"))
}

pub(super) fn overview(routes: impl Iterator<Item = &'static Route>) -> Answer {
    let mut rows = String::new();
    for route in routes {
        let scope = match route.access {
            Access::Browser => "a browser",
            Access::Page(Sees::All) => "a browser, logged in",
            Access::Page(Sees::One) => "a browser, logged in; one org is enough",
            Access::Act => "a browser, logged in with the scope admin",
            of_programs => of_programs.scope().map(Scope::name).unwrap_or_default(),
        };
        let (method, path) = (route.method.as_str(), escaped(route.path));
        let summary = escaped(route.summary);
        // Writing to a string does not fail.
        let _ = write!(
            rows,
            "<tr><td>{method} <code>{path}</code></td><td>{scope}</td><td>{summary}</td></tr>"
        );
    }
    let mut codes = String::new();
    for code in Code::ALL {
        let name = code.name();
        let _ = write!(codes, "<li><a href=\"/problems/{name}\"><code>{name}</code></a></li>");
    }
    page(
        "The API of periodd",
        &format!(
            "<p>For programs: <a href=\"/api/openapi.json\">OpenAPI 3.1</a>. Send a token as \
             <code>Authorization: Bearer TOKEN</code>; the command <code>tokens add</code> makes \
             one.</p><table><thead><tr><th>Path</th><th>Scope</th><th>What it does</th></tr>\
             </thead><tbody>{rows}</tbody></table><h2>Problems</h2><ul>{codes}</ul>"
        ),
    )
}

pub(super) fn explained(call: &Call) -> Result<Answer, Problem> {
    let code = Code::ALL.iter().find(|code| code.name() == call.part("code"));
    let code =
        code.ok_or_else(|| Problem::new(Code::NotFound, "no problem has that code; see /api"))?;
    let meaning = escaped(code.meaning());
    Ok(page(
        &escaped(code.title()),
        &format!(
            "<p>Code <code>{}</code>, status {}.</p><p>{meaning}</p>",
            code.name(),
            code.status().as_u16()
        ),
    ))
}
