//! One JSON document, written row by row.

use std::io::Write;

use super::{
    Stop,
    rows::{self, Source},
};
use crate::{cli::arguments::HistoryOf, report::json::to_document};

/// `{"schema": …, "of": …, "since": …, "until": …, "rows": […], "truncated": …}`.
pub(super) async fn write(output: &mut (impl Write + Send), source: &Source<'_>) -> Result<(), Stop> {
    let question = source.question;
    let of = match question.of {
        HistoryOf::Cells => "cells",
        HistoryOf::Rounds => "rounds",
        HistoryOf::Hours => "hours",
        HistoryOf::Days => "days",
        HistoryOf::Events => "events",
    };
    write!(
        output,
        "{{\n\"schema\": \"{SCHEMA}\",\n\"of\": \"{of}\",\n\"since\": \"{}\",\n\"until\": \"{}\",\n\"rows\": [",
        question.from, question.until
    )?;
    let mut first = true;
    let truncated = rows::each(source, &mut |row| {
        output.write_all(if first { b"\n" } else { b",\n" })?;
        first = false;
        output.write_all(to_document(&row).trim_end().as_bytes())
    })
    .await?;
    write!(output, "\n],\n\"truncated\": {truncated}\n}}\n")?;
    Ok(())
}

const SCHEMA: &str = "kubereach.history/v1";
