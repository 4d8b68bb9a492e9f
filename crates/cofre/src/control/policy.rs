//! `cofre policy …`: the backup policies of a vault.

use clap::{Args, Subcommand};
use cofre_recovery::policy::{DEFAULT_POLICY, Policy};
use serde_json::json;

use crate::{
    Context,
    control::{selection::VaultArgs, table::table},
    exit::Exit,
    output::Done,
    report::Result,
};

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Lists the policies of a vault
    List(VaultArgs),
    /// Shows a policy
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    vault: VaultArgs,
    /// Name of the policy
    #[arg(long, short = 'n', value_name = "POLICY", visible_alias = "policy-name", default_value = DEFAULT_POLICY)]
    name: String,
}

fn text(policies: &[Policy]) -> String {
    let row = |p: &Policy| {
        let kept = &p.properties.retention_policy.daily_schedule.retention_duration;
        let times = p.properties.schedule_policy.schedule_run_times.iter();
        let times: Vec<_> = times.map(|t| t.strftime("%H:%M").to_string()).collect();
        vec![
            p.id.name().to_owned(),
            p.properties.schedule_policy.schedule_run_frequency.clone(),
            format!("{} {}", times.join(", "), p.properties.time_zone),
            format!("{} {}", kept.count, kept.duration_type.to_lowercase()),
        ]
    };
    let rows: Vec<_> = policies.iter().map(row).collect();
    table("The vault has no policies.", &["NAME", "RUNS", "AT", "KEPT"], &rows)
}

pub(crate) fn run(command: PolicyCommand, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    match command {
        PolicyCommand::List(args) => {
            let vault = home.recovery.vault(&args.id(&home)?)?;
            let policies = home.recovery.policies(&vault.id)?;
            Done::new(&json!({"policies": policies}), text(&policies), Exit::Ok)
        }
        PolicyCommand::Show(args) => {
            let vault = home.recovery.vault(&args.vault.id(&home)?)?;
            let policy = home.recovery.policy(&vault.id, &args.name)?;
            Done::new(&policy, text(std::slice::from_ref(&policy)), Exit::Ok)
        }
    }
}
