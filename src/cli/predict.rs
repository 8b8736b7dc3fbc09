//! `kubereach predict SCENARIO`: what the configuration says of every cell, as it is or as it is planned; sends nothing.

use std::process::ExitCode;

use super::{arguments::PredictArguments, run, verify};
use crate::{
    check::Settings,
    facts::planned::{self, PlannedChange},
    input::InputErrors,
    report::text::Mode,
    scenario,
};

pub(super) fn main(arguments: &PredictArguments) -> Result<ExitCode, InputErrors> {
    let mut plan = scenario::load(&arguments.scenario)?;
    verify::give_facts(&mut plan, arguments.facts.as_deref());
    run::check_files(&arguments.output)?;
    let mut changes: Vec<PlannedChange> = arguments.settings.iter().cloned().map(PlannedChange::Setting).collect();
    if let Some(file) = &arguments.plan {
        changes.extend(planned::terraform(file)?.into_iter().map(PlannedChange::Terraform));
    }
    let settings = Settings { predict: true, planned: changes, ..Settings::default() };
    let report = run::block_on(run::run(&plan, &settings, arguments.output.verbose, None))??;
    run::write(&report, &arguments.output, Mode::Verify, Some(arguments.scenario.clone()), "")
}
