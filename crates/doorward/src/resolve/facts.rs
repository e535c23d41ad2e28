//! What a policy is resolved against, handed in by the caller; nothing here asks the system.

use crate::net::Family;
use std::collections::BTreeMap;
use std::fmt;

/// The files that a policy speaks of. The library opens none: the caller reads.
pub trait Files {
    /// The whole text of a file.
    fn read(&self, path: &str) -> Result<String, FileError>;

    /// The plain names of what lies in a folder, in any order.
    fn list(&self, folder: &str) -> Result<Vec<String>, FileError>;

    /// One spelling for a path that has several, so that a file is read once.
    fn canonical(&self, path: &str) -> String {
        super::path::normal(path)
    }
}

/// Why a file could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileError {
    /// There is no such file or folder.
    Missing,
    /// It is a folder.
    Folder,
    /// It is no folder.
    NotFolder,
    /// It is not UTF-8 text.
    NotText,
    /// The system said no, in its words.
    Refused(String),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileError::Missing => "it does not exist",
            FileError::Folder => "it is a folder",
            FileError::NotFolder => "it is no folder",
            FileError::NotText => "it is not text in UTF-8",
            FileError::Refused(words) => words,
        })
    }
}

/// Files in memory, by path: for tests, and for texts that are not on disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemoryFiles(pub BTreeMap<String, String>);

impl MemoryFiles {
    /// The same with one more file.
    #[must_use]
    pub fn with(mut self, path: &str, text: &str) -> MemoryFiles {
        self.0.insert(path.to_owned(), text.to_owned());
        self
    }

    /// What lies below a folder, paths relative to it.
    fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = &'a str> {
        let mut prefix = super::path::normal(folder);
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        self.0.keys().filter_map(move |path| path.strip_prefix(prefix.as_str()))
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &str) -> Result<String, FileError> {
        match self.0.get(&super::path::normal(path)) {
            // A name that ends in a slash makes an empty folder.
            Some(text) => Ok(text.clone()),
            None if self.below(path).next().is_some() => Err(FileError::Folder),
            None => Err(FileError::Missing),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, FileError> {
        let mut names: Vec<String> = self
            .below(folder)
            .filter_map(|path| path.split('/').next())
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        names.dedup();
        match self.read(folder) {
            Ok(_) => Err(FileError::NotFolder),
            Err(FileError::Folder) => Ok(names),
            Err(other) => Err(other),
        }
    }
}

/// What the host has, at the time when the policy is resolved.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Host {
    /// Its network interfaces; none at all where they are not known, and then none is missed.
    pub interfaces: Vec<HostInterface>,
    /// Its users by name (local files only).
    pub users: BTreeMap<String, u32>,
    /// Its groups by name.
    pub groups: BTreeMap<String, u32>,
    /// Whether its kernel passes on what is not for this host.
    pub forwarding: Forwarding,
}

/// Whether a kernel passes packets on, by family; none where that is not known, and then nothing is missed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Forwarding {
    /// `net.ipv4.ip_forward`
    pub v4: Option<bool>,
    /// `net.ipv6.conf.all.forwarding`
    pub v6: Option<bool>,
}

impl Forwarding {
    /// Of a family.
    #[must_use]
    pub fn of(self, family: Family) -> Option<bool> {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// A network interface of the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostInterface {
    /// Its name.
    pub name: String,
    /// Whether it is a bridge: what stays on one passes.
    pub is_bridge: bool,
}
