//! Our own servers, in a process of their own on one host of a sandbox.

use std::{collections::BTreeMap, io::Write, path::Path, process::ExitCode, sync::Arc};

use kubereach::demo::servers::{AuthoritySpec, LabCa, ServerSpec, serve};
use serde::{Deserialize, Serialize};

/// What a host serves.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    /// Authorities with their keys, by name.
    pub(crate) authorities: BTreeMap<String, AuthoritySpec>,
    /// The servers.
    pub(crate) servers: Vec<ServerSpec>,
}

/// Serves what the file describes; prints [`READY`] once every server listens, and never returns.
pub(crate) fn run(description: &Path) -> ExitCode {
    let served = (|| -> Result<(), Box<dyn std::error::Error>> {
        let description: Description = serde_json::from_slice(&std::fs::read(description)?)?;
        let mut authorities = BTreeMap::new();
        for (name, spec) in &description.authorities {
            authorities.insert(name.clone(), Arc::new(LabCa::from_spec(spec)?));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let running = serve(&authorities, &description.servers).await?;
            println!("{READY}");
            std::io::stdout().flush()?;
            running.wait().await;
            Ok(())
        })
    })();
    if let Err(error) = served {
        println!("{error}");
    }
    ExitCode::FAILURE
}

/// The line that says that every server listens.
pub(crate) const READY: &str = "ready";
