//! `202 Accepted`: a job took over, and where its operation is asked about.
//!
//! The id of the operation is that of the job, so that nothing has to be kept of it.

use cofre_arm::ResourceId;

use crate::http::{Answer, Call};

/// The answer for a job on an item.
pub(super) fn accepted(call: &Call, item: &ResourceId, job: &str) -> Answer {
    let version = call
        .target
        .query
        .get("api-version")
        .filter(|version| version.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')))
        .map(|version| format!("?api-version={version}"))
        .unwrap_or_default();
    let address = |kind: &str| format!("{}{}/{kind}/{job}{version}", call.origin(), escaped(item.as_str()));
    Answer::empty(202)
        .with("azure-asyncoperation", address("operationsStatus"))
        .with("location", address("operationResults"))
        .with("retry-after", "1")
}

/// A path as it may stand in a header: what ids hold beyond letters and digits is plain enough, but for semicolons and
/// letters of other alphabets.
fn escaped(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b if b.is_ascii_alphanumeric() || b"/-._~()".contains(&b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}
