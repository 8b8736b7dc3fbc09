//! Where probes run. Each kind of vantage takes the same order and returns the same observation.

mod namespace;

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

use kubereach_probes::{Observation, Options, Run, SourceBinding, Target, probe};

use crate::scenario::{Vantage, VantageKind};

/// Probes the target from the vantage, or says in [`Observation::vantage_error`] why that cannot be.
pub async fn observe(vantage: &Vantage, target: &Arc<Target>, options: &Arc<Options>, run: &Run) -> Observation {
    match &vantage.kind {
        VantageKind::Local { netns: Some(netns), .. } => namespace::probe_inside(netns, target, options, run).await,
        VantageKind::Local { .. } => probe_here(target, options, run).await,
        VantageKind::Proxy(_) => probe(target, options, run).await,
        // Nothing goes out, as with any other client; the cause names the setting.
        VantageKind::UnusableProxy { .. } => Observation::default(),
        VantageKind::Model { .. } => unavailable("a model vantage is never probed, only predicted"),
        kind @ (VantageKind::Ssh { .. } | VantageKind::Ssm { .. } | VantageKind::Agent { .. }) => {
            unavailable(format!("this version of kubereach does not probe from `{}` vantages", kind.label()))
        }
    }
}

/// Probes from the network that this thread is in, once its own end of the path is sure to exist.
async fn probe_here(target: &Arc<Target>, options: &Arc<Options>, run: &Run) -> Observation {
    match own_end(&options.source) {
        Ok(()) => probe(target, options, run).await,
        Err(reason) => unavailable(reason),
    }
}

/// A source address or interface that this host does not have says nothing about the cluster.
fn own_end(source: &SourceBinding) -> Result<(), String> {
    if let Some(interface) = &source.interface
        && nix::net::if_::if_nametoindex(interface.as_str()).is_err()
    {
        return Err(format!("this host has no interface {interface:?} (`ip link` lists those it has)"));
    }
    if let Some(address) = source.address {
        UdpSocket::bind(SocketAddr::new(address, 0)).map_err(|error| {
            format!("no interface of this host has the address {address}: {error} (`ip address` lists those it has)")
        })?;
    }
    Ok(())
}

fn unavailable(reason: impl Into<String>) -> Observation {
    Observation { vantage_error: Some(reason.into()), ..Observation::default() }
}
