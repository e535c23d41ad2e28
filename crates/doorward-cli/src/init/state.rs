//! Whether doorward is started at boot and would load what was confirmed; changes nothing.

use super::program::is_safe;
use super::{Host, Init, texts};
use crate::cli::STATE;
use crate::store::Store;
use std::path::Path;

/// What the next boot does.
pub(crate) struct Boots {
    /// Who starts it; none if nobody does.
    pub init: Option<Init>,
    /// The program that is started.
    pub program: Option<String>,
    /// Why it would not load what was confirmed.
    pub why: Vec<String>,
}

impl Boots {
    /// For programs.
    pub(crate) fn word(&self) -> &'static str {
        match self.init {
            None => "disabled",
            Some(_) if self.why.is_empty() => "enabled",
            Some(_) => "broken",
        }
    }
}

/// Looks at the files of the init system, at the program, and at what was confirmed. `state` stands for the usual
/// folder.
pub(crate) fn boots(host: &Host, state: &Path) -> Boots {
    let mut boots = Boots { init: None, program: None, why: Vec::new() };
    // What another init system would read is never run.
    let candidates = host.init().map_or(Init::ALL.to_vec(), |init| vec![init]);
    let found = candidates
        .into_iter()
        .filter(|init| !init.links_there(host).is_empty())
        .find_map(|init| Some((init, init.there(host)?)));
    let Some((init, text)) = found else { return boots };
    boots.init = Some(init);
    let Some(start) = texts::start(&text) else {
        // One that is masked is empty.
        boots.why.push(format!("`{}` does not start doorward (masked, or changed)", init.file(host).path()));
        return boots;
    };
    let program = host.path(&start.program);
    if program.exists() {
        boots.why.extend(is_safe(&program).err().map(|failure| failure.messages.join(": ")));
    } else {
        boots.why.push(format!("`{}` is not there any more", start.program));
    }
    // Tests keep the state elsewhere, and boot from it.
    let usual = if start.state() == STATE { state } else { Path::new(start.state()) };
    match Store::open(&host.path(usual)).map(|store| store.map(|store| store.confirmed())) {
        Ok(Some(Ok(Some(_)))) => {}
        Ok(Some(Err(failure))) | Err(failure) => boots.why.extend(failure.messages.first().cloned()),
        Ok(None | Some(Ok(None))) => boots.why.push("nothing was confirmed yet".to_owned()),
    }
    boots.program = Some(start.program);
    boots
}
