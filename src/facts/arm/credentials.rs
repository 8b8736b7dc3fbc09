//! Whose token is shown: found by what is there, renewed when it ends or is refused, never told.

use std::{error::Error, fmt, path::Path, sync::Arc, time::Duration};

use azure_core::{
    cloud::CloudConfiguration,
    credentials::{AccessToken, Secret, TokenCredential},
    http::{ClientOptions, ExponentialRetryOptions, RetryOptions},
};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::PullError;
use crate::{
    input::variable,
    redact::{Secrets, chain},
};

/// Where the token comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credential {
    /// The first of the others that something here speaks for: client secret, workload identity, managed identity by
    /// its variables, the `az` command, managed identity of the machine.
    #[default]
    Auto,
    /// The login of the `az` command.
    AzureCli,
    /// The identity of this machine, app or container.
    ManagedIdentity,
    /// The identity of a Kubernetes service account.
    WorkloadIdentity,
    /// A service principal and its secret, from the environment.
    ClientSecret,
}

impl Credential {
    /// Each of them, the one that is taken by itself first.
    pub const ALL: &[Self] =
        &[Self::Auto, Self::AzureCli, Self::ManagedIdentity, Self::WorkloadIdentity, Self::ClientSecret];

    /// As it is written: `azure-cli`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::AzureCli => "azure-cli",
            Self::ManagedIdentity => "managed-identity",
            Self::WorkloadIdentity => "workload-identity",
            Self::ClientSecret => "client-secret",
        }
    }
}

/// The provider's separate clouds: <https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Cloud {
    #[default]
    Public,
    Government,
    China,
}

impl Cloud {
    /// The cloud that the environment names.
    pub(super) fn of_environment() -> Self {
        let named = |name: &str| variable(name).map(|value| value.to_ascii_lowercase()).unwrap_or_default();
        let (cloud, authority) = (named("AZURE_CLOUD"), named("AZURE_AUTHORITY_HOST"));
        let says =
            |word: &str, hosts: &[&str]| cloud.contains(word) || hosts.iter().any(|host| authority.contains(host));
        if says("government", &["login.microsoftonline.us"]) {
            Self::Government
        } else if says("china", &["chinacloudapi.cn", "partner.microsoftonline.cn"]) {
            Self::China
        } else {
            Self::Public
        }
    }

    /// The cloud whose resource manager has this name.
    pub(super) fn of_host(host: &str) -> Option<Self> {
        [Self::Public, Self::Government, Self::China].into_iter().find(|cloud| {
            cloud.resource_manager().strip_prefix("https://").is_some_and(|own| own.eq_ignore_ascii_case(host))
        })
    }

    /// The resource manager's address: <https://learn.microsoft.com/azure/china/resources-developer-guide>.
    pub(super) const fn resource_manager(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com",
            Self::Government => "https://management.usgovcloudapi.net",
            Self::China => "https://management.chinacloudapi.cn",
        }
    }

    fn configuration(self) -> CloudConfiguration {
        match self {
            Self::Public => CloudConfiguration::AzurePublic,
            Self::Government => CloudConfiguration::AzureGovernment,
            Self::China => CloudConfiguration::AzureChina,
        }
    }
}

/// A token and how it is renewed.
pub(super) struct Credentials {
    /// Never [`Credential::Auto`].
    kind: Credential,
    /// Nothing spoke for any other.
    last_resort: bool,
    cloud: Cloud,
    scope: String,
    subscription: Option<String>,
    secrets: Secrets,
    held: Mutex<Option<Held>>,
}

/// A token that was given.
struct Held {
    token: Arc<str>,
    /// In seconds since 1970.
    ends: i64,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Credentials({})", self.kind.label())
    }
}

impl Credentials {
    /// Decides whose token it will be; asks nobody yet.
    pub(super) fn find(
        wanted: Credential,
        subscription: Option<&str>,
        cloud: Cloud,
        secrets: &Secrets,
    ) -> Result<Self, PullError> {
        let kind = match wanted {
            Credential::Auto => automatic(),
            Credential::ClientSecret => {
                need(&["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"])?;
                Some(wanted)
            }
            Credential::WorkloadIdentity => {
                need(&["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"])?;
                Some(wanted)
            }
            Credential::AzureCli if !az_is_there() => {
                return Err(PullError::NoCredentials("the az command is not on the PATH".to_owned()));
            }
            Credential::AzureCli | Credential::ManagedIdentity => Some(wanted),
        };
        for name in ["AZURE_CLIENT_SECRET", "IDENTITY_HEADER"] {
            if let Some(secret) = set(name) {
                secrets.add(secret);
            }
        }
        Ok(Self {
            kind: kind.unwrap_or(Credential::ManagedIdentity),
            last_resort: kind.is_none(),
            cloud,
            scope: format!("{}/.default", cloud.resource_manager()),
            subscription: subscription.map(str::to_owned),
            secrets: secrets.clone(),
            held: Mutex::default(),
        })
    }

