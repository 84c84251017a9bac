//! Pages of ours as text: where they lead, and the same pages leading to files.
//!
//! Our templates write every `<`, `>` and `"` of a text as an entity: a tag ends at the next `>`.

use super::names::Names;

/// What a page of somebody else's may do, where no server says it: an email.
const CONFINED: &str = "<meta http-equiv=\"content-security-policy\" \
                        content=\"default-src 'none'; style-src 'unsafe-inline'\">";
/// Attributes that lead somewhere.
const LEADING: [&str; 2] = ["href", "src"];
/// Elements that work by a server alone, with everything in them.
const OF_A_SERVER: [&str; 2] = ["form", "script"];

/// A link to a path of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Path and query.
    pub(super) path: String,
    /// Is it shown in a frame?
    pub(super) is_framed: bool,
}

/// A piece of a page.
enum Piece<'a> {
    Text(&'a str),
    /// A tag with its brackets.
    Tag(&'a str),
}

/// The pieces of a page, without what works by a server alone.
fn pieces(page: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = page;
    while let Some(begin) = rest.find('<') {
        let (text, from) = rest.split_at(begin);
        pieces.push(Piece::Text(text));
        let end = from.find('>').map_or(from.len(), |end| end + 1);
        let (tag, after) = from.split_at(end);
        rest = after;
        if let Some(name) = OF_A_SERVER.into_iter().find(|name| name_of(tag) == *name) {
            let close = format!("</{name}>");
            rest = after.find(&close).map_or("", |at| &after[at + close.len()..]);
        } else {
            pieces.push(Piece::Tag(tag));
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// The name of an opening tag.
fn name_of(tag: &str) -> &str {
    let name = tag.trim_start_matches('<');
    let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    &name[..end]
}

/// Where a tag leads: from where to where in it, and the value there.
fn leading(tag: &str) -> Option<(usize, usize, &str)> {
    LEADING.into_iter().find_map(|attribute| {
        let before = format!(" {attribute}=\"");
        let begin = tag.find(&before)?;
        let value = begin + before.len();
        let end = value + tag[value..].find('"')?;
        Some((begin, end + 1, &tag[value..end]))
    })
}

/// Where the page leads on this server.
pub(super) fn links(page: &str) -> Vec<Link> {
    let tags = pieces(page).into_iter().filter_map(|piece| match piece {
        Piece::Tag(tag) => Some(tag),
        Piece::Text(_) => None,
    });
    let links = tags.filter_map(|tag| {
        let target = meant(leading(tag)?.2);
        let path = target.split('#').next().unwrap_or_default().to_owned();
        let is_ours = path.starts_with('/') && !path.starts_with("//");
        is_ours.then(|| Link { path, is_framed: name_of(tag) == "iframe" })
    });
    links.collect()
}

/// The page with links to files. What leads elsewhere leads nowhere.
pub(super) fn linked(page: &str, names: &Names) -> String {
    let mut linked = String::with_capacity(page.len());
    for piece in pieces(page) {
        let tag = match piece {
            Piece::Text(text) => {
                linked.push_str(text);
                continue;
            }
            Piece::Tag(tag) => tag,
        };
        let Some((begin, end, value)) = leading(tag) else {
            linked.push_str(tag);
            continue;
        };
        let target = meant(value);
        let (path, place) = match target.split_once('#') {
            Some((path, place)) => (path, Some(place)),
            None => (target.as_str(), None),
        };
        let name = if path.is_empty() { Some("") } else { names.of(path) };
        linked.push_str(&tag[..begin]);
        if let Some(name) = name {
            let attribute = if tag[begin..].starts_with(" src") { "src" } else { "href" };
            let place = place.map_or_else(String::new, |place| format!("#{}", written(place)));
            linked.extend([" ", attribute, "=\"", &written(name), &place, "\""]);
        }
        linked.push_str(&tag[end..]);
    }
    linked
}

/// A page of somebody else's, which may load nothing.
pub(super) fn confined(page: &str) -> String {
    let head = page.find("<head").and_then(|at| Some(at + page[at..].find('>')? + 1));
    let (before, after) = page.split_at(head.unwrap_or(0));
    format!("{before}{CONFINED}{after}")
}

/// An attribute as it is meant.
fn meant(value: &str) -> String {
    let entities =
        [("&#x2f;", "/"), ("&#x27;", "'"), ("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">")];
    let meant = entities.iter().fold(value.to_owned(), |text, (entity, c)| text.replace(entity, c));
    meant.replace("&amp;", "&")
}

/// The same as it is written.
fn written(value: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<!doctype html><head><link href=\"&#x2f;assets/a.css\">\
        <script src=\"/assets/a.js\" defer></script></head><a class=\"skip\" href=\"#main\">x</a>\
        <form action=\"/logout\"><button>Out</button></form>\
        <a href=\"&#x2f;orgs?q=a&amp;tier=b#c\">1 &lt; 2</a><a href=\"/runs/1\">gone</a>\
        <a href=\"https://example.com/\">there</a><iframe sandbox src=\"/emails/1/html\"></iframe>";

    #[test]
    fn links_are_found_as_they_are_meant() {
        let paths: Vec<(String, bool)> =
            links(PAGE).into_iter().map(|link| (link.path, link.is_framed)).collect();
        let of = |path: &str, is_framed| (path.to_owned(), is_framed);
        let ours = [
            of("/assets/a.css", false),
            of("/orgs?q=a&tier=b", false),
            of("/runs/1", false),
            of("/emails/1/html", true),
        ];
        assert_eq!(paths, ours);
    }

    #[test]
    fn links_lead_to_files_or_nowhere() {
        let mut names = Names::default();
        names.add("/assets/a.css", "text/css");
        names.add("/orgs?q=a&tier=b", "text/html");
        names.add("/emails/1/html", "text/html");
        let name = names.of("/orgs?q=a&tier=b").expect("a name");
        let page = linked(PAGE, &names);
        assert!(page.contains("<link href=\"a.css\">"), "{page}");
        assert!(page.contains("href=\"#main\""), "{page}");
        assert!(page.contains(&format!("<a href=\"{name}#c\">1 &lt; 2</a>")), "{page}");
        assert!(page.contains("<a>gone</a><a>there</a>"), "{page}");
        assert!(page.contains("<iframe sandbox src=\"emails-1-html.html\">"), "{page}");
        for gone in ["script", "form", "logout", "https:"] {
            assert!(!page.contains(gone), "{gone}: {page}");
        }
    }

    #[test]
    fn a_page_of_somebody_else_loads_nothing() {
        let page = confined("<!doctype html><html><head><title>x</title></head></html>");
        assert!(page.starts_with("<!doctype html><html><head><meta http-equiv="), "{page}");
        assert!(confined("text").starts_with("<meta"), "{}", confined("text"));
    }
}
