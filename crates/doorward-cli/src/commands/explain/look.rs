//! What a question is put to: the program of a policy, or our rules as the kernel has them; answers nothing.

use crate::exit::{Failure, Stop};
use crate::files::Disk;
use crate::kernel;
use crate::policy;
use crate::terminal::Terminal;
use doorward::compile::{self, Options};
use doorward::explain::Facts;
use doorward::meaning;
use doorward::resolve::Resolved;
use doorward::ruleset::{Table, TableFamily};
use doorward_kernel::read::SetName;
use doorward_kernel::{KernelError, Reader, Scope};
use rustix::io::Errno;
use std::path::Path;

/// What is looked at.
pub(super) struct Looked {
    /// Where the program is from.
    pub source: Source,
    /// The program.
    pub table: Table,
    /// A policy to hold it against, if there is one.
    pub policy: Option<(String, Resolved, meaning::Host)>,
    /// What could not be looked at.
    pub notes: Vec<String>,
}

/// Where a program is from.
pub(super) enum Source {
    /// Compiled from this policy.
    Policy(String),
    /// Read from the kernel, of this generation.
    Kernel(u8),
}

impl Looked {
    /// The program of a policy.
    pub(super) fn policy(
        file: &Path,
        facts: &Facts,
        json: bool,
        terminal: &mut Terminal,
    ) -> Result<Looked, Stop> {
        let disk = Disk::new(file);
        let sound = policy::need_quietly(&disk, json, terminal)?;
        let table = compile::compile(&sound.resolved, &Options::default());
        let host = meaning::Host { own: facts.own() };
        let shown = disk.main().to_owned();
        Ok(Looked {
            source: Source::Policy(shown.clone()),
            table,
            policy: Some((shown, sound.resolved, host)),
            notes: Vec::new(),
        })
    }

    /// Our rules in the kernel; where there are none, or nobody may read them, the program of this policy.
    pub(super) fn kernel(
        usual: &Path,
        facts: &Facts,
        json: bool,
        terminal: &mut Terminal,
    ) -> Result<Looked, Stop> {
        let read = Reader::open().and_then(|reader| reader.read(&kernel::ours()));
        let why = match read {
            Ok(snapshot) => {
                let notes = unread(&snapshot.unread);
                if let Some(table) = snapshot.ruleset.tables.first().and_then(compile::judging)
                    && let Some(generation) = compile::in_force(&table)
                {
                    let source = Source::Kernel(generation);
                    return Ok(Looked { source, table, policy: beside(usual, facts), notes });
                }
                "doorward is not active"
            }
            Err(error) if forbidden(&error) => "the rules in the kernel were not looked at: that needs root",
            Err(error) => return Err(kernel::unread(&error).into()),
        };
        let mut looked = Looked::policy(usual, facts, json, terminal).map_err(|stop| match stop {
            Stop::Failed(failure) => {
                let mut failure = Failure { ways_out: Vec::new(), ..failure };
                failure.messages.insert(0, why.to_owned());
                failure.way_out("name the policy: doorward explain … FILE").into()
            }
            said @ Stop::Said(_) => said,
        })?;
        looked.notes.push(why.to_owned());
        Ok(looked)
    }
}

/// The usual policy, if it is there and has no errors.
fn beside(usual: &Path, facts: &Facts) -> Option<(String, Resolved, meaning::Host)> {
    let disk = Disk::new(usual);
    let resolved = policy::open(&disk).ok()?.resolved?;
    Some((disk.main().to_owned(), resolved, meaning::Host { own: facts.own() }))
}

fn forbidden(error: &KernelError) -> bool {
    matches!(
        error,
        KernelError::Refused { errno, .. } | KernelError::Open { errno, .. } | KernelError::Io { errno, .. }
            if *errno == Errno::PERM || *errno == Errno::ACCESS
    )
}

/// All tables of the kernel, ours replaced by this one, and the place of ours.
pub(super) fn everything(ours: &Table) -> Result<(Vec<Table>, usize, Vec<String>), Failure> {
    let snapshot =
        Reader::open().and_then(|reader| reader.read(&Scope::All)).map_err(|error| kernel::unread(&error))?;
    let mut tables = snapshot.ruleset.tables;
    let known = tables
        .iter()
        .position(|table| (table.family, table.name.as_str()) == (TableFamily::Inet, compile::TABLE));
    let at = known.unwrap_or(tables.len());
    match tables.get_mut(at) {
        Some(place) => *place = ours.clone(),
        None => tables.push(ours.clone()),
    }
    let foreign: Vec<SetName> =
        snapshot.unread.into_iter().filter(|set| set.table != compile::TABLE).collect();
    Ok((tables, at, unread(&foreign)))
}

fn unread(sets: &[SetName]) -> Vec<String> {
    let line = |set: &SetName| {
        format!("set {} of table {} is too large to be read: taken as empty", set.set, set.table)
    };
    sets.iter().map(line).collect()
}
