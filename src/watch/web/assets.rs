//! Style, script and picture: part of the program, at addresses made of their content.

use std::sync::LazyLock;

use aws_lc_rs::digest;

use crate::watch::words::hex;

/// One asset.
pub(super) struct Asset {
    /// Its path.
    pub(super) path: String,
    /// Its media type.
    pub(super) media_type: &'static str,
    /// Its content.
    pub(super) content: &'static str,
}

/// Looks and layout.
pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    asset(
        "css",
        "text/css; charset=utf-8",
        concat!(include_str!("../../report/html/shared.css"), include_str!("assets/page.css")),
    )
});

/// What makes pages better where scripts run.
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| asset("js", "text/javascript; charset=utf-8", include_str!("assets/page.js")));

/// The picture of the tab.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| asset("svg", "image/svg+xml", include_str!("assets/icon.svg")));

/// The asset at a path.
pub(super) fn at(path: &str) -> Option<&'static Asset> {
    [&*STYLE, &*SCRIPT, &*ICON].into_iter().find(|asset| asset.path == path)
}

fn asset(ending: &str, media_type: &'static str, content: &'static str) -> Asset {
    let hash = hex(digest::digest(&digest::SHA256, content.as_bytes()).as_ref());
    Asset { path: format!("/assets/{}.{ending}", hash.get(..16).unwrap_or_default()), media_type, content }
}
