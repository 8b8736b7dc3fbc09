//! The page in a real browser.

mod browser;
mod world;

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use browser::Browser;
use kubereach::{report::Verdict, watch::web::links};
use libtest_mimic::{Failed, Trial};
use world::{HOSTILE, World, key};

/// The cases.
pub(crate) fn trials() -> Vec<Trial> {
    let cases: [(&str, fn()); 6] = [
        ("page_stays_fresh_and_says_when_it_cannot", stays_fresh),
        ("page_is_for_everybody", is_for_everybody),
        ("page_has_charts_and_permalinks", charts_and_permalinks),
        ("page_works_without_scripts", works_without_scripts),
        ("page_opens_with_a_token", opens_with_a_token),
        ("page_of_a_thousand_cells_is_quick", thousand_cells),
    ];
    let required = std::env::var("KUBEREACH_LAB").is_ok_and(|value| value == "required");
    let browser = browser::program().is_some();
    cases
        .into_iter()
        .map(|(name, case)| {
            if browser {
                return super::trial(name, case);
            }
            let reason = "chromium is not installed";
            let label = if required { name.to_owned() } else { format!("{name} [not run: {reason}]") };
            Trial::test(label, move || Err(Failed::from(reason))).with_ignored_flag(!required)
        })
        .collect()
}

/// What changes on the board changes on the page, without loading it again; a page that grew old says so.
fn stays_fresh() {
    let world = World::new(None);
    let mut browser = Browser::start();
    browser.look(1200, 800, false);
    browser.open(&world.url("/"));
    assert_eq!(browser.value("document.querySelectorAll('.matrix tbody a[href^=\"/cells/\"]').length"), 7);
    let office = key("clusters", "prod", "office");
    let cell = format!("document.querySelector('a[href=\"{}\"]').closest('td')", links::cell_path(&office));
    assert_eq!(browser.text(&format!("{cell}.className")), "mismatch");
    let red = browser.text(&format!("getComputedStyle({cell}.querySelector('.mismatch')).color"));
    assert_eq!(red, "rgb(198, 40, 40)");
    browser.value(&format!("window.same = true; {cell}.querySelector('a').focus()"));

    world.judge(&office, Verdict::Match);
    let took = browser.wait_for(&format!("{cell}.className === 'match'"));
    println!("a change is on the page after {took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(browser.value("window.same"), true, "the page was loaded again");
    let focus = browser.text("document.activeElement.getAttribute('href') || document.activeElement.tagName");
    assert_eq!(focus, links::cell_path(&office), "focus is lost");
    assert_eq!(browser.text("document.getElementById('live').textContent"), "7 match");
    assert_eq!(browser.text(&format!("getComputedStyle({cell}.querySelector('.match')).color")), "rgb(26, 127, 55)");
    world.judge(&office, Verdict::Mismatch);
    browser.wait_for(&format!("{cell}.className === 'mismatch'"));
    assert_eq!(browser.complaints(), Vec::<String>::new());

    world.stop();
    browser.wait_for("document.getElementById('refreshed').classList.contains('lost')");
    assert!(browser.text("document.getElementById('live').textContent").contains("does not answer"));
}

/// Every page, light and dark, wide and narrow, by the checks of `accessible.js`.
fn is_for_everybody() {
    let world = World::new(None);
    let mut browser = Browser::start();
    let checks = include_str!("page/accessible.js");
    let office = key("clusters", "prod", "office");
    let pages = [
        ("matrix", "/".to_owned()),
        ("cell", links::cell_path(&office)),
        ("cluster", links::cluster_path(&office.cluster_key())),
        ("events", "/events".to_owned()),
        ("event", links::event_path(world.event)),
        ("hostile", links::cell_path(&key("hostile", HOSTILE, ".."))),
    ];
    let mut faults = Vec::new();
    for (name, path) in &pages {
        browser.open(&world.url(path));
        for (width, height, dark) in [(1200, 800, false), (1200, 800, true), (375, 700, false), (375, 700, true)] {
            browser.look(width, height, dark);
            let found = browser.value(checks);
            let scheme = if dark { "dark" } else { "light" };
            let found = found.as_array().unwrap().iter();
            faults.extend(found.map(|fault| format!("{name}, {width} px, {scheme}: {fault}")));
            browser.picture(&pictures().join(format!("{name}-{width}-{scheme}.png")));
        }
        let complaints = browser.complaints();
        assert!(complaints.is_empty(), "{name}: {complaints:?}");
    }
    // A page that is not there complains of itself, as it must; it is readable all the same.
    browser.open(&world.url("/cells/clusters/prod/nowhere/kubernetes"));
    faults.extend(browser.value(checks).as_array().unwrap().iter().map(|fault| format!("not found: {fault}")));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));

    browser.look(1200, 800, false);
    browser.open(&world.url("/"));
    if std::env::var_os("KUBEREACH_UPDATE_DOCS").is_some() {
        let cells = world.board.cells();
        let hostile = cells.iter().filter(|cell| cell.key.check == "hostile").map(|cell| cell.key.clone());
        let hostile: Vec<_> = hostile.collect();
        world.board.retain(|cell| !hostile.contains(&cell.key));
        browser.open(&world.url(&format!("{}?range=1h", links::cell_path(&office))));
        browser.open(&world.url("/"));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures/watch.png");
        browser.picture(&file);
        assert!(std::fs::metadata(&file).unwrap().len() <= 200_000);
    }
}

