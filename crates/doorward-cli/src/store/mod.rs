//! Generations on disk: what was put in force, when and by whom, and which one is confirmed; loads nothing.
//!
//! `DIR/confirmed` names the confirmed generation and those before it. `DIR/generations/N/` holds `index`, the
//! texts `text-0` … as they were read, and `artifact`, what boot loads. Each file ends with its SHA-256 or has it
//! in the index. Who writes has the lock; who reads sees whole generations only.

mod index;
mod moment;
mod pointer;
mod record;
mod save;
mod sealed;
#[cfg(test)]
mod tests;
mod tidy;

pub(crate) use index::{Draft, Index, Who};
pub(crate) use moment::Moment;
pub(crate) use pointer::{Confirmation, Pointer};
pub(crate) use record::{Record, Recorder};
pub(crate) use save::{Prepared, Writer};

use crate::exit::{Exit, Failure};
use crate::folder::Folder;
use sealed::Sum;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

/// The folder of the generations, in that of the state.
const GENERATIONS: &str = "generations";
/// The pointer.
const CONFIRMED: &str = "confirmed";
/// What is said of a generation.
const INDEX: &str = "index";
/// What boot loads.
const ARTIFACT: &str = "artifact";
/// That what the kernel made of it was not what was meant.
const DISOWNED: &str = "disowned";
/// No index and no pointer is larger: a host with 100,000 users and interfaces stays below.
const LARGEST_INDEX: u64 = 1 << 26;

/// The name of a text.
fn text_name(number: usize) -> String {
    format!("text-{number}")
}

/// What is kept in one folder.
#[derive(Debug)]
pub(crate) struct Store {
    state: Folder,
    generations: Folder,
}

/// A generation that is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Its number.
    pub number: u64,
    /// What is said of it, or why that cannot be read.
    pub index: Result<Index, Failure>,
    /// That it was confirmed, if it was.
    pub confirmed: Option<Confirmation>,
}

impl Store {
    /// What is kept in this folder; none where nothing was ever saved.
    pub(crate) fn open(state: &Path) -> Result<Option<Store>, Failure> {
        let Some(state) = Folder::open(state)? else { return Ok(None) };
        let generations = state.sub(OsStr::new(GENERATIONS))?;
        Ok(generations.map(|generations| Store { state, generations }))
    }

