//! What is kept and what goes: the last twenty, what boot needs, one copy of what is equal, no leftovers.

use super::{Place, draft, read_all, with_list};
use crate::host::Facts;
use std::fs;
use std::os::unix::fs::MetadataExt;

impl Place {
    fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.store().list().unwrap().iter().map(|one| one.number).collect();
        numbers.reverse();
        numbers
    }

    /// Those that have an artifact.
    fn artifacts(&self) -> Vec<u64> {
        let there = |number: &u64| self.at(&format!("generations/{number}/artifact")).exists();
        self.numbers().into_iter().filter(there).collect()
    }

    fn confirm(&self, number: u64) {
        let (record, facts) = (with_list(1), Facts::default());
        let draft = draft(&record, &facts);
        self.writer().prepare(number, draft.when, &draft.who).unwrap().count().unwrap();
    }
}

#[test]
fn the_last_twenty() {
    let place = Place::new();
    let (record, facts) = (with_list(1), Facts::default());
    for number in 1..=25 {
        assert_eq!(place.writer().save(&draft(&record, &facts), None), Ok(number));
    }
    assert_eq!(place.numbers(), (6..=25).collect::<Vec<_>>());
    assert_eq!(place.artifacts(), [25]);
}

#[test]
fn what_boot_needs_stays() {
    let place = Place::new();
    let (record, facts) = (with_list(1), Facts::default());
    let save = |on_trial| place.writer().save(&draft(&record, &facts), on_trial).unwrap();
    for number in 1..=4 {
        save(None);
        place.confirm(number);
    }
    // Back to an older one, which a rollback does.
    place.confirm(2);
    assert_eq!(place.artifacts(), [4], "an artifact that is gone is not made up");
    for _ in 0..25 {
        save(Some(3));
    }
    let pointer = place.store().confirmed().unwrap().unwrap();
    assert_eq!((pointer.confirmed.generation, pointer.previous()), (2, Some(4)));
    assert_eq!(place.numbers(), [2, 3, 4].into_iter().chain(10..=29).collect::<Vec<_>>());
    assert_eq!(place.artifacts(), [4, 29]);
    save(None);
    assert_eq!(place.numbers(), [2, 4].into_iter().chain(11..=30).collect::<Vec<_>>());
    // All are whole but for the artifact that boot would miss.
    let failure = read_all(&place.state()).unwrap_err();
    assert!(failure.messages[0].contains("generation 2 is damaged: its file `artifact` is missing"));
    place.confirm(30);
    place.confirm(29);
    assert_eq!(place.artifacts(), [30]);
}

/// A pointer that was prepared and not needed changes nothing.
#[test]
fn a_pointer_that_does_not_count() {
    let place = Place::new();
    let (record, facts) = (with_list(1), Facts::default());
    let draft = draft(&record, &facts);
    place.confirmed(&draft);
    let before = fs::read(place.at("confirmed")).unwrap();
    let writer = place.writer();
    let number = writer.save(&draft, None).unwrap();
    drop(writer.prepare(number, draft.when, &draft.who).unwrap());
    assert_eq!(fs::read(place.at("confirmed")).unwrap(), before);
    assert!(!place.at(".new-confirmed").exists());
    assert!(writer.prepare(number + 1, draft.when, &draft.who).is_err(), "nobody saved that");
}

#[test]
fn equal_lists_cost_nothing() {
    let place = Place::new();
    let (long, facts) = (with_list(10_000), Facts::default());
    let file = |number: u64| {
        let list = (0..2).map(|text| place.at(&format!("generations/{number}/text-{text}")));
        fs::metadata(list.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()).unwrap()
    };
    for number in 1..=3 {
        assert_eq!(place.writer().save(&draft(&long, &facts), None), Ok(number));
        assert_eq!(file(number).ino(), file(1).ino());
        assert_eq!(file(number).nlink(), number);
    }
    // Short texts are written: they are 1 each.
    let short = fs::metadata(place.at("generations/3/text-0")).unwrap();
    assert_eq!((short.nlink(), short.len() < 100), (1, true));
    assert_eq!(place.writer().save(&draft(&with_list(10_001), &facts), None), Ok(4));
    assert_eq!((file(4).nlink(), file(3).nlink()), (1, 3));
    // One that is damaged is not shared any further.
    let damaged = place.at("generations/1/text-1");
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[77] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    assert_eq!(place.writer().save(&draft(&long, &facts), None), Ok(5));
    assert_eq!((file(5).nlink(), file(3).nlink()), (1, 3));
    assert_eq!(place.store().replay(5).unwrap(), long);
    assert!(place.store().replay(3).is_err());
    // And the next one takes the whole one.
    assert_eq!(place.writer().save(&draft(&long, &facts), None), Ok(6));
    assert_eq!(file(6).ino(), file(5).ino());
}

/// However a writer ended, what it left is not read, and the next one removes it.
#[test]
fn leftovers_of_a_crash() {
    let place = Place::new();
    let (record, facts) = (with_list(1), Facts::default());
    place.confirmed(&draft(&record, &facts));
    for path in [".new-2/text-0", ".new-2/deeper/index", ".gone-0/index"] {
        let path = place.at("generations").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "half").unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", place.at("generations/.new-link")).unwrap();
    fs::write(place.at(".new-confirmed"), "half").unwrap();
    assert_eq!(read_all(&place.state()).unwrap(), 1);
    assert_eq!(place.writer().save(&draft(&record, &facts), None), Ok(2));
    let names = |path: &str| {
        let mut names: Vec<_> =
            fs::read_dir(place.at(path)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("generations"), ["1", "2"]);
    assert_eq!(names("."), ["confirmed", "generations"]);
    assert!(fs::metadata("/etc/passwd").unwrap().len() > 0);
}
