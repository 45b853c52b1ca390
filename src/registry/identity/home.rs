//! Which cloud a registry belongs to: a pure function of its host.

use super::Cloud;

/// A registry of a cloud, as far as its host tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// A private registry of Amazon ECR.
    Ecr(EcrRegion),
    /// Amazon ECR Public.
    EcrPublic,
    /// Artifact Registry or Container Registry.
    Google,
    /// Azure Container Registry.
    Acr(AzureCloud),
}

/// A region of Amazon ECR, and by which of its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EcrRegion {
    pub(super) region: String,
    suffix: &'static str,
    fips: bool,
}

/// The Azure clouds, each with accounts of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AzureCloud {
    Public,
    China,
    Germany,
    UsGovernment,
}

/// What registries of ECR end in, after the region, and what its API does (cloud-provider-aws,
/// `cmd/ecr-credential-provider`; the suffixes of the API are those of the SDKs' endpoint rules).
const ECR_SUFFIXES: [(Stack, &str, &str); 9] = [
    (Stack::Single, "amazonaws.com", "amazonaws.com"),
    (Stack::Single, "amazonaws.com.cn", "amazonaws.com.cn"),
    (Stack::Single, "amazonaws.eu", "amazonaws.eu"),
    (Stack::Single, "sc2s.sgov.gov", "sc2s.sgov.gov"),
    (Stack::Single, "c2s.ic.gov", "c2s.ic.gov"),
    (Stack::Single, "cloud.adc-e.uk", "cloud.adc-e.uk"),
    (Stack::Single, "csp.hci.ic.gov", "csp.hci.ic.gov"),
    (Stack::Dual, "on.aws", "api.aws"),
    (Stack::Dual, "on.amazonwebservices.com.cn", "api.amazonwebservices.com.cn"),
];

/// Which addresses an endpoint has: `dkr.ecr` IPv4 only, `dkr-ecr` both.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stack {
    Single,
    Dual,
}

/// Digits of an AWS account.
const ACCOUNT_LENGTH: usize = 12;

impl Home {
    /// The cloud that a registry (`host` or `host:443`) belongs to, if it is one that is known here.
    pub(super) fn of(registry: &str) -> Option<Self> {
        let host = registry.strip_suffix(":443").unwrap_or(registry);
        if host == "public.ecr.aws" || host == "ecr-public.aws.com" {
            return Some(Self::EcrPublic);
        }
        // The list of the kubelet's own provider for Google.
        let below =
            |domain: &str| host.strip_suffix(domain).is_some_and(|name| is_name(name.strip_suffix('.')));
        if matches!(host, "gcr.io" | "container.cloud.google.com") || below("gcr.io") || below("pkg.dev") {
            return Some(Self::Google);
        }
        for (suffix, cloud) in [
            ("azurecr.io", AzureCloud::Public),
            ("azurecr.cn", AzureCloud::China),
            ("azurecr.de", AzureCloud::Germany),
            ("azurecr.us", AzureCloud::UsGovernment),
        ] {
            if below(suffix) {
                return Some(Self::Acr(cloud));
            }
        }
        EcrRegion::of(host).map(Self::Ecr)
    }

    pub(super) fn cloud(&self) -> Cloud {
        match self {
            Self::Ecr(_) | Self::EcrPublic => Cloud::Aws,
            Self::Google => Cloud::Google,
            Self::Acr(_) => Cloud::Azure,
        }
    }
}

/// Whether something stands before a domain that host names may hold.
fn is_name(name: Option<&str>) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    name.is_some_and(|name| name.split('.').all(label))
}

/// Whether a text may stand as a region in the name of a host.
pub(super) fn is_region(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

impl EcrRegion {
    /// `ACCOUNT.dkr.ecr.REGION.SUFFIX`, `ACCOUNT.dkr-ecr.REGION.SUFFIX`, both with `-fips`.
    fn of(host: &str) -> Option<Self> {
        let (account, rest) = host.split_once('.')?;
        let is_account = account.len() == ACCOUNT_LENGTH && account.chars().all(|c| c.is_ascii_digit());
        let (stack, rest) = match rest.strip_prefix("dkr.ecr") {
            Some(rest) => (Stack::Single, rest),
            None => (Stack::Dual, rest.strip_prefix("dkr-ecr")?),
        };
        let (fips, rest) = rest.strip_prefix("-fips").map_or((false, rest), |rest| (true, rest));
        let (region, end) = rest.strip_prefix('.')?.split_once('.')?;
        let (_, _, suffix) = ECR_SUFFIXES.iter().find(|(kind, name, _)| *kind == stack && *name == end)?;
        (is_account && is_region(region)).then(|| Self { region: region.to_owned(), suffix, fips })
    }

    /// The address of the API, as the endpoint rules of the SDKs have it.
    pub(super) fn api(&self) -> String {
        let Self { region, suffix, fips } = self;
        let service = match (fips, suffix.starts_with("api.")) {
            (true, _) => "ecr-fips",
            (false, true) => "ecr",
            (false, false) => "api.ecr",
        };
        format!("https://{service}.{region}.{suffix}/")
    }
}

/// What the hosts of a region's services end in.
pub(super) fn aws_suffix(region: &str) -> &'static str {
    for (prefix, suffix) in [
        ("cn-", "amazonaws.com.cn"),
        ("eusc-", "amazonaws.eu"),
        ("us-isob-", "sc2s.sgov.gov"),
        ("us-isof-", "csp.hci.ic.gov"),
        ("us-iso-", "c2s.ic.gov"),
        ("eu-isoe-", "cloud.adc-e.uk"),
    ] {
        if region.starts_with(prefix) {
            return suffix;
        }
    }
    "amazonaws.com"
}

