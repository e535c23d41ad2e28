//! What stands between client and server: a policy, the classic script, or rules written by hand.

use std::time::Duration;

use crate::bench::{Host, need};

/// Runs the classic script on the host; it ends with the line that promises a firewall.
pub(crate) fn classic_script(host: &Host) {
    need("iptables", "iptables");
    let place = host.file("classic-script.sh", include_str!("classic-script.sh"));
    let place = place.display().to_string();
    let outcome = host.run("sh", &[&place], Duration::from_secs(20));
    let complete = outcome.output.ends_with("Firewall configuration completed\n");
    assert!(outcome.success && complete, "the script has run: {outcome:#?}");
}
