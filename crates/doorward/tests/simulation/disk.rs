//! A disk that forgets what was not synced: generations, and the pointer that says which of them boots.

use crate::book::Gen;
use crate::random::Random;

/// How far a generation is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Written {
    /// Some of its files.
    Partly,
    /// All of them; the power may still take them.
    Whole,
    /// Synced.
    Synced,
}

#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) id: u32,
    pub(crate) who: Gen,
    pub(crate) written: Written,
    /// Its checksum is wrong.
    pub(crate) damaged: bool,
    /// What the kernel made of it was not what was meant.
    pub(crate) disowned: bool,
}

impl Kept {
    pub(crate) fn is_good(&self) -> bool {
        self.written >= Written::Whole && !self.damaged
    }
}

/// The confirmed one, and the one before.
pub(crate) type Pointer = [Option<u32>; 2];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mood {
    Well,
    Full,
    ReadOnly,
}

/// A write that went so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Went {
    Through,
    /// The disk said no.
    Refused,
}

#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) kept: Vec<Kept>,
    /// As it is read.
    pub(crate) pointer: Pointer,
    /// As it is for sure after a loss of power.
    pub(crate) synced: Pointer,
    pub(crate) mood: Mood,
    next: u32,
}

/// The pieces of a save, and of a new pointer.
pub(crate) const PIECES: u64 = 3;

impl Disk {
    pub(crate) fn new() -> Disk {
        Disk { kept: Vec::new(), pointer: [None; 2], synced: [None; 2], mood: Mood::Well, next: 1 }
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Kept> {
        self.kept.iter().find(|one| one.id == id)
    }

    /// The generation with this number in the kernel; of several the latest.
    pub(crate) fn in_kernel(&self, number: u8) -> Option<&Kept> {
        let latest = self.kept.iter().rev().find(|kept| kept.who.number == number && kept.is_good());
        latest.filter(|kept| !kept.disowned)
    }

    /// What boot may load.
    pub(crate) fn bootable(&self, at: usize) -> Option<&Kept> {
        self.get(self.pointer[at]?).filter(|one| one.is_good())
    }

    /// The number that the next save uses.
    pub(crate) fn reserve(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    /// Writes a generation: its files, the index that names them, what makes them last.
    pub(crate) fn save(&mut self, id: u32, who: Gen, pieces: u64) -> Went {
        let states = [Written::Partly, Written::Whole, Written::Synced];
        for written in states.into_iter().take(pieces as usize) {
            match self.mood {
                Mood::ReadOnly => return Went::Refused,
                Mood::Full if written > Written::Partly => return Went::Refused,
                _ => {}
            }
            match self.kept.iter_mut().find(|one| one.id == id) {
                Some(one) => one.written = written,
                None => self.kept.push(Kept { id, who, written, damaged: false, disowned: false }),
            }
        }
        Went::Through
    }

    /// Points at a generation: a file beside it, its new name, what makes the name last. Then tidies.
    pub(crate) fn point(&mut self, id: u32, pieces: u64) -> Went {
        if self.mood != Mood::Well || self.get(id).is_none() {
            return Went::Refused;
        }
        if pieces < 2 {
            return Went::Through;
        }
        if self.pointer[0] != Some(id) {
            let good = |one: &Option<u32>| one.is_some_and(|one| self.get(one).is_some_and(Kept::is_good));
            let before = self.pointer.into_iter().filter(|one| *one != Some(id)).find(good);
            self.pointer = [Some(id), before.flatten()];
        }
        if pieces == PIECES {
            self.synced = self.pointer;
            let newest = self.kept.iter().map(|one| one.id).max();
            let pointer = self.pointer;
            self.kept.retain(|one| pointer.contains(&Some(one.id)) || Some(one.id) == newest);
        }
        Went::Through
    }

    pub(crate) fn discard(&mut self, id: u32) -> Went {
        if self.mood != Mood::Well {
            return Went::Refused;
        }
        self.kept.iter_mut().filter(|one| one.id == id).for_each(|one| one.disowned = true);
        Went::Through
    }

    /// The power goes.
    pub(crate) fn crash(&mut self, random: &mut Random) {
        if random.percent(50) {
            self.pointer = self.synced;
        }
        self.synced = self.pointer;
        self.kept.retain_mut(|one| {
            if one.written == Written::Synced {
                return true;
            }
            if one.written == Written::Whole && random.percent(30) {
                one.written = Written::Synced;
            } else {
                one.written = Written::Partly;
            }
            random.percent(60)
        });
    }
}
