//! What goes well and what goes wrong between two OpenSSH.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::world::{World, agents, cut_logins, login_home, must, nothing_probed, on, report, serving, until};

/// One behaviour.
pub(crate) type Case = fn(&mut World);

pub(crate) const CASES: &[(&str, Case)] = &[
    ("an_agent_on_the_host_probes", an_agent_on_the_host_probes),
    ("an_agent_at_its_path_probes", an_agent_at_its_path_probes),
    ("an_agent_is_sent_and_leaves_nothing", an_agent_is_sent_and_leaves_nothing),
    ("an_agent_that_arrives_changed_is_not_run", an_agent_that_arrives_changed_is_not_run),
    ("a_folder_that_runs_nothing_is_told", a_folder_that_runs_nothing_is_told),
    ("no_agent_anywhere_is_told", no_agent_anywhere_is_told),
    ("an_unknown_host_key_is_not_accepted", an_unknown_host_key_is_not_accepted),
    ("a_changed_host_key_is_not_accepted", a_changed_host_key_is_not_accepted),
    ("a_refused_login_is_told", a_refused_login_is_told),
    ("hosts_that_are_not_there_are_told_apart", hosts_that_are_not_there_are_told_apart),
    ("a_silent_host_is_told", a_silent_host_is_told),
    ("a_jump_host_is_gone_through", a_jump_host_is_gone_through),
    ("a_jump_host_that_fails_is_told", a_jump_host_that_fails_is_told),
    ("a_lost_connection_is_told_and_leaves_nothing", a_lost_connection_is_told_and_leaves_nothing),
    ("an_interrupt_leaves_nothing", an_interrupt_leaves_nothing),
    ("an_upload_that_breaks_leaves_nothing", an_upload_that_breaks_leaves_nothing),
    ("agents_of_other_versions_are_told", agents_of_other_versions_are_told),
    ("words_of_a_profile_are_passed_over", words_of_a_profile_are_passed_over),
    ("a_host_that_never_stops_talking_is_left", a_host_that_never_stops_talking_is_left),
    ("many_cells_share_a_connection", many_cells_share_a_connection),
    ("a_forced_command_is_enough", a_forced_command_is_enough),
    ("nothing_secret_travels", nothing_secret_travels),
];

fn an_agent_on_the_host_probes(world: &mut World) {
    let (report, _) = world.verify("host: root@bastion.test");
    let cell = &report["cells"][0];
    assert_eq!((&cell["verdict"], &cell["via"]), (&"match".into(), &"private".into()), "{report:#}");
    assert_eq!(cell["attempts"][0]["http"]["outcome"], "api-server", "{report:#}");
    assert_eq!(world.logins("bastion"), 1);
    world.assert_nothing_left();
    // The client itself has no way there: it was the bastion that probed.
    assert!(!on("client").args(["bash", "-c", "echo > /dev/tcp/10.20.0.10/443"]).output().unwrap().status.success());
}

fn an_agent_at_its_path_probes(world: &mut World) {
    world.without_agent();
    let (report, _) = world.verify("host: bastion.test, agent: /run/world/bin/kubereach");
    assert_eq!(report["verdict"], "match", "{report:#}");
    let told = world.unavailable("host: bastion.test, agent: /opt/none");
    assert!(told.contains("bastion.test has no program at /opt/none"), "{told}");
}

fn an_agent_is_sent_and_leaves_nothing(world: &mut World) {
    world.without_agent();
    world.with_binary();
    let (report, _) = world.verify("host: bastion.test");
    assert_eq!(report["verdict"], "match", "{report:#}");
    let place = fs::read_to_string(world.file("stand-in-was-here")).unwrap();
    assert!(place.contains("/kubereach.") && place.ends_with("(deleted)"), "its file was gone when it ran: {place}");
    assert_eq!(world.logins("bastion"), 1, "sent over the one connection");
    world.assert_nothing_left();
    if world.with_real_binary() {
        let (report, _) = world.verify("host: bastion.test");
        assert_eq!(report["verdict"], "match", "{report:#}");
        world.assert_nothing_left();
        println!("ssh: the agent of deploy/agent/build was sent, and answered");
    }
}

