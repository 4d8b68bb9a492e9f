//! The one error type at the binary's edge: what is printed when a command fails.

use std::error::Error;

use cofre_arm::ApiError;
use cofre_disk::{DiskError, ErrorKind as DiskKind};
use cofre_fde::FdeError;
use cofre_repo::RepoError;
use cofre_store::StoreError;
use serde_json::{Value, json};

use crate::exit::Exit;

/// A failure, ready to be shown.
#[derive(Debug)]
pub(crate) struct Report {
    /// The machine code.
    pub(crate) code: &'static str,
    /// How the process ends.
    pub(crate) exit: Exit,
    /// What happened.
    pub(crate) message: String,
    /// Why, from the outside in; no text twice.
    pub(crate) causes: Vec<String>,
    /// What to do next.
    pub(crate) recommendations: Vec<String>,
}

pub(crate) type Result<T> = std::result::Result<T, Report>;

impl Report {
    /// The command line makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            code: "UsageError",
            exit: Exit::Usage,
            message: message.into(),
            causes: Vec::new(),
            recommendations: vec!["See `--help` for what is accepted.".to_owned()],
        }
    }

    /// Replaces the recommendations.
    pub(crate) fn recommend(mut self, recommendation: impl Into<String>) -> Self {
        self.recommendations = vec![recommendation.into()];
        self
    }

    /// The secret file is missing, empty, or something else.
    pub(crate) fn secret(error: &RepoError) -> Self {
        Self { code: "SecretFileUnusable", exit: Exit::Usage, ..Self::of(error) }
    }

    /// A source disk that cannot be opened.
    pub(crate) fn source(error: DiskError) -> Self {
        let advice = match error.kind() {
            DiskKind::NotFound => Some("Check the path given with `--disk`."),
            DiskKind::Denied => Some("Check the permissions of the image."),
            DiskKind::InUse => Some("Shut the machine down, or back up a snapshot of its disk."),
            _ => None,
        };
        let report = Self::of(&RepoError::source_disk(error));
        match advice {
            Some(advice) => report.recommend(advice),
            None => report,
        }
    }

    fn of(error: &RepoError) -> Self {
        Self {
            code: error.kind().code(),
            exit: Exit::of(error.kind()),
            message: error.to_string(),
            causes: causes(error),
            recommendations: vec![error.recommendation().to_owned()],
        }
    }

    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        json!({"error": {
            "code": self.code,
            "message": self.message,
            "causes": self.causes,
            "recommendations": self.recommendations,
        }})
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        for cause in &self.causes {
            text.push_str(&format!("  caused by: {cause}\n"));
        }
        for recommendation in &self.recommendations {
            text.push_str(&format!("  try: {recommendation}\n"));
        }
        text.push_str(&format!("  code: {}\n", self.code));
        text
    }
}

impl From<ApiError> for Report {
    fn from(error: ApiError) -> Self {
        let repository = error.source().and_then(|e| e.downcast_ref::<RepoError>()).map(RepoError::kind);
        Self {
            code: error.code(),
            exit: Exit::of_problem(error.problem(), repository),
            message: error.to_string(),
            causes: causes(&error),
            recommendations: vec![error.recommendation().to_owned()],
        }
    }
}

impl From<StoreError> for Report {
    fn from(error: StoreError) -> Self {
        Self {
            code: error.kind().code(),
            exit: Exit::Failed,
            message: error.to_string(),
            causes: causes(&error),
            recommendations: vec![error.recommendation().to_owned()],
        }
    }
}

fn causes(error: &dyn Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        next = cause.source();
    }
    causes
}

impl From<RepoError> for Report {
    fn from(error: RepoError) -> Self {
        Self::of(&error)
    }
}

impl From<FdeError> for Report {
    fn from(error: FdeError) -> Self {
        let (code, exit) = Exit::of_encryption(error.kind());
        let recommendation = match exit {
            Exit::Damage => {
                "Restore the header from a copy, if the disk was encrypted; a backup keeps it as it is."
            }
            _ => "Check the path and its permissions.",
        };
        Self {
            code,
            exit,
            message: error.to_string(),
            causes: causes(&error),
            recommendations: vec![recommendation.to_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use cofre_repo::ErrorKind;

    use super::*;

    #[test]
    fn the_chain_is_printed_once() {
        let source = io::Error::new(io::ErrorKind::StorageFull, "no space left on device");
        let error = RepoError::new(ErrorKind::StorageFull, "cannot write /r/cofre/tmp/1").with_source(source);
        let report = Report::from(error);
        assert_eq!(
            report.text(),
            "error: cannot write /r/cofre/tmp/1\n  caused by: no space left on device\n  try: Free some space and \
             run the command again; what was stored so far is reused.\n  code: StorageFull\n"
        );
        assert_eq!(report.json()["error"]["code"], "StorageFull");
        assert_eq!(report.json()["error"]["message"], "cannot write /r/cofre/tmp/1");
        assert_eq!(report.exit, Exit::Failed);
    }

    #[test]
    fn a_source_that_is_missing_is_no_broken_disk() {
        let Err(error) = cofre_disk::open_source("/nonexistent/a.raw", cofre_disk::ImageFormat::Raw) else {
            panic!("there is no such disk");
        };
        let report = Report::source(error);
        assert_eq!(report.recommendations, ["Check the path given with `--disk`."]);
        assert_eq!(report.code, "SourceUnreadable");
        assert_eq!(report.causes.len(), 2, "{:?}", report.causes);
    }
}
