//! `cofre repo forget`.

use serde_json::json;

use crate::{args::ForgetArgs, exit::Exit, output::Done, quantity, report::Result};

pub(crate) fn run(args: &ForgetArgs) -> Result<Done> {
    let repository = super::open(&args.repo)?;
    let forgotten = repository.forget(&args.points, args.name.as_deref())?;
    let ids: Vec<_> = forgotten.iter().map(|p| p.to_hex()).collect();
    let mut text = String::new();
    for id in &ids {
        text.push_str(&format!("{id}\n"));
    }
    text.push_str(&format!(
        "{} deleted. `cofre repo prune` frees the space.\n",
        quantity::count(ids.len() as u64, "recovery point")
    ));
    Done::new(&json!({"forgotten": ids}), text, Exit::Ok)
}