    /// Whose token it is, for people.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Credential::Auto => "none",
            Credential::AzureCli => "the login of the az command",
            Credential::ManagedIdentity if self.last_resort => "the managed identity of this machine, if it has one",
            Credential::ManagedIdentity => "the managed identity",
            Credential::WorkloadIdentity => "the workload identity",
            Credential::ClientSecret => "the service principal of AZURE_CLIENT_ID",
        }
    }

    /// A token that is still good, and not the one that was refused.
    pub(super) async fn token(&self, refused: Option<&str>) -> Result<Arc<str>, PullError> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref()
            && held.ends > Timestamp::now().as_second() + SHORTEST_REST
            && refused.is_none_or(|refused| *held.token != *refused)
        {
            return Ok(Arc::clone(&held.token));
        }
        let given = tokio::time::timeout(self.limit(), self.ask()).await;
        let given = given.map_err(|_| PullError::NoCredentials(self.silent()))?;
        let given = given.map_err(|error| PullError::NoCredentials(self.told(&error)))?;
        let token: Arc<str> = given.token.secret().into();
        self.secrets.add(&*token);
        *held = Some(Held { token: Arc::clone(&token), ends: given.expires_on.unix_timestamp() });
        Ok(token)
    }

    /// A credential of its own each time: what it keeps by itself might be what was refused.
    async fn ask(&self) -> azure_core::Result<AccessToken> {
        let credential: Arc<dyn TokenCredential> = match self.kind {
            Credential::AzureCli => AzureCliCredential::new(Some(AzureCliCredentialOptions {
                subscription: self.subscription.clone(),
                ..AzureCliCredentialOptions::default()
            }))?,
            Credential::ClientSecret => ClientSecretCredential::new(
                &set("AZURE_TENANT_ID").unwrap_or_default(),
                set("AZURE_CLIENT_ID").unwrap_or_default(),
                Secret::new(set("AZURE_CLIENT_SECRET").unwrap_or_default()),
                Some(ClientSecretCredentialOptions { client_options: self.client_options() }),
            )?,
            Credential::WorkloadIdentity => WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options: self.client_options() },
                ..WorkloadIdentityCredentialOptions::default()
            }))?,
            Credential::ManagedIdentity | Credential::Auto => {
                ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                    user_assigned_id: set("AZURE_CLIENT_ID").map(UserAssignedId::ClientId),
                    client_options: self.client_options(),
                }))?
            }
        };
        credential.get_token(&[&self.scope], None).await
    }

    /// The cloud's own login, unless the environment names another.
    fn client_options(&self) -> ClientOptions {
        let cloud = set("AZURE_AUTHORITY_HOST").is_none().then(|| Arc::new(self.cloud.configuration()));
        // Its own patience outlasts everybody's.
        let retry = RetryOptions::exponential(ExponentialRetryOptions { max_retries: RETRIES, ..Default::default() });
        ClientOptions { cloud, retry, ..ClientOptions::default() }
    }

    fn limit(&self) -> Duration {
        if self.last_resort { LAST_RESORT_LIMIT } else { TOKEN_LIMIT }
    }

    fn silent(&self) -> String {
        if self.last_resort {
            return format!("{NOTHING_THERE}, and no managed identity answers");
        }
        format!("{} gave no token within {} s", self.name(), self.limit().as_secs())
    }

    fn told(&self, error: &azure_core::Error) -> String {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = cause {
            // The reader's words repeat what could not be read.
            if error.is::<serde_json::Error>() {
                return format!("what {} gave is no token", self.name());
            }
            cause = error.source();
        }
        let words = chain(error, &self.secrets);
        if self.last_resort { format!("{NOTHING_THERE}, and no managed identity: {words}") } else { words }
    }
}

/// What the environment speaks for, without asking anybody.
fn automatic() -> Option<Credential> {
    let principal = set("AZURE_CLIENT_ID").is_some() && set("AZURE_TENANT_ID").is_some();
    if principal && set("AZURE_CLIENT_SECRET").is_some() {
        Some(Credential::ClientSecret)
    } else if principal && set("AZURE_FEDERATED_TOKEN_FILE").is_some() {
        Some(Credential::WorkloadIdentity)
    } else if set("IDENTITY_ENDPOINT").is_some() && set("IDENTITY_HEADER").is_some() {
        Some(Credential::ManagedIdentity)
    } else if az_is_there() {
        Some(Credential::AzureCli)
    } else {
        None
    }
}

fn need(names: &[&str]) -> Result<(), PullError> {
    let lacking: Vec<&str> = names.iter().copied().filter(|name| set(name).is_none()).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(PullError::NoCredentials(format!("not set: {}", lacking.join(", "))))
}

fn az_is_there() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| executable(&folder.join("az")))
}

#[cfg(unix)]
fn executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn executable(file: &Path) -> bool {
    ["", "cmd", "exe"].iter().any(|extension| file.with_extension(extension).is_file())
}

/// A variable that says something.
fn set(name: &str) -> Option<String> {
    variable(name).filter(|value| !value.is_empty())
}

const NOTHING_THERE: &str = "there is no service principal (AZURE_CLIENT_SECRET), no workload identity \
                             (AZURE_FEDERATED_TOKEN_FILE), no az command on the PATH";
/// Seconds that a token must still be good for; one that begins shorter is used as it is.
const SHORTEST_REST: i64 = 30;
/// The `az` command takes seconds by itself.
const TOKEN_LIMIT: Duration = Duration::from_secs(45);
const RETRIES: u32 = 3;
/// A machine's identity answers at once or not at all.
const LAST_RESORT_LIMIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_are_told_by_their_hosts() {
        for cloud in [Cloud::Public, Cloud::Government, Cloud::China] {
            let host = cloud.resource_manager().strip_prefix("https://").unwrap();
            assert_eq!(Cloud::of_host(&host.to_uppercase()), Some(cloud));
        }
        assert_eq!(Cloud::of_host("127.0.0.1"), None);
        assert_eq!(Cloud::of_host("management.azure.com.evil.example"), None);
    }

    #[test]
    fn labels_differ() {
        let labels: std::collections::BTreeSet<_> = Credential::ALL.iter().map(|kind| kind.label()).collect();
        assert_eq!(labels.len(), Credential::ALL.len());
        assert_eq!(Credential::default(), Credential::Auto);
    }
}
