//! `kubereach verify SCENARIO`: probe, compare with what is intended, wait out propagation.

use std::{path::Path, process::ExitCode, time::Duration};

use super::{
    arguments::{CommonArguments, VerifyArguments},
    doctor, run,
};
use crate::{
    check::Settings,
    input::InputErrors,
    report::text::Mode,
    scenario::{self, Plan},
};

pub(super) fn main(arguments: &VerifyArguments) -> Result<ExitCode, InputErrors> {
    let common = &arguments.common;
    let mut plan = scenario::load(&arguments.scenario)?;
    give_facts(&mut plan, common.facts.as_deref());
    run::check_files(&common.output)?;
    let settings = settings(common, &plan);
    let report = run::block_on(run::run(&plan, &settings, common.output.verbose, common.timeout))??;
    run::write(&report, &common.output, Mode::Verify, Some(arguments.scenario.clone()), "")
}

/// The folder of the command line is for clusters that name none of their own.
pub(super) fn give_facts(plan: &mut Plan, folder: Option<&Path>) {
    for cluster in plan.clusters.iter_mut().filter(|cluster| cluster.facts.is_none()) {
        cluster.facts = folder.map(Path::to_owned);
    }
}

/// The settings of a plan: whom to ask in need is the scenario's to say, else public resolvers.
pub(super) fn settings(common: &CommonArguments, plan: &Plan) -> Settings {
    asking_in_need(from_arguments(common), plan)
}

/// Completes the settings with whom to ask in need.
pub(super) fn asking_in_need(mut settings: Settings, plan: &Plan) -> Settings {
    let asks_nobody = plan.controls.as_ref().is_some_and(Vec::is_empty);
    if !asks_nobody {
        let named: Vec<_> = settings.resolvers.iter().chain(&plan.resolvers).cloned().collect();
        if named.iter().all(|resolver| resolver.label == "system") {
            settings.fallback_resolvers = doctor::public_resolvers();
        }
        settings.default_controls = doctor::public_controls(&settings.fallback_resolvers, &named);
    }
    settings
}

/// What the options say, before anybody is asked in need.
pub(super) fn from_arguments(common: &CommonArguments) -> Settings {
    Settings {
        connect_timeout: common.connect_timeout,
        wait: if common.no_wait { Some(Duration::ZERO) } else { common.wait },
        changed_at: common.changed_at,
        resolvers: common.named_resolvers(),
        ..Settings::default()
    }
}
