//! `init`: looks at a host that has no policy, asks a few questions, proposes one, and tries it.

use super::Outcome;
use super::apply::{Besides, How, carry_out, untouched};
use crate::change::guard;
use crate::cli::First as Args;
use crate::exit::{Exit, Failure, Stop};
use crate::files::Disk;
use crate::host;
use crate::init::Host;
use crate::lock;
use crate::policy::{self, Sound};
use crate::rehearse;
use crate::session::{Asker, Sessions};
use crate::signs::{self, AARDVARK, Signs};
use crate::store::{Moment, Recorder};
use crate::survey::survey;
use crate::terminal::Terminal;
use crate::text::{Line, Tone};
use doorward::audit::{self, Around, Candidate, Candidates, Doors, Serves, Sort, Wishes};
use doorward::compile::{self, Options as Compiling};
use doorward::report::Sources;
use doorward::syntax::parse_sentence;
use serde_json::json;
use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::path::Path;

/// So often a question is asked again.
const TRIES: usize = 3;

pub(super) fn run(args: &Args, state: &Path, host: &Host, terminal: &mut Terminal) -> Outcome {
    if args.policy.exists() {
        return Err(Failure::new(Exit::Refused, format!("`{}` is there already", args.policy.display()))
            .way_out("`doorward audit` tells what it lets in, `doorward allow …` adds to it")
            .way_out("`--policy FILE` writes another one")
            .into());
    }
    let asks = !args.yes && !args.dry_run;
    if asks && (!io::stdin().is_terminal() || args.output.json) {
        return Err(Failure::new(Exit::Usage, "init asks questions, and nobody is at the terminal")
            .way_out("`doorward init --yes` takes what is proposed; flags answer single questions")
            .into());
    }
    let signs = signs::read(host);
    let around = Around { passive: signs::passive(host), ..around(&signs)? };
    let seen = audit::audit(&survey()?, &Doors::none());
    let candidates = Candidates::of(&seen, &around);
    let wishes = wishes(args, &around, &candidates, asks, terminal)?;
    let text = audit::propose(&around, &candidates, &wishes);
    if args.dry_run {
        if args.output.json {
            terminal.json(&json!({ "policy": args.policy.to_string_lossy(), "text": text }));
        } else {
            terminal.raw(&text);
        }
        return Ok(Exit::Done);
    }
    if !args.output.json {
        show(&text, terminal);
    }
    let goes_on = !args.no_apply;
    if asks && !yes(&question(args, goes_on), terminal)? {
        terminal.note("nothing was written");
        return Ok(Exit::Done);
    }
    untouched(args.output.json, terminal, |terminal| try_it(args, &text, goes_on, state, terminal))
}

fn question(args: &Args, goes_on: bool) -> String {
    let path = args.policy.display();
    if goes_on {
        format!("write it to {path}, and try it for {} s", args.lasts.as_secs())
    } else {
        format!("write it to {path}")
    }
}

/// Writes the policy, and puts it on trial.
fn try_it(args: &Args, text: &str, goes_on: bool, state: &Path, terminal: &mut Terminal) -> Outcome {
    let json = args.output.json;
    let guard = goes_on.then(guard).transpose()?;
    write(&args.policy, text)?;
    if !json {
        terminal.line(format!("{} is written", args.policy.display()));
    }
    let disk = Disk::wary(&args.policy);
    let files = Recorder::new(&disk, disk.main());
    let policy = policy::need_through(&files, disk.main(), json, terminal)?;
    let record = files.record();
    let rehearsed = rehearsed(&policy, json, terminal)?;
    let more = json!({ "policy": args.policy.to_string_lossy(), "text": text, "rehearsed": rehearsed });
    let Some(guard) = guard else {
        if json {
            terminal.json(&json!({ "init": more }));
        } else {
            terminal.line("`doorward apply` tries it");
        }
        return Ok(Exit::Done);
    };
    let lock = lock::take(state, terminal)?;
    let how =
        How { lasts: Some(args.lasts), detach: args.detach, cut: false, force: false, careful: false, json };
    let besides = Besides { json: Some(json!({ "init": more })), ended: None };
    let exit = carry_out(guard, policy, record, how, (state, &lock), &besides, terminal)?;
    if !json && exit == Exit::Done && !args.detach {
        terminal.line("  `doorward enable` has it loaded at every boot");
    }
    Ok(exit)
}