fn an_agent_that_arrives_changed_is_not_run(world: &mut World) {
    world.without_agent();
    world.with_binary();
    world.on_path("head", "#!/bin/sh\n/usr/bin/head \"$@\" | sed s/kubereach/kubereech/\n");
    let told = world.unavailable("host: bastion.test");
    assert!(told.contains("is not the one that was sent") && told.contains("it was not run"), "{told}");
    assert!(!world.file("stand-in-was-here").exists());
    world.assert_nothing_left();
}

fn a_folder_that_runs_nothing_is_told(world: &mut World) {
    world.without_agent();
    world.with_binary();
    // Hosts have mounts of their own, made when they are.
    world.stop_sshd();
    must("mount -o remount,noexec /tmp");
    world.start_sshd("bastion", "bastion");
    let told = world.unavailable("host: bastion.test");
    assert!(told.contains("noexec"), "{told}");
    world.assert_nothing_left();
}

fn no_agent_anywhere_is_told(world: &mut World) {
    world.without_agent();
    let told = world.unavailable("host: bastion.test");
    assert!(told.contains("has neither kubereach-agent nor kubereach in its PATH"), "{told}");
    assert!(told.contains("/run/world/binaries"), "{told}");
    // A file that is there and is not static is named.
    fs::create_dir_all(world.file("binaries")).unwrap();
    fs::copy("/bin/sh", world.file("binaries/kubereach-agent")).unwrap();
    let told = world.unavailable("host: bastion.test");
    assert!(told.contains("kubereach-agent is not used: ") && told.contains("not statically linked"), "{told}");
    world.assert_nothing_left();
}

fn an_unknown_host_key_is_not_accepted(world: &mut World) {
    // Whatever the user's own configuration says of it.
    world.write_client_configuration("StrictHostKeyChecking no");
    fs::write(world.file("known_hosts"), "").unwrap();
    let told = world.unavailable("host: bastion.test");
    assert!(told.contains("is not known here") && told.contains("connect once by hand"), "{told}");
    assert_eq!(fs::read_to_string(world.file("known_hosts")).unwrap(), "");
    assert_eq!(world.logins("bastion"), 0);
}

fn a_changed_host_key_is_not_accepted(world: &mut World) {
    world.stop_sshd();
    world.start_sshd("bastion", "new");
    let told = world.unavailable("host: bastion.test");
    assert!(told.contains("is not the one that known_hosts has") && told.contains("ssh-keygen -R"), "{told}");
    assert_eq!(world.logins("bastion"), 0);
}

fn a_refused_login_is_told(world: &mut World) {
    fs::copy(world.file("other-key.pub"), world.file("authorized_keys")).unwrap();
    let told = world.unavailable("host: bastion.test");
    assert!(told.contains("login to bastion.test is refused") && told.contains("publickey"), "{told}");
}

fn hosts_that_are_not_there_are_told_apart(world: &mut World) {
    let told = world.unavailable("host: nobody.test");
    assert!(told.contains("does not resolve"), "{told}");
    let told = world.unavailable("host: bastion.test, port: 2200");
    assert!(told.contains("nothing listens"), "{told}");
    fs::write(world.file("ssh_config"), "Nonsense yes\n").unwrap();
    let told = world.unavailable("host: bastion.test");
    assert!(told.contains("configuration cannot be used"), "{told}");
    fs::remove_file(world.file("ssh_config")).unwrap();
    let told = world.unavailable("host: bastion.test");
    assert!(told.contains("ssh_config cannot be read"), "{told}");
}

