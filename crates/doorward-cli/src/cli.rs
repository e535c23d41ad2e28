//! The command line: one definition for each command and flag; does nothing itself.

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Where the policy is, if nobody says.
pub(crate) const POLICY: &str = "/etc/doorward/policy.dw";
/// Where generations are kept, if nobody says.
pub(crate) const STATE: &str = "/var/lib/doorward";

/// What is not a file: the rules that run.
pub(crate) const KERNEL: &str = "kernel";

/// A host firewall: sentences in, a firewall out.
#[derive(Parser, Debug)]
#[command(
    name = "doorward",
    version,
    max_term_width = 80,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Examples:
  doorward check policy.dw        find all mistakes
  doorward list services mail     what the names of services open
  doorward rehearse policy.dw     see on this kernel what it opens and shuts

Exit codes: 0 done or true, 1 a claim is false, 2 the command line is wrong,
3 the policy has errors, 4 refused for safety, 5 the kernel or the system
said no."
)]
pub(crate) struct Cli {
    /// Folder for what doorward remembers
    #[arg(long, global = true, value_name = "DIR", env = "DOORWARD_STATE", hide_env_values = true, default_value = STATE)]
    pub state: PathBuf,
    /// Another host, whose files are in this folder: for images, and for tests
    #[arg(long, global = true, hide = true, value_name = "DIR", env = "DOORWARD_ROOT", default_value = "/")]
    pub root: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Find all mistakes in a policy, and see whether it keeps its expectations
    #[command(after_help = "Examples:
  doorward check
  doorward check --json policy.dw")]
    Check(OnePolicy),

