//! A policy and all files that it names, read once each; knows no host and looks no name up.

use super::facts::{FileError, Files};
use super::lists::{self, List};
use super::path;
use crate::report::{FileId, Report, Sources, Span, Spanned};
use crate::syntax;
use crate::syntax::ast::{DefineValue, Sentence, SentenceKind};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A policy as it was read: the sentences of all files, in order of inclusion.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The texts.
    pub sources: Sources,
    /// The files of sentences, the main one first; lists are not among them.
    pub files: Vec<LoadedFile>,
    /// All sentences that could be read.
    pub sentences: Vec<Sentence>,
    /// The lists that sentences name, by the place of the file name.
    pub lists: HashMap<Span, List>,
    /// What is wrong so far.
    pub reports: Vec<Report>,
    /// Names whose definition is there, but not in a readable form.
    pub(super) broken: BTreeSet<String>,
}

/// A file of a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadedFile {
    /// Its number in the sources.
    pub id: FileId,
    /// Where it lies.
    pub path: String,
}

/// Files include files so deep and no deeper: beyond it, links of the file system go in a circle.
const MAX_DEPTH: usize = 32;

/// Reads the policy at `path` with everything that it includes, and all lists.
#[must_use]
pub fn load(files: &dyn Files, path: &str) -> Loaded {
    let mut loader =
        Loader { files, main: path, done: BTreeSet::new(), read: HashMap::new(), out: Loaded::default() };
    match files.read(path) {
        Ok(text) => loader.take(path, text, &mut Vec::new()),
        Err(error) => {
            let id = loader.out.sources.add(path::shown(path, path), "");
            let start = Span { file: id, start: 0, end: 0 };
            let way_out = match error {
                FileError::Missing => {
                    "name a file that is there; three lines are a policy: examples/three-lines.dw"
                }
                FileError::Folder => "name the file in it that includes the others",
                _ => "see that the file is text and that this user may read it",
            };
            loader.out.reports.push(
                Report::error("policy-not-read", start, format!("`{path}` cannot be read: {error}"))
                    .way_out(way_out),
            );
        }
    }
    loader.out
}

/// What a list file turned out to be.
#[derive(Clone)]
enum ListRead {
    Good(List),
    /// What is wrong with its lines is already said.
    Bad,
    Unread(FileError),
}

/// A file that is being read, and by its place in the row the one that includes it.
struct Link {
    canonical: String,
    /// What messages call it.
    shown: String,
}

struct Loader<'a> {
    files: &'a dyn Files,
    main: &'a str,
    /// Canonical paths of files that were read.
    done: BTreeSet<String>,
    /// Lists by canonical path.
    read: HashMap<String, ListRead>,
    out: Loaded,
}

impl Loader<'_> {
    /// Takes a file in. `chain` holds the files that include it, the main one first.
    fn take(&mut self, path: &str, text: String, chain: &mut Vec<Link>) {
        let canonical = self.files.canonical(path);
        self.done.insert(canonical.clone());
        let id = self.out.sources.add(path::shown(self.main, path), text);
        self.out.files.push(LoadedFile { id, path: path.to_owned() });
        let (tree, reports) = syntax::parse(id, self.out.sources.text(id));
        self.out.broken.extend(tree.doubtful_names().iter().cloned());
        self.out.reports.extend(reports);
        chain.push(Link { canonical, shown: path::shown(self.main, path) });
        for sentence in tree.sentences() {
            match &sentence.kind {
                SentenceKind::Include(named) => self.include(path, named, chain),
                SentenceKind::Define(define) => {
                    if let DefineValue::File(named) = &define.value {
                        self.list(path, named);
                    }
                    self.out.sentences.push(sentence.clone());
                }
                _ => self.out.sentences.push(sentence.clone()),
            }
        }
        chain.pop();
    }

    fn include(&mut self, from: &str, named: &Spanned<String>, chain: &mut Vec<Link>) {
        let path = path::beside(from, &named.node);
        match self.files.read(&path) {
            Ok(text) => self.include_file(&path, text, named.span, chain),
            Err(FileError::Folder) => self.include_folder(&path, named, chain),
            Err(error) => self.not_included(named, &error),
        }
    }

    fn include_folder(&mut self, folder: &str, named: &Spanned<String>, chain: &mut Vec<Link>) {
        let mut found = match self.files.list(folder) {
            Ok(found) => found,
            Err(error) => return self.not_included(named, &error),
        };
        found.retain(|name| name.strip_suffix(".dw").is_some_and(|stem| !stem.starts_with('.')));
        found.sort_unstable();
        for name in found {
            let path = format!("{}/{name}", folder.trim_end_matches('/'));
            match self.files.read(&path) {
                Ok(text) => self.include_file(&path, text, named.span, chain),
                // No deeper: a folder is left alone even when its name ends in `.dw`.
                Err(FileError::Folder) => {}
                Err(error) => {
                    let shown = path::shown(self.main, &path);
                    self.not_included(&Spanned::new(shown, named.span), &error);
                }
            }
        }
    }

    fn include_file(&mut self, path: &str, text: String, span: Span, chain: &mut Vec<Link>) {
        let canonical = self.files.canonical(path);
        if let Some(at) = chain.iter().position(|link| link.canonical == canonical) {
            let mut circle: Vec<&str> = chain.iter().skip(at).map(|link| link.shown.as_str()).collect();
            let itself = circle.first().copied().unwrap_or_default();
            circle.push(itself);
            let report = Report::error("include-circle", span, format!("`{itself}` includes itself"))
                .label(circle.join(" → "))
                .way_out(
                    "take one of these `include` lines out: a file is read once, wherever it is included",
                );
            return self.out.reports.push(report);
        }
        if self.done.contains(&canonical) {
            return;
        }
        if chain.len() >= MAX_DEPTH {
            let report =
                Report::error("include-too-deep", span, format!("files include each other {MAX_DEPTH} deep"))
                    .label("this one is not read")
                    .way_out("include it from the main file");
            return self.out.reports.push(report);
        }
        self.take(path, text, chain);
    }

    fn not_included(&mut self, named: &Spanned<String>, error: &FileError) {
        let report = Report::error("include-not-read", named.span, format!("`{}` cannot be included: {error}", named.node))
            .way_out("a path is relative to the folder of the file that says it; a folder may be empty, but not missing");
        self.out.reports.push(report);
    }

    fn list(&mut self, from: &str, named: &Spanned<String>) {
        let path = path::beside(from, &named.node);
        let canonical = self.files.canonical(&path);
        let known = match self.read.get(&canonical) {
            Some(known) => known.clone(),
            None => {
                let read = match self.files.read(&path) {
                    Err(error) => ListRead::Unread(error),
                    Ok(text) => {
                        match lists::read(&path::shown(self.main, &path), &text, &mut self.out.sources) {
                            Ok(list) => ListRead::Good(list),
                            Err(reports) => {
                                self.out.reports.extend(reports);
                                ListRead::Bad
                            }
                        }
                    }
                };
                self.read.insert(canonical, read.clone());
                read
            }
        };
        match known {
            ListRead::Good(list) => {
                self.out.lists.insert(named.span, list);
            }
            ListRead::Bad => {}
            ListRead::Unread(error) => {
                let report = Report::error("list-not-read", named.span, format!("the list `{}` cannot be read: {error}", named.node))
                    .way_out("a path is relative to the folder of the file that says it; a list may be empty, but not missing");
                self.out.reports.push(report);
            }
        }
    }
}

