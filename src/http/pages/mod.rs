//! The dashboard: pages for people, each whole without a script.
//!
//! A page asks the store, `jobs` and `billing` what is so, puts it into words and hands it to a
//! template; it has no rule of its own. A block that could not be read says so in its place: never
//! zero, never an old number as a new one.
//!
//! Never: a request to another host; a text of others as markup; a page that changes something when
//! it is read.

mod acts;
mod assets;
mod button;
mod clock;
pub(super) mod cookie;
mod days;
mod drift;
mod emails;
mod embedded;
mod frame;
mod kept;
mod live;
mod login;
mod now;
mod org;
mod orgs;
pub(super) mod origin;
mod overview;
mod parts;
mod picture;
pub(super) mod refused;
mod runs;
mod system;
mod times;
mod usage;

use axum::http::Method;

use super::call::{Access, Handler, Parameter, Route, Sees, Shape};
pub(super) use kept::Kept;
pub(super) use login::is_of_a_session;
pub(super) use overview::Overview;
pub(super) use usage::Sampled;

/// The routes of the dashboard.
pub(super) fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    routes.extend(now::ROUTES);
    routes.extend(orgs::ROUTES);
    routes.extend(org::ROUTES);
    routes.extend(runs::ROUTES);
    routes.extend(acts::routes());
    routes.extend(live::ROUTES);
    routes.extend(usage::ROUTES);
    routes.extend(drift::ROUTES);
    routes.extend(emails::ROUTES);
    routes.extend(system::ROUTES);
    routes.extend(times::ROUTES);
    routes.extend(login::ROUTES);
    routes.extend(assets::ROUTES);
    routes
}

/// What a form sends.
const FORM: &[Shape] =
    &[("application/x-www-form-urlencoded", |_| schemars::json_schema!({ "type": "object" }))];

/// A page for whoever is logged in.
const fn page(
    path: &'static str,
    sees: Sees,
    summary: &'static str,
    parameters: &'static [Parameter],
    handler: Handler,
) -> Route {
    Route {
        method: Method::GET,
        path,
        access: Access::Page(sees),
        summary,
        parameters,
        bodies: &[],
        answer: None,
        media_types: &["text/html"],
        problems: &[],
        handler,
    }
}
