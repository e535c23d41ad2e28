//! Folders and files that others own or can change, and links in their place: none is read, none is written.

use super::{Place, draft, read_all, with_list};
use crate::exit::Exit;
use crate::host::Facts;
use crate::lock;
use crate::skip;
use crate::store::Writer;
use crate::terminal::Terminal;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

/// What is done to a path, with these bits of its mode.
type Mischief = fn(&Path, u32);

fn mode(path: &Path, bits: u32) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    permissions.set_mode(permissions.mode() | bits);
    fs::set_permissions(path, permissions).unwrap();
}

fn to_somebody(path: &Path, _: u32) {
    chown(path, Some(1234), None).unwrap();
}

/// The thing is elsewhere and a link to it in its place.
fn linked(path: &Path, _: u32) {
    let elsewhere = path.with_file_name("elsewhere");
    fs::rename(path, &elsewhere).unwrap();
    symlink(elsewhere, path).unwrap();
}

#[test]
fn what_others_can_change() {
    if skip::without_root() {
        return;
    }
    let cases: &[(Mischief, u32, &str)] = &[
        (to_somebody, 0, "."),
        (to_somebody, 0, "generations"),
        (to_somebody, 0, "generations/1"),
        (to_somebody, 0, "generations/1/index"),
        (to_somebody, 0, "confirmed"),
        (mode, 0o020, "."),
        (mode, 0o002, "generations"),
        (mode, 0o020, "generations/1"),
        (mode, 0o002, "generations/1/text-0"),
        (mode, 0o020, "generations/1/artifact"),
        (mode, 0o002, "confirmed"),
        (linked, 0, "."),
        (linked, 0, "generations"),
        (linked, 0, "generations/1"),
        (linked, 0, "generations/1/index"),
        (linked, 0, "generations/1/text-1"),
        (linked, 0, "confirmed"),
        (to_somebody, 0, ".."),
        (mode, 0o002, ".."),
        (mode, 0o020, "generations/1/text-1"),
    ];
    for (at, (mischief, bits, path)) in cases.iter().enumerate() {
        let place = Place::new();
        // A group that is not root's.
        chown(&place.folder, None, Some(1234)).unwrap();
        place.confirmed(&draft(&with_list(1), &Facts::default()));
        assert_eq!(read_all(&place.state()).unwrap(), 1, "case {at}: before");
        let victim = match *path {
            "." => place.state(),
            ".." => place.folder.clone(),
            path => place.at(path),
        };
        mischief(&victim, *bits);
        let failure = read_all(&place.state()).unwrap_err();
        assert_eq!(failure.exit, Exit::Refused, "case {at}, {path}: {failure:?}");
        assert!(failure.messages[0].starts_with(&format!("`{}` ", victim.display())), "{at}: {failure:?}");
        assert!(!failure.ways_out.is_empty());
        if ["..", ".", "generations"].contains(path) {
            let failure = Writer::open(&place.state(), &place.lock).err().unwrap();
            assert_eq!(failure.exit, Exit::Refused, "case {at}, {path}: {failure:?}");
        }
    }
}

/// The way to the folder counts, too: whoever can rename a step of it can put another in its place.
#[test]
fn the_way_there() {
    if skip::without_root() {
        return;
    }
    let place = Place::new();
    place.confirmed(&draft(&with_list(1), &Facts::default()));
    // A link of root's in a folder of root's is as good as the folder behind it.
    let (good, bad) = (place.folder.join("good"), place.folder.join("bad"));
    fs::create_dir(&good).unwrap();
    fs::create_dir(&bad).unwrap();
    for folder in [&good, &bad] {
        symlink(&place.folder, folder.join("link")).unwrap();
    }
    chown(&bad, Some(1234), None).unwrap();
    assert_eq!(read_all(&good.join("link/state")).unwrap(), 1);
    let failure = read_all(&bad.join("link/state")).unwrap_err();
    assert_eq!(failure.exit, Exit::Refused, "{failure:?}");
    // In a sticky folder nobody renames what is root's.
    mode(&place.folder, 0o1777);
    assert_eq!(read_all(&place.state()).unwrap(), 1);
    assert_eq!(read_all(Path::new("/")).unwrap_err().exit, Exit::Refused);
    assert_eq!(read_all(&place.folder.join("nothing/here")).unwrap(), 0);
}

/// What is no file is not waited for, and a lock that leads elsewhere is not made there.
#[test]
fn strange_things() {
    let place = Place::new();
    place.confirmed(&draft(&with_list(1), &Facts::default()));
    let index = place.at("generations/1/index");
    fs::remove_file(&index).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &index, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let failure = read_all(&place.state()).unwrap_err();
    assert!(failure.messages[0].ends_with("is no regular file"), "{failure:?}");
    let victim = place.folder.join("victim");
    symlink(&victim, place.at("lock")).unwrap();
    let failure = lock::take(&place.state(), &mut Terminal::new()).err().unwrap();
    assert_eq!(failure.exit, Exit::Refused, "{failure:?}");
    assert!(!victim.exists());
}
