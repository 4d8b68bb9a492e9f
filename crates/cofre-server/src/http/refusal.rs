//! Why a request is not done, in the error body of the contract.

use cofre_arm::{ApiError, Problem};
use serde_json::{Value, json};

use super::Answer;

/// A refusal or failure.
#[derive(Clone, Debug)]
pub struct Refusal {
    status: u16,
    body: Value,
    headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A refusal with a body of its own shape.
    #[must_use]
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, body, headers: Vec::new() }
    }

    /// The error body of the Key Vault contract: the published code outside, ours inside.
    #[must_use]
    pub fn key_vault(status: u16, code: &str, inner: &str, message: &str) -> Self {
        Self::new(status, json!({"error": {"code": code, "message": message, "innererror": {"code": inner}}}))
    }

    /// There is nothing at this path.
    #[must_use]
    pub fn no_such_path(path: &str) -> Self {
        ApiError::new(Problem::NotFound, format!("there is nothing at {path}")).into()
    }

    /// The path is there, the method is not.
    #[must_use]
    pub fn method(allowed: &str) -> Self {
        Self::from(ApiError::new(Problem::MethodNotAllowed, format!("this path takes {allowed}")))
            .with("allow", allowed)
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The message in the body.
    #[must_use]
    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    /// The code in the body, for the log.
    #[must_use]
    pub fn code(&self) -> &str {
        let error = &self.body["error"];
        error["code"].as_str().or(error.as_str()).unwrap_or_default()
    }

    /// The answer.
    #[must_use]
    pub fn into_answer(self) -> Answer {
        self.headers
            .into_iter()
            .fold(Answer::json(self.status, &self.body), |answer, (name, value)| answer.with(name, value))
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let row = error.problem().row();
        let refusal = Self::new(row.status, error.body());
        if row.transient { refusal.with("retry-after", "1") } else { refusal }
    }
}
