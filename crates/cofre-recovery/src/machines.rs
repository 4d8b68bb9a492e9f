//! The machines that are known.

use cofre_arm::{ApiError, Problem, ResourceId, Result, names};
use cofre_compute::{Snapshot, VirtualMachine};

use crate::{
    documents::{self, Page, Resource},
    protection::PROTECTION,
    service::Recovery,
};

impl Resource for VirtualMachine {
    const KIND: &'static str = "machine";
    const NOUN: &'static str = "virtual machine";

    fn id(&self) -> &ResourceId {
        &self.id
    }
}

fn check(machine: &VirtualMachine) -> Result<()> {
    if !machine.id.is_kind(names::VIRTUAL_MACHINE) && !machine.id.is_kind(names::CLASSIC_VIRTUAL_MACHINE) {
        return Err(ApiError::invalid(format!("{} is no id of a virtual machine", machine.id)));
    }
    names::check_name("virtual machine", machine.name())?;
    let mut disks = std::collections::HashSet::new();
    for disk in machine.disks() {
        names::check_name("disk", &disk.name)?;
        if !disks.insert(disk.name.to_lowercase()) {
            return Err(ApiError::invalid(format!(
                "two disks of {} are called {}",
                machine.name(),
                disk.name
            )));
        }
    }
    let mut luns = std::collections::HashSet::new();
    if let Some(twice) = machine.data_disks.iter().find(|d| d.lun > 63 || !luns.insert(d.lun)) {
        let (name, lun) = (&twice.disk.name, twice.lun);
        return Err(ApiError::invalid(format!(
            "disk {name} cannot be in slot {lun}: slots are 0 to 63, one disk each"
        )));
    }
    Ok(())
}

impl Recovery {
    /// The id that a machine of this name has.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn machine_id(&self, group: &str, name: &str) -> Result<ResourceId> {
        names::check_name("virtual machine", name)?;
        ResourceId::resource(&self.place().subscription_id, group, names::VIRTUAL_MACHINE, name)
    }

    /// Takes a machine up. Its images are opened, so that what could never be backed up is refused now.
    ///
    /// # Errors
    /// `InvalidParameter`, `Conflict`, `ImageOutsideRoots`, `ImageUnavailable`.
    pub fn register_machine(&self, machine: &VirtualMachine) -> Result<()> {
        check(machine)?;
        self.look_at_images(machine)?;
        let mut batch = self.batch();
        batch.changes.push(documents::create(machine)?);
        batch.events.push(self.event("machine.register", &machine.id, None)?);
        self.store().commit(&batch).map(|_| ()).map_err(|e| match e.kind() {
            cofre_store::ErrorKind::Conflict => {
                ApiError::new(Problem::Conflict, format!("there is a machine {} already", machine.name()))
                    .about(&machine.id)
            }
            _ => documents::unavailable(e),
        })
    }

    /// Changes a machine; `change` is given the present one. Images that are new are opened first.
    ///
    /// # Errors
    /// `NotFound`, and as [`register_machine`](Self::register_machine).
    pub fn update_machine(
        &self,
        id: &ResourceId,
        change: impl FnOnce(&mut VirtualMachine) -> Result<()>,
    ) -> Result<VirtualMachine> {
        let mut loaded = documents::load::<VirtualMachine>(self.store(), id)?;
        let images =
            |machine: &VirtualMachine| -> Vec<_> { machine.disks().map(|disk| disk.image.clone()).collect() };
        let before = images(&loaded.value);
        change(&mut loaded.value)?;
        check(&loaded.value)?;
        if images(&loaded.value) != before {
            self.look_at_images(&loaded.value)?;
        }
        let mut batch = self.batch();
        batch.changes.push(documents::replace(&loaded)?);
        batch.events.push(self.event("machine.update", id, None)?);
        self.commit(&batch)?;
        Ok(loaded.value)
    }

    /// Forgets a machine. Its images, its protected item and its recovery points stay.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn delete_machine(&self, id: &ResourceId) -> Result<()> {
        let loaded = documents::load::<VirtualMachine>(self.store(), id)?;
        let mut batch = self.batch();
        batch.changes.push(documents::delete(&loaded));
        batch.events.push(self.event("machine.delete", id, None)?);
        self.commit(&batch)
    }

    /// A machine.
    ///
    /// # Errors
    /// `VmNotFound`.
    pub fn machine(&self, id: &ResourceId) -> Result<VirtualMachine> {
        match documents::find(self.store(), id)? {
            Some(machine) => Ok(machine.value),
            None => {
                Err(ApiError::new(Problem::VmNotFound, format!("there is no machine {}", id.name()))
                    .about(id))
            }
        }
    }

    /// All machines, by id.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn machines(&self) -> Result<Vec<VirtualMachine>> {
        documents::list(self.store(), "")
    }

    /// At most `limit` of the machines that are wanted, by id, after the mark of the page before.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn machines_page(
        &self,
        after: Option<&str>,
        limit: usize,
        wanted: impl FnMut(&VirtualMachine) -> bool,
    ) -> Result<Page<VirtualMachine>> {
        let read = |after: Option<&str>, limit: usize| {
            self.store().list_kind(VirtualMachine::KIND, "", after, limit)
        };
        documents::page(read, after, limit, wanted)
    }

    /// [`machines_page`](Self::machines_page), of machines that no vault protects.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn unprotected_machines_page(
        &self,
        after: Option<&str>,
        limit: usize,
        wanted: impl FnMut(&VirtualMachine) -> bool,
    ) -> Result<Page<VirtualMachine>> {
        let read = |after: Option<&str>, limit: usize| {
            self.store().list_unmarked(VirtualMachine::KIND, PROTECTION, after, limit)
        };
        documents::page(read, after, limit, wanted)
    }

    fn look_at_images(&self, machine: &VirtualMachine) -> Result<()> {
        match self.snapshot(machine) {
            // it may well be running now
            Err(e) if e.problem() == Problem::VmState => Ok(()),
            other => other.map(|_| ()),
        }
    }

    pub(crate) fn snapshot(&self, machine: &VirtualMachine) -> Result<Snapshot> {
        self.parts().driver.snapshot(machine)
    }
}
