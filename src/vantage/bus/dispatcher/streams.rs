//! What orders and replies are kept in on the server, made where it is missing.

use std::time::Duration;

use async_nats::jetstream::{
    consumer::{AckPolicy, pull},
    stream,
};
use kubereach_agent::{
    bus::{ACK_WAIT, OBSERVATIONS, ORDERS, PRESENCE, observation_subject, order_subject, presence_subject},
    order::{LONGEST_VALIDITY, MAXIMUM_ORDER_BYTES, MAXIMUM_REPLY_BYTES},
};

use super::{Dispatcher, MAXIMUM_PRESENCE_BYTES};

impl Dispatcher {
    /// Makes the queue of an agent that has none.
    pub(super) async fn make_queue(&self, agent: &str) -> Result<(), String> {
        let config = pull::Config {
            durable_name: Some(agent.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_deliver: MOST_DELIVERIES,
            max_ack_pending: MOST_UNDER_WAY,
            filter_subject: order_subject(agent),
            ..pull::Config::default()
        };
        let made = self.context.create_consumer_on_stream(config, ORDERS).await;
        made.map(|_| ()).map_err(|error| {
            let problem = self.link.take_problem().unwrap_or_else(|| error.to_string());
            format!("the NATS server does not give the agent `{agent}` a queue: {problem}")
        })
    }

    /// Makes the streams that are not there, and gives the last place in that of the observations.
    pub(super) async fn make_streams(&self) -> Result<u64, String> {
        let failed = |name: &str, error: &dyn std::error::Error| {
            let problem = self.link.take_problem().unwrap_or_else(|| error.to_string());
            format!("the NATS server does not give the stream {name} (is JetStream on, and permitted?): {problem}")
        };
        let shared = stream::Config { num_replicas: 1, ..stream::Config::default() };
        let orders = stream::Config {
            name: ORDERS.to_owned(),
            subjects: vec![order_subject("*")],
            retention: stream::RetentionPolicy::WorkQueue,
            discard: stream::DiscardPolicy::New,
            max_age: LONGEST_VALIDITY + Duration::from_mins(1),
            duplicate_window: LONGEST_VALIDITY + Duration::from_mins(1),
            max_bytes: 256 * MEBIBYTE,
            max_message_size: whole(MAXIMUM_ORDER_BYTES + HEADER_BYTES),
            ..shared.clone()
        };
        let observations = stream::Config {
            name: OBSERVATIONS.to_owned(),
            subjects: vec![observation_subject("*")],
            max_age: Duration::from_hours(1),
            duplicate_window: Duration::from_mins(30),
            max_bytes: 1024 * MEBIBYTE,
            max_messages_per_subject: MOST_KEPT_OF_ONE_AGENT,
            max_message_size: whole(MAXIMUM_REPLY_BYTES + HEADER_BYTES),
            ..shared.clone()
        };
        let presence = stream::Config {
            name: PRESENCE.to_owned(),
            subjects: vec![presence_subject("*")],
            max_age: Duration::from_hours(30 * 24),
            max_bytes: 16 * MEBIBYTE,
            max_messages_per_subject: 1,
            max_message_size: whole(MAXIMUM_PRESENCE_BYTES),
            ..shared
        };
        for config in [orders, presence] {
            let name = config.name.clone();
            self.context.get_or_create_stream(config).await.map_err(|error| failed(&name, &error))?;
        }
        let stream = self.context.get_or_create_stream(observations).await;
        Ok(stream.map_err(|error| failed(OBSERVATIONS, &error))?.cached_info().state.last_sequence)
    }
}

fn whole(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

const MOST_DELIVERIES: i64 = 20;
const MOST_UNDER_WAY: i64 = 1024;
const MOST_KEPT_OF_ONE_AGENT: i64 = 10_000;
const MEBIBYTE: i64 = 1024 * 1024;
const HEADER_BYTES: usize = 4096;