    /// The numbers of all generations, the oldest first.
    fn numbers(&self) -> Result<Vec<u64>, Failure> {
        let number = |name: &String| name.parse().ok().filter(|number: &u64| number.to_string() == *name);
        let mut numbers: Vec<u64> = self.generations.names()?.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// All generations, the latest first. One that is damaged is among them.
    pub(crate) fn list(&self) -> Result<Vec<Kept>, Failure> {
        // Should it be damaged, who asks for it is told.
        let pointer = self.confirmed().ok().flatten();
        let kept = |number: u64| Kept {
            number,
            index: self.index(number),
            confirmed: pointer.as_ref().and_then(|pointer| pointer.of(number)).cloned(),
        };
        Ok(self.numbers()?.into_iter().rev().map(kept).collect())
    }

    /// The generation that has this number in the kernel; of several the latest.
    pub(crate) fn in_kernel(&self, number: u8) -> Option<u64> {
        let numbers = self.numbers().unwrap_or_default();
        let has_number = |one: &u64| self.index(*one).is_ok_and(|index| index.kernel == number);
        numbers.into_iter().rev().find(has_number).filter(|one| !self.is_disowned(*one))
    }

    /// Whether what the kernel made of it was not what was meant.
    fn is_disowned(&self, generation: u64) -> bool {
        self.folder(generation).is_ok_and(|folder| folder.file(DISOWNED).is_ok_and(|file| file.is_some()))
    }

    /// Which generation is confirmed, and which were before; none if none ever was.
    pub(crate) fn confirmed(&self) -> Result<Option<Pointer>, Failure> {
        let Some(bytes) = self.state.read(CONFIRMED, LARGEST_INDEX)? else { return Ok(None) };
        Pointer::read(&bytes).map(Some).map_err(|why| {
            let path = self.state.path().join(CONFIRMED);
            Failure::new(Exit::System, format!("`{}` is damaged: it {why}", path.display()))
                .way_out("what the kernel holds goes on; the next confirmation writes it anew")
        })
    }

    /// What is said of a generation.
    pub(crate) fn index(&self, generation: u64) -> Result<Index, Failure> {
        index_in(&self.folder(generation)?, generation)
    }

    /// What boot loads for a generation; none where it was never given or is needed no more.
    pub(crate) fn artifact(&self, generation: u64) -> Result<Option<Vec<u8>>, Failure> {
        let folder = self.folder(generation)?;
        let Some(sum) = index_in(&folder, generation)?.artifact else { return Ok(None) };
        match part(&folder, generation, ARTIFACT, &sum)? {
            Some(bytes) => Ok(Some(bytes)),
            None if self.confirmed()?.is_some_and(|pointer| pointer.boots(generation)) => {
                Err(damaged(generation, ARTIFACT, "is missing"))
            }
            None => Ok(None),
        }
    }

    /// What the policy of a generation read; it answers as the disk did then.
    pub(crate) fn replay(&self, generation: u64) -> Result<Record, Failure> {
        let folder = self.folder(generation)?;
        let index = index_in(&folder, generation)?;
        let mut texts: Vec<Arc<str>> = Vec::new();
        for (number, sum) in index.texts.iter().enumerate() {
            let name = text_name(number);
            let bytes = part(&folder, generation, &name, sum)?
                .ok_or_else(|| damaged(generation, &name, "is missing"))?;
            let text = String::from_utf8(bytes).map_err(|_| damaged(generation, &name, "is no text"))?;
            texts.push(text.into());
        }
        Ok(index.record(&texts))
    }

    fn folder(&self, generation: u64) -> Result<Folder, Failure> {
        let name = generation.to_string();
        match self.generations.sub(OsStr::new(&name))? {
            Some(folder) => Ok(folder),
            None => Err(self.no_such(generation)),
        }
    }

    fn no_such(&self, generation: u64) -> Failure {
        let kept = self.list().unwrap_or_default().into_iter().map(|one| match one.confirmed {
            Some(_) => format!("{} (confirmed)", one.number),
            None => one.number.to_string(),
        });
        let kept = match kept.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "none is kept".to_owned(),
            some => format!("kept are {some}"),
        };
        let folder = self.state.path().display();
        Failure::new(Exit::System, format!("`{folder}` has no generation {generation}")).way_out(kept)
    }
}

fn index_in(folder: &Folder, generation: u64) -> Result<Index, Failure> {
    let bytes = folder.read(INDEX, LARGEST_INDEX)?.ok_or_else(|| damaged(generation, INDEX, "is missing"))?;
    Index::read(generation, &bytes).map_err(|why| damaged(generation, INDEX, &why))
}

/// A file of a generation as it was written; none if it is not there.
fn part(folder: &Folder, generation: u64, name: &str, sum: &Sum) -> Result<Option<Vec<u8>>, Failure> {
    // What is too long is not read to its end.
    let Some((_, length)) = folder.file(name)? else { return Ok(None) };
    if length != sum.bytes {
        return Err(damaged(generation, name, &format!("is {length} bytes long instead of {}", sum.bytes)));
    }
    let Some(bytes) = folder.read(name, sum.bytes)? else { return Ok(None) };
    match sum.differs(&bytes) {
        Some(why) => Err(damaged(generation, name, &why)),
        None => Ok(Some(bytes)),
    }
}

fn damaged(generation: u64, name: &str, why: &str) -> Failure {
    Failure::new(Exit::System, format!("generation {generation} is damaged: its file `{name}` {why}"))
        .way_out("check the disk; `doorward apply` saves the policy anew")
}
