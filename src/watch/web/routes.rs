//! Which address is which page: reads what the page needs, and answers as HTML or JSON.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, Uri, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::Timestamp;
use maud::html;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{
    Sources, assets,
    cell::CellPage,
    cluster::ClusterPage,
    events::{EventPage, EventQuery, EventsPage, target_named},
    guard::{self, Guard, plain},
    history::{Grain, ROUND_LIMIT, Range, Spans},
    layout::{HealthJson, Moment, OpenWindow, Page, SCHEMA},
    links::name_of,
    matrix::MatrixPage,
    shown::CellFilter,
};
use crate::watch::{
    board::CellNow,
    metrics,
    record::{CellKey, ClusterKey, DetailId, EventKind},
    store::{EventFilter, StoreError},
};

/// Every page, behind the guard.
pub(super) fn router(sources: Sources) -> Router {
    let guard = Guard::new(sources.clone());
    let pages = Router::new()
        .route("/", get(matrix))
        .route("/index.json", get(matrix))
        .route("/cells/{check}/{cluster}/{vantage}/{target}", get(cell))
        .route("/clusters/{check}/{cluster}", get(cluster))
        .route("/events", get(events))
        .route("/events.json", get(events))
        .route("/events/{id}", get(event))
        .route("/metrics", get(exposition))
        .route(guard::HEALTH, get(health))
        .route("/readyz", get(ready))
        .route("/assets/{name}", get(asset))
        .fallback(nowhere)
        .with_state(sources);
    // The guard may take the first segments of the path away, so it stands before what looks at paths.
    Router::new().fallback_service(pages).layer(middleware::from_fn_with_state(guard, guard::guard))
}

