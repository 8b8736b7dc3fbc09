//! One self-contained HTML file: no script, no external asset, light and dark by the reader's preference.

pub(crate) mod parts;

use parts::{attempts, egress, escape, finding, mark, path, proxy, resolvers, table_begin, table_end};

use super::{
    Cell, Report, Verdict, Via,
    matrix::{Grid, first_error, truths},
    words,
};

/// Draws the report.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut html = String::from(HEAD);
    push!(html, "<style>{SHARED_STYLE}</style>\n</head>\n<body>\n");
    let verdict = report.verdict.label();
    push!(html, "<h1>kubereach: <span class=\"{verdict}\">{}</span></h1>\n", escape(&words::headline(report)));
    push!(html, "<p class=\"dim\">{} to {} (UTC)</p>\n", report.started_at, report.finished_at);
    matrix(&mut html, report);
    let found = words::findings_once(report);
    if !found.is_empty() {
        html.push_str("<h2>Findings</h2>\n<ol>\n");
        for (index, one) in found.iter().enumerate() {
            finding(&mut html, one, &words::fresh_evidence(&found, index));
        }
        html.push_str("</ol>\n");
    }
    if !report.cells.is_empty() {
        html.push_str("<h2>Cells</h2>\n");
    }
    for (index, cell) in report.cells.iter().enumerate() {
        details(&mut html, index, cell);
    }
    html.push_str("</body>\n</html>\n");
    html
}

fn matrix(html: &mut String, report: &Report) {
    if report.cells.is_empty() {
        return;
    }
    if let Some(grid) = Grid::of(&report.cells) {
        self::grid(html, &grid);
    }
    table_begin(
        html,
        "Cells",
        &["cluster", "vantage", "intended", "configured", "observed", "via", "verdict", "cause"],
    );
    for (index, cell) in report.cells.iter().enumerate() {
        let verdict = cell.verdict.label();
        push!(
            *html,
            "<tr><td>{}</td><td><a href=\"#cell-{index}\">{}</a></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td class=\"{verdict}\">{} {verdict}</td><td><code>{}</code></td></tr>\n",
            escape(&cell.subject()),
            escape(&cell.vantage),
            cell.intended.label(),
            cell.configured.label(),
            cell.observed.label(),
            cell.via.map_or("", Via::label),
            mark(cell.verdict),
            escape(first_error(cell).unwrap_or_default()),
        );
    }
    table_end(html);
}

/// Vantages by clusters: intended, configured and observed, each a link to its cell.
fn grid(html: &mut String, grid: &Grid<'_>) {
    let subjects: Vec<String> = grid.subjects.iter().map(|subject| escape(subject)).collect();
    let columns: Vec<&str> = std::iter::once("vantage").chain(subjects.iter().map(String::as_str)).collect();
    table_begin(html, "Intended / configured / observed", &columns);
    for vantage in &grid.vantages {
        push!(*html, "<tr><th scope=\"row\">{}</th>", escape(vantage));
        for subject in &grid.subjects {
            let Some((index, cell)) = grid.cell(subject, vantage) else {
                html.push_str("<td></td>");
                continue;
            };
            let code = first_error(cell).map(|code| format!("<br><code>{}</code>", escape(code))).unwrap_or_default();
            push!(
                *html,
                "<td><a href=\"#cell-{index}\"><span class=\"{}\">{}</span> {}</a>{code}</td>",
                cell.verdict.label(),
                mark(cell.verdict),
                truths(cell),
            );
        }
        html.push_str("</tr>\n");
    }
    table_end(html);
}

fn details(html: &mut String, index: usize, cell: &Cell) {
    let open = if cell.verdict == Verdict::Match { "" } else { " open" };
    let verdict = cell.verdict.label();
    push!(
        *html,
        "<details id=\"cell-{index}\"{open}><summary><span class=\"{verdict}\">{}</span> <b>{} from {}</b>: {}</summary>\n",
        mark(cell.verdict),
        escape(&cell.subject()),
        escape(&cell.vantage),
        escape(&words::answer(cell)),
    );
    push!(
        *html,
        "<p class=\"dim\">{} ({}), {} {}{}</p>\n",
        escape(cell.endpoint.as_deref().unwrap_or("endpoint not known")),
        cell.provider.label(),
        cell.rounds,
        if cell.rounds == 1 { "round" } else { "rounds" },
        cell.converged_after_ms
            .map(|ms| format!(", converged after {}", words::duration(ms as f64)))
            .unwrap_or_default(),
    );
    resolvers(html, cell);
    proxy(html, cell);
    attempts(html, cell);
    egress(html, cell);
    path(html, &cell.path);
    html.push_str("</details>\n");
}

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>kubereach report</title>
"#;

/// Colours and shapes that the watch's page has, too.
pub(crate) const SHARED_STYLE: &str = include_str!("html/shared.css");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::every_variant;

    #[test]
    fn every_variant_as_html() {
        insta::assert_snapshot!(render(&every_variant::report()));
    }

    #[test]
    fn hostile_text_is_escaped() {
        let html = render(&every_variant::hostile_report());
        assert!(
            !html.contains("<script") && !html.contains("onerror=\"") && !html.contains("javascript:x\""),
            "{html}"
        );
        assert!(html.chars().all(|c| c == '\n' || !c.is_control()));
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let html = render(&every_variant::report());
        for forbidden in ["<script", "<link", "<img", "src=", "url(", "@import"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
    }
}
