//! Jobs in the shape of the contract.

use cofre_recovery::job::{ErrorDetail, Job, JobStatus, Operation, Task, TaskStatus};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{
    dates,
    item_json::{error_number, short_name},
};

/// A length of time as the contract writes it: `PT1.5S`.
fn duration(length: SignedDuration) -> String {
    let length = length.max(SignedDuration::ZERO);
    let milliseconds = length.as_millis();
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    if rest == 0 { format!("PT{seconds}S") } else { format!("PT{seconds}.{rest:03}S") }
}

fn error_json(error: &ErrorDetail) -> Value {
    json!({
        "errorCode": error_number(&error.code),
        "errorTitle": error.code,
        "errorString": error.message,
        "recommendations": error.recommendations,
        "details": error.details,
    })
}

fn task_json(task: &Task, job: &Job, now: Timestamp) -> Value {
    let length = task.start_time.map(|start| task.end_time.unwrap_or(now).duration_since(start));
    let mut shown = json!({
        "taskId": task.task_id,
        "status": task.status,
        "startTime": task.start_time.map(dates::text),
        "endTime": task.end_time.map(dates::text),
        "duration": duration(length.unwrap_or_default()),
        "taskExecutionDetails": null,
    });
    if let (TaskStatus::InProgress, Some(progress)) = (task.status, &job.progress) {
        shown["progressPercentage"] = json!(f64::from(progress.percent()));
    }
    shown
}

/// A job as lists show it.
pub(super) fn job_json(job: &Job, now: Timestamp) -> Value {
    let container = job.item_id.as_ref().and_then(|item| {
        let mut segments = item.as_str().split('/');
        segments.find(|segment| segment.eq_ignore_ascii_case("protectionContainers"))?;
        segments.next().map(|name| short_name(name).to_owned())
    });
    let cancellable = job.status == JobStatus::InProgress
        && matches!(job.operation, Operation::Backup | Operation::Restore);
    json!({
        "id": format!("{}/backupJobs/{}", job.vault_id, job.id),
        "name": job.id,
        "type": "Microsoft.RecoveryServices/vaults/backupJobs",
        "properties": {
            "jobType": "AzureIaaSVMJob",
            "operation": job.operation,
            "status": job.status,
            "entityFriendlyName": job.entity_friendly_name,
            "backupManagementType": "AzureIaasVM",
            "startTime": dates::text(job.start_time),
            "endTime": job.end_time.map(dates::text),
            "duration": duration(job.end_time.unwrap_or(now).duration_since(job.start_time)),
            "activityId": job.id,
            "actionsInfo": if cancellable { vec!["Cancellable"] } else { Vec::new() },
            "containerName": container,
            "virtualMachineVersion": "Compute",
            "isUserTriggered": job.user_triggered,
            "errorDetails": job.error_details.iter().map(error_json).collect::<Vec<_>>(),
        },
    })
}

/// A job with its parts.
pub(super) fn detailed_job_json(job: &Job, now: Timestamp) -> Value {
    let mut shown = job_json(job, now);
    let mut bag: Map<String, Value> =
        job.property_bag.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut internal = Map::new();
    if let Some(progress) = &job.progress {
        for (name, value) in [
            ("Bytes Done", progress.bytes_done),
            ("Bytes Total", progress.bytes_total),
            ("Bytes New", progress.bytes_new),
            ("Bytes Per Second", progress.bytes_per_second),
        ] {
            internal.insert(name.to_owned(), json!(value.to_string()));
        }
    }
    if let Some(attempt) = job.attempts.last().filter(|_| !job.status.is_over()) {
        bag.insert("Retry At".to_owned(), json!(dates::text(attempt.again)));
        bag.insert("Retry Reason".to_owned(), json!(attempt.error.message));
    }
    let mut extended = json!({
        "tasksList": job.tasks.iter().map(|task| task_json(task, job, now)).collect::<Vec<_>>(),
        "propertyBag": bag,
        "internalPropertyBag": internal,
        "dynamicErrorMessage": job.error_details.first().map(|error| &error.message),
    });
    if job.status.is_over() {
        extended["progressPercentage"] = json!(100.0);
    } else if let Some(progress) = &job.progress {
        extended["progressPercentage"] = json!(f64::from(progress.percent()));
    }
    shown["properties"]["extendedInfo"] = extended;
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (milliseconds, text) in
            [(0, "PT0S"), (1500, "PT1.500S"), (3_600_000, "PT3600S"), (7, "PT0.007S"), (-5, "PT0S")]
        {
            assert_eq!(duration(SignedDuration::from_millis(milliseconds)), text);
        }
    }
}
