//! The pages as files that work from disk: asked of the router as a browser asks, with links to
//! each other.
//!
//! Which pages there are is read from the table of routes, and from the links of pages. What works
//! by a server alone (forms, the script) is left out of the files; a link to a page that is not
//! among them is plain text.
//!
//! Never: a request to another host; a page that is written here and not there.

mod html;
mod names;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use tower::ServiceExt;

use super::access::Access;
use super::call::{self, Route};
use super::own_door::OwnDoor;
use super::pages::cookie;
use super::routes;
use super::server::{ServerError, settings_to_read, shared};
use super::shared::{Shared, Surroundings};
use crate::store::tokens::secret::Secret;
use crate::text::url_part;
use names::Names;

/// Orgs that have a page where none is named.
const ORGS: usize = 20;
/// Pages of one route with a part of their own, and with a query, that are written.
const OF_A_ROUTE: usize = 200;
const OF_A_QUERY: usize = 40;
/// A page that is longer is none of ours.
const LONGEST: usize = 16 << 20;
/// The host that is asked: this machine.
const HOST: &str = "localhost";
/// Lists of orgs, those with a problem first.
const LISTS: [&str; 3] = ["/orgs?parked=true", "/orgs?due=true", "/orgs"];
/// An org's page.
const ORG: &str = "/orgs/{org}";

/// A file.
pub struct SavedPage {
    pub name: String,
    pub text: Bytes,
}

/// All of them.
pub struct Saved {
    pub files: Vec<SavedPage>,
    /// How many orgs have a page.
    pub orgs: usize,
    /// Were more orgs listed than have a page?
    pub more_orgs: bool,
}

/// Why pages cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Server(#[from] ServerError),
    /// A page that failed as a whole.
    #[error("the page {path} cannot be read ({status}); the log says more")]
    Page { path: String, status: StatusCode },
    /// A page that is too long, or ended early.
    #[error("the page {0} cannot be read")]
    Broken(String),
}

/// A page as it was answered.
struct Answered {
    media_type: String,
    text: Bytes,
}

impl Answered {
    fn is_html(&self) -> bool {
        self.media_type.starts_with("text/html")
    }
}

/// Reads the pages: those of the table, and those of the orgs with these slugs or ids, or of
/// the first of all where none is named, parked and overdue ones first.
///
/// # Errors
/// [`Error`] for a page of the table that cannot be read at all. A block of one says so itself.
pub async fn save(around: Surroundings, orgs: &[String]) -> Result<Saved, Error> {
    let mut reader = Reader::new(around).await?;
    let mut more_orgs = false;
    if orgs.is_empty() {
        let mut listed = Vec::new();
        for list in LISTS {
            for link in reader.links_of(list).await? {
                if route_of(&link).is_some_and(|route| route.path == ORG) && !listed.contains(&link)
                {
                    listed.push(link);
                }
            }
        }
        more_orgs = listed.len() > ORGS;
        listed.truncate(ORGS);
        reader.add_orgs(listed);
    } else {
        reader.add_orgs(orgs.iter().map(|org| format!("/orgs/{}", url_part(org))).collect());
    }
    reader.follow().await?;
    Ok(Saved { orgs: reader.orgs.len(), more_orgs, files: reader.files() })
}

/// The route that answers a path, if it is a page to be read or a file of one.
fn route_of(link: &str) -> Option<&'static Route> {
    let path = link.split('?').next().unwrap_or_default();
    routes::all().iter().find(|route| {
        let is_ours = route.access.is_page() && route.method == Method::GET;
        is_ours && is_at(route.path, path)
    })
}

/// Is that path one of the pattern's?
fn is_at(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), parts.next()) {
            (None, None) => return true,
            (Some(wanted), Some(part)) if wanted == part => {}
            (Some(wanted), Some(part)) if wanted.starts_with('{') && !part.is_empty() => {}
            _ => return false,
        }
    }
}

/// Asks for pages, each once.
struct Reader {
    router: Router,
    cookie: HeaderValue,
    read: BTreeMap<String, Answered>,
    /// Links that lead nowhere from here.
    refused: HashSet<String>,
    pending: VecDeque<String>,
    /// Pages of orgs that are to be written.
    orgs: Vec<String>,
    /// Pages that frames show, which have no frame of ours around them.
    framed: HashSet<String>,
    counts: BTreeMap<String, usize>,
}

