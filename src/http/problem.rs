//! What is answered instead of what was asked for: RFC 9457 documents with a closed set of codes.
//!
//! Never: SQL, a path, a host's name or a version in any of them.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use crate::store::StoreError;

/// How long a client is asked to wait before it tries again.
const RETRY: Duration = Duration::from_secs(1);

macro_rules! codes {
    ($($code:ident, $name:literal, $status:ident, $title:literal, $meaning:literal;)*) => {
        /// What kind of problem it is.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, JsonSchema)]
        pub(super) enum Code {
            $(
                #[doc = $meaning]
                #[serde(rename = $name)]
                $code,
            )*
        }

        impl Code {
            /// Every code.
            pub(super) const ALL: &'static [Self] = &[$(Self::$code),*];

            /// Its name in answers.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$code => $name),* }
            }

            /// The status that goes with it.
            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status),* }
            }

            /// A short sentence for the kind.
            pub(super) const fn title(self) -> &'static str {
                match self { $(Self::$code => $title),* }
            }

            /// What it means and what to do.
            pub(super) const fn meaning(self) -> &'static str {
                match self { $(Self::$code => $meaning),* }
            }
        }
    };
}

codes! {
    Malformed, "malformed", BAD_REQUEST, "Malformed request",
        "The request cannot be read: its JSON is damaged, or its path or query is not valid \
         UTF-8. Correct it; sending it again as it is does not help.";
    Unauthorized, "unauthorized", UNAUTHORIZED, "A token is needed",
        "There was no token, or it is unknown, expired or revoked. Send `Authorization: Bearer \
         TOKEN` with a token that the command `tokens add` printed.";
    Forbidden, "forbidden", FORBIDDEN, "This is not permitted",
        "The token lacks the scope that is named: use another token, or make one with that scope. \
         Or the page that opens a WebSocket is of an origin that `[http] allowed_origins` does not \
         have.";
    NotFound, "not_found", NOT_FOUND, "Nothing is here",
        "The path names nothing. `/api` lists every path.";
    UnknownOrg, "unknown_org", NOT_FOUND, "Unknown organization",
        "No organization has that slug or id, or the token is for another one. `orgs list` shows \
         them.";
    UnknownFeature, "unknown_feature", NOT_FOUND, "Unknown feature",
        "No feature has that name; the answer says which there are. Add it to `[[features]]` in \
         the configuration.";
    UnknownUser, "unknown_user", NOT_FOUND, "Unknown user",
        "No user has that id, or the user belongs to another organization. `users list` shows \
         them.";
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed",
        "The path does not take that method; the header `Allow` says which it takes.";
    TooSlow, "too_slow", REQUEST_TIMEOUT, "The request took too long to arrive",
        "The body did not arrive in time. Send it again.";
    NoOpenPeriod, "no_open_period", CONFLICT, "No open period",
        "The organization has no billing period yet, or it has none that contains the time. \
         `explain` says why.";
    KeyReused, "key_reused", CONFLICT, "The key was used for something else",
        "An idempotency key names one use for ever. It was used before with another feature, \
         quantity, user or time; nothing was recorded. Use a new key for a new use.";
    Refused, "refused", CONFLICT, "Refused by a guard",
        "What was found looks wrong, and nothing was changed. The sentence says what to check.";
    TooLarge, "too_large", PAYLOAD_TOO_LARGE, "The body is too large",
        "The body has more bytes than `[http] body_bytes`, or a batch more events than 1,000. \
         Send it in parts.";
    TargetTooLong, "target_too_long", URI_TOO_LONG, "The address is too long",
        "Path and query are longer than `[http] target_bytes`.";
    UnsupportedMediaType, "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE,
        "Unsupported media type",
        "The body has a media type that this path does not take; the header `Accept` says which \
         it takes.";
    WrongHost, "wrong_host", MISDIRECTED_REQUEST, "This server does not answer to that host",
        "The header `Host` names neither loopback, nor the listening address, nor one of `[http] \
         hosts`. Add the name there.";
    Invalid, "invalid", UNPROCESSABLE_ENTITY, "Invalid value",
        "The request can be read, but a value in it cannot be. `errors` points at each. Nothing \
         was recorded.";
    RateLimited, "rate_limited", TOO_MANY_REQUESTS, "Too many requests",
        "More requests than `[http] requests_per_second`, or too many wrong tokens from one \
         address. It has nothing to do with a quota. Wait for the seconds in `Retry-After`.";
    Internal, "internal", INTERNAL_SERVER_ERROR, "Internal error",
        "A defect of periodd. The log has an entry with the `request_id`; please report it.";
    Overloaded, "overloaded", SERVICE_UNAVAILABLE, "Too much at once",
        "More requests are at work than `[http] max_requests`, or all connections to the \
         database are in use. Wait for the seconds in `Retry-After`.";
    Unavailable, "unavailable", SERVICE_UNAVAILABLE, "The database is unavailable",
        "The database does not answer, or is in no state to. Try again with the same key after \
         the seconds in `Retry-After`.";
    NotCalculated, "not_calculated", SERVICE_UNAVAILABLE, "The calendar is not known that far",
        "The next periods of the organization have not been calculated. A running daemon does so \
         soon; try again after the seconds in `Retry-After`.";
    Draining, "draining", SERVICE_UNAVAILABLE, "The server is stopping",
        "The server takes no more requests. Another one does, or this one after its restart.";
}

