//! What is said of a kubeconfig or an API that does not work: never the file's text, a plugin's command or its output, all
//! of which may hold secrets.

use kube::{client::AuthError, config::KubeconfigError};

use crate::redact::{Secrets, chain, clean};

/// Of a kubeconfig, after its name.
pub(super) fn of_kubeconfig(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(error, _) => format!("cannot be read: {}", clean(&error.to_string())),
        KubeconfigError::Parse(error) => match error.location() {
            Some(place) => format!("is no kubeconfig: what stands in line {} cannot be read", place.line()),
            None => "is no kubeconfig: it cannot be read as YAML of that form".to_owned(),
        },
        KubeconfigError::ParseClusterUrl(_) => "names a `server` that is no URL".to_owned(),
        KubeconfigError::ParseProxyUrl(_) => "names a `proxy-url` that is no URL".to_owned(),
        KubeconfigError::LoadCertificateAuthority(_) => "names a certificate authority that cannot be read".to_owned(),
        KubeconfigError::LoadClientCertificate(_) => "names a client certificate that cannot be read".to_owned(),
        KubeconfigError::LoadClientKey(_) => "names a client key that cannot be read".to_owned(),
        KubeconfigError::ParseCertificates(_) => "holds a certificate that cannot be read".to_owned(),
        KubeconfigError::MissingClusterUrl => "names no `server` for its cluster".to_owned(),
        KubeconfigError::LoadClusterOfContext(_) => "has no cluster of the name that its context gives".to_owned(),
        KubeconfigError::LoadContext(_) | KubeconfigError::CurrentContextNotSet => {
            "lacks the context that is meant".to_owned()
        }
        KubeconfigError::FindPath => "cannot be found: there is no home folder".to_owned(),
        _ => "cannot be used as it is: compare `kubectl config view`".to_owned(),
    }
}

/// Of a request, bounded.
pub(super) fn of(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => return clean(&format!("{} ({})", status.message, status.code)),
        kube::Error::ProxyProtocolUnsupported { .. } | kube::Error::ProxyProtocolDisabled { .. } => {
            return "a kubeconfig with `proxy-url` is not supported for this vantage".to_owned();
        }
        _ => {}
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(one) = cause {
        if let Some(of_login) = one.downcast_ref::<AuthError>() {
            return of_authentication(of_login);
        }
        cause = one.source();
    }
    let words = chain(error, &Secrets::default());
    // The library's name for its layer says nothing to a reader.
    words.strip_prefix("ServiceError: ").unwrap_or(&words).to_owned()
}

fn of_authentication(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecStart(error) => {
            format!("the exec plugin of the kubeconfig does not start: {}", error.kind())
        }
        AuthError::AuthExecRun { out, .. } => {
            format!("the exec plugin of the kubeconfig failed ({}); kubectl shows what it says", out.status)
        }
        AuthError::ReadTokenFile(error, _) => {
            format!("the token file of the kubeconfig cannot be read: {}", error.kind())
        }
        _ => "the kubeconfig's login does not work; kubectl with the same context shows why".to_owned(),
    }
}
