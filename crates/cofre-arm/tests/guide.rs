//! `docs/errors.md` is made from the catalogue, and every row has a test that meets it.
//!
//! After a change of the catalogue: `COFRE_BLESS=1 cargo test -p cofre-arm --test guide`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, fmt::Write as _, fs, path::PathBuf};

use cofre_arm::{Problem, absent::ABSENT};

/// A test for each row: its file and name.
const RAISED: &[(Problem, &str, &str)] = &[
    (
        Problem::StorageFull,
        "crates/cofre-recovery/tests/service/notifications.rs",
        "without_room_no_backup_begins_while_points_are_kept_in_order_and_restored",
    ),
    (Problem::GroupNotFound, "crates/cofre-server/tests/service/recovery_vaults.rs", "what_is_no_vault"),
    (Problem::BekOnly, "crates/cofre/tests/e2e/control/refusals.rs", "machines_that_cannot_be_protected"),
    (
        Problem::KeyVaultNotFound,
        "crates/cofre/tests/e2e/control/story.rs",
        "keys_that_were_lost_come_back_from_a_recovery_point",
    ),
    (
        Problem::KeyOrSecretNotFound,
        "crates/cofre/tests/e2e/control/story.rs",
        "keys_that_were_lost_come_back_from_a_recovery_point",
    ),
    (
        Problem::CreateEncryptedVm,
        "crates/cofre/tests/e2e/control/refusals.rs",
        "what_cannot_be_made_of_an_encrypted_point",
    ),
    (
        Problem::KeyVaultPermissions,
        "crates/cofre/tests/e2e/control/elsewhere.rs",
        "a_machine_whose_keys_are_in_another_home",
    ),
    (
        Problem::ClassicEncryptedVm,
        "crates/cofre-recovery/tests/service/limits.rs",
        "more_than_is_allowed_is_refused",
    ),
    (
        Problem::RegionMismatch,
        "crates/cofre/tests/e2e/control/refusals.rs",
        "machines_that_cannot_be_protected",
    ),
    (
        Problem::AlreadyProtected,
        "crates/cofre/tests/e2e/control/refusals.rs",
        "machines_that_cannot_be_protected",
    ),
    (Problem::VmNotFound, "crates/cofre/tests/e2e/control/refusals.rs", "machines_that_cannot_be_protected"),
    (
        Problem::ProvisioningStateFailed,
        "crates/cofre-recovery/tests/service/limits.rs",
        "more_than_is_allowed_is_refused",
    ),
    (
        Problem::UnsupportedDisk,
        "crates/cofre-recovery/tests/service/limits.rs",
        "more_than_is_allowed_is_refused",
    ),
    (Problem::VmState, "crates/cofre/tests/e2e/control/refusals.rs", "machines_that_cannot_be_protected"),
    (Problem::VaultLimit, "crates/cofre-recovery/tests/service/limits.rs", "more_than_is_allowed_is_refused"),
    (
        Problem::PolicyItemLimit,
        "crates/cofre-recovery/tests/service/limits.rs",
        "the_policy_has_a_limit_of_its_own",
    ),
    (
        Problem::OperationInProgress,
        "crates/cofre/tests/e2e/control/faults.rs",
        "an_interrupted_backup_is_a_failed_job_and_the_next_one_goes_on",
    ),
    (
        Problem::KeyUrlNotVersioned,
        "crates/cofre/tests/e2e/control/refusals.rs",
        "machines_that_cannot_be_protected",
    ),
    (
        Problem::KeyVaultUnreachable,
        "crates/cofre/tests/e2e/control/elsewhere.rs",
        "a_machine_whose_keys_are_in_another_home",
    ),
    (
        Problem::KeyVersionNotFound,
        "crates/cofre/tests/e2e/control/refusals.rs",
        "machines_that_cannot_be_protected",
    ),
    (
        Problem::KeyVaultNameConflict,
        "crates/cofre/tests/e2e/control/keyvault.rs",
        "copies_open_in_the_same_subscription_alone",
    ),
    (
        Problem::KeyVaultBlobNotUsable,
        "crates/cofre/tests/e2e/control/keyvault.rs",
        "copies_open_in_the_same_subscription_alone",
    ),
    (
        Problem::StorageAccountOffline,
        "crates/cofre/tests/e2e/control/refusals.rs",
        "what_cannot_be_made_of_an_encrypted_point",
    ),
    (
        Problem::ReplaceDiskEncrypted,
        "crates/cofre/tests/e2e/control/refusals.rs",
        "what_cannot_be_made_of_an_encrypted_point",
    ),
    (
        Problem::FileRecoveryEncrypted,
        "crates/cofre-server/tests/service/backups.rs",
        "what_is_made_of_points",
    ),
    (
        Problem::TemplateNotAvailable,
        "crates/cofre-recovery/tests/outputs/template.rs",
        "without_the_disk_to_boot_from_there_is_none",
    ),
    (
        Problem::JobKindNotCancellable,
        "crates/cofre-recovery/tests/service/protection.rs",
        "a_removal_that_died_half_way_is_done_again_and_not_taken_back",
    ),
    (
        Problem::JobNotCancellable,
        "crates/cofre-recovery/tests/service/jobs.rs",
        "a_backup_is_cancelled_in_its_snapshot_and_not_in_its_transfer",
    ),
    (
        Problem::JobNotRunning,
        "crates/cofre/tests/e2e/control/jobs.rs",
        "what_waits_is_shown_cancelled_and_done",
    ),
    (
        Problem::TransferFailed,
        "crates/cofre/tests/e2e/control/faults.rs",
        "a_damaged_repository_fails_the_job_with_its_code",
    ),
    (
        Problem::JobInterrupted,
        "crates/cofre/tests/e2e/control/faults.rs",
        "an_interrupted_backup_is_a_failed_job_and_the_next_one_goes_on",
    ),
    (
        Problem::NotFound,
        "crates/cofre/tests/e2e/control/elsewhere.rs",
        "a_machine_whose_keys_are_in_another_home",
    ),
    (
        Problem::Conflict,
        "crates/cofre/tests/e2e/control/jobs.rs",
        "protection_is_stopped_deleted_and_taken_back",
    ),
    (
        Problem::InvalidParameter,
        "crates/cofre/tests/e2e/control/elsewhere.rs",
        "a_machine_whose_keys_are_in_another_home",
    ),
    (
        Problem::Forbidden,
        "crates/cofre/tests/e2e/control/keyvault.rs",
        "keys_and_secrets_have_versions_and_rules",
    ),
    (
        Problem::AuthorizationFailed,
        "crates/cofre-server/tests/service/backup_roles.rs",
        "every_role_has_its_rights_and_no_others",
    ),
    (Problem::Unauthenticated, "crates/cofre-server/tests/service/login.rs", "certificates"),
    (
        Problem::MethodNotAllowed,
        "crates/cofre-server/tests/service/bad_input/paths.rs",
        "paths_that_lead_elsewhere",
    ),
    (Problem::RequestTooLarge, "crates/cofre-server/tests/service/sockets.rs", "bodies_that_are_too_large"),
    (
        Problem::TooManyRequests,
        "crates/cofre-server/tests/service/login.rs",
        "failures_close_the_login_for_that_client_and_address_alone",
    ),
    (
        Problem::ImageOutsideRoots,
        "crates/cofre/tests/e2e/control/refusals.rs",
        "machines_and_names_that_cannot_be",
    ),
    (
        Problem::ImageUnavailable,
        "crates/cofre/tests/e2e/control/refusals.rs",
        "machines_and_names_that_cannot_be",
    ),
    (
        Problem::StateUnavailable,
        "crates/cofre/tests/e2e/control/keyvault.rs",
        "a_home_whose_keys_are_exposed_or_gone_says_so",
    ),
];

