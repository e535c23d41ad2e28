//! What was proven, as a type: only such a value can be loaded on a host; proves nothing itself.

use std::ops::Deref;

/// Something that was proven to mean what a policy says. The proof alone makes one, and what is made of one keeps
/// its meaning.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "what was proven is there to be loaded"]
pub struct Checked<T>(T);

impl<T> Checked<T> {
    /// Only for what was proven.
    pub(crate) fn vouched(value: T) -> Checked<T> {
        Checked(value)
    }

    /// Another form of the same.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Checked<U> {
        Checked(change(self.0))
    }

    /// Changes what does not matter for the meaning.
    pub(crate) fn adjust(&mut self, change: impl FnOnce(&mut T)) {
        change(&mut self.0);
    }
}

impl<T> Deref for Checked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
