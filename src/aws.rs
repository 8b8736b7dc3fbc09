//! How AWS is spoken to, whoever asks: configuration and credentials by the provider's own rules, limits, and what a
//! failure means.

use std::{path::PathBuf, sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_eks::config::{AppName, ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::redact::{Secrets, chain, one_line};

/// Whom to ask, with whose credentials. What is not given comes from the environment and the profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Choice {
    /// The region.
    pub(crate) region: Option<String>,
    /// The profile of the shared configuration.
    pub(crate) profile: Option<String>,
    /// Any API that is compatible with the provider's, instead of the region's own endpoints.
    pub(crate) endpoint_url: Option<String>,
}

/// One set of credentials, and where they are used.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// What the clients of services are made of.
    pub(crate) config: SdkConfig,
    /// The region asked.
    pub(crate) region: Arc<str>,
    /// What no message may repeat.
    pub(crate) secrets: Secrets,
}

/// Why nobody can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionError {
    /// Neither given nor configured.
    NoRegion,
    /// None found, in the order of the provider's chain.
    NoCredentials(String),
}

/// Why a call gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The credentials do not allow it.
    Denied(String),
    /// The provider does not know the credentials, or no longer.
    Credentials(String),
    /// What was asked about does not exist.
    Missing(String),
    /// No answer came.
    Unreachable(String),
    /// What came is no answer of the provider's protocol.
    Foreign(String),
    /// Anything else.
    Other(String),
}

impl CallError {
    /// What happened, in one line.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Denied(message)
            | Self::Credentials(message)
            | Self::Missing(message)
            | Self::Unreachable(message)
            | Self::Foreign(message)
            | Self::Other(message) => message,
        }
    }
}

/// Reads configuration and credentials once, by the provider's own rules: environment, profile, role, instance.
pub(crate) async fn connect(choice: &Choice) -> Result<Session, SessionError> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_LIMIT)
        .operation_attempt_timeout(ATTEMPT_LIMIT)
        .operation_timeout(CALL_LIMIT)
        .build();
    let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(LONGEST_BACKOFF);
    let mut loader =
        aws_config::defaults(BehaviorVersion::v2026_01_12()).timeout_config(timeouts).retry_config(retries);
    if let Ok(name) = AppName::new(env!("CARGO_PKG_NAME")) {
        loader = loader.app_name(name);
    }
    if let Some(region) = &choice.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &choice.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(url) = &choice.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    let config = loader.load().await;
    // A profile that is not there is passed over in silence, and then it is the region or the credentials that lack.
    let named = choice.profile.clone().or_else(|| std::env::var("AWS_PROFILE").ok());
    let missing = named.and_then(|name| missing_profile(&name, &shared_files()));
    let no_region = || missing.clone().map_or(SessionError::NoRegion, SessionError::NoCredentials);
    let region: Arc<str> = config.region().ok_or_else(no_region)?.as_ref().into();
    // Credentials hold for the whole session: found once, so that a missing set is told once and clearly.
    let none = || SessionError::NoCredentials("no provider of credentials is configured".to_owned());
    let provider = config.credentials_provider().ok_or_else(none)?;
    let found = tokio::time::timeout(CREDENTIALS_LIMIT, provider.provide_credentials()).await;
    let found = found.map_err(|_| SessionError::NoCredentials("the search for them took too long".to_owned()))?;
    let credentials = found.map_err(|error| {
        SessionError::NoCredentials(missing.unwrap_or_else(|| not_found(&chain(&error, &Secrets::default()))))
    })?;
    let secrets = [Some(credentials.secret_access_key()), credentials.session_token()];
    let secrets = secrets.into_iter().flatten().collect();
    let provider = SharedCredentialsProvider::new(credentials);
    Ok(Session { config: config.into_builder().credentials_provider(provider).build(), region, secrets })
}

/// The chain of providers lists what it tried on lines of its own, in the types' words.
fn not_found(told: &str) -> String {
    if told.contains("no credentials found in chain") {
        "there are none in the environment, in the profile or from a role of this host".to_owned()
    } else {
        told.to_owned()
    }
}

/// That no file of the shared configuration has this profile, in words; nothing when one does.
fn missing_profile(name: &str, files: &[PathBuf]) -> Option<String> {
    let has = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let mut headings = text.lines().filter_map(|line| line.trim().strip_prefix('[')?.split_once(']'));
        headings.any(|(heading, _)| {
            let heading = heading.trim();
            let heading =
                heading.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(heading);
            heading.trim().trim_matches(['"', '\'']) == name
        })
    };
    if files.iter().any(has) {
        return None;
    }
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    Some(format!("there is no profile {:?} in {}", one_line(name, &Secrets::default()), files.join(" or ")))
}

/// Where the shared configuration is: <https://docs.aws.amazon.com/sdkref/latest/guide/file-location.html>.
fn shared_files() -> Vec<PathBuf> {
    let file = |variable: &str, name: &str| {
        let home = || Some(std::env::home_dir()?.join(".aws").join(name));
        std::env::var_os(variable).map(PathBuf::from).or_else(home)
    };
    [file("AWS_CONFIG_FILE", "config"), file("AWS_SHARED_CREDENTIALS_FILE", "credentials")]
        .into_iter()
        .flatten()
        .collect()
}

