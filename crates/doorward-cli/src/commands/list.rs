//! `list`: every sentence in force with what is built in, as a text that reads as the same policy.

use super::Outcome;
use crate::cli::OnePolicy;
use crate::exit::Exit;
use crate::files::Disk;
use crate::json;
use crate::policy;
use crate::terminal::Terminal;
use doorward::resolve::{self, Listed};
use serde_json::{Value, json};

pub(super) fn run(args: &OnePolicy, terminal: &mut Terminal) -> Outcome {
    let disk = Disk::new(&args.file);
    let policy = policy::need(&disk, args.output.json, terminal)?;
    let lines = resolve::list(&policy.loaded, &policy.resolved);
    if args.output.json {
        terminal.json(&json!({ "lines": lines.iter().map(line).collect::<Vec<_>>() }));
    } else {
        terminal.raw(&Listed::text(&lines));
    }
    Ok(Exit::Done)
}

fn line(line: &Listed) -> Value {
    json!({ "text": line.text, "origin": line.origin.as_ref().map(json::origin) })
}
