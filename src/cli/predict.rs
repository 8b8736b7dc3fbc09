//! `kubereach predict SCENARIO`: what the configuration says of every cell, as it is or as it is planned; sends nothing.

use std::process::ExitCode;

use super::{arguments::PredictArguments, run, verify};
use crate::{
    check::Settings,
    facts::planned::{self, PlannedChange, TerraformChanges},
    input::InputErrors,
    report::{text::Mode, words::visible},
    scenario,
};

pub(super) fn main(arguments: &PredictArguments) -> Result<ExitCode, InputErrors> {
    let mut plan = scenario::load(&arguments.scenario)?;
    verify::give_facts(&mut plan, arguments.facts.as_deref());
    run::check_files(&arguments.output)?;
    let mut changes: Vec<PlannedChange> = arguments.settings.iter().cloned().map(PlannedChange::Setting).collect();
    let mut beyond = None;
    if let Some(file) = &arguments.plan {
        let TerraformChanges { clusters, not_evaluated } = planned::terraform(file)?;
        changes.extend(clusters.into_iter().map(PlannedChange::Terraform));
        if !not_evaluated.is_empty() {
            let shown: Vec<String> = not_evaluated.iter().take(MOST_SHOWN).map(|one| visible(one)).collect();
            let more = not_evaluated.len().saturating_sub(MOST_SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            beyond = Some(format!("what the plan changes beside what is evaluated: {}{more}", shown.join(", ")));
        }
    }
    let settings = Settings { predict: true, planned: changes, planned_beyond: beyond, ..Settings::default() };
    let report = run::block_on(run::run(&plan, &settings, arguments.output.verbose, None))??;
    run::write(&report, &arguments.output, Mode::Verify, Some(arguments.scenario.clone()), "")
}

const MOST_SHOWN: usize = 8;
