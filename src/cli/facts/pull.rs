//! `kubereach facts pull`: from the provider's API into a folder.

use std::process::ExitCode;

use crate::{
    cli::arguments::{PullAksArguments, PullEksArguments},
    input::{InputError, InputErrors},
};

/// Without the SDK there is nothing to pull with.
#[cfg(not(feature = "aws"))]
pub(super) fn eks(_arguments: &PullEksArguments) -> Result<ExitCode, InputErrors> {
    Err(InputError::new("this kubereach was built without the AWS SDK")
        .help("build it with --features aws, or make the folder by the aws command: see docs/eks-facts.md")
        .into())
}

/// Without the SDK there is nothing to pull with.
#[cfg(not(feature = "azure"))]
pub(super) fn aks(_arguments: &PullAksArguments) -> Result<ExitCode, InputErrors> {
    Err(InputError::new("this kubereach was built without the Azure SDK")
        .help("build it with --features azure, or make the folder by the az command: see docs/aks-facts.md")
        .into())
}

#[cfg(feature = "aws")]
pub(super) fn eks(arguments: &PullEksArguments) -> Result<ExitCode, InputErrors> {
    use crate::facts::aws::{Action, EksRequest, pull};

    let request = EksRequest {
        name: arguments.name.clone(),
        region: arguments.region.clone(),
        profile: arguments.profile.clone(),
        endpoint_url: arguments.endpoint_url.clone(),
    };
    let provider = live::Provider {
        title: "EKS",
        account: "account",
        role: "docs/eks-iam-policy.json",
        actions: Action::ALL.len(),
        tells: |action| Action::by_permission(action).map(Action::tells),
    };
    live::pull_into(&provider, arguments.out.as_deref(), &arguments.name, arguments.verbose, async |tell| {
        pull(&request, tell).await.map_err(InputError::from)
    })
}

#[cfg(feature = "azure")]
pub(super) fn aks(arguments: &PullAksArguments) -> Result<ExitCode, InputErrors> {
    use crate::{
        cli::arguments::CredentialKind,
        facts::arm::{Action, AksRequest, Credential, pull},
    };

    let request = AksRequest {
        subscription: arguments.subscription.clone(),
        resource_group: arguments.resource_group.clone(),
        name: Some(arguments.name.clone()),
        host: None,
        endpoint_url: arguments.endpoint_url.clone(),
        credential: match arguments.credential {
            CredentialKind::Auto => Credential::Auto,
            CredentialKind::AzureCli => Credential::AzureCli,
            CredentialKind::ManagedIdentity => Credential::ManagedIdentity,
            CredentialKind::WorkloadIdentity => Credential::WorkloadIdentity,
            CredentialKind::ClientSecret => Credential::ClientSecret,
        },
        effective_routes: arguments.effective_routes,
        certificate_authority: arguments.certificate_authority,
    };
    let provider = live::Provider {
        title: "AKS",
        account: "subscription",
        role: "docs/aks-role.json",
        actions: Action::ALL.len(),
        tells: |action| Action::by_permission(action).map(Action::tells),
    };
    live::pull_into(&provider, arguments.out.as_deref(), &arguments.name, arguments.verbose, async |tell| {
        pull(&request, tell).await.map_err(InputError::from)
    })
}

/// What pulls of every provider do around the asking.
#[cfg(any(feature = "aws", feature = "azure"))]
mod live {
    use std::{
        fmt::Write,
        path::{Path, PathBuf},
    };

    use super::{ExitCode, InputError, InputErrors};
    use crate::{
        cli::{printer, progress::Progress, run},
        facts::{
            manifest::{Manifest, Refused},
            write::{Pulled, Written, check, write},
        },
        report::words::visible,
    };

    /// What differs in words.
    pub(super) struct Provider {
        /// `EKS`.
        pub(super) title: &'static str,
        /// What the provider calls an account.
        pub(super) account: &'static str,
        /// The document that lists the actions needed.
        pub(super) role: &'static str,
        /// How many actions there are, for the progress.
        pub(super) actions: usize,
        /// What is unknown without an action, by its permission's name.
        pub(super) tells: fn(&str) -> Option<&'static str>,
    }

