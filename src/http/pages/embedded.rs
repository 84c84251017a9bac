//! The files of the dashboard: each under a name with its digest, so that browsers keep it for
//! ever.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::charts;

/// A file.
pub(super) struct Embedded {
    /// Its name, with its digest.
    pub(super) name: String,
    pub(super) media_type: &'static str,
    pub(super) text: String,
}

impl Embedded {
    fn new(stem: &str, extension: &str, media_type: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        let digest = format!("{:x}", Sha256::digest(text.as_bytes()));
        Self { name: format!("{stem}.{}.{extension}", &digest[..16]), media_type, text }
    }
}

/// How the pages and their charts look.
pub(super) static STYLE: LazyLock<Embedded> = LazyLock::new(|| {
    let text = [include_str!("templates/app.css"), charts::STYLE].concat();
    Embedded::new("app", "css", "text/css; charset=utf-8", text)
});

/// What the pages do where a browser runs scripts.
pub(super) static SCRIPT: LazyLock<Embedded> = LazyLock::new(|| {
    Embedded::new("app", "js", "text/javascript; charset=utf-8", include_str!("templates/app.js"))
});

/// The icon of the browser's tab.
pub(super) static ICON: LazyLock<Embedded> = LazyLock::new(|| {
    Embedded::new("icon", "svg", "image/svg+xml", include_str!("templates/icon.svg"))
});

/// Where a file is.
pub(super) fn path(file: &Embedded) -> String {
    format!("/assets/{}", file.name)
}
