//! The one table of what there is: the router is made from it, and the description.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{RawPathParams, Request, rejection::RawPathParamsRejection};
use axum::http::Method;
use axum::middleware;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::answer::json;
use super::call::{Access, Route, answer};
use super::guard::{self, RequestId};
use super::problem::{Code, Problem};
use super::shared::Shared;
use super::{card, customer, event_table, events, explained, health, history, increment, limits};
use super::{openapi, pages, scrape, stream, sync, unsubscribe};

/// What describes the others.
const DESCRIPTION: [Route; 3] = [
    Route {
        method: axum::http::Method::GET,
        path: "/api/openapi.json",
        access: Access::Open,
        summary: "The description of this API, as OpenAPI 3.1.",
        parameters: &[],
        bodies: &[],
        answer: Some(|_| schemars::json_schema!({ "type": "object" })),
        media_types: &["application/json"],
        problems: &[],
        handler: |_| Box::pin(async { Ok(json(&openapi::document(all()))) }),
    },
    Route {
        method: axum::http::Method::GET,
        path: "/api",
        access: Access::Open,
        summary: "The same as a page.",
        parameters: &[],
        bodies: &[],
        answer: None,
        media_types: &["text/html"],
        problems: &[],
        handler: |call| {
            let routes = of(&call.shared);
            Box::pin(async move { Ok(openapi::overview(routes)) })
        },
    },
    Route {
        method: axum::http::Method::GET,
        path: "/problems/{code}",
        access: Access::Open,
        summary: "What a code of a problem means, and what to do.",
        parameters: &[],
        bodies: &[],
        answer: None,
        media_types: &["text/html"],
        problems: &[Code::NotFound],
        handler: |call| Box::pin(async move { openapi::explained(&call) }),
    },
];

/// Every route.
static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let mut routes = Vec::new();
    routes.extend(limits::ROUTES);
    routes.extend(explained::ROUTES);
    routes.extend(history::ROUTES);
    routes.extend(card::ROUTES);
    routes.extend(increment::ROUTES);
    routes.extend(customer::ROUTES);
    routes.extend(events::ROUTES);
    routes.extend(event_table::ROUTES);
    routes.extend(sync::ROUTES);
    routes.extend(stream::ROUTES);
    routes.extend(unsubscribe::ROUTES);
    routes.extend(health::ROUTES);
    routes.extend(scrape::ROUTES);
    routes.extend(pages::routes());
    routes.extend(DESCRIPTION);
    routes
});

/// All of them.
pub(super) fn all() -> &'static [Route] {
    &ROUTES
}

/// Those that this server has. Where nothing may be written, these are pages to be read.
fn of(shared: &Shared) -> impl Iterator<Item = &'static Route> + use<> {
    let has_pages = shared.settings.dashboard;
    let only_reads = shared.access.own().is_some();
    all().iter().filter(move |route| match route.access.is_page() {
        true if only_reads => route.method == Method::GET || pages::is_of_a_session(route),
        true => has_pages,
        false => !only_reads,
    })
}

/// The router of the table.
pub(super) fn router(shared: &Arc<Shared>) -> Router {
    let mut paths: HashMap<&str, MethodRouter> = HashMap::new();
    for route in of(shared) {
        let shared = Arc::clone(shared);
        let handler = async move |path: Result<RawPathParams, RawPathParamsRejection>,
                                  request: Request| {
            match path {
                Ok(path) => {
                    let parts = path.iter().map(|(name, part)| (name.to_owned(), part.to_owned()));
                    answer(shared, route, parts.collect(), request).await
                }
                Err(_) => refuse(&request, Code::Malformed, "the path is not valid UTF-8"),
            }
        };
        let filter = MethodFilter::try_from(route.method.clone()).unwrap_or(MethodFilter::GET);
        let path = paths.remove(route.path).unwrap_or_default();
        paths.insert(route.path, path.merge(on(filter, handler)));
    }
    let mut router = Router::new();
    for (path, methods) in paths {
        router = router.route(path, methods.fallback(not_allowed));
    }
    let guarded = middleware::from_fn_with_state(Arc::clone(shared), guard::guard);
    router.fallback(not_found).layer(guarded)
}

async fn not_found(request: Request) -> super::answer::Answer {
    refuse(&request, Code::NotFound, "nothing is at this path; /api lists every path")
}

async fn not_allowed(request: Request) -> super::answer::Answer {
    refuse(&request, Code::MethodNotAllowed, "this path does not take that method")
}

fn refuse(request: &Request, code: Code, detail: &str) -> super::answer::Answer {
    let id = request.extensions().get::<RequestId>().map_or("-", |id| &id.0);
    Problem::new(code, detail).response(id)
}
