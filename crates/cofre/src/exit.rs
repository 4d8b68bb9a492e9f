//! Exit codes: a contract (docs/cli.md), decided here and nowhere else.

use cofre_arm::Problem;
use cofre_fde::ErrorKind as FdeKind;
use cofre_repo::ErrorKind;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// Not done, for a reason that has no code of its own.
    Failed = 1,
    /// The command line cannot be understood; nothing was tried.
    Usage = 2,
    /// Done, but something deserves attention.
    Warnings = 3,
    /// There is no repository.
    NoRepository = 10,
    /// Somebody else holds the repository, or the same machine is being backed up.
    Locked = 11,
    /// The secret does not open the repository, or the key the disk.
    WrongSecret = 12,
    /// Stored data are damaged.
    Damage = 20,
    /// What was asked for is against a rule; nothing was changed.
    Refused = 21,
    /// Interrupted by a signal.
    Interrupted = 130,
}

impl Exit {
    /// The exit code of an error of a repository.
    pub(crate) fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NoRepository => Self::NoRepository,
            ErrorKind::Locked => Self::Locked,
            ErrorKind::WrongSecret => Self::WrongSecret,
            ErrorKind::Damaged => Self::Damage,
            ErrorKind::RepositoryExists
            | ErrorKind::PointAmbiguous
            | ErrorKind::TargetExists
            | ErrorKind::SourceUnsupported
            | ErrorKind::Invalid => Self::Refused,
            ErrorKind::Interrupted => Self::Interrupted,
            _ => Self::Failed,
        }
    }

    /// The exit code of a problem of the control plane; of a failed transfer, that of what went wrong in
    /// the repository.
    pub(crate) fn of_problem(problem: Problem, repository: Option<ErrorKind>) -> Self {
        match problem {
            Problem::JobInterrupted => Self::Interrupted,
            Problem::OperationInProgress => Self::Locked,
            Problem::TransferFailed => repository.map_or(Self::Failed, Self::of),
            Problem::NotFound
            | Problem::VmNotFound
            | Problem::StateUnavailable
            | Problem::StorageAccountOffline
            | Problem::ImageUnavailable => Self::Failed,
            _ => Self::Refused,
        }
    }

    /// The machine code and exit code of an error about an encrypted disk.
    pub(crate) fn of_encryption(kind: FdeKind) -> (&'static str, Self) {
        match kind {
            FdeKind::NotEncrypted => ("DiskNotEncrypted", Self::Refused),
            FdeKind::Damaged => ("EncryptionHeaderDamaged", Self::Damage),
            FdeKind::Truncated => ("EncryptionHeaderTruncated", Self::Damage),
            FdeKind::Unsupported => ("EncryptionUnsupported", Self::Refused),
            FdeKind::TooCostly => ("KeyTooCostly", Self::Refused),
            FdeKind::WrongKey => ("DiskKeyWrong", Self::WrongSecret),
            FdeKind::NoKeyslot => ("KeyslotNotFound", Self::Failed),
            FdeKind::Invalid => ("InvalidRequest", Self::Refused),
            _ => ("SourceUnreadable", Self::Failed),
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of error, as `docs/cli.md` lists it.
    const CONTRACT: &[(ErrorKind, u8)] = &[
        (ErrorKind::NoRepository, 10),
        (ErrorKind::RepositoryExists, 21),
        (ErrorKind::WrongSecret, 12),
        (ErrorKind::UnsupportedRepository, 1),
        (ErrorKind::Locked, 11),
        (ErrorKind::LeaseLost, 1),
        (ErrorKind::PointNotFound, 1),
        (ErrorKind::PointAmbiguous, 21),
        (ErrorKind::DiskNotFound, 1),
        (ErrorKind::TargetExists, 21),
        (ErrorKind::Damaged, 20),
        (ErrorKind::SourceUnreadable, 1),
        (ErrorKind::SourceChanged, 1),
        (ErrorKind::SourceUnsupported, 21),
        (ErrorKind::TargetUnwritable, 1),
        (ErrorKind::StorageFull, 1),
        (ErrorKind::Storage, 1),
        (ErrorKind::Invalid, 21),
        (ErrorKind::Interrupted, 130),
    ];

    #[test]
    fn the_guide_states_the_code_of_every_error() {
        let guide = include_str!("../../../docs/cli.md");
        for &(kind, code) in CONTRACT {
            assert_eq!(Exit::of(kind) as u8, code, "{kind:?}");
            let row = format!("| `{}` | {code} |", kind.code());
            assert!(guide.contains(&row), "docs/cli.md lacks: {row}");
        }
        use FdeKind as F;
        for kind in [F::Damaged, F::Truncated, F::Unsupported, F::TooCostly] {
            let (code, exit) = Exit::of_encryption(kind);
            let row = format!("| `{code}` | {} |", exit as u8);
            assert!(guide.contains(&row), "docs/cli.md lacks: {row}");
        }
    }
}
