//! How jobs end, as commands answer.

use cofre_arm::ApiError;
use cofre_recovery::job::{ErrorDetail, Job};
use cofre_repo::progress::Progress as _;
use serde_json::{Value, json};

use crate::{Context, exit::Exit, report::Report};

/// The failure of a job, with its id: `cofre job show` has the rest.
pub(crate) fn failure(error: ApiError, job: &Job) -> Report {
    let mut report = Report::from(error);
    report.recommendations.push(format!("See what the job did: `cofre job show {}`.", job.id));
    report
}

/// Says what deserves attention, and how the process ends.
pub(crate) fn warn(job: &Job, context: &Context) -> (Vec<Value>, Exit) {
    for warning in &job.error_details {
        context.progress.warn(&in_words(warning));
    }
    let printed = context.progress.warnings();
    let of_engine = printed.iter().filter(|w| job.error_details.iter().all(|d| in_words(d) != **w));
    let mut warnings: Vec<_> = job.error_details.iter().map(|w| json!(w)).collect();
    warnings.extend(of_engine.map(|message| json!({"code": "Repository", "message": message})));
    let exit = if warnings.is_empty() { Exit::Ok } else { Exit::Warnings };
    (warnings, exit)
}

/// A warning or an error of a job, in one line.
pub(crate) fn in_words(detail: &ErrorDetail) -> String {
    format!("{} ({}). {}", detail.message, detail.code, detail.recommendations.join(" "))
}
