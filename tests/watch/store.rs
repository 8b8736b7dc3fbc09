//! History on real databases: what is stored comes back, whatever happens to the database or to whoever writes.

mod faults;
mod listed;
mod suite;
mod world;
mod writers;
mod year;

use std::process::ExitCode;

use libtest_mimic::{Failed, Trial};

use crate::{postgres, trial};

/// The cases.
pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, case) in suite::CASES {
        trials.push(trial(&format!("history_sqlite::{name}"), move || suite::on_sqlite(*case)));
        trials.push(on_postgres(&format!("history_postgres::{name}"), move || suite::on_postgres(*case)));
    }
    for (name, case) in faults::SQLITE {
        trials.push(trial(&format!("history_sqlite::{name}"), *case));
    }
    for (name, case) in faults::POSTGRES {
        trials.push(on_postgres(&format!("history_postgres::{name}"), *case));
    }
    trials.push(trial("history_sqlite::every_list_in_every_form", listed::of_a_file));
    trials.push(on_postgres("history_postgres::every_list_in_every_form", listed::of_a_server));
    trials.push(trial("history_sqlite::a_year_is_read_at_once", year::light));
    trials
}

/// What this binary is when a case starts it: another process at the same database. Its exit status, if it is that.
pub(crate) fn played() -> Option<ExitCode> {
    faults::played()
}

/// A case that is left out, and named, where there is no PostgreSQL; a failure where the lab is required.
fn on_postgres(name: &str, case: impl FnOnce() + Send + 'static) -> Trial {
    let Some(reason) = postgres::missing() else { return trial(name, case) };
    let required = std::env::var("KUBEREACH_LAB").is_ok_and(|value| value == "required");
    let message = reason.to_owned();
    Trial::test(format!("{name} ({reason})"), move || Err(Failed::from(message))).with_ignored_flag(!required)
}
