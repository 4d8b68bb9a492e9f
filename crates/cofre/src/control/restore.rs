//! `cofre restore …`: disks out of a recovery point, keys back into a key vault.

use std::{fs::File, io::Read, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use cofre_arm::{ApiError, Problem};
use cofre_compute::OsType;
use cofre_recovery::{
    Recovery,
    job::{Job, Operation, RestoreRequest},
    keys_back::{Destination, KeysBack, Outcome, rewritten},
    outputs::{EncryptionFile, encryption},
    restore::{CONFIGURATION_FILE, ENCRYPTION_FILE, RecoveryType, TEMPLATE_FILE},
    storage_account::StorageAccount,
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    Context,
    control::{job, outcome, selection::ItemArgs, table::table},
    exit::Exit,
    home::{DEFAULT_STORAGE_ACCOUNT, Home, RemotePrincipal},
    output::Done,
    quantity,
    report::{Report, Result},
};

const DISKS: &str = "Writes a fixed VHD for each disk, config.json, azuredeploy.json and, for an encrypted machine, encryption.json
into a new container. encryption.json is sensitive: delete it when the keys are back. Exit code 3: the disks are
there, but no machine can start from them until the keys are back.

Examples:
  cofre restore disks --vault-name bv --item-name web
  cofre restore disks --vault-name bv --item-name web --rp-name 1795463293001 --to /restored";

const KEYS: &str =
    "Key and secret go back to where they were, or all to one key vault. What is there already is left alone.

Examples:
  cofre restore keys 0b1c2d3e-…            # the id of the restore job
  cofre restore keys --file encryption.json --vault kv-new
  cofre restore keys 0b1c2d3e-… --vault kv-new.vault.example --client-id GUID --secret-file operator.secret";

#[derive(Debug, Subcommand)]
pub(crate) enum RestoreCommand {
    /// Restores the disks of a recovery point, with what a machine is made from
    #[command(after_help = DISKS, alias = "restore-disks")]
    Disks(DisksArgs),
    /// Puts keys and secrets back into a key vault
    #[command(after_help = KEYS)]
    Keys(KeysArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DisksArgs {
    #[command(flatten)]
    item: ItemArgs,
    /// Number of the recovery point, or `latest`
    #[arg(long, short = 'r', value_name = "POINT", default_value = "latest")]
    rp_name: String,
    /// Storage account: a folder below `storage` of the home
    #[arg(long, value_name = "NAME", default_value = DEFAULT_STORAGE_ACCOUNT)]
    storage_account: String,
    /// An existing folder in place of a storage account
    #[arg(long, value_name = "DIR", conflicts_with = "storage_account")]
    to: Option<PathBuf>,
    /// What to make of the point
    #[arg(long, value_enum, default_value = "RestoreDisks")]
    restore_mode: Mode,
    /// Slot of a data disk to restore, may be repeated; the disk that the machine boots from always comes along
    /// [default: all disks]
    #[arg(long = "lun", value_name = "LUN", visible_alias = "diskslist", num_args = 1..)]
    luns: Vec<u32>,
    /// Resource group that the disks are for; it is noted in the job
    #[arg(long, short = 't', value_name = "GROUP")]
    target_resource_group: Option<String>,
    /// Do not wait: a worker restores the disks (`cofre serve`)
    #[arg(long, conflicts_with = "to")]
    no_wait: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Mode {
    /// Disks, and files to make a machine from
    RestoreDisks,
    /// A new machine
    AlternateLocation,
    /// The disks of the machine that is there
    OriginalLocation,
}

#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    /// The restore job that wrote the encryption file
    #[arg(value_name = "JOB", required_unless_present = "file")]
    job: Option<String>,
    /// The encryption file itself
    #[arg(long, value_name = "FILE", conflicts_with = "job")]
    file: Option<PathBuf>,
    /// The key vault that everything goes to: one of this home, or NAME.SUFFIX [default: each to the one it was in]
    #[arg(long, value_name = "NAME")]
    vault: Option<String>,
    /// For key vaults of other services: application id of who may restore keys there [default: who backs up]
    #[arg(long, value_name = "GUID", requires = "secret_file")]
    client_id: Option<String>,
    /// File with the secret of that application; nobody else may read it
    #[arg(long, value_name = "FILE", requires = "client_id")]
    secret_file: Option<PathBuf>,
    /// Name of the machine, for the secret's tags [default: that of the job]
    #[arg(long, value_name = "NAME")]
    machine: Option<String>,
    /// Let the machine that was backed up name the new places
    #[arg(long, requires = "job")]
    update_machine: bool,
}

pub(crate) fn run(command: RestoreCommand, context: &Context) -> Result<Done> {
    match command {
        RestoreCommand::Disks(args) => disks(&args, context),
        RestoreCommand::Keys(args) => keys(&args, context),
    }
}

fn disks(args: &DisksArgs, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    let item = args.item.item(&home)?;
    let account = match &args.to {
        // the folder's path stands for the account's name: `restore keys` finds it again
        Some(folder) => {
            let folder = std::path::absolute(folder)
                .map_err(|e| ApiError::invalid(format!("{} is no path", folder.display())).because(e))?;
            StorageAccount { name: folder.display().to_string(), folder }
        }
        None => home.storage_account(&args.storage_account)?,
    };
    let kind = match args.restore_mode {
        Mode::RestoreDisks => RecoveryType::RestoreDisks,
        Mode::AlternateLocation => RecoveryType::AlternateLocation,
        Mode::OriginalLocation => RecoveryType::OriginalLocation,
    };
    let request = RestoreRequest {
        point: args.rp_name.clone(),
        account: account.name.clone(),
        recovery_type: kind,
        luns: (!args.luns.is_empty()).then(|| args.luns.clone()),
        target_resource_group: args.target_resource_group.clone(),
    };
    if args.no_wait {
        return job::submitted(&home.recovery.submit_restore(&item.id, &request)?);
    }
    let (progress, cancel) = (&context.progress, &context.cancel);
    let finished = home.recovery.restore_here(&item.id, &request, &account, progress, cancel)?;
    let job = finished.job;
    let report = finished.result.map_err(|e| outcome::failure(e, &job))?;
    let (warnings, exit) = outcome::warn(&job, context);
    let mut files = vec![CONFIGURATION_FILE];
    files.extend(report.encrypted.then_some(ENCRYPTION_FILE));
    files.extend(report.template.then_some(TEMPLATE_FILE));
    let container = report.container.display().to_string();
    let mut text = format!(
        "The disks of {} are in {container}: {} written, all of it verified.\n  job {}\n",
        item.friendly_name,
        quantity::bytes(report.bytes_written),
        job.id
    );
    for disk in &report.disks {
        text.push_str(&format!("  {} ({})\n", disk.blob, quantity::bytes(disk.size)));
    }
    text.push_str(&format!("  {}\n", files.join("\n  ")));
    if report.encrypted {
        text.push_str(&format!("{ENCRYPTION_FILE} holds wrapped keys: delete it when they are back.\n"));
    }
    let json = json!({
        "job": job.id,
        "status": job.status,
        "container": container,
        "disks": report.disks.iter().map(|d| json!({"name": d.name, "lun": d.lun, "blob": d.blob, "uri": d.uri, "size": d.size})).collect::<Vec<_>>(),
        "files": files,
        "bytesWritten": report.bytes_written,
        "warnings": warnings,
    });
    Done::new(&json, text, exit)
}

/// The encryption file that a restore job wrote.
fn file_of(job: &Job, home: &Home) -> Result<PathBuf> {
    let property = |name: &str| job.property_bag.get(name).filter(|_| job.operation == Operation::Restore);
    let parts = (
        property("Target Storage Account Name"),
        property("Config Blob Container Name"),
        property("Encryption Info Blob Name"),
    );
    let (Some(account), Some(container), Some(file)) = parts else {
        let message = format!("job {} restored no disks of an encrypted machine", job.id);
        return Err(ApiError::new(Problem::NotFound, message)
            .recommend("Name a restore job (`cofre job list`), or the file with `--file`.")
            .into());
    };
    let folder =
        if account.starts_with('/') { PathBuf::from(account) } else { home.storage_account(account)?.folder };
    Ok(folder.join(container).join(file))
}

fn read(path: &PathBuf) -> Result<EncryptionFile> {
    let unreadable = |e: std::io::Error| {
        ApiError::new(Problem::NotFound, format!("cannot read {}", path.display()))
            .because(e)
            .recommend("Restore the disks again if the file is gone: `cofre restore disks`.")
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(encryption::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(Recovery::read_encryption_file(&bytes)?)
}

fn keys(args: &KeysArgs, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    let job = args.job.as_deref().map(|id| home.recovery.job(id)).transpose()?;
    let path = match (&args.file, &job) {
        (Some(file), _) => file.clone(),
        (None, Some(job)) => file_of(job, &home)?,
        (None, None) => return Err(Report::usage("neither a job nor a file is named")),
    };
    let file = read(&path)?;
    let item = job.as_ref().and_then(|j| j.item_id.as_ref()).map(|id| home.recovery.item(id)).transpose()?;
    let machine = item.as_ref().map(|i| home.recovery.machine(&i.source_resource_id));
    let os_type = machine.as_ref().and_then(|m| m.as_ref().ok()).map_or(OsType::Linux, |m| m.os_type);
    let name = args
        .machine
        .clone()
        .or_else(|| job.as_ref().map(|j| j.entity_friendly_name.clone()))
        .unwrap_or_default();
    let destination = args.vault.clone().map_or(Destination::Original, Destination::Vault);
    let elsewhere = args.client_id.clone().zip(args.secret_file.clone());
    let elsewhere = elsewhere.map(|(client_id, secret_file)| RemotePrincipal { client_id, secret_file });
    let target = home.operator_keys(elsewhere.as_ref());
    let back = home.recovery.put_keys_back(&file, &name, os_type, &destination, &target)?;
    if args.update_machine
        && let Some(machine) = machine
    {
        let machine = machine?;
        home.recovery.update_machine(&machine.id, |m| {
            *m = rewritten(m, &back)?;
            Ok(())
        })?;
    }
    let word = |outcome: Outcome| match outcome {
        Outcome::Restored => "restored",
        Outcome::AlreadyThere => "was there",
    };
    let json = json!({
        "keys": back.iter().map(|b| json!({
            "oldSecretUrl": b.moved.old_secret.to_string(),
            "oldKeyUrl": b.moved.old_key.to_string(),
            "secretUrl": b.moved.secret.to_string(),
            "secretVaultId": b.moved.secret_vault_id,
            "keyUrl": b.moved.key.to_string(),
            "keyVaultId": b.moved.key_vault_id,
            "key": word(b.key),
            "secret": word(b.secret),
        })).collect::<Vec<_>>(),
        "machineUpdated": args.update_machine,
    });
    let row = |b: &KeysBack| {
        [
            vec!["key".to_owned(), word(b.key).to_owned(), b.moved.key.to_string()],
            vec!["secret".to_owned(), word(b.secret).to_owned(), b.moved.secret.to_string()],
        ]
    };
    let rows: Vec<_> = back.iter().flat_map(row).collect();
    let mut text = table("The file holds no keys.", &["WHAT", "DONE", "URL"], &rows);
    if args.update_machine {
        text.push_str("The machine names these URLs now.\n");
    } else {
        text.push_str("Make the machine with these URLs, or let it name them: `cofre vm encryption set`.\n");
    }
    Done::new(&json, text, Exit::Ok)
}
