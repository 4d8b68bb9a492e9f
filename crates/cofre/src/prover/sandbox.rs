//! What the child may do: compute, and talk through the two pipes it was given.
//!
//! In two steps, both before a hostile byte is read: limits that need no question, then limits and a
//! system call filter that depend on it. Without the filter (a kernel without seccomp, a container
//! that forbids it) nothing is proved.

use std::collections::BTreeMap;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getrlimit, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter_all_threads,
};

/// Address space for everything but Argon2: the program itself, the header and what is made of it.
pub(super) const MEMORY_BESIDE_ARGON2: u64 = 256 << 20;
/// Between the signal that ends a process for its processor time and the one that cannot be ignored.
const GRACE_SECONDS: u64 = 2;

/// The first step: nothing can be opened or written or started, and no core can be dumped, by which
/// secrets would reach a file. The child ends with its parent.
///
/// # Errors
/// What could not be limited.
pub(super) fn close() -> Result<(), String> {
    let failed = |what: &'static str| move |e| format!("the proving process cannot be confined: {what}: {e}");
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed("its end"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed("tracing"))?;
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Nproc, 0, 0)?;
    limit(Resource::Nofile, 0, 0)
}

/// The second step: memory in bytes, processor time, system calls.
///
/// # Errors
/// What could not be limited.
pub(super) fn confine(memory: u64, cpu_seconds: u32) -> Result<(), String> {
    limit(Resource::As, memory, 0)?;
    limit(Resource::Cpu, u64::from(cpu_seconds), GRACE_SECONDS)?;
    let unavailable = |e: seccompiler::Error| {
        format!(
            "the proving process cannot be confined: this system gives no system call filter (seccomp): {e}; \
             nothing is proved without it"
        )
    };
    let filter = filter().map_err(|e| unavailable(e.into()))?;
    apply_filter_all_threads(&filter).map_err(unavailable)
}

/// Lowers a limit to `value`, and what it could be raised to again to `value + grace`. One that is
/// lower already stays.
fn limit(resource: Resource, value: u64, grace: u64) -> Result<(), String> {
    let old = getrlimit(resource);
    let lower = |old: Option<u64>, new: u64| Some(old.map_or(new, |old| old.min(new)));
    let maximum = lower(old.maximum, value.saturating_add(grace));
    let new = Rlimit { current: lower(old.current, value), maximum };
    setrlimit(resource, new)
        .map_err(|e| format!("the proving process cannot be confined: limit {resource:?}: {e}"))
}

/// System calls that a computation needs; any other ends the process.
///
/// Descriptors other than the three cannot be used, so that one the program itself inherited is worth
/// nothing here. Memory comes from nowhere but the system, and never becomes code.
fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    const ANYHOW: [libc::c_long; 14] = [
        libc::SYS_brk,
        libc::SYS_clock_gettime,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_futex,
        libc::SYS_getrandom,
        libc::SYS_madvise,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_restart_syscall,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
    ];
    let is = |argument, value: i32| condition(argument, SeccompCmpOp::Eq, value);
    let has = |argument, bit: i32| condition(argument, SeccompCmpOp::MaskedEq(mask(bit)), bit);
    let lacks = |argument, bit: i32| condition(argument, SeccompCmpOp::MaskedEq(mask(bit)), 0);

    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ANYHOW.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_read, vec![SeccompRule::new(vec![is(0, libc::STDIN_FILENO)?])?]);
    rules.insert(
        libc::SYS_write,
        vec![
            SeccompRule::new(vec![is(0, libc::STDOUT_FILENO)?])?,
            SeccompRule::new(vec![is(0, libc::STDERR_FILENO)?])?,
        ],
    );
    let anonymous = vec![lacks(2, libc::PROT_EXEC)?, has(3, libc::MAP_ANONYMOUS)?];
    rules.insert(libc::SYS_mmap, vec![SeccompRule::new(anonymous)?]);
    rules.insert(libc::SYS_mprotect, vec![SeccompRule::new(vec![lacks(2, libc::PROT_EXEC)?])?]);
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)?.try_into()
}

fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: i32,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, Dword, operator, mask(value))
}

/// The bits of a small flag or descriptor, none of which is negative.
fn mask(bit: i32) -> u64 {
    u64::from(bit.unsigned_abs())
}

#[cfg(test)]
mod tests;
