//! `kubereach-agent`: the agent by itself, one static file.

fn main() {}
