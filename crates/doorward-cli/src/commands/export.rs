//! `export`: a policy as text for another program; loads nothing.

use super::Outcome;
use crate::cli::{Export, Format};
use crate::exit::Exit;
use crate::files::Disk;
use crate::policy;
use crate::terminal::Terminal;
use crate::text::Line;
use crate::text::Tone;
use doorward::compile::{self, Options};
use doorward::emit::{self, Style};

pub(super) fn run(args: &Export, terminal: &mut Terminal) -> Outcome {
    let disk = Disk::new(&args.file);
    let policy = policy::need(&disk, false, terminal)?;
    let mut table = compile::compile(&policy.resolved, &Options::default());
    // In the order in which `apply` makes them: base chains come when there is something to go to.
    table.chains.sort_by_key(|chain| chain.base.is_some());
    let listing = match args.format {
        Format::Nft => emit::table_listing(&table, &Style::default()),
    };
    terminal.raw(&listing.text);
    for note in &listing.notes {
        terminal.note(Line::of(Tone::Doubtful, "warning: ").and(Tone::Plain, note.as_str()));
    }
    Ok(Exit::Done)
}