/// From the matrix to a cell to its event and back by keyboard; charts, read-out, hostile names.
fn charts_and_permalinks() {
    let world = World::new(None);
    let mut browser = Browser::start();
    browser.look(1200, 800, false);
    browser.open(&world.url("/"));
    browser.press("Tab");
    assert_eq!(browser.text("document.activeElement.className"), "skip");
    browser.press("Enter");
    assert_eq!(browser.text("document.activeElement.id"), "main");

    let office = links::cell_path(&key("clusters", "prod", "office"));
    browser.value(&format!("document.querySelector('main a[href=\"{office}\"]').focus()"));
    browser.press("Enter");
    browser.wait_for(&format!("location.pathname === '{office}' && document.readyState === 'complete'"));
    for (what, expected) in [
        ("document.querySelectorAll('.strip svg rect').length > 50", true),
        ("document.querySelectorAll('.strip rect.bad').length >= 2", true),
        ("document.querySelectorAll('figure[data-chart]').length === 4", true),
        (
            "[...document.querySelectorAll('figure[data-chart] .mean')].every((line) => line.getTotalLength() > 50)",
            true,
        ),
        ("document.querySelector('ol.path .blocks').textContent.includes('✗ deny')", true),
        ("document.querySelector('.finding').textContent.includes('certain')", true),
        ("document.querySelector('.finding a').href.startsWith('https://docs.aws.amazon.com/')", true),
        ("document.querySelector('main').textContent.includes('publicAccessCidrs lost 203.0.113.0/24')", true),
    ] {
        assert_eq!(browser.value(what), expected, "{what}");
    }
    // The pointer over a chart reads its values out.
    let place = browser.value(
        "(() => { const hit = document.querySelector('figure[data-chart=tcp] .hit:nth-of-type(20)');
          hit.scrollIntoView({ block: 'center' }); const box = hit.getBoundingClientRect();
          return { x: box.x + box.width / 2, y: box.y + box.height / 2 }; })()",
    );
    let pointer = serde_json::json!({ "type": "mouseMoved", "x": place["x"], "y": place["y"] });
    browser.order("Input.dispatchMouseEvent", pointer);
    browser.wait_for("document.querySelector('figure[data-chart=tcp] .readout').textContent.includes('UTC: mean')");
    // Commands can be copied.
    let granted = serde_json::json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    let _ = browser.order("Browser.grantPermissions", granted);
    browser.value("document.querySelector('button.copy').click()");
    browser.wait_for("document.querySelector('button.copy').textContent === 'Copied'");
    for range in ["1h", "7d", "30d", "1y"] {
        browser.open(&world.url(&format!("{office}?range={range}")));
        assert_eq!(browser.text("document.querySelector('nav.ranges [aria-current]').textContent"), range);
        assert_eq!(browser.value("document.querySelectorAll('.strip svg rect').length > 0"), true, "{range}");
    }

    let event = links::event_path(world.event);
    browser.value(&format!("document.querySelector('main a[href=\"{event}\"]').click()"));
    browser.wait_for(&format!("location.pathname === '{event}' && document.readyState === 'complete'"));
    assert_eq!(browser.value("document.querySelectorAll('.sides > section').length"), 2);
    assert!(browser.text("document.querySelector('h1').textContent").contains("no longer reachable"));

    // A name that does its worst has a page of its own all the same.
    let hostile = links::cell_path(&key("hostile", HOSTILE, ".."));
    browser.open(&world.url("/"));
    browser.value(&format!("document.querySelector('main a[href=\"{hostile}\"]').click()"));
    browser.wait_for(&format!("location.pathname === '{hostile}' && document.readyState === 'complete'"));
    assert!(
        browser.text("document.querySelector('h1').textContent").starts_with("<script>alert(1)</script>/../\\u{202e}")
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
    // JSON of the same page.
    let json = browser.value(&format!("fetch('{hostile}.json').then((answer) => answer.json())"));
    assert_eq!((&json["schema"], &json["cell"]["vantage"]), (&"kubereach.watch/v1".into(), &"..".into()));
}

