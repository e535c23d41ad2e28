//! Writing generations and the pointer so that nothing readable is ever half written; decides nothing.

use super::index::{Draft, Index, Who};
use super::moment::Moment;
use super::pointer::{Confirmation, Pointer};
use super::{ARTIFACT, CONFIRMED, DISOWNED, GENERATIONS, INDEX, Store, text_name};
use crate::exit::{Exit, Failure};
use crate::folder::Folder;
use crate::lock::Lock;
use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;

/// What is not whole yet has a name that begins so; after a crash the next writer removes it.
pub(super) const NEW: &str = ".new-";
/// The same for what is being removed.
pub(super) const GONE: &str = ".gone-";
/// The pointer that is to come.
const NEXT: &str = ".new-confirmed";
/// Texts from here on are linked to an equal one of another generation; a link to less saves nothing, as a file
/// takes a block of the disk at least.
const WORTH_A_LINK: usize = 4096;

/// What is kept in one folder, for who has the lock.
pub(crate) struct Writer<'l> {
    /// What is kept.
    pub store: Store,
    _lock: &'l Lock,
}

/// A pointer that is on the disk and takes one rename to count, so that a full disk is found out before the kernel
/// is asked. If it never counts it is removed.
pub(crate) struct Prepared<'w> {
    store: &'w Store,
    counts: bool,
}

impl<'l> Writer<'l> {
    /// What is kept in this folder, which is made if it is missing. What a crash left behind is removed.
    pub(crate) fn open(state: &Path, lock: &'l Lock) -> Result<Writer<'l>, Failure> {
        let state = Folder::make(state)?;
        let generations = state.always_sub(OsStr::new(GENERATIONS))?;
        let store = Store { state, generations };
        store.remove_leftovers()?;
        Ok(Writer { store, _lock: lock })
    }

    /// Saves a generation, whole or not at all, and gives its number. Beside it and what boot needs, the one that
    /// is on trial keeps its artifact.
    pub(crate) fn save(&self, draft: &Draft<'_>, on_trial: Option<u64>) -> Result<u64, Failure> {
        let number = self.next()?;
        let (unready, ready) = (format!("{NEW}{number}"), number.to_string());
        let generations = &self.store.generations;
        let write = || {
            self.fill(&generations.make_sub(OsStr::new(&unready))?, number, draft)?;
            let renamed = generations.rename(&unready, &ready, false);
            renamed.map_err(|error| generations.failed(&ready, "be made", &error))?;
            generations.sync().inspect_err(|_| {
                let _ = generations.remove(&ready);
            })
        };
        write().map_err(|mut failure: Failure| {
            let _ = generations.remove(&unready);
            failure.messages.insert(0, format!("generation {number} cannot be saved"));
            failure
        })?;
        let needed: Vec<u64> = on_trial.into_iter().chain([number]).collect();
        self.store.tidy(&needed);
        Ok(number)
    }

    /// A number that was never given.
    fn next(&self) -> Result<u64, Failure> {
        let last = self.store.numbers()?.pop().unwrap_or(0);
        // Should somebody have removed folders, the pointer may know more. One that is damaged is said elsewhere.
        let named = self.store.confirmed().ok().flatten().map_or(0, |pointer| pointer.highest());
        last.max(named).checked_add(1).ok_or_else(|| {
            Failure::new(Exit::System, "there is no number left for a generation")
                .way_out("remove the one with the highest number")
        })
    }

    fn fill(&self, folder: &Folder, number: u64, draft: &Draft<'_>) -> Result<(), Failure> {
        let (index, texts) = Index::of(number, draft);
        let mut earlier = Earlier { store: &self.store, indexes: None };
        for (number, text) in texts.iter().enumerate() {
            let name = text_name(number);
            if text.len() < WORTH_A_LINK || !earlier.link(text, &index, number, folder) {
                write(folder, &name, text.as_bytes())?;
            }
        }
        if let Some(artifact) = draft.artifact {
            write(folder, ARTIFACT, artifact)?;
        }
        let text = index.text().map_err(|error| folder.failed(INDEX, "be written", &error.into()))?;
        write(folder, INDEX, text.as_bytes())?;
        folder.sync()
    }

    /// Notes that what the kernel made of a generation was not what was meant.
    pub(crate) fn disown(&self, generation: u64) -> Result<(), Failure> {
        let folder = self.store.folder(generation)?;
        write(&folder, DISOWNED, &[])?;
        folder.sync()
    }

    /// Writes the pointer to a generation, which counts when [`Prepared::count`] is called.
    pub(crate) fn prepare(&self, generation: u64, when: Moment, who: &Who) -> Result<Prepared<'_>, Failure> {
        self.store.index(generation)?;
        // A damaged one names nobody: this one is the first again.
        let old = self.store.confirmed().ok().flatten();
        let confirmed = Confirmation { generation, when, who: who.clone() };
        let state = &self.store.state;
        let pointer = Pointer::after(old, confirmed, &self.store.numbers()?);
        let text = pointer.text().map_err(|error| state.failed(CONFIRMED, "be written", &error.into()))?;
        state.remove(NEXT)?;
        let prepared = Prepared { store: &self.store, counts: false };
        write(state, NEXT, text.as_bytes())?;
        Ok(prepared)
    }
}

impl Prepared<'_> {
    /// From now on the pointer counts.
    pub(crate) fn count(mut self) -> Result<(), Failure> {
        let state = &self.store.state;
        let renamed = state.rename(NEXT, CONFIRMED, true);
        renamed.map_err(|error| state.failed(CONFIRMED, "be replaced", &error))?;
        self.counts = true;
        state.sync()?;
        self.store.tidy(&[]);
        Ok(())
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if !self.counts {
            // If it stays, it is read by nobody and removed by the next writer.
            let _ = self.store.state.remove(NEXT);
        }
    }
}

/// Earlier generations, looked at once there is a text that is worth a link.
struct Earlier<'a> {
    store: &'a Store,
    indexes: Option<Vec<Index>>,
}

impl Earlier<'_> {
    /// Makes the text of a new generation a link to an equal one, if there is one that is not damaged.
    fn link(&mut self, text: &str, new: &Index, number: usize, to: &Folder) -> bool {
        let Some(sum) = new.texts.get(number) else { return false };
        let store = self.store;
        let indexes = self.indexes.get_or_insert_with(|| {
            let kept = store.list().unwrap_or_default();
            kept.into_iter().filter_map(|one| one.index.ok()).collect()
        });
        let name = text_name(number);
        indexes.iter().any(|old| {
            let Some(at) = old.texts.iter().position(|one| one == sum) else { return false };
            let linked =
                store.folder(old.generation).is_ok_and(|from| from.link(&text_name(at), to, &name).is_ok());
            // What is there now is looked at, not what was there before the link.
            let equal =
                || to.read(&name, sum.bytes).ok().flatten().is_some_and(|bytes| bytes == text.as_bytes());
            let good = linked && equal();
            if linked && !good {
                // Where it stays, writing the text says so.
                let _ = to.remove(&name);
            }
            good
        })
    }
}

/// A new file with this content, on the disk when it returns.
fn write(folder: &Folder, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let written = folder.create(name).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| folder.failed(name, "be written", &error))
}