/// Real packets in a throw-away network: whether the kernel does what is promised. None where that cannot be had.
fn rehearsed(policy: &Sound, json: bool, terminal: &mut Terminal) -> Result<Option<bool>, Stop> {
    let table = compile::compile(&policy.resolved, &Compiling::default());
    let options = rehearse::Options::default();
    let done = rehearse::rehearse(&policy.resolved, &table, &options, |step| terminal.progress(step, false));
    match done {
        Ok(rehearsal) if rehearsal.agrees() => {
            if !json {
                let words =
                    format!("rehearsed with {} packets: the kernel does what it says", rehearsal.packets);
                terminal.line(Line::of(Tone::Good, words));
            }
            Ok(Some(true))
        }
        Ok(_) => Err(Failure::new(Exit::System, "this kernel does something else than the policy says")
            .way_out("`doorward rehearse` shows what")
            .into()),
        Err(why) => {
            terminal.note(format!("not rehearsed: {}", why.message()));
            Ok(None)
        }
    }
}

/// What is known of the host besides who listens.
fn around(signs: &Signs) -> Result<Around, Failure> {
    let sessions = Sessions::ask().map_err(|error| crate::kernel::unread(&error))?;
    let peer = match sessions.asker() {
        Asker::Remote { connections } => connections.first().map(|one| one.remote.ip()),
        _ => None,
    };
    let ssh = sessions.ssh_ports().iter().copied().collect();
    let mut guests = Vec::new();
    let mut add = |here: bool, what: &str, on: &str| {
        if here {
            guests.push((what.to_owned(), on.to_owned()));
        }
    };
    let docker = signs.runs("dockerd") || signs.has_chain("DOCKER") || signs.has_table("docker-bridges");
    add(docker, "Docker's containers reach others", "docker0, br-*");
    add(signs.has_podman(), "podman's containers reach others", "podman*");
    add(!signs.interfaces_like("virbr").is_empty(), "libvirt's guests reach others", "virbr*");
    add(!signs.interfaces_like("incusbr").is_empty(), "guests of Incus reach others", "incusbr*");
    add(!signs.interfaces_like("lxdbr").is_empty(), "guests of LXD reach others", "lxdbr*");
    let day = Moment::now().to_string();
    let day = day.split('T').next().unwrap_or_default().to_owned();
    let mut serves = Vec::new();
    if signs.podman_tells_names() {
        serves.push(Serves {
            program: AARDVARK.to_owned(),
            sentence: "allow dns on podman*".to_owned(),
            why: "podman's containers ask for each other's names".to_owned(),
        });
    }
    Ok(Around { host: host::name(), day, ssh, peer, guests, serves, passive: Vec::new() })
}

/// The answers: from flags, from the terminal, or what is proposed.
fn wishes(
    args: &Args,
    around: &Around,
    candidates: &Candidates,
    asks: bool,
    terminal: &mut Terminal,
) -> Result<Wishes, Stop> {
    if asks {
        terminal.line(Line::of(Tone::Strong, format!("What is on {}", around.host)));
        tell(around, candidates, terminal);
    }
    let from = |answer: &str, nobody: &str| match answer.trim() {
        "" => Ok(None),
        word if word == nobody => Ok(None),
        values => values_of(values).map(Some),
    };
    let ssh_from = answer(
        args.ssh_from.as_deref(),
        asks,
        terminal,
        "anyone",
        "SSH from where? anyone, or addresses",
        |answer| from(answer, "anyone"),
    )?;
    let open = choose(args.open.as_deref(), &candidates.open, true, asks, terminal, "Open to everybody?")?;
    let inner_from = if candidates.inner.is_empty() {
        None
    } else {
        let names: Vec<&str> = candidates.inner.iter().map(|one| one.thing.as_str()).collect();
        let words = format!("{} from where? nobody, or addresses", names.join(", "));
        answer(args.inner_from.as_deref(), asks, terminal, "nobody", &words, |answer| from(answer, "nobody"))?
    };
    let published = choose(
        args.published.as_deref(),
        &candidates.published,
        false,
        asks,
        terminal,
        "Containers' ports open to everybody?",
    )?;
    Ok(Wishes { ssh_from, open, inner_from, published })
}

