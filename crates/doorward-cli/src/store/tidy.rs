//! What is kept no longer: leftovers of a crash, old generations, artifacts that can be compiled again.

use super::save::{GONE, NEW};
use super::{ARTIFACT, Store};
use crate::exit::Failure;

/// So many generations are kept, beside those that boot may need.
pub(super) const KEPT: usize = 20;

impl Store {
    /// Removes what a crash left behind. Only for who has the lock: it may be somebody's work.
    pub(super) fn remove_leftovers(&self) -> Result<(), Failure> {
        for folder in [&self.state, &self.generations] {
            for name in folder.names()?.iter().filter(|name| name.starts_with(NEW) || name.starts_with(GONE))
            {
                folder.remove(name)?;
            }
        }
        Ok(())
    }

    /// Removes generations and artifacts that nobody needs: not boot, and not who names them here. What cannot be
    /// removed costs room and nothing else; the next writer tries again.
    pub(super) fn tidy(&self, needed: &[u64]) {
        // With a damaged pointer nobody knows what boot needs.
        let (Ok(pointer), Ok(numbers)) = (self.confirmed(), self.numbers()) else { return };
        let boots = |number: u64| pointer.as_ref().is_some_and(|pointer| pointer.boots(number));
        let old = numbers.len().saturating_sub(KEPT);
        for (at, number) in numbers.into_iter().enumerate() {
            if boots(number) || needed.contains(&number) {
                continue;
            }
            if at < old {
                let _ = self.take_away(number);
            } else if let Ok(folder) = self.folder(number) {
                let _ = folder.remove(ARTIFACT);
            }
        }
    }

    /// A generation that is half removed has another name.
    fn take_away(&self, number: u64) -> Result<(), Failure> {
        let (name, gone) = (number.to_string(), format!("{GONE}{number}"));
        let renamed = self.generations.rename(&name, &gone, false);
        renamed.map_err(|error| self.generations.failed(&name, "be removed", &error))?;
        self.generations.remove(&gone)
    }
}
