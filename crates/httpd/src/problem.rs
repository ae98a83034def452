//! The error body: what failed, why, and what to do.

use crate::response::Response;
use http::StatusCode;
use serde::Serialize;

/// Why a request was not done. Its JSON is `{ "error": { … } }` with camelCase names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{what}: {why}")]
pub struct Problem {
    /// The status of the answer.
    #[serde(skip)]
    pub status: StatusCode,
    /// What a program tells problems apart by.
    pub code: &'static str,
    /// What was tried: `could not create topic "orders"`.
    pub what: Box<str>,
    /// Why it failed: `a topic of this name exists`.
    pub why: Box<str>,
    /// What to do, where something sensible can be said.
    pub remedy: Option<Box<str>>,
    /// Whether the same request may succeed later.
    pub retriable: bool,
    /// Stands in the log beside the same problem. The server fills it in.
    pub request_id: Box<str>,
    /// The field of the request that is wrong.
    pub field: Option<Box<str>>,
}

impl Problem {
    /// A problem without a remedy, that a retry does not mend.
    #[must_use]
    pub fn new(
        status: StatusCode,
        code: &'static str,
        what: impl Into<Box<str>>,
        why: impl Into<Box<str>>,
    ) -> Self {
        Self {
            status,
            code,
            what: what.into(),
            why: why.into(),
            remedy: None,
            retriable: false,
            request_id: Box::default(),
            field: None,
        }
    }

    /// 400: what was asked for makes no sense.
    #[must_use]
    pub fn invalid(what: impl Into<Box<str>>, why: impl Into<Box<str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", what, why)
    }

    /// 404: there is no such thing.
    #[must_use]
    pub fn not_found(what: impl Into<Box<str>>, why: impl Into<Box<str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", what, why)
    }

    /// 500: our own fault.
    #[must_use]
    pub fn internal(what: impl Into<Box<str>>, why: impl Into<Box<str>>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", what, why)
    }

    /// With what to do.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<Box<str>>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// With the field of the request that is wrong.
    #[must_use]
    pub fn field(self, field: impl Into<Box<str>>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// One that a retry may mend.
    #[must_use]
    pub fn retriable(self) -> Self {
        Self { retriable: true, ..self }
    }

    /// As an answer.
    #[must_use]
    pub fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'a Problem,
        }
        Response::json(&Body { error: &self }).status(self.status)
    }
}
