//! The commands and their options: names, help and parsing in one place.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use cofre_disk::ImageFormat;
use cofre_repo::{config::ChunkSize, repository::PointSelector};
use jiff::SignedDuration;

use crate::{
    control::{
        audit, backup, host, init, job, keyvault, kit, notifications, policy, principal, protection,
        recoverypoint, restore, role, serve, vault, vm,
    },
    demo,
    disk_spec::{ChangedSpec, DiskSpec},
    examples,
    quantity::{parse_chunk_size, parse_duration},
    url::Location,
};

/// Backup of virtual machines with encrypted disks.
#[derive(Debug, Parser)]
#[command(name = "cofre", version, arg_required_else_help = true, after_help = examples::EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// How results are written to standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "human", global = true)]
    output: OutputFormat,
    /// The same as `--output json`: one JSON object on standard output
    #[arg(long, global = true)]
    json: bool,
    /// No progress on standard error; warnings and errors stay
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// The folder that holds the service's state [default: $COFRE_HOME, or `cofre` below the user's data]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) home: Option<PathBuf>,
}

impl Global {
    pub(crate) fn is_json(&self) -> bool {
        self.json || self.output == OutputFormat::Json
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// Tables and sentences
    Human,
    /// One JSON object
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plays the whole story on a disk made for it: backup, loss of the keys, restore, keys back
    #[command(after_help = demo::EXAMPLES)]
    Demo(demo::DemoArgs),
    /// Makes a home: the state of a backup service
    #[command(after_help = init::EXAMPLES)]
    Init(init::InitArgs),
    /// Runs the service: the resource contract and key vaults, over TLS
    #[command(after_help = serve::EXAMPLES)]
    Serve(serve::ServeArgs),
    /// Who may log in, and with what
    #[command(subcommand)]
    Principal(principal::PrincipalCommand),
    /// Which roles there are, and who has them
    #[command(subcommand)]
    Role(role::RoleCommand),
    /// What machines may use of this host
    #[command(subcommand)]
    Host(host::HostCommand),
    /// Keeps keys and secrets
    #[command(subcommand)]
    Keyvault(keyvault::KeyvaultCommand),
    /// The machines that are known, and their disks
    #[command(subcommand)]
    Vm(vm::VmCommand),
    /// Vaults, which protect machines
    #[command(subcommand)]
    Vault(vault::VaultCommand),
    /// Backup policies
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Puts machines under a vault's protection
    #[command(subcommand)]
    Protection(protection::ProtectionCommand),
    /// Protected machines
    #[command(subcommand)]
    Item(protection::ItemCommand),
    /// Makes recovery points
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Jobs: what was begun, and how it ended
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Recovery points of protected machines
    #[command(subcommand)]
    Recoverypoint(recoverypoint::RecoveryPointCommand),
    /// Brings disks and keys back
    #[command(subcommand)]
    Restore(restore::RestoreCommand),
    /// The recovery kit
    #[command(subcommand)]
    Kit(kit::KitCommand),
    /// What was done, and whether the record of it is whole
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Who is told when backups fail
    #[command(subcommand)]
    Notifications(notifications::NotificationsCommand),
    /// Works on a repository, with no server and no other state
    #[command(subcommand)]
    Repo(RepoCommand),
    /// Looks at disk images
    #[command(subcommand)]
    Disk(DiskCommand),
    /// Prints a completion script for a shell
    #[command(after_help = "Example:\n  cofre completions bash > /etc/bash_completion.d/cofre")]
    Completions(CompletionsArgs),
}

impl Command {
    /// Whether the command stores data, so that its progress tells new from known.
    pub(crate) fn stores(&self) -> bool {
        matches!(self, Self::Repo(RepoCommand::Ingest(_)) | Self::Backup(backup::BackupCommand::Now(_)))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum RepoCommand {
    /// Makes a repository
    #[command(after_help = examples::INIT)]
    Init(InitArgs),
    /// Backs up disks: makes a recovery point
    #[command(after_help = examples::INGEST)]
    Ingest(IngestArgs),
    /// Lists the recovery points
    #[command(after_help = examples::POINTS)]
    Points(PointsArgs),
    /// Brings a disk back
    #[command(after_help = examples::RESTORE)]
    Restore(RestoreArgs),
    /// Checks that every recovery point is whole
    #[command(after_help = examples::CHECK)]
    Check(CheckArgs),
    /// Deletes recovery points; `prune` frees their space
    #[command(after_help = examples::FORGET)]
    Forget(ForgetArgs),
    /// Frees the space of what no recovery point needs
    #[command(after_help = examples::PRUNE)]
    Prune(PruneArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DiskCommand {
    /// Says how a disk is encrypted; needs no key
    #[command(after_help = examples::INSPECT)]
    Inspect(InspectArgs),
    /// Says whether a key opens an encrypted disk
    #[command(after_help = examples::PROVE)]
    Prove(ProveArgs),
}

/// Where the repository is and what opens it.
#[derive(Debug, Args)]
pub(crate) struct RepoArgs {
    /// The repository: a directory, or `file:///…`
    #[arg(value_name = "URL")]
    pub(crate) url: Location,
    /// File with the repository's secret; white space around it does not count
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Size of chunks: a power of two from 16K to 4M
    #[arg(long, value_name = "SIZE", default_value = "64K", value_parser = parse_chunk_size)]
    pub(crate) chunk_size: ChunkSize,
}

#[derive(Debug, Args)]
pub(crate) struct IngestArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Name of the virtual machine
    #[arg(long, value_name = "VM")]
    pub(crate) name: String,
    /// A disk and its image; the format is raw, or qcow2 for a path that ends in `.qcow2`
    #[arg(long = "disk", value_name = "NAME=PATH[,format=raw|qcow2|vhd]", required = true)]
    pub(crate) disks: Vec<DiskSpec>,
    /// The point to compare with: `latest` of this machine, `none`, or a point
    #[arg(long, value_name = "latest|none|POINT", default_value = "latest", value_parser = parse_parent)]
    pub(crate) parent: Parent,
    /// The ranges of a disk that changed since the parent, as JSON: only those are read
    #[arg(long = "changed", value_name = "NAME=FILE")]
    pub(crate) changed: Vec<ChangedSpec>,
    /// A tag of the point's; may be given several times
    #[arg(long = "tag", value_name = "TEXT")]
    pub(crate) tags: Vec<String>,
}

/// The point a backup is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    Latest,
    None,
    Point(PointSelector),
}

fn parse_parent(text: &str) -> Result<Parent, String> {
    match text {
        "latest" => Ok(Parent::Latest),
        "none" => Ok(Parent::None),
        point => parse_point(point).map(Parent::Point),
    }
}

fn parse_point(text: &str) -> Result<PointSelector, String> {
    text.parse().map_err(|e: cofre_repo::RepoError| format!("{e}. {}", e.recommendation()))
}

#[derive(Debug, Args)]
pub(crate) struct PointsArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Only those of this virtual machine
    #[arg(long, value_name = "VM")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// The point: `latest`, `tag:TEXT`, an id or its first 8 hex digits or more
    #[arg(value_name = "POINT", value_parser = parse_point)]
    pub(crate) point: PointSelector,
    /// Name of the virtual machine, where several share the repository
    #[arg(long, value_name = "VM")]
    pub(crate) name: Option<String>,
    /// Name of the disk
    #[arg(long, value_name = "NAME")]
    pub(crate) disk: String,
    /// The file to write; it is called PATH.partial until all of it is verified
    #[arg(long, value_name = "PATH")]
    pub(crate) to: PathBuf,
    /// Format of the file
    #[arg(long, value_enum, default_value = "raw")]
    pub(crate) format: RestoreFormat,
    /// Replace an existing file
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RestoreFormat {
    /// The bytes of the disk and nothing else
    Raw,
    /// Fixed VHD, as Azure takes it: the bytes of the disk and a footer
    Vhd,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Decrypt and verify every chunk as well
    #[arg(long)]
    pub(crate) read_data: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// The points: `latest`, `tag:TEXT` (which must fit one point), ids or their first 8 hex digits
    #[arg(value_name = "POINT", required = true, value_parser = parse_point)]
    pub(crate) points: Vec<PointSelector>,
    /// Name of the virtual machine, where several share the repository
    #[arg(long, value_name = "VM")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// How long packs wait after they were marked: 0s, 90m, 24h, 7d …
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    pub(crate) grace: SignedDuration,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The image, or a detached header
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// Format of the image: raw, qcow2 or vhd [default: raw, or qcow2 for a path that ends in `.qcow2`]
    #[arg(long)]
    pub(crate) format: Option<ImageFormat>,
}

#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// The image of the encrypted disk
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// File with the key or passphrase, taken byte for byte: a newline at its end counts
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: PathBuf,
    /// File with the detached header, where the disk has none of its own
    #[arg(long, value_name = "FILE")]
    pub(crate) header: Option<PathBuf>,
    /// Format of the image: raw, qcow2 or vhd [default: raw, or qcow2 for a path that ends in `.qcow2`]
    #[arg(long)]
    pub(crate) format: Option<ImageFormat>,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_sound_and_the_guide_names_them() {
        let command = Cli::command();
        command.clone().debug_assert();
        let guide = include_str!("../../../docs/cli.md");
        let mut commands: Vec<_> = command.get_subcommands().map(|c| (vec![c.get_name()], c)).collect();
        while let Some((path, command)) = commands.pop() {
            let below = command.get_subcommands().filter(|c| !c.is_hide_set());
            commands.extend(below.map(|c| ([path.as_slice(), &[c.get_name()]].concat(), c)));
            if command.has_subcommands() || path.len() < 2 {
                continue;
            }
            let heading = format!("### cofre {}\n", path.join(" "));
            let section =
                guide.split_once(&heading).map(|(_, rest)| rest.split("\n###").next().unwrap_or(rest));
            let section = section.unwrap_or_else(|| panic!("docs/cli.md lacks {heading}"));
            let shown = command.get_arguments().filter(|a| !a.is_hide_set());
            for option in shown.filter_map(clap::Arg::get_long).filter(|o| *o != "help") {
                let written = section.contains(&format!("--{option}")) || path[0] == "repo";
                assert!(written, "docs/cli.md, {heading} lacks --{option}");
            }
        }
    }

    #[test]
    fn the_place_comes_first_then_the_points() {
        let cli = Cli::try_parse_from(
            "cofre repo forget /r 0123abcd latest tag:a=b --secret-file s --json".split(' '),
        )
        .unwrap();
        assert!(cli.global.is_json());
        let Command::Repo(RepoCommand::Forget(args)) = cli.command else { panic!("forget") };
        assert_eq!(
            args.points,
            [PointSelector::Id("0123abcd".into()), PointSelector::Latest, PointSelector::Tag("a=b".into())]
        );
        assert!(Cli::try_parse_from("cofre repo forget /r --secret-file s".split(' ')).is_err());
        assert!(Cli::try_parse_from("cofre repo forget /r 0123 --secret-file s".split(' ')).is_err());
    }
}