fn a_silent_host_is_told(world: &mut World) {
    let begun = Instant::now();
    let told = world.unavailable("host: 198.18.3.3");
    assert!(told.contains("no answer from the SSH port"), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // Another one takes the connection and says nothing.
    let _mute = std::net::TcpListener::bind("198.18.0.1:22").unwrap();
    let told = world.unavailable("host: 198.18.0.1");
    assert!(told.contains("accepts the connection and says nothing"), "{told}");
}

fn a_jump_host_is_gone_through(world: &mut World) {
    let (report, _) = world.verify("host: jumped");
    assert_eq!(report["verdict"], "match", "{report:#}");
    assert_eq!((world.logins("jump"), world.logins("bastion")), (1, 1));
    world.assert_nothing_left();
}

fn a_jump_host_that_fails_is_told(world: &mut World) {
    // Its key is checked as strictly as the host's own.
    world.write_client_configuration("StrictHostKeyChecking accept-new");
    let known = fs::read_to_string(world.file("known_hosts")).unwrap();
    fs::write(world.file("known_hosts"), known.lines().nth(1).unwrap().to_owned() + "\n").unwrap();
    let told = world.unavailable("host: jumped");
    assert!(told.contains("through its jump host fails") && told.contains("not known here"), "{told}");
    assert_eq!(world.logins("jump"), 0);
    fs::write(world.file("known_hosts"), known).unwrap();
    must("ip -n jump link set eth0 down");
    let told = world.unavailable("host: jumped");
    assert!(told.contains("through its jump host fails") && told.contains("jump.test"), "{told}");
    must(
        "ip -n jump link set eth0 up && ip -n jump route add default via 198.18.1.1; ip -n bastion link set eth0 down",
    );
    let told = world.unavailable("host: jumped");
    assert!(told.contains("through its jump host fails"), "{told}");
}

fn a_lost_connection_is_told_and_leaves_nothing(world: &mut World) {
    world.without_agent();
    world.with_binary();
    silent_target(world);
    let child = world.command().spawn().unwrap();
    until("the agent", serving);
    sleep(Duration::from_millis(500));
    cut_logins();
    let report = report(&child.wait_with_output().unwrap());
    let told = nothing_probed(&report);
    assert!(told.contains("the connection to bastion.test was lost"), "{report:#}");
    world.assert_nothing_left();
}

fn an_interrupt_leaves_nothing(world: &mut World) {
    world.without_agent();
    world.with_binary();
    silent_target(world);
    for signal in ["-INT", "-KILL"] {
        let child = world.command().spawn().unwrap();
        until("the agent", serving);
        sleep(Duration::from_millis(300));
        let begun = Instant::now();
        must(&format!("kill {signal} {}", child.id()));
        let output = child.wait_with_output().unwrap();
        if signal == "-INT" {
            assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
            let report = report(&output);
            let findings = report["findings"].to_string();
            assert!(findings.contains("inconclusive-run-interrupted"), "{report:#}");
            assert_eq!(output.status.code(), Some(3));
            world.assert_nothing_left();
        } else {
            // Of a run that was killed only the client's own configuration stays on the client.
            until("every agent to end", || agents().is_empty());
        }
    }
}

fn an_upload_that_breaks_leaves_nothing(world: &mut World) {
    world.without_agent();
    world.with_binary();
    // A host that reads slowly.
    world.on_path("head", "#!/bin/sh\n/usr/bin/head -c 1000; sleep 3; exec /usr/bin/head \"$@\"\n");
    world.scenario("host: bastion.test", 1);
    let child = world.command().spawn().unwrap();
    until("the upload", || {
        fs::read_dir("/tmp")
            .unwrap()
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("kubereach."))
    });
    must(&format!("kill -INT {}", child.id()));
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("was not seen to remove /tmp/kubereach."), "{stderr} {output:?}");
    until("the folder to be removed", || {
        !fs::read_dir("/tmp")
            .unwrap()
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("kubereach."))
    });
    world.assert_nothing_left();
}

fn agents_of_other_versions_are_told(world: &mut World) {
    for (protocol, word, end) in [(0, "older", "there"), (99, "newer", "here")] {
        let hello = format!("{{\"protocol\":{protocol},\"agent\":\"0.0.9\",\"platform\":\"linux x86_64\"}}");
        world.on_path("kubereach-agent", &format!("#!/bin/sh\necho '{hello}'\ncat > /dev/null\n"));
        let told = world.unavailable("host: bastion.test");
        let expected = format!("is {word} (0.0.9, protocol {protocol}; this is protocol 1): renew kubereach {end}");
        assert!(told.contains(&expected) && told.contains("/host-bin/kubereach-agent"), "{told}");
    }
    // One from before there were agents.
    world.on_path("kubereach-agent", "#!/bin/sh\necho \"unknown option: $1\" >&2\nexit 2\n");
    let told = world.unavailable("host: bastion.test");
    assert!(told.contains("ended with status 2 before it was ready") && told.contains("unknown option"), "{told}");
    world.assert_nothing_left();
}

