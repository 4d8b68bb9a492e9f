//! `cofre role …`: as `az role`.

use clap::{Args, Subcommand};
use cofre_arm::{RoleDefinition, roles::BUILT_IN};
use cofre_server::directory::{Assignment, Directory, NewAssignment};
use serde_json::{Value, json};

use super::table::table;
use crate::{Context, exit::Exit, home::operator_actor, output::Done, report::Result};

#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// The roles there are
    #[command(subcommand)]
    Definition(DefinitionCommand),
    /// Who has which role where
    #[command(subcommand)]
    Assignment(AssignmentCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DefinitionCommand {
    /// Lists the roles and what they are for
    List,
    /// Shows what a role allows
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Name or id of the role
    #[arg(long, short = 'n', value_name = "ROLE")]
    name: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AssignmentCommand {
    /// Gives a principal a role at a scope
    #[command(after_help = "Example:
  cofre role assignment create --assignee night-shift --role \"Backup Operator\"
  cofre role assignment create --assignee audit --role Reader --scope /subscriptions/S/resourceGroups/default")]
    Create(AssignArgs),
    /// Lists who has which role where
    List(ListArgs),
    /// Takes a role away
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AssignArgs {
    /// Name, application id or object id of the principal
    #[arg(long, value_name = "PRINCIPAL")]
    assignee: String,
    /// Name or id of the role
    #[arg(long, value_name = "ROLE")]
    role: String,
    /// Where it counts: a subscription, resource group or resource [default: the subscription]
    #[arg(long, value_name = "ID")]
    scope: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Of this principal alone
    #[arg(long, value_name = "PRINCIPAL")]
    assignee: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Id of the assignment, as the list shows it
    #[arg(long, value_name = "ID")]
    id: String,
}

fn definition(role: &RoleDefinition) -> Value {
    json!({
        "id": role.id, "name": role.name, "description": role.description,
        "actions": role.actions, "notActions": role.not_actions, "dataActions": role.data_actions,
    })
}

fn role_name(id: &str) -> &str {
    RoleDefinition::find(id).map_or(id, |role| role.name)
}

fn principal_name(directory: &Directory, object_id: &str) -> String {
    directory.principal(object_id).map_or_else(|_| object_id.to_owned(), |principal| principal.display_name)
}

fn assignment_json(assignment: &Assignment) -> Value {
    json!({
        "id": assignment.id, "principalId": assignment.principal, "role": role_name(&assignment.role),
        "roleId": assignment.role, "scope": assignment.scope, "created": assignment.created.to_string(),
    })
}

pub(crate) fn run(command: RoleCommand, context: &Context) -> Result<Done> {
    match command {
        RoleCommand::Definition(DefinitionCommand::List) => {
            let rows: Vec<_> =
                BUILT_IN.iter().map(|r| vec![r.name.to_owned(), r.description.to_owned()]).collect();
            let json: Vec<_> = BUILT_IN.iter().map(definition).collect();
            Done::new(
                &json!({"roles": json}),
                table("There are no roles.", &["ROLE", "FOR"], &rows),
                Exit::Ok,
            )
        }
        RoleCommand::Definition(DefinitionCommand::Show(args)) => show(&args),
        RoleCommand::Assignment(command) => run_assignment(command, context),
    }
}

fn show(args: &ShowArgs) -> Result<Done> {
    let role = RoleDefinition::find(&args.name).ok_or_else(|| {
        cofre_arm::ApiError::new(cofre_arm::Problem::NotFound, format!("there is no role {:?}", args.name))
            .recommend("`cofre role definition list` shows them.")
    })?;
    let mut text = format!("{} ({})\n{}\n", role.name, role.id, role.description);
    for (what, actions) in [
        ("allows", role.actions),
        ("but not", role.not_actions),
        ("with keys and secrets", role.data_actions),
    ] {
        for action in actions {
            text.push_str(&format!("  {what:21} {action}\n"));
        }
    }
    Done::new(&definition(role), text, Exit::Ok)
}

fn run_assignment(command: AssignmentCommand, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    let (directory, actor) = (&home.directory, operator_actor(&home.config));
    match command {
        AssignmentCommand::Create(args) => {
            let principal = directory.principal(&args.assignee)?;
            let scope = args.scope.unwrap_or_else(|| directory.subscription_scope());
            let new =
                NewAssignment { id: None, scope: &scope, role: &args.role, principal: &principal.object_id };
            let made = directory.assign(&actor, new)?;
            let text = format!(
                "{} has the role {} at {}.\n",
                principal.display_name,
                role_name(&made.role),
                made.scope
            );
            Done::new(&assignment_json(&made), text, Exit::Ok)
        }
        AssignmentCommand::List(args) => {
            let of = args.assignee.map(|name| directory.principal(&name)).transpose()?;
            let snapshot = directory.fresh()?;
            let mut found: Vec<_> = snapshot
                .assignments()
                .filter(|a| of.as_ref().is_none_or(|principal| principal.object_id == a.principal))
                .collect();
            found.sort_by_key(|a| (a.created, a.id.clone()));
            let row = |a: &&Assignment| {
                let name = principal_name(directory, &a.principal);
                vec![name, role_name(&a.role).to_owned(), a.scope.clone(), a.id.clone()]
            };
            let rows: Vec<_> = found.iter().map(row).collect();
            let json: Vec<_> = found.into_iter().map(assignment_json).collect();
            let text = table("Nobody has a role.", &["PRINCIPAL", "ROLE", "SCOPE", "ID"], &rows);
            Done::new(&json!({"assignments": json}), text, Exit::Ok)
        }
        AssignmentCommand::Delete(args) => {
            let gone = directory.unassign(&actor, &args.id)?.ok_or_else(|| {
                cofre_arm::ApiError::new(
                    cofre_arm::Problem::NotFound,
                    format!("there is no role assignment {}", args.id),
                )
                .recommend("`cofre role assignment list` shows them.")
            })?;
            let name = principal_name(directory, &gone.principal);
            let text =
                format!("{name} no longer has the role {} at {}.\n", role_name(&gone.role), gone.scope);
            Done::new(&assignment_json(&gone), text, Exit::Ok)
        }
    }
}
