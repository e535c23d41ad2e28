//! `session`, which only tests call: what this host knows of who asks, as JSON; judges nothing.

use super::Outcome;
use crate::exit::Exit;
use crate::kernel;
use crate::session::{Asker, Session, Sessions};
use crate::terminal::Terminal;
use serde_json::{Value, json};

pub(super) fn run(terminal: &mut Terminal) -> Outcome {
    let sessions = Sessions::ask_all().map_err(|error| kernel::unread(&error))?;
    let asker = match sessions.asker() {
        Asker::Remote { connections } => json!({ "remote": connections.iter().map(one).collect::<Vec<_>>() }),
        Asker::Console { name } => json!({ "console": name }),
        Asker::Unknown { why } => json!({ "unknown": why }),
    };
    let logged_in: Vec<Value> = sessions.logged_in().iter().map(one).collect();
    terminal.json(&json!({ "asker": asker, "logged_in": logged_in, "ports": sessions.ssh_ports() }));
    Ok(Exit::Done)
}

fn one(session: &Session) -> Value {
    json!({
        "remote": session.remote.to_string(),
        "local": session.local.to_string(),
        "user": session.user,
        "terminal": session.terminal,
        "pid": session.pid,
    })
}
