//! Jobs: begun, looked at, cancelled.

use cofre_arm::{ApiError, Problem, ResourceId, Result as ApiResult};
use cofre_recovery::job::{BackupRequest, Job, JobQuery, JobStatus, Operation, Trigger};
use serde::Deserialize;

use super::{
    Visit,
    accepted::accepted,
    dates,
    job_json::{detailed_job_json, job_json},
    policies::of_machines,
};
use crate::{
    arm::{filter::Filter, paging},
    directory,
    http::{Answer, Refusal},
};

/// Jobs of a page.
const PAGE: usize = 200;

#[derive(Deserialize)]
struct BackupBody {
    properties: BackupProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BackupProperties {
    object_type: Option<String>,
    #[serde(rename = "recoveryPointExpiryTimeInUTC")]
    expiry: Option<String>,
}

/// `POST …/protectedItems/I/backup`.
pub(super) fn backup(visit: &Visit<'_>, item: &ResourceId) -> Result<Answer, Refusal> {
    let BackupBody { properties } = visit.call.json()?;
    let kind = properties.object_type.as_deref();
    if kind.is_some_and(|kind| !matches!(kind, "IaasVMBackupRequest" | "IaaSVMBackupRequest")) {
        return Err(ApiError::invalid("the objectType of a backup is IaasVMBackupRequest").into());
    }
    let expiry = properties.expiry.as_deref();
    let retain_until = expiry.map(|text| dates::in_body("recoveryPointExpiryTimeInUTC", text)).transpose()?;
    let request = BackupRequest { retain_until, trigger: Trigger::User };
    let job = visit.recovery.submit_backup(item, &request)?;
    Ok(accepted(visit.call, item, &job.id))
}

/// A value of a filter among those that are known by name.
fn one_of<T: Copy>(field: &str, all: &[T], name: fn(T) -> &'static str, wanted: &str) -> ApiResult<T> {
    let found = all.iter().copied().find(|known| name(*known).eq_ignore_ascii_case(wanted));
    found.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|known| name(*known)).collect();
        ApiError::invalid(format!("the {field} of a job is one of {}", names.join(", ")))
    })
}

/// `GET …/backupJobs`, the newest first.
pub(super) fn list(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let filter = Filter::parse(visit.call.target.query.get("$filter"))?.only(&[
        "backupManagementType",
        "startTime",
        "endTime",
        "operation",
        "status",
        "jobId",
    ])?;
    let now = visit.app.parts.clock.now();
    if !of_machines(&filter) {
        return Ok(paging::page(visit.call, Vec::new(), None));
    }
    if let Some(id) = filter.get("jobId") {
        let found = match of_vault(visit, id) {
            Err(error) if error.problem() == Problem::NotFound => None,
            other => Some(other?),
        };
        let shown = found.iter().map(|job| job_json(job, now)).collect();
        return Ok(paging::page(visit.call, shown, None));
    }
    let instant = |name: &str| filter.get(name).map(|text| dates::in_filter(name, text)).transpose();
    let operation = filter.get("operation");
    let status = filter.get("status");
    let query = JobQuery {
        vault: Some(visit.vault.id.clone()),
        item: None,
        operation: operation
            .map(|name| one_of("operation", Operation::ALL, Operation::name, name))
            .transpose()?,
        status: status.map(|name| one_of("status", JobStatus::ALL, JobStatus::name, name)).transpose()?,
        from: instant("startTime")?,
        to: instant("endTime")?,
    };
    let after = paging::position(visit.call)?;
    let limit = visit.call.target.query.number("$top", 1, 1000)?.unwrap_or(PAGE);
    let page = visit.recovery.jobs_page(&query, after.as_deref(), limit)?;
    let shown = page.jobs.iter().map(|job| job_json(job, now)).collect();
    Ok(paging::page(visit.call, shown, page.next.as_deref()))
}

/// A job of the vault by its id.
fn of_vault(visit: &Visit<'_>, id: &str) -> ApiResult<Job> {
    let missing = || {
        let message = format!("the vault {} has no job {id}", visit.vault.id.name());
        ApiError::new(Problem::NotFound, message)
    };
    let id = directory::guid("job", id)?;
    match visit.recovery.job(&id) {
        Ok(job) if job.vault_id == visit.vault.id => Ok(job),
        Ok(_) => Err(missing()),
        Err(error) if error.problem() == Problem::NotFound => Err(missing()),
        Err(error) => Err(error),
    }
}

/// `GET …/backupJobs/J`.
pub(super) fn show(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let job = of_vault(visit, visit.segment(1))?;
    Ok(Answer::ok(&detailed_job_json(&job, visit.app.parts.clock.now())))
}

/// `POST …/backupJobs/J/cancel`.
pub(super) fn cancel(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let job = of_vault(visit, visit.segment(1))?;
    visit.recovery.cancel_job(&job.id)?;
    let location = format!("{}{}/backupOperationResults/{}", visit.call.origin(), visit.vault.id, job.id);
    Ok(Answer::empty(202).with("location", location).with("retry-after", "1"))
}
