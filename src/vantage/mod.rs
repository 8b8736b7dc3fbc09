//! Where probes run. Each kind of vantage takes the same order and returns the same observation.

mod allow;
pub mod bus;
mod errand;
mod namespace;
mod pod;
mod shell;
mod ssh;
mod ssm;

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};

use kubereach_probes::{Observation, Options, Run, SourceBinding, Target, probe};

use crate::scenario::{NatsServers, Vantage, VantageKind};

/// The ways to vantages that are not this host: connections that are opened when they are first needed and kept for the
/// whole run.
pub struct Transports {
    ssh: ssh::Hosts,
    ssm: ssm::Instances,
    pods: pod::Pods,
    bus: bus::Controller,
}

impl Transports {
    /// Opens nothing yet. `nats` is what `agent` vantages are reached by.
    #[must_use]
    pub fn new(nats: Option<&NatsServers>) -> Self {
        Self {
            ssh: ssh::Hosts::default(),
            ssm: ssm::Instances::default(),
            pods: pod::Pods::default(),
            bus: bus::Controller::new(nats),
        }
    }

    /// Tells what will be probed from the vantage, so that an agent is started with leave for it.
    pub fn announce(&self, vantage: &Vantage, target: &Target, options: &Options) {
        if let VantageKind::Ssh(host) = &vantage.kind {
            self.ssh.announce(host, target, options);
        }
    }

    /// Probes the target from the vantage, or says in [`Observation::vantage_error`] why that cannot be.
    pub async fn observe(
        &self,
        vantage: &Vantage,
        target: &Arc<Target>,
        options: &Arc<Options>,
        run: &Run,
    ) -> Observation {
        match &vantage.kind {
            VantageKind::Local { netns: Some(netns), .. } => namespace::probe_inside(netns, target, options, run).await,
            VantageKind::Local { .. } => probe_here(target, options, run).await,
            VantageKind::Proxy(_) => probe(target, options, run).await,
            // Nothing goes out, as with any other client; the cause names the setting.
            VantageKind::UnusableProxy { .. } => Observation::default(),
            VantageKind::Model { .. } => unavailable("a model vantage is never probed, only predicted"),
            VantageKind::Ssh(host) => Box::pin(self.ssh.observe(host, target, options, run)).await,
            VantageKind::Ssm(instance) => Box::pin(self.ssm.observe(instance, target, options, run)).await,
            VantageKind::Kubernetes(place) => self.pods.observe(place, target, options, run).await,
            VantageKind::Agent(agent) => self.bus.observe(agent, target, options, run).await,
        }
    }

    /// Ends every connection and removes what was put on other hosts. Says what could not be removed, a sentence each.
    pub async fn close(&self) -> Vec<String> {
        let (ssh, pods, bus) = tokio::join!(self.ssh.close(), self.pods.close(), self.bus.close());
        [ssh, self.ssm.close(), pods, bus].concat()
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
