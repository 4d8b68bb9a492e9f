//! Backup policies.

use cofre_recovery::policy::Policy;
use serde_json::{Value, json};

use super::Visit;
use crate::{
    arm::{filter::Filter, paging},
    http::{Answer, Method, Refusal},
};

/// A policy as a resource, with the number of its items.
fn policy_json(policy: &Policy, items: u64) -> Value {
    json!({
        "id": policy.id,
        "name": policy.id.name(),
        "type": "Microsoft.RecoveryServices/vaults/backupPolicies",
        "properties": policy.wire(items),
    })
}

/// `GET …/backupPolicies`.
pub(super) fn list(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let filter = Filter::parse(visit.call.target.query.get("$filter"))?
        .only(&["backupManagementType", "workloadType"])?;
    if !of_machines(&filter) {
        return Ok(paging::page(visit.call, Vec::new(), None));
    }
    let vault = &visit.vault.id;
    let (policies, users) = (visit.recovery.policies(vault)?, visit.recovery.policy_item_counts(vault)?);
    let shown = |policy: &Policy| policy_json(policy, users.get(&policy.id).copied().unwrap_or_default());
    Ok(paging::page(visit.call, policies.iter().map(shown).collect(), None))
}

/// Whether a list that is filtered so can hold machines.
pub(super) fn of_machines(filter: &Filter) -> bool {
    let is = |name: &str, ours: &[&str]| {
        filter.get(name).is_none_or(|wanted| ours.iter().any(|ours| wanted.eq_ignore_ascii_case(ours)))
    };
    is("backupManagementType", &["AzureIaasVM"])
        && is("workloadType", &["VM"])
        && is("itemType", &["VM"])
        && is("fabricName", &["Azure"])
}

/// `…/backupPolicies/P`.
pub(super) fn one(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let (recovery, vault, name) = (&visit.recovery, &visit.vault.id, visit.segment(1));
    let shown = |policy: &Policy| -> Result<Answer, Refusal> {
        let items = recovery.policy_items(&policy.id)?.len();
        Ok(Answer::ok(&policy_json(policy, items as u64)))
    };
    match visit.call.method {
        Method::Put => {
            let body: Value = visit.call.json()?;
            let (policy, _) = recovery.put_policy(vault, name, &body["properties"])?;
            shown(&policy)
        }
        Method::Delete => match recovery.delete_policy(vault, name) {
            Ok(()) => Ok(Answer::empty(200)),
            Err(error) if error.problem() == cofre_arm::Problem::NotFound => Ok(Answer::empty(204)),
            Err(error) => Err(error.into()),
        },
        _ => shown(&recovery.policy(vault, name)?),
    }
}
