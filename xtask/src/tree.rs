//! The tracked files of the workspace, cut into crates; judges nothing.

use std::path::Path as FsPath;
use std::process::Command;
use std::{fs, io};

use crate::lex::{self, Token};

/// A file that the tree holds.
#[derive(Debug)]
pub(crate) struct File {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    /// Its text; bytes that are no UTF-8 are replaced.
    pub(crate) text: String,
    /// Its tokens, for a Rust file.
    pub(crate) tokens: Vec<Token>,
}

impl File {
    /// Whether it is Rust source.
    pub(crate) fn is_rust(&self) -> bool {
        has_ending(&self.path, "rs")
    }

    /// The lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }
}

/// A package: a folder with a manifest that has a name.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its name in the manifest.
    pub(crate) name: String,
    /// Its folder from the root, with a `/` at the end; empty for the root.
    pub(crate) folder: String,
}

/// All files.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: Vec<File>,
    test_files: Vec<String>,
}

impl Tree {
    /// Reads what git tracks, or would track, below `root`.
    pub(crate) fn read(root: &FsPath) -> io::Result<Self> {
        let mut files = Vec::new();
        for path in tracked(root)? {
            match fs::read(root.join(&path)) {
                Ok(bytes) => files.push((path, String::from_utf8_lossy(&bytes).into_owned())),
                // Deleted but not committed yet, or a link to a folder.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self::new(files))
    }

    /// A tree of these paths and texts.
    pub(crate) fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let files: Vec<File> = files
            .into_iter()
            .map(|(path, text)| {
                let tokens = if has_ending(&path, "rs") { lex::tokens(&text) } else { Vec::new() };
                File { path, text, tokens }
            })
            .collect();
        let mut test_files = Vec::new();
        for file in &files {
            let folder = module_folder(&file.path);
            for name in lex::test_modules(&file.tokens) {
                test_files.push(format!("{folder}{name}.rs"));
                test_files.push(format!("{folder}{name}/"));
            }
        }
        Self { files, test_files }
    }

    /// Every file.
    pub(crate) fn files(&self) -> &[File] {
        &self.files
    }

    /// The file at this path.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust files below a folder.
    pub(crate) fn rust_below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.is_rust() && file.path.starts_with(folder))
    }

    /// Every manifest.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml"))
    }

    /// Every package.
    pub(crate) fn packages(&self) -> Vec<Package> {
        self.manifests()
            .filter_map(|manifest| {
                let name = manifest
                    .text
                    .lines()
                    .skip_while(|line| line.trim() != "[package]")
                    .skip(1)
                    .take_while(|line| !line.starts_with('['))
                    .find_map(|line| line.strip_prefix("name = "))?;
                Some(Package {
                    name: name.trim_matches('"').to_owned(),
                    folder: manifest.path.trim_end_matches("Cargo.toml").to_owned(),
                })
            })
            .collect()
    }

    /// Whether only tests compile the whole file.
    pub(crate) fn is_test(&self, file: &File) -> bool {
        let by_place = ["tests/", "benches/"]
            .iter()
            .any(|folder| file.path.starts_with(folder) || file.path.contains(&format!("/{folder}")));
        let declared = self.test_files.iter().any(|test| {
            if test.ends_with('/') { file.path.starts_with(test.as_str()) } else { file.path == *test }
        });
        by_place || declared
    }
}

/// Whether a path has this extension.
fn has_ending(path: &str, ending: &str) -> bool {
    FsPath::new(path).extension().is_some_and(|e| e == ending)
}

/// The folder where the modules that a file declares live.
fn module_folder(path: &str) -> String {
    let stem = path.trim_end_matches(".rs");
    match stem.rsplit_once('/') {
        Some((folder, "lib" | "main" | "mod")) => format!("{folder}/"),
        _ => format!("{stem}/"),
    }
}

fn tracked(root: &FsPath) -> io::Result<Vec<String>> {
    // The tree may belong to another user, as in a container that mounts it.
    let safe = format!("safe.directory={}", root.display());
    let output = Command::new("git")
        .args(["-c", &safe, "ls-files", "-z", "--cached", "--others"])
        .arg("--exclude-standard")
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("git ls-files: {}", reason.trim())));
    }
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(list.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Small trees for the tests of the checks.

    use super::Tree;

    /// A tree with these files.
    pub(crate) fn tree(files: &[(&str, &str)]) -> Tree {
        Tree::new(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::tree;

    #[test]
    fn files_of_tests_are_known_by_place_and_by_declaration() {
        let tree = tree(&[
            ("a/src/lib.rs", "#[cfg(test)]\nmod golden;\nmod plain;"),
            ("a/src/golden.rs", ""),
            ("a/src/golden/deep.rs", ""),
            ("a/src/plain.rs", "#[cfg(test)] mod props;"),
            ("a/src/plain/props.rs", ""),
            ("a/tests/one.rs", ""),
        ]);
        let tests: Vec<_> = tree.files().iter().filter(|file| tree.is_test(file)).collect();
        let paths: Vec<_> = tests.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            paths,
            ["a/src/golden.rs", "a/src/golden/deep.rs", "a/src/plain/props.rs", "a/tests/one.rs"]
        );
    }

    #[test]
    fn packages_have_name_and_folder() {
        let tree = tree(&[
            ("Cargo.toml", "[workspace]\n"),
            ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n\n[[bin]]\nname = \"b\"\n"),
        ]);
        let packages = tree.packages();
        assert_eq!(packages.len(), 1);
        assert_eq!((packages[0].name.as_str(), packages[0].folder.as_str()), ("a", "crates/a/"));
    }
}
