//! `cofre demo`: the whole story on a real disk, with the code that the product runs.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::Args;
use cofre_arm::{ApiError, Problem, ResourceId};
use cofre_compute::OsType;
use cofre_keyvault::{AccessTemplate, Principal};
use cofre_recovery::{
    Recovery,
    backup::BackupReport,
    job::{Job, JobStatus},
    key_source::ProofState,
    key_vault_error,
    keys_back::Destination,
    policy::DEFAULT_POLICY,
    restore::{ENCRYPTION_FILE, RecoveryType, RestoreReport},
    trust::Kit,
    vault::Redundancy,
};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    disk, failed,
    listing::Listing,
    narrator::Narrator,
    search::search,
    stage::{
        KEY, KEY_VAULT, MACHINE, NEW_KEY_VAULT, SECRET, Stage, VAULT, compare_bytes, compare_files, files_of,
        finished, refusal, source_files,
    },
    tree::Tree,
};
use crate::{
    Context,
    exit::Exit,
    home::{DEFAULT_GROUP, DEFAULT_STORAGE_ACCOUNT, WrappedDiskKey},
    output::Done,
    quantity::{self, bytes},
    report::Result,
};

pub(crate) const EXAMPLES: &str = "Needs mkfs.ext4 and debugfs (Debian package e2fsprogs), no root, no network. Everything lies in a temporary
folder that is deleted at the end. Exit code 1: a comparison failed.

Example:
  cofre demo";

/// Smallest disk that the files of the story fit on.
const SMALLEST: u64 = 64 << 20;
/// Files of the story: any number gives some, the same number the same.
const SEED: u64 = 2017;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Size of the machine's disk, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 96, value_parser = clap::value_parser!(u32).range(64..=65536))]
    size: u32,
    /// Work in this new folder and leave it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Plays the story; with `aloud` it is told while it happens.
pub(crate) fn run(args: &DemoArgs, context: &Context, aloud: bool) -> Result<Done> {
    let size = (u64::from(args.size) << 20).max(SMALLEST);
    let temporary;
    let folder: &Path = match &args.keep {
        Some(folder) => {
            std::fs::create_dir(folder)
                .map_err(|e| ApiError::invalid(format!("cannot make {}", folder.display())).because(e))?;
            folder
        }
        None => {
            temporary = tempfile::Builder::new()
                .prefix("cofre-demo.")
                .tempdir()
                .map_err(|e| failed("cannot make a temporary folder", e))?;
            temporary.path()
        }
    };
    let folder = folder.canonicalize().map_err(|e| failed("cannot find the folder", e))?;
    let mut narrator = Narrator::new(aloud);
    Story { narrator: &mut narrator, context }.play(&folder, size)?;
    let (json, took): (Value, u64) = narrator.end();
    let kept = args.keep.as_ref().map_or(String::new(), |f| format!(" All of it is in {}.", f.display()));
    let text = format!("\nDone in {}: every comparison held.{kept}\n", quantity::milliseconds(took));
    Done::new(&json, text, Exit::Ok)
}

struct Story<'a> {
    narrator: &'a mut Narrator,
    context: &'a Context,
}