/// What is wrong in one place of a body.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Fault {
    /// Where, as a JSON pointer into the body.
    pub(super) pointer: String,
    pub(super) code: Code,
    /// What is wrong there.
    pub(super) detail: String,
}

/// A problem.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) code: Code,
    /// One sentence for people.
    pub(super) detail: String,
    pub(super) errors: Vec<Fault>,
    pub(super) retry_after: Option<Duration>,
    /// The methods that a path takes, the media types that it takes.
    pub(super) allow: Option<String>,
}

/// A problem, as it is answered.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document<'a> {
    /// `/problems/CODE`: a page of this server about the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    /// The kind, as a short sentence.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    code: Code,
    /// What happened, as one sentence.
    detail: &'a str,
    /// What is wrong in the body, place by place.
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    errors: &'a [Fault],
    /// The request, as the log names it.
    request_id: &'a str,
}

impl Problem {
    /// A problem with its sentence.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        let is_passing = code.status() == StatusCode::SERVICE_UNAVAILABLE;
        let retry_after = is_passing.then_some(RETRY);
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after, allow: None }
    }

    /// A value that cannot be used, with its place in the body.
    pub(super) fn invalid(pointer: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let errors = vec![Fault {
            pointer: pointer.to_owned(),
            code: Code::Invalid,
            detail: detail.clone(),
        }];
        Self { errors, ..Self::new(Code::Invalid, detail) }
    }

    /// The answer.
    pub(super) fn response(&self, request_id: &str) -> Response<Body> {
        let document = Document {
            kind: format!("/problems/{}", self.code.name()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code,
            detail: &self.detail,
            errors: &self.errors,
            request_id,
        };
        let text = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if let Some(value) = self.allow.as_deref().and_then(|text| text.parse().ok()) {
            let name = match self.code {
                Code::UnsupportedMediaType => header::ACCEPT,
                _ => header::ALLOW,
            };
            headers.insert(name, value);
        }
        response
    }
}

impl From<StoreError> for Problem {
    /// What the database answers, by its kind: what it says of itself stays in the log.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused { code, message, .. } => of_function(&code, message),
            StoreError::Invalid(detail) => Self::new(Code::Invalid, detail),
            StoreError::Unavailable(_) | StoreError::Clock(_) => {
                tracing::debug!(%error, "a request met an unavailable database");
                Self::new(Code::Unavailable, "the database is unavailable; try again")
            }
            StoreError::Held(_) | StoreError::Cancelled(_) => {
                tracing::debug!(%error, "a request met a held row");
                let detail = "the database took too long; nothing was recorded, try again";
                Self::new(Code::Overloaded, detail)
            }
            StoreError::Conflict(_) | StoreError::MaybeConflict { .. } => {
                Self::new(Code::Overloaded, "others kept changing the same rows; try again")
            }
            StoreError::Outdated(_) | StoreError::Missing(_) => {
                tracing::error!(%error, "a request met a schema of another version");
                Self::new(Code::Unavailable, "the schema is not current; try again")
            }
            error @ (StoreError::Unprocessable(_)
            | StoreError::Configuration(_)
            | StoreError::Failed(_)) => {
                tracing::error!(%error, "a request failed");
                Self::new(Code::Internal, "internal error; the log says more")
            }
        }
    }
}

/// What one of the database's own functions refuses, by its SQLSTATE.
fn of_function(sqlstate: &str, message: String) -> Problem {
    match sqlstate {
        "22023" | "22003" => Problem::new(Code::Invalid, message),
        // A character that no text of the database holds.
        "22021" => Problem::new(Code::Invalid, "a text contains a NUL character"),
        "42501" => Problem::new(Code::Forbidden, message),
        "PB001" => Problem::new(Code::NoOpenPeriod, message),
        "PB002" => Problem::new(Code::UnknownFeature, message),
        "PB003" => Problem::new(Code::NotCalculated, message),
        "PB004" => Problem::new(Code::KeyReused, message),
        _ => {
            tracing::error!(sqlstate, message, "a request was refused by the database");
            Problem::new(Code::Internal, "internal error; the log says more")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_named_as_answers_name_them() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            let json = serde_json::to_value(code).expect("JSON");
            assert_eq!(json, code.name());
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }
}
