//! Every file of a generation, cut short and with a byte turned: it is noticed and named.

use super::{Draft, Place, draft, read_all, with_list};
use crate::exit::{Exit, Failure};
use crate::host::Facts;
use std::fs;
use std::path::Path;

/// Changes of a file, one after the other; each but the last is undone.
fn damages(path: &Path, check: impl FnMut(&str)) {
    let length = fs::metadata(path).unwrap().len();
    damages_each(path, usize::try_from(length / 40).unwrap().max(1), check);
}

/// The same at every so many bytes; how many there were.
fn damages_each(path: &Path, step: usize, mut check: impl FnMut(&str)) -> usize {
    let whole = fs::read(path).unwrap();
    for at in (0..whole.len()).step_by(step) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(path, &bytes).unwrap();
        check(&format!("byte {at}"));
        fs::write(path, &whole[..at]).unwrap();
        check(&format!("cut at {at}"));
    }
    fs::write(path, [&whole[..], b"\n"].concat()).unwrap();
    check("longer");
    fs::write(path, &whole).unwrap();
    whole.len().div_ceil(step)
}

/// Row 89 of the promises: each byte of all that boot reads is turned, and each file cut off there; none is taken for
/// what was written. What boot does then is in `tests/boot.rs`.
#[test]
#[ignore = "long: ten thousand files, each summed"]
fn every_byte_that_boot_reads() {
    let place = Place::new();
    let (record, facts) = (with_list(1), Facts::default());
    let artifact: Vec<u8> =
        (0..4096u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let number = place.confirmed(&Draft { artifact: Some(&artifact), ..draft(&record, &facts) });
    let store = place.store();
    let file = |name: &str| place.at(&format!("generations/{number}/{name}"));
    let counts = [
        damages_each(&file("artifact"), 1, |how| assert!(store.artifact(number).is_err(), "artifact, {how}")),
        damages_each(&file("index"), 1, |how| {
            assert!(store.index(number).is_err() && store.artifact(number).is_err(), "index, {how}");
        }),
        damages_each(&place.at("confirmed"), 1, |how| assert!(store.confirmed().is_err(), "pointer, {how}")),
    ];
    assert!(counts[0] == 4096 && counts.iter().all(|count| *count > 200), "{counts:?}");
    assert_eq!(store.artifact(number).unwrap(), Some(artifact));
}

#[test]
fn every_file_of_a_generation() {
    let place = Place::new();
    let (record, facts) = (with_list(2000), Facts::default());
    place.confirmed(&draft(&with_list(1), &facts));
    let number = place.confirmed(&draft(&record, &facts));
    let folder = place.at(&format!("generations/{number}"));
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["artifact", "index", "text-0", "text-1"]);
    let told = |failure: &Failure, name: &str, how: &str| {
        let said = format!("generation {number} is damaged: its file `{name}` ");
        assert!(failure.messages[0].starts_with(&said), "{name}, {how}: {failure:?}");
        assert_eq!(failure.exit, Exit::System);
        assert!(!failure.ways_out.is_empty());
    };
    for name in &names {
        let path = folder.join(name);
        let check = |how: &str| {
            told(&read_all(&place.state()).unwrap_err(), name, how);
            let store = place.store();
            // It is listed all the same, and the other one is whole.
            let kept = store.list().unwrap();
            assert_eq!(kept.iter().map(|one| one.number).collect::<Vec<_>>(), [2, 1]);
            assert_eq!(kept[0].index.is_err(), name == "index", "{how}");
            assert_eq!(store.replay(1).unwrap(), with_list(1));
        };
        damages(&path, check);
        fs::rename(&path, folder.join("away")).unwrap();
        told(&read_all(&place.state()).unwrap_err(), name, "missing");
        fs::rename(folder.join("away"), &path).unwrap();
        assert_eq!(read_all(&place.state()).unwrap(), 2);
    }
}

/// A generation under the number of another is not taken for it.
#[test]
fn numbers_are_part_of_it() {
    let place = Place::new();
    place.confirmed(&draft(&with_list(1), &Facts::default()));
    fs::rename(place.at("generations/1"), place.at("generations/7")).unwrap();
    let failure = read_all(&place.state()).unwrap_err();
    assert!(failure.messages[0].contains("`index` is that of generation 1"), "{failure:?}");
    // Numbers go on behind the highest, and what is no number is nobody's.
    fs::create_dir(place.at("generations/08")).unwrap();
    fs::create_dir(place.at("generations/lost+found")).unwrap();
    assert_eq!(place.writer().save(&draft(&with_list(2), &Facts::default()), None), Ok(8));
}

/// A damaged pointer is said; until it is written anew nothing that it may have named is removed.
#[test]
fn the_pointer() {
    let place = Place::new();
    let (record, facts) = (with_list(1), Facts::default());
    for _ in 0..2 {
        place.confirmed(&draft(&record, &facts));
    }
    let path = place.at("confirmed");
    damages(&path, |how| {
        let failure = place.store().confirmed().unwrap_err();
        assert!(failure.messages[0].contains("confirmed` is damaged: it "), "{how}: {failure:?}");
        assert_eq!(failure.exit, Exit::System);
        assert_eq!(place.store().list().unwrap().len(), 2);
    });
    fs::write(&path, "nonsense").unwrap();
    let writer = place.writer();
    for _ in 0..30 {
        writer.save(&draft(&record, &facts), None).unwrap();
    }
    assert_eq!(place.store().list().unwrap().len(), 32);
    assert!(place.at("generations/1/artifact").exists());
    let (now, who) = (draft(&record, &facts).when, draft(&record, &facts).who);
    writer.prepare(32, now, &who).unwrap().count().unwrap();
    assert_eq!(place.store().confirmed().unwrap().unwrap().confirmed.generation, 32);
    assert_eq!(place.store().list().unwrap().len(), 20);
}
