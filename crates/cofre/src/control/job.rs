//! `cofre job …`: what was begun, and how it ended.

use std::{
    thread,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use cofre_recovery::job::{Job, JobQuery, JobStatus, Operation};
use cofre_repo::progress::Progress as _;
use jiff::SignedDuration;
use serde_json::json;

use crate::{
    Context,
    control::{
        outcome,
        selection::AnyVaultArgs,
        table::{instant, instant_or_dash, table},
    },
    exit::Exit,
    home::Home,
    output::Done,
    quantity::{self, parse_duration},
    report::{Report, Result},
};

/// How often a job that runs elsewhere is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const WAIT: &str = "Exit codes: 0 the job is done, 3 done with warnings, 1 it failed or the time was over, 130 it was cancelled.";

const STOP: &str = "A job that waits ends at once, one that runs within seconds. A backup that moves data already, and jobs other than
backups and restores, cannot be cancelled.

Example:
  cofre job stop 0b1c2d3e-…";

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Lists jobs, the newest first
    List(ListArgs),
    /// Shows a job: its parts, what it has to say, why it failed
    Show(ShowArgs),
    /// Shows how far a job is until it is over
    #[command(after_help = WAIT)]
    Watch(WaitArgs),
    /// Waits until a job is over
    #[command(after_help = WAIT)]
    Wait(WaitArgs),
    /// Asks a job to stop
    #[command(after_help = STOP, visible_alias = "cancel")]
    Stop(ShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    vault: AnyVaultArgs,
    /// At most this many
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: u16,
    /// Only jobs that do this: Backup, Restore, ConfigureBackup, DisableBackup, DeleteBackupData or Undelete
    #[arg(long, value_name = "OPERATION", value_parser = parse_operation)]
    operation: Option<Operation>,
    /// Only jobs that stand so: InProgress, Completed, CompletedWithWarnings, Failed, Cancelling or Cancelled
    #[arg(long, value_name = "STATUS", value_parser = parse_status)]
    status: Option<JobStatus>,
}

fn parse_operation(text: &str) -> std::result::Result<Operation, String> {
    let found = Operation::ALL.iter().find(|o| o.name().eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| format!("{text:?} is nothing that jobs do"))
}

fn parse_status(text: &str) -> std::result::Result<JobStatus, String> {
    let found = JobStatus::ALL.iter().find(|s| s.name().eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| format!("{text:?} is nothing that jobs are"))
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    job: ShowArgs,
    /// Wait no longer than so: seconds, or 90m, 12h [default: until it is over]
    #[arg(long, value_name = "TIME", value_parser = parse_timeout)]
    timeout: Option<SignedDuration>,
}

fn parse_timeout(text: &str) -> std::result::Result<SignedDuration, String> {
    text.parse().map(SignedDuration::from_secs).or_else(|_| parse_duration(text))
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The job's id
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// The job's id, as `az` takes it
    #[arg(long, short = 'n', value_name = "ID", conflicts_with = "id")]
    name: Option<String>,
    #[command(flatten)]
    vault: AnyVaultArgs,
}

impl ShowArgs {
    fn id(&self, home: &Home) -> Result<&str> {
        let Some(id) = self.id.as_ref().or(self.name.as_ref()) else {
            return Err(Report::usage("no job is named").recommend("Give its id: `cofre job list`."));
        };
        self.vault.id(home)?;
        Ok(id)
    }
}

pub(crate) fn run(command: JobCommand, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    match command {
        JobCommand::List(args) => {
            let query = JobQuery {
                vault: args.vault.id(&home)?,
                operation: args.operation,
                status: args.status,
                ..JobQuery::default()
            };
            let jobs = home.recovery.jobs_page(&query, None, usize::from(args.limit))?.jobs;
            Done::new(&json!({"jobs": jobs}), list(&jobs), Exit::Ok)
        }
        JobCommand::Show(args) => {
            let job = home.recovery.job(args.id(&home)?)?;
            Done::new(&job, show(&job), Exit::Ok)
        }
        JobCommand::Watch(args) => wait(&args, &home, context, true),
        JobCommand::Wait(args) => wait(&args, &home, context, false),
        JobCommand::Stop(args) => {
            let job = home.recovery.cancel_job(args.id(&home)?)?;
            // one that waits for its next attempt is cleared up here, there may be no worker
            let job = home.recovery.run_queued(&job.id, &context.progress, &context.cancel)?;
            Done::new(&job, show(&job), Exit::Ok)
        }
    }
}

/// How a command ends that waited for a job.
pub(crate) fn exit(job: &Job) -> Exit {
    match job.status {
        JobStatus::CompletedWithWarnings => Exit::Warnings,
        JobStatus::Failed => Exit::Failed,
        JobStatus::Cancelled => Exit::Interrupted,
        JobStatus::Completed | JobStatus::InProgress | JobStatus::Cancelling => Exit::Ok,
    }
}

fn wait(args: &WaitArgs, home: &Home, context: &Context, aloud: bool) -> Result<Done> {
    let id = args.job.id(home)?;
    let until = args
        .timeout
        .and_then(|timeout| Duration::try_from(timeout).ok())
        .and_then(|timeout| Instant::now().checked_add(timeout));
    let mut shown: Option<u64> = None;
    loop {
        let job = home.recovery.job(id)?;
        if let Some(progress) = job.progress.filter(|_| aloud) {
            let before = shown.unwrap_or_else(|| {
                context.progress.begin(job.operation.name(), progress.bytes_total);
                0
            });
            // an attempt that begins anew has done less
            context.progress.advance(progress.bytes_done.saturating_sub(before), 0);
            shown = Some(progress.bytes_done.max(before));
        }
        if job.status.is_over() {
            if shown.is_some() {
                context.progress.end();
            }
            return Done::new(&job, show(&job), exit(&job));
        }
        context.cancel.check()?;
        if until.is_some_and(|until| Instant::now() >= until) {
            return Err(Report {
                code: "Timeout",
                exit: Exit::Failed,
                message: format!("job {id} is not over yet"),
                causes: Vec::new(),
                recommendations: vec![format!("It goes on: `cofre job wait {id}` waits again.")],
            });
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// What is said of a job that somebody else runs.
pub(crate) fn submitted(job: &Job) -> Result<Done> {
    let text = format!(
        "The job waits for a worker (`cofre serve`); watch it with `cofre job watch {0}`.\n  job {0}\n",
        job.id
    );
    Done::new(&json!({"job": job.id, "status": job.status}), text, Exit::Ok)
}

fn list(jobs: &[Job]) -> String {
    let row = |j: &Job| {
        vec![
            j.id.clone(),
            j.operation.name().to_owned(),
            j.entity_friendly_name.clone(),
            j.status.name().to_owned(),
            instant(j.start_time),
            instant_or_dash(j.end_time),
        ]
    };
    let rows: Vec<_> = jobs.iter().map(row).collect();
    table("There are no jobs.", &["JOB", "OPERATION", "MACHINE", "STATUS", "BEGAN", "ENDED"], &rows)
}

fn show(job: &Job) -> String {
    let mut text = format!(
        "{} of {}: {}\n  job {}\n  began {}, ended {}\n",
        job.operation.name(),
        job.entity_friendly_name,
        job.status.name(),
        job.id,
        instant(job.start_time),
        instant_or_dash(job.end_time)
    );
    for task in &job.tasks {
        text.push_str(&format!(
            "  task {}: {:?}, began {}, ended {}\n",
            task.task_id,
            task.status,
            instant_or_dash(task.start_time),
            instant_or_dash(task.end_time)
        ));
    }
    if let Some(progress) = &job.progress {
        text.push_str(&format!(
            "  {} of {} dealt with ({} %), {}/s\n",
            quantity::bytes(progress.bytes_done),
            quantity::bytes(progress.bytes_total),
            progress.percent(),
            quantity::bytes(progress.bytes_per_second)
        ));
    }
    for attempt in &job.attempts {
        text.push_str(&format!(
            "  tried until {}, and again from {}: {}\n",
            instant(attempt.failed),
            instant(attempt.again),
            outcome::in_words(&attempt.error)
        ));
    }
    if job.take_overs > 0 {
        let times = quantity::count(job.take_overs.into(), "time");
        text.push_str(&format!("  taken over {times} from a process that died or fell silent\n"));
    }
    for (name, value) in &job.property_bag {
        text.push_str(&format!("  {name}: {value}\n"));
    }
    for detail in &job.error_details {
        text.push_str(&format!("  {}\n", outcome::in_words(detail)));
        for object in &detail.details {
            text.push_str(&format!("    {}", object.resource_id));
            if !object.missing_permissions.is_empty() {
                text.push_str(&format!(": lacks {}", object.missing_permissions.join(", ")));
            }
            text.push('\n');
        }
    }
    text
}
