//! What the clouds' webhooks and SDKs say by environment variables.

use std::collections::BTreeMap;

use reqwest::Url;

use super::error::IdentityError;
use crate::registry::secret::Secret;

/// All variables that are read. The names are those of the clouds' SDKs.
const NAMES: [&str; 27] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_ECR",
    "AWS_ENDPOINT_URL_ECR_PUBLIC",
    "AWS_ENDPOINT_URL_STS",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_TENANT_ID",
    "GCE_METADATA_HOST",
    "GCE_METADATA_IP",
    "GOOGLE_APPLICATION_CREDENTIALS",
];

/// Whether registries of a cloud may be shown the identity that this process has there, and what is known about it.
/// By default it has none.
#[derive(Clone, Debug, Default)]
pub struct IdentitySettings {
    /// What is set; values may be secret. None at all where identities are not wanted.
    variables: Option<BTreeMap<&'static str, Secret>>,
}

impl IdentitySettings {
    /// Takes the variables of the clouds' SDKs from whatever holds them. Identities are used from then on: those of
    /// metadata services need no variable.
    #[must_use]
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let read = |name: &'static str| {
            let value = variable(name).filter(|text| !text.trim().is_empty())?;
            Some((name, Secret::new(value.trim())))
        };
        Self { variables: Some(NAMES.into_iter().filter_map(read).collect()) }
    }

    /// What is set, if identities are wanted.
    pub(super) fn variables(&self) -> Option<Variables<'_>> {
        self.variables.as_ref().map(Variables)
    }
}

/// The variables that are set, none of them empty.
#[derive(Clone, Copy)]
pub(super) struct Variables<'a>(&'a BTreeMap<&'static str, Secret>);

impl Variables<'_> {
    pub(super) fn get(self, name: &str) -> Option<String> {
        debug_assert!(NAMES.contains(&name), "{name} is not captured");
        self.0.get(name).map(|value| value.expose().to_owned())
    }

    pub(super) fn secret(self, name: &str) -> Option<Secret> {
        debug_assert!(NAMES.contains(&name), "{name} is not captured");
        self.0.get(name).cloned()
    }

    pub(super) fn is_true(self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// The address in a variable.
pub(super) fn address(name: &'static str, text: &str) -> Result<Url, IdentityError> {
    let url = Url::parse(text).ok().filter(|url| url.has_host() && matches!(url.scheme(), "https" | "http"));
    url.ok_or(IdentityError::Variable { name, what: "holds no address" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_identity_is_wanted_by_default_and_without_variables_that_of_the_machine_is() {
        assert!(IdentitySettings::default().variables().is_none());
        assert!(IdentitySettings::from_variables(|_| None).variables().is_some());
    }

    #[test]
    fn values_are_trimmed_empty_ones_count_as_unset_and_none_is_shown() {
        let settings = IdentitySettings::from_variables(|name| match name {
            "AWS_SECRET_ACCESS_KEY" => Some("hunter2\n".to_owned()),
            "AWS_REGION" => Some(" ".to_owned()),
            _ => None,
        });
        let variables = settings.variables().expect("wanted");
        assert_eq!(variables.get("AWS_SECRET_ACCESS_KEY").as_deref(), Some("hunter2"));
        assert_eq!(variables.get("AWS_REGION"), None);
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
