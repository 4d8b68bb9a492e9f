//! The error of the control plane: a [`Problem`] of the catalogue, what happened here, and to what.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::catalogue::Problem;

/// What the control plane answers with when it does not do what was asked.
pub struct ApiError {
    problem: Problem,
    message: String,
    details: Vec<Detail>,
    recommendation: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// A resource that an error is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    /// The resource.
    pub resource_id: String,
    /// The permissions that are missing on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_permissions: Vec<String>,
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, ApiError>;

impl ApiError {
    /// A problem, and what happened: which resource, which value.
    #[must_use]
    pub fn new(problem: Problem, message: impl Into<String>) -> Self {
        Self { problem, message: message.into(), details: Vec::new(), recommendation: None, source: None }
    }

    /// A value that cannot be accepted.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Problem::InvalidParameter, message)
    }

    /// Names a resource that the error is about.
    #[must_use]
    pub fn about(mut self, resource_id: impl fmt::Display) -> Self {
        self.details.push(Detail { resource_id: resource_id.to_string(), missing_permissions: Vec::new() });
        self
    }

    /// Names a resource and the permissions that are missing on it.
    #[must_use]
    pub fn missing(mut self, resource_id: impl fmt::Display, permissions: Vec<String>) -> Self {
        self.details.push(Detail { resource_id: resource_id.to_string(), missing_permissions: permissions });
        self
    }

    /// Says what to do next in place of what the catalogue says.
    #[must_use]
    pub fn recommend(mut self, recommendation: impl Into<String>) -> Self {
        self.recommendation = Some(recommendation.into());
        self
    }

    /// Adds what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Which problem it is.
    #[must_use]
    pub fn problem(&self) -> Problem {
        self.problem
    }

    /// The machine code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.problem.row().code
    }

    /// What to do next.
    #[must_use]
    pub fn recommendation(&self) -> &str {
        self.recommendation.as_deref().unwrap_or(self.problem.row().action)
    }

    /// The resources it is about.
    #[must_use]
    pub fn details(&self) -> &[Detail] {
        &self.details
    }

    /// What happened and why, in one line: for job records, which keep no chain.
    #[must_use]
    pub fn in_full(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    /// The body as the contract wants it.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({"error": {
            "code": self.code(),
            "message": self.in_full(),
            "details": self.details,
            "recommendations": [self.recommendation()],
        }})
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("problem", &self.problem)
            .field("message", &self.message)
            .field("details", &self.details)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_names_what_is_missing_and_what_to_do() {
        let error = ApiError::new(Problem::KeyVaultPermissions, "the backup service cannot read kv1")
            .missing("/subscriptions/s/kv1", vec!["keys/backup".into()])
            .because(std::io::Error::other("denied"));
        let body = error.body();
        assert_eq!(body["error"]["code"], "UserErrorKeyVaultPermissionsNotConfigured");
        assert_eq!(body["error"]["message"], "the backup service cannot read kv1: denied");
        assert_eq!(body["error"]["details"][0]["missingPermissions"][0], "keys/backup");
        assert!(!body["error"]["recommendations"][0].as_str().unwrap().is_empty());
        assert_eq!(error.to_string(), "the backup service cannot read kv1", "the chain is kept apart");
        let error = ApiError::invalid("x").recommend("Do y.").about("z");
        assert_eq!((error.recommendation(), error.details()[0].resource_id.as_str()), ("Do y.", "z"));
    }
}
