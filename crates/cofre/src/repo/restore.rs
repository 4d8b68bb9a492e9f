//! `cofre repo restore`.

use cofre_disk::{BlockSink, RawSink, VhdIdentity, VhdSink, vhd};
use cofre_repo::{RepoError, crypto};
use serde_json::json;

use super::{exit_with, target::Partial};
use crate::{
    Context,
    args::{RestoreArgs, RestoreFormat},
    output::Done,
    quantity,
    report::Result,
};

pub(crate) fn run(args: &RestoreArgs, context: &Context) -> Result<Done> {
    Partial::refuse_existing(&args.to, args.force)?;
    let repository = super::open(&args.repo)?;
    let plan = repository.plan_restore(&args.point, args.name.as_deref(), &args.disk, &context.progress)?;

    let partial = Partial::create(&args.to, args.force)?;
    let (file, path, size) = (partial.file()?, partial.path(), plan.disk.size);
    let sink: Box<dyn BlockSink> = match args.format {
        RestoreFormat::Raw => Box::new(RawSink::from_file(file, path, size).map_err(RepoError::target_disk)?),
        RestoreFormat::Vhd => {
            let mut unique_id = [0; 16];
            crypto::random(&mut unique_id)?;
            let taken = u64::try_from(plan.point.document.time.as_second()).unwrap_or_default();
            let identity = VhdIdentity { unique_id, timestamp: vhd::timestamp(taken) };
            Box::new(VhdSink::from_file(file, path, size, identity).map_err(RepoError::target_disk)?)
        }
    };
    let report = plan.run(&*sink, &context.progress, &context.cancel)?;
    context.cancel.check()?;
    drop(sink);
    partial.commit()?;

    let warnings = context.progress.warnings();
    let json = json!({
        "point": report.point.to_hex(),
        "disk": report.disk,
        "path": args.to.display().to_string(),
        "size": report.size,
        "bytesWritten": report.bytes_written,
        "digest": report.digest,
        "durationMs": report.duration_ms,
        "warnings": warnings,
    });
    let text = format!(
        "Disk {} of point {} is at {}: {}, {} written, all of it verified, in {}.\n",
        report.disk,
        report.point.short(),
        args.to.display(),
        quantity::bytes(report.size),
        quantity::bytes(report.bytes_written),
        quantity::milliseconds(report.duration_ms)
    );
    Done::new(&json, text, exit_with(&warnings))
}