impl Story<'_> {
    fn step(&mut self, title: &str) -> Result<()> {
        self.context.cancel.check()?;
        self.narrator.step(title);
        Ok(())
    }

    fn say(&mut self, line: impl Into<String>) {
        self.narrator.say(line);
    }

    fn say_refused(&mut self, error: &ApiError) {
        self.say(format!("refused: {} ({})", error, error.problem().row().id));
        self.say(format!("code:    {}", error.code()));
        self.say(format!("try:     {}", error.recommendation()));
    }

    fn play(&mut self, folder: &Path, size: u64) -> Result<()> {
        self.step("A home, and a key vault that holds a machine's disk key, wrapped")?;
        let stage = Stage::new(folder, self.context)?;
        self.say("home made, with a recovery kit beside it");
        stage.make_key_vault(KEY_VAULT)?;
        let keys = stage.make_keys()?;
        self.say(format!("key     {}", keys.key));
        self.say(format!("secret  {}", keys.secret));
        self.say(format!(
            "The secret is the disk key ({} bytes) wrapped by the key (RSA-OAEP).",
            stage.disk_key.len()
        ));

        self.step("A machine's disk: LUKS2, with ext4 and files on it")?;
        let tree = Tree::first_day(SEED);
        let written = disk::create(&stage.image, size, &stage.disk_key, "web1", &tree)?;
        let first_day = source_files(&stage)?;
        let files = first_day.entries().count();
        self.say(format!("{}, {} written, {files} files and links", bytes(size), bytes(written.bytes)));

        self.step("A vault with its policy. A machine with a disk key that no key wraps is refused")?;
        let recovery = &stage.home.recovery;
        let vault = recovery.create_vault(DEFAULT_GROUP, VAULT, "local", Redundancy::LocallyRedundant)?.id;
        self.say(format!("vault {VAULT}, {DEFAULT_POLICY}: daily at 17:00 UTC, points kept 30 days"));
        let machine = stage.machine(MACHINE, &keys, true)?;
        recovery.register_machine(&machine)?;
        let bek_only = stage.machine("bek-only", &keys, false)?;
        recovery.register_machine(&bek_only)?;
        let enable = |id: &ResourceId| recovery.enable_protection(&vault, id, DEFAULT_POLICY);
        self.say_refused(&refusal("a machine with BEK only", enable(&bek_only.id), Problem::BekOnly)?);

        self.step("The right machine is refused too, until the backup service may read the key vault")?;
        let error = refusal("a machine without access", enable(&machine.id), Problem::KeyVaultPermissions)?;
        self.say_refused(&error);

        self.step("Access is granted by the template Azure Backup: get, list, backup; never unwrap")?;
        let principal = Principal::from(&stage.backup_service());
        stage
            .home
            .key_vaults
            .set_access_policy(
                &stage.home.operator(),
                KEY_VAULT,
                &AccessTemplate::AzureBackup.policy(principal),
            )
            .map_err(key_vault_error)?;
        let (_, item) = finished(enable(&machine.id))?;
        self.say(format!("{} is protected: {:?}", item.friendly_name, item.protection_state));

        self.step("The first backup")?;
        let first = self.backup(recovery, &item.id)?;

        self.step("The next day: some files change, and only that is sent")?;
        let changed = disk::change(&stage.image, &stage.disk_key, &tree.second_day(SEED))?;
        let second_day = source_files(&stage)?;
        let different = second_day.differences(&first_day).len();
        self.say(format!(
            "{different} files changed, {} of the disk in {} chunks",
            bytes(changed.bytes),
            changed.chunks
        ));
        let second = self.backup(recovery, &item.id)?;
        let (before, now) = (first.transfer.repository_bytes_added, second.transfer.repository_bytes_added);
        self.say(format!("{:.1} % of the first backup", 100.0 * ratio(now, before)));

        self.step("Nothing in the home opens the disk")?;
        self.look_for_secrets(&stage)?;

        self.step("Key and secret are deleted and purged in the key vault. The disks still come back, and the job says what is missing")?;
        let operator = stage.home.operator();
        let key_vaults = &stage.home.key_vaults;
        key_vaults.delete_secret(&operator, KEY_VAULT, SECRET).map_err(key_vault_error)?;
        key_vaults.purge_secret(&operator, KEY_VAULT, SECRET).map_err(key_vault_error)?;
        key_vaults.delete_key(&operator, KEY_VAULT, KEY).map_err(key_vault_error)?;
        key_vaults.purge_key(&operator, KEY_VAULT, KEY).map_err(key_vault_error)?;
        let (job, restored) = self.restore(&stage, &item.id, &second.point.name)?;
        expect_warning(&job, Problem::KeyOrSecretNotFound)?;

        self.step(
            "The key vault goes too. Key and secret go into a new one, from the restored encryption file",
        )?;
        key_vaults.delete_vault(&operator, KEY_VAULT).map_err(key_vault_error)?;
        key_vaults.purge_vault(&operator, KEY_VAULT).map_err(key_vault_error)?;
        stage.make_key_vault(NEW_KEY_VAULT)?;
        let back = self.keys_back(&stage, &restored.container.join(ENCRYPTION_FILE))?;

        self.step("The restored disk, opened with the restored key")?;
        self.compare(&stage, &restored, &back, &second_day)?;
        let bytes_compared = compare_bytes(&stage.image, &restored.container.join("os.vhd"))?;
        self.say(format!("all {} of the disk are those of the source", bytes(bytes_compared)));

        self.step("The first day comes back as well")?;
        let (job, restored) = self.restore(&stage, &item.id, &first.point.name)?;
        expect_warning(&job, Problem::KeyVaultNotFound)?;
        self.compare(&stage, &restored, &back, &first_day)?;

        self.step("The recovery kit opens the repository without this home's keys")?;
        let kit = Kit::read(&folder.join("recovery-kit.json"))?;
        let checks = recovery.check_kit(&kit)?;
        if checks.is_empty() {
            return Err(failed("the kit found nothing to open", "there is no repository"));
        }
        for check in checks {
            check.outcome?;
            self.say(format!(
                "envelope of repository {} opened: its secret is the one in use",
                check.repository
            ));
        }
        Ok(())
    }

    fn backup(&mut self, recovery: &Recovery, item: &ResourceId) -> Result<BackupReport> {
        let (job, report) =
            finished(recovery.backup(item, None, &self.context.progress, &self.context.cancel))?;
        for disk in &report.transfer.disks {
            let (read, stored) = (bytes(disk.bytes_read), bytes(disk.bytes_stored));
            self.say(format!(
                "disk {}: {read} read, {} new chunks, {stored} stored",
                disk.name, disk.chunks_new
            ));
        }
        self.say(format!(
            "recovery point {}; the repository grew by {}; job {:?}",
            report.point.name,
            bytes(report.transfer.repository_bytes_added),
            job.status
        ));
        for disk in &report.point.disks {
            if disk.keys != ProofState::Proven {
                return Err(failed(
                    format!("the keys of disk {} are not proven", disk.name),
                    disk.keys.word(),
                ));
            }
            self.say(format!("disk {}: proven, the captured secret and key open this header", disk.name));
        }
        Ok(report)
    }

    fn look_for_secrets(&mut self, stage: &Stage) -> Result<()> {
        let patterns = stage.secrets()?;
        let found =
            search(stage.home.layout.root(), &patterns).map_err(|e| failed("cannot search the home", e))?;
        if found.hits > 0 {
            return Err(failed(
                "a key of the disk lies in the home in plain",
                format!("{} times", found.hits),
            ));
        }
        self.say(format!(
            "searched {} in {} files for disk key and volume key, as bytes, hex digits and base64: not there",
            bytes(found.bytes),
            found.files
        ));
        let service = stage.backup_service().object_id;
        let mut did = BTreeSet::new();
        let mut from = 1;
        loop {
            let page = stage.home.store.events("keyvault", from, 500)?;
            let Some(last) = page.last() else { break };
            from = last.sequence + 1;
            for event in &page {
                let event: cofre_keyvault::AuditEvent =
                    serde_json::from_slice(&event.body).map_err(|e| failed("the audit cannot be read", e))?;
                if event.caller == service {
                    let operation = serde_json::to_value(event.operation).ok();
                    did.extend(operation.and_then(|o| o.as_str().map(str::to_owned)));
                }
            }
        }
        let did: Vec<_> = did.into_iter().collect();
        if did.iter().any(|o| !["get", "list", "backup", "prove"].contains(&o.as_str())) {
            return Err(failed("the backup service did more than read", did.join(", ")));
        }
        self.say(format!(
            "all that the backup service did in the key vault, by its audit: {}",
            did.join(", ")
        ));
        Ok(())
    }

    fn restore(&mut self, stage: &Stage, item: &ResourceId, point: &str) -> Result<(Job, RestoreReport)> {
        let account = stage.home.storage_account(DEFAULT_STORAGE_ACCOUNT)?;
        let (progress, cancel) = (&self.context.progress, &self.context.cancel);
        let kind = RecoveryType::RestoreDisks;
        let (job, report) =
            finished(stage.home.recovery.restore_disks(item, point, &account, kind, progress, cancel))?;
        let mut files: Vec<_> = std::fs::read_dir(&report.container)
            .and_then(|entries| entries.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect())
            .map_err(|e| failed("cannot list the container", e))?;
        files.sort();
        self.say(format!("point {point}: {} written; {}", bytes(report.bytes_written), files.join(", ")));
        self.say(format!("job {:?}", job.status));
        for detail in &job.error_details {
            self.say(format!("warning: {}", detail.message));
            self.say(format!("code:    {}", detail.code));
            self.say(format!("try:     {}", detail.recommendations.join(" ")));
        }
        Ok((job, report))
    }

    fn keys_back(&mut self, stage: &Stage, file: &Path) -> Result<WrappedDiskKey> {
        let file = std::fs::read(file).map_err(|e| failed("cannot read the encryption file", e))?;
        let file = Recovery::read_encryption_file(&Zeroizing::new(file))?;
        let destination = Destination::Vault(NEW_KEY_VAULT.to_owned());
        let target = stage.home.operator_keys();
        let back = stage.home.recovery.put_keys_back(&file, MACHINE, OsType::Linux, &destination, &target)?;
        let Some(first) = back.first() else {
            return Err(failed("no keys came back", "the encryption file holds none"));
        };
        for keys in &back {
            self.say(format!("key     {} -> {}", keys.moved.old_key, keys.moved.key));
            self.say(format!("secret  {} -> {}", keys.moved.old_secret, keys.moved.secret));
        }
        Ok(WrappedDiskKey { secret: first.moved.secret.clone(), key: first.moved.key.clone() })
    }

    fn compare(
        &mut self,
        stage: &Stage,
        restored: &RestoreReport,
        keys: &WrappedDiskKey,
        expected: &Listing,
    ) -> Result<()> {
        let disk_key = stage.home.unwrap_disk_key(keys)?;
        let vhd = restored.container.join("os.vhd");
        sabotage(&vhd)?;
        let files = compare_files(&files_of(&vhd, &disk_key)?, expected)?;
        self.say(format!(
            "unwrapped through {}, opened, {files} files and links compared: equal",
            keys.key.vault
        ));
        Ok(())
    }
}