impl AzureCloud {
    /// Where tokens are to be had, unless the pod says otherwise.
    pub(super) fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com/",
            Self::China => "https://login.chinacloudapi.cn/",
            Self::Germany => "https://login.microsoftonline.de/",
            Self::UsGovernment => "https://login.microsoftonline.us/",
        }
    }

    /// What a token must be for, so that a registry takes it. A registry may be set to take no tokens for the resource
    /// manager, so it is the registries' own one where there is one (`ContainerRegistryAudience` of the SDKs).
    pub(super) fn audience(self) -> &'static str {
        match self {
            Self::Public => "https://containerregistry.azure.net",
            Self::China => "https://management.chinacloudapi.cn",
            Self::Germany => "https://management.microsoftazure.de",
            Self::UsGovernment => "https://management.usgovcloudapi.net",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(host: &str) -> Option<String> {
        match Home::of(host)? {
            Home::Ecr(region) => Some(region.api()),
            _ => None,
        }
    }

    #[test]
    fn a_registry_of_ecr_leads_to_the_api_of_its_region() {
        for (host, address) in [
            ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", "https://api.ecr.eu-central-1.amazonaws.com/"),
            (
                "123456789012.dkr.ecr.us-gov-west-1.amazonaws.com",
                "https://api.ecr.us-gov-west-1.amazonaws.com/",
            ),
            (
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
                "https://api.ecr.cn-north-1.amazonaws.com.cn/",
            ),
            ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "https://ecr-fips.us-east-1.amazonaws.com/"),
            ("123456789012.dkr-ecr.us-west-2.on.aws", "https://ecr.us-west-2.api.aws/"),
            ("123456789012.dkr-ecr-fips.us-west-2.on.aws", "https://ecr-fips.us-west-2.api.aws/"),
            (
                "123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
                "https://ecr.cn-north-1.api.amazonwebservices.com.cn/",
            ),
            ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "https://api.ecr.us-iso-east-1.c2s.ic.gov/"),
            (
                "123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
                "https://api.ecr.us-isob-east-1.sc2s.sgov.gov/",
            ),
            (
                "123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk",
                "https://api.ecr.eu-isoe-west-1.cloud.adc-e.uk/",
            ),
            (
                "123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov",
                "https://api.ecr.us-isof-south-1.csp.hci.ic.gov/",
            ),
            (
                "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
                "https://api.ecr.eusc-de-east-1.amazonaws.eu/",
            ),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com:443", "https://api.ecr.eu-west-1.amazonaws.com/"),
        ] {
            assert_eq!(api(host).as_deref(), Some(address), "{host}");
        }
    }

    #[test]
    fn registries_of_the_other_clouds_are_known() {
        for host in ["gcr.io", "eu.gcr.io", "europe-docker.pkg.dev", "container.cloud.google.com"] {
            assert_eq!(Home::of(host), Some(Home::Google), "{host}");
        }
        for (host, cloud) in [
            ("shop.azurecr.io", AzureCloud::Public),
            ("shop.azurecr.cn", AzureCloud::China),
            ("shop.azurecr.de", AzureCloud::Germany),
            ("shop.azurecr.us", AzureCloud::UsGovernment),
            ("shop.westeurope.data.azurecr.io", AzureCloud::Public),
        ] {
            assert_eq!(Home::of(host), Some(Home::Acr(cloud)), "{host}");
        }
        for host in ["public.ecr.aws", "ecr-public.aws.com"] {
            assert_eq!(Home::of(host), Some(Home::EcrPublic), "{host}");
        }
    }

    /// A token that is shown to one of these would be given away.
    #[test]
    fn what_only_looks_like_a_cloud_is_none() {
        for host in [
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.test",
            "123456789012.dkr.ecr.eu-central-1.evil.test",
            "12345678901.dkr.ecr.eu-central-1.amazonaws.com",
            "1234567890123.dkr.ecr.eu-central-1.amazonaws.com",
            "12345678901x.dkr.ecr.eu-central-1.amazonaws.com",
            "evil.123456789012.dkr.ecr.eu-central-1.amazonaws.com",
            "123456789012.dkr.ecr.a/b.amazonaws.com",
            "123456789012.dkr.ecr..amazonaws.com",
            "123456789012.dkr.ecr.eu.central.amazonaws.com",
            "123456789012.dkr.ecr.eu-central-1.on.aws",
            "123456789012.dkr-ecr.eu-central-1.amazonaws.com",
            "123456789012.dkr.ecrx.eu-central-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com:5000",
            "x.amazonaws.com",
            "public.ecr.aws.evil.test",
            "x.public.ecr.aws",
            "evilgcr.io",
            "gcr.io.evil.test",
            "pkg.dev",
            "evilpkg.dev",
            ".gcr.io",
            "a@gcr.io",
            "azurecr.io",
            "evilazurecr.io",
            "shop.azurecr.io.evil.test",
            "shop.azurecr.com",
            "docker.io",
            "",
        ] {
            assert_eq!(Home::of(host), None, "{host}");
        }
    }
}
