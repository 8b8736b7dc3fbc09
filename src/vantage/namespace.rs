//! Probing from inside another network namespace of this host, as `ip netns exec` would.

use std::{fs::File, path::Path, sync::Arc};

use kubereach_probes::{Observation, Options, Run, Target};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
};

use super::{probe_here, unavailable};

/// Probes on a thread of its own that has entered the namespace; threads it starts inherit it.
pub(super) async fn probe_inside(netns: &str, target: &Arc<Target>, options: &Arc<Options>, run: &Run) -> Observation {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let (name, target, options, run) = (netns.to_owned(), Arc::clone(target), Arc::clone(options), run.clone());
    let thread = std::thread::Builder::new().name(format!("netns-{netns}")).spawn(move || {
        // A receiver that is gone has been stopped.
        let _ = sender.send(inside(&name, &target, &options, &run));
    });
    match thread {
        Ok(_detached) => receiver.await.unwrap_or_else(|_| unavailable("the probing thread ended without a result")),
        Err(error) => unavailable(format!("no thread for network namespace {netns:?}: {error}")),
    }
}

fn inside(netns: &str, target: &Arc<Target>, options: &Arc<Options>, run: &Run) -> Observation {
    if let Err(reason) = enter(netns) {
        return unavailable(format!("network namespace {netns:?}: {reason}"));
    }
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(probe_here(target, options, run)),
        Err(error) => unavailable(format!("no runtime inside network namespace {netns:?}: {error}")),
    }
}

fn enter(netns: &str) -> Result<(), String> {
    let file = ["/run/netns", "/var/run/netns"]
        .iter()
        .find_map(|folder| File::open(Path::new(folder).join(netns)).ok())
        .ok_or("there is none of that name (`ip netns list` shows those that exist)")?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|error| format!("cannot enter it: {error} (it needs root)"))?;
    bind_own_files(netns).map_err(|error| format!("cannot set up its own /etc files: {error}"))
}

/// `/etc/netns/NAME/*` stand in for `/etc/*` inside, and `/sys` shows the namespace's own interfaces.
fn bind_own_files(netns: &str) -> nix::Result<()> {
    const NONE: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE)?;
    // Only needed for the names of interfaces; without it the answer is poorer, not wrong.
    let _ = mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), NONE);
    let Ok(entries) = std::fs::read_dir(Path::new("/etc/netns").join(netns)) else { return Ok(()) };
    for entry in entries.flatten() {
        let over = Path::new("/etc").join(entry.file_name());
        if over.exists() {
            mount(Some(&entry.path()), &over, NONE, MsFlags::MS_BIND, NONE)?;
        }
    }
    Ok(())
}