/// Everything is there where scripts do not run.
fn works_without_scripts() {
    let world = World::new(None);
    let mut browser = Browser::start();
    browser.order("Emulation.setScriptExecutionDisabled", serde_json::json!({ "value": true }));
    browser.open(&world.url("/?verdict=mismatch"));
    assert_eq!(browser.value("document.querySelectorAll('.matrix tbody a[href^=\"/cells/\"]').length"), 1);
    browser.open(&world.url(&links::cell_path(&key("clusters", "prod", "office"))));
    assert_eq!(browser.value("document.querySelectorAll('figure svg').length"), 5);
    assert_eq!(browser.value("document.querySelectorAll('main details table tbody tr').length > 20"), true);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// The form takes the token, the address does not keep it, and no script can read it.
fn opens_with_a_token() {
    let world = World::new(Some("correct horse"));
    let mut browser = Browser::start();
    browser.open(&world.url("/events"));
    assert_eq!(browser.value("document.querySelector('input[type=password]') !== null"), true);
    browser.value("document.querySelector('input').value = 'correct horse'; document.querySelector('button').click()");
    browser.wait_for("document.querySelector('main#main') !== null && document.readyState === 'complete'");
    assert_eq!(browser.text("location.href"), world.url("/events"));
    assert_eq!(browser.text("document.cookie"), "");
    let _ = browser.complaints();
    browser.open(&world.url("/"));
    assert_eq!(browser.value("document.styleSheets.length"), 1);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// The figure: the first byte of a page of 1,000 cells.
fn thousand_cells() {
    let world = World::new(None);
    let like = world.board.cell(&key("clusters", "prod", "ci")).unwrap();
    let fill = |count: usize| {
        for index in 0..count {
            let mut cell = like.as_ref().clone();
            cell.key = key("many", &format!("cluster-{:03}", index / 20), &format!("vantage-{:02}", index % 20));
            world.board.put(cell);
        }
    };
    let first_byte = |path: &str| {
        let mut times: Vec<Duration> = (0..5)
            .map(|_| {
                let mut stream = TcpStream::connect(world.address).unwrap();
                let begun = Instant::now();
                write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
                let mut first = [0; 12];
                stream.read_exact(&mut first).unwrap();
                let took = begun.elapsed();
                assert_eq!(&first, b"HTTP/1.1 200");
                stream.read_to_end(&mut Vec::new()).unwrap();
                took
            })
            .collect();
        times.sort();
        times[2]
    };
    fill(993);
    let thousand = first_byte("/");
    fill(9_993);
    let (page, json) = (first_byte("/"), first_byte("/index.json"));
    println!(
        "first byte: page of 1,000 cells {thousand:?}; of 10,000 cells, the first of ten pages {page:?}, JSON {json:?}"
    );
    // The bound of the figure is for a release build on an idle machine; this holds for any other.
    let bound = if cfg!(debug_assertions) { 2_000 } else { 200 };
    assert!(thousand < Duration::from_millis(bound), "{thousand:?}");
}

/// Where pictures go: never into the repository.
fn pictures() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("watch-page")
}
