//! `allow`, `block`, `reject`, `trust` and `remove`: a sentence of the command line goes into the policy or out of it,
//! and the policy is put on trial.

use super::Outcome;
use super::apply::{Besides, How, carry_out, changed_by_others, untouched};
use super::plan;
use crate::change::guard;
use crate::cli::Say;
use crate::exit::{Exit, Failure, Stop};
use crate::files::{self, Disk};
use crate::json;
use crate::lock;
use crate::policy;
use crate::store::Recorder;
use crate::terminal::Terminal;
use crate::text::{Line, Tone};
use doorward::apply::Ending;
use doorward::report::{FileId, Report, Sources};
use doorward::resolve::{self, FileError, Files, Loaded};
use doorward::syntax::ast::{Sentence, SentenceKind};
use doorward::syntax::edit::{self, Edited};
use doorward::syntax::{parse, parse_sentence, write};
use serde_json::{Value, json};
use std::cell::Cell;
use std::path::Path;

/// What is done with a sentence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Add,
    Remove,
}

pub(super) fn add(verb: &str, args: &Say, state: &Path, terminal: &mut Terminal) -> Outcome {
    let text = format!("{verb} {}", args.words.join(" "));
    run(Deed::Add, &text, args, state, terminal)
}

pub(super) fn remove(args: &Say, state: &Path, terminal: &mut Terminal) -> Outcome {
    run(Deed::Remove, &args.words.join(" "), args, state, terminal)
}

fn run(deed: Deed, text: &str, args: &Say, state: &Path, terminal: &mut Terminal) -> Outcome {
    let json = args.output.json;
    let sentence = said(text, json, terminal)?;
    if args.dry_run {
        return dry_run(deed, &sentence, args, state, terminal);
    }
    untouched(json, terminal, |terminal| {
        let guard = guard()?;
        let lock = lock::take(state, terminal)?;
        let disk = Disk::wary(&args.policy);
        let edits = Edits::of(deed, &sentence, &disk)?;
        let changed = Changed { disk: &disk, edits: &edits };
        let recorder = Recorder::new(&changed, disk.main());
        let new = policy::need_through(&recorder, disk.main(), json, terminal)?;
        let record = recorder.record();
        if let Some(failure) = changed_by_others(&disk) {
            return Err(failure.into());
        }
        if !json {
            edits.show(deed, terminal);
        }
        let told = plan::tell(
            policy::replayed(&record, &record.main, new.facts())?,
            (disk.main(), state),
            json,
            terminal,
        )?;
        let how = How::of(args.trial, json);
        let ended = Cell::new(None);
        let besides = Besides {
            json: Some(json!({ "edit": edits.json(deed), "plan": told })),
            ended: Some(&|ending| ended.set(Some(ending))),
        };
        edits.write(&disk)?;
        let outcome = carry_out(guard, new, record, how, (state, &lock), &besides, terminal);
        if ended.get().is_none_or(|ending| !keeps(ending)) {
            edits.take_back(&disk, terminal);
        } else if ended.get() == Some(Ending::OnTrial) && !json && !edits.0.is_empty() {
            terminal.line("  if nobody confirms, the file keeps the change: take it back there, too");
        }
        outcome
    })
}

/// Whether what was written stands after a change that ended so: where it may be in force, the file says it, too.
fn keeps(ending: Ending) -> bool {
    matches!(
        ending,
        Ending::InForce
            | Ending::InForceOtherwise
            | Ending::Unchanged
            | Ending::OnTrial
            | Ending::Confirmed
            | Ending::Finished
            | Ending::Already
            | Ending::NotPointed
            | Ending::Unsure
    )
}

fn dry_run(deed: Deed, sentence: &Sentence, args: &Say, state: &Path, terminal: &mut Terminal) -> Outcome {
    let json = args.output.json;
    let disk = Disk::new(&args.policy);
    let edits = Edits::of(deed, sentence, &disk)?;
    let changed = Changed { disk: &disk, edits: &edits };
    let new = policy::need_through(&changed, disk.main(), json, terminal)?;
    if json {
        let told = plan::tell(new, (disk.main(), state), json, terminal)?;
        terminal.json(&json!({ "edit": edits.json(deed), "plan": told }));
    } else {
        edits.show(deed, terminal);
        plan::tell(new, (disk.main(), state), json, terminal)?;
        terminal.note("nothing was written or loaded: --dry-run");
    }
    Ok(Exit::Done)
}

