//! Disks that are full at every step, and disks that nobody may write: what was there stays whole.

use super::{Place, draft, read_all, record, with_list};
use crate::exit::{Exit, Failure};
use crate::host::Facts;
use crate::skip;
use crate::store::{Record, Store, Writer};
use doorward::resolve::MemoryFiles;
use nix::mount::{MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::path::Path;

/// Does something on a thread that mounts what it likes; nobody else sees it.
fn with_mounts(job: impl FnOnce() + Send) {
    if skip::without_root() {
        return;
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS)?;
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
            job();
            Ok::<(), nix::Error>(())
        });
        if let Err(error) = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            skip::skip(&format!("needs a mount namespace of its own: {error}"));
        }
    });
}

fn disk(at: &Path, options: &str, flags: MsFlags) {
    mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(options)).unwrap();
}

/// Saves and confirms; fails as a command would.
fn save(place: &Place, record: &Record, artifact: &[u8]) -> Result<u64, Failure> {
    let facts = Facts::default();
    let mut draft = draft(record, &facts);
    draft.artifact = Some(artifact);
    let writer = Writer::open(&place.state(), &place.lock)?;
    let number = writer.save(&draft, None)?;
    writer.prepare(number, draft.when, &draft.who)?.count()?;
    Ok(number)
}

/// Names in the state, so deep.
fn names(at: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(at).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            names.extend(self::names(&entry.path()));
        }
        names.push(entry.file_name().into_string().unwrap());
    }
    names
}

#[test]
fn full_at_every_step() {
    with_mounts(|| {
        let place = Place::new();
        fs::create_dir(place.state()).unwrap();
        let old = record(&MemoryFiles::default().with("policy.dw", "allow ssh\n"));
        let new = with_list(3000);
        let artifact = vec![7; 20_000];
        // A page more, or a file more, each time.
        let sizes = (1..60).map(|pages| format!("mode=700,size={}", pages * 4096));
        let counts = (1..24).map(|files| format!("mode=700,nr_inodes={files}"));
        let (mut refused, mut saved, mut pointers) = (0, 0, 0);
        for options in sizes.chain(counts) {
            disk(&place.state(), &options, MsFlags::empty());
            let first = save(&place, &old, b"old");
            let was = read_all(&place.state()).unwrap();
            let second = save(&place, &new, &artifact);
            for failure in [&first, &second].into_iter().filter_map(|done| done.as_ref().err()) {
                assert_eq!(failure.exit, Exit::System, "{options}");
                let way_out = failure.ways_out.first().map_or("", String::as_str);
                assert!(way_out.contains(" free on ") || way_out.contains("no more files"), "{failure:?}");
                refused += 1;
            }
            assert!(!names(&place.state()).iter().any(|name| name.starts_with('.')), "{options}");
            // Whatever is there is whole, and the pointer names it.
            let now = read_all(&place.state()).unwrap();
            if let Some(store) = Store::open(&place.state()).unwrap() {
                let confirmed = store.confirmed().unwrap().map(|pointer| pointer.confirmed.generation);
                let done: Vec<u64> = [first, second.clone()].into_iter().flatten().collect();
                assert_eq!(confirmed, done.last().copied(), "{options}");
                if done.contains(&1) {
                    assert_eq!(store.replay(1).unwrap(), old);
                }
                if now > was && second.is_err() {
                    pointers += 1;
                }
            }
            saved += u32::from(second.is_ok());
            umount2(&place.state(), nix::mount::MntFlags::MNT_DETACH).unwrap();
        }
        assert!(
            refused >= 30 && saved >= 30 && pointers > 0,
            "{refused} refused, {saved} saved, {pointers} pointers"
        );
    });
}

/// Where there is room again, the next one gets the next number, and all is as if nothing had been.
#[test]
fn room_again() {
    with_mounts(|| {
        let place = Place::new();
        fs::create_dir(place.state()).unwrap();
        disk(&place.state(), "mode=700,size=65536", MsFlags::empty());
        let small = with_list(1);
        assert_eq!(save(&place, &small, b"x"), Ok(1));
        let failure = save(&place, &with_list(20_000), b"x").unwrap_err();
        assert_eq!(failure.messages[0], "generation 2 cannot be saved");
        assert!(failure.messages[1].contains("generations/.new-2/text-"), "{failure:?}");
        disk(&place.state(), "mode=700,size=1048576", MsFlags::MS_REMOUNT);
        assert_eq!(save(&place, &with_list(20_000), b"x"), Ok(2));
        assert_eq!(read_all(&place.state()).unwrap(), 2);
    });
}

#[test]
fn read_only() {
    with_mounts(|| {
        let place = Place::new();
        fs::create_dir(place.state()).unwrap();
        let record = with_list(1);
        disk(&place.state(), "mode=700", MsFlags::MS_RDONLY);
        let refused = |failure: Failure| {
            assert_eq!(failure.exit, Exit::System);
            assert_eq!(failure.ways_out, ["make that disk writable, or name another folder with --state"]);
        };
        refused(save(&place, &record, b"x").unwrap_err());
        disk(&place.state(), "mode=700", MsFlags::MS_REMOUNT);
        assert_eq!(save(&place, &record, b"x"), Ok(1));
        let before = names(&place.state());
        disk(&place.state(), "mode=700", MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY);
        refused(save(&place, &record, b"x").unwrap_err());
        assert_eq!((read_all(&place.state()).unwrap(), names(&place.state())), (1, before));
    });
}
