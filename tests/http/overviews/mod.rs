//! The pages that look at all orgs: what each shows, what it says where there is nothing, and what
//! where it cannot know.

mod drift;
mod emails;
mod now;
mod system;
mod usage;

use sqlx::Connection;

use crate::pages::Browser;
use crate::served::Served;

/// A text that means harm: markup, an expression of a template, a mark that turns writing around, a
/// bell; and 10,000 letters.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>\"'&{{ 7*7 }}{% raw %}\u{202e}\u{7}";

/// The same as SQL writes it.
pub(crate) fn quoted() -> String {
    let text = HOSTILE.replace('\'', "\\'").replace('\u{7}', "\\x07");
    format!("(E'{text}' || repeat('x', 10000))")
}

/// A page on which that text stands, as text.
pub(crate) fn is_harmless(page: &str, path: &str) {
    assert!(page.contains("&lt;script&gt;"), "{path}: {page}");
    for markup in ["<script>", "\u{202e}", "\u{7}", ">49<"] {
        assert!(!page.replace("<script src=", "").contains(markup), "{path}: {markup:?}: {page}");
    }
    assert!(!page.contains(&"x".repeat(1_000)), "{path}: what is too long is cut");
}

/// The page while a table cannot be read: so many blocks say so, and this text still stands.
pub(crate) async fn unread(
    served: &Served,
    browser: &Browser<'_>,
    path: &str,
    (table, blocks, stands): (&str, usize, &str),
) {
    let mut holder = served.test.connect().await;
    let mut lock = holder.begin().await.expect("a transaction");
    let statement = sqlx::AssertSqlSafe(format!("lock table {table} in access exclusive mode"));
    sqlx::raw_sql(statement).execute(&mut *lock).await.expect("held");
    let page = browser.page(path).await;
    lock.rollback().await.expect("let go");
    let said = page.matches("did not answer within 2 s").count();
    assert_eq!(said, blocks, "{table} for {path}: {page}");
    assert!(page.contains(stands), "{table} for {path}: {page}");
}