async fn matrix(State(sources): State<Sources>, form: Form, filter: Asked<CellFilter>) -> Response {
    let Ok(Query(filter)) = filter else { return form.bad("The query cannot be read") };
    let latest = EventFilter { limit: LATEST_EVENTS, ..EventFilter::default() };
    let latest = if form.json { Ok(Vec::new()) } else { sources.store.events(&latest).await.map_err(told) };
    let json = form.json;
    form.drawn(move || {
        let page = MatrixPage::of(moment(&sources), filter, latest).map_err(Refusal::Bad)?;
        if json { page.json().map_err(Refusal::from) } else { Ok(page.html()) }
    })
    .await
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RangeQuery {
    range: String,
}

async fn cell(
    State(sources): State<Sources>,
    form: Form,
    names: Names<(String, String, String, String)>,
    query: Asked<RangeQuery>,
) -> Response {
    let Ok(Path((check, cluster, vantage, target))) = names else { return form.bad(UNREADABLE) };
    let range = query.ok().and_then(|Query(query)| Range::named(&query.range));
    let Some(range) = range else { return form.bad("range is none of 1h, 24h, 7d, 30d, 1y") };
    let Some(target) = target_named(form.last(&target)) else { return form.missing("No such cell") };
    let [check, cluster, vantage] = [check, cluster, vantage].map(|name| name_of(&name).to_owned());
    let key = CellKey { check, cluster, vantage, target };
    let Some(cell) = sources.board.cell(&key) else {
        return form.missing("No such cell: it was renamed, or the configuration no longer names it");
    };
    let config = Arc::clone(&sources.config.borrow());
    let window = config.maintenance_of(&key, Timestamp::now()).map(|(name, until)| (name.to_owned(), until));
    let confirm = config.checks.iter().find(|set| set.name == key.check).map(|set| set.confirm);
    let (past, events, (cell, unread)) = tokio::join!(
        past(&sources, &cell, range),
        async {
            let filter = EventFilter { cell: Some(key), limit: EVENTS_BESIDE, ..EventFilter::default() };
            sources.store.events(&filter).await.map_err(told)
        },
        detailed(&sources, Arc::clone(&cell)),
    );
    let json = form.json;
    form.drawn(move || {
        let page = CellPage { moment: moment(&sources), cell, unread, window, confirm, range, past, events };
        if json { page.json().map_err(Refusal::from) } else { Ok(page.html()) }
    })
    .await
}

async fn cluster(State(sources): State<Sources>, form: Form, names: Names<(String, String)>) -> Response {
    let Ok(Path((check, cluster))) = names else { return form.bad(UNREADABLE) };
    let key = ClusterKey { check: name_of(&check).to_owned(), cluster: name_of(form.last(&cluster)).to_owned() };
    let mut cells = sources.board.cells();
    cells.retain(|cell| cell.key.check == key.check && cell.key.cluster == key.cluster);
    if cells.is_empty() {
        return form.missing("No such cluster: it was renamed, or the configuration no longer names it");
    }
    let filter = EventFilter {
        cluster: Some(key.clone()),
        kinds: vec![EventKind::Configuration],
        limit: EVENTS_BESIDE,
        ..EventFilter::default()
    };
    let changes = sources.store.events(&filter).await.map_err(told);
    let (cells, unread, left_out) = all_detailed(&sources, cells).await;
    let json = form.json;
    form.drawn(move || {
        let findings = sources.board.configuration(&key.check, &key.cluster);
        let page = ClusterPage { moment: moment(&sources), key, cells, unread, left_out, findings, changes };
        if json { page.json().map_err(Refusal::from) } else { Ok(page.html()) }
    })
    .await
}

async fn events(State(sources): State<Sources>, form: Form, query: Asked<EventQuery>) -> Response {
    let Ok(Query(query)) = query else { return form.bad("The query cannot be read") };
    let filter = match query.filter() {
        Ok(filter) => filter,
        Err(why) => return form.bad(&why),
    };
    let events = sources.store.events(&filter).await.map_err(told);
    let json = form.json;
    form.drawn(move || {
        let page = EventsPage { moment: moment(&sources), query, limit: filter.limit, events };
        if json { page.json().map_err(Refusal::from) } else { Ok(page.html()) }
    })
    .await
}

async fn event(State(sources): State<Sources>, form: Form, id: Names<String>) -> Response {
    let id = id.ok().and_then(|Path(id)| form.last(&id).parse().ok());
    let Some(id) = id else { return form.missing("No such event") };
    let event = match sources.store.event(id).await {
        Ok(Some(event)) => event,
        Ok(None) => return form.missing("No such event: it may be older than history is kept"),
        Err(error) => return form.failed(&told(error)),
    };
    let detail = async |id: Option<DetailId>| match id {
        Some(id) => sources.store.detail(id).await.map_err(told),
        None => Ok(None),
    };
    let (before, after) = tokio::join!(detail(event.before), detail(event.after));
    let json = form.json;
    form.drawn(move || {
        let page = EventPage { moment: moment(&sources), event, before, after };
        if json { page.json().map_err(Refusal::from) } else { Ok(page.html()) }
    })
    .await
}

/// In the older text format, which everybody reads, unless the newer one is asked for.
async fn exposition(State(sources): State<Sources>, headers: HeaderMap) -> Response {
    let newer = accepts(&headers, "application/openmetrics-text");
    let drawn = spawn_blocking(move || {
        if newer {
            (metrics::CONTENT_TYPE, sources.metrics.exposition(&sources.board))
        } else {
            (metrics::CLASSIC_CONTENT_TYPE, sources.metrics.classic_exposition(&sources.board))
        }
    });
    match drawn.await {
        Ok((kind, text)) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "The metrics could not be drawn"),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StateJson {
    schema: &'static str,
    status: &'static str,
    ok: bool,
    /// What keeps it from being ready.
    reasons: Vec<&'static str>,
    health: HealthJson,
}

/// Whether the process runs: for whoever starts it again when it does not. How it is, is told to those alone who may see
/// the other pages.
async fn health(State(sources): State<Sources>, known: Option<Extension<guard::Known>>) -> Response {
    match known {
        Some(_) => state(&sources, Vec::new()),
        None => axum::Json(serde_json::json!({ "status": OK })).into_response(),
    }
}

/// Whether it does its work.
async fn ready(State(sources): State<Sources>) -> Response {
    let health = sources.board.health();
    let mut reasons = Vec::new();
    if health.configured_at.is_none() {
        reasons.push("the configuration is not taken yet");
    }
    if health.store.is_some() {
        reasons.push("history cannot be written");
    }
    state(&sources, reasons)
}

fn state(sources: &Sources, reasons: Vec<&'static str>) -> Response {
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let health = HealthJson::from(&sources.board.health());
    let word = if reasons.is_empty() { OK } else { "not ready" };
    let body = StateJson { schema: SCHEMA, status: word, ok: reasons.is_empty(), reasons, health };
    (status, axum::Json(body)).into_response()
}

async fn asset(uri: Uri) -> Response {
    match assets::at(uri.path()) {
        Some(asset) => ([(header::CONTENT_TYPE, asset.media_type)], asset.content).into_response(),
        None => plain(StatusCode::NOT_FOUND, "There is no such file; the page that named it is of another version"),
    }
}

async fn nowhere(form: Form) -> Response {
    form.missing("There is no such page")
}

/// A cell with the detail of its last round: where another process ran that, or this one before it began anew, only the
/// history has it. Or why that cannot be read.
async fn detailed(sources: &Sources, cell: Arc<CellNow>) -> (Arc<CellNow>, Option<String>) {
    let Some(id) = without_detail(&cell) else { return (cell, None) };
    match sources.store.detail(id).await {
        Ok(detail) => (Arc::new(CellNow { detail: detail.map(Arc::new), ..CellNow::clone(&cell) }), None),
        Err(error) => (cell, Some(told(error))),
    }
}

/// Cells with their details; why one could not be read, after which none is asked for; and how many were not read
/// because there are too many.
async fn all_detailed(sources: &Sources, mut cells: Vec<Arc<CellNow>>) -> (Vec<Arc<CellNow>>, Option<String>, usize) {
    let mut wanted: Vec<_> = cells.iter_mut().filter(|cell| without_detail(cell).is_some()).collect();
    let left_out = wanted.len().saturating_sub(MAX_DETAILS);
    wanted.truncate(MAX_DETAILS);
    for cell in wanted {
        let (read, unread) = detailed(sources, Arc::clone(cell)).await;
        if unread.is_some() {
            return (cells, unread, left_out);
        }
        *cell = read;
    }
    (cells, None, left_out)
}

/// The detail that a cell had and that is not at hand.
fn without_detail(cell: &CellNow) -> Option<DetailId> {
    cell.last.as_ref().filter(|_| cell.detail.is_none()).map(|last| last.detail)
}

/// The past of a cell, or why it cannot be read.
async fn past(sources: &Sources, cell: &CellNow, range: Range) -> Result<Spans, String> {
    let mut spans = range.spans(cell.interval, Timestamp::now());
    let (from, until) = (spans.from(), spans.until());
    match range.grain(cell.interval) {
        Grain::Rounds => {
            let rounds = sources.store.rounds(cell.id, from, until, ROUND_LIMIT).await.map_err(told)?;
            for round in &rounds {
                spans.round(round);
            }
        }
        Grain::Rollups(span) => {
            let rollups = sources.store.rollups(&[cell.id], span, from, until).await.map_err(told)?;
            for rollup in &rollups {
                spans.rollup(rollup);
            }
        }
    }
    Ok(spans)
}

fn moment(sources: &Sources) -> Moment {
    let (now, cells) = (Timestamp::now(), sources.board.cells());
    let windows = OpenWindow::all(&Arc::clone(&sources.config.borrow()), &cells, now);
    Moment { now, health: sources.board.health(), cells, windows }
}

#[expect(clippy::needless_pass_by_value, reason = "stands where an error is mapped")]
fn told(error: StoreError) -> String {
    error.to_string()
}

/// Names out of a path, or that they cannot be read.
type Names<T> = Result<Path<T>, axum::extract::rejection::PathRejection>;
/// A query, or that it cannot be read.
type Asked<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

/// In which form an answer is wanted.
#[derive(Clone, Debug)]
struct Form {
    json: bool,
    /// By the address, not by a header.
    by_path: bool,
    /// What stands before every path, as a visitor sees it.
    base: String,
}

impl axum::extract::FromRequestParts<Sources> for Form {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        sources: &Sources,
    ) -> Result<Self, Self::Rejection> {
        let by_path = parts.uri.path().ends_with(JSON_ENDING);
        let config = Arc::clone(&sources.config.borrow());
        let base = config.web.as_ref().map(guard::base).unwrap_or_default();
        Ok(Self { json: by_path || wants_json(&parts.headers), by_path, base })
    }
}

/// What goes instead of a page.
enum Refusal {
    Bad(String),
    Failed(String),
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Form {
    /// The last name of a path, without the ending that asks for JSON.
    fn last<'a>(&self, name: &'a str) -> &'a str {
        if self.by_path { name.strip_suffix(JSON_ENDING).unwrap_or(name) } else { name }
    }

    /// Draws a page where it keeps nobody waiting.
    async fn drawn(&self, draw: impl FnOnce() -> Result<String, Refusal> + Send + 'static) -> Response {
        match spawn_blocking(draw).await {
            Ok(Ok(body)) => ([(header::CONTENT_TYPE, self.content_type())], self.based(body)).into_response(),
            Ok(Err(Refusal::Bad(why))) => self.bad(&why),
            Ok(Err(Refusal::Failed(why))) => self.failed(&why),
            Err(_) => self.failed("the page could not be drawn"),
        }
    }

    fn bad(&self, why: &str) -> Response {
        self.told(StatusCode::BAD_REQUEST, "This address cannot be understood", why)
    }

    fn missing(&self, why: &str) -> Response {
        self.told(StatusCode::NOT_FOUND, "Not found", why)
    }

    fn failed(&self, why: &str) -> Response {
        self.told(StatusCode::SERVICE_UNAVAILABLE, "History cannot be read", why)
    }

    /// A page that says what is wrong and where to go on.
    fn told(&self, status: StatusCode, title: &str, why: &str) -> Response {
        if self.json {
            let body = serde_json::json!({ "schema": SCHEMA, "error": why });
            return (status, axum::Json(body)).into_response();
        }
        let main = html! {
            p { (crate::report::words::visible(why)) }
            p { "Go on with " a href="/" { "every cell" } " or " a href="/events" { "the event log" } "." }
        };
        let now = Timestamp::now();
        let page = Page { title, summary: "", section: "", json: "/index.json", now, refresh: false }.around(&main);
        (status, [(header::CONTENT_TYPE, self.content_type())], self.based(page)).into_response()
    }

    /// A page with its links led below the path of `publicUrl`. Text never holds a quotation mark that is not escaped,
    /// so what is replaced are attributes.
    fn based(&self, body: String) -> String {
        if self.json || self.base.is_empty() {
            return body;
        }
        ["href", "src", "action"]
            .iter()
            .fold(body, |page, name| page.replace(&format!(" {name}=\"/"), &format!(" {name}=\"{}/", self.base)))
    }

    const fn content_type(&self) -> &'static str {
        if self.json { "application/json" } else { "text/html; charset=utf-8" }
    }
}

/// Whether `Accept` names JSON and no HTML.
fn wants_json(headers: &HeaderMap) -> bool {
    accepts(headers, "application/json") && !accepts(headers, "text/html")
}

/// Whether `Accept` names a media type, and does not refuse it.
fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    ranges.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media_type));
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        named && quality.is_none_or(|quality| quality > 0.0)
    })
}

const JSON_ENDING: &str = ".json";
const OK: &str = "ok";
const UNREADABLE: &str = "The names in the address are not UTF-8";
/// Events that stand on the page of a cell or of a cluster.
const EVENTS_BESIDE: usize = 20;
/// Details that are read from the history for one page.
const MAX_DETAILS: usize = 200;
/// Events that stand below the matrix.
const LATEST_EVENTS: usize = 10;
