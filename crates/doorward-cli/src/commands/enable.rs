//! `enable` and `disable`: what starts doorward at boot, and that nothing does any more; the rules in the kernel stay
//! as they are, but with `--open`.

use super::Outcome;
use crate::change::{World, guard};
use crate::cli::{Disable, Output};
use crate::exit::{Exit, Failure};
use crate::init::{self, Done, Host, Init};
use crate::lock;
use crate::store::Store;
use crate::terminal::Terminal;
use crate::text::{Line, Tone, wrap};
use doorward_kernel::diag::{Diag, Transport};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Lines of a list within the width of a terminal.
const WIDTH: usize = 76;

pub(super) fn enable(output: Output, state: &Path, host: &Host, terminal: &mut Terminal) -> Outcome {
    may_write(host)?;
    let init = host.need_init()?;
    let start = init::program(host, state)?;
    let generation = confirmed(&host.path(state))?;
    init::is_here(host, &start)?;
    let done = init::install(host, init, &start)?;
    if output.json {
        terminal.json(&json!({
            "init": init.word(),
            "program": start.program,
            "generation": generation,
            "changed": !done.is_nothing(),
            "written": done.files,
            "ran": done.ran,
        }));
        return Ok(Exit::Done);
    }
    let started = format!("doorward is started at boot by {}, before the network is up", init.name());
    let words = if done.is_nothing() { format!("nothing to do: {started}") } else { started };
    terminal.line(Line::of(Tone::Good, words));
    show(&done, "wrote", terminal);
    terminal.line(format!(
        "  boots  generation {generation}, which was confirmed last; later ones as they are confirmed"
    ));
    terminal.line(format!("  check  {}", check(init)));
    Ok(Exit::Done)
}

pub(super) fn disable(args: &Disable, state: &Path, host: &Host, terminal: &mut Terminal) -> Outcome {
    if !args.open {
        may_write(host)?;
        let done = init::remove(host)?;
        if args.output.json {
            terminal.json(&json(&done, false, &BTreeSet::new()));
        } else {
            said(&done, terminal);
            terminal.line("  the rules in the kernel stay in force until the next boot");
            terminal.line("  `doorward disable --open` takes them away now");
        }
        return Ok(Exit::Done);
    }
    let guard = guard()?;
    may_write(host)?;
    if !host.is_this() {
        return Err(Failure::new(
            Exit::Usage,
            "--open is about the host that runs, not about one in a folder",
        )
        .into());
    }
    let lock = lock::take(state, terminal)?;
    let mut world = World::new(guard, None, None, &lock, None)?;
    let doors = doors()?;
    let done = init::remove(host)?;
    if !args.output.json {
        said(&done, terminal);
        opens(&doors, terminal);
        // What it means is on the terminal before it is done.
        terminal.flush();
    }
    let opened = world.open()?;
    if args.output.json {
        terminal.json(&json(&done, opened, &doors));
    } else if opened {
        terminal
            .line(Line::of(Tone::Bad, "doorward's rules are gone: this host has no firewall of doorward"));
        terminal.line("  `doorward apply` tries a policy again");
    } else {
        terminal.line("the kernel had no rules of doorward");
    }
    Ok(Exit::Done)
}

/// What is done is written to /etc, and a part of it alone would be worse than nothing.
fn may_write(host: &Host) -> Result<(), Failure> {
    if host.is_this() && !rustix::process::geteuid().is_root() {
        return Err(Failure::new(Exit::System, "only root can change what is started at boot")
            .way_out("run it as root"));
    }
    Ok(())
}

/// The generation that boot would load.
fn confirmed(state: &Path) -> Result<u64, Failure> {
    let pointer = Store::open(state)?.map(|store| store.confirmed()).transpose()?.flatten();
    let pointer = pointer.ok_or_else(|| {
        Failure::new(Exit::Refused, "nothing was confirmed yet: there is nothing that boot could load")
            .way_out("`doorward apply` tries a policy, and `doorward confirm` in a new session keeps it")
            .way_out("then run `doorward enable` again")
    })?;
    Ok(pointer.confirmed.generation)
}

fn check(init: Init) -> &'static str {
    match init {
        Init::Systemd => "`doorward status`; after a boot `systemctl status doorward`",
        Init::SysV => "`doorward status`; `ls /etc/rc?.d/S??doorward`",
        Init::OpenRc => "`doorward status`; `rc-update show boot`",
    }
}

fn show(done: &Done, verb: &str, terminal: &mut Terminal) {
    for file in &done.files {
        terminal.line(format!("  {verb:<5}  {file}"));
    }
    for line in &done.ran {
        terminal.line(format!("  ran    {line}"));
    }
}

fn said(done: &Done, terminal: &mut Terminal) {
    let words = if done.is_nothing() {
        "nothing to do: doorward is not started at boot"
    } else {
        "doorward is not started at boot any more"
    };
    terminal.line(Line::of(Tone::Strong, words));
    show(done, "gone", terminal);
}

/// Ports on which somebody waits for others: what the rules have kept shut may be among them.
fn doors() -> Result<BTreeSet<(u16, &'static str)>, Failure> {
    let listeners = Diag::open().and_then(|diag| diag.listeners());
    let listeners = listeners.map_err(|error| crate::kernel::unread(&error))?;
    let word = |transport| if transport == Transport::Tcp { "tcp" } else { "udp" };
    let open = listeners.into_iter().filter(|one| !one.local.ip().is_loopback());
    Ok(open.map(|one| (one.local.port(), word(one.transport))).collect())
}

fn opens(doors: &BTreeSet<(u16, &'static str)>, terminal: &mut Terminal) {
    if doors.is_empty() {
        terminal.line("no service of this host waits for others; what it forwards is open, too");
        return;
    }
    let words = "open to everybody from now on, unless rules of others say no (`doorward show --all`):";
    terminal.line(Line::of(Tone::Bad, words));
    let list: Vec<String> = doors.iter().map(|(port, proto)| format!("{port}/{proto}")).collect();
    terminal.lines(wrap(&list.join(" "), WIDTH).into_iter().map(|line| Line::plain(format!("  {line}"))));
    terminal.line("  and what this host forwards or publishes");
}

fn json(done: &Done, opened: bool, doors: &BTreeSet<(u16, &'static str)>) -> Value {
    let doors: Vec<Value> =
        doors.iter().map(|(port, proto)| json!({ "port": port, "protocol": proto })).collect();
    json!({
        "changed": !done.is_nothing(),
        "removed": done.files,
        "ran": done.ran,
        "opened": opened,
        "doors": doors,
    })
}
