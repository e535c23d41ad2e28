//! What is said of a generation beside its texts: the form of the file `index`; opens no file.

use super::moment::Moment;
use super::record::Record;
use super::sealed::{self, FORM, Sum};
use crate::host::Facts;
use doorward::meaning;
use doorward::resolve::{FileError, Forwarding, Host, HostInterface};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Numbers that a generation can have in the kernel.
const IN_KERNEL: std::ops::RangeInclusive<u8> = 1..=63;

/// Who asked for something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Who {
    /// The user.
    pub uid: u32,
    /// The user's name, if it has one.
    pub name: Option<String>,
    /// Where the session comes from, if it comes from elsewhere.
    pub peer: Option<IpAddr>,
}

/// A generation, without its texts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Index {
    form: u32,
    /// Its number, which is never given again.
    pub generation: u64,
    /// Its number in the kernel, which is.
    pub kernel: u8,
    /// When it was saved.
    pub when: Moment,
    /// Who saved it.
    pub who: Who,
    /// How many sentences it has.
    pub sentences: usize,
    /// TCP ports that sshd listened on.
    pub ssh_ports: Vec<u16>,
    /// Whether all is cut that it does not allow, once it is confirmed.
    pub cut: bool,
    /// What boot loads, if it was given; it is kept only while boot may need it.
    pub artifact: Option<Sum>,
    /// The texts; the first is the file `text-0`.
    pub texts: Vec<Sum>,
    main: String,
    reads: BTreeMap<String, Result<usize, Unread>>,
    folders: BTreeMap<String, Result<Vec<String>, Unread>>,
    canonical: BTreeMap<String, String>,
    host: Answers,
}

/// What is to be said of a generation that is about to be saved.
pub(crate) struct Draft<'a> {
    /// What the policy read.
    pub record: &'a Record,
    /// What the host was asked.
    pub facts: &'a Facts,
    /// How many sentences it has.
    pub sentences: usize,
    /// Its number in the kernel.
    pub kernel: u8,
    /// What boot loads, if that is known.
    pub artifact: Option<&'a [u8]>,
    /// TCP ports that sshd listens on.
    pub ssh_ports: &'a [u16],
    /// Whether all is cut that it does not allow, once it is confirmed.
    pub cut: bool,
    /// Who saves it.
    pub who: Who,
    /// When.
    pub when: Moment,
}

impl Index {
    /// The index of a draft, and its texts, each once.
    pub(super) fn of<'a>(generation: u64, draft: &Draft<'a>) -> (Index, Vec<&'a str>) {
        let mut texts: Vec<&str> = Vec::new();
        let mut sums: Vec<Sum> = Vec::new();
        let mut reads = BTreeMap::new();
        for (path, answer) in &draft.record.reads {
            let number = answer.as_ref().map_err(Unread::from).map(|text| {
                let sum = Sum::of(text.as_bytes());
                sums.iter().position(|one| *one == sum).unwrap_or_else(|| {
                    texts.push(text);
                    sums.push(sum);
                    texts.len() - 1
                })
            });
            reads.insert(path.clone(), number);
        }
        let folders = &draft.record.folders;
        let index = Index {
            form: FORM,
            generation,
            kernel: draft.kernel,
            when: draft.when,
            who: draft.who.clone(),
            sentences: draft.sentences,
            ssh_ports: draft.ssh_ports.to_vec(),
            cut: draft.cut,
            artifact: draft.artifact.map(Sum::of),
            texts: sums,
            main: draft.record.main.clone(),
            reads,
            folders: folders
                .iter()
                .map(|(path, answer)| (path.clone(), answer.clone().map_err(|error| Unread::from(&error))))
                .collect(),
            canonical: draft.record.canonical.clone(),
            host: Answers::of(draft.facts),
        };
        (index, texts)
    }

    /// As it is written.
    pub(super) fn text(&self) -> Result<String, serde_json::Error> {
        sealed::seal(self)
    }

    /// As it was written for the generation of this number, or what is wrong.
    pub(super) fn read(generation: u64, bytes: &[u8]) -> Result<Index, String> {
        let index: Index = sealed::unseal(bytes)?;
        if index.generation != generation {
            return Err(format!("is that of generation {}", index.generation));
        }
        if !IN_KERNEL.contains(&index.kernel) {
            return Err(format!("says {} for the number in the kernel", index.kernel));
        }
        if index.reads.values().flatten().any(|text| *text >= index.texts.len()) {
            return Err("names a text that it does not have".to_owned());
        }
        Ok(index)
    }

    /// What the host was when the policy was resolved.
    pub(crate) fn facts(&self) -> Facts {
        self.host.facts()
    }

    /// What the policy read, with these texts.
    pub(super) fn record(&self, texts: &[std::sync::Arc<str>]) -> Record {
        let text = |number: usize| texts.get(number).cloned().ok_or(FileError::Missing);
        let reads = self
            .reads
            .iter()
            .map(|(path, answer)| (path.clone(), answer.clone().map_err(FileError::from).and_then(text)));
        let folders =
            self.folders.iter().map(|(path, answer)| (path.clone(), answer.clone().map_err(FileError::from)));
        Record {
            main: self.main.clone(),
            reads: reads.collect(),
            folders: folders.collect(),
            canonical: self.canonical.clone(),
        }
    }
}

/// [`FileError`], as it is written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Unread {
    Missing,
    Folder,
    NotFolder,
    NotText,
    Refused(String),
}

impl From<&FileError> for Unread {
    fn from(error: &FileError) -> Unread {
        match error {
            FileError::Missing => Unread::Missing,
            FileError::Folder => Unread::Folder,
            FileError::NotFolder => Unread::NotFolder,
            FileError::NotText => Unread::NotText,
            FileError::Refused(words) => Unread::Refused(words.clone()),
        }
    }
}

impl From<Unread> for FileError {
    fn from(error: Unread) -> FileError {
        match error {
            Unread::Missing => FileError::Missing,
            Unread::Folder => FileError::Folder,
            Unread::NotFolder => FileError::NotFolder,
            Unread::NotText => FileError::NotText,
            Unread::Refused(words) => FileError::Refused(words),
        }
    }
}

/// [`Facts`], as they are written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Answers {
    interfaces: Vec<Interface>,
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
    addresses: Vec<IpAddr>,
    /// Whether IPv4 and IPv6 are passed on, where that was asked.
    #[serde(default)]
    forwarding: [Option<bool>; 2],
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Interface {
    name: String,
    bridge: bool,
}

impl Answers {
    fn of(facts: &Facts) -> Answers {
        let interface = |one: &HostInterface| Interface { name: one.name.clone(), bridge: one.is_bridge };
        Answers {
            interfaces: facts.named.interfaces.iter().map(interface).collect(),
            users: facts.named.users.clone(),
            groups: facts.named.groups.clone(),
            addresses: facts.own.own.clone(),
            forwarding: [facts.named.forwarding.v4, facts.named.forwarding.v6],
        }
    }

    fn facts(&self) -> Facts {
        let interface = |one: &Interface| HostInterface { name: one.name.clone(), is_bridge: one.bridge };
        let interfaces = self.interfaces.iter().map(interface).collect();
        Facts {
            named: Host {
                interfaces,
                users: self.users.clone(),
                groups: self.groups.clone(),
                forwarding: Forwarding { v4: self.forwarding[0], v6: self.forwarding[1] },
            },
            own: meaning::Host { own: self.addresses.clone() },
        }
    }
}
