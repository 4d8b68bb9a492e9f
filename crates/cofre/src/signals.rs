//! SIGINT and SIGTERM: the first asks the work to stop, the second ends the process at once.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

use cofre_repo::Cancel;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use crate::{
    exit::Exit,
    report::{Report, Result},
};

/// A flag that the first signal sets.
pub(crate) fn watch() -> Result<Cancel> {
    let stop = Arc::new(AtomicBool::new(false));
    let failed = |e: io::Error| Report {
        code: "SignalsUnavailable",
        exit: Exit::Failed,
        message: "signals cannot be watched".to_owned(),
        causes: vec![e.to_string()],
        recommendations: Vec::new(),
    };
    for signal in [SIGINT, SIGTERM] {
        // In this order: the flag is still clear when the first signal asks whether it is the second.
        flag::register_conditional_shutdown(signal, i32::from(Exit::Interrupted as u8), Arc::clone(&stop))
            .map_err(failed)?;
        flag::register(signal, Arc::clone(&stop)).map_err(failed)?;
    }
    Ok(Cancel::from_flag(stop))
}
