//! `cofre job …`: what was begun, and how it ended.

use clap::{Args, Subcommand};
use cofre_recovery::job::Job;
use serde_json::json;

use crate::{
    Context,
    control::{
        outcome,
        selection::AnyVaultArgs,
        table::{instant, instant_or_dash, table},
    },
    exit::Exit,
    output::Done,
    report::{Report, Result},
};

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Lists jobs, the newest first
    List(ListArgs),
    /// Shows a job: its parts, what it has to say, why it failed
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    vault: AnyVaultArgs,
    /// At most this many
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: u16,
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

pub(crate) fn run(command: JobCommand, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    match command {
        JobCommand::List(args) => {
            let vault = args.vault.id(&home)?;
            let jobs = home.recovery.jobs(vault.as_ref(), usize::from(args.limit))?;
            Done::new(&json!({"jobs": jobs}), list(&jobs), Exit::Ok)
        }
        JobCommand::Show(args) => {
            let Some(id) = args.id.as_ref().or(args.name.as_ref()) else {
                return Err(Report::usage("no job is named").recommend("Give its id: `cofre job list`."));
            };
            args.vault.id(&home)?;
            let job = home.recovery.job(id)?;
            Done::new(&job, show(&job), Exit::Ok)
        }
    }
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
