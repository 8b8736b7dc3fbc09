//! The page of the built binary, while what it watches is closed and opened.

use kubereach::watch::web::links;

use super::{browser::Browser, world::key};
use crate::process::{Api, Watch, free, scenario};

/// A cell turns red when what it reaches is closed, and green when it is opened again.
pub(super) fn turns_red_and_green() {
    let folder = tempfile::tempdir().unwrap();
    let mut api = Api::open(folder.path());
    let page = free();
    std::fs::write(folder.path().join("clusters.yaml"), scenario(api.address, 1)).unwrap();
    let config = format!(
        "apiVersion: kubereach/v1\nwatch:\n  defaults: {{ every: 1s, jitter: 0s, confirm: 2 }}\n  \
         checks: [{{ scenario: clusters.yaml }}]\n  storage: {{ sqlite: history.db }}\n  web: {{ listen: '{page}' }}\n"
    );
    std::fs::write(folder.path().join("watch.yaml"), config).unwrap();
    let _watch = Watch::start(folder.path(), page);

    let mut browser = Browser::start();
    browser.look(1200, 800, false);
    browser.open(&format!("http://{page}/"));
    let path = links::cell_path(&key("clusters", "prod", "v0"));
    let cell = format!("document.querySelector('.matrix a[href=\"{path}\"]')?.closest('td')");
    let mut become_so = |class: &str| {
        let took = browser.wait_for(&format!("{cell}?.className === '{class}'"));
        println!("the page of a watch shows {class} after {took:?}");
    };
    become_so("match");
    api.close();
    become_so("mismatch");
    api.reopen();
    become_so("match");
    drop(api);

    // What happened is in the log, and on the cell's own page.
    browser.open(&format!("http://{page}{path}?range=1h"));
    browser.wait_for("document.querySelectorAll('.strip rect.bad').length > 0");
    let text = browser.text("document.querySelector('main').textContent");
    for kind in ["failed", "recovered"] {
        assert!(text.contains(kind), "{kind} is not in: {text}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
