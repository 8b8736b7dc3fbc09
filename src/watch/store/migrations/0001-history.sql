-- Every table of history. The same text for SQLite and PostgreSQL; what is in braces differs (`schema.rs`).
-- Times are milliseconds since 1970, UTC; stage times microseconds; small numbers are explained in docs/history.md.

create table cells (
  id {identity},
  check_set text not null,
  cluster text not null,
  vantage text not null,
  target smallint not null,
  unique (check_set, cluster, vantage, target)
);

create table rounds (
  cell bigint not null,
  at bigint not null,
  verdict smallint not null,
  observed smallint not null,
  offline smallint not null,
  dns integer,
  tcp integer,
  tls integer,
  http integer,
  detail bigint not null,
  primary key (cell, at)
){clustered};

create table hours (
  cell bigint not null,
  begins bigint not null,
  matched integer not null,
  mismatched integer not null,
  inconclusive integer not null,
  propagating integer not null,
  offline integer not null,
  dns_count integer not null,
  dns_sum bigint not null,
  dns_longest integer not null,
  tcp_count integer not null,
  tcp_sum bigint not null,
  tcp_longest integer not null,
  tls_count integer not null,
  tls_sum bigint not null,
  tls_longest integer not null,
  http_count integer not null,
  http_sum bigint not null,
  http_longest integer not null,
  primary key (cell, begins)
){clustered};

create table days (
  cell bigint not null,
  begins bigint not null,
  matched integer not null,
  mismatched integer not null,
  inconclusive integer not null,
  propagating integer not null,
  offline integer not null,
  dns_count integer not null,
  dns_sum bigint not null,
  dns_longest integer not null,
  tcp_count integer not null,
  tcp_sum bigint not null,
  tcp_longest integer not null,
  tls_count integer not null,
  tls_sum bigint not null,
  tls_longest integer not null,
  http_count integer not null,
  http_sum bigint not null,
  http_longest integer not null,
  primary key (cell, begins)
){clustered};

-- `used` is refreshed at most every few hours, so that a commit does not have to write it for each round.
create table details (
  id bigint primary key,
  used bigint not null,
  body {bytes} not null
);
create index details_by_use on details (used);

create table states (
  cell bigint primary key references cells (id),
  verdict smallint,
  code text,
  since bigint,
  pending_verdict smallint,
  pending_code text,
  pending_rounds integer,
  pending_since bigint,
  pending_last bigint,
  last_good bigint,
  last_good_at bigint,
  paused_since bigint,
  incident bigint,
  judged_for text
);

-- `vantage` is empty and `target` -1 for a change of a cluster's configuration.
create table events (
  id {identity},
  at bigint not null,
  since bigint not null,
  kind smallint not null,
  check_set text not null,
  cluster text not null,
  vantage text not null,
  target smallint not null,
  from_verdict smallint,
  from_code text,
  to_verdict smallint,
  to_code text,
  changes text not null,
  before_detail bigint,
  after_detail bigint,
  summary text not null,
  unique (check_set, cluster, vantage, target, kind, at)
);
create index events_by_time on events (at);
create index events_by_cluster on events (check_set, cluster, id);
create index events_before on events (before_detail);
create index events_after on events (after_detail);

create table snapshots (
  check_set text not null,
  cluster text not null,
  at bigint not null,
  hash bigint not null,
  body {bytes} not null,
  primary key (check_set, cluster, at)
);

create table alerts (
  id {identity},
  receiver text not null,
  cell bigint not null references cells (id),
  starts_at bigint not null,
  ends_at bigint,
  labels text not null,
  annotations text not null,
  repeat_seconds bigint not null,
  next_at bigint not null,
  attempts integer not null,
  delivered smallint not null,
  unique (receiver, cell, starts_at)
);
create index alerts_by_time on alerts (next_at);

create table leases (
  name text primary key,
  holder text not null,
  ends_at bigint not null
);
