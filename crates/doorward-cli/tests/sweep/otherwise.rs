//! What the kernel holds is not what was sent: somebody else writes into our table before it is read back. What was there
//! before is put back, and what cannot be put back is never confirmed.

use crate::field::{Field, Judge};
use crate::traced::Run;
use doorward::compile::TABLE;
use doorward::ruleset::TableFamily;
use doorward_kernel::Scope;
use nix::libc::SYS_sendto;
use std::fmt::Write as _;
use std::process::Command;

/// Opens a door of the new policy to nobody in particular.
const RULE: &str = "add rule inet doorward input udp dport 4711 accept";

/// Runs the command; somebody writes as soon as the kernel has its rules. The command stands still meanwhile.
fn meddled(field: &Field, args: &[&str], chain: &str) -> Run {
    let ours = Scope::Table(TableFamily::Inet, TABLE.to_owned());
    let mut done = false;
    let run = field.looked_at(args, &mut |_, call| {
        // Before it asks the kernel anything more.
        if call != SYS_sendto {
            return;
        }
        let there = |name: &str| {
            let tables = field.pair.socket.read_headers(&ours).unwrap().ruleset.tables;
            tables.iter().flat_map(|table| &table.chains).any(|one| one.name == name)
        };
        if !done && there(chain) {
            done = Command::new("nft").args(RULE.split(' ')).status().unwrap().success();
        }
    });
    assert!(done, "nobody meddled: {} {}", run.out, run.err);
    run
}

/// The next boot, and whatever is said before it, keep to what was confirmed.
fn is_never_confirmed(field: &Field) {
    let said = field.run(&["confirm", "--here"]);
    assert_eq!(said.exit, Some(2), "{said:#?}");
    assert!(said.err.contains("nothing is on trial"), "{said:#?}");
    field.reboot();
    assert_eq!(field.judge(), Judge::Old);
}

#[test]
fn what_is_not_as_meant_is_put_back() {
    let Some(field) = Field::new() else { return };
    let run = meddled(&field, &["apply", "--no-trial", "new.dw"], "g2_in4");
    assert_eq!(run.exit, Some(5), "{:?} {} {}", run.exit, run.out, run.err);
    assert!(
        run.err.starts_with("the kernel does not hold what was sent: "),
        "{:?} {} {}",
        run.exit,
        run.out,
        run.err
    );
    assert!(run.err.ends_with("it was taken back\n"), "{:?} {} {}", run.exit, run.out, run.err);
    assert_eq!(field.judge(), Judge::Old);
    field.run(&["verify"]).well();
    is_never_confirmed(&field);
    // What is as it was meant is put in force as ever.
    field.run(&["apply", "--no-trial", "new.dw"]).well();
    assert_eq!(field.judge(), Judge::New);
}

/// Where there was nothing before, there is nothing again.
#[test]
fn the_first_that_is_not_as_meant_is_taken_away() {
    let Some(field) = Field::new() else { return };
    field.forget();
    let run = meddled(&field, &["apply", "--no-trial", "new.dw"], "g2_in4");
    assert_eq!(run.exit, Some(5), "{:?} {} {}", run.exit, run.out, run.err);
    assert!(run.err.ends_with("it was taken back\n"), "{:?} {} {}", run.exit, run.out, run.err);
    assert_eq!(field.judge(), Judge::Nobody);
    is_never_confirmed(&field);
}

/// The elements of lists are not read for a change: one that went with the change cannot be made again.
#[test]
fn what_cannot_be_put_back_is_never_confirmed() {
    let Some(field) = Field::new() else { return };
    let list = (0..250).fold(String::new(), |mut text, number| {
        writeln!(text, "192.0.{number}.0/25").unwrap();
        text
    });
    field.folder.write("list.txt", list);
    let text = format!("define list = file \"list.txt\"\nblock from list\n{}", crate::field::OLD);
    field.folder.write("listed.dw", text);
    field.run(&["apply", "--no-trial", "listed.dw"]).well();
    assert_eq!(field.judge(), Judge::Old);
    let run = meddled(&field, &["apply", "--no-trial", "new.dw"], "g3_in4");
    assert_eq!(run.exit, Some(5), "{:?} {} {}", run.exit, run.out, run.err);
    assert!(
        run.err.contains("had lists that are gone, and cannot be put back"),
        "{:?} {} {}",
        run.exit,
        run.out,
        run.err
    );
    assert!(
        run.err.ends_with("the next boot loads what was confirmed before\n"),
        "{:?} {} {}",
        run.exit,
        run.out,
        run.err
    );
    assert_eq!(field.judge(), Judge::New);
    is_never_confirmed(&field);
}
