//! `kubereach facts pull`: from the provider's API into a folder.

use std::process::ExitCode;

use crate::{
    cli::arguments::PullEksArguments,
    input::{InputError, InputErrors},
};

/// Without the SDK there is nothing to pull with.
#[cfg(not(feature = "aws"))]
pub(super) fn eks(_arguments: &PullEksArguments) -> Result<ExitCode, InputErrors> {
    Err(InputError::new("this kubereach was built without the AWS SDK")
        .help("build it with --features aws, or make the folder by the aws command: see docs/eks-facts.md")
        .into())
}

#[cfg(feature = "aws")]
pub(super) use live::eks;

#[cfg(feature = "aws")]
mod live {
    use std::{
        fmt::Write,
        path::{Path, PathBuf},
    };

    use super::{ExitCode, InputError, InputErrors, PullEksArguments};
    use crate::{
        cli::{printer, progress::Progress, run},
        facts::{
            aws::{Action, EksRequest, pull},
            manifest::{Manifest, Refused},
            write::{Pulled, Written, check, write},
        },
        report::words::visible,
    };

    pub(in crate::cli::facts) fn eks(arguments: &PullEksArguments) -> Result<ExitCode, InputErrors> {
        let folder = arguments.out.clone().unwrap_or_else(|| PathBuf::from("facts").join(&arguments.name));
        // Before the provider is asked: a folder that cannot be written into is told at once.
        check(&folder)?;
        let request = EksRequest {
            name: arguments.name.clone(),
            region: arguments.region.clone(),
            profile: arguments.profile.clone(),
            endpoint_url: arguments.endpoint_url.clone(),
        };
        let progress = Progress::new(Action::ALL.len(), arguments.verbose);
        let pulled = run::block_on(async {
            tokio::select! {
                pulled = pull(&request, |line| progress.say(&line)) => pulled.map_err(InputError::from),
                () = run::interrupted() => Err(InputError::new("interrupted: nothing was written")),
            }
        });
        progress.finish();
        let pulled = pulled??;
        let written = write(&pulled, &folder)?;
        printer::print(&summary(&pulled, written, &folder))
            .map_err(|error| InputError::new(format!("cannot write to stdout: {error}")))?;
        Ok(ExitCode::SUCCESS)
    }

    /// What is there now, and what is not and why.
    fn summary(pulled: &Pulled, written: Written, folder: &Path) -> String {
        let manifest = &pulled.manifest;
        let or_unknown = |value: &Option<String>| visible(value.as_deref().unwrap_or("unknown"));
        let mut text = format!(
            "EKS cluster {} in {}, account {}\n{} documents in {}: {}\n",
            or_unknown(&manifest.cluster),
            or_unknown(&manifest.region),
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
                let unknown = Action::by_permission(action).map_or("", Action::tells);
                let _ = writeln!(text, "  {action:widest$}  {unknown}\n  {:widest$}  {}", "", visible(message));
            }
        }
        if !manifest.denied.is_empty() {
            text.push_str("\ndocs/eks-iam-policy.json allows exactly what kubereach reads\n");
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
            let text = summary(&pulled, Written { changed: 2, unchanged: 0, removed: 1 }, Path::new("facts/prod"));
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
