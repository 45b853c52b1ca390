//! `container-manifest-2` of distroless images of Azure Linux (once CBL-Mariner): one line a package, written by
//! `rpm -qa --qf '%{NAME}\t%{VERSION}-%{RELEASE}\t%{INSTALLTIME}\t%{BUILDTIME}\t%{VENDOR}\t%{EPOCH}\t%{SIZE}\t%{ARCH}\t%{EPOCHNUM}\t%{SOURCERPM}\n'`.

use super::super::installed::PACKAGES;
use super::super::lines::{Lines, text};
use super::{RpmDatabase, RpmPackage};
use crate::tree::{GapCause, Source};

/// Reads the list.
pub(super) fn read(source: Source<'_>) -> Result<RpmDatabase, GapCause> {
    let mut lines = Lines::new(source);
    let mut database = RpmDatabase::default();
    while let Some(line) = lines.next()? {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match package(line) {
            Some(package) if database.packages.len() < PACKAGES => database.packages.push(package),
            Some(_) => return Err(GapCause::Limit(format!("holds more than {PACKAGES} packages"))),
            None => database.damaged = database.damaged.saturating_add(1),
        }
    }
    Ok(database)
}

fn package(line: &[u8]) -> Option<RpmPackage> {
    let fields: Vec<Option<String>> = line
        .split(|&byte| byte == b'\t')
        .map(text)
        .map(|field| field.filter(|field| field != "(none)"))
        .collect();
    let [name, version, _, _, vendor, _, _, architecture, epoch, source_rpm] =
        <[_; 10]>::try_from(fields).ok()?;
    let version = version?;
    let (version, release) = version.rsplit_once('-')?;
    // EPOCHNUM is 0 where there is no epoch.
    let epoch = epoch.and_then(|epoch| epoch.parse().ok()).filter(|&epoch| epoch > 0);
    Some(RpmPackage {
        name: name?,
        epoch,
        version: version.to_owned(),
        release: release.to_owned(),
        architecture,
        vendor,
        source_rpm,
        ..RpmPackage::default()
    })
}
