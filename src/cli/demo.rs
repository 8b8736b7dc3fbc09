//! `kubereach demo`: the main job against servers of its own.

use std::process::ExitCode;

use super::{arguments::DemoArguments, run};
use crate::{
    check::Settings,
    demo::{self, Demo},
    input::{InputError, InputErrors},
    report::{Report, Verdict, text::Mode},
    scenario,
};

pub(super) fn main(arguments: &DemoArguments) -> Result<ExitCode, InputErrors> {
    run::check_files(&arguments.output)?;
    run::block_on(async {
        let demo: Demo =
            demo::start().await.map_err(|error| InputError::new(format!("the demo cannot start: {error}")))?;
        let plan = scenario::parse(&demo.scenario, &demo.scenario_file())?;
        let report = run::run(&plan, &Settings::default(), arguments.output.verbose, None).await?;
        run::write(&report, &arguments.output, Mode::Verify, None, FOOTER)?;
        // The demo is well when it showed what it is meant to show, the mismatch included.
        Ok(ExitCode::from(u8::from(!showed_everything(&report))))
    })?
}

fn showed_everything(report: &Report) -> bool {
    let verdicts: Vec<Verdict> = report.cells.iter().map(|cell| cell.verdict).collect();
    let codes: Vec<&str> = report.findings.iter().map(|finding| finding.code.as_str()).collect();
    verdicts == [Verdict::Match, Verdict::Mismatch]
        && ["tls-certificate-expired", "partial-address-failure"].iter().all(|code| codes.contains(code))
}

const FOOTER: &str = "
This was one cluster on this machine's loopback: healthy from inside, one of two public addresses faulty.
Next, on your own cluster:

    kubereach doctor

and, to keep what you intend in a file (scenarios/ has examples to start from):

    kubereach verify scenario.yaml
";
