//! What a policy read, and what it was told, so that it can be read again without the disk.

use doorward::resolve::{FileError, Files};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every answer that files gave, by the path that was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Record {
    /// What the library calls the main file.
    pub main: String,
    /// Texts.
    pub reads: BTreeMap<String, Result<Arc<str>, FileError>>,
    /// What lies in folders.
    pub folders: BTreeMap<String, Result<Vec<String>, FileError>>,
    /// The one spelling of paths.
    pub canonical: BTreeMap<String, String>,
}

impl Files for Record {
    fn read(&self, path: &str) -> Result<String, FileError> {
        self.reads
            .get(path)
            .map_or_else(|| Err(never(path)), |answer| answer.clone().map(|text| text.to_string()))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, FileError> {
        self.folders.get(folder).map_or_else(|| Err(never(folder)), Clone::clone)
    }

    fn canonical(&self, path: &str) -> String {
        self.canonical.get(path).map_or_else(|| path.to_owned(), Clone::clone)
    }
}

fn never(path: &str) -> FileError {
    FileError::Refused(format!("`{path}` was not read when the generation was saved"))
}

/// Files that remember what they were asked.
pub(crate) struct Recorder<'a> {
    files: &'a dyn Files,
    record: RefCell<Record>,
}

impl<'a> Recorder<'a> {
    /// Remembers what these files answer, for the policy of this main file.
    pub(crate) fn new(files: &'a dyn Files, main: &str) -> Recorder<'a> {
        Recorder { files, record: RefCell::new(Record { main: main.to_owned(), ..Record::default() }) }
    }

    /// What was asked, and the answers.
    pub(crate) fn record(self) -> Record {
        self.record.into_inner()
    }
}

// The first answer counts: what is read again, such as a file that is included twice, is not looked at.
impl Files for Recorder<'_> {
    fn read(&self, path: &str) -> Result<String, FileError> {
        let answer = self.files.read(path);
        let mut record = self.record.borrow_mut();
        if !record.reads.contains_key(path) {
            let kept = answer.as_deref().map(Arc::from).map_err(Clone::clone);
            record.reads.insert(path.to_owned(), kept);
        }
        answer
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, FileError> {
        let answer = self.files.list(folder);
        self.record.borrow_mut().folders.entry(folder.to_owned()).or_insert_with(|| answer.clone());
        answer
    }

    fn canonical(&self, path: &str) -> String {
        let answer = self.files.canonical(path);
        self.record.borrow_mut().canonical.entry(path.to_owned()).or_insert_with(|| answer.clone());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward::resolve::{Host, MemoryFiles, load, resolve};

    #[test]
    fn what_was_read_is_read_again() {
        let files = MemoryFiles::default()
            .with(
                "p.dw",
                "include \"d\"\ninclude \"d/b.dw\"\ndefine spam = file \"s.txt\"\nblock from spam\n",
            )
            .with("d/a.dw", "allow ssh\n")
            .with("d/b.dw", "allow http\n")
            .with("d/notes.txt", "")
            .with("s.txt", "192.0.2.1\n");
        let recorder = Recorder::new(&files, "p.dw");
        let first = load(&recorder, "p.dw");
        let record = recorder.record();
        let again = load(&record, &record.main);
        assert_eq!(resolve(&again, &Host::default()), resolve(&first, &Host::default()));
        let (resolved, reports) = resolve(&again, &Host::default());
        assert!(resolved.is_some(), "{reports:?}");
        assert_eq!(record.list("d"), files.list("d"));
        assert_eq!(record.read("d"), Err(FileError::Folder));
        assert!(matches!(record.read("d/notes.txt"), Err(FileError::Refused(_))), "nobody read it");
    }

    /// What could not be read is remembered as such.
    #[test]
    fn mistakes_are_answers() {
        let files = MemoryFiles::default().with("p.dw", "include \"more.dw\"\n");
        let recorder = Recorder::new(&files, "p.dw");
        let first = load(&recorder, "p.dw").reports;
        let record = recorder.record();
        assert_eq!(record.read("more.dw"), Err(FileError::Missing));
        assert_eq!(load(&record, "p.dw").reports, first);
    }
}
