//! Which image has taken the place of which.

use std::collections::BTreeSet;

use crate::image::{Reference, Repository};
use crate::report::{ContainerReport, ImageReport, Report};

/// A container by what stays the same when its pod is made anew.
pub(super) type Place<'a> = (&'a str, &'a str, &'a str);

/// Images of before and of after that are to be compared. One of before may be in several pairs: when its containers have
/// parted. It is in none when it is not there any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// Indexes of the images before; empty if there was nothing in its place.
    pub(super) before: Vec<usize>,
    /// Index of the image after.
    pub(super) after: usize,
    /// Whether it is the same image.
    pub(super) is_same: bool,
}

/// For each image of after those of before: of the same digest, else of the same name, else in the same containers, else the
/// one of the same repository.
pub(super) fn pairs(before: &Report, after: &Report) -> Vec<Pair> {
    let old: Vec<Known<'_>> = (0..before.images.len()).map(|index| Known::of(before, index)).collect();
    let new: Vec<Known<'_>> = (0..after.images.len()).map(|index| Known::of(after, index)).collect();
    // One that is still there is the same image, and only for want of others what a second one is compared with.
    let stays: Vec<bool> = old.iter().map(|old| new.iter().any(|new| new.is_same(old))).collect();
    let pair = |(after, new): (usize, &Known<'_>)| {
        let those = |is: &dyn Fn(&Known<'_>) -> bool| -> Vec<usize> {
            let all = || old.iter().enumerate().filter(|(_, old)| is(old)).map(|(index, _)| index);
            let left: Vec<usize> = all().filter(|index| !stays[*index]).collect();
            if left.is_empty() { all().collect() } else { left }
        };
        let same = those(&|old| new.is_same(old));
        if !same.is_empty() {
            return Pair { before: same, after, is_same: true };
        }
        let named = those(&|old| new.fits(old) && !new.names.is_disjoint(&old.names));
        let placed = || those(&|old| new.fits(old) && !new.places.is_disjoint(&old.places));
        // For want of better, the only one of its repository that is left.
        let of_repository = || {
            let those = those(&|old| new.fits(old) && new.repository() == old.repository());
            those.into_iter().filter(|index| !stays[*index] && new.repository().is_some()).collect()
        };
        let only = |those: Vec<usize>| if those.len() == 1 { those } else { Vec::new() };
        let before = [named, placed(), only(of_repository())].into_iter().find(|those| !those.is_empty());
        Pair { before: before.unwrap_or_default(), after, is_same: false }
    };
    new.iter().enumerate().map(pair).collect()
}

/// By what an image is known.
struct Known<'a> {
    image: &'a ImageReport,
    names: BTreeSet<String>,
    places: BTreeSet<Place<'a>>,
}

impl<'a> Known<'a> {
    fn of(report: &'a Report, index: usize) -> Self {
        let image = &report.images[index];
        let users = || users(report, index);
        let reference = image.reference.as_ref().map(ToString::to_string);
        let names = users().map(|container| container.image.clone()).chain(reference);
        Self {
            image,
            names: names.filter_map(|name| name_with_tag(&name)).collect(),
            places: users().map(place).collect(),
        }
    }

    fn repository(&self) -> Option<&'a Repository> {
        self.image.reference.as_ref().map(|reference| &reference.repository)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.image.digest.is_some()
            && self.image.digest == other.image.digest
            && self.image.platform == other.image.platform
    }

    /// Whether the platforms agree, as far as they are known.
    fn fits(&self, other: &Self) -> bool {
        match (&self.image.platform, &other.image.platform) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        }
    }
}

/// The containers that run an image.
pub(super) fn users(report: &Report, index: usize) -> impl Iterator<Item = &ContainerReport> {
    report.containers.iter().filter(move |container| container.image_index == Some(index))
}

/// Where a container runs.
pub(super) fn place(container: &ContainerReport) -> Place<'_> {
    (&container.namespace, &container.workload, &container.container)
}

/// The name without a digest, by which people know an image; none if it has only a digest.
fn name_with_tag(name: &str) -> Option<String> {
    match name.parse::<Reference>() {
        Ok(reference) => reference.tag.map(|tag| format!("{}:{tag}", reference.repository)),
        // What a bill of materials in a file is about may be called anything.
        Err(_) => Some(name.to_owned()).filter(|name| !name.is_empty()),
    }
}
