//! `show`: the kernel's rules as nft text, decoded by ourselves; changes nothing.

use super::Outcome;
use crate::cli::Show;
use crate::exit::Exit;
use crate::kernel;
use crate::terminal::Terminal;
use crate::text::{Line, Tone};
use doorward::emit::{self, Style};
use doorward_kernel::link::Links;
use doorward_kernel::{Reader, Scope};
use serde_json::{Value, json};

pub(super) fn run(args: &Show, terminal: &mut Terminal) -> Outcome {
    let scope = if args.all { Scope::All } else { kernel::ours() };
    let read = Reader::open().and_then(|reader| reader.read(&scope));
    let snapshot = read.map_err(|error| kernel::unread(&error))?;
    let links = Links::open().and_then(|links| links.links()).unwrap_or_default();
    let style = Style {
        interfaces: links.into_iter().map(|link| (link.index, link.name)).collect(),
        usual_protocol_names: true,
    };
    let mut notes: Vec<String> = snapshot
        .unread
        .iter()
        .map(|set| format!("table {} {}: set {}: too large to be read back", set.family, set.table, set.set))
        .collect();
    let mut tables: Vec<Value> = Vec::new();
    for table in &snapshot.ruleset.tables {
        let listing = emit::table_listing(table, &style);
        notes.extend(listing.notes);
        if args.output.json {
            let family = table.family.to_string();
            tables.push(json!({ "family": family, "name": table.name, "text": listing.text }));
        } else {
            terminal.raw(&listing.text);
        }
    }
    if args.output.json {
        terminal.json(&json!({ "tables": tables, "notes": notes }));
        return Ok(Exit::Done);
    }
    for note in &notes {
        terminal.note(Line::of(Tone::Doubtful, "warning: ").and(Tone::Plain, note.as_str()));
    }
    if snapshot.ruleset.tables.is_empty() {
        let (whose, way_out) = if args.all {
            ("the kernel has no rules", "`doorward apply` loads a policy")
        } else {
            ("the kernel has no rules of doorward", "`doorward show --all` shows those of others")
        };
        terminal.note(whose);
        terminal.note(format!("  {way_out}"));
    }
    Ok(Exit::Done)
}
