//! A request that was read to its end.

use axum::{body::Bytes, http::HeaderMap};
use cofre_arm::{ApiError, Result};
use serde::de::DeserializeOwned;

use super::Target;

/// The methods of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of RFC 9110")]
pub enum Method {
    Get,
    Head,
    Put,
    Post,
    Patch,
    Delete,
}

impl Method {
    /// The method of a request.
    #[must_use]
    pub fn of(method: &axum::http::Method) -> Option<Self> {
        use axum::http::Method as M;
        Some(match *method {
            M::GET => Self::Get,
            M::HEAD => Self::Head,
            M::PUT => Self::Put,
            M::POST => Self::Post,
            M::PATCH => Self::Patch,
            M::DELETE => Self::Delete,
            _ => return None,
        })
    }
}

/// A request.
#[derive(Debug)]
pub struct Call {
    /// Our id of the request.
    pub id: String,
    /// What is to be done.
    pub method: Method,
    /// With what.
    pub target: Target,
    /// The host that was asked, with the port where there is one, in lower case.
    pub host: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The other end, as the rate limits count it.
    pub peer: String,
}

impl Call {
    /// A header that may stand once.
    ///
    /// # Errors
    /// `InvalidParameter` when it stands twice or is no text.
    pub fn header(&self, name: &str) -> Result<Option<&str>> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next();
        if values.next().is_some() {
            return Err(ApiError::invalid(format!("the header {name} stands more than once")));
        }
        first
            .map(|value| {
                value.to_str().map_err(|_| ApiError::invalid(format!("the header {name} is no plain text")))
            })
            .transpose()
    }

    /// The body as a JSON object of a shape.
    ///
    /// # Errors
    /// `InvalidParameter`, with the place but never the text: it may be a secret.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        // A list of values in the order of the fields would be taken for an object.
        if !self.body.trim_ascii_start().starts_with(b"{") {
            return Err(ApiError::invalid("the body of the request is no JSON object"));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Data => "does not have the shape expected",
                _ => "is no JSON",
            };
            ApiError::invalid(format!(
                "the body of the request {what}, at line {} column {}",
                error.line(),
                error.column()
            ))
        })
    }

    /// Like [`json`](Self::json); an empty body stands for `{}`.
    ///
    /// # Errors
    /// As there.
    pub fn json_or_empty<T: DeserializeOwned + Default>(&self) -> Result<T> {
        if self.body.is_empty() { Ok(T::default()) } else { self.json() }
    }

    /// The address the caller used, without a path: `https://host:port`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("https://{}", self.host)
    }
}
