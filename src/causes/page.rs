//! The page of all causes, `docs/causes.md`, made from the list.

use std::fmt::Write as _;

use super::{Cause, Need, aks, client, dns, eks, generic, http, net, tls};

/// The page as Markdown, family by family.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(HEAD);
    for (title, causes) in families() {
        let _ = writeln!(page, "\n## {title}");
        for cause in causes {
            entry(&mut page, cause);
        }
    }
    page
}

fn families() -> [(&'static str, &'static [Cause]); 8] {
    [
        ("This machine and its proxies", client::CAUSES),
        ("Names", dns::CAUSES),
        ("The path and its allow-lists", net::CAUSES),
        ("TLS", tls::CAUSES),
        ("HTTP and identity", http::CAUSES),
        ("Propagation, the undecided, other than intended", generic::CAUSES),
        ("Amazon EKS and its VPC", eks::CAUSES),
        ("Azure AKS and its VNet", aks::CAUSES),
    ]
}

fn entry(page: &mut String, cause: &Cause) {
    let needs: Vec<&str> = cause.needs.iter().map(|need| need_words(*need)).collect();
    let told = match (cause.predicate.is_some(), cause.configuration.is_some()) {
        (true, true) => "told by doctor, verify and facts lint",
        (true, false) => "told by doctor and verify",
        (false, true) => "told by facts lint",
        (false, false) => "known to `explain` only",
    };
    let _ = write!(
        page,
        "\n### `{}`\n\n**{}** · {} · needs {} · {told}\n\n{}\n\n- Setting: {}\n- Decided by: {}\n- Documented: <{}>\n",
        cause.code,
        cause.title,
        cause.severity.label(),
        needs.join(", "),
        cause.signature,
        cause.setting,
        cause.decided_by,
        cause.docs
    );
    let _ = write!(page, "\n```sh\n{}\n```\n", cause.fix);
}

const fn need_words(need: Need) -> &'static str {
    match need {
        Need::Probe => "a probe",
        Need::Facts => "the provider's configuration",
        Need::Client => "this machine's settings",
        Need::Scenario => "the scenario",
    }
}

const HEAD: &str = "# Causes

Made from the list in `src/causes/`; do not edit. `kubereach explain CODE` prints the same for one cause, and
`kubereach explain \"error text\"` ranks the causes that fit what kubectl printed. A code is never renamed or reused.
";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::causes::all;

    /// With `KUBEREACH_UPDATE_DOCS=1` this test writes the page instead of comparing it.
    #[test]
    fn the_page_is_what_the_list_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/causes.md");
        if std::env::var_os("KUBEREACH_UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, page()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == page(), "docs/causes.md is out of date: run this test with KUBEREACH_UPDATE_DOCS=1");
    }

    #[test]
    fn every_cause_has_its_entry() {
        let page = page();
        for cause in all() {
            assert!(page.contains(&format!("### `{}`", cause.code)), "{}", cause.code);
        }
        assert_eq!(families().iter().map(|(_, causes)| causes.len()).sum::<usize>(), all().count());
    }
}