fn words_of_a_profile_are_passed_over(world: &mut World) {
    fs::write(
        login_home().join(".bashrc"),
        "echo 'Welcome to the bastion!'; echo '{\"motd\": 1}'; printf 'no end of line'\n",
    )
    .unwrap();
    let (report, _) = world.verify("host: bastion.test");
    assert_eq!(report["verdict"], "match", "{report:#}");
    // When no agent follows they are shown.
    fs::write(login_home().join(".bashrc"), "echo 'Only menus here.'; exit 0\n").unwrap();
    let told = world.unavailable("host: bastion.test");
    assert!(told.contains("Only menus here.") && told.contains("runs no shell command"), "{told}");
}

fn a_host_that_never_stops_talking_is_left(world: &mut World) {
    for script in ["yes 'la la la'", "tr '\\0' 'x' < /dev/zero"] {
        fs::write(login_home().join(".bashrc"), script).unwrap();
        let begun = Instant::now();
        let told = world.unavailable("host: bastion.test");
        assert!(told.contains("before any agent speaks") || told.contains("a line of more than"), "{told}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

fn many_cells_share_a_connection(world: &mut World) {
    world.scenario("host: bastion.test", 20);
    let report = report(&world.command().output().unwrap());
    assert_eq!(report["cells"].as_array().unwrap().len(), 20);
    assert_eq!(report["verdict"], "match", "{report:#}");
    assert_eq!(world.logins("bastion"), 1);
    // And they share one failure, instead of waiting for one each.
    world.scenario("host: 198.18.3.3", 20);
    let begun = Instant::now();
    let report = crate::world::report(&world.command().output().unwrap());
    assert_eq!(report["verdict"], "inconclusive");
    assert!(begun.elapsed() < Duration::from_secs(18), "{:?}", begun.elapsed());
}

fn a_forced_command_is_enough(world: &mut World) {
    world.without_agent();
    let key = fs::read_to_string(world.file("key.pub")).unwrap();
    let line = |flags: &str| format!("restrict,command=\"/run/world/bin/kubereach agent --stdio {flags}\" {key}");
    fs::write(world.file("authorized_keys"), line("--allow-host api.test --allow-cidr 10.20.0.0/16")).unwrap();
    let (report, _) = world.verify("host: bastion.test");
    assert_eq!(report["verdict"], "match", "{report:#}");
    fs::write(world.file("authorized_keys"), line("--allow-host other.test")).unwrap();
    let told = world.unavailable("host: bastion.test");
    assert!(told.contains("may not probe this") && told.contains("allow list"), "{told}");
}

fn nothing_secret_travels(world: &mut World) {
    world.write_client_configuration("SendEnv *\nForwardAgent yes");
    let record = "#!/bin/sh\n{ env; echo \"$@\"; } >> /run/world/seen\ntee -a /run/world/seen | /run/world/bin/kubereach \"$@\"\n";
    world.on_path("kubereach", record);
    let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster: { server: 'https://api.test', \
                      certificate-authority: ca.pem }\ncontexts:\n- name: c\n  context: { cluster: c, user: u }\nusers:\n- name: u\n  \
                      user: { token: sesame-of-the-kubeconfig }\n";
    fs::write(world.file("kubeconfig"), kubeconfig).unwrap();
    fs::write(
        world.file("scenario.yaml"),
        "apiVersion: kubereach/v1\ncontrols: []\nclusters:\n  c: { kubeconfig: { path: kubeconfig, context: c } }\nvantages:\n  \
         bastion: { ssh: { host: bastion.test, config: ssh_config } }\nexpect:\n  - { cluster: c, from: bastion, reachable: true }\n",
    )
    .unwrap();
    let report = report(&world.command().output().unwrap());
    assert_eq!(report["verdict"], "match", "{report:#}");
    // The same with credentials that the run itself holds.
    let observation = crate::figure::probe_with_credentials(world, "sesame-of-the-run");
    assert!(observation.vantage_error.is_none(), "{observation:?}");
    let seen = String::from_utf8_lossy(&fs::read(world.file("seen")).unwrap()).into_owned();
    assert_eq!(seen.matches("\"probe\"").count(), 2, "both orders were recorded: {seen}");
    assert!(seen.contains("BEGIN CERTIFICATE"), "the authority travels");
    assert!(!seen.contains("sesame") && !seen.contains("SSH_AUTH_SOCK"), "{seen}");
}

/// A scenario whose target never answers, so that there is time.
fn silent_target(world: &World) {
    let file = world.scenario("host: bastion.test", 1);
    let text = fs::read_to_string(&file).unwrap().replace("https://api.test", "https://silent.test");
    fs::write(file, text).unwrap();
}