    /// Lay a policy out in the one usual way; comments and order stay
    #[command(after_help = "Examples:
  doorward fmt policy.dw                  rewrites the file, whole or not at all
  doorward fmt --check policy.d/*.dw      only looks; exit 1 if one would change
  doorward fmt - < policy.dw              writes to standard output")]
    Fmt(Fmt),

    /// List all sentences in force with what is built in, or the services that have a name
    #[command(after_help = "Examples:
  doorward list policy.dw
  doorward list services
  doorward list services 5432
  doorward list ./services                a policy of that name")]
    #[command(args_conflicts_with_subcommands = true)]
    List(List),

    /// Write the compiled policy as text for another program
    #[command(after_help = "Examples:
  doorward export --format nft policy.dw > doorward.nft
  doorward export --format nft policy.dw | ip netns exec lab nft -f -")]
    Export(Export),

    /// Propose a policy for this host, and try it: the first command on a server
    #[command(after_help = "Examples:
  doorward init                               asks at most five questions
  doorward init --yes --ssh-from 203.0.113.7  asks none
  doorward init --dry-run                     only shows the policy

Looks at who listens, where SSH comes from, containers and other firewalls;
proposes a policy with the reason in each line; proves and rehearses it; then
tries it as `doorward apply` does. Confirm from a NEW session.")]
    Init(First),

    /// Try a policy: the kernel takes it back by itself, unless it is confirmed
    #[command(after_help = "Examples:
  doorward apply                      try it for 90 s, and wait how it ends
  doorward apply --for 5m policy.dw   more time to look around
  doorward apply --detach             leave the terminal; the kernel keeps time
  doorward apply --no-trial           at once and for good: for scripts

Confirm from a NEW session: that shows that you can come in. Without it, the
rules from before judge again when the time is over, whatever happens to this
command, its terminal or the disk. Ctrl-C takes it back at once.")]
    Apply(Apply),

    /// Add an `allow` sentence to the policy, and try it
    #[command(after_help = "Examples:
  doorward allow ssh from 203.0.113.0/24 limit 6/minute per source
  doorward allow --dry-run http, https    show what it would change for traffic
  doorward allow published 8080/tcp from office

The words are a sentence of the policy. It is written into the file beside its
kin, every other byte stays; what it changes for traffic is told; then the file
is on trial as by `doorward apply`. Where the trial is taken back or runs out
while this command waits, the file is as before, too.")]
    Allow(Say),

    /// Add a `block` sentence to the policy, and try it
    #[command(after_help = "Examples:
  doorward block from 198.51.100.0/24
  doorward block out smtp by user www-data")]
    Block(Say),

    /// Add a `reject` sentence to the policy, and try it
    #[command(after_help = "Examples:
  doorward reject 113/tcp")]
    Reject(Say),

    /// Add a `trust` sentence to the policy, and try it
    #[command(after_help = "Examples:
  doorward trust 203.0.113.0/24")]
    Trust(Say),

    /// Take a sentence out of the policy, and try what is left
    #[command(after_help = "Examples:
  doorward remove allow http
  doorward remove --dry-run block from 198.51.100.0/24

The sentence is found by what it says, however it is laid out; `allow http` is
taken out of `allow http, https`, too. Exit code 1 if it is not there.")]
    Remove(Say),

    /// Keep the policy that is on trial
    #[command(after_help = "Examples:
  doorward confirm            in a new SSH session, or at the machine itself
  doorward confirm --here     from wherever this is; nobody knows whether you
                              can come in again

Only a session whose connection the new policy let in shows that you can come
in. A command without a terminal, or over a connection from before the trial,
is refused.")]
    Confirm(Confirm),

    /// Take back the policy that is on trial, or try an earlier one
    #[command(after_help = "Examples:
  doorward rollback        end the trial: the rules from before judge again
  doorward rollback 41     try generation 41, as `apply` tries a policy")]
    Rollback(Rollback),

    /// Shut everything but the session that asks, for a while
    #[command(after_help = "Examples:
  doorward panic               for 5 minutes
  doorward panic --for 30m

Connections that are open end, whoever has them, in both directions; only SSH
from where this command was given goes on, and can come in again. The kernel
keeps the time: then the rules from before judge again, whatever happens to this
session. Nothing is written to the disk. `doorward rollback` ends it now.")]
    Panic(Brief),

    /// Let everything in, for a while
    #[command(after_help = "Examples:
  doorward open --for 5m       to see whether it is the firewall

The kernel keeps the time: then the rules from before judge again, and what came
in only meanwhile is cut. Rules of others still hold, and what the policy
translates is translated. `doorward rollback` ends it now.")]
    Open(Brief),

    /// Have the firewall loaded at boot, before the network is up
    #[command(after_help = "Examples:
  doorward enable
  doorward enable --json | jq .written

Whichever of systemd, SysV init and OpenRC starts this host is told to start
`doorward boot`, which loads what was confirmed last, as it was proven then:
no policy is read. If that is damaged or refused it loads the one confirmed
before; if that fails, too, only replies, SSH and what a host needs are let in.
Nothing is loaded now. Run twice it does nothing.")]
    Enable(Output),

    /// No longer have the firewall loaded at boot
    #[command(after_help = "Examples:
  doorward disable           the firewall stays in force until the next boot
  doorward disable --open    and opens the host now, after saying which doors

Only what `enable` wrote is taken away; with --open, doorward's own rules, too,
and never anybody else's.")]
    Disable(Disable),

    /// Load what was confirmed last; what boot does
    #[command(
        hide = true,
        after_help = "Examples:
  doorward boot"
    )]
    Boot(Output),

    /// Tell what a policy changes for traffic, compared with what runs
    #[command(after_help = "Examples:
  doorward plan                               against the rules in the kernel
  doorward plan --against old.dw policy.dw    against another policy
  doorward plan --exit-code && echo nothing changes

Every change is told: what nobody could reach before, what nobody can reach any
more, other limits. With two families of addresses, a change of one of them is
marked. What is open already goes on; it is told whose connection would not be
let in anew. A policy called `kernel` is `./kernel`.")]
    Plan(Plan),

    /// Prove that the kernel does what the policy says, or show what is otherwise
    #[command(after_help = "Examples:
  doorward verify
  doorward verify --json policy.dw | jq .ok

Without FILE it is about the policy as it was confirmed last, whatever became
of its files since; if none ever was, about /etc/doorward/policy.dw.

The rules of the kernel are read back and compared with the policy for every
packet there can be. Rules of others are looked at, too: what they drop is
dropped, whatever the policy lets in.")]
    Verify(Verify),

    /// Tell whether the firewall is active, and how often each sentence was hit
    #[command(after_help = "Examples:
  doorward status
  doorward status --short              one line, for monitoring: exit 1 if it is
                                       not as it should be
  doorward status --json | jq .active

With --short the rules in the kernel are proven to mean what was confirmed. The
first word of the line says how it is: active, on-trial, panic, open, changed,
drifted, boot-disabled, boot-broken, not-confirmed, emergency, not-active.")]
    Status(Status),

    /// Tell who listens here, who can come to it, and what is odd about that
    #[command(after_help = "Examples:
  doorward audit                        against the policy in force
  doorward audit policy.dw              against another one
  doorward audit --level critical       exit 1 only for the worst
  doorward audit --html audit.html      a page with a picture, for others

Each finding comes with the sentence or the command that would change it. Exit
code 1 if anything is at least as bad as --level.")]
    Audit(Audit),

    /// Find who else filters here, what takes our rules away, what the kernel lacks
    #[command(after_help = "Examples:
  doorward doctor
  doorward doctor policy.dw             with what this policy needs
  doorward doctor --json | jq '.findings[].id'

Looks for other firewalls, units that flush the ruleset, who bans, containers,
tunnels, the provider's rules, and whether the kernel can do what is needed. Each
finding says who wins and what to do. Exit code 1 if there is more than notices.")]
    Doctor(Doctor),

    /// Tell what is dropped, and what sentences log, while it looks
    #[command(after_help = "Examples:
  doorward log                         listen for 10 s, then tell by source
                                       and sentence
  doorward log --follow                a line for each packet, until Ctrl-C
  doorward log --follow --json | jq .from

Nothing is stored, and nothing is logged while nobody looks. The kernel shows
at most ten packets a second for each default, for all `block` sentences, for
all `reject` sentences, and for each sentence that says `log`: how many there
were is for `doorward status` to say. One at a time can listen.")]
    Log(Log),

    /// Watch doors, drops and the trial on the whole terminal, as they are now
    #[command(after_help = "Examples:
  doorward watch

Above are the sentences with their hits, below what is dropped or logged, by
source and sentence. Keys: space freezes it, / filters, up and down choose one
of the drops, e explains its packet, s tells the sentence that would change it,
q quits. Nothing is changed. `doorward log --follow` writes lines instead.")]
    Watch,

    /// Show the kernel's rules as nft text: ours, or everybody's
    #[command(after_help = "Examples:
  doorward show
  doorward show --all")]
    Show(Show),

    /// Tell what happens to one imagined packet, who says so, and which rules it passes
    #[command(override_usage = "doorward explain [OPTIONS] [in|out|published|forward] PROTOCOL
                        FROM[:PORT] [TO] [PORT|TYPE] [on IFACE [to IFACE]]
                        [by user USER] [by group GROUP] [FILE]")]
    #[command(after_help = "Examples:
  doorward explain tcp 198.51.100.7 443
  doorward explain tcp 198.51.100.7 ssh policy.dw
  doorward explain udp [2001:db8::7]:40000 2001:db8::2 53 on eth0
  doorward explain ping 198.51.100.7
  doorward explain icmp 198.51.100.7 timestamp-request
  doorward explain protocol gre 198.51.100.7
  doorward explain out tcp 198.51.100.7 25 by user www-data
  doorward explain published tcp 198.51.100.7 8080
  doorward explain forward tcp 10.0.0.2 198.51.100.7 443 on br0 to eth0

PROTOCOL is tcp, udp, sctp, icmp, ping, or `protocol` with a name or number.
The packet opens a connection and comes from FROM; with `out` a single address
is where it goes to. What is not said is assumed, and the answer says so.

Without FILE it is about the rules in the kernel, if doorward is active and may
read them, else about /etc/doorward/policy.dw. Exit code 0 means answered,
whatever the verdict; 1 that the policy and its program disagree.")]
    Explain(Explain),

    /// Try a policy on this kernel, in a throw-away network; needs no root and changes nothing
    #[command(after_help = "Examples:
  doorward rehearse examples/vps.dw
  doorward rehearse --limits policy.dw    spend limits too
  doorward rehearse --json policy.dw

Real packets are sent from a simulated outside, and what the kernel does with
each is held against what the policy promises. This host's own network is not
touched.")]
    Rehearse(Rehearse),

    /// Tell what the last word of a command line can become; what shells ask
    #[command(hide = true)]
    Complete(Complete),

    /// Tell who asks, for tests
    #[cfg(debug_assertions)]
    #[command(hide = true)]
    Session,
}

/// Whether to answer for programs.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Answer as JSON (docs/json.md)
    #[arg(long)]
    pub json: bool,
}

/// A policy to look at.
#[derive(Args, Debug)]
pub(crate) struct OnePolicy {
    #[command(flatten)]
    pub output: Output,
    /// The policy
    #[arg(default_value = POLICY)]
    pub file: PathBuf,
}

/// `fmt`
#[derive(Args, Debug)]
pub(crate) struct Fmt {
    /// Change nothing; exit 1 if something would change
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    pub output: Output,
    /// The files; `-` is standard input
    #[arg(default_value = POLICY)]
    pub file: Vec<PathBuf>,
}

/// `rehearse`
#[derive(Args, Debug)]
pub(crate) struct Rehearse {
    /// Spend limits with real connections, and see the next one refused
    #[arg(long)]
    pub limits: bool,
    /// Load this policy instead, so that the rehearsal must disagree
    #[cfg(debug_assertions)]
    #[arg(long, hide = true, value_name = "FILE")]
    pub load_instead: Option<PathBuf>,
    #[command(flatten)]
    pub policy: OnePolicy,
}

/// `explain`
#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// Show each rule that the packet meets
    #[arg(long)]
    pub path: bool,
    /// Ask the rules of all others too, which can drop what ours let in
    #[arg(long)]
    pub whole_kernel: bool,
    #[command(flatten)]
    pub output: Output,
    /// The packet, and the policy
    #[arg(value_name = "QUESTION", hide = true)]
    pub words: Vec<OsString>,
}

/// `list`
#[derive(Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    pub policy: OnePolicy,
    /// What else to list.
    #[command(subcommand)]
    pub what: Option<Listable>,
}

/// What can be listed besides a policy.
#[derive(Subcommand, Debug)]
pub(crate) enum Listable {
    /// List the services that have a name, and what they open
    #[command(after_help = "Examples:
  doorward list services
  doorward list services mail
  doorward list services 443")]
    Services {
        #[command(flatten)]
        output: Output,
        /// A part of a name or of what it is for, or a port
        word: Option<String>,
    },
}

/// `export`
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// For which program
    #[arg(long)]
    pub format: Format,
    /// The policy
    #[arg(default_value = POLICY)]
    pub file: PathBuf,
}

/// Texts that other programs read.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub(crate) enum Format {
    /// For `nft -f`
    Nft,
}

/// How a policy is tried.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Tried {
    /// How long the trial lasts: 10s to 1h
    #[arg(long = "for", value_name = "DURATION", default_value = "90s", value_parser = duration, conflicts_with = "no_trial")]
    pub lasts: Duration,
    /// Do not wait for the end of the trial
    #[arg(long, conflicts_with = "no_trial")]
    pub detach: bool,
    /// Try it even if the session that asks could not come in again
    #[arg(long, conflicts_with = "no_trial")]
    pub force: bool,
    /// Put it in force for good at once
    #[arg(long)]
    pub no_trial: bool,
}

/// `apply`
#[derive(Args, Debug)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub trial: Tried,
    /// End open connections that the policy no longer allows, once it is kept
    #[arg(long)]
    pub cut: bool,
    #[command(flatten)]
    pub output: Output,
    /// The policy
    #[arg(default_value = POLICY)]
    pub file: PathBuf,
}

/// `allow`, `block`, `reject`, `trust`, `remove`
#[derive(Args, Debug)]
pub(crate) struct Say {
    /// Show the line and what it changes for traffic; write and load nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub trial: Tried,
    #[command(flatten)]
    pub output: Output,
    /// The policy
    #[arg(long, value_name = "FILE", default_value = POLICY)]
    pub policy: PathBuf,
    /// The words of the sentence
    #[arg(value_name = "SENTENCE", required = true)]
    pub words: Vec<String>,
}

/// `panic`, `open`
#[derive(Args, Debug)]
pub(crate) struct Brief {
    /// How long: up to 1h
    #[arg(long = "for", value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub lasts: Duration,
    #[command(flatten)]
    pub output: Output,
}

/// `complete`
#[derive(Args, Debug)]
pub(crate) struct Complete {
    /// The words behind `doorward`, the last of them unfinished
    #[arg(last = true, value_name = "WORD")]
    pub words: Vec<OsString>,
}

/// `disable`
#[derive(Args, Debug)]
pub(crate) struct Disable {
    /// Take the rules in the kernel away, too: whatever they kept shut is open
    #[arg(long)]
    pub open: bool,
    #[command(flatten)]
    pub output: Output,
}

/// `confirm`
#[derive(Args, Debug)]
pub(crate) struct Confirm {
    /// Keep it without being shown that new connections are let in
    #[arg(long)]
    pub here: bool,
    #[command(flatten)]
    pub output: Output,
}

/// `rollback`
#[derive(Args, Debug)]
pub(crate) struct Rollback {
    /// How long the trial of an earlier generation lasts: 10s to 1h
    #[arg(long = "for", value_name = "DURATION", default_value = "90s", value_parser = duration, requires = "generation")]
    pub lasts: Duration,
    /// Do not wait for the end of that trial
    #[arg(long, requires = "generation")]
    pub detach: bool,
    /// Try it even if the session that asks could not come in again
    #[arg(long, requires = "generation")]
    pub force: bool,
    #[command(flatten)]
    pub output: Output,
    /// An earlier generation
    pub generation: Option<u64>,
}

/// A time like `90s`, `5m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("say a number and s, m or h: 90s, 5m, 1h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "say a number and s, m or h: 90s, 5m, 1h".to_owned())?;
    match number.checked_mul(seconds) {
        Some(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err("at most 1h".to_owned()),
    }
}

/// `plan`
#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// With what to compare: another policy, or what the kernel has now
    #[arg(long, value_name = "FILE|kernel", default_value = KERNEL)]
    pub against: PathBuf,
    /// Exit with 1 if anything changes
    #[arg(long)]
    pub exit_code: bool,
    /// Show a connection for each change
    #[arg(long)]
    pub examples: bool,
    #[command(flatten)]
    pub policy: OnePolicy,
}

/// `verify`
#[derive(Args, Debug)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub output: Output,
    /// The policy, instead of the confirmed one
    pub file: Option<PathBuf>,
}

/// `audit`
#[derive(Args, Debug)]
pub(crate) struct Audit {
    /// From which level on findings make the exit code 1
    #[arg(long, value_enum, default_value = "warning")]
    pub level: Threshold,
    /// Write a page for a browser, too: one file that loads nothing
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub output: Output,
    /// The policy, instead of the one in force
    pub file: Option<PathBuf>,
}

/// How bad something is.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub(crate) enum Threshold {
    /// Worth knowing
    Notice,
    /// Probably not meant
    Warning,
    /// Somebody can do harm now
    Critical,
}

/// `doctor`
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub output: Output,
    /// The policy, instead of the one in force
    pub file: Option<PathBuf>,
}

/// `init`
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
pub(crate) struct First {
    /// Ask nothing: take what is proposed where no flag says otherwise
    #[arg(long)]
    pub yes: bool,
    /// Show the policy; write and load nothing
    #[arg(long)]
    pub dry_run: bool,
    /// From where SSH is let in: addresses, or `anyone`
    #[arg(long, value_name = "ADDRESSES")]
    pub ssh_from: Option<String>,
    /// What is open to everybody: services that listen, `all`, or `none`
    #[arg(long, value_name = "LIST")]
    pub open: Option<String>,
    /// From where databases and the like are let in: addresses, or `nobody`
    #[arg(long, value_name = "ADDRESSES")]
    pub inner_from: Option<String>,
    /// Which ports of containers are open to everybody: a list, `all`, or `none`
    #[arg(long, value_name = "LIST")]
    pub published: Option<String>,
    /// Write the policy, and do not try it
    #[arg(long)]
    pub no_apply: bool,
    /// How long the trial lasts: 10s to 1h
    #[arg(long = "for", value_name = "DURATION", default_value = "90s", value_parser = duration)]
    pub lasts: Duration,
    /// Do not wait for the end of the trial
    #[arg(long)]
    pub detach: bool,
    #[command(flatten)]
    pub output: Output,
    /// Where to write it
    #[arg(long, value_name = "FILE", default_value = POLICY)]
    pub policy: PathBuf,
}

/// `status`
#[derive(Args, Debug)]
pub(crate) struct Status {
    /// One line, and exit code 1 if it is not as it should be
    #[arg(long)]
    pub short: bool,
    #[command(flatten)]
    pub output: Output,
}

/// `log`
#[derive(Args, Debug)]
pub(crate) struct Log {
    /// Tell each packet as it comes
    #[arg(long)]
    pub follow: bool,
    /// How long to listen: up to 1h [default: 10s; with --follow until Ctrl-C]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub lasts: Option<Duration>,
    #[command(flatten)]
    pub output: Output,
}

/// `show`
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// Everybody's rules, not only ours
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub output: Output,
}

/// The whole definition, for who completes and who describes it.
pub(crate) fn definition() -> clap::Command {
    let mut definition = Cli::command();
    definition.build();
    definition
}

/// Reads the command line; help, the version and mistakes are for the terminal to show.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(args)
}

#[cfg(test)]
mod tests {
    use super::{Cli, CommandFactory};

    #[test]
    fn definitions_hold_together() {
        Cli::command().debug_assert();
    }

    /// Whoever asks for help gets examples, with every command.
    #[test]
    fn every_command_has_examples() {
        fn visit(command: &clap::Command) {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(command.is_hide_set() || after.contains("Examples:"), "{}", command.get_name());
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }
}
