//! `cofre repo init`.

use cofre_repo::Repository;
use serde_json::json;

use crate::{args::InitArgs, exit::Exit, output::Done, quantity, report::Result};

pub(crate) fn run(args: &InitArgs) -> Result<Done> {
    let secret = super::secret(&args.repo)?;
    let repository = Repository::init(args.repo.url.storage()?, &secret, args.chunk_size)?;
    let config = repository.config();
    let location = repository.storage().location();
    let json = json!({
        "repository": config.id,
        "location": location,
        "version": config.version,
        "chunkSize": args.chunk_size.bytes(),
    });
    let text = format!(
        "Repository {} made at {location}, with chunks of {}.\nKeep the secret: without it nothing can be restored.\n",
        config.id.short(),
        quantity::bytes(args.chunk_size.bytes())
    );
    Done::new(&json, text, Exit::Ok)
}