/// The sentence of the command line; its mistakes are shown with a caret, like those of a file.
fn said(text: &str, json: bool, terminal: &mut Terminal) -> Result<Sentence, Stop> {
    let mut sources = Sources::default();
    let id = sources.add("command line", text);
    let sentence = match parse_sentence(id, text) {
        Ok(sentence) => sentence,
        Err(reports) => return Err(mistaken(&reports, &sources, json, terminal)),
    };
    match sentence.kind {
        SentenceKind::Rule(_) | SentenceKind::Trust(_) => Ok(sentence),
        _ => Err(Failure::new(Exit::Usage, "commands edit allow, block, reject and trust sentences only")
            .way_out(format!("open the policy, change the line `{}` there,", write::sentence(&sentence)))
            .way_out("and run `doorward apply`")
            .into()),
    }
}

fn mistaken(reports: &[Report], sources: &Sources, json: bool, terminal: &mut Terminal) -> Stop {
    let failure = Failure::new(Exit::Usage, "this is no sentence of a policy");
    if json {
        let mut value = json::failure(&failure);
        if let Some(error) = value.get_mut("error").and_then(Value::as_object_mut) {
            error.insert("reports".to_owned(), json::reports(reports, sources));
        }
        terminal.json(&value);
        return Stop::Said(Exit::Usage);
    }
    for report in reports {
        terminal.report(&report.render(sources), Tone::Bad, false);
    }
    Stop::Said(Exit::Usage)
}

/// What becomes of the files of a policy; nothing where all is as it should be already.
struct Edits(Vec<Edit>);

struct Edit {
    path: String,
    shown: String,
    sentence: String,
    before: String,
    after: Edited,
}

impl Edits {
    fn of(deed: Deed, sentence: &Sentence, disk: &Disk) -> Result<Edits, Failure> {
        let loaded = resolve::load(disk, disk.main());
        if let Some(report) = loaded.reports.iter().find(|report| report.id == "policy-not-read") {
            return Err(Failure::new(Exit::System, &report.message)
                .way_out("`doorward init` writes a policy for this host")
                .way_out("`--policy FILE` names another file"));
        }
        match deed {
            Deed::Add => Ok(Edits(added(&loaded, sentence).into_iter().collect())),
            Deed::Remove => removed(&loaded, sentence).map(Edits),
        }
    }

    fn show(&self, deed: Deed, terminal: &mut Terminal) {
        let (mark, tone) = match deed {
            Deed::Add => ('+', Tone::Good),
            Deed::Remove => ('-', Tone::Bad),
        };
        if self.0.is_empty() {
            terminal.line("the policy says so already");
        }
        for edit in &self.0 {
            if let Some(old) = &edit.after.replaced {
                let line = Line::of(Tone::Bad, format!("- {old}"));
                terminal.line(line.and(Tone::Faint, format!("   {}:{}", edit.shown, edit.after.line)));
            }
            let line = Line::of(tone, format!("{mark} {}", edit.sentence));
            terminal.line(line.and(Tone::Faint, format!("   {}:{}", edit.shown, edit.after.line)));
        }
    }

    fn json(&self, deed: Deed) -> Value {
        let name = match deed {
            Deed::Add => "added",
            Deed::Remove => "removed",
        };
        self.0
            .iter()
            .flat_map(|edit| {
                let of = |deed: &str, sentence: &str| {
                    json!({ "deed": deed, "sentence": sentence, "file": edit.path, "line": edit.after.line })
                };
                let replaced = edit.after.replaced.as_ref().map(|old| of("removed", old));
                replaced.into_iter().chain([of(name, &edit.sentence)])
            })
            .collect()
    }

