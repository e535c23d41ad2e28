//! What stands between client and server: a policy, the classic script, or rules written by hand.

use std::time::Duration;

use crate::bench::{Host, need};

/// Loads a policy on the host with the command that is being built, and waits for its end.
pub(crate) fn policy(host: &Host, text: &str) {
    let place = host.file("policy.dw", text);
    let mut command = host.guarded_command(env!("CARGO_BIN_EXE_doorward"));
    command
        .env("DOORWARD_FORBID_HOST", "1")
        .env("DOORWARD_STATE", host.folder().join("state"))
        .args(["apply", "--no-trial"])
        .arg(place);
    let outcome = host.finish(command, Duration::from_secs(20));
    assert!(outcome.success, "the policy is loaded: {outcome:#?}");
}

/// Runs the classic script on the host; it ends with the line that promises a firewall.
pub(crate) fn classic_script(host: &Host) {
    need("iptables", "iptables");
    let place = host.file("classic-script.sh", include_str!("classic-script.sh"));
    let place = place.display().to_string();
    let outcome = host.run("sh", &[&place], Duration::from_secs(20));
    let complete = outcome.output.ends_with("Firewall configuration completed\n");
    assert!(outcome.success && complete, "the script has run: {outcome:#?}");
}

/// Loads rules in the text of nft(8): controls that show what a test would miss.
pub(crate) fn rules(host: &Host, text: &str) {
    need("nft", "nftables");
    let place = host.file("rules.nft", text);
    let place = place.display().to_string();
    let outcome = host.run("nft", &["-f", &place], Duration::from_secs(20));
    assert!(outcome.success, "the rules are loaded: {outcome:#?}");
}