    /// Asks, writes, tells; SIGINT and SIGTERM end it before anything is written.
    pub(super) fn pull_into(
        provider: &Provider,
        out: Option<&Path>,
        name: &str,
        verbose: bool,
        pull: impl AsyncFnOnce(&dyn Fn(String)) -> Result<Pulled, InputError>,
    ) -> Result<ExitCode, InputErrors> {
        let folder = out.map_or_else(|| PathBuf::from("facts").join(name), Path::to_owned);
        // Before the provider is asked: a folder that cannot be written into is told at once.
        check(&folder)?;
        let progress = Progress::new(provider.actions, verbose);
        let pulled = run::block_on(async {
            let tell = |line: String| progress.say(&line);
            tokio::select! {
                pulled = pull(&tell) => pulled,
                () = run::interrupted() => Err(InputError::new("interrupted: nothing was written")),
            }
        });
        progress.finish();
        let pulled = pulled??;
        let written = write(&pulled, &folder)?;
        printer::print(&summary(provider, &pulled, written, &folder))
            .map_err(|error| InputError::new(format!("cannot write to stdout: {error}")))?;
        Ok(ExitCode::SUCCESS)
    }

    /// What is there now, and what is not and why.
    fn summary(provider: &Provider, pulled: &Pulled, written: Written, folder: &Path) -> String {
        let manifest = &pulled.manifest;
        let or_unknown = |value: &Option<String>| visible(value.as_deref().unwrap_or("unknown"));
        let mut text = format!(
            "{} cluster {} in {}, {} {}\n{} documents in {}: {}\n",
            provider.title,
            or_unknown(&manifest.cluster),
            or_unknown(&manifest.region),
            provider.account,
            or_unknown(&manifest.account),
            pulled.documents.len(),
            visible(&folder.display().to_string()),
            changes(written),
        );
        for (title, refused) in [("Not allowed", &manifest.denied), ("Failed", &manifest.failed)] {
            if refused.is_empty() {
                continue;
            }
            let _ = writeln!(text, "\n{title}, so these stay unknown:");
            let widest = refused.iter().map(|refused| refused.action.len()).max().unwrap_or_default();
            for Refused { action, message } in refused {
                let unknown = (provider.tells)(action).unwrap_or_default();
                let _ = writeln!(text, "  {action:widest$}  {unknown}\n  {:widest$}  {}", "", visible(message));
            }
        }
        if !manifest.denied.is_empty() {
            let _ = writeln!(text, "\n{} allows exactly what kubereach reads", provider.role);
        }
        text
    }

    /// The documents that changed; the manifest is not told apart.
    fn changes(written: Written) -> String {
        let mut parts = Vec::new();
        if written.changed > 0 {
            parts.push(format!("{} files written", written.changed));
        }
        if written.removed > 0 {
            parts.push(format!("{} removed", written.removed));
        }
        if parts.is_empty() {
            return format!("unchanged since the last pull ({} is as it was)", Manifest::FILE);
        }
        parts.join(", ")
    }

    #[cfg(test)]
    mod tests {
        use std::collections::BTreeMap;

        use super::*;

        #[test]
        fn the_summary_names_what_stays_unknown() {
            let refused =
                |action: &str, message: &str| Refused { action: action.to_owned(), message: message.to_owned() };
            let manifest = Manifest {
                cluster: Some("prod".to_owned()),
                region: Some("eu-west-1".to_owned()),
                denied: vec![refused("ec2:DescribeNetworkAcls", "UnauthorizedOperation: no\u{1b}[31m")],
                failed: vec![refused("eks:ListUpdates", "HTTP 404")],
                ..Manifest::default()
            };
            let pulled = Pulled { documents: BTreeMap::new(), manifest };
            let provider = Provider {
                title: "EKS",
                account: "account",
                role: "docs/eks-iam-policy.json",
                actions: 0,
                tells: |action| {
                    Some(match action {
                        "eks:ListUpdates" => "whether a change of the cluster is still under way",
                        _ => "what the network ACLs let through",
                    })
                },
            };
            let text =
                summary(&provider, &pulled, Written { changed: 2, unchanged: 0, removed: 1 }, Path::new("facts/prod"));
            assert_eq!(
                text,
                "EKS cluster prod in eu-west-1, account unknown
0 documents in facts/prod: 2 files written, 1 removed

Not allowed, so these stay unknown:
  ec2:DescribeNetworkAcls  what the network ACLs let through
                           UnauthorizedOperation: no\\x1b[31m

Failed, so these stay unknown:
  eks:ListUpdates  whether a change of the cluster is still under way
                   HTTP 404

docs/eks-iam-policy.json allows exactly what kubereach reads
"
            );
            assert!(changes(Written { unchanged: 30, ..Written::default() }).starts_with("unchanged"));
        }
    }
}