impl Reader {
    async fn new(around: Surroundings) -> Result<Self, ServerError> {
        let (link, session) = (Secret::random()?, Secret::random()?);
        let door = OwnDoor::of(link.digest(), around.database.now().await?);
        door.begin(session.digest());
        let settings = settings_to_read(&(around.config)().http, None);
        let access = Access::new(settings.requests_per_second).through(door);
        let shared: Arc<Shared> = shared(&settings, around, access, None);
        let cookie = cookie::shown(&session).ok_or(ServerError::Cookie)?;
        // Every page that needs nothing but its path.
        let of_table = routes::all().iter().filter(|route| {
            let needs = route.path.contains('{') || route.parameters.iter().any(|p| p.is_required);
            matches!(route.access, call::Access::Page(_))
                && route.method == Method::GET
                && route.media_types == ["text/html"]
                && !needs
        });
        Ok(Self {
            router: routes::router(&shared),
            cookie,
            read: BTreeMap::new(),
            refused: HashSet::new(),
            pending: of_table.map(|route| route.path.to_owned()).collect(),
            orgs: Vec::new(),
            framed: HashSet::new(),
            counts: BTreeMap::new(),
        })
    }

    fn add_orgs(&mut self, orgs: Vec<String>) {
        self.pending.extend(orgs.iter().cloned());
        self.orgs = orgs;
    }

    /// The links of a page.
    async fn links_of(&mut self, path: &str) -> Result<Vec<String>, Error> {
        self.read(path).await?;
        let links = self.read.get(path).map(|page| html::links(&text_of(&page.text)));
        Ok(links.unwrap_or_default().into_iter().map(|link| link.path).collect())
    }

    /// Reads what is pending, and what that leads to.
    async fn follow(&mut self) -> Result<(), Error> {
        while let Some(path) = self.pending.pop_front() {
            self.read(&path).await?;
            let Some(page) = self.read.get(&path).filter(|page| page.is_html()) else { continue };
            // A frame's page is others' text: nothing of it is followed.
            if self.framed.contains(&path) {
                continue;
            }
            for link in html::links(&text_of(&page.text)) {
                if link.is_framed {
                    self.framed.insert(link.path.clone());
                }
                if self.is_followed(&link.path) {
                    self.pending.push_back(link.path);
                }
            }
        }
        Ok(())
    }

    /// Is that page to be written, too? Counts it then.
    fn is_followed(&mut self, link: &str) -> bool {
        let is_known = self.read.contains_key(link)
            || self.refused.contains(link)
            || self.pending.iter().any(|pending| pending == link);
        let Some(route) = route_of(link).filter(|_| !is_known) else { return false };
        let (path, query) = link.split_once('?').unwrap_or((link, ""));
        // Each filter is a page; what several of them leave over is not.
        let (key, most) = match (query.matches('=').count(), route.path.contains('{')) {
            (0, _) if route.path == ORG => return false,
            (0, true) => (route.path.to_owned(), OF_A_ROUTE),
            (1, _) => (format!("{path}?"), OF_A_QUERY),
            (0, false) | (2.., _) => return false,
        };
        let count = self.counts.entry(key).or_default();
        *count += 1;
        *count <= most
    }

    async fn read(&mut self, path: &str) -> Result<(), Error> {
        if self.read.contains_key(path) || self.refused.contains(path) {
            return Ok(());
        }
        let request = Request::get(path)
            .header(header::HOST, HOST)
            .header(header::COOKIE, self.cookie.clone())
            .body(Body::empty());
        let Ok(request) = request else {
            self.refused.insert(path.to_owned());
            return Ok(());
        };
        let Ok(answer) = self.router.clone().oneshot(request).await;
        let status = answer.status();
        if status.is_server_error() {
            return Err(Error::Page { path: path.to_owned(), status });
        }
        if status != StatusCode::OK {
            self.refused.insert(path.to_owned());
            return Ok(());
        }
        let media_type = answer.headers().get(header::CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.to_owned();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        let text = body.map_err(|_| Error::Broken(path.to_owned()))?.to_bytes();
        self.read.insert(path.to_owned(), Answered { media_type, text });
        Ok(())
    }

    /// The files, with links to each other.
    fn files(self) -> Vec<SavedPage> {
        let mut names = Names::default();
        for (path, page) in &self.read {
            names.add(path, &page.media_type);
        }
        let files = self.read.iter().filter_map(|(path, page)| {
            let name = names.of(path)?.to_owned();
            let text = match (page.is_html(), self.framed.contains(path)) {
                (true, true) => html::confined(&text_of(&page.text)).into(),
                (true, false) => html::linked(&text_of(&page.text), &names).into(),
                (false, _) => page.text.clone(),
            };
            Some(SavedPage { name, text })
        });
        files.collect()
    }
}

fn text_of(text: &Bytes) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_known_by_their_pattern() {
        assert!(is_at("/orgs/{org}", "/orgs/acme"));
        assert!(is_at("/", "/"));
        for path in ["/orgs", "/orgs/", "/orgs/acme/periods", "/"] {
            assert!(!is_at("/orgs/{org}", path), "{path}");
        }
        assert_eq!(route_of("/orgs?tier=pro").map(|route| route.path), Some("/orgs"));
        assert!(route_of("/api/v1/usage/acme/limits").is_none(), "not a page");
        assert!(route_of("/metrics").is_none(), "not a page");
    }
}
