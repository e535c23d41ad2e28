//! Which generation is confirmed, and which were before it: the form of the file `confirmed`; opens no file.

use super::index::Who;
use super::moment::Moment;
use super::sealed::{self, FORM};
use serde::{Deserialize, Serialize};

/// That somebody said: keep it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Confirmation {
    /// Of which generation.
    pub generation: u64,
    /// When.
    pub when: Moment,
    /// Who.
    pub who: Who,
}

/// The confirmed generation, which boot loads, and those that were confirmed before it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Pointer {
    form: u32,
    /// The one that counts.
    pub confirmed: Confirmation,
    /// Earlier ones that are still kept, the latest first; boot falls back to the first.
    pub before: Vec<Confirmation>,
}

impl Pointer {
    /// After this confirmation, of the generations that are kept.
    pub(super) fn after(old: Option<Pointer>, confirmed: Confirmation, kept: &[u64]) -> Pointer {
        let earlier = old.into_iter().flat_map(|old| std::iter::once(old.confirmed).chain(old.before));
        let before = earlier
            .filter(|one| one.generation != confirmed.generation && kept.contains(&one.generation))
            .collect();
        Pointer { form: FORM, confirmed, before }
    }

    /// The generation that was confirmed before the confirmed one.
    pub(crate) fn previous(&self) -> Option<u64> {
        self.before.first().map(|one| one.generation)
    }

    /// What is known of the confirmation of a generation.
    pub(crate) fn of(&self, generation: u64) -> Option<&Confirmation> {
        std::iter::once(&self.confirmed).chain(&self.before).find(|one| one.generation == generation)
    }

    /// The highest number that it names.
    pub(super) fn highest(&self) -> u64 {
        self.before.iter().map(|one| one.generation).fold(self.confirmed.generation, u64::max)
    }

    /// Whether boot may load a generation.
    pub(super) fn boots(&self, generation: u64) -> bool {
        self.confirmed.generation == generation || self.previous() == Some(generation)
    }

    /// As it is written.
    pub(super) fn text(&self) -> Result<String, serde_json::Error> {
        sealed::seal(self)
    }

    /// As it was written, or what is wrong.
    pub(super) fn read(bytes: &[u8]) -> Result<Pointer, String> {
        sealed::unseal(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confirmation(generation: u64) -> Confirmation {
        let who = Who { uid: 0, name: Some("root".to_owned()), peer: "2001:db8::7".parse().ok() };
        Confirmation { generation, when: Moment::now(), who }
    }

    fn after(numbers: &[u64], kept: &[u64]) -> Vec<u64> {
        let pointer = numbers
            .iter()
            .fold(None, |old, number| Some(Pointer::after(old, confirmation(*number), kept)))
            .unwrap();
        assert_eq!(Pointer::read(pointer.text().unwrap().as_bytes()), Ok(pointer.clone()));
        let before = pointer.before.iter().map(|one| one.generation);
        std::iter::once(pointer.confirmed.generation).chain(before).collect()
    }

    #[test]
    fn the_one_before_is_remembered() {
        let kept = [1, 2, 3, 5];
        assert_eq!(after(&[1], &kept), [1]);
        assert_eq!(after(&[1, 2], &kept), [2, 1]);
        assert_eq!(after(&[1, 2, 5], &kept), [5, 2, 1]);
        // Said twice, it is not its own fallback.
        assert_eq!(after(&[1, 2, 2], &kept), [2, 1]);
        // Back again.
        assert_eq!(after(&[1, 2, 1], &kept), [1, 2]);
        // Whatever is gone is no fallback.
        assert_eq!(after(&[1, 4, 5], &kept), [5, 1]);
    }
}
