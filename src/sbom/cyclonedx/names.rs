//! Names of properties, written in one place and read in the other.

/// Name of the tool in the metadata.
pub(in crate::sbom) const TOOL: &str = "kubectl-clarity";

/// Trivy: name of the source package.
pub(in crate::sbom) const SOURCE_NAME: &str = "aquasecurity:trivy:SrcName";
/// Trivy: version of the source package. Epoch and release may stand in properties of their own; here they are part of it.
pub(in crate::sbom) const SOURCE_VERSION: &str = "aquasecurity:trivy:SrcVersion";
/// Trivy: epoch of the source package, when not part of the version.
pub(in crate::sbom) const SOURCE_EPOCH: &str = "aquasecurity:trivy:SrcEpoch";
/// Trivy: release of the source package, when not part of the version.
pub(in crate::sbom) const SOURCE_RELEASE: &str = "aquasecurity:trivy:SrcRelease";

/// Trivy: which kind of thing a component is, for example `lang-pkgs`.
pub(in crate::sbom) const TRIVY_CLASS: &str = "aquasecurity:trivy:Class";

/// Trivy: where a package was found, and in which layer.
pub(in crate::sbom) const TRIVY_PATH: &str = "aquasecurity:trivy:FilePath";
pub(in crate::sbom) const TRIVY_LAYER: &str = "aquasecurity:trivy:LayerDiffID";

/// Syft: type of the package.
pub(in crate::sbom) const PACKAGE_TYPE: &str = "syft:package:type";
/// Syft: the module that a package of rpm was built for.
pub(in crate::sbom) const MODULARITY: &str = "syft:metadata:modularityLabel";
/// Trivy: the same.
pub(in crate::sbom) const TRIVY_MODULARITY: &str = "aquasecurity:trivy:Modularitylabel";
/// Syft: `N:path` and `N:layerID` follow.
pub(in crate::sbom) const LOCATION: &str = "syft:location:";

/// Syft: what os-release says.
pub(in crate::sbom) const DISTRO_ID: &str = "syft:distro:id";
pub(in crate::sbom) const DISTRO_VERSION_ID: &str = "syft:distro:versionID";
pub(in crate::sbom) const DISTRO_CODENAME: &str = "syft:distro:versionCodename";
pub(in crate::sbom) const DISTRO_PRETTY_NAME: &str = "syft:distro:prettyName";
/// Syft: a number follows.
pub(in crate::sbom) const DISTRO_ID_LIKE: &str = "syft:distro:idLike:";

/// Ours: `N:path` and `N:reason` follow.
pub(in crate::sbom) const GAP: &str = "kubectl-clarity:gap:";
/// Ours: a number follows, 0 is the bottom layer.
pub(in crate::sbom) const LAYER: &str = "kubectl-clarity:layer:";
/// Ours: digests of the image's manifest and config.
pub(in crate::sbom) const MANIFEST: &str = "kubectl-clarity:manifest";
pub(in crate::sbom) const CONFIG: &str = "kubectl-clarity:config";
/// Ours: `os/architecture` or `os/architecture/variant`.
pub(in crate::sbom) const PLATFORM: &str = "kubectl-clarity:platform";
/// Ours: names and versions of the analysers.
pub(in crate::sbom) const ANALYSERS: &str = "kubectl-clarity:analysers";
/// Ours: the distribution's package that owns the files of a language's package.
pub(in crate::sbom) const OWNER: &str = "kubectl-clarity:owner";
