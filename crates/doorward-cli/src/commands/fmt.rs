//! `fmt`: lays texts out in the one usual way, each file whole or not at all; judges nothing but looks.

use super::Outcome;
use crate::cli::Fmt;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::json;
use crate::terminal::Terminal;
use crate::text::{Line, Tone};
use doorward::report::Sources;
use doorward::resolve::FileError;
use doorward::syntax;
use serde_json::{Value, json};
use std::fs::File;
use std::io;
use std::path::Path;

/// What became of one file.
struct Done {
    exit: Exit,
    value: Value,
}

pub(super) fn run(args: &Fmt, terminal: &mut Terminal) -> Outcome {
    let mut exit = Exit::Done;
    let mut values = Vec::new();
    for file in &args.file {
        let done = one(file, args, terminal)?;
        // Each file gets its turn, and the worst that happened is told.
        exit = exit.max(done.exit);
        values.push(done.value);
    }
    if args.output.json {
        terminal.json(&json!({ "files": values }));
    }
    Ok(exit)
}

fn one(path: &Path, args: &Fmt, terminal: &mut Terminal) -> Result<Done, Failure> {
    let stdin = path == Path::new("-");
    let shown = if stdin { "standard input".into() } else { path.to_string_lossy() };
    let unread = |error: &FileError| Failure::new(Exit::System, format!("`{shown}` cannot be read: {error}"));
    let refused = |error: &io::Error| unread(&FileError::Refused(error.to_string()));
    let read = if stdin {
        files::text(&mut io::stdin().lock(), 0)
    } else {
        File::open(path).and_then(|mut file| files::text(&mut file, 0))
    };
    let text = read.map_err(|error| refused(&error))?.map_err(|error| unread(&error))?;
    let mut sources = Sources::default();
    let id = sources.add(&*shown, text.as_str());
    let formatted = match syntax::format(id, &text) {
        Ok(formatted) => formatted,
        Err(reports) => {
            if !args.output.json {
                for report in &reports {
                    terminal.report(&report.render(&sources), Tone::Bad, false);
                }
            }
            let value =
                json!({ "file": shown, "result": "errors", "reports": json::reports(&reports, &sources) });
            return Ok(Done { exit: Exit::Policy, value });
        }
    };
    let changes = formatted != text;
    let result = match (args.check, changes) {
        (_, false) => "same",
        (true, true) => "differs",
        (false, true) => "written",
    };
    let exit = if args.check && changes { Exit::False } else { Exit::Done };
    if args.check {
        if changes && !args.output.json {
            let line = Line::plain(format!("{shown}: "))
                .and(Tone::Doubtful, "would change")
                .and(Tone::Plain, format!("; `doorward fmt {shown}` does it"));
            terminal.line(line);
        }
    } else if stdin {
        if !args.output.json {
            terminal.raw(&formatted);
        }
    } else if changes {
        files::replace(path, &formatted).map_err(|error| {
            Failure::new(Exit::System, format!("`{shown}` cannot be written: {error}"))
                .way_out("it is as it was before")
        })?;
        if !args.output.json {
            terminal.note(format!("{shown}: written"));
        }
    }
    Ok(Done { exit, value: json!({ "file": shown, "result": result, "reports": [] }) })
}
