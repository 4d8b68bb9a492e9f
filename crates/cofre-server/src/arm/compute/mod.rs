//! Virtual machines as resources: told of, shown, changed, forgotten. The machines themselves run elsewhere.

mod machine_body;
mod machine_json;

use cofre_arm::{
    ApiError, Problem, ResourceId,
    names::{CLASSIC_VIRTUAL_MACHINE, VIRTUAL_MACHINE},
};
use cofre_compute::{DeploymentModel, VirtualMachine};
use serde_json::Value;

pub(super) use self::machine_json::machine_json;
use self::{machine_body::MachineBody, machine_json::instance_view};
use super::{new_in_group, only, paging};
use crate::{
    app::{App, Session},
    http::{Answer, Call, Method, Refusal},
};

/// Machines of a page.
const PAGE: usize = 200;

/// The type of a namespace's machines.
fn kind(namespace: &str) -> &'static str {
    if namespace == "microsoft.classiccompute" { CLASSIC_VIRTUAL_MACHINE } else { VIRTUAL_MACHINE }
}

/// The right to read a machine.
pub(super) fn read_action(machine: &ResourceId) -> &'static str {
    if machine.is_kind(CLASSIC_VIRTUAL_MACHINE) {
        "Microsoft.ClassicCompute/virtualMachines/read"
    } else {
        "Microsoft.Compute/virtualMachines/read"
    }
}

/// The right to change a machine.
pub(super) fn write_action(machine: &ResourceId) -> &'static str {
    if machine.is_kind(CLASSIC_VIRTUAL_MACHINE) {
        "Microsoft.ClassicCompute/virtualMachines/write"
    } else {
        "Microsoft.Compute/virtualMachines/write"
    }
}

/// `…/resourceGroups/G/providers/Microsoft.Compute/…` and its classic sister.
pub(super) fn in_group(
    app: &App,
    call: &Call,
    session: &Session,
    namespace: &str,
    rest: &[&str],
) -> Result<Answer, Refusal> {
    let group = &call.target.segments[3];
    match rest {
        ["virtualmachines"] => list(app, call, session, namespace, Some(group)),
        ["virtualmachines", _] | ["virtualmachines", _, "instanceview"] => {
            let name = &call.target.segments[7];
            let id = ResourceId::resource(app.parts.directory.subscription(), group, kind(namespace), name)?;
            if rest.len() == 3 {
                only(call, Method::Get, "GET")?;
                session.authorize("Microsoft.Compute/virtualMachines/instanceView/read", id.as_str())?;
                return Ok(Answer::ok(&instance_view(&app.parts.recovery.machine(&id)?)));
            }
            one(app, call, session, &id, namespace)
        }
        ["virtualmachines", _, verb] => Err(ApiError::new(
            Problem::NotFound,
            format!("machines run elsewhere: this service knows of them, and has no {verb:?} for them"),
        )
        .recommend("Switch the machine where it runs; a PUT of it says how it stands then.")
        .into()),
        ["disks" | "snapshots" | "images" | "diskencryptionsets", ..] => Err(ApiError::new(
            Problem::NotFound,
            "disks are parts of their machines here: there are no managed disks, snapshots or images as resources",
        )
        .recommend("`az vm show` shows a machine's disks.")
        .into()),
        _ => Err(Refusal::no_such_path(&format!("/{}", call.target.segments.join("/")))),
    }
}

/// `…/subscriptions/S/providers/Microsoft.Compute/…`
pub(super) fn in_subscription(
    app: &App,
    call: &Call,
    session: &Session,
    namespace: &str,
    rest: &[&str],
) -> Result<Answer, Refusal> {
    match rest {
        ["virtualmachines"] => list(app, call, session, namespace, None),
        _ => Err(Refusal::no_such_path(&format!("/{}", call.target.segments.join("/")))),
    }
}

fn list(
    app: &App,
    call: &Call,
    session: &Session,
    namespace: &str,
    group: Option<&str>,
) -> Result<Answer, Refusal> {
    only(call, Method::Get, "GET")?;
    let after = paging::position(call)?;
    let kind = kind(namespace);
    let of_list = |machine: &VirtualMachine| {
        let found = machine.id.resource_group().unwrap_or_default();
        machine.id.is_kind(kind)
            && group.is_none_or(|group| group.eq_ignore_ascii_case(found))
            && session.may(read_action(&machine.id), machine.id.as_str())
    };
    let page = app.parts.recovery.machines_page(after.as_deref(), PAGE, of_list)?;
    let items = page.items.iter().map(|machine| shown(call, machine)).collect();
    Ok(paging::page(call, items, page.next.as_deref()))
}

/// A machine, with what it does right now where that was asked for.
fn shown(call: &Call, machine: &VirtualMachine) -> Value {
    let mut shown = machine_json(machine);
    let expand = call.target.query.get("$expand").unwrap_or_default();
    if expand.to_ascii_lowercase().contains("instanceview") {
        shown["properties"]["instanceView"] = instance_view(machine);
    }
    shown
}

fn one(
    app: &App,
    call: &Call,
    session: &Session,
    id: &ResourceId,
    namespace: &str,
) -> Result<Answer, Refusal> {
    let recovery = session.recovery(app);
    let find = || match recovery.machine(id) {
        Ok(machine) => Ok(Some(machine)),
        Err(error) if error.problem() == Problem::VmNotFound => Ok(None),
        Err(error) => Err(error),
    };
    match call.method {
        Method::Get => {
            session.authorize(read_action(id), id.as_str())?;
            let machine = find()?.ok_or_else(|| {
                let group = id.resource_group().unwrap_or_default();
                ApiError::new(
                    Problem::NotFound,
                    format!(
                        "The Resource '{}/{}' under resource group '{group}' was not found.",
                        kind(namespace),
                        id.name()
                    ),
                )
            })?;
            Ok(Answer::ok(&shown(call, &machine)))
        }
        Method::Put => {
            session.authorize(write_action(id), id.as_str())?;
            let body: MachineBody = call.json()?;
            if let Some(there) = find()? {
                let wished = body.machine(app, there.id.clone(), Some(&there))?;
                let machine = recovery.update_machine(id, |machine| {
                    *machine = wished;
                    Ok(())
                })?;
                return Ok(Answer::ok(&shown(call, &machine)));
            }
            let id = new_in_group(app, id)?;
            let mut machine = body.machine(app, id, None)?;
            if kind(namespace) == CLASSIC_VIRTUAL_MACHINE {
                machine.model = DeploymentModel::Classic;
            }
            recovery.register_machine(&machine)?;
            Ok(Answer::json(201, &shown(call, &machine)))
        }
        Method::Delete => {
            let delete = if id.is_kind(CLASSIC_VIRTUAL_MACHINE) {
                "Microsoft.ClassicCompute/virtualMachines/delete"
            } else {
                "Microsoft.Compute/virtualMachines/delete"
            };
            session.authorize(delete, id.as_str())?;
            if find()?.is_some() {
                recovery.delete_machine(id)?;
            }
            Ok(Answer::empty(204))
        }
        Method::Head | Method::Patch | Method::Post => Err(Refusal::method("GET, PUT, DELETE")),
    }
}
