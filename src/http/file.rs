//! A list as a file.

use axum::http::{HeaderValue, header};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{Answer, of};
use super::problem::{Code, Problem};

/// A list as CSV. A table is not a page: a browser keeps it, under the name in `disposition`.
///
/// # Errors
/// [`Code::Internal`] for what cannot be written.
pub(super) fn csv(
    list: &(impl Serialize + JsonSchema),
    disposition: &'static str,
) -> Result<Answer, Problem> {
    let text = crate::csv::document(list).map_err(|error| {
        tracing::error!(%error, "a list cannot be written as CSV");
        Problem::new(Code::Internal, "internal error; the log says more")
    })?;
    let mut answer = of("text/csv; charset=utf-8", text);
    let file = HeaderValue::from_static(disposition);
    answer.headers_mut().insert(header::CONTENT_DISPOSITION, file);
    Ok(answer)
}
