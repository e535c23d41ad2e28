//! Generations saved, damaged, refused and kept, in folders that go when a test ends.

mod damage;
mod full;
mod keep;
mod refused;

use super::{Draft, Moment, Record, Recorder, Store, Who, Writer};
use crate::exit::Failure;
use crate::host::{self, Facts};
use crate::lock::{self, Lock};
use crate::terminal::Terminal;
use doorward::resolve::{self, MemoryFiles};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder with a state in it, and the lock of that.
struct Place {
    folder: PathBuf,
    lock: Lock,
}

impl Place {
    fn new() -> Place {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("doorward-store-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let lock = lock::take(&folder.join("locked"), &mut Terminal::new()).unwrap();
        Place { folder, lock }
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    fn writer(&self) -> Writer<'_> {
        Writer::open(&self.state(), &self.lock).unwrap()
    }

    fn store(&self) -> Store {
        Store::open(&self.state()).unwrap().unwrap()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.state().join(path)
    }

    /// Saves this and confirms it.
    fn confirmed(&self, draft: &Draft<'_>) -> u64 {
        let writer = self.writer();
        let number = writer.save(draft, None).unwrap();
        writer.prepare(number, draft.when, &draft.who).unwrap().count().unwrap();
        number
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a policy of these files reads.
fn record(files: &MemoryFiles) -> Record {
    let recorder = Recorder::new(files, "policy.dw");
    assert_eq!(resolve::load(&recorder, "policy.dw").reports, []);
    recorder.record()
}

/// A small policy with a list of so many lines.
fn with_list(lines: u32) -> Record {
    let mut list = String::new();
    for n in 0..lines {
        writeln!(list, "10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255).unwrap();
    }
    let policy = "define spam = file \"spam.txt\"\nblock from spam\nallow ssh\n";
    record(&MemoryFiles::default().with("policy.dw", policy).with("spam.txt", &list))
}

fn draft<'a>(record: &'a Record, facts: &'a Facts) -> Draft<'a> {
    Draft {
        record,
        facts,
        sentences: 2,
        kernel: 1,
        artifact: Some(b"what boot loads"),
        ssh_ports: &[22, 2222],
        cut: false,
        who: Who { uid: 0, name: Some("root".to_owned()), peer: "198.51.100.7".parse().ok() },
        when: Moment::now(),
    }
}

/// Everything that can be read of what is kept, read.
fn read_all(state: &Path) -> Result<usize, Failure> {
    let Some(store) = Store::open(state)? else { return Ok(0) };
    store.confirmed()?;
    let kept = store.list()?;
    for one in &kept {
        store.replay(one.number)?;
        store.artifact(one.number)?;
    }
    Ok(kept.len())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The example with every word of the language, saved and resolved again when its files are gone.
#[test]
fn a_policy_without_its_files() {
    let place = Place::new();
    let examples = place.folder.join("examples");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples"), &examples);
    let disk = crate::files::Disk::wary(&examples.join("full.dw"));
    let files = Recorder::new(&disk, disk.main());
    let loaded = resolve::load(&files, disk.main());
    let mut facts = host::facts(&loaded);
    let bridge = |name: &str| resolve::HostInterface { name: name.to_owned(), is_bridge: name == "br-7" };
    facts.named.interfaces.extend(["eth0", "eth1", "wg0", "br-7"].map(bridge));
    facts.own.own.push("2001:db8::1".parse().unwrap());
    let then = resolve::resolve(&loaded, &facts.named);
    let resolved = then.0.as_ref().unwrap();
    assert!(resolved.bridges.contains(&"br-7".to_owned()) && !facts.named.users.is_empty());
    let record = files.record();
    assert!(record.folders.len() == 1 && record.reads.len() > 4, "{record:?}");

    assert!(Store::open(&place.state()).unwrap().is_none());
    let number = place.confirmed(&draft(&record, &facts));
    fs::remove_dir_all(&examples).unwrap();
    let store = place.store();
    let replay = store.replay(number).unwrap();
    assert_eq!(replay, record);
    let index = store.index(number).unwrap();
    assert_eq!(index.facts(), facts);
    let again = resolve::load(&replay, &replay.main);
    assert_eq!(resolve::resolve(&again, &index.facts().named), then);

    let pointer = store.confirmed().unwrap().unwrap();
    assert_eq!((pointer.confirmed.generation, pointer.previous()), (1, None));
    assert_eq!(pointer.confirmed.who, index.who);
    assert_eq!(pointer.confirmed.when, index.when);
    assert_eq!((index.kernel, index.sentences, &index.ssh_ports[..]), (1, 2, &[22, 2222][..]));
    assert_eq!(store.artifact(number).unwrap().as_deref(), Some(&b"what boot loads"[..]));
    let missing = store.index(9).unwrap_err();
    assert!(missing.messages[0].ends_with("has no generation 9"), "{missing:?}");
    assert_eq!(missing.ways_out, ["kept are 1 (confirmed)"]);
}

/// What could not be read is answered in the same way, and nothing boots what was never given.
#[test]
fn mistakes_and_no_artifact() {
    let place = Place::new();
    let files = MemoryFiles::default().with("policy.dw", "include \"more\"\nallow ssh\n");
    let recorder = Recorder::new(&files, "policy.dw");
    let reports = resolve::load(&recorder, "policy.dw").reports;
    let (record, facts) = (recorder.record(), Facts::default());
    let number = place.confirmed(&Draft { artifact: None, ..draft(&record, &facts) });
    let store = place.store();
    assert_eq!(store.artifact(number).unwrap(), None);
    let replay = store.replay(number).unwrap();
    assert_eq!(resolve::load(&replay, "policy.dw").reports, reports);
    assert_eq!(reports.len(), 1);
}

/// What is written is nobody else's to read.
#[test]
fn modes() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.confirmed(&draft(&with_list(3), &Facts::default()));
    let mode = |path: &str| fs::metadata(place.at(path)).unwrap().permissions().mode() & 0o7777;
    for path in [".", "generations", "generations/1"] {
        assert_eq!(mode(path), 0o700, "{path}");
    }
    for path in ["confirmed", "generations/1/index", "generations/1/text-0", "generations/1/artifact"] {
        assert_eq!(mode(path), 0o600, "{path}");
    }
}