/// What kind of failure a call that gave nothing is.
pub(crate) fn failure<E>(error: &SdkError<E, HttpResponse>, secrets: &Secrets) -> CallError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    match error {
        SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
            CallError::Unreachable(chain(error, secrets))
        }
        SdkError::ServiceError(service) => {
            classify(error.code(), error.message(), service.raw().status().as_u16(), secrets)
        }
        _ => CallError::Foreign(chain(error, secrets)),
    }
}

/// A service's error by its code: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>.
fn classify(code: Option<&str>, message: Option<&str>, status: u16, secrets: &Secrets) -> CallError {
    let code = code.unwrap_or_default();
    // The provider's words on these repeat what was signed, the session token included.
    if matches!(code, "SignatureDoesNotMatch" | "InvalidSignatureException" | "IncompleteSignature") {
        return CallError::Credentials(format!(
            "{code}: the request's signature is not accepted: the secret access key or this machine's clock is wrong"
        ));
    }
    let message = message.map(|message| one_line(message, secrets)).filter(|message| !message.is_empty());
    let words = match (one_line(code, secrets), message) {
        (code, None) if code.is_empty() => format!("HTTP {status}"),
        (code, Some(message)) if code.is_empty() => format!("HTTP {status}: {message}"),
        (code, None) => format!("{code} (HTTP {status})"),
        (code, Some(message)) => format!("{code}: {message}"),
    };
    match code {
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" | "NotAuthorized" => {
            CallError::Denied(words)
        }
        "AuthFailure"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "RequestExpired"
        | "MissingAuthenticationToken" => CallError::Credentials(words),
        "ResourceNotFoundException" => CallError::Missing(words),
        // The provider names every error, a refusal above all.
        "" => CallError::Foreign(words),
        _ => CallError::Other(words),
    }
}

const CONNECT_LIMIT: Duration = Duration::from_millis(3_100);
const ATTEMPT_LIMIT: Duration = Duration::from_secs(30);
const CALL_LIMIT: Duration = Duration::from_mins(2);
const CREDENTIALS_LIMIT: Duration = Duration::from_mins(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// The first try included.
const ATTEMPTS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::REPEATING;

    #[test]
    fn a_profile_that_is_not_there_is_said_to_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let files = [folder.path().join("config"), folder.path().join("credentials")];
        std::fs::write(&files[0], "[default]\nregion = x\n [profile  dev] # ours\nregion = y\n").unwrap();
        let told = missing_profile("ops", &files).unwrap();
        assert!(told.contains("no profile \"ops\" in ") && told.contains("/config or "), "{told}");
        std::fs::write(&files[1], "[ops]\naws_access_key_id = x\n").unwrap();
        for name in ["default", "dev", "ops"] {
            assert_eq!(missing_profile(name, &files), None);
        }
        let told = not_found("the credential provider was not enabled: no credentials found in chain. Attempted:;");
        assert!(!told.contains("Attempted"), "{told}");
        assert_eq!(not_found("the SSO token has expired"), "the SSO token has expired");
    }

    #[test]
    fn failures_are_told_apart_by_their_codes() {
        let denied = classify(
            Some("UnauthorizedOperation"),
            Some("You are not authorized to perform this operation. Encoded authorization failure message: AbC123"),
            403,
            &Secrets::default(),
        );
        let words = "UnauthorizedOperation: You are not authorized to perform this operation.";
        assert_eq!(denied, CallError::Denied(words.to_owned()));
        assert!(matches!(
            classify(Some("ExpiredTokenException"), None, 400, &Secrets::default()),
            CallError::Credentials(_)
        ));
        assert!(matches!(
            classify(Some("ResourceNotFoundException"), Some("x"), 404, &Secrets::default()),
            CallError::Missing(_)
        ));
        assert_eq!(classify(None, None, 404, &Secrets::default()), CallError::Foreign("HTTP 404".to_owned()));
        assert_eq!(classify(None, None, 403, &Secrets::default()), CallError::Foreign("HTTP 403".to_owned()));
    }

    #[test]
    fn no_message_repeats_a_credential() {
        let secrets: Secrets = ["wJalrXUtnFEMI", "IQoJb3JpZ2lu"].into_iter().collect();
        for told in REPEATING {
            let error = classify(Some("InvalidAction"), Some(told), 400, &secrets);
            assert_eq!(error.message(), "InvalidAction: Refused");
            for code in ["SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"] {
                let error = classify(Some(code), Some(told), 403, &secrets);
                assert!(matches!(&error, CallError::Credentials(words) if !words.contains("Refused")), "{error:?}");
            }
        }
        assert_eq!(classify(Some("IQoJb3JpZ2lu"), None, 400, &secrets).message(), "HTTP 400");
    }
}
