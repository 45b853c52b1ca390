//! `kubectl clarity cache verify`.

use super::super::{Exit, errors::Explained, ui};
use super::place::Opened;
use crate::cache::{Damage, Verified};
use crate::report::text::{plural, sanitize};

pub(super) async fn run(stores: &[Opened]) -> Result<Exit, Explained> {
    let mut is_damaged = false;
    for opened in stores {
        let Some(Verified { whole, damaged }) = opened.or_note(opened.store.verify().await)? else { continue };
        let named = |damage: &Damage| {
            let Damage { name, why } = damage;
            format!("damaged: {}: {}\n", sanitize(name), sanitize(why))
        };
        let total =
            format!("{} whole, {} damaged in {}\n", plural(whole, "image"), damaged.len(), opened.store.name());
        let text: String = damaged.iter().map(named).chain([total]).collect();
        ui::data(None, &text)?;
        is_damaged |= !damaged.is_empty();
    }
    if is_damaged {
        ui::say("what is damaged is removed and made anew when a scan meets it");
    }
    Ok(if is_damaged { Exit::Error } else { Exit::Passed })
}