fn expect_warning(job: &Job, problem: Problem) -> Result<()> {
    let warned = job.error_details.iter().any(|d| d.code == problem.row().code);
    if job.status == JobStatus::CompletedWithWarnings && warned {
        return Ok(());
    }
    Err(failed("the job did not say what is missing", format!("{:?}", job.status)))
}

#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// For a test that comparisons can fail: flips a byte of the restored disk where the environment asks
/// for it. Not in a release.
#[cfg(feature = "failpoints")]
fn sabotage(vhd: &Path) -> Result<()> {
    use std::os::unix::fs::FileExt as _;
    if std::env::var_os("COFRE_DEMO_SABOTAGE").is_none() {
        return Ok(());
    }
    let flip = || {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(vhd)?;
        // in the last group of blocks that holds file data, whatever that is: every block there is
        let mut byte = [0];
        for at in (16 << 20..file.metadata()?.len() - 512).step_by(4096) {
            file.read_exact_at(&mut byte, at)?;
            byte[0] ^= 1;
            file.write_all_at(&byte, at)?;
        }
        Ok(())
    };
    flip().map_err(|e: std::io::Error| failed("cannot change the restored disk", e))
}

#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unnecessary_wraps, reason = "the other body can fail")]
fn sabotage(_: &Path) -> Result<()> {
    Ok(())
}