impl Loaded {
    /// The list of a definition; none if it could not be read, which is said already.
    pub(super) fn list(&self, named: &Spanned<String>) -> Option<Arc<crate::net::AddrSet>> {
        self.lists.get(&named.span).map(|list| Arc::clone(&list.set))
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::MemoryFiles;
    use super::*;

    fn ids(loaded: &Loaded) -> Vec<&'static str> {
        loaded.reports.iter().map(|report| report.id).collect()
    }

    #[test]
    fn a_policy_that_is_not_there() {
        let loaded = load(&MemoryFiles::default(), "/etc/doorward/policy.dw");
        assert_eq!(ids(&loaded), ["policy-not-read"]);
        let shown = loaded.reports.iter().map(|r| r.render(&loaded.sources)).collect::<String>();
        assert!(
            shown.starts_with("policy.dw:1:1: `/etc/doorward/policy.dw` cannot be read: it does not exist")
        );
        let folder = MemoryFiles::default().with("policies/a.dw", "");
        assert_eq!(ids(&load(&folder, "policies")), ["policy-not-read"]);
    }

    /// A chain of different files, as links in a circle make it, ends at a bound.
    #[test]
    fn a_chain_without_end() {
        let mut files = MemoryFiles::default();
        for n in 0..100 {
            files = files.with(&format!("{n}.dw"), &format!("include \"{}.dw\"\n", n + 1));
        }
        assert_eq!(ids(&load(&files, "0.dw")), ["include-too-deep"]);
    }

    /// However the caller spells paths to tell files apart, messages say them as they were given.
    #[test]
    fn a_circle_is_shown_in_the_paths_of_the_policy() {
        struct Real(MemoryFiles);
        impl Files for Real {
            fn read(&self, path: &str) -> Result<String, FileError> {
                self.0.read(path)
            }
            fn list(&self, folder: &str) -> Result<Vec<String>, FileError> {
                self.0.list(folder)
            }
            fn canonical(&self, path: &str) -> String {
                format!("/somewhere/else/{}", path::normal(path))
            }
        }
        let files = MemoryFiles::default()
            .with("here/p.dw", "include \"d\"\n")
            .with("here/d/a.dw", "include \"../p.dw\"\n");
        let loaded = load(&Real(files), "here/p.dw");
        let circle = loaded.reports.first().map(|r| (r.message.as_str(), r.label.as_str()));
        assert_eq!(circle, Some(("`p.dw` includes itself", "p.dw → d/a.dw → p.dw")));
    }

    /// An empty folder is fine, a file that is no text is told from one that is missing.
    #[test]
    fn what_the_system_says_is_passed_on() {
        struct Odd;
        impl Files for Odd {
            fn read(&self, path: &str) -> Result<String, FileError> {
                match path {
                    "p.dw" => {
                        Ok("include \"empty\"\ninclude \"picture.dw\"\ndefine a = file \"secret.txt\"\n"
                            .into())
                    }
                    "empty" => Err(FileError::Folder),
                    "picture.dw" => Err(FileError::NotText),
                    _ => Err(FileError::Refused("permission denied".into())),
                }
            }
            fn list(&self, _: &str) -> Result<Vec<String>, FileError> {
                Ok(Vec::new())
            }
        }
        let loaded = load(&Odd, "p.dw");
        assert_eq!(ids(&loaded), ["include-not-read", "list-not-read"]);
        let shown = loaded.reports.iter().map(|r| r.render(&loaded.sources)).collect::<String>();
        assert!(shown.contains("it is not text in UTF-8") && shown.contains("permission denied"), "{shown}");
    }
}