    /// Writes all files, or none.
    fn write(&self, disk: &Disk) -> Result<(), Failure> {
        if let Some(edit) = self.0.iter().find(|edit| disk.read(&edit.path).as_ref() != Ok(&edit.before)) {
            return Err(Failure::new(
                Exit::System,
                format!("`{}` was changed by somebody else meanwhile", edit.path),
            )
            .way_out("run this again"));
        }
        for (at, edit) in self.0.iter().enumerate() {
            if let Err(error) = files::replace(&disk.path(&edit.path), &edit.after.text) {
                for done in &self.0[..at] {
                    let _ = done.put_back(disk);
                }
                return Err(Failure::new(
                    Exit::System,
                    format!("`{}` cannot be written: {error}", edit.path),
                )
                .way_out("the policy is as it was before"));
            }
        }
        Ok(())
    }

    /// The files as they were, unless somebody changed them since.
    fn take_back(&self, disk: &Disk, terminal: &mut Terminal) {
        for edit in &self.0 {
            let now = disk.read(&edit.path);
            if now.as_ref() != Ok(&edit.after.text) {
                terminal.note(format!("{} was changed by others meanwhile: it stays so", edit.path));
                continue;
            }
            match edit.put_back(disk) {
                Ok(()) => terminal.note(format!("{} is as it was before", edit.path)),
                Err(error) => terminal.note(Line::of(
                    Tone::Bad,
                    format!("{} cannot be written: {error}; it keeps the change", edit.path),
                )),
            }
        }
    }
}

impl Edit {
    fn put_back(&self, disk: &Disk) -> std::io::Result<()> {
        files::replace(&disk.path(&self.path), &self.before)
    }

    fn of(loaded: &Loaded, file: &resolve::LoadedFile, sentence: &Sentence, after: Edited) -> Edit {
        Edit {
            path: file.path.clone(),
            shown: loaded.sources.name(file.id).to_owned(),
            sentence: write::sentence(sentence),
            before: loaded.sources.text(file.id).to_owned(),
            after,
        }
    }
}

/// Into the main file, unless any file says it already.
fn added(loaded: &Loaded, sentence: &Sentence) -> Option<Edit> {
    let trees: Vec<_> = loaded.files.iter().map(|file| tree(loaded, file.id)).collect();
    if trees.iter().any(|tree| edit::insert(tree, sentence).is_err()) {
        return None;
    }
    let (file, tree) = loaded.files.first().zip(trees.first())?;
    Some(Edit::of(loaded, file, sentence, edit::insert(tree, sentence).ok()?))
}

/// Out of every file that says it.
fn removed(loaded: &Loaded, sentence: &Sentence) -> Result<Vec<Edit>, Failure> {
    let mut edits = Vec::new();
    let mut nearest = None;
    for file in &loaded.files {
        match edit::remove(&tree(loaded, file.id), sentence) {
            Ok(after) => edits.push(Edit::of(loaded, file, sentence, after)),
            Err(not_there) => {
                let place = |(line, text)| format!("{}:{line}: {text}", loaded.sources.name(file.id));
                nearest = nearest.or_else(|| not_there.nearest.map(place));
            }
        }
    }
    if edits.is_empty() {
        let failure =
            Failure::new(Exit::False, format!("the policy does not say `{}`", write::sentence(sentence)));
        return Err(match nearest {
            Some(nearest) => failure.way_out(format!("it says: {nearest}")),
            None => failure.way_out("`doorward list` shows what it says"),
        });
    }
    Ok(edits)
}

fn tree(loaded: &Loaded, id: FileId) -> doorward::syntax::Tree {
    parse(id, loaded.sources.text(id)).0
}

/// The disk as it will be.
struct Changed<'a> {
    disk: &'a Disk,
    edits: &'a Edits,
}

impl Files for Changed<'_> {
    fn read(&self, path: &str) -> Result<String, FileError> {
        // The disk is asked in any case: it judges who else may write there.
        let text = self.disk.read(path)?;
        let canonical = self.disk.canonical(path);
        let edit = self.edits.0.iter().find(|edit| self.disk.canonical(&edit.path) == canonical);
        Ok(edit.map_or(text, |edit| edit.after.text.clone()))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, FileError> {
        self.disk.list(folder)
    }

    fn canonical(&self, path: &str) -> String {
        self.disk.canonical(path)
    }
}