fn tell(around: &Around, candidates: &Candidates, terminal: &mut Terminal) {
    let ports: Vec<String> = around.ssh.iter().map(ToString::to_string).collect();
    if !ports.is_empty() {
        let from = around.peer.map(|peer| format!("; you come from {peer}")).unwrap_or_default();
        terminal.line(format!("  SSH listens at port {}{from}", ports.join(", ")));
    }
    let all = [&candidates.open, &candidates.inner, &candidates.published];
    for one in all.into_iter().flatten() {
        let what = one.sort.map(|sort: Sort| format!(": {}", sort.words())).unwrap_or_default();
        terminal.line(format!("  {}: {}{what}", one.thing, one.why));
    }
    for (what, on) in &around.guests {
        terminal.line(format!("  {what} ({on})"));
    }
    for one in &around.serves {
        terminal.line(format!("  {} ({})", one.why, one.program));
    }
}

/// Addresses as the language has them, or why not.
fn values_of(values: &str) -> Result<String, String> {
    let text = format!("allow ssh from {values}");
    let mut sources = Sources::default();
    let id = sources.add("answer", text.as_str());
    match parse_sentence(id, &text) {
        Ok(_) => Ok(values.split_whitespace().collect::<Vec<_>>().join(" ")),
        Err(reports) => Err(reports.first().map(|report| report.message.clone()).unwrap_or_default()),
    }
}

/// Some of these, all of them, or none.
fn choose(
    flag: Option<&str>,
    list: &[Candidate],
    all: bool,
    asks: bool,
    terminal: &mut Terminal,
    words: &str,
) -> Result<Vec<String>, Stop> {
    if list.is_empty() && flag.is_none() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = list.iter().map(|one| one.thing.clone()).collect();
    let shown = names.join(", ");
    let proposed = if all { "all" } else { "none" };
    let words = format!("{words} all, none, or some of: {shown}");
    answer(flag, asks, terminal, proposed, &words, |answer| match answer.trim().trim_end_matches('.') {
        "" if all => Ok(names.clone()),
        "" | "none" | "no" | "n" => Ok(Vec::new()),
        "all" | "yes" | "y" => Ok(names.clone()),
        some => some
            .split(',')
            .map(|word| {
                let word = word.trim();
                let is = |name: &&String| *name == word || name.strip_prefix("published ") == Some(word);
                names.iter().find(is).cloned().ok_or_else(|| format!("`{word}` is none of them: {shown}"))
            })
            .collect(),
    })
}

/// The answer to one question: of a flag, of the terminal, or what is proposed.
fn answer<T>(
    flag: Option<&str>,
    asks: bool,
    terminal: &mut Terminal,
    proposed: &str,
    words: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Stop> {
    if let Some(flag) = flag {
        return read(flag).map_err(|why| Failure::new(Exit::Usage, why).into());
    }
    if !asks {
        return read("").map_err(|why| Failure::new(Exit::Usage, why).into());
    }
    for _ in 0..TRIES {
        let line = ask(&format!("{words} [{proposed}]"), terminal)?;
        match read(&line) {
            Ok(answer) => return Ok(answer),
            Err(why) => terminal.line(Line::of(Tone::Doubtful, format!("  {why}"))),
        }
    }
    Err(Failure::new(Exit::Usage, "no answer that could be understood").into())
}

fn yes(words: &str, terminal: &mut Terminal) -> Result<bool, Stop> {
    let line = ask(&format!("{words}? [yes]"), terminal)?;
    Ok(matches!(line.trim(), "" | "y" | "yes" | "Y" | "Yes"))
}

fn ask(words: &str, terminal: &mut Terminal) -> Result<String, Stop> {
    terminal.raw(&format!("{words} "));
    terminal.flush();
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) | Err(_) => {
            Err(Failure::new(Exit::Usage, "the questions were not answered: nothing was written").into())
        }
        Ok(_) => Ok(line),
    }
}

fn show(text: &str, terminal: &mut Terminal) {
    terminal.line("");
    for line in text.lines() {
        let (sentence, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
        terminal.line(Line::plain(format!("  {sentence}")).and(Tone::Faint, comment));
    }
    terminal.line("");
}

/// The policy, and the folder that it includes; both are new.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let failed = |error: io::Error| {
        Failure::new(Exit::System, format!("`{}` cannot be written: {error}", path.display()))
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folders = fs::DirBuilder::new().recursive(true).mode(0o755).create(folder.join("policy.d"));
    folders.map_err(failed)?;
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}
