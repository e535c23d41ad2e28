//! What became of the files of a policy since it was put in force; says nothing about what they mean.

use crate::store::Record;
use doorward::resolve::{self, FileError, Files};
use std::collections::BTreeSet;

/// Files that are not what they were, by path.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Since {
    /// Files of sentences, and folders that are included.
    pub sentences: Vec<String>,
    /// Lists.
    pub lists: Vec<String>,
}

impl Since {
    /// What these files say now, against what was read then.
    pub(crate) fn of(then: &Record, now: &dyn Files) -> Since {
        let texts: BTreeSet<String> =
            resolve::load(then, &then.main).files.into_iter().map(|file| file.path).collect();
        let mut since = Since::default();
        for (path, text) in &then.reads {
            // What was read in another folder has the same name here, and is another file.
            let place = then.canonical.get(path).unwrap_or(path);
            let same = match (now.read(place), text) {
                (Ok(now), Ok(then)) => now == **then,
                (Err(_), Err(FileError::Missing)) => true,
                (now, then) => now.as_deref().err() == then.as_ref().err(),
            };
            if !same {
                if texts.contains(path) { &mut since.sentences } else { &mut since.lists }.push(path.clone());
            }
        }
        for (path, names) in &then.folders {
            let sorted = |names: Vec<String>| names.into_iter().collect::<BTreeSet<_>>();
            let (now, then) = (now.list(path).map(sorted), names.clone().map(sorted));
            if now != then {
                since.sentences.push(path.clone());
            }
        }
        since
    }

    /// Whether nothing but lists changed.
    pub(crate) fn is_lists_only(&self) -> bool {
        self.sentences.is_empty() && !self.lists.is_empty()
    }

    /// Whether all is as it was.
    pub(crate) fn is_empty(&self) -> bool {
        self.sentences.is_empty() && self.lists.is_empty()
    }
}

/// A record whose files are asked for by their one spelling.
pub(crate) struct Placed<'a>(pub &'a Record);

impl Placed<'_> {
    fn named<'b>(&'b self, place: &'b str) -> &'b str {
        let mut spelled = self.0.canonical.iter();
        spelled.find(|(_, canonical)| *canonical == place).map_or(place, |(path, _)| path)
    }
}

impl Files for Placed<'_> {
    fn read(&self, path: &str) -> Result<String, FileError> {
        self.0.read(self.named(path))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, FileError> {
        self.0.list(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Recorder;
    use doorward::resolve::MemoryFiles;

    #[test]
    fn lists_and_sentences_are_told_apart() {
        let then = MemoryFiles::default()
            .with("p.dw", "define spam = file \"s.txt\"\nblock from spam\ninclude \"d\"\n")
            .with("d/a.dw", "allow ssh\n")
            .with("s.txt", "192.0.2.1\n");
        let recorder = Recorder::new(&then, "p.dw");
        let _ = resolve::load(&recorder, "p.dw");
        let record = recorder.record();
        assert!(Since::of(&record, &then).is_empty());
        let list = then.clone().with("s.txt", "192.0.2.2\n");
        assert!(Since::of(&record, &list).is_lists_only());
        let text = then.clone().with("d/a.dw", "allow http\n").with("s.txt", "");
        let since = Since::of(&record, &text);
        assert_eq!((since.sentences, since.lists), (vec!["d/a.dw".to_owned()], vec!["s.txt".to_owned()]));
        let now = Recorder::new(&list, "p.dw");
        let _ = resolve::load(&now, "p.dw");
        assert!(Since::of(&record, &Placed(&now.record())).is_lists_only());
        let more = then.with("d/b.dw", "allow http\n");
        assert_eq!(Since::of(&record, &more).sentences, ["d"]);
    }
}