/// Rows that no test raises, and why.
const NOT_RAISED: &[(Problem, &str)] = &[
    (
        Problem::JobCancelFailed,
        "no test: the row of the job would have to change under each of several tries",
    ),
    (Problem::ServerBusy, "no test"),
    (Problem::InternalError, "no test: a defect is repaired where one is known"),
];

const HEAD: &str = "# Errors of the control plane

Every refusal and failure of vaults, machines, jobs and key vaults has a machine code. The commands print it with what
happened, what caused it and what to do next; jobs keep the same in their error details. The numbers are those of the
published tables that cofre follows. The codes of repository commands are in [cli.md](cli.md).

*Again* says whether trying once more, with nothing changed by hand, may help.

";

const TABLE_HEAD: &str = "| no. | code | status | meaning | what to do | again | raised by |
|---|---|---|---|---|---|---|
";

const ABSENT_HEAD: &str = "
## Rows that cannot arise

These stand in the published tables, and nothing here answers with them.

| no. | code there | meaning there | why not here |
|---|---|---|---|
";

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of a test.
fn body(file: &str, name: &str) -> String {
    let text = fs::read_to_string(workspace().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let start = text.find(&format!("fn {name}(")).unwrap_or_else(|| panic!("{file} has no test {name}"));
    assert!(text[..start].trim_end().ends_with(']'), "{name} in {file} is no test");
    let length = text[start..].find("\n}").unwrap_or(text.len() - start);
    text[start..start + length].to_owned()
}

fn guide() -> String {
    let mut guide = format!("{HEAD}{TABLE_HEAD}");
    for problem in Problem::ALL {
        let row = problem.row();
        let id = if row.id.is_empty() { "–" } else { row.id };
        let again = if row.transient { "yes" } else { "no" };
        let raised = match RAISED.iter().find(|(raised, ..)| raised == problem) {
            Some((_, _, name)) => format!("`{name}`"),
            None => NOT_RAISED.iter().find(|(known, _)| known == problem).unwrap().1.to_owned(),
        };
        let (code, status, meaning, action) = (row.code, row.status, row.meaning, row.action);
        writeln!(guide, "| {id} | `{code}` | {status} | {meaning} | {action} | {again} | {raised} |")
            .unwrap();
    }
    guide.push_str(ABSENT_HEAD);
    for row in ABSENT {
        let code = row.code.replace(", ", "`, `");
        writeln!(guide, "| {} | `{code}` | {} | {} |", row.id, row.meaning, row.reason).unwrap();
    }
    guide
}

#[test]
fn every_row_is_met_by_a_test_or_says_why_not() {
    for problem in Problem::ALL {
        let raised: Vec<_> = RAISED.iter().filter(|(raised, ..)| raised == problem).collect();
        let known = NOT_RAISED.iter().filter(|(known, _)| known == problem).count();
        assert_eq!(raised.len() + known, 1, "{problem:?}");
        for (_, file, name) in raised {
            let body = body(file, name);
            let (variant, code) = (format!("Problem::{problem:?}"), format!("\"{}\"", problem.row().code));
            let named = body.contains(&variant) || body.contains(&code);
            assert!(named, "{name} in {file} does not name {problem:?}");
        }
    }
}

#[test]
fn each_published_number_is_raised_or_absent() {
    let raised = Problem::ALL.iter().map(|problem| problem.row().id).filter(|id| !id.is_empty());
    let mut ids: Vec<_> = raised.chain(ABSENT.iter().map(|row| row.id)).collect();
    ids.sort_unstable();
    let published = (1..=8).chain(10..=19).chain(21..=27).chain(30..=44).chain(50..=73);
    assert_eq!(ids, published.map(|number| format!("E-{number:02}")).collect::<Vec<_>>());
}

#[test]
fn the_guide_is_what_the_catalogue_says() {
    let path = workspace().join("docs/errors.md");
    let guide = guide();
    if env::var_os("COFRE_BLESS").is_some() {
        fs::write(&path, &guide).unwrap();
    }
    let stored = fs::read_to_string(path).unwrap();
    assert!(stored == guide, "docs/errors.md is not what the catalogue says: COFRE_BLESS=1 makes it anew");
}
