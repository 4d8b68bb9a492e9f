//! Recovery points: listed and shown.

use cofre_arm::{ApiError, ResourceId};
use cofre_recovery::points::LOST;

use super::{
    Visit, dates,
    point_json::{detailed_point_json, point_json},
};
use crate::{
    arm::{filter::Filter, paging},
    http::{Answer, Refusal},
};

/// Points of a page.
const PAGE: usize = 200;

/// What it takes to be given the keys that a point holds.
const RESTORE: &str = "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints/restore/action";

/// A consistency by its published name.
fn consistency(name: &str) -> Result<&'static str, ApiError> {
    match name.to_ascii_lowercase().as_str() {
        "appconsistent" => Ok("AppConsistent"),
        "crashconsistent" => Ok("CrashConsistent"),
        "filesystemconsistent" => Ok("FileSystemConsistent"),
        _ => Err(ApiError::invalid(
            "recoveryPointType is AppConsistent, FileSystemConsistent or CrashConsistent",
        )),
    }
}

/// `GET …/recoveryPoints`, the newest first.
pub(super) fn list(visit: &Visit<'_>, item: &ResourceId) -> Result<Answer, Refusal> {
    let item = visit.recovery.item(item)?;
    let filter = Filter::parse(visit.call.target.query.get("$filter"))?.only(&[
        "startDate",
        "endDate",
        "recoveryPointType",
        "restorePointQueryType",
        "extendedInfo",
    ])?;
    let instant = |name: &str| filter.get(name).map(|text| dates::in_filter(name, text)).transpose();
    let (from, to) = (instant("startDate")?, instant("endDate")?);
    let kind = filter.get("recoveryPointType").map(consistency).transpose()?;
    let after = paging::position(visit.call)?;
    let limit = visit.call.target.query.number("$top", 1, 1000)?.unwrap_or(PAGE);
    let page = visit.recovery.points_page(&item.id, from, to, kind, after.as_deref(), limit)?;
    let shown = page.points.iter().map(|point| point_json(&item.id, point)).collect();
    Ok(paging::page(visit.call, shown, page.next.as_deref()))
}

/// `GET …/recoveryPoints/R`.
pub(super) fn show(visit: &Visit<'_>, item: &ResourceId) -> Result<Answer, Refusal> {
    let item = visit.recovery.item(item)?;
    let point = visit.recovery.recovery_point(&item.id, visit.segment(7))?;
    if point.state == LOST {
        return Ok(Answer::ok(&point_json(&item.id, &point)));
    }
    let details = visit.recovery.point_details(&item.id, &point)?;
    let with_data = details.keys.is_some() && visit.session.may(RESTORE, visit.vault.id.as_str());
    if with_data {
        visit.recovery.note_keys_shown(&item.id, &point)?;
    }
    Ok(Answer::ok(&detailed_point_json(&item.id, &point, &details, with_data)))
}
